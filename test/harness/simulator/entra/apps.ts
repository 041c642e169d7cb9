import type { X509Certificate } from "node:crypto";
import { clientSecret, type Identity, SHARED_APP } from "../identity.ts";

/** One secret of an app: a new one may live beside an old one, as in the portal. */
export interface Secret {
  readonly value: string;
  state: "valid" | "expired" | "removed";
}

/** What Entra keeps about an app's credentials and a user's grants in one tenant. */
export interface Credentials {
  readonly secrets: Secret[];
  readonly certificates: X509Certificate[];
  /** The number of the newest refresh token. */
  lastGeneration: number;
  /** Tokens up to this number were revoked, or have been idle for 90 days. */
  revokedUpTo: number;
  idleUpTo: number;
  /** When each token was last issued or used, ms. */
  readonly touchedMs: Map<number, number>;
  /** What the user answers to a device code. */
  deviceCode: "approve" | "decline" | "wait";
  /** What the customer's administrator answers on the consent page. */
  consentAnswer: "accept" | "decline";
}

export function freshCredentials(identity: Identity): Credentials {
  return {
    secrets: [{ value: identity.clientSecret, state: "valid" }],
    certificates: [],
    lastGeneration: 0,
    revokedUpTo: -1,
    idleUpTo: -1,
    touchedMs: new Map(),
    deviceCode: "approve",
    consentAnswer: "accept",
  };
}

/** Adds the next secret; the older ones keep their state. */
export function addSecret(credentials: Credentials, name: string): string {
  const value = clientSecret(name, credentials.secrets.length);
  credentials.secrets.push({ value, state: "valid" });
  return value;
}

/** The AADSTS number for a wrong secret, or undefined when the secret is valid. */
export function secretProblem(secrets: readonly Secret[], clientId: string, secret: string): number | undefined {
  if (clientId === SHARED_APP.clientId) return secret === SHARED_APP.clientSecret ? undefined : 7000215;
  const known = secrets.find(({ value }) => value === secret);
  if (known === undefined || known.state === "removed") return 7000215;
  return known.state === "expired" ? 7000222 : undefined;
}
