/** What is kept beside a secret, and which refresh token counts: the same in files and databases. */
import { createHash } from "node:crypto";
import { fingerprintDifferences } from "../model/endpoint-binding.ts";
import { Failure } from "../model/failure.ts";
import { type Sealed, sealed } from "../model/sealed.ts";
import { newerFormat } from "./disk/damage.ts";

const VERSION = 1;

/** Values by name, bound to the endpoints in force when they were typed, and plain notes beside them. */
export interface SecretEntry {
  /** Of the endpoint binding; in the text its name is the one of earlier releases. */
  readonly fingerprint: string;
  readonly values: Readonly<Record<string, Sealed>>;
  /** Times, a client id and the like: nothing secret. */
  readonly notes: Readonly<Record<string, string>>;
}

/** The text holds the secrets. */
export function encodeEntry(entry: SecretEntry): string {
  const values = Object.fromEntries(
    Object.entries(entry.values).map(([name, value]) => [name, value.open((text) => text)]),
  );
  return `${JSON.stringify({ version: VERSION, seal: entry.fingerprint, notes: entry.notes, values }, undefined, 1)}\n`;
}

/**
 * Throws Failure `state-damaged`.
 *
 * @param where the text was found, as a failure names it.
 */
export function decodeEntry(where: string, text: string): SecretEntry {
  let outer: { version?: unknown; seal?: unknown; notes?: unknown; values?: unknown };
  try {
    outer = JSON.parse(text) as typeof outer;
  } catch {
    // Not passed on as cause: a parser's message quotes what it could not read.
    throw unreadableSecret(where);
  }
  if (typeof outer !== "object" || outer === null) throw unreadableSecret(where);
  if (typeof outer.version === "number" && outer.version > VERSION) throw newerFormat(where, outer.version, VERSION);
  const { seal: fingerprint, notes, values } = outer;
  if (outer.version !== VERSION || typeof fingerprint !== "string" || !isTexts(notes) || !isTexts(values))
    throw unreadableSecret(where);
  return {
    fingerprint,
    notes,
    values: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, sealed(value)])),
  };
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && Object.values(value).every((item) => typeof item === "string");
}

/** @param where the secret was found, as the sentence names it. */
export function unreadableSecret(where: string): Failure {
  return new Failure("state-damaged", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `The stored secret ${where} is not readable.`,
    nextStep: "Sign in again: run `defender-mssp token acquire`. That replaces it.",
  });
}

/**
 * Throws Failure `endpoint-changed` when a stored secret was typed for other endpoints: it is not handed out,
 * whoever asks.
 */
export function assertBinding(what: string, stored: string, present: string): void {
  const differing = fingerprintDifferences(stored, present);
  if (differing.length === 0) return;
  throw new Failure("endpoint-changed", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `${what} was stored for other settings (${differing.join(", ")} changed since), so it is not sent to the present ones.`,
    nextStep:
      "If the change is yours, type the secret again or run `defender-mssp credential reseal`; if not, somebody edited the settings.",
  });
}

/** Whose refresh token it is, and what the settings say of it. */
export interface TokenOwner {
  readonly stanza: string;
  /** Of the present settings: see model/endpoint-binding.ts. */
  readonly fingerprint: string;
  /**
   * The refresh token as it stands in the admin's own file; it counts until it was redeemed once, and again
   * when it is replaced there.
   */
  readonly typed?: Sealed;
  /**
   * How many redeemed tokens of admins' files are remembered. One is enough for one file; members of a fleet
   * have files of their own, and none may bring back what another member has redeemed.
   */
  readonly typedMost: number;
}

/** The refresh token that is redeemed next. Throws Failure `not-signed-in`, `endpoint-changed`. */
export function tokenInUse(entry: SecretEntry | undefined, { stanza, fingerprint, typed }: TokenOwner): Sealed {
  if (typed !== undefined && !redeemedIn(entry).includes(digestOf(typed))) return typed;
  const token = entry?.values.refresh_token;
  if (entry === undefined || token === undefined) throw notSignedIn(stanza);
  assertBinding("The refresh token", entry.fingerprint, fingerprint);
  return token;
}

/** What is stored after a redemption. */
export function entryAfter(rotated: Sealed, before: SecretEntry | undefined, owner: TokenOwner, nowMs: number) {
  const { fingerprint, typed, typedMost } = owner;
  const now = String(nowMs);
  const redeemed = redeemedIn(before);
  const digest = typed === undefined ? undefined : digestOf(typed);
  const isTypedNow = before === undefined || (digest !== undefined && !redeemed.includes(digest));
  const digests = digest === undefined ? redeemed : [digest, ...redeemed.filter((one) => one !== digest)];
  return {
    fingerprint,
    values: { refresh_token: rotated },
    notes: {
      stored_at_ms: now,
      typed_at_ms: isTypedNow ? now : (before.notes.typed_at_ms ?? now),
      ...(digests.length === 0 ? {} : { typed_digest: digests.slice(0, typedMost).join(" ") }),
    },
  } satisfies SecretEntry;
}

/** Digests of the typed tokens that were redeemed, the newest first. */
function redeemedIn(entry: SecretEntry | undefined): readonly string[] {
  return entry?.notes.typed_digest?.split(" ") ?? [];
}

/**
 * Tells a replaced token from the one that was redeemed. It stands beside the newer token itself, where only
 * who may read that can read it.
 */
function digestOf(token: Sealed): string {
  return token.open((text) =>
    createHash("sha256").update("typed:", "utf8").update(text.trim(), "utf8").digest("hex").slice(0, 32),
  );
}

function notSignedIn(stanza: string): Failure {
  return new Failure("not-signed-in", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `No refresh token is stored for ${stanza}.`,
    nextStep: `Run \`defender-mssp token acquire --customer ${JSON.stringify(stanza)}\`.`,
  });
}
