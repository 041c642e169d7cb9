import { createHash, createSign, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Customer } from "../world.ts";
import type { TokenApi } from "./resources.ts";

/** What an access token we issued opens. */
export interface Grant {
  readonly customer: Customer;
  readonly api: TokenApi;
  /** The audience as it was asked for. */
  readonly resource: string;
  readonly clientId: string;
  /** Application roles (app-only) or delegated scopes. */
  readonly appOnly: boolean;
  readonly permissions: readonly string[];
  /** The provider's user in a customer's tenant: what it may do also depends on the relationship. */
  readonly isProvidersUser?: boolean;
  /** The user signed in with multi-factor authentication. */
  readonly hasMfa?: boolean;
  readonly expiresMs: number;
}

export interface TokenShop {
  sign(claims: object): string;
  /** A signed access token, remembered until it ends. */
  access(grant: Grant, claims: object): string;
  find(token: string): Grant | undefined;
  /** The keys of `discovery/keys`. */
  keys(): object[];
  /** Starts signing with a new key; the old one stays published, as Microsoft's do for a while. */
  rollKey(): void;
  /** Forgets access tokens, so that APIs answer 401 to them. */
  revoke(which: (grant: Grant) => boolean): number;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

const SWEEP_EVERY = 4096;

export function makeTokenShop(nowMs: () => number): TokenShop {
  const grants = new Map<string, Grant>();
  const all: SigningKey[] = [firstKey()];
  let issued = 0;
  const sign = (claims: object): string => {
    const key = all[0] ?? firstKey();
    const head = encode({ typ: "JWT", alg: "RS256", x5t: key.kid, kid: key.kid });
    const text = `${head}.${encode(claims)}`;
    return `${text}.${createSign("RSA-SHA256").update(text).sign(key.privateKey, "base64url")}`;
  };
  return {
    sign,
    access(grant, claims) {
      issued += 1;
      if (issued % SWEEP_EVERY === 0) {
        for (const [token, { expiresMs }] of grants) if (expiresMs < nowMs()) grants.delete(token);
      }
      // Two tokens of one second would otherwise be one and the same text.
      const token = sign({
        ...claims,
        uti: createHash("sha256").update(`uti ${issued}`).digest("base64url").slice(0, 22),
      });
      grants.set(token, grant);
      return token;
    },
    find: (token) => grants.get(token),
    keys: () => all.map(({ jwk }) => jwk),
    rollKey: () => {
      all.unshift(makeKey());
      all.splice(2);
    },
    revoke(which) {
      let count = 0;
      for (const [token, grant] of grants) {
        if (!which(grant)) continue;
        grants.delete(token);
        count += 1;
      }
      return count;
    },
  };
}

let first: SigningKey | undefined;

/**
 * The first signing key of every simulator in this process: making an RSA key takes longer than the rest of a
 * start.
 */
function firstKey(): SigningKey {
  first ??= makeKey();
  return first;
}

function makeKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = publicKey.export({ format: "jwk" });
  const kid = createHash("sha1").update(String(jwk.n)).digest("base64url");
  return { kid, privateKey, jwk: { kty: "RSA", use: "sig", alg: "RS256", kid, x5t: kid, n: jwk.n, e: jwk.e } };
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
