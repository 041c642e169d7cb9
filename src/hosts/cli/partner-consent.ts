import { inParallel } from "../../model/concurrency-limiter.ts";
import type { DiscoverySettings, ListedTenant } from "../../model/discovered.ts";
import type { ExitCode } from "../../model/failure.ts";
import { asFailure, EXIT, exitCodeOf, Failure, isFailure } from "../../model/failure.ts";
import type { ConsentJournal, OpenGrant, PartnerOutcome, PartnerSession } from "../../model/partner-consent.ts";
import { mayGrant } from "../../model/partner-consent.ts";
import { printable } from "../../model/printable.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { AppCredential, FoundCustomers, OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { TenantId } from "../../model/tenant.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { CUSTOMERS_AT_ONCE, secretPlace, textFlag, usage, withSharedCredential } from "./ask.ts";
import { ACTORS_IN_ORDER, reasonsOf, reasonTable } from "./doctor-reasons.ts";
import { homeApp } from "./home-app.ts";
import { completeCodeFlow, DEFAULT_REDIRECT_URI, wayOf } from "./token-acquire.ts";

const HOME_NAME = "your own tenant";

/** A customer, and what its GDAP relationships give where that is known. */
interface Chosen {
  /** Without secrets; `credential` names the reader. */
  readonly stanza: Stanza;
  readonly gdap?: ListedTenant;
}

/**
 * `partner consent`: one sign-in of a partner's user, then the reader's permissions at all GDAP customers.
 * What the sign-in gives is never stored, and the bridge is removed from each customer at the end.
 */
export async function partnerConsent(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { partner, terminal } = services;
  const lacking = ["home", "bridge-client-id", "credential"].filter((flag) => textFlag(flags, flag) === undefined);
  if (lacking.length > 0)
    throw usage(
      `--${lacking.join(" and --")} ${lacking.length === 1 ? "is" : "are"} missing.`,
      "Give --home DOMAIN --bridge-client-id ID --credential NAME.",
    );
  const bridgeId = tenantIdFrom(textFlag(flags, "bridge-client-id") ?? "");
  if (bridgeId === undefined)
    throw usage(
      "--bridge-client-id is not a GUID.",
      "Give the application (client) ID of the app that `defender-mssp register --bridge-app` registered.",
    );
  if (flags["all"] !== true && namesIn(flags).length === 0)
    throw usage("No customer was given.", "Give --customer NAME, or --all for every GDAP customer.");
  const { home, configured, discovery, stateDir } = await settingsOf(services, flags);
  const isDryRun = flags["dry-run"] === true;
  const journal = await partner.openJournal(stateDir);
  try {
    if (journal.unreadable > 0)
      terminal.say(
        `${journal.unreadable} lines of ${journal.path} cannot be read. They may name customers where the bridge still is: look for it under Enterprise applications.`,
      );
    const customers = { home, configured, discovery };
    const { isListed, ready, refused } = await readyCustomers(services, flags, customers).catch(async (error) => {
      // Nobody to grant at keeps nothing from being removed.
      await cleanUpAlone(services, flags, { home, bridgeId, journal });
      throw error;
    });
    if (ready.some(({ stanza }) => stanza.clientId?.toLowerCase() === bridgeId.toLowerCase()))
      throw usage(
        "--bridge-client-id names the app of --credential, and the bridge is removed from every customer at the end.",
        "Give the app that `defender-mssp register --bridge-app` registered.",
      );
    const outcomes = isDryRun
      ? await look(services, ready, journal)
      : await grantTo(services, flags, { home, bridgeId, ready, journal });
    const code = report(services, [...refused, ...outcomes], { isDryRun, isListed });
    const mustBeOut = !isDryRun && flags["keep-bridge"] !== true;
    return code === EXIT.done && mustBeOut && ownGrants(journal, home).length > 0 ? EXIT.someCustomers : code;
  } finally {
    await journal.close();
  }
}

interface PartnerSettings {
  /** The partner's own tenant, with the addresses and the route of the flags. */
  readonly home: Stanza;
  /** The customers of `--config`; empty without it. */
  readonly configured: readonly Stanza[];
  readonly discovery: DiscoverySettings | undefined;
  readonly stateDir: string;
}

