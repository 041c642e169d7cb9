import { createHash, timingSafeEqual } from "node:crypto";
import type { Ticks } from "../../../model/instant.ts";
import type { Clock } from "../../../model/ports.ts";
import type { Sealed } from "../../../model/sealed.ts";

const LIFETIME_S = 3_600;
const TOKEN_BYTES = 32;
/** A poller that requests a token at each poll has sixty at once. Above this limit the oldest are deleted. */
const TOKENS_MAX = 10_000;

export interface TokenParts {
  /** Undefined: any client is accepted (only on loopback, which the settings check). */
  readonly clientId?: string;
  readonly clientSecret?: Sealed;
  readonly clock: Clock;
  readonly randomBytes: (count: number) => Uint8Array;
  /** Compares digests; in constant time unless a test injects another comparison. */
  readonly isEqual?: (one: Uint8Array, other: Uint8Array) => boolean;
  /** Stores the digests of issued tokens over a restart. */
  readonly file?: TokenFile;
}

export interface TokenFile {
  load(): string | undefined;
  /** Must not throw. */
  save(text: string): void;
}

/** The holder of a token of this server. */
export interface Reader {
  /**
   * The text at the customer's position in the address of the token request. The token is valid only for that
   * customer, or for all if it does not name a customer.
   */
  readonly named: string | undefined;
  readonly untilMs: number;
  /** By poller, the last row's arrival of an answer that was full: its next answer continues there. */
  readonly continuesAt: Map<string, Ticks>;
}

export type TokenAnswer = { readonly status: number; readonly body: Readonly<Record<string, string | number>> };

/**
 * This server's tokens: 256 random bits, valid for an hour, for one customer or for all. Only their SHA-256
 * is kept, also on disk: whether a connector asks for a new token when its old one is refused is not known,
 * so a restart must not make it wait for an hour. A posted refresh token is neither looked at nor kept: it
 * goes back as it came, because connectors store what they get.
 */
export class LocalTokens {
  readonly #p: TokenParts;
  /** SHA-256 of the token: a lookup shows nothing about other tokens. */
  readonly #given = new Map<string, Reader>();

  constructor(parts: TokenParts) {
    this.#p = parts;
    for (const { sha256, until_ms: untilMs, named } of storedTokens(parts.file?.load()))
      this.#given.set(sha256, { untilMs, named, continuesAt: new Map() });
  }

  /**
   * Answers a token request (RFC 6749, sections 4.4 and 6).
   *
   * @param form the posted fields.
   * @param basic client id and secret of an `Authorization: Basic` header.
   * @param named what stood before /oauth2/token.
   */
  answer(
    form: URLSearchParams,
    basic: { readonly id: string; readonly secret: string } | undefined,
    named: string | undefined,
  ): TokenAnswer {
    const id = basic?.id ?? form.get("client_id") ?? "";
    const secret = basic?.secret ?? form.get("client_secret") ?? "";
    if (!this.#isClient(id, secret)) {
      return problem(
        401,
        "invalid_client",
        "client_id or client_secret differs from serve.client_id or serve.client_secret",
      );
    }
    const grant = form.get("grant_type");
    if (grant !== "refresh_token" && grant !== "client_credentials") {
      return problem(400, "unsupported_grant_type", "grant_type must be refresh_token or client_credentials");
    }
    const refreshToken = form.get("refresh_token") ?? "";
    if (grant === "refresh_token" && refreshToken === "")
      return problem(400, "invalid_request", "refresh_token is missing; any text is accepted");
    const token = Buffer.from(this.#p.randomBytes(TOKEN_BYTES)).toString("base64url");
    const nowMs = this.#p.clock.nowMs();
    this.#forget(nowMs);
    this.#given.set(digest(token).toString("hex"), {
      untilMs: nowMs + LIFETIME_S * 1000,
      named,
      continuesAt: new Map(),
    });
    this.#p.file?.save(
      JSON.stringify(
        Array.from(
          this.#given,
          ([sha256, reader]): StoredToken => ({
            sha256,
            until_ms: reader.untilMs,
            ...(reader.named === undefined ? {} : { named: reader.named }),
          }),
        ),
      ),
    );
    return {
      status: 200,
      body: {
        token_type: "Bearer",
        expires_in: LIFETIME_S,
        access_token: token,
        ...(grant === "refresh_token" ? { refresh_token: refreshToken } : {}),
      },
    };
  }

  /** What the bearer may read; undefined when the token is unknown or too old. */
  reads(token: string): Reader | undefined {
    const given = this.#given.get(digest(token).toString("hex"));
    if (given === undefined) return undefined;
    const leftMs = given.untilMs - this.#p.clock.nowMs();
    // After the clock was set back far, the token would be valid for long. A small step must not lock its
    // holder out.
    return leftMs > 0 && leftMs <= 2 * LIFETIME_S * 1000 ? given : undefined;
  }

  /** Both are always compared, and always in the same time. */
  #isClient(id: string, secret: string): boolean {
    const { clientId, clientSecret } = this.#p;
    const isSame = (given: string, wanted: string) =>
      (this.#p.isEqual ?? timingSafeEqual)(digest(given), digest(wanted));
    const idFits = clientId === undefined || isSame(id, clientId);
    const secretFits = clientSecret === undefined || clientSecret.open((wanted) => isSame(secret, wanted));
    return idFits && secretFits;
  }

  #forget(nowMs: number): void {
    for (const [key, { untilMs }] of this.#given) {
      if (untilMs > nowMs && this.#given.size < TOKENS_MAX) return;
      this.#given.delete(key);
    }
  }
}

interface StoredToken {
  readonly sha256: string;
  readonly until_ms: number;
  readonly named?: string;
}

/** A file that cannot be read counts as empty: the holders of its tokens ask for new ones. */
function storedTokens(
  text: string | undefined,
): readonly { readonly sha256: string; readonly until_ms: number; readonly named: string | undefined }[] {
  try {
    const stored = JSON.parse(text ?? "[]") as readonly Partial<StoredToken>[];
    return stored.flatMap(({ sha256, until_ms, named }) =>
      typeof sha256 === "string" && typeof until_ms === "number"
        ? [{ sha256, until_ms, named: typeof named === "string" ? named : undefined }]
        : [],
    );
  } catch {
    return [];
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}

function problem(status: number, error: string, description: string): TokenAnswer {
  return { status, body: { error, error_description: description } };
}
