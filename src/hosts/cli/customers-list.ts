import { valuesFromFlags } from "../../config/flags.ts";
import { parseStanzas } from "../../config/settings.ts";
import { assertionCredential } from "../../model/assertion.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, type Failure, isFailure } from "../../model/failure.ts";
import type { Actor } from "../../model/failure-codes.ts";
import { firstWithdrawal, withdrawnSentence } from "../../model/granted-permissions.ts";
import { printable } from "../../model/printable.ts";
import type { ConfiguredCustomer, CustomerProgress, KeptOfCustomer } from "../../model/roster.ts";
import type { AppCredential, OnboardingServices, SecretPlace } from "../../model/sign-in.ts";
import type { SettingProblem, Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { CUSTOMERS_AT_ONCE, secretPlace, splunkAccess, textFlag, usage } from "./ask.ts";

type State = "consented" | "awaiting-consent" | "failing" | "misconfigured" | "not-configured";

/** A line of `customers list --json`; member names are those of the JSON. */
interface Line {
  readonly customer: string;
  readonly tenant_id: string;
  readonly state: State;
  /** ISO time of the first poll after the consent; empty where none is known. */
  readonly consent_since: string;
  readonly last_event: string;
  readonly last_poll: string;
  readonly actor: Actor | "";
  readonly say: string;
  /** With --against: is it in the list of customers? */
  readonly under_contract?: boolean;
}

const WHO: Readonly<Record<Actor, string>> = {
  operator: "you",
  customer: "customer",
  microsoft: "Microsoft",
  us: "this program",
};

/**
 * `customers list`: every configured customer, whether it has consented, and how far it was read. The consent
 * is asked for at Microsoft's sign-in service, the rest is read from the state folder.
 */
export async function listCustomers(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
  const { stanzas, refused, stateDir } = await configured(services, flags);
  const lines: Line[] = [...refused];
  const keptOf = stateDir === undefined ? undefined : services.roster.kept(stateDir);
  await inParallel(stanzas, CUSTOMERS_AT_ONCE, async (stanza) => {
    lines.push(await look(services, stanza, keptOf?.(stanza)));
    terminal.progress(`${lines.length} of ${stanzas.length + refused.length} customers`);
  });
  const all = flags["against"] === true ? against(services, lines, stateDir) : lines;
  const shown = all
    .filter(({ state }) => flags["waiting"] !== true || state === "awaiting-consent")
    .toSorted((a, b) => a.customer.localeCompare(b.customer));
  if (flags["json"] === true) for (const line of shown) terminal.out(`${JSON.stringify(line)}\n`);
  else table(services, shown);
  const missing = all.length - lines.length;
  if (missing > 0) terminal.say(`${missing} under contract ${missing === 1 ? "is" : "are"} not configured.`);
  const waiting = lines.filter(({ state }) => state === "awaiting-consent").length;
  const failing = lines.filter(({ state }) => state === "failing" || state === "misconfigured").length;
  terminal.say(
    `${lines.length} customers: ${lines.length - waiting - failing} have consented, ${waiting} have not yet, ${failing} need somebody to act.`,
  );
  return EXIT.done;
}

/**
 * The configured customers with what the list of customers says of each, and those that only the list has.
 * Throws Failure `usage` while no list was read.
 */
function against({ roster }: OnboardingServices, lines: readonly Line[], stateDir: string | undefined): Line[] {
  const list = stateDir === undefined ? undefined : roster.underContract(stateDir);
  if (list === undefined)
    throw usage("No list of customers was read yet.", "Set `discover`, then run `defender-mssp customers discover`.");
  const listed = new Set<string>(list.map(({ tenantId }) => tenantId));
  const configuredIds = new Set(lines.map(({ tenant_id }) => tenant_id));
  const names = new Set(lines.filter(({ tenant_id }) => tenant_id === "").map((line) => line.customer.toLowerCase()));
  return [
    ...lines.map((line): Line => {
      const isListed = listed.has(line.tenant_id);
      const say = isListed ? line.say : `It is not in the list of customers. ${line.say}`.trimEnd();
      return { ...line, say, under_contract: isListed };
    }),
    ...list
      .filter(({ tenantId, name }) => !configuredIds.has(tenantId) && !names.has(name.toLowerCase()))
      .map(
        ({ tenantId, name, isExcluded }): Line => ({
          ...lineFor({
            customer: name,
            tenant_id: tenantId,
            state: "not-configured",
            actor: isExcluded ? "" : "operator",
            say: isExcluded ? "It is excluded by the settings." : "It is under contract and is not collected.",
          }),
          under_contract: true,
        }),
      ),
  ];
}

interface Configured {
  readonly stanzas: readonly Stanza[];
  readonly refused: readonly Line[];
  readonly stateDir: string | undefined;
}

async function configured(services: OnboardingServices, flags: Flags): Promise<Configured> {
  if (flags["to"] === "splunk" && flags["config"] === undefined) return inSplunk(services, flags);
  if (flags["to"] === "fleet") return inFleet(services, flags);
  const found = await services.customers(flags, { needSecrets: true });
  return {
    stanzas: found.stanzas,
    stateDir: found.stateDir,
    refused: [
      ...misconfigured(found.problems),
      ...found.refused.map(({ stanza, failure }) => lineFor({ ...named(stanza), ...outcomeOf(failure) })),
    ],
  };
}

/** The inputs as splunkd holds them, with the shared credentials of its store. */
async function inSplunk(services: OnboardingServices, flags: Flags): Promise<Configured> {
  const place = await secretPlace(services, flags);
  const roster = await services.roster.splunk(() => splunkAccess(services, flags));
  const found = await withCredentials(services, place, await roster.read(), "splunk");
  return { ...found, stateDir: textFlag(flags, "state") ?? services.stateDirOfSplunk() };
}

/** The customers of the database, with this host's shared credentials, and how far each was read. */
async function inFleet(services: OnboardingServices, flags: Flags): Promise<Configured> {
  const roster = await services.roster.fleet(flags);
  const rows = await roster.read();
  for (const sentence of roster.differing(rows)) services.terminal.say(sentence);
  const given = valuesFromFlags(flags);
  const raw = rows.map(({ name, values }) => ({ name, values: { ...values, ...given } }));
  const found = await withCredentials(services, await services.filePlace(flags), raw, "arcsight");
  return { ...found, stateDir: undefined };
}

async function withCredentials(
  services: OnboardingServices,
  place: SecretPlace,
  raw: readonly ConfiguredCustomer[],
  host: "splunk" | "arcsight",
): Promise<Omit<Configured, "stateDir">> {
  const read = parseStanzas(raw, { host, nowMs: services.nowMs() });
  const stanzas: Stanza[] = [];
  const refused = misconfigured(read.problems);
  for (const stanza of read.stanzas) {
    try {
      stanzas.push(await place.withCredential(stanza));
    } catch (error) {
      if (!isFailure(error)) throw error;
      refused.push(lineFor({ ...named(stanza), ...outcomeOf(error) }));
    }
  }
  return { stanzas, refused };
}

/** Each customer once, with its first problem. */
function misconfigured(problems: readonly SettingProblem[]): Line[] {
  const first = new Map(problems.toReversed().map((problem) => [problem.stanza, problem]));
  first.delete("");
  return [...first.values()].map(({ stanza, key, say }) =>
    lineFor({ customer: stanza, state: "misconfigured", actor: "operator", say: `${key} ${say}` }),
  );
}

function named({ tenantName, tenantId }: Stanza): { readonly customer: string; readonly tenant_id: string } {
  return { customer: tenantName, tenant_id: tenantIdFrom(tenantId) ?? tenantId };
}

function outcomeOf({ actor, say, nextStep }: Failure): Pick<Line, "state" | "actor" | "say"> {
  return { state: "failing", actor, say: `${say} ${nextStep}`.trimEnd() };
}

async function look(services: OnboardingServices, stanza: Stanza, kept: KeptOfCustomer | undefined): Promise<Line> {
  const { customer, tenant_id } = named(stanza);
  const about = { customer, tenant_id: kept?.tenantId ?? tenant_id, progress: kept?.progress ?? {} };
  const credential = storedCredentialOf(stanza);
  if (credential === undefined)
    return lineFor({
      ...about,
      state: "failing",
      actor: "operator",
      say: "Its client secret, certificate or assertion is not stored here.",
    });
  try {
    const { missing, say } = await services.signInService.consentState(stanza, credential);
    if (missing.length === 0) return lineFor({ ...about, state: "consented", actor: "", say: "" });
    const lacks = `It lacks ${[...new Set(missing)].join(", ")}.`;
    const since = kept && firstWithdrawal(kept.granted, missing);
    const withdrawn = since === undefined ? "" : ` ${withdrawnSentence(since)}`;
    const what = `${say === "" ? lacks : say}${withdrawn}`;
    return lineFor({ ...about, state: "awaiting-consent", actor: "customer", say: what });
  } catch (error) {
    if (!isFailure(error)) throw error;
    return lineFor({ ...about, ...outcomeOf(error) });
  }
}

function storedCredentialOf(stanza: Stanza): AppCredential | undefined {
  const { clientId, certificate, assertion, clientSecret, cloud } = stanza;
  if (clientId === undefined) return undefined;
  if (assertion !== undefined) return assertionCredential(clientId, assertion, cloud);
  if (certificate !== undefined) return { kind: "certificate", clientId, path: certificate };
  return clientSecret && { kind: "secret", clientId, secret: clientSecret };
}

function lineFor(given: {
  readonly customer: string;
  readonly tenant_id?: string;
  readonly state: State;
  readonly actor: Actor | "";
  readonly say: string;
  readonly progress?: CustomerProgress;
}): Line {
  const { lastEventMs, lastPollMs } = given.progress ?? {};
  const iso = (ms: number | undefined): string => (ms === undefined ? "" : new Date(ms).toISOString());
  const { customer, tenant_id = "", state, actor, say } = given;
  return {
    customer,
    tenant_id,
    state,
    consent_since: iso(given.progress?.consentSinceMs),
    last_event: iso(lastEventMs),
    last_poll: iso(lastPollMs),
    actor,
    say,
  };
}

/** One cell of a table that may be pasted into a spreadsheet: one line, and not a formula. */
function cell(text: string): string {
  const plain = printable(text);
  return /^[=+\-@]/.test(plain) ? `'${plain}` : plain;
}

function table({ terminal }: OnboardingServices, lines: readonly Line[]): void {
  if (lines.length === 0) return;
  const width = lines.reduce((widest, { customer }) => Math.min(40, Math.max(widest, cell(customer).length)), 8);
  const row = (cells: readonly string[]): void => {
    const [customer = "", tenant = "", since = "", event = "", state = "", actor = "", say = ""] = cells;
    terminal.out(
      `${customer.slice(0, width).padEnd(width)} ${tenant.padEnd(36)} ${since.padEnd(16)} ${event.padEnd(16)} ${state.padEnd(16)} ${actor.padEnd(12)} ${say}`
        .trimEnd()
        .concat("\n"),
    );
  };
  const minute = (iso: string): string => (iso === "" ? "-" : `${iso.slice(0, 10)} ${iso.slice(11, 16)}`);
  row(["CUSTOMER", "TENANT", "CONSENT SINCE", "LAST EVENT", "STATE", "ACTOR", "WHAT"]);
  for (const { customer, tenant_id, consent_since, last_event, state, actor, say } of lines)
    row([
      cell(customer),
      cell(tenant_id),
      minute(consent_since),
      minute(last_event),
      state,
      actor === "" ? "-" : WHO[actor],
      printable(say),
    ]);
}