async function settingsOf(services: OnboardingServices, flags: Flags): Promise<PartnerSettings> {
  // A tenant among the flags would replace that of every configured customer.
  const { config: _config, customer: _customer, "tenant-id": _tenant, "tenant-name": _name, ...own } = flags;
  const base = await services.customers(
    { ...own, "tenant-id": textFlag(flags, "home"), "tenant-name": HOME_NAME },
    { needSecrets: false },
  );
  const found =
    textFlag(flags, "config") === undefined
      ? undefined
      : await services.customers({ ...own, config: flags["config"] }, { needSecrets: false });
  for (const line of found === undefined ? [] : aboutSettings(found)) services.terminal.say(line);
  const like = found?.stanzas.find(({ cloud }) => isPartnersCloud(cloud));
  const first = base.stanzas[0];
  if (first === undefined) throw usage("No tenant was given.", "Give --home with your own tenant's domain.");
  // Customers that are only in the partner's list are reached in the same way as those of the configuration.
  const home: Stanza = withoutSecrets(
    like === undefined ? first : { ...first, cloud: like.cloud, endpoints: like.endpoints, route: like.route },
    textFlag(flags, "credential") ?? "",
  );
  if (!isPartnersCloud(home.cloud))
    throw usage(
      `Partner Center of cloud ${home.cloud} is not known to this program.`,
      "Send these customers the consent link.",
    );
  const { tenantId } = await services.roster.findTenant(home, undefined);
  return {
    home: { ...home, tenantId },
    configured: (found?.stanzas ?? []).filter(({ cloud }) => isPartnersCloud(cloud)),
    discovery: (found ?? base).discovery,
    stateDir: (found ?? base).stateDir,
  };
}

/** What the person must know of a configuration: who is left out, and why. */
function aboutSettings({ warnings, problems, refused, stanzas }: FoundCustomers): readonly string[] {
  return [
    ...warnings,
    // A wrong setting of the whole process leaves nobody out.
    ...problems.map(({ stanza, key, say }) =>
      stanza === "" || stanzas.some(({ name }) => name === stanza)
        ? `${key} ${say}.`
        : `${stanza} is left out: ${key} ${say}.`,
    ),
    ...refused.map(({ stanza, failure }) => leftOut(stanza, `${failure.say} ${failure.nextStep}`)),
    ...stanzas
      .filter(({ cloud }) => !isPartnersCloud(cloud))
      .map((stanza) => leftOut(stanza, `Partner Center of cloud ${stanza.cloud} is not known to this program.`)),
  ];
}

function leftOut({ tenantName }: Stanza, why: string): string {
  return `${tenantName} is left out: ${why}`.trimEnd();
}

/** The customers of the flags, with the reader's credential. */
async function readyCustomers(
  services: OnboardingServices,
  flags: Flags,
  { home, configured, discovery }: Pick<PartnerSettings, "home" | "configured" | "discovery">,
): Promise<{
  readonly isListed: boolean;
  readonly ready: readonly Chosen[];
  readonly refused: readonly PartnerOutcome[];
}> {
  const listed = await listedCustomers(services, flags, home, discovery);
  const chosen = await chooseCustomers(services, flags, { home, configured, listed });
  return { isListed: listed !== undefined, ...(await withReader(services, chosen, flags)) };
}

/** The list of GDAP customers; undefined where no app that may read it is named. */
async function listedCustomers(
  services: OnboardingServices,
  flags: Flags,
  home: Stanza,
  discovery: DiscoverySettings | undefined,
): Promise<readonly ListedTenant[] | undefined> {
  if (discovery?.source !== "gdap" || discovery.credential === undefined) return undefined;
  const app = await homeApp(await secretPlace(services, flags), discovery.credential, home);
  return services.partner.gdapCustomers(app, discovery);
}

function isPartnersCloud(cloud: Stanza["cloud"]): boolean {
  return cloud === "commercial" || cloud === "gcc";
}

/**
 * `DEFENDER_MSSP_CLIENT_SECRET` is the bridge's here, so a customer must not take it as the reader's, nor
 * sign in with one of its own.
 */
function withoutSecrets(stanza: Stanza, credential: string): Stanza {
  const {
    clientId: _id,
    clientSecret: _secret,
    certificate: _file,
    assertion: _assertion,
    refreshToken: _token,
    ...rest
  } = stanza;
  return { ...rest, credential, auth: "app" };
}

function namesIn(flags: Flags): readonly string[] {
  const given = flags["customer"];
  return (Array.isArray(given) ? given : [given]).filter((name): name is string => typeof name === "string");
}

