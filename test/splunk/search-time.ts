import type { Conf } from "./conf.ts";
import type { Fields, Value } from "./eval-language.ts";
import { fromMany, many, parseEval } from "./eval-language.ts";
import { splunkRegex } from "./regular-expression.ts";

/** An event as the index holds it. */
export interface IndexedEvent {
  readonly raw: string;
  readonly source: string;
  readonly sourcetype: string;
  readonly host?: string;
  /** Seconds since 1970. */
  readonly time: number;
}

export interface Knowledge {
  /** Layers of props.conf, weakest first: other apps' may stand below or above this add-on's. */
  readonly props: readonly Conf[];
  readonly transforms: Conf;
  readonly eventtypes: Conf;
  readonly tags: Conf;
}

export interface SearchedEvent {
  readonly fields: Fields;
  readonly eventtypes: readonly string[];
  readonly tags: readonly string[];
}

/** limits.conf: [spath] extraction_cutoff, [kv] limit. */
const CUTOFF_BYTES = 5000;
const FIELD_LIMIT = 100;

/**
 * What a search sees of an event, by the order of search-time operations (Splunk Knowledge Manager Manual,
 * "The sequence of search-time operations"): REPORT, automatic JSON, calculated fields (all from what came
 * before, not from one another), event types, tags.
 */
export function searchEvent(event: IndexedEvent, knowledge: Knowledge): SearchedEvent {
  const settings = settingsFor(event, knowledge.props);
  const fields = new Map<string, Value>([
    ["_raw", event.raw],
    ["_time", event.time],
    ["source", event.source],
    ["sourcetype", event.sourcetype],
    ["host", event.host ?? "h"],
  ]);
  for (const [key, text] of settings)
    if (key.startsWith("REPORT-"))
      for (const name of text.split(/\s*,\s*/)) cut(name, event.raw, knowledge.transforms, fields);
  if (settings.get("KV_MODE") === "json")
    for (const [name, value] of jsonFields(event.raw)) if (!fields.has(name)) fields.set(name, value);
  const before = new Map(fields);
  for (const [key, text] of settings) {
    if (!key.startsWith("EVAL-")) continue;
    const value = parseEval(text).apply(before);
    if (value === null) fields.delete(key.slice(5));
    else fields.set(key.slice(5), value);
  }
  const eventtypes = [...knowledge.eventtypes]
    .filter(([, stanza]) => matches(stanza.get("search") ?? "", fields))
    .map(([name]) => name);
  const tags = [...knowledge.tags]
    .filter(([name]) => eventtypes.some((type) => name === `eventtype=${type}`))
    .flatMap(([, stanza]) => [...stanza].filter(([, state]) => state === "enabled").map(([tag]) => tag));
  return { fields, eventtypes, tags };
}

/**
 * Source stanzas win over host stanzas, those over the sourcetype's; within one kind the later layer wins
 * (props.conf.spec, "Stanza precedence").
 */
