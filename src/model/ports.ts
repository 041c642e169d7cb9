import type { Delivery, HealthEvent, HugeDelivery } from "./event.ts";
import type { Ticks } from "./instant.ts";
import type { PageRecord, RecordHead } from "./record.ts";
import type { Sealed } from "./sealed.ts";
import type { Route } from "./stanza.ts";
import type { StreamName } from "./stream.ts";

/** Time is injected, so that tests can set it. */
export interface Clock {
  /** Milliseconds since 1970 by this machine's clock; may step. */
  nowMs(): number;
  /** Milliseconds on a clock that never steps; only differences mean anything. */
  monotonicMs(): number;
  /** Resolves after `forMs` on the monotonic clock, at once when `stop` fires (never rejects). */
  pause(forMs: number, stop?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Even in [0, 1). */
  next(): number;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * A constant message with fields beside it. One call is one line. `warn`: nothing was lost; `error`: somebody
 * must act.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
}

export interface HttpRequest {
  readonly method: "GET" | "POST" | "DELETE" | "PATCH";
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly route: Route;
  readonly signal?: AbortSignal;
  /** Until the answer's head; default 60 s. */
  readonly headersTimeoutMs?: number;
  /** Between two pieces of the body; default 60 s. */
  readonly bodyTimeoutMs?: number;
}

/** An answer whose body is decoded (gzip, deflate, br) as it streams. Redirects are not followed. */
export interface HttpAnswer {
  readonly status: number;
  /** Lower-case names; repeated headers are joined by ", ". */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * To be read to its end once, or discarded. A piece is valid until the next one is asked for. Throws
   * Failure when the body breaks off.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** The whole body as text, refused with a Failure beyond `limitBytes`. */
  text(limitBytes: number): Promise<string>;
  discard(): Promise<void>;
}

/**
 * The only way to the outside. Throws Failure: `network-unreachable`, `dns-failed`, `tls-untrusted` (say
 * names the issuer and the setting that would trust it), `proxy-refused`, `timed-out`, `connection-reset`. An
 * answer of any status is an answer, not a failure.
 */
export interface Http {
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/**
 * Gives access tokens for one customer and one audience; renews at 80 % of the life or 5 min before the end,
 * whichever is later.
 */
export interface TokenSource {
  /**
   * @param refused a token that the API just answered 401: a new one is fetched unless another caller already
   *   did. Throws Failure (sign-in, consent, credential, network).
   */
  accessToken(options?: { readonly refused?: Sealed; readonly signal?: AbortSignal }): Promise<Sealed>;
}

/** Where a customer's refresh token lives; storing happens before the new access token is used. */
export interface RefreshTokenVault {
  current(): Promise<Sealed>;
  /**
   * @param refused true when the stored one was refused and a new one was obtained: stored at once
   *   everywhere.
   */
  store(rotated: Sealed, options: { readonly refused: boolean }): Promise<void>;
}

/** What the engine asks one stream of one customer. Bounds are on the update time and inclusive. */
export interface Question {
  readonly from?: Ticks;
  readonly to?: Ticks;
  readonly top: number;
  readonly skip?: number;
  /** Conditions `property eq value` that split an instant held by too many rows. */
  readonly where?: readonly { readonly property: string; readonly value: string }[];
  /** A link that the previous page gave; everything else is then ignored. */
  readonly link?: string;
  /** Leave away what makes the question expensive ($expand). */
  readonly withoutExpand?: boolean;
}

/** What came after a page's records. */
export type PageLink =
  | { readonly kind: "none" }
  | { readonly kind: "next"; readonly url: string }
  /** Points to another origin or to plain http: never followed. */
  | { readonly kind: "elsewhere"; readonly origin: string };

/** A page as it streams in. */
export interface Page {
  /** The service's clock (`Date` header), ms; this machine's when the header is missing. */
  readonly serverNowMs: number;
  /** Set when the service said that a provider is missing from the answer (206 with Warning). */
  readonly partial?: string;
  /**
   * Records in the order received. A batch's bytes are valid until the next one is asked for. Throws Failure
   * when the body is broken.
   */
  readonly batches: AsyncIterable<readonly PageRecord[]>;
  /** Only after `batches` has ended. */
  link(): PageLink;
}

/** One stream of one customer, bound to its endpoint and sign-in: the engine's view of Microsoft. */
export interface SourceStream {
  readonly name: StreamName;
  /** Budget identity: same app, tenant and API share one. */
  readonly budgetKey: string;
  readonly limits: { readonly perMinute: number; readonly perHour?: number };
  /** What one question may ask for at most. */
  readonly pageTop: number;
  /** Largest `skip` the API takes; 0 when it knows none. */
  readonly skipMax: number;
  /** Properties by which one overfull instant can be split, with their known values. */
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  /**
   * True when records are taken out of larger ones (an XDR incident's alerts): their times are not the ones
   * that a question bounds.
   */
  readonly hasNested?: boolean;
  /**
   * One request, not retried. Throws Failure: `throttled` (retry.at), `unauthorised` after one renewal,
   * `forbidden`, `service-error` (5xx), `bad-answer` (not JSON, wrong shape), `refused` (400), or a network
   * or sign-in failure.
   */
  ask(question: Question, signal: AbortSignal): Promise<Page>;
  /**
   * One record that `ask` called too large, by its id among those of its instant: its bytes go to `keep` in
   * order, as clean as a RecordBody's. Resolves to what is known of it once it was complete; undefined when
   * it is not there (any more). Throws as `ask`.
   */
  fetchHuge?(
    wanted: { readonly id: string; readonly updated: Ticks },
    keep: (bytes: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<RecordHead | undefined>;
}

/** Where deliveries go. Waiting is the only back-pressure. */
export interface Sink {
  /**
   * `provisional`: written is not delivered (pipe, socket). `durable`: resolved means delivered (a file
   * renamed into place).
   */
  readonly kind: "provisional" | "durable";
  /**
   * Resolves when the host has taken every byte; the records' memory may be reused then. Resolves to the
   * number of bytes written. Rejects with Failure `host-gone` (EPIPE: stop now), `output-full`,
   * `output-broken`.
   */
  write(batch: readonly Delivery[]): Promise<number>;
  /**
   * One event whose record comes in pieces; rejects as `write`. A sink whose form needs a record as a
   * whole takes what it can hold of it.
   */
  writeHuge?(delivery: HugeDelivery, pieces: AsyncIterable<Uint8Array>): Promise<number>;
  /** The most bytes of a record that `writeHuge` sends on; absent: all of them. */
  readonly hugeMostBytes?: number;
  health(event: HealthEvent): Promise<void>;
}
