import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { AssertionSource } from "../model/assertion.ts";
import { errnoOf } from "../model/errno.ts";
import { Failure, isFailure } from "../model/failure.ts";
import { isLoopback } from "../model/loopback.ts";
import type { Clock, Http, HttpAnswer } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { AppCredential } from "../model/sign-in.ts";
import { IDENTITY_ENDPOINT } from "../net/identity-endpoint.ts";
import { jsonObjectOf } from "../net/json-answer.ts";
import { retryAfter } from "../net/retry-after.ts";
import { withTimeLimit } from "../net/time-limit.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { type Claims, claimsOf, claimText } from "./token-claims.ts";

export type AssertionCredential = Extract<AppCredential, { readonly kind: "assertion" }>;

/** A token of another issuer that the app presents, and what a federated credential has to have of it. */
export interface Assertion {
  readonly token: Sealed;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  readonly endsMs: number;
}

export interface AssertionWorld {
  readonly http: Http;
  readonly clock: Clock;
  /**
   * The text of a regular file of at most `limitBytes`; undefined for a longer one. Rejects with an error of
   * the file system. The real disk unless a test injects another.
   */
  readonly readTokenFile?: (path: string, limitBytes: number) => Promise<string | undefined>;
  /** The process's own unless a test injects another. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** A token has a few KiB; the headers of a gateway rarely take more than 16. */
const TOKEN_LIMIT_BYTES = 32 * 1024;
const ANSWER_LIMIT_BYTES = 64 * 1024;

/** Microsoft accepts a token for so long after its end, for clocks that differ. */
const SKEW_MS = 300_000;

/**
 * How long one token of a managed identity serves all customers. The endpoint answers 20 requests a second
 * for one machine, and asks its callers to keep the token (it lasts a day).
 */
const IDENTITY_HELD_MS = 3_600_000;

/**
 * Where the simulator answers in tests. Only an address of this machine counts: nothing else can ever take
 * the place of Azure's own address.
 */
const TEST_ENDPOINT = "DEFENDER_MSSP_TEST_IMDS";

interface Held {
  readonly assertion: Promise<Assertion>;
  untilMs: number;
}

/**
 * The tokens that apps present instead of a client secret or a certificate. A file is read each time. A
 * managed identity's token is kept in memory for the customers that share it. Nothing of either is ever
 * logged or stored.
 */
export class Assertions {
  readonly #world: AssertionWorld;
  readonly #held = new Map<string, Held>();

  constructor(world: AssertionWorld) {
    this.#world = world;
  }

  /**
   * Throws Failure `assertion-unusable`, `assertion-expired`, `identity-unavailable`, `identity-refused`. No
   * sentence contains the token.
   */
  current(credential: AssertionCredential): Promise<Assertion> {
    const { source } = credential;
    return source.from === "file" ? this.#ofFile(source.path) : this.#ofIdentity(credential);
  }

  /** Microsoft rejected it: the next sign-in asks for another one. */
  forget(credential: AssertionCredential): void {
    this.#held.delete(nameOf(credential));
  }