async function chooseCustomers(
  services: OnboardingServices,
  flags: Flags,
  known: {
    readonly home: Stanza;
    readonly configured: readonly Stanza[];
    readonly listed: readonly ListedTenant[] | undefined;
  },
): Promise<readonly Chosen[]> {
  const { home, listed } = known;
  const reader = home.credential ?? "";
  const byTenant = new Map<TenantId, Chosen>();
  for (const stanza of await withTenantIds(services, known.configured)) {
    // Two inputs of one tenant may collect different streams.
    const other = byTenant.get(stanza.tenantId)?.stanza ?? stanza;
    const streams = [...new Set([...other.streams, ...stanza.streams])];
    byTenant.set(stanza.tenantId, { stanza: { ...withoutSecrets(other, reader), streams } });
  }
  for (const gdap of listed ?? []) {
    const configured = byTenant.get(gdap.tenantId)?.stanza;
    const name = gdap.name === "" ? gdap.tenantId : gdap.name;
    const stanza = configured ?? { ...home, name, tenantName: name, tenantId: gdap.tenantId };
    byTenant.set(gdap.tenantId, { stanza, gdap });
  }
  const names = namesIn(flags);
  const all = [...byTenant.values()];
  if (names.length > 0) return names.map((name) => customerCalled(name, all));
  const chosen = listed === undefined ? all : all.filter(({ gdap }) => gdap !== undefined);
  const others = all.filter((one) => !chosen.includes(one)).map(({ stanza }) => stanza.tenantName);
  if (others.length > 0)
    services.terminal.say(
      `${others.length} configured customers have no active GDAP relationship and are left out: ${others.join(", ")}.`,
    );
  if (chosen.length === 0)
    throw usage(
      listed === undefined
        ? "No customer is known: the GDAP relationships are not read, and no configuration is given."
        : "Your tenant lists no customer with an active GDAP relationship.",
      "Give --config FILE with the customers.",
    );
  return chosen;
}

function customerCalled(name: string, all: readonly Chosen[]): Chosen {
  const wanted = name.toLowerCase();
  const [found, ...others] = all.filter(({ stanza, gdap }) =>
    [stanza.name, stanza.tenantName, stanza.tenantId, gdap?.name].some((one) => one?.toLowerCase() === wanted),
  );
  if (others.length > 0)
    throw usage(`${others.length + 1} customers are called ${name}.`, "Give --customer with the tenant ID.");
  if (found === undefined)
    throw usage(
      `No customer is called ${name}.`,
      "Give --config FILE with the customer, or its name in Partner Center.",
    );
  return found;
}

/** A domain in the configuration is asked for its tenant, because Partner Center knows tenants. */
async function withTenantIds(
  services: OnboardingServices,
  stanzas: readonly Stanza[],
): Promise<readonly (Stanza & { readonly tenantId: TenantId })[]> {
  const found: (Stanza & { readonly tenantId: TenantId })[] = [];
  await inParallel(stanzas, CUSTOMERS_AT_ONCE, async (stanza) => {
    try {
      const tenantId = tenantIdFrom(stanza.tenantId) ?? (await services.roster.findTenant(stanza, undefined)).tenantId;
      found.push({ ...stanza, tenantId });
    } catch (error) {
      if (!isFailure(error)) throw error;
      services.terminal.say(leftOut(stanza, `${error.say} ${error.nextStep}`));
    }
  });
  return found;
}

/** Looked up before anybody signs in. */
async function withReader(
  services: OnboardingServices,
  chosen: readonly Chosen[],
  flags: Flags,
): Promise<{ readonly ready: readonly Chosen[]; readonly refused: readonly PartnerOutcome[] }> {
  const ready: Chosen[] = [];
  const refused: PartnerOutcome[] = [];
  for (const one of chosen) {
    try {
      ready.push({ ...one, stanza: await withSharedCredential(services, one.stanza, flags) });
    } catch (error) {
      if (!isFailure(error)) throw error;
      refused.push({ stanza: one.stanza, result: "failed", failure: error });
    }
  }
  if (ready.length === 0 && refused[0]?.failure !== undefined) throw refused[0].failure;
  return { ready, refused };
}

