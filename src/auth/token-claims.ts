import type { CloudName } from "../model/cloud.ts";
import { apisOf, audienceOf, grants, permissionOf } from "../model/permissions.ts";
import type { Sealed } from "../model/sealed.ts";
import type { TokenApi, TokenVerdict } from "../model/sign-in.ts";
import type { StreamName } from "../model/stream.ts";
import { API_IDENTITIES, apiOfAudience } from "./api-identities.ts";

/**
 * The claims of a JWT; never verified, because a token for Microsoft's API is Microsoft's to judge. Used for
 * diagnosis alone.
 */
export type Claims = Readonly<Record<string, unknown>>;

/** Undefined for what is no JWT: opaque tokens exist, and a refresh token is one. */
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

/** More than this and Microsoft refuses tokens (300 s is the usual tolerance). */
const SKEW_MS = 300_000;

/**
 * One line per thing that can be wrong with an access token, then one per stream that this token's API
 * serves. Source: Microsoft identity platform docs, "Access token claims reference".
 */
export function verdictsOn(token: Sealed, wanted: WantedToken): readonly TokenVerdict[] {
  const claims = claimsOf(token);
  if (!claims) return [unreadable(token)];
  const audience = text(claims["aud"]);
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

function text(value: unknown): string {
  // Claims come from outside: nothing but plain characters reaches the screen.
  return typeof value === "string" ? value.replace(/[^\x20-\x7e]/g, "?").slice(0, 300) : "";
}

function unreadable(token: Sealed): TokenVerdict {
  return token.open((raw) => {
    const plain = raw.trim();
    if (plain === "") return bad("token", "There is no token.", "Give the token on standard input, or name a file.");
    if (/^ey[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?$/.test(plain) || (plain.startsWith("ey") && plain.includes("."))) {
      return bad(
        "token",
        "The token is cut short or damaged: it does not have three whole parts.",
        "Copy the whole token, from the first ey to the end.",
      );
    }
    if (/^(0|1)\.A/.test(plain))
      return bad(
        "token",
        "This is a refresh token; only Microsoft can read it.",
        "Use token access to see what it is good for.",
      );
    return bad("token", "This is no access token that can be read here.", "Give an access token (it begins with ey).");
  });
}

function onAudience(audience: string, api: TokenApi | undefined, wanted: WantedToken): TokenVerdict {
  const expected = wanted.api ? [wanted.api] : wanted.streams ? apisOf(wanted.streams) : [];
  const right = wanted.resource === undefined ? undefined : wanted.resource.toLowerCase().replace(/\/+$/, "");
  const shown = `aud is ${audience || "missing"}${api ? ` (${API_IDENTITIES[api].portalName})` : ""}`;
  if (right !== undefined && audience.toLowerCase().replace(/\/+$/, "") === right)
    return good("audience", `${shown}, as the setting resource asks.`);
  if (!api)
    return bad(
      "audience",
      `${shown}, which is none of the APIs that alerts are read from.`,
      "Ask for a token with token access --for graph.",
    );
  if (expected.length > 0 && !expected.includes(api)) {
    return bad(
      "audience",
      `${shown}, but the wanted API is ${expected.map((one) => API_IDENTITIES[one].portalName).join(" or ")}.`,
      `Ask for it with token access --for ${expected[0]}.`,
    );
  }
  if (wanted.cloud && audience.startsWith("https:") && !sameCloud(audience, api, wanted.cloud)) {
    return bad(
      "audience",
      `${shown}, which belongs to another cloud than ${wanted.cloud}.`,
      "Correct the setting cloud.",
    );
  }
  return good("audience", `${shown}.`);
}

function sameCloud(audience: string, api: TokenApi, cloud: CloudName): boolean {
  const wanted = audienceOf(api, cloud);
  return new URL(audience).hostname.endsWith(".us") === new URL(wanted).hostname.endsWith(".us");
}

/** The customer's name with his tenant, or the tenant alone where nobody gave him a name. */
function customerOf({ customer, tenantId }: WantedToken): string {
  return customer === undefined || customer === tenantId ? String(tenantId) : `${customer} (${tenantId})`;
}

function onTenant(claims: Claims, wanted: WantedToken): TokenVerdict {
  const tenant = text(claims["tid"]).toLowerCase();
  if (tenant === "") return bad("tenant", "The token names no tenant.", "Ask for it at the customer's own tenant.");
  if (wanted.tenantId && /^[0-9a-f-]{36}$/i.test(wanted.tenantId) && tenant !== wanted.tenantId.toLowerCase()) {
    return bad(
      "tenant",
      `The token is for tenant ${tenant}, not for ${customerOf(wanted)}.`,
      "Sign in at the customer's tenant: check tenant_id, and that no other customer's token was taken.",
    );
  }
  return good("tenant", `tid is ${tenant}.`);
}

function onApp(claims: Claims, wanted: WantedToken): TokenVerdict {
  const app = text(claims["appid"] ?? claims["azp"]).toLowerCase();
  const proof = { "0": "no secret", "1": "a secret", "2": "a certificate" }[
    text(claims["appidacr"] ?? claims["azpacr"])
  ];
  if (app === "") return bad("app", "The token names no app.", "Ask for it with token access.");
  if (wanted.clientId && app !== wanted.clientId.toLowerCase()) {
    return bad("app", `The token was issued to app ${app}, not to ${wanted.clientId}.`, "Check client_id.");
  }
  return good("app", `Issued to app ${app}${proof ? `, which proved itself with ${proof}` : ""}.`);
}

function onTimes(claims: Claims, nowMs: number): TokenVerdict {
  const endsMs = Number(claims["exp"]) * 1000;
  const beginsMs = Number(claims["nbf"] ?? claims["iat"]) * 1000;
  if (Number.isNaN(endsMs)) return bad("times", "The token has no end.", "Ask for a new one with token access.");
  if (endsMs <= nowMs)
    return bad(
      "times",
      `The token ended on ${new Date(endsMs).toISOString()}.`,
      "Ask for a new one with token access.",
    );
  if (beginsMs > nowMs + SKEW_MS) {
    return bad(
      "times",
      `The token begins ${inWords(beginsMs - nowMs)} from now: this machine's clock is behind.`,
      "Set this machine's clock (NTP).",
    );
  }
  return good("times", `Valid for ${inWords(endsMs - nowMs)} more.`);
}

function inWords(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  return minutes < 120 ? `${minutes} minutes` : `${Math.round(minutes / 60)} hours`;
}

/** `roles` of an app, `scp` of a user. */
export function rightsOf(claims: Claims): { readonly kind: "app" | "user"; readonly held: readonly string[] } {
  const roles = Array.isArray(claims["roles"])
    ? claims["roles"].filter((role): role is string => typeof role === "string")
    : [];
  const scopes = text(claims["scp"])
    .split(" ")
    .filter((scope) => scope !== "");
  return claims["scp"] !== undefined ? { kind: "user", held: scopes } : { kind: "app", held: roles };
}

function onRights(claims: Claims, api: TokenApi | undefined, wanted: WantedToken): readonly TokenVerdict[] {
  const { kind, held } = rightsOf(claims);
  const streams = (wanted.streams ?? []).filter((stream) => permissionOf(stream)?.api === api);
  const word = kind === "app" ? "roles" : "scp";
  if (streams.length === 0)
    return [good("rights", held.length === 0 ? `${word} is empty.` : `${word}: ${held.map(text).join(" ")}.`)];
  return streams.map((stream) => {
    const permission = permissionOf(stream)!;
    const needed = kind === "app" ? permission.role : permission.scope;
    if (grants(held, needed)) return good(stream, `${needed} is there.`);
    if (kind === "app" && held.length === 0) {
      return bad(
        stream,
        `The token carries no roles at all: the customer has not consented to ${needed}, and the API will answer 403.`,
        "Send the link that consent-url prints.",
      );
    }
    return bad(
      stream,
      `${needed} is missing; ${word} holds ${held.map(text).join(" ") || "nothing"}.`,
      kind === "app"
        ? "Send the link that consent-url prints."
        : "Send the link that consent-url prints, then sign in again (token acquire).",
    );
  });
}