  async #ofFile(path: string): Promise<Assertion> {
    const { readTokenFile = realTokenFile, clock } = this.#world;
    let text: string | undefined;
    try {
      text = await readTokenFile(path, TOKEN_LIMIT_BYTES);
    } catch (cause) {
      throw unusable(
        `The token file ${path} cannot be read (${errnoOf(cause) ?? "unknown reason"}).`,
        "Check that the platform writes its token to the file of `assertion`, and that this program's account can read it.",
      );
    }
    if (text === undefined)
      throw unusable(
        `The file ${path} is not a token: it has more than ${TOKEN_LIMIT_BYTES / 1024} KiB.`,
        "Name the file that holds the platform's token in `assertion`.",
      );
    if (text.trim() === "")
      throw unusable(
        `The token file ${path} is empty.`,
        "Check what writes the file of `assertion`: on AKS the token volume of the pod, for SPIFFE the SPIRE agent.",
        "soon",
      );
    const assertion = assertionFrom(sealed(text.trim()));
    if (assertion === undefined)
      throw unusable(
        `The file ${path} does not hold one complete token with an issuer, a subject, an audience and an end.`,
        "Check what writes the file of `assertion`. It must hold one JSON Web Token and nothing else.",
        "soon",
      );
    if (assertion.endsMs + SKEW_MS <= clock.nowMs())
      throw new Failure("assertion-expired", {
        actor: "operator",
        retry: { when: "later" },
        area: "sign-in",
        say: `The token in ${path} expired on ${new Date(assertion.endsMs).toISOString()}, and the platform has not renewed it.`,
        nextStep:
          "Check what renews the file of `assertion`: on AKS the token volume of the pod, for SPIFFE the SPIRE agent.",
      });
    return assertion;
  }

  #ofIdentity(credential: AssertionCredential): Promise<Assertion> {
    const { clock } = this.#world;
    const name = nameOf(credential);
    const held = this.#held.get(name);
    if (held !== undefined && clock.monotonicMs() < held.untilMs) return held.assertion;
    // Concurrent customers share one request.
    const asked: Held = { assertion: this.#askIdentity(credential), untilMs: Number.POSITIVE_INFINITY };
    this.#held.set(name, asked);
    void this.#limit(name, asked);
    return asked.assertion;
  }

  async #limit(name: string, asked: Held): Promise<void> {
    const { clock } = this.#world;
    try {
      const { endsMs } = await asked.assertion;
      const leftMs = endsMs - clock.nowMs() - SKEW_MS;
      asked.untilMs = clock.monotonicMs() + Math.min(IDENTITY_HELD_MS, leftMs);
    } catch {
      // Whoever asked gets the failure. The next one asks again.
      if (this.#held.get(name) === asked) this.#held.delete(name);
    }
  }

  async #askIdentity({ source, audience }: AssertionCredential): Promise<Assertion> {
    const identity = identityOf(source);
    const { http, clock } = this.#world;
    const query = new URLSearchParams({ "api-version": "2018-02-01", resource: audience, client_id: identity });
    const url = `${this.#identityEndpoint()}/metadata/identity/oauth2/token?${query.toString()}`;
    try {
      return await withTimeLimit(clock, TIME_LIMITS.identity.ms, async (signal) => {
        const answer = await http.send({
          method: "GET",
          url,
          headers: { metadata: "true", accept: "application/json" },
          // The endpoint is this machine's own. A proxy would get the token, or answer in its place.
          route: { direct: true },
          headersTimeoutMs: TIME_LIMITS.identity.ms,
          bodyTimeoutMs: TIME_LIMITS.identity.ms,
          signal,
        });
        return identityAnswer(answer, await answer.text(ANSWER_LIMIT_BYTES), identity, clock.nowMs());
      });
    } catch (error) {
      if (!isFailure(error) || OWN.has(error.code)) throw error;
      throw unavailable(
        `Azure's managed identity endpoint (169.254.169.254) cannot be reached from this machine (${error.code}).`,
        "Run this program on an Azure machine to which the identity of `assertion` is assigned, or use `certificate` instead.",
      );
    }
  }

  #identityEndpoint(): string {
    const { environment = process.env } = this.#world;
    const test = environment[TEST_ENDPOINT];
    return test !== undefined && URL.canParse(test) && isLoopback(new URL(test).hostname)
      ? new URL(test).origin
      : IDENTITY_ENDPOINT;
  }
}

const OWN = new Set<string>(["identity-unavailable", "identity-refused", "stopped"]);

function nameOf({ source, audience }: AssertionCredential): string {
  return `${identityOf(source)} ${audience}`;
}

function identityOf(source: AssertionSource): string {
  return source.from === "managed-identity" ? source.identity : "";
}

