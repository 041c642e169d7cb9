import { PARTNERCENTER_URL } from "../../model/cloud.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import { asFailure, type Failure, isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import type {
  ConsentJournal,
  JournalEntry,
  OpenGrant,
  PartnerOutcome,
  PartnerRun,
  PartnerServices,
  PartnerSession,
} from "../../model/partner-consent.ts";
import { audienceOf } from "../../model/permissions.ts";
import type { Clock, Http, Random } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { refuseSecretId } from "../../model/secret-id.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import { credentialOf } from "../app-credential.ts";
import { beginCodeFlow } from "../code-flow.ts";
import type { Grant } from "../redeem.ts";
import { redeem } from "../redeem.ts";
import { renewAfterMs } from "../token-cycle.ts";
import { grantPermissions } from "./customer-directory.ts";
import { PartnerCenter } from "./partner-center.ts";
import { asPartner, asPartnerAtHome, bridgeLeft, rolesPending, stoppedBefore } from "./partner-failures.ts";

/** Enough for 200 customers in a minute, and far below every limit. */
const CUSTOMERS_AT_ONCE = 4;
/** Partner Center's API for a signed-in user. */
const SCOPE = `${PARTNERCENTER_URL}/user_impersonation`;
/** How customers see the bridge in their audit log. */
const BRIDGE_NAME = "MSSP Defender consent bridge";
/** Five tries in a minute: a new consent is not known everywhere at Microsoft at once. */
const CONSENT_PAUSES_MS = [5_000, 10_000, 15_000, 30_000];
/** A grant without an answer may be done after the first request to remove it. */
const UNSURE_PAUSES_MS = [5_000, 20_000];
/** New permissions stand in access tokens minutes later. */
const ROLES_WITHIN_MS = 300_000;
const ROLES_EVERY_MS = 15_000;

/** What is wrong with the run, not with a customer: the next customer would fail in the same way. */
const OF_THE_RUN = new Set<FailureCode>([
  "partner-mfa-missing",
  "sign-in-refused",
  "signed-out",
  "secret-wrong",
  "secret-expired",
  "credential-refused",
  "state-unwritable",
]);

/** One secret for all customers: these are the run's, whichever customer's token endpoint says so. */
const OF_THE_SECRET = new Set<FailureCode>(["secret-wrong", "secret-expired"]);
/** What a customer's own token endpoint answered: that of the next customer may answer otherwise. */
const ofOneCustomer = new WeakSet<Failure>();

async function atCustomer<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (isFailure(error) && !OF_THE_SECRET.has(error.code)) ofOneCustomer.add(error);
    throw error;
  }
}

export interface PartnerConsentParts {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  /** Which of the reader's permissions a customer's access tokens lack. */
  missing(customer: Stanza): Promise<readonly string[]>;
}

type Consent = Pick<PartnerServices, "beginSignIn" | "removeBridges" | "grant">;

/**
 * Grants the reader its permissions at the partner's customers. The bridge app may do that at a customer only
 * between two requests of this program, as the person who signed in. Order per customer: ask for a token as
 * the reader, and do nothing where it is complete; let the bridge in; grant what is missing; take the bridge
 * out, whatever happened.
 */
export function createPartnerConsent(parts: PartnerConsentParts): Consent {
  // One for each sign-in, because Partner Center's limit is one for all its requests.
  const partnerCenters = new WeakMap<PartnerSession, PartnerCenter>();
  const partnerCenterOf = (session: PartnerSession): PartnerCenter => {
    const known = partnerCenters.get(session) ?? partnerCenterFor(parts, session);
    partnerCenters.set(session, known);
    return known;
  };
  return {
    beginSignIn(home, bridge, redirectUri) {
      if (bridge.kind === "secret") refuseSecretId(bridge.secret, bridge.clientId);
      const flow = beginCodeFlow(parts, {
        // Scopes of streams are not what this sign-in is for.
        stanza: { ...home, streams: [], resource: PARTNERCENTER_URL },
        credential: bridge,
        redirectUri,
        scope: SCOPE,
      });
      return { ...flow, complete: (landed) => flow.complete(landed).catch(throwOfHome) };
    },

    async removeBridges(session, journal, grants, stop) {
      const partnerCenter = partnerCenterOf(session);
      const failures = new Map<string, Failure>();
      await inParallel(grants, CUSTOMERS_AT_ONCE, async ({ tenant, bridge }) => {
        if (stop.aborted) return;
        const left = await removeBridge(
          partnerCenter,
          journal,
          session,
          { tenantId: tenant, tenantName: tenant },
          bridge,
        );
        if (left !== undefined) failures.set(tenant, left);
      });
      return failures;
    },

    async grant(run) {
      const partnerCenter = partnerCenterOf(run.session);
      const outcomes: PartnerOutcome[] = [];
      let ofTheRun: Failure | undefined;
      await inParallel(run.customers, CUSTOMERS_AT_ONCE, async (stanza) => {
        let stays: Pick<PartnerOutcome, "bridgeStays"> = {};
        try {
          if (ofTheRun !== undefined) throw ofTheRun;
          if (run.stop.aborted) throw stoppedBefore(stanza.tenantName);
          const result = await grantAt(parts, partnerCenter, run, stanza, () => {
            stays = { bridgeStays: true };
          });
          outcomes.push({ stanza, result, ...stays });
        } catch (error) {
          const failure = asFailure(error);
          if (isOfTheRun(failure)) ofTheRun ??= failure;
          outcomes.push({ stanza, result: "failed", failure, ...stays });
        }
        run.progress(outcomes.length);
      });
      return shown(parts, outcomes, run.stop);
    },
  };
}

