import { assertionCredential, assertionSettingOf } from "../model/assertion.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import { apisOf, audienceOf, grants, permissionOf } from "../model/permissions.ts";
import type { Clock, Http } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { refuseSecretId } from "../model/secret-id.ts";
import type {
  AppCredential,
  ConsentState,
  DoctorCheck,
  ObtainedToken,
  SignInService,
  TokenApi,
} from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { authOf } from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { credentialOf } from "./app-credential.ts";
import { Assertions } from "./assertion.ts";
import { beginCodeFlow } from "./code-flow.ts";
import { consentLink, consentMail, isLinkState, readConsent } from "./consent.ts";
import { beginDeviceFlow } from "./device-flow.ts";
import { doctorChecks } from "./doctor-checks.ts";
import { governanceTemplate } from "./governance-template.ts";
import type { Grant } from "./redeem.ts";
import { redeem } from "./redeem.ts";
import { checkManifest, registration } from "./registration.ts";
import { applyRegistration } from "./registration-apply.ts";
import { claimsOf, rightsOf, verdictsOn } from "./token-claims.ts";
import { WorkingApps } from "./working-apps.ts";

export interface SignInServiceParts {
  readonly http: Http;
  readonly clock: Clock;
  readText(path: string): Promise<string>;
  /** Stores a rotated refresh token of this customer where the old one is stored. */
  keep(stanza: Stanza, rotated: Sealed): Promise<void>;
  /** Requests at most one record of a stream, through the code that collects it. */
  probe(stanza: Stanza, stream: StreamName, token: Sealed, signal: AbortSignal): Promise<void>;
  /** Does a request to this address go through a proxy? */
  viaProxy(url: string, stanza: Stanza): boolean;
  /** More preconditions, of the host: splunkd, outputs. */
  hostChecks?(stanza: Stanza): readonly DoctorCheck[];
}

/** Builds the sign-in service that the commands use. */
export function createSignInService(parts: SignInServiceParts): SignInService {
  const world = { ...parts, apps: new WorkingApps(), assertions: new Assertions(parts) };
  async function accessToken(
    stanza: Stanza,
    api: TokenApi,
    keep: (rotated: Sealed) => Promise<void>,
    answerWithinMs?: number,
  ): Promise<ObtainedToken> {
    const credential = credentialOf(stanza);
    const grant = grantOf(stanza);
    const fresh = await redeem(world, {
      authority: { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId },
      route: stanza.route,
      credential,
      audience: audienceOf(api, stanza.cloud, stanza.resource),
      grant,
      subject: { customer: stanza.tenantName, clientId: credential.clientId, credential: stanza.credential },
      keep,
      ...(answerWithinMs === undefined ? {} : { answerWithinMs }),
    });
    return { api, token: fresh.token, lifetimeMs: fresh.lifetimeMs };
  }

  async function consentState(stanza: Stanza, credential: AppCredential): Promise<ConsentState> {
    const missing: string[] = [];
    // This signs in as the app, even where users sign in later: any answer other than "app not found" shows
    // that the consent was given.
    const asApp: Stanza = { ...withCredential(stanza, credential), auth: "app" };
    for (const api of apisOf(stanza.streams)) {
      let held: readonly string[] = [];
      try {
        const { token } = await accessToken(asApp, api, () => Promise.resolve());
        held = rightsOf(claimsOf(token) ?? {}).held;
      } catch (error) {
        if (isFailure(error) && WAITING.has(error.code))
          return { missing: stanza.streams.map((stream) => permissionOf(stream)?.role ?? stream), say: error.say };
        throw error;
      }
      if (authOf(stanza) !== "app") continue;
      for (const stream of stanza.streams) {
        const permission = permissionOf(stream);
        if (permission?.api === api && !grants(held, permission.role)) missing.push(permission.role);
      }
    }
    return { missing, say: "" };
  }

  return {
    registration,
    governanceTemplate,
    checkManifest,
    async federatedCredential(assertion, cloud) {
      const { issuer, subject, audience } = await world.assertions.current(assertionCredential("", assertion, cloud));
      return { issuer, subject, audience };
    },
    applyRegistration: (plan, token, where) => applyRegistration(world, plan, token, where),
    consentLink: (stanza, clientId, redirectUri) => consentLink(stanza, clientId, redirectUri),
    consentMail,
    isLinkState,
    readConsent: (landed, stanza, clientId) => readConsent(landed, stanza, clientId),
    consentState,
    beginCodeFlow: (request) => {
      if (request.credential.kind === "secret") refuseSecretId(request.credential.secret, request.credential.clientId);
      return Promise.resolve(beginCodeFlow(world, request));
    },
    beginDeviceFlow: (stanza, clientId) => beginDeviceFlow(world, stanza, clientId),
    accessToken: (stanza, api, keep) => accessToken(stanza, api, keep),
    inspectToken: (token, { stanza, api }) =>
      verdictsOn(token, {
        nowMs: world.clock.nowMs(),
        ...(stanza === undefined ? {} : aboutStanza(stanza)),
        ...(api === undefined ? {} : { api }),
      }),
    doctorChecks: (stanza, listener) => [
      ...doctorChecks(
        {
          ...world,
          credentialOf,
          // Not aborted after its time, because a rotated refresh token in the answer must be stored.
          token: async (one, api) =>
            (await accessToken(one, api, (rotated) => world.keep(one, rotated), TIME_LIMITS.doctor.ms)).token,
        },
        stanza,
        listener,
      ),
      ...(world.hostChecks?.(stanza) ?? []),
    ],
  };
}

/** Failures that only mean that the consent is not there yet, or not everywhere at Microsoft. */
const WAITING = new Set<FailureCode>([
  "app-not-found",
  "consent-missing",
  "admin-consent-needed",
  "api-not-in-tenant",
  "entra-busy",
]);

function grantOf(stanza: Stanza): Grant {
  if (authOf(stanza) === "app") return { kind: "app" };
  if (stanza.refreshToken) return { kind: "refresh-token", refreshToken: stanza.refreshToken };
  throw new Failure("not-signed-in", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `Nobody has signed in for ${stanza.tenantName} yet.`,
    nextStep: `Run \`defender-mssp token acquire --customer ${JSON.stringify(stanza.name)}\` to sign in.`,
  });
}

function withCredential(stanza: Stanza, credential: AppCredential): Stanza {
  const { clientSecret: _secret, certificate: _certificate, assertion: _assertion, ...rest } = stanza;
  const shared = { ...rest, clientId: credential.clientId };
  if (credential.kind === "secret") return { ...shared, clientSecret: credential.secret };
  if (credential.kind === "assertion") return { ...shared, assertion: assertionSettingOf(credential.source) };
  return credential.kind === "certificate" ? { ...shared, certificate: credential.path } : shared;
}

function aboutStanza(stanza: Stanza): {
  customer: string;
  tenantId: string;
  clientId?: string;
  cloud: Stanza["cloud"];
  resource?: string;
  streams: readonly StreamName[];
} {
  return {
    customer: stanza.tenantName,
    tenantId: stanza.tenantId,
    cloud: stanza.cloud,
    streams: stanza.streams,
    ...(stanza.clientId === undefined ? {} : { clientId: stanza.clientId }),
    ...(stanza.resource === undefined ? {} : { resource: stanza.resource }),
  };
}