/**
 * What to retry: Azure documentation, "How to use managed identities on a virtual machine to acquire an
 * access token", error handling: 404, 410, 429 and 5xx pass, with growing pauses; every other 4xx does not.
 */
function identityAnswer(answer: HttpAnswer, text: string, identity: string, nowMs: number): Assertion {
  const { status } = answer;
  const body = jsonObjectOf(text) ?? {};
  if (status === 200) {
    const token = body["access_token"];
    const assertion = typeof token === "string" ? assertionFrom(sealed(token)) : undefined;
    if (assertion !== undefined) return assertion;
    throw unavailable(
      "Azure's managed identity endpoint (169.254.169.254) answered without a complete token.",
      "Check that nothing else answers on this machine at the address of `assertion`'s endpoint, 169.254.169.254.",
    );
  }
  if (status === 404 || status === 410 || status === 429 || status >= 500) {
    const wait = retryAfter(answer.headers, nowMs);
    throw new Failure("identity-unavailable", {
      actor: "microsoft",
      retry: wait === undefined ? { when: "soon" } : { when: "at", atMs: nowMs + wait.ms },
      status,
      say: `Azure's managed identity endpoint answered ${status} and gave no token for identity ${identity}.${wait?.note === undefined ? "" : ` ${wait.note}`}`,
      nextStep: `Nothing to do. This program retries. If it lasts, check that the identity of \`assertion\` is assigned to this machine.`,
    });
  }
  if (status >= 300 && status < 400)
    throw unavailable(
      `Azure's managed identity endpoint answered with a redirect (status ${status}), which is not followed.`,
      "Check that nothing else answers on this machine at 169.254.169.254, the endpoint of `assertion`.",
    );
  const error = typeof body["error"] === "string" && /^[a-z_]{1,40}$/.test(body["error"]) ? `, ${body["error"]}` : "";
  throw new Failure("identity-refused", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    status,
    say: `Azure gives this machine no token for managed identity ${identity} (status ${status}${error}).`,
    nextStep: "Assign the user-assigned identity to this machine, or correct its client ID in `assertion`.",
  });
}

/** Undefined for a text that is not one whole token with the claims that a federated credential names. */
function assertionFrom(token: Sealed): Assertion | undefined {
  const isWhole = token.open((text) => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text));
  const claims = isWhole ? claimsOf(token) : undefined;
  if (claims === undefined) return undefined;
  const [issuer, subject, audience] = [claimText(claims["iss"]), claimText(claims["sub"]), audienceIn(claims)];
  const endsMs = Number(claims["exp"]) * 1000;
  if (issuer === "" || subject === "" || audience === "" || !Number.isFinite(endsMs)) return undefined;
  return { token, issuer, subject, audience, endsMs };
}

/** Kubernetes writes a list. */
function audienceIn({ aud }: Claims): string {
  return Array.isArray(aud) ? aud.map(claimText).join(", ") : claimText(aud);
}

async function realTokenFile(path: string, limitBytes: number): Promise<string | undefined> {
  // Without waiting, because opening a pipe would wait for whoever writes into it.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    if (!(await file.stat()).isFile()) throw Object.assign(new Error("not a regular file"), { code: "ENOTSUP" });
    const bytes = Buffer.alloc(limitBytes + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return length > limitBytes ? undefined : bytes.toString("utf8", 0, length);
  } finally {
    await file.close();
  }
}

/** The cause is never passed on: a reader's error could quote what it read. */
function unusable(say: string, nextStep: string, when: "soon" | "later" = "later"): Failure {
  return new Failure("assertion-unusable", { actor: "operator", retry: { when }, area: "sign-in", say, nextStep });
}

function unavailable(say: string, nextStep: string): Failure {
  return new Failure("identity-unavailable", {
    actor: "operator",
    retry: { when: "later" },
    area: "sign-in",
    say,
    nextStep,
  });
}
