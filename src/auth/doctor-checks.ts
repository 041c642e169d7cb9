import { Failure, isFailure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import { afterToken, driftOf, type PermissionDrift } from "../model/granted-permissions.ts";
import { apisOf } from "../model/permissions.ts";
import type { Clock, Http } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { AppCredential, DoctorCheck, RightsListener, TokenApi } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import type { Assertions } from "./assertion.ts";
import type { TenantFacts } from "./authority.ts";
import { askTenantFacts } from "./authority.ts";
import { assertCloud } from "./cloud-match.ts";
import { checkCredential } from "./credential-check.ts";
import { claimsOf, rightsOf, verdictsOn } from "./token-claims.ts";

export interface DoctorWorld {
  readonly http: Http;
  readonly clock: Clock;
  readText(path: string): Promise<string>;
  readonly assertions: Assertions;
  credentialOf(stanza: Stanza): AppCredential;
  /** Does a request to this address go through a proxy? */
  viaProxy(url: string, stanza: Stanza): boolean;
  /** One new access token; rotated refresh tokens are stored. */
  token(stanza: Stanza, api: TokenApi): Promise<Sealed>;
  /** Requests at most one record of a stream. Throws the API's failure. */
  probe(stanza: Stanza, stream: StreamName, token: Sealed, signal: AbortSignal): Promise<void>;
}

/** Failures of the way to the sign-in service, through the proxy or without one. */
const ON_THE_WAY = new Set<FailureCode>([
  "proxy-refused",
  "proxy-unusable",
  "network-unreachable",
  "timed-out",
  "connection-reset",
  "stopped",
]);

/** Microsoft rejects tokens whose times differ by more than five minutes. */
const CLOCK_LIMIT_MS = 300_000;

/**
 * Every precondition of collecting for one customer, from the network inwards. Each check assumes that the
 * checks before it passed. Name lookup, proxy and TLS are three checks of one request to the sign-in service:
 * it fails in one of them or in none.
 */
export function doctorChecks(world: DoctorWorld, stanza: Stanza, listener?: RightsListener): readonly DoctorCheck[] {
  let contacted: Promise<BothClocks> | undefined;
  const contact = (signal: AbortSignal): Promise<BothClocks> => (contacted ??= askForDate(world, stanza, signal));
  const stage = (name: string, ends: (code: FailureCode) => boolean, good: string): DoctorCheck => ({
    name,
    async run(signal) {
      try {
        await contact(signal);
      } catch (error) {
        if (!isFailure(error) || ends(error.code)) throw error;
      }
      return good;
    },
  });
  const facts = memo(
    (signal: AbortSignal): Promise<TenantFacts> =>
      askTenantFacts(
        world,
        { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId },
        stanza.route,
        signal,
        stanza.tenantName,
      ),
  );
  const tokens = new Map<TokenApi, Sealed>();
  const host = new URL(stanza.endpoints.loginUrl).host;
  const viaProxy = world.viaProxy(stanza.endpoints.loginUrl, stanza);

  return [
    stage("dns", (code) => code === "dns-failed", viaProxy ? "The proxy resolves names." : `${host} is resolved.`),
    stage(
      "proxy",
      (code) => ON_THE_WAY.has(code),
      viaProxy ? "The proxy allows the connection." : `${host} is reached without a proxy.`,
    ),
    stage("tls", () => true, `The certificate of ${host} is trusted.`),
    {
      name: "clock",
      async run(signal) {
        return clockRemark(await contact(signal));
      },
    },
    {
      name: "tenant",
      async run(signal) {
        const known = await facts(signal);
        assertCloud(known, stanza.cloud, stanza.tenantName);
        return `The tenant is ${known.tenantId}.`;
      },
    },
    {
      name: "credential",
      run: async () =>
        (
          await checkCredential(
            world.credentialOf(stanza),
            (path) => world.readText(path),
            world.clock.nowMs(),
            world.assertions,
          )
        ).remark,
    },
    ...apisOf(stanza.streams).flatMap((api): DoctorCheck[] => [
      {
        name: `token ${api}`,
        async run() {
          tokens.set(api, await world.token(stanza, api));
          return "Microsoft issues an access token.";
        },
      },
      {
        name: `consent ${api}`,
        async run(signal) {
          const token = tokens.get(api);
          if (!token) throw new Error(`no token for ${api}`);
          const { tenantId } = await facts(signal);
          const wanted = {
            nowMs: world.clock.nowMs(),
            customer: stanza.tenantName,
            tenantId,
            clientId: world.credentialOf(stanza).clientId,
            cloud: stanza.cloud,
            streams: stanza.streams,
            api,
            ...(stanza.resource === undefined ? {} : { resource: stanza.resource }),
          };
          const verdicts = verdictsOn(token, wanted);
          const claims = claimsOf(token);
          const rights = rightsOf(claims ?? {});
          if (claims !== undefined) listener?.(api, rights);
          // Microsoft may issue an opaque token. The request to the API still shows whether it works.
          if (verdicts.length === 1 && !verdicts[0]!.ok)
            return "The access token cannot be decoded here. The next check shows whether the API accepts it.";
          const wrong = verdicts.find((verdict) => !verdict.ok);
          if (!wrong) return remarkOn(driftOf({ [api]: afterToken(undefined, rights, wanted.nowMs) }, stanza.streams));
          const consent = stanza.streams.some((stream) => stream === wrong.check);
          throw new Failure(consent ? "consent-missing" : "token-unfit", {
            actor: consent ? "customer" : "operator",
            retry: { when: "never" },
            area: "sign-in",
            say: wrong.say,
            nextStep: consent
              ? `Send the customer's administrator the link that \`defender-mssp consent-url --customer ${JSON.stringify(stanza.name)}\` prints.`
              : wrong.nextStep,
          });
        },
      },
    ]),
    ...stanza.streams.map(
      (stream): DoctorCheck => ({
        name: `stream ${stream}`,
        async run(signal) {
          const api = apisOf([stream])[0]!;
          const token = tokens.get(api);
          if (!token) throw new Error(`no token for ${api}`);
          await world.probe(stanza, stream, token, signal);
          return "The API answers.";
        },
      }),
    ),
  ];
}

function remarkOn(drift: PermissionDrift | undefined): string {
  if (drift === undefined) return "The access token is right.";
  const { granted, unneeded } = drift;
  const used = granted.filter((permission) => !unneeded.includes(permission));
  const more = unneeded.length === 0 ? "" : ` It also has ${unneeded.join(", ")}, which no stream needs.`;
  return `The access token has the permissions that the streams need: ${used.join(", ")}.${more}`;
}

function memo<T>(ask: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let answer: Promise<T> | undefined;
  return (signal) => (answer ??= ask(signal));
}

interface BothClocks {
  /** By the `Date` of Microsoft's answer. */
  readonly serverMs: number;
  /** By this machine, when the answer came. */
  readonly askedMs: number;
}

/** Compares this machine's clock with Microsoft's. Throws Failure `clock-wrong`, or one of the network. */
export async function checkClock(
  world: Pick<DoctorWorld, "http" | "clock">,
  stanza: Pick<Stanza, "endpoints" | "route">,
  signal: AbortSignal,
): Promise<string> {
  return clockRemark(await askForDate(world, stanza, signal));
}

function clockRemark({ serverMs, askedMs }: BothClocks): string {
  const offMs = askedMs - serverMs;
  if (Math.abs(offMs) > CLOCK_LIMIT_MS) {
    throw new Failure("clock-wrong", {
      actor: "operator",
      retry: { when: "never" },
      say: `This machine's clock is ${Math.round(Math.abs(offMs) / 60_000)} minutes ${offMs > 0 ? "ahead of" : "behind"} Microsoft's, so tokens and certificates are rejected.`,
      nextStep: "Set this machine's clock, for example by NTP.",
    });
  }
  return Math.abs(offMs) > 30_000 ? `The clock is ${Math.round(Math.abs(offMs) / 1000)} s off.` : "The clock is right.";
}

async function askForDate(
  world: Pick<DoctorWorld, "http" | "clock">,
  stanza: Pick<Stanza, "endpoints" | "route">,
  signal: AbortSignal,
): Promise<BothClocks> {
  const answer = await world.http.send({
    method: "GET",
    url: `${stanza.endpoints.loginUrl}/common/v2.0/.well-known/openid-configuration`,
    addressSetting: "login_url",
    headers: { accept: "application/json" },
    route: stanza.route,
    headersTimeoutMs: TIME_LIMITS.doctor.ms,
    signal,
  });
  await answer.discard();
  const askedMs = world.clock.nowMs();
  const date = Date.parse(answer.headers["date"] ?? "");
  return { serverMs: Number.isNaN(date) ? askedMs : date, askedMs };
}
