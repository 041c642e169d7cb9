import { evaluate, type Value } from "./operations.ts";

/**
 * What a connector would hand to ESM: schema fields (`deviceVendor`, `externalId`, …), and tokens that
 * nothing maps under their own names.
 */
export interface ParsedEvent {
  readonly fields: Readonly<Record<string, string | number>>;
  readonly additional: Readonly<Record<string, string | number>>;
}

interface Token {
  readonly name: string;
  readonly type: string;
  readonly location: string;
}

const TOKEN_TYPES = new Set([
  "String",
  "Integer",
  "Long",
  "Date",
  "Time",
  "TimeStamp",
  "IPAddress",
  "IPv6Address",
  "MacAddress",
  "RegexToken",
]);
const SEVERITIES = ["veryhigh", "high", "medium", "low"];

/** A `NAME.jsonparser.properties` file, read once and used for every answer. */
export class ParserFile {
  private readonly tokens: Token[] = [];
  private readonly mappings = new Map<string, string>();
  private readonly trigger: string;
  private readonly properties: ReadonlyMap<string, string>;

  /** Throws an Error of one sentence for what a connector would not load. */
  constructor(properties: ReadonlyMap<string, string>) {
    this.properties = properties;
    this.trigger = properties.get("trigger.node.location") ?? "/";
    const count = Number(properties.get("token.count"));
    if (!Number.isInteger(count)) throw new Error("token.count is missing");
    for (let index = 0; index < count; index++) {
      const name = properties.get(`token[${index}].name`);
      const type = properties.get(`token[${index}].type`) ?? "String";
      if (name === undefined) throw new Error(`token[${index}].name is missing although token.count is ${count}`);
      if (!TOKEN_TYPES.has(type)) throw new Error(`token[${index}].type is ${type}, which is no token type`);
      this.tokens.push({ name, type, location: properties.get(`token[${index}].location`) ?? name });
    }
    if (properties.has(`token[${count}].name`)) throw new Error(`token[${count}] is beyond token.count`);
    for (const [key, value] of properties) if (key.startsWith("event.")) this.mappings.set(key.slice(6), value);
  }

  /** One event per element of the trigger node. */
  parse(answer: unknown): ParsedEvent[] {
    const node = at(answer, this.trigger);
    const elements = Array.isArray(node) ? node : node === undefined || node === null ? [] : [node];
    return elements.map((element: unknown) => this.event(element));
  }

  private event(element: unknown): ParsedEvent {
    const values = new Map<string, Value>();
    for (const token of this.tokens) values.set(token.name, typed(at(element, token.location), token));
    const used = new Set<string>();
    const fields: Record<string, string | number> = {};
    const map = (field: string, expression: string): void => {
      const value = evaluate(expression, (name) => {
        if (!values.has(name)) throw new Error(`event.${field} uses ${name}, which is no token`);
        used.add(name);
        return values.get(name);
      });
      if (value !== undefined && value !== "") fields[field] = value;
    };
    for (const [field, expression] of this.mappings) map(field, expression);
    this.conditional(fields, map);
    this.severity(fields);
    const kept =
      this.properties.get("additionaldata.enabled") === "true" ? [...values].filter(([name]) => !used.has(name)) : [];
    return {
      fields,
      additional: Object.fromEntries(kept.filter(([, value]) => value !== undefined)) as Record<
        string,
        string | number
      >,
    };
  }

  private conditional(
    fields: Readonly<Record<string, string | number>>,
    map: (field: string, expression: string) => void,
  ): void {
    const get = (key: string): string | undefined => this.properties.get(key);
    for (let i = 0; i < Number(get("conditionalmap.count") ?? 0); i++) {
      const value = String(fields[(get(`conditionalmap[${i}].field`) ?? "").replace(/^event\./, "")] ?? "");
      for (let j = 0; j < Number(get(`conditionalmap[${i}].mappings.count`) ?? 0); j++) {
        const prefix = `conditionalmap[${i}].mappings[${j}].`;
        if (!(get(`${prefix}values`) ?? "").split(",").includes(value)) continue;
        for (const [key, expression] of this.properties)
          if (key.startsWith(`${prefix}event.`)) map(key.slice(prefix.length + 6), expression);
      }
    }
  }

  /** `severity.map.LEVEL.if.deviceSeverity`: a comma list, or a range `a..b`. */
  private severity(fields: Record<string, string | number>): void {
    const given = fields["deviceSeverity"];
    if (given === undefined) return;
    for (const level of SEVERITIES) {
      const matches = (this.properties.get(`severity.map.${level}.if.deviceSeverity`) ?? "")
        .split(",")
        .map((part) => part.trim());
      const fits = matches.some((part) => {
        const range = /^(\d+)\.\.(\d+)$/.exec(part);
        return range
          ? Number(given) >= Number(range[1]) && Number(given) <= Number(range[2])
          : part !== "" && part === String(given);
      });
      if (fits) {
        fields["agentSeverity"] = level;
        return;
      }
    }
  }
}

/** `a/b`, `a//b`, `a[0]//b`; `/` is the node itself. */
function at(node: unknown, location: string): unknown {
  let here = node;
  for (const step of location.split("/").filter((part) => part !== "")) {
    const [, name = "", index] = /^([^[]*)(?:\[(\d+)\])?$/.exec(step) ?? [];
    if (name !== "")
      here = typeof here === "object" && here !== null ? (here as Record<string, unknown>)[name] : undefined;
    if (index !== undefined) here = Array.isArray(here) ? (here as unknown[])[Number(index)] : undefined;
  }
  return here;
}

/** A typed token fails on null, as published parsers warn; an object or array gives its JSON text. */
function typed(value: unknown, token: Token): Value {
  if (value === undefined) return undefined;
  if (value === null) {
    if (token.type !== "String") throw new Error(`the token ${token.name} of type ${token.type} met null`);
    return undefined;
  }
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (token.type !== "Integer" && token.type !== "Long") return text;
  if (!/^-?\d+$/.test(text)) throw new Error(`the token ${token.name} of type ${token.type} met ${text.slice(0, 40)}`);
  return Number(text);
}
