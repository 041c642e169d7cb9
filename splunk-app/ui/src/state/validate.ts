import { DESTINATION_KEYS } from "../../../../src/config/intake-slot.ts";
import { readValue } from "../../../../src/config/kinds.ts";
import { MASK, parseStanzas } from "../../../../src/config/settings.ts";
import { GLOBAL_ROWS, INDEX_NAME, SECRET_KEYS } from "../../../../src/model/settings-table.ts";
import { FIELDS } from "./fields.ts";

/** Key to what is wrong, in the words of `--validate-arguments`. */
export type Problems = Readonly<Record<string, string>>;

const OF_THE_PROCESS: ReadonlySet<string> = new Set(GLOBAL_ROWS.map(({ key }) => key));

/**
 * What is wrong with an input, found by the code that the input itself runs. Files cannot be looked at here:
 * splunkd asks the input again when it is saved.
 */
export function problemsOf(name: string, values: Readonly<Record<string, string>>, nowMs: number): Problems {
  const { problems } = parseStanzas([{ name, values }], { host: "splunk", nowMs });
  const found = problems.filter(({ key }) => !OF_THE_PROCESS.has(key));
  const index = values["index"]?.trim() ?? "";
  const reading = index === "" || index === "default" ? undefined : readValue(INDEX_NAME, index, nowMs);
  return {
    ...(reading?.ok === false ? { index: reading.say } : {}),
    ...Object.fromEntries(found.map(({ key, say }) => [key, say])),
  };
}

/** A sentence for a field: the key's words begin it on the command line, the label does on a page. */
export function sentence(title: string, say: string): string {
  return `${title} ${say}.`;
}

/** What is sent for an edit: only what changed; a secret that was not typed again stays as it is. */
export function changesOf(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(after).filter(([key, value]) => value !== (before[key] ?? "") && value !== MASK),
  );
}

/**
 * What is sent when a new customer is saved once more: what is typed, and empty what was cleared since. A
 * secret that is not typed again stays as it is.
 */
export function savedAgain(
  sent: Readonly<Record<string, string>>,
  typed: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const isSecret: ReadonlySet<string> = new Set(SECRET_KEYS);
  const cleared = Object.keys(sent).filter((key) => !isSecret.has(key));
  const given = Object.entries(typed).filter(([, value]) => value !== "");
  return { ...Object.fromEntries(cleared.map((key) => [key, ""])), ...Object.fromEntries(given) };
}

/**
 * What somebody else has changed since `before` was read, and the form with it: what was typed here stays
 * typed. Undefined where nobody has.
 */
export function meanwhileOf(
  fields: readonly { readonly key: string; readonly title: string }[],
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
  typed: Readonly<Record<string, string>>,
): { readonly titles: readonly string[]; readonly values: Readonly<Record<string, string>> } | undefined {
  const titles = fields.filter(({ key }) => now[key] !== before[key]).map(({ title }) => title);
  return titles.length === 0 ? undefined : { titles, values: { ...now, ...changesOf(before, typed) } };
}

/**
 * Titles of stored secrets that a change makes unusable: each is bound to the addresses it was typed for.
 *
 * @param values the whole form, with masks for stored secrets.
 */
export function boundSecrets(
  changed: Readonly<Record<string, string>>,
  values: Readonly<Record<string, string>>,
): readonly string[] {
  if (!DESTINATION_KEYS.some((key) => key in changed)) return [];
  const kept = (key: string): boolean => values[key] === MASK && changed[key] === undefined;
  return FIELDS.filter(({ key, secret }) =>
    secret === true ? kept(key) : key === "credential" && (values[key] ?? "") !== "",
  ).map(({ title }) => title);
}

/** Without secrets: one that was typed into inputs.conf is in clear until the input has stored it. */
export function masked(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const secrets = SECRET_KEYS.filter((key) => (values[key] ?? "") !== "");
  return { ...values, ...Object.fromEntries(secrets.map((key) => [key, MASK])) };
}