export function settingsFor(event: IndexedEvent, layers: readonly Conf[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const take = (wanted: (stanza: string) => boolean) => {
    for (const layer of layers)
      for (const [name, stanza] of layer) if (wanted(name)) for (const [key, text] of stanza) found.set(key, text);
  };
  take((name) => name === event.sourcetype);
  take((name) => name.startsWith("source::") && pattern(name.slice(8)).test(event.source));
  return found;
}

/** `...` is anything, `*` anything but a path separator. */
function pattern(text: string): RegExp {
  const parts = text
    .split(/(\.\.\.|\*)/)
    .map((part) => (part === "..." ? ".*" : part === "*" ? "[^/\\\\]*" : part.replace(/[.\\+?^${}()|[\]]/g, "\\$&")));
  return new RegExp(`^${parts.join("")}$`);
}

function cut(name: string, raw: string, transforms: Conf, fields: Map<string, Value>): void {
  const stanza = transforms.get(name);
  const [field, from] = (stanza?.get("FORMAT") ?? "").split("::");
  if (!stanza || !field || from !== "$1" || stanza.get("MV_ADD") !== "true")
    throw new Error(`transform ${name} is not of the form that is modelled`);
  // A group that took no part is an empty value, which is dropped (transforms.conf, KEEP_EMPTY_VALS).
  const found = [...raw.matchAll(splunkRegex(stanza.get("REGEX") ?? "", "g"))].flatMap((match) => match[1] || []);
  if (found.length > 0) fields.set(field, fromMany([...many(fields.get(field) ?? null), ...found]));
}

/** Automatic JSON extraction: `a.b`, `a{}.b`; null is the text "null"; only what ends within the cut-off. */
function jsonFields(raw: string): ReadonlyMap<string, Value> {
  const found = new Map<string, string[]>();
  const text = Buffer.from(raw).subarray(0, CUTOFF_BYTES).toString("utf8");
  let at = 0;
  const blank = () => {
    while (/\s/.test(text[at] ?? "")) at += 1;
  };
  const string = (): string | undefined => {
    const m = /"(?:[^"\\]|\\.)*"/y;
    m.lastIndex = at;
    const hit = m.exec(text);
    if (!hit) return undefined;
    at = m.lastIndex;
    return JSON.parse(hit[0]) as string;
  };
  const add = (path: string, value: string) => {
    if (path === "" || (!found.has(path) && found.size >= FIELD_LIMIT)) return;
    found.set(path, [...(found.get(path) ?? []), value]);
  };
  /** False when the text ended inside. */
  const value = (path: string): boolean => {
    blank();
    const sign = text[at];
    if (sign === "{" || sign === "[") {
      at += 1;
      for (;;) {
        blank();
        if (text[at] === "}" || text[at] === "]") {
          at += 1;
          return true;
        }
        if (text[at] === ",") {
          at += 1;
          continue;
        }
        let inner = `${path}{}`;
        if (sign === "{") {
          const key = string();
          if (key === undefined) return false;
          blank();
          if (text[at] !== ":") return false;
          at += 1;
          inner = path === "" ? key : `${path}.${key}`;
        }
        if (at >= text.length || !value(inner)) return false;
      }
    }
    if (sign === '"') {
      const read = string();
      if (read === undefined) return false;
      add(path, read);
      return true;
    }
    const m = /[^\s,\]}]+/y;
    m.lastIndex = at;
    const hit = m.exec(text);
    if (!hit || m.lastIndex >= text.length) return false;
    at = m.lastIndex;
    add(path, hit[0]);
    return true;
  };
  value("");
  return new Map([...found].map(([name, values]) => [name, fromMany(values)]));
}

/** Searches of the form `a="x*" b="y" OR (…)`: juxtaposition is AND, as in Splunk. */
function matches(search: string, fields: Fields): boolean {
  const words = search.match(/\(|\)|OR|NOT|[A-Za-z_.]+="[^"]*"/g) ?? [];
  if (words.join("").replaceAll(/\s/g, "") !== search.replaceAll(/\s/g, ""))
    throw new Error(`search not modelled: ${search}`);
  let at = 0;
  const or = (): boolean => {
    let result = and();
    while (words[at] === "OR") {
      at += 1;
      const right = and();
      result = result || right;
    }
    return result;
  };
  const and = (): boolean => {
    let result = term();
    while (at < words.length && words[at] !== "OR" && words[at] !== ")") {
      const right = term();
      result = result && right;
    }
    return result;
  };
  const term = (): boolean => {
    const word = words[at] ?? "";
    at += 1;
    if (word === "NOT") return !term();
    if (word === "(") {
      const inner = or();
      at += 1;
      return inner;
    }
    const [, name, wanted] = /^([^=]+)="(.*)"$/.exec(word) ?? [];
    const regex = new RegExp(
      `^${(wanted ?? "")
        .split("*")
        .map((part) => part.replace(/[.\\+?^${}()|[\]]/g, "\\$&"))
        .join(".*")}$`,
      "i",
    );
    return many(fields.get(name ?? "") ?? null).some((value) => regex.test(value));
  };
  return or();
}
