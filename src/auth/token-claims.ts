import type { CloudName } from "../model/cloud.ts";
import type { TokenRights } from "../model/granted-permissions.ts";
import { apisOf, audienceOf, grants, permissionOf } from "../model/permissions.ts";
import type { Sealed } from "../model/sealed.ts";
import type { TokenApi, TokenVerdict } from "../model/sign-in.ts";
import type { StreamName } from "../model/stream.ts";
import { API_IDENTITIES, apiOfAudience } from "./api-identities.ts";

/**
 * The claims of a JWT. They are not verified, because only Microsoft's API decides whether a token is valid.
 * Used only for diagnosis.
 */
export type Claims = Readonly<Record<string, unknown>>;

/** Undefined for a text that is not a JWT: refresh tokens and some access tokens are opaque. */
export function claimsOf(token: Sealed): Claims | undefined {
  return token.open((jwt) => {
    const parts = jwt.trim().split(".");
    if (parts.length !== 3) return undefined;
    try {
      const value: unknown = JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString("utf8"));
      return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Claims) : undefined;
    } catch {
      return undefined;
    }
  });
}

export interface WantedToken {
  readonly nowMs: number;
  readonly customer?: string;
  /** GUID; a domain is not compared. */
  readonly tenantId?: string;
  readonly clientId?: string;
  readonly cloud?: CloudName;
  readonly resource?: string;
  readonly streams?: readonly StreamName[];
  readonly api?: TokenApi;
}

/** Microsoft rejects tokens whose times differ by more than this (300 s is the usual tolerance). */
const SKEW_MS = 300_000;

/**
 * One line for each thing that can be wrong with an access token, then one for each stream that the token's
 * API serves. Source: Microsoft identity platform docs, "Access token claims reference".
 */
export function verdictsOn(token: Sealed, wanted: WantedToken): readonly TokenVerdict[] {
  const claims = claimsOf(token);
  if (!claims) return [unreadable(token)];
  const audience = claimText(claims["aud"]);
  const api = apiOfAudience(audience);
  return [
    onAudience(audience, api, wanted),
    onTenant(claims, wanted),
    onApp(claims, wanted),
    onTimes(claims, wanted.nowMs),
    ...onRights(claims, api, wanted),
  ];
}

function good(check: string, say: string): TokenVerdict {
  return { check, ok: true, say, nextStep: "" };
}

function bad(check: string, say: string, nextStep: string): TokenVerdict {
  return { check, ok: false, say, nextStep };
}

/** A claim as it is shown. Claims come from outside, so only printable ASCII characters are. */
export function claimText(value: unknown): string {
  return typeof value === "string" ? value.replace(/[^\x20-\x7e]/g, "?").slice(0, 300) : "";
}