function isOfTheRun(failure: Failure): boolean {
  if (ofOneCustomer.has(failure)) return false;
  return OF_THE_RUN.has(failure.code);
}

function throwOfHome(error: unknown): never {
  throw isFailure(error) ? asPartnerAtHome(error) : error;
}

/** @param stays called when somebody else let the bridge in before, so that it is not removed. */
async function grantAt(
  parts: PartnerConsentParts,
  partnerCenter: PartnerCenter,
  run: PartnerRun,
  stanza: Stanza,
  stays: () => void,
): Promise<"complete" | "granted"> {
  if ((await atCustomer(parts.missing(stanza))).length === 0) return "complete";
  const { session, journal } = run;
  const { clientId } = session.bridge;
  const entry = entryFor(session, stanza.tenantId, clientId);
  // Without a line of the journal a bridge that is there is none of this program's.
  const isOurs = journal.openGrants().some((one) => isSameGrant(one, entry));
  let mayBeThere = false;
  let isUnsure = false;
  let isSettled = false;
  const remove = (): ReturnType<typeof removeBridge> =>
    removeBridge(partnerCenter, journal, session, stanza, clientId, isUnsure ? UNSURE_PAUSES_MS : []);
  await journal.append({ ...entry, step: "grant-bridge" });
  try {
    const { wasThere } = await partnerCenter.grant(stanza, { clientId, name: BRIDGE_NAME }, () => {
      mayBeThere = true;
      isUnsure = true;
    });
    const isTheirs = wasThere && !isUnsure && !isOurs;
    if (isTheirs) {
      stays();
      await journal.append({ ...entry, step: "bridge-refused" });
    }
    isSettled = isTheirs;
    mayBeThere = !isTheirs;
    const token = await atCustomer(tokenAt(parts, session, stanza));
    await grantPermissions(
      {
        ...parts,
        customer: stanza,
        token,
        before: (write) => journal.append({ ...entry, ...write }),
      },
      credentialOf(stanza).clientId,
    );
  } catch (error) {
    if (!mayBeThere) {
      if (!isSettled) await journal.append({ ...entry, step: "bridge-refused" });
      throw error;
    }
    const left = run.keepBridge ? undefined : await remove();
    throw left === undefined ? error : bridgeLeft(stanza.tenantName, `${left.say} Before: ${asFailure(error).say}`);
  }
  const left = run.keepBridge || !mayBeThere ? undefined : await remove();
  if (left !== undefined) throw left;
  return "granted";
}

function isSameGrant(one: OpenGrant, { home, tenant, bridge }: OpenGrant): boolean {
  return one.home === home && one.tenant === tenant && one.bridge === bridge;
}

function entryFor({ home, signedIn }: PartnerSession, tenant: string, bridge: string): Omit<JournalEntry, "step"> {
  const user = tenantIdFrom(signedIn.userId ?? "");
  return { home: home.tenantId, tenant, bridge, ...(user === undefined ? {} : { user }) };
}

