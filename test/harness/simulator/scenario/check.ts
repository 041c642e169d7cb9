import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { eventSpec, type Spec } from "./spec.ts";
import { durationOf, spanOf } from "./units.ts";

/** A text that is not a scenario; the message has one line per mistake: file, line and what was expected. */
export class ScenarioRefused extends Error {}

/** A checked value: durations are in ms, spans pairs of ms, times ms since 1970, lists always lists. */
export type Checked = Readonly<Record<string, unknown>>;

/**
 * Reads YAML (or JSON, which is YAML) by a spec. `name` is what messages call the text. Throws
 * ScenarioRefused with every mistake at once.
 */
export function readChecked(source: string, name: string, spec: Spec): Checked {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  const mistakes: string[] = [];
  const complain = (offset: number | undefined, sentence: string): undefined => {
    const { line } = lines.linePos(offset ?? 0);
    mistakes.push(`${name}:${Math.max(line, 1)}: ${sentence}`);
    return undefined;
  };
  for (const error of document.errors) complain(error.pos[0], `not readable: ${error.message.split("\n")[0]}`);
  const value = mistakes.length > 0 ? undefined : check(document.contents, spec, "the scenario", complain);
  if (mistakes.length > 0) throw new ScenarioRefused(mistakes.join("\n"));
  return value as Checked;
}

type Complain = (offset: number | undefined, sentence: string) => undefined;

const startOf = (node: Node | null): number | undefined => node?.range?.[0];

function check(node: Node | null, spec: Spec, where: string, complain: Complain): unknown {
  const expected = (what: string): undefined =>
    complain(startOf(node), `${where}: expected ${what}, found ${shown(node)}.`);
  if (spec.kind === "json") return node?.toJSON();
  if (spec.kind === "object") return checkObject(node, spec.fields, where, complain);
  if (spec.kind === "map") {
    if (!isMap(node)) return expected(`members named ${spec.keys.join(", ")}`);
    return checkObject(node, Object.fromEntries(spec.keys.map((key) => [key, spec.of])), where, complain);
  }
  if (spec.kind === "list") {
    const items = isSeq(node) ? (node.items as Node[]) : [node];
    return items.map((item, index) => check(item, spec.of, isSeq(node) ? `${where}[${index + 1}]` : where, complain));
  }
  return checkScalar(node, spec, expected);
}

type ScalarSpec = Exclude<Spec, { readonly kind: "json" | "object" | "map" | "list" }>;

function checkScalar(node: Node | null, spec: ScalarSpec, expected: (what: string) => undefined): unknown {
  const value: unknown = isScalar(node) ? node.value : undefined;
  const text = typeof value === "string" ? value : undefined;
  switch (spec.kind) {
    case "text":
      return (
        text ??
        (typeof value === "number" ? String(isScalar(node) ? (node.source ?? value) : value) : expected("a text"))
      );
    case "flag":
      return typeof value === "boolean" ? value : expected("true or false");
    case "number": {
      const fits =
        typeof value === "number" &&
        value >= spec.min &&
        value <= spec.max &&
        (!spec.integer || Number.isInteger(value));
      return fits ? value : expected(`a ${spec.integer ? "whole " : ""}number from ${spec.min} to ${spec.max}`);
    }
    case "choice":
      return text !== undefined && spec.of.includes(text) ? text : expected(`one of ${spec.of.join(", ")}`);
    case "duration":
      return durationOf(text ?? "") ?? expected("a duration such as 90s, 5m, 1h30m or -7d");
    case "span":
      return spanOf(text ?? "") ?? expected("a duration or two, such as 1m..20m");
    case "time":
      break;
  }
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? expected("a time such as 2026-11-24T06:00:00Z") : ms;
}

function checkObject(
  node: Node | null,
  fields: Readonly<Record<string, Spec>>,
  where: string,
  complain: Complain,
): Checked | undefined {
  if (!isMap(node))
    return complain(
      startOf(node),
      `${where}: expected members named ${Object.keys(fields).join(", ")}, found ${shown(node)}.`,
    );
  const result: Record<string, unknown> = {};
  for (const { key, value } of node.items) {
    const name = String((key as { value?: unknown }).value);
    const spec = fields[name];
    if (spec === undefined)
      complain(
        startOf(key as Node),
        `${where}: there is no "${name}"; expected one of ${Object.keys(fields).join(", ")}.`,
      );
    else if (name === "events" && spec.kind === "list") result[name] = checkEvents(value as Node | null, complain);
    else
      result[name] = check(
        value as Node | null,
        spec,
        `${where === "the scenario" ? "" : `${where}.`}${name}`,
        complain,
      );
  }
  for (const [name, spec] of Object.entries(fields)) {
    if (spec.required === true && !(name in result))
      complain(startOf(node), `${where}: "${name}" is missing; expected ${spec.help}.`);
  }
  return result;
}

/** Which members an event may have depends on what it does. */
function checkEvents(node: Node | null, complain: Complain): readonly unknown[] {
  if (!isSeq(node)) return complain(startOf(node), `events: expected a list, found ${shown(node)}.`) ?? [];
  return (node.items as Node[]).map((item, index) =>
    check(item, eventSpec(isMap(item) ? String(item.get("do")) : ""), `events[${index + 1}]`, complain),
  );
}

function shown(node: Node | null): string {
  if (node === null) return "nothing";
  if (isMap(node)) return "members";
  if (isSeq(node)) return "a list";
  const value: unknown = isScalar(node) ? node.value : undefined;
  return value === null || value === undefined ? "nothing" : JSON.stringify(value);
}