async function grantTo(
  services: OnboardingServices,
  flags: Flags,
  run: {
    readonly home: Stanza;
    readonly bridgeId: TenantId;
    readonly ready: readonly Chosen[];
    readonly journal: ConsentJournal;
  },
): Promise<readonly PartnerOutcome[]> {
  const { terminal, partner } = services;
  const { home, journal, ready } = run;
  const session = await signIn(services, flags, home, run.bridgeId);
  const keepBridge = flags["keep-bridge"] === true;
  const stop = partner.stopSignal();
  if (!keepBridge) await cleanUp(services, session, journal, stop);
  const outcomes = await partner.grant({
    session,
    journal,
    customers: ready.map(({ stanza }) => stanza),
    keepBridge,
    stop,
    progress: (done) => terminal.progress(`${done} of ${ready.length} customers`),
  });
  const count = (result: PartnerOutcome["result"]) => outcomes.filter((one) => one.result === result).length;
  terminal.say(
    `Granted at ${count("granted")} customers; ${count("complete")} had all permissions before. ${journal.path} lists each step.`,
  );
  const theirs = outcomes.filter(({ bridgeStays }) => bridgeStays).map(({ stanza }) => stanza.tenantName);
  if (theirs.length > 0)
    terminal.say(
      `At ${theirs.length} customers the bridge was there already, and ${journal.path} names no run that let it in, so it stays: ${theirs.join(", ")}.`,
    );
  if (stop.aborted) terminal.say("Stopped. The customers under way were finished, and no other one was begun.");
  const left = ownGrants(journal, home).length;
  if (left > 0)
    terminal.say(
      keepBridge
        ? `The bridge stays at ${left} customers, as --keep-bridge says. A run without --keep-bridge removes it.`
        : `The bridge may still be at ${left} customers. Run the command again; it removes the bridge first.`,
    );
  return outcomes;
}

/** From the environment, else asked for without echo, else all of standard input. */
async function bridgeSecret({ environment, terminal }: OnboardingServices, clientId: string): Promise<Sealed> {
  const given = environment["DEFENDER_MSSP_CLIENT_SECRET"] ?? "";
  const secret = given !== "" ? sealed(given) : await terminal.askSecret(`Client secret of the bridge ${clientId}:`);
  if (secret.length === 0)
    throw usage("No client secret of the bridge was given.", "Type it when asked, or set DEFENDER_MSSP_CLIENT_SECRET.");
  return secret;
}

async function signIn(
  services: OnboardingServices,
  flags: Flags,
  home: Stanza,
  bridgeId: TenantId,
): Promise<PartnerSession> {
  // Addresses and route come from the first configured customer. Nothing is sent to others than those that
  // the reader's secret was stored for.
  await withSharedCredential(services, home, flags);
  const bridge: AppCredential = {
    kind: "secret",
    clientId: bridgeId,
    secret: await bridgeSecret(services, bridgeId),
  };
  const redirectUri = textFlag(flags, "redirect-uri") ?? DEFAULT_REDIRECT_URI;
  const way = wayOf(flags, services.terminal.interactive, redirectUri);
  const flow = services.partner.beginSignIn(home, bridge, redirectUri);
  const signedIn = await completeCodeFlow(services, home, flow, way === "device" ? "paste" : way);
  services.terminal.say(
    `Signed in for ${home.tenantName}${signedIn.account === undefined ? "" : ` as ${printable(signedIn.account)}`}.`,
  );
  return { home, bridge, signedIn };
}

/** Where the bridge may be at customers of this partner tenant. */
function ownGrants(journal: ConsentJournal, { tenantId }: Stanza): readonly OpenGrant[] {
  return journal.openGrants().filter(({ home }) => home === tenantId);
}

/** What an interrupted run left at customers, of the same partner tenant. */
async function cleanUp(
  services: OnboardingServices,
  session: PartnerSession,
  journal: ConsentJournal,
  stop: AbortSignal,
): Promise<void> {
  const { terminal, partner } = services;
  const open = journal.openGrants();
  const own = ownGrants(journal, session.home);
  if (open.length > own.length)
    terminal.say(
      `The bridge may still be at ${open.length - own.length} customers of another partner tenant. Run the command with that tenant as --home.`,
    );
  if (own.length === 0) return;
  terminal.say(`The bridge may still be at ${own.length} customers after an earlier run. It is removed first.`);
  const left = await partner.removeBridges(session, journal, own, stop);
  for (const [tenant, { say, nextStep }] of left) terminal.say(`${tenant}: ${say} ${nextStep}`);
}

