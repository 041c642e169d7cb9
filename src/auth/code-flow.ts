import { createHash, randomBytes } from "node:crypto";
import { Failure } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import { apisOf, audienceOf, grants, permissionOf } from "../model/permissions.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { CodeFlow, CodeFlowRequest, SignedIn } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { endpointsOf } from "./authority.ts";
import { failureFromEntra } from "./entra-failures.ts";
import { readJsonAnswer } from "./json-answer.ts";
import type { RedeemWorld } from "./redeem.ts";
import { lifetimeMs, redeem } from "./redeem.ts";
import { claimsOf } from "./token-claims.ts";

const base64url = (bytes: number): string => randomBytes(bytes).toString("base64url");

/** For an ID token that says who signed in, and for a refresh token. */
const OF_A_USER = "openid profile offline_access";

/**
 * Begins the authorization code flow with PKCE and state. The person opens `url`, signs in, and the browser
 * ends at the redirect URI with a code that `complete` exchanges. Source: Microsoft identity platform docs,
 * "OAuth 2.0 authorization code flow"; the v1 form from "Azure AD v1.0 code grant".
 */
export function beginCodeFlow(world: RedeemWorld, request: CodeFlowRequest): CodeFlow {
  const { stanza, credential, redirectUri } = request;
  const state = base64url(18);
  const verifier = base64url(48);
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const audience =
    request.v1?.resource ?? audienceOf(apisOf(stanza.streams)[0] ?? "graph", stanza.cloud, stanza.resource);
  const endpoints = endpointsOf({ loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId });
  const url = new URL(
    request.v1 ? `${stanza.endpoints.loginUrl}/${stanza.tenantId}/oauth2/authorize` : endpoints.authorization_endpoint,
  );
  url.search = new URLSearchParams({
    client_id: credential.clientId,
    response_type: "code",
    response_mode: "query",
    redirect_uri: redirectUri,
    ...(request.v1 ? { resource: audience } : { scope: `${request.scope ?? `${audience}/.default`} ${OF_A_USER}` }),
    // The person chooses the account. Otherwise the browser may reuse a wrong account it remembers.
    prompt: "select_account",
    state,
    code_challenge: challenge,
    code_challenge_method: "S256",
  }).toString();
  return {
    url: url.href,
    redirectUri,
    state,
    async complete(landed) {
      const code = readLanding(landed, { state, redirectUri, stanza, clientId: credential.clientId });
      return request.v1
        ? exchangeV1(world, request, code, verifier)
        : exchangeV2(world, request, { audience, code, verifier: sealed(verifier) });
    },
  };
}

/**
 * The code in the final address of the browser. Throws Failure with its own sentence for each kind of wrong
 * address.
 */
function readLanding(
  landed: string,
  expected: {
    readonly state: string;
    readonly redirectUri: string;
    readonly stanza: Pick<Stanza, "tenantName">;
    readonly clientId: string;
  },
): Sealed {
  const pasted = landed.trim().replace(/^"|"$/g, "");
  let url: URL;
  try {
    url = new URL(pasted);
  } catch {
    throw wrong(
      "redirect-unreadable",
      "The pasted text is not a web address.",
      "Copy the whole address from the browser's address bar.",
    );
  }
  const query = url.searchParams;
  if (query.has("error")) {
    const body = {
      error: query.get("error"),
      error_description: query.get("error_description"),
      error_subcode: query.get("error_subcode"),
    };
    throw failureFromEntra(
      { status: 400, body },
      { customer: expected.stanza.tenantName, clientId: expected.clientId, redeeming: "code" },
    );
  }
  if (query.has("admin_consent"))
    throw wrong(
      "redirect-unreadable",
      "This address is the answer to a consent, not to a sign-in.",
      `Open the link above to sign in. To check a consent, run \`defender-mssp consent-url --customer ${JSON.stringify(expected.stanza.tenantName)} --answer\`.`,
    );
  const home = new URL(expected.redirectUri);
  if (url.origin !== home.origin || url.pathname !== home.pathname) {
    throw wrong(
      "redirect-other",
      `The address does not begin with ${expected.redirectUri}.`,
      "Wait until the browser leaves Microsoft's pages, then copy the address.",
    );
  }
  if (query.get("state") !== expected.state)
    throw wrong(
      "redirect-other-sign-in",
      "The address belongs to another sign-in.",
      "Open the link above in a new tab, and copy the address at the end of that sign-in.",
    );
  const code = query.get("code");
  if (!code)
    throw wrong(
      "redirect-unreadable",
      "The address contains no sign-in code.",
      "Copy the whole address, including code=… and state=….",
    );
  return sealed(code);
}

function wrong(code: FailureCode, say: string, nextStep: string): Failure {
  return new Failure(code, { actor: "operator", retry: { when: "never" }, area: "sign-in", say, nextStep });
}

async function exchangeV2(
  world: RedeemWorld,
  request: CodeFlowRequest,
  held: { audience: string; code: Sealed; verifier: Sealed },
): Promise<SignedIn> {
  const { stanza, credential, redirectUri } = request;
  let refreshToken: Sealed | undefined;
  const access = await redeem(world, {
    authority: { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId },
    route: stanza.route,
    credential,
    audience: held.audience,
    scope: request.scope,
    grant: { kind: "code", code: held.code, verifier: held.verifier, redirectUri },
    subject: { customer: stanza.tenantName, clientId: credential.clientId, credential: stanza.credential },
    keep: (token) => {
      refreshToken = token;
      return Promise.resolve();
    },
  });
  return signedIn(stanza, {
    refreshToken,
    accessToken: access.token,
    idToken: access.idToken,
    scope: access.scope,
    accessLifetimeMs: access.lifetimeMs,
  });
}

