import { type ListedCustomer, readCustomerList, wrongName, wrongRowSentence } from "../../config/customer-list.ts";
import { type ListedDifference, type RosterDifference, settingsInWords } from "../../config/list-difference.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf } from "../../model/failure.ts";
import type { OnboardingServices, Terminal } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";
import { secretPlace, textFlag, usage } from "./ask.ts";
import { differenceOf } from "./roster-changes.ts";
import { type RosterPlace, rosterPlace, writeChanges } from "./roster-place.ts";

/** `customers import LIST.csv`: shows what a list changes; `--apply` writes it. */
export async function importCustomers(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
  const file = textFlag(flags, "list") ?? "";
  const text = await services.readText(file, "utf8");
  if (text === undefined) throw usage(`${file} does not exist.`, "Give the list of customers, a CSV file.");
  const list = readCustomerList(text);
  if (!list.ok)
    throw usage(`${file} ${list.say}. Nothing is changed.`, "Correct the list, then run the command again.");
  const place = await rosterPlace(services, flags);
  for (const warning of list.warnings) terminal.say(warning);
  sayIfIndexIsUnused(terminal, place, list.customers);
  const total = list.customers.length;
  const difference = await differenceOf(
    services,
    place,
    list.customers,
    { credential: await credentialForNew(services, place, list.customers, flags) },
    flags,
    (done) => terminal.progress(`${done} of ${total} tenants looked up`),
  );
  const wrong = [...list.wrong, ...difference.wrong].toSorted((a, b) => a.line - b.line);
  return finish(services, place, { ...difference, wrong }, flags, flags["apply"] === true);
}

/** `customers add NAME --tenant …`: one customer, written at once. */
export async function addCustomer(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const name = textFlag(flags, "name") ?? "";
  const problem = wrongName(name);
  if (problem !== undefined) throw usage(`The customer ${problem}.`, "Give another name.");
  const row: ListedCustomer = {
    line: 0,
    name,
    tenant: textFlag(flags, "tenant") ?? "",
    index: textFlag(flags, "index") ?? "",
    cloud: textFlag(flags, "cloud") ?? "",
    streams: textFlag(flags, "streams") ?? "",
    credential: textFlag(flags, "credential") ?? "",
  };
  const place = await rosterPlace(services, flags);
  sayIfIndexIsUnused(services.terminal, place, [row]);
  const credential = await credentialForNew(services, place, [row], flags);
  const difference = await differenceOf(services, place, [row], { credential }, flags);
  const [wrong] = difference.wrong;
  if (wrong !== undefined)
    throw usage(`${name} ${wrong.say}.`, "Nothing is changed. Correct it, then run the command again.");
  return finish(services, place, { ...difference, notListed: [] }, flags, true);
}

function sayIfIndexIsUnused(terminal: Terminal, place: RosterPlace, rows: readonly ListedCustomer[]): void {
  if (!place.usesIndex && rows.some(({ index }) => index !== ""))
    terminal.say("The index is not used: the file has no output of type hec.");
}

/** `customers remove NAME`: out of the configuration; what it has collected stays known. */
export async function removeCustomer(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
  const name = textFlag(flags, "name") ?? "";
  const place = await rosterPlace(services, flags);
  if (textFlag(flags, "conf-only") !== undefined)
    throw usage("A conf file cannot remove an input.", "Run the command without --conf-only.");
  const customer =
    place.customers.find((one) => one.name === name) ??
    place.customers.find((one) => one.name.toLowerCase() === name.toLowerCase());
  if (customer === undefined)
    throw usage(
      `No customer in ${place.name} is called ${JSON.stringify(name)}.`,
      "Give the name as `defender-mssp customers list` shows it.",
    );
  const [failed] = await writeChanges(place, [{ kind: "remove", name: customer.name, values: {} }]);
  if (failed !== undefined) throw failed.failure;
  terminal.say(`${customer.name} is removed from ${place.name}. ${place.counts(1)}`);
  terminal.say(
    `Its checkpoints stay in ${place.checkpoints ?? "the state folder"}: added again, it continues where it ended.`,
  );
  return EXIT.done;
}

/**
 * The shared credential of new customers that name none. Throws Failure `usage` if it is not clear which one.
 *
 * @param homeApp a credential that no customer may have.
 */