/** The same where there is nobody to grant at. */
async function cleanUpAlone(
  services: OnboardingServices,
  flags: Flags,
  run: { readonly home: Stanza; readonly bridgeId: TenantId; readonly journal: ConsentJournal },
): Promise<void> {
  const { home, bridgeId, journal } = run;
  const left = ownGrants(journal, home).length;
  if (left === 0 || flags["keep-bridge"] === true) return;
  services.terminal.say(
    `No customer can be granted anything now, but the bridge may still be at ${left} customers after an earlier run.`,
  );
  if (flags["dry-run"] === true) {
    services.terminal.say("The same command without --dry-run signs in and removes it.");
    return;
  }
  try {
    const session = await signIn(services, flags, home, bridgeId);
    await cleanUp(services, session, journal, services.partner.stopSignal());
    const still = ownGrants(journal, home).length;
    if (still > 0) services.terminal.say(`The bridge may still be at ${still} customers. Run the command again.`);
  } catch (error) {
    // The caller's failure says what must be corrected first.
    if (!isFailure(error)) throw error;
    services.terminal.say(`It was not removed: ${error.say} ${error.nextStep}`.trimEnd());
  }
}

/** `--dry-run`: what each customer lacks, and where granting it would fail. Nothing is sent but reads. */
async function look(
  services: OnboardingServices,
  customers: readonly Chosen[],
  journal: ConsentJournal,
): Promise<readonly PartnerOutcome[]> {
  const { terminal, partner } = services;
  const left = journal.openGrants().length;
  if (left > 0)
    terminal.say(
      `The bridge may still be at ${left} customers after an earlier run. A run without --dry-run removes it first.`,
    );
  const outcomes: PartnerOutcome[] = [];
  await inParallel(customers, CUSTOMERS_AT_ONCE, async ({ stanza, gdap }) => {
    try {
      const missing = await partner.missing(stanza);
      const isComplete = missing.length === 0;
      if (!isComplete && gdap !== undefined && !mayGrant(gdap)) throw roleMissing(stanza.tenantName);
      outcomes.push({ stanza, result: isComplete ? "complete" : "granted" });
    } catch (error) {
      outcomes.push({ stanza, result: "failed", failure: asFailure(error) });
    }
    terminal.progress(`${outcomes.length} of ${customers.length} customers`);
  });
  return outcomes;
}

function roleMissing(customer: string): Failure {
  return new Failure("partner-role-missing", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `No GDAP relationship with ${customer} has the role Privileged Role Administrator, which Microsoft Graph's permissions need.`,
    nextStep: "Ask the customer for a relationship with that role, or send it the consent link.",
  });
}

function report(
  { terminal, commands }: OnboardingServices,
  outcomes: readonly PartnerOutcome[],
  { isDryRun, isListed }: { readonly isDryRun: boolean; readonly isListed: boolean },
): ExitCode {
  const failed = outcomes.flatMap(({ stanza, failure }) =>
    failure === undefined
      ? []
      : [{ tenant: stanza.tenantName, names: [stanza.tenantName, stanza.name, stanza.tenantId], failure }],
  );
  const reasons = ACTORS_IN_ORDER.flatMap((actor) =>
    reasonsOf(failed.filter(({ failure }) => failure.actor === actor)).map(({ failure, say, nextStep, customers }) => ({
      actor,
      failure,
      customers: customers.map(({ tenant }) => tenant),
      say: commands.inText(say),
      next_step: commands.inText(nextStep),
    })),
  );
  terminal.out(reasonTable(reasons));
  const ready = outcomes.length - failed.length;
  const lacking = outcomes.filter(({ result, failure }) => result === "granted" && failure === undefined).length;
  terminal.out(
    isDryRun
      ? `\n${ready - lacking} of ${outcomes.length} customers have all permissions, ${lacking} would get them, ${failed.length} would fail.\n`
      : `\n${ready} of ${outcomes.length} customers are ready.\n`,
  );
  if (isDryRun && !isListed && lacking > 0)
    terminal.say(
      "The GDAP relationships are not read, so missing roles are not noticed. Set discover and discover_credential to read them.",
    );
  const [first] = failed;
  if (first === undefined) return EXIT.done;
  return failed.length < outcomes.length ? EXIT.someCustomers : exitCodeOf(first.failure);
}