/** @returns why the bridge may still be there. */
async function removeBridge(
  partnerCenter: PartnerCenter,
  journal: ConsentJournal,
  session: PartnerSession,
  customer: Pick<Stanza, "tenantId" | "tenantName">,
  bridge: OpenGrant["bridge"],
  pausesMs: readonly number[] = [],
): Promise<Failure | undefined> {
  const entry = entryFor(session, customer.tenantId, bridge);
  // A journal that cannot be written keeps nothing from being removed.
  await journal.append({ ...entry, step: "remove-bridge" }).catch(() => undefined);
  try {
    await partnerCenter.remove(customer, bridge, pausesMs);
  } catch (error) {
    if (!isFailure(error)) throw error;
    return bridgeLeft(customer.tenantName, error.say);
  }
  try {
    await journal.append({ ...entry, step: "bridge-removed" });
    return undefined;
  } catch (error) {
    return asFailure(error);
  }
}

/** The person's token for Microsoft Graph in the customer's tenant. */
async function tokenAt(parts: PartnerConsentParts, session: PartnerSession, customer: Stanza): Promise<Sealed> {
  const pauses = [...CONSENT_PAUSES_MS];
  for (;;) {
    try {
      const { token } = await redeemAs(parts, session, customer, {
        audience: audienceOf("graph", customer.cloud),
      });
      return token;
    } catch (error) {
      if (!isFailure(error)) throw error;
      const failure = asPartner(error, customer.tenantName);
      const isPassing = failure.code === "bridge-consent-pending" || failure.retry.when !== "never";
      const pauseMs = isPassing ? pauses.shift() : undefined;
      if (pauseMs === undefined) throw failure;
      await parts.clock.pause(pauseMs);
    }
  }
}

/** The refresh token of the sign-in is for every tenant and API, and an older one stays valid. */
function redeemAs(
  parts: PartnerConsentParts,
  { bridge, signedIn }: PartnerSession,
  at: Stanza,
  wanted: { readonly audience: string; readonly scope?: string },
): ReturnType<typeof redeem> {
  const grant: Grant = { kind: "refresh-token", refreshToken: signedIn.refreshToken };
  return redeem(
    { http: parts.http, clock: parts.clock },
    {
      authority: { loginUrl: at.endpoints.loginUrl, tenant: at.tenantId },
      route: at.route,
      credential: bridge,
      ...wanted,
      grant,
      subject: { customer: at.tenantName, clientId: bridge.clientId },
      // In memory only: nothing of the person outlives the run.
      keep: () => Promise.resolve(),
    },
  );
}

function partnerCenterFor(parts: PartnerConsentParts, session: PartnerSession): PartnerCenter {
  const { home, signedIn } = session;
  let held = {
    token: signedIn.accessToken,
    renewAtMs: parts.clock.monotonicMs() + renewAfterMs(signedIn.accessLifetimeMs),
  };
  let renewal: Promise<Sealed> | undefined;
  const renewed = async (): Promise<Sealed> => {
    const wanted = { audience: PARTNERCENTER_URL, scope: SCOPE };
    const fresh = await redeemAs(parts, session, home, wanted).catch(throwOfHome);
    held = { token: fresh.token, renewAtMs: parts.clock.monotonicMs() + renewAfterMs(fresh.lifetimeMs) };
    return fresh.token;
  };
  return new PartnerCenter({
    ...parts,
    home,
    token(refused) {
      if (refused !== held.token && parts.clock.monotonicMs() < held.renewAtMs) return Promise.resolve(held.token);
      renewal ??= renewed().finally(() => {
        renewal = undefined;
      });
      return renewal;
    },
  });
}

/** Waits until the permissions stand in access tokens, at most five minutes for all customers together. */
async function shown(
  parts: PartnerConsentParts,
  outcomes: readonly PartnerOutcome[],
  stop: AbortSignal,
): Promise<readonly PartnerOutcome[]> {
  const failures = new Map<PartnerOutcome, Failure>();
  let waiting = outcomes.filter(({ result }) => result === "granted");
  const untilMs = parts.clock.monotonicMs() + ROLES_WITHIN_MS;
  for (;;) {
    const pending: PartnerOutcome[] = [];
    await inParallel(waiting, CUSTOMERS_AT_ONCE, async (outcome) => {
      try {
        if ((await parts.missing(outcome.stanza)).length > 0) pending.push(outcome);
      } catch (error) {
        failures.set(outcome, asFailure(error));
      }
    });
    waiting = pending;
    if (waiting.length === 0 || stop.aborted || parts.clock.monotonicMs() >= untilMs) break;
    await parts.clock.pause(ROLES_EVERY_MS, stop);
  }
  for (const outcome of waiting) failures.set(outcome, rolesPending(outcome.stanza.tenantName));
  return outcomes.map((outcome) => {
    const failure = failures.get(outcome);
    return failure === undefined ? outcome : { ...outcome, failure };
  });
}
