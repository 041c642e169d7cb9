import { createPublicKey, verify } from "node:crypto";
import { guid } from "../identity.ts";
import type { Refusal } from "./requests.ts";
import type { TokenShop } from "./tokens.ts";

/**
 * Something that proves itself with a token instead of a secret: a managed identity of Azure, or a workload
 * of another platform.
 */
export interface WorkloadIdentity {
  readonly name: string;
  readonly kind: "managed" | "platform";
  readonly clientId: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  /** Of the tokens to come. */
  lifetimeS: number;
  /** A managed identity that is assigned to the machine; others get no token there. */
  assigned: boolean;
}

/** A federated credential of an app: which tokens it takes in place of a secret. */
export interface FederatedCredential {
  readonly clientId: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
}

/** Claims that a test wants otherwise than the identity has them. */
export type OtherClaims = Partial<Pick<WorkloadIdentity, "issuer" | "subject" | "audience">>;

/** A token of the identity, as its platform signs it. */
export function workloadToken(
  identity: WorkloadIdentity,
  tokens: TokenShop,
  nowMs: number,
  other: OtherClaims = {},
): string {
  const { issuer, subject, audience } = { ...identity, ...other };
  const nowS = Math.floor(nowMs / 1000);
  return tokens.sign({
    aud: audience,
    iss: issuer,
    iat: nowS,
    nbf: nowS,
    exp: nowS + identity.lifetimeS,
    sub: subject,
    ...(identity.kind === "managed" ? { azp: identity.clientId, oid: subject, ver: "2.0" } : {}),
    jti: guid("workload token", `${identity.name} ${nowS}`),
  });
}

/** Whether a client assertion is a platform's token: those of a certificate name it in their header. */
export function isPlatformToken(assertion: string): boolean {
  const header = partOf(assertion, 0);
  return header !== undefined && header["x5t#S256"] === undefined && typeof header["kid"] === "string";
}

const SKEW_S = 300;

/**
 * Compares a platform's token with the app's federated credentials, as Entra does: issuer, then subject, then
 * audience, letter by letter (docs: workload-identity-federation, AADSTS700211 to 700213).
 */
export function federationProblem(
  assertion: string,
  credentials: readonly FederatedCredential[],
  tokens: TokenShop,
  nowMs: number,
): Refusal | undefined {
  const claims = partOf(assertion, 1) ?? {};
  const text = (name: string): string => (typeof claims[name] === "string" ? claims[name] : "");
  const [issuer, subject, audience] = [text("iss"), text("sub"), text("aud")];
  if (credentials.length === 0) return { number: 70025 };
  const ofIssuer = credentials.filter((one) => one.issuer === issuer);
  if (ofIssuer.length === 0) return { number: 700211, values: { issuer } };
  const ofSubject = ofIssuer.filter((one) => one.subject === subject);
  if (ofSubject.length === 0) return { number: 700213, values: { subject } };
  if (!ofSubject.some((one) => one.audience === audience)) return { number: 700212, values: { audience } };
  if (!isSigned(assertion, tokens)) return { number: 50013 };
  const [nowS, ends, begins] = [nowMs / 1000, Number(claims["exp"]), Number(claims["nbf"] ?? 0)];
  const isInTime = ends >= nowS - SKEW_S && begins <= nowS + SKEW_S;
  if (isInTime) return undefined;
  return { number: 700024, values: { issued: new Date((Number.isNaN(ends) ? 0 : ends) * 1000).toISOString() } };
}

/** Every platform of the simulator signs with the key that its Entra publishes. */
function isSigned(assertion: string, tokens: TokenShop): boolean {
  const [head = "", body = "", signature = ""] = assertion.split(".");
  const kid = partOf(assertion, 0)?.["kid"];
  const jwk = tokens.keys().find((one) => (one as { readonly kid?: string }).kid === kid);
  if (jwk === undefined) return false;
  const key = createPublicKey({ key: jwk, format: "jwk" } as unknown as Parameters<typeof createPublicKey>[0]);
  return verify("RSA-SHA256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"));
}

function partOf(token: string, index: number): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(token.split(".")[index] ?? "", "base64url").toString());
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}