/**
 * MSAL supports only the v2 endpoint. Codes of old registrations with a v1 resource are redeemed here, as the
 * v1 documents describe.
 */
async function exchangeV1(
  world: RedeemWorld,
  request: CodeFlowRequest,
  code: Sealed,
  verifier: string,
): Promise<SignedIn> {
  const { stanza, credential, redirectUri, v1 } = request;
  if (credential.kind === "certificate" || credential.kind === "assertion")
    throw wrong(
      "v1-needs-key",
      "The v1 endpoint is supported only with a client secret, not with a certificate or an assertion.",
      "Give the client secret, or omit `--v1`.",
    );
  const form = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: credential.clientId,
    code: code.open((value) => value),
    redirect_uri: redirectUri,
    resource: v1!.resource,
    code_verifier: verifier,
    ...(credential.kind === "secret" ? { client_secret: credential.secret.open((value) => value) } : {}),
  });
  const answer = await world.http.send({
    method: "POST",
    url: `${stanza.endpoints.loginUrl}/${stanza.tenantId}/oauth2/token`,
    addressSetting: "login_url",
    headers: { "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    body: form.toString(),
    route: stanza.route,
    headersTimeoutMs: TIME_LIMITS.signIn.ms,
  });
  const read = await readJsonAnswer(answer, new URL(stanza.endpoints.loginUrl).host, world.clock.nowMs());
  if (read.status !== 200)
    throw failureFromEntra(read, { customer: stanza.tenantName, clientId: credential.clientId, redeeming: "code" });
  return signedInFrom(stanza, read.body ?? {});
}

/** Reads a token answer of the v1 or the v2 endpoint. */
export function signedInFrom(stanza: Stanza, body: Readonly<Record<string, unknown>>): SignedIn {
  const secret = (name: string): Sealed | undefined =>
    typeof body[name] === "string" && body[name] !== "" ? sealed(body[name]) : undefined;
  const accessToken = secret("access_token");
  if (!accessToken)
    throw wrong(
      "bad-answer",
      "Microsoft's sign-in answer contains no access token.",
      "Sign in again. If it fails again, check `login_url`.",
    );
  return signedIn(stanza, {
    refreshToken: secret("refresh_token"),
    accessToken,
    idToken: secret("id_token"),
    scope: typeof body["scope"] === "string" ? body["scope"] : "",
    accessLifetimeMs: lifetimeMs(body["expires_in"]),
  });
}

interface Received {
  readonly refreshToken: Sealed | undefined;
  readonly accessToken: Sealed;
  readonly idToken: Sealed | undefined;
  readonly scope: string;
  readonly accessLifetimeMs: number;
}

/** The first value that is a non-empty text. */
function word(...values: unknown[]): string | undefined {
  return values.find((value): value is string => typeof value === "string" && value !== "");
}

function signedIn(stanza: Stanza, received: Received): SignedIn {
  if (!received.refreshToken)
    throw wrong(
      "refresh-token-missing",
      "Microsoft signed the user in but gave no refresh token.",
      "Allow the app the permission `offline_access`, then sign in again.",
    );
  const about = { ...(received.idToken ? claimsOf(received.idToken) : undefined) };
  const claims = claimsOf(received.accessToken) ?? {};
  const tenantId = word(about["tid"], claims["tid"])?.toLowerCase();
  if (tenantId !== undefined && tenantIdFrom(stanza.tenantId) !== undefined && tenantId !== stanza.tenantId) {
    throw wrong(
      "other-tenant",
      `The account signed in to tenant ${tenantId}, not to ${stanza.tenantName} (${stanza.tenantId}).`,
      "Sign in again with an account that is a member or guest of the customer's tenant.",
    );
  }
  const scopes = (received.scope !== "" ? received.scope : (word(claims["scp"]) ?? ""))
    .split(/\s+/)
    .filter((scope) => scope !== "");
  return {
    refreshToken: received.refreshToken,
    accessToken: received.accessToken,
    account: word(about["preferred_username"], about["upn"], claims["upn"], claims["unique_name"]),
    userId: word(about["oid"], claims["oid"]),
    tenantId,
    scopes,
    accessLifetimeMs: received.accessLifetimeMs,
    warnings: misfits(stanza, scopes),
  };
}

/** The answer shows the scopes of one API only. The other APIs are checked at their first request. */
function misfits(stanza: Stanza, scopes: readonly string[]): readonly string[] {
  const held = scopes.map((scope) => scope.slice(scope.lastIndexOf("/") + 1));
  if (scopes.length === 0) return [];
  const first = apisOf(stanza.streams)[0];
  return stanza.streams.flatMap((stream) => {
    const permission = permissionOf(stream);
    if (!permission || permission.api !== first || grants(held, permission.scope)) return [];
    return [
      `Stream ${stream} needs ${permission.scope}, which this sign-in did not get. ${stanza.tenantName} must consent to it: run \`defender-mssp consent-url --customer ${JSON.stringify(stanza.name)}\`.`,
    ];
  });
}