export async function credentialForNew(
  services: OnboardingServices,
  place: RosterPlace,
  rows: readonly Pick<ListedCustomer, "name" | "credential">[],
  flags: Flags,
  homeApp?: string,
): Promise<string | undefined> {
  const given = textFlag(flags, "credential");
  if (given !== undefined) return given;
  if (place.common["credential"] !== undefined) return undefined;
  const known = new Set(place.customers.map(({ name }) => name.toLowerCase()));
  const needs = rows.filter(({ name, credential }) => credential === "" && !known.has(name.toLowerCase()));
  if (needs.length === 0) return undefined;
  const store = await secretPlace(services, flags);
  const stored = (await store.credentialNames()).filter((name) => name !== homeApp);
  if (stored.length === 1) return stored[0];
  const whose = needs.length === 1 ? `${needs[0]?.name} names` : `${needs.length} customers name`;
  throw usage(
    stored.length === 0
      ? `${whose} no credential, and ${store.name} holds none.`
      : `${whose} no credential, and ${store.name} holds ${stored.join(", ")}.`,
    stored.length === 0
      ? "Store the app once: `defender-mssp credential set mssp`. Then give --credential mssp."
      : "Give --credential NAME, or fill in the column credential.",
  );
}

/** Shows the difference, writes it if wanted, and says how many rows could not be used. */
async function finish(
  services: OnboardingServices,
  place: RosterPlace,
  difference: RosterDifference,
  flags: Flags,
  apply: boolean,
): Promise<ExitCode> {
  const { terminal } = services;
  const { rows, wrong } = difference;
  const changes = rows.filter(({ kind }) => kind !== "unchanged").map(({ change }) => change);
  const failed = apply ? await writeChanges(place, changes) : [];
  show(terminal, difference, {
    json: flags["json"] === true,
    failed: new Map(failed.map(({ change, failure }) => [change.name, failure.say])),
  });
  const listed = rows.map(({ name, change }) => ({ name, values: change.values }));
  for (const sentence of place.differing?.(withPresent(place, listed)) ?? []) terminal.say(sentence);
  const count = changes.length - failed.length;
  if (!apply && changes.length > 0)
    terminal.say(
      `Nothing is written yet. To write ${customersIn(changes.length)}, run the command again with --apply.`,
    );
  else if (changes.length === 0) terminal.say(`${place.name} needs no change.`);
  else
    terminal.say(
      `${customersIn(count)} ${count === 1 ? "is" : "are"} written to ${place.name}. ${place.counts(count)}`,
    );
  if (wrong.length > 0)
    terminal.say(
      `${wrong.length} of ${rows.length + wrong.length} rows are not used. Correct them and run the command again.`,
    );
  const [first] = failed;
  if (first !== undefined) {
    terminal.say(`${failed.length} could not be written: ${first.failure.say} ${first.failure.nextStep}`);
    return failed.length < rows.length ? EXIT.someCustomers : exitCodeOf(first.failure);
  }
  if (wrong.length === 0) return EXIT.done;
  return rows.length === 0 ? EXIT.usage : EXIT.someCustomers;
}

/** As they are after the changes. */
function withPresent(
  place: RosterPlace,
  changed: readonly { readonly name: string; readonly values: Readonly<Record<string, string>> }[],
) {
  const present = new Map(place.customers.map(({ name, values }) => [name, values]));
  return changed.map(({ name, values }) => ({ name, values: { ...present.get(name), ...values } }));
}

interface Shown {
  readonly json: boolean;
  /** By name. */
  readonly failed: ReadonlyMap<string, string>;
}

const SIGNS: Readonly<Record<ListedDifference["kind"], string>> = { add: "+", change: "~", unchanged: "=" };

function show(terminal: Terminal, { rows, wrong, notListed }: RosterDifference, { json, failed }: Shown): void {
  if (json) {
    for (const { kind, name, tenantId, change, before, remark } of rows) {
      const { values } = change;
      const say = failed.get(name) ?? remark;
      const line = {
        customer: name,
        change: failed.has(name) ? "failed" : kind,
        tenant_id: tenantId,
        settings: values,
        before,
        say,
      };
      terminal.out(`${JSON.stringify(line)}\n`);
    }
    for (const row of wrong)
      terminal.out(
        `${JSON.stringify({ customer: row.name, change: "wrong", line: row.line, say: wrongRowSentence(row) })}\n`,
      );
    for (const { name, values } of notListed)
      terminal.out(
        `${JSON.stringify({ customer: name, change: "not-listed", tenant_id: values["tenant_id"] ?? "" })}\n`,
      );
    return;
  }
  for (const row of rows) {
    const { kind, name, tenantId, remark } = row;
    if (kind === "unchanged" && remark === "") continue;
    terminal.out(
      `${SIGNS[kind]} ${[name, tenantId, ...settingsInWords(row), remark].filter((part) => part !== "").join("  ")}\n`,
    );
  }
  const unchanged = rows.filter(({ kind }) => kind === "unchanged").length;
  if (unchanged > 0) terminal.out(`= ${customersIn(unchanged)} unchanged\n`);
  for (const { name } of notListed) terminal.out(`? ${name}  is configured, but not in the list; it stays\n`);
  for (const row of wrong) terminal.out(`! ${wrongRowSentence(row)}\n`);
}

function customersIn(count: number): string {
  return `${count} ${count === 1 ? "customer" : "customers"}`;
}
