/** Settings of the whole process, which stand once under `[defender_mssp]`: pure functions over the table. */
import { metricsOfGlobals } from "../../../../src/config/metrics-settings.ts";
import { parseStanzas } from "../../../../src/config/settings.ts";
import { GLOBAL_ROWS, settingsFor } from "../../../../src/model/settings-table.ts";
import type { Input } from "./customers.ts";
import type { Field } from "./fields.ts";
import type { Problems } from "./validate.ts";

type Values = Readonly<Record<string, string>>;

/** Settings of a customer that most providers set once for all: every input inherits them. */
const INHERITED: readonly string[] = ["proxy", "no_proxy", "ca_file", "splunkd_ca_file"];
export const PROCESS_KEYS: readonly string[] = GLOBAL_ROWS.map(({ key }) => key);

/** The labels say "all customers" for forms that have one customer; here everything is for all. */
function forAll(title: string): string {
  return title.replace(/ \(all customers\)$/, "").replace(/, all customers\)$/, ")");
}

/** In the order of the settings table. */
export const PROCESS_FIELDS: readonly Field[] = settingsFor("splunk")
  .filter(({ key, global }) => global === true || INHERITED.includes(key))
  .map((row) => ({ ...row, title: forAll(row.title) }));

const PARTS: readonly { readonly title: string; readonly has: (key: string) => boolean }[] = [
  { title: "Network", has: (key) => INHERITED.includes(key) },
  { title: "List of customers", has: (key) => key.startsWith("discover") },
  { title: "Splunk HEC", has: (key) => key.startsWith("hec_") },
  { title: "Metrics", has: (key) => key.startsWith("metrics_") },
];

/** The whole form, in parts. A new setting that no part names stands under the first heading. */
export const PROCESS_PARTS: readonly { readonly title: string; readonly fields: readonly Field[] }[] = [
  { title: "Program", fields: PROCESS_FIELDS.filter(({ key }) => !PARTS.some(({ has }) => has(key))) },
  ...PARTS.map(({ title, has }) => ({ title, fields: PROCESS_FIELDS.filter(({ key }) => has(key)) })),
].filter(({ fields }) => fields.length > 0);

const ANY_GUID = "00000000-0000-4000-8000-000000000000";

/**
 * What is wrong with these settings, in the words of `--validate-arguments`. Files cannot be looked at here.
 *
 * @param inputs with their `credential`: the home app's must not be one of theirs.
 */
export function processProblemsOf(values: Values, inputs: readonly Input[], nowMs: number): Problems {
  const reader = values["discover_credential"]?.trim();
  const sharing = inputs.find(({ values: own }) => reader !== undefined && own["credential"] === reader);
  // Any input that is right by itself: splunkd hands these settings to each of them.
  const own = { tenant_id: ANY_GUID, client_id: ANY_GUID, credential: sharing?.values["credential"] ?? "" };
  const name = sharing?.name ?? "settings";
  const { problems, globals } = parseStanzas([{ name, values: { ...values, ...own } }], { host: "splunk", nowMs });
  const found = new Map(problems.map(({ key, say }) => [key, say]));
  metricsOfGlobals(globals, ({ key, say }) => {
    if (!found.has(key)) found.set(key, say);
  });
  return Object.fromEntries(found);
}

export interface OwnValue {
  readonly input: string;
  readonly key: string;
  readonly value: string;
}

/**
 * Inputs that set something of the whole process for themselves. The first of them by name counts for all, so
 * what this page saves has no effect there.
 */
export function ownValues(inputs: readonly Input[], values: Values): readonly OwnValue[] {
  return inputs
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, values: own }) =>
      PROCESS_KEYS.filter((key) => key in own && own[key] !== (values[key] ?? "")).map((key) => ({
        input: name,
        key,
        value: own[key] ?? "",
      })),
    );
}

/** Calls to splunkd; each throws RestProblem. */
export interface RestartCalls {
  list(): Promise<readonly Input[]>;
  read(name: string): Promise<Input>;
  edit(name: string, changes: Values, all: Values): Promise<void>;
}

/**
 * Saves an enabled input as it is now, because splunkd starts the program anew then. Returns its name;
 * undefined where none is enabled.
 */
export async function restartInput(calls: RestartCalls): Promise<string | undefined> {
  const enabled = (await calls.list()).find(({ isDisabled }) => !isDisabled);
  if (enabled === undefined) return undefined;
  // Not as this page once listed it: somebody may have given it another tenant since.
  const { values } = await calls.read(enabled.name);
  const unchanged = { tenant_id: values["tenant_id"] ?? "" };
  await calls.edit(enabled.name, unchanged, unchanged);
  return enabled.name;
}