function unreadable(token: Sealed): TokenVerdict {
  return token.open((raw) => {
    const plain = raw.trim();
    if (plain === "") return bad("token", "No token was given.", "Give the token on standard input, or name a file.");
    if (/^ey[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?$/.test(plain) || (plain.startsWith("ey") && plain.includes("."))) {
      return bad(
        "token",
        "The token is truncated or damaged: it does not have three complete parts.",
        "Copy the whole token, from the first ey to the end.",
      );
    }
    if (/^(0|1)\.A/.test(plain))
      return bad(
        "token",
        "This is a refresh token. Only Microsoft can read it.",
        "Run `defender-mssp token access` to see which permissions it gives.",
      );
    return bad(
      "token",
      "This text is not an access token that can be decoded.",
      "Give an access token. It begins with `ey`.",
    );
  });
}

function onAudience(audience: string, api: TokenApi | undefined, wanted: WantedToken): TokenVerdict {
  const expected = wanted.api ? [wanted.api] : wanted.streams ? apisOf(wanted.streams) : [];
  const right = wanted.resource === undefined ? undefined : wanted.resource.toLowerCase().replace(/\/+$/, "");
  const shown = `aud is ${audience || "missing"}${api ? ` (${API_IDENTITIES[api].portalName})` : ""}`;
  if (right !== undefined && audience.toLowerCase().replace(/\/+$/, "") === right)
    return good("audience", `${shown}, as the setting \`resource\` says.`);
  if (!api)
    return bad(
      "audience",
      `${shown}, which is not an API that this program reads alerts from.`,
      "Get a token with `defender-mssp token access --for graph`.",
    );
  if (expected.length > 0 && !expected.includes(api)) {
    return bad(
      "audience",
      `${shown}, but the expected API is ${expected.map((one) => API_IDENTITIES[one].portalName).join(" or ")}.`,
      `Get a token with \`defender-mssp token access --for ${expected[0]}\`.`,
    );
  }
  if (wanted.cloud && audience.startsWith("https:") && !sameCloud(audience, api, wanted.cloud)) {
    return bad(
      "audience",
      `${shown}, which belongs to another cloud than ${wanted.cloud}.`,
      "Correct the setting `cloud`.",
    );
  }
  return good("audience", `${shown}.`);
}

function sameCloud(audience: string, api: TokenApi, cloud: CloudName): boolean {
  const wanted = audienceOf(api, cloud);
  return new URL(audience).hostname.endsWith(".us") === new URL(wanted).hostname.endsWith(".us");
}

/** The customer's name with its tenant, or the tenant alone if the customer has no name. */
function customerOf({ customer, tenantId }: WantedToken): string {
  return customer === undefined || customer === tenantId ? String(tenantId) : `${customer} (${tenantId})`;
}

function onTenant(claims: Claims, wanted: WantedToken): TokenVerdict {
  const tenant = claimText(claims["tid"]).toLowerCase();
  if (tenant === "")
    return bad("tenant", "The token names no tenant.", "Get the token from the customer's own tenant.");
  if (wanted.tenantId && /^[0-9a-f-]{36}$/i.test(wanted.tenantId) && tenant !== wanted.tenantId.toLowerCase()) {
    return bad(
      "tenant",
      `The token is for tenant ${tenant}, not for ${customerOf(wanted)}.`,
      "Sign in to the customer's tenant. Check `tenant_id`, and that this is not another customer's token.",
    );
  }
  return good("tenant", `tid is ${tenant}.`);
}

function onApp(claims: Claims, wanted: WantedToken): TokenVerdict {
  const app = claimText(claims["appid"] ?? claims["azp"]).toLowerCase();
  const proof = { "0": "no secret", "1": "a client secret", "2": "a certificate" }[
    claimText(claims["appidacr"] ?? claims["azpacr"])
  ];
  if (app === "") return bad("app", "The token names no app.", "Get a token with `defender-mssp token access`.");
  if (wanted.clientId && app !== wanted.clientId.toLowerCase()) {
    return bad("app", `The token was issued to app ${app}, not to ${wanted.clientId}.`, "Check `client_id`.");
  }
  return good("app", `Issued to app ${app}${proof ? `, which authenticated with ${proof}` : ""}.`);
}

function onTimes(claims: Claims, nowMs: number): TokenVerdict {
  const endsMs = Number(claims["exp"]) * 1000;
  const beginsMs = Number(claims["nbf"] ?? claims["iat"]) * 1000;
  if (Number.isNaN(endsMs))
    return bad("times", "The token has no expiry time.", "Get a new token with `defender-mssp token access`.");
  if (endsMs <= nowMs)
    return bad(
      "times",
      `The token expired on ${new Date(endsMs).toISOString()}.`,
      "Get a new token with `defender-mssp token access`.",
    );
  if (beginsMs > nowMs + SKEW_MS) {
    return bad(
      "times",
      `The token becomes valid in ${inWords(beginsMs - nowMs)}: this machine's clock is behind.`,
      "Set this machine's clock, for example by NTP.",
    );
  }
  return good("times", `Valid for ${inWords(endsMs - nowMs)} more.`);
}

function inWords(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

/** `roles` of an app, `scp` of a user. */
export function rightsOf(claims: Claims): TokenRights {
  const roles = Array.isArray(claims["roles"])
    ? claims["roles"].filter((role): role is string => typeof role === "string")
    : [];
  const scopes = claimText(claims["scp"])
    .split(" ")
    .filter((scope) => scope !== "");
  return claims["scp"] !== undefined ? { kind: "user", held: scopes } : { kind: "app", held: roles };
}

function onRights(claims: Claims, api: TokenApi | undefined, wanted: WantedToken): readonly TokenVerdict[] {
  const { kind, held } = rightsOf(claims);
  const streams = (wanted.streams ?? []).filter((stream) => permissionOf(stream)?.api === api);
  const word = kind === "app" ? "roles" : "scp";
  if (streams.length === 0)
    return [good("rights", held.length === 0 ? `${word} is empty.` : `${word}: ${held.map(claimText).join(" ")}.`)];
  return streams.map((stream) => {
    const permission = permissionOf(stream)!;
    const needed = kind === "app" ? permission.role : permission.scope;
    if (grants(held, needed)) return good(stream, `${needed} is granted.`);
    if (kind === "app" && held.length === 0) {
      return bad(
        stream,
        `The token has no roles: the customer has not consented to ${needed}, and the API will answer 403.`,
        "Send the customer the link that `defender-mssp consent-url` prints.",
      );
    }
    return bad(
      stream,
      `${needed} is missing; ${word} is ${held.map(claimText).join(" ") || "empty"}.`,
      kind === "app"
        ? "Send the customer the link that `defender-mssp consent-url` prints."
        : "Send the customer the link that `defender-mssp consent-url` prints, then run `defender-mssp token acquire`.",
    );
  });
}
