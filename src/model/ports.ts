import type { Delivery, HealthEvent, HugeDelivery } from "./event.ts";
import type { Ticks } from "./instant.ts";
import type { PageRecord, RecordHead } from "./record.ts";
import type { Sealed } from "./sealed.ts";
import type { Route, Stanza } from "./stanza.ts";
import type { StreamName } from "./stream.ts";

/** Time is injected, so that tests can set it. */
export interface Clock {
  /** Milliseconds since 1970 by this machine's clock, which can be changed. */
  nowMs(): number;
  /** Milliseconds on a monotonic clock; only differences are meaningful. */
  monotonicMs(): number;
  /** Resolves after `forMs` on the monotonic clock, at once when `stop` fires (never rejects). */
  pause(forMs: number, stop?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Evenly distributed in [0, 1). */
  next(): number;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "fatal";
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * A constant message with separate fields. One call is one line. `warn`: nothing was lost; `error`: a person
 * must act.
 */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  fatal(message: string, fields?: LogFields): void;
}

/** A setting that gives the address of one of Microsoft's services. */
export type AddressSetting = "login_url" | "graph_url" | "api_url" | "siem_url" | "partnercenter_url";

export interface HttpRequest {
  readonly method: "GET" | "POST" | "DELETE" | "PATCH";
  readonly url: string;
  /** The setting that can change the address, so that a failure can name it. */
  readonly addressSetting?: AddressSetting;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly route: Route;
  /** Aborted with a `TimeoutError`, the request fails with `timed-out`; otherwise with `stopped`. */
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
   * Must be read to its end once, or discarded. A piece is valid until the next one is requested. Throws
   * Failure if the body is incomplete.
   */
  readonly body: AsyncIterable<Uint8Array>;
  /** The whole body as text; throws Failure if it exceeds `limitBytes`. */
  text(limitBytes: number): Promise<string>;
  discard(): Promise<void>;
}

/**
 * The only access to the network. Throws Failure: `network-unreachable`, `dns-failed`, `tls-untrusted` (say
 * names the issuer and the setting that would trust it), `proxy-refused`, `timed-out`, `connection-reset`. An
 * answer of any status is an answer, not a failure.
 */
export interface Http {
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

/**
 * Gives access tokens for one customer and one audience; renews after 80 % of the lifetime or 5 min before
 * the end, whichever is later.
 */
export interface TokenSource {
  /**
   * @param refused a token that the API just answered with 401: a new one is fetched unless another caller
   *   already did. Throws Failure (sign-in, consent, credential, network).
   */
  accessToken(options?: { readonly refused?: Sealed; readonly signal?: AbortSignal }): Promise<Sealed>;
}

/** The store of a customer's refresh token. A new one is stored before its access token is used. */
export interface RefreshTokenVault {
  current(): Promise<Sealed>;
  /**
   * @param refused true if the stored token was rejected and a new one was obtained, stored at once on
   *   every host.
   */
  store(rotated: Sealed, options: { readonly refused: boolean }): Promise<void>;
  /**
   * The redemption that began with `current` is over, with a new token or without. Never rejects. Absent:
   * nobody waits for that.
   *
   * @param refused true if the token was rejected.
   */
  ended?(options: { readonly refused: boolean }): Promise<void>;
}

/**
 * A condition that splits an instant with too many rows: `property eq value`, or none of the values, which
 * includes rows without the property.
 */
export type SplitCondition =
  | { readonly property: string; readonly value: string }
  | { readonly property: string; readonly noneOf: readonly string[] };

/** A request of the engine to one stream of one customer. Bounds are update times and inclusive. */
export interface Question {
  readonly from?: Ticks;
  readonly to?: Ticks;
  readonly top: number;
  readonly skip?: number;
  /** All of them must hold. */
  readonly where?: readonly SplitCondition[];
  /** The previous page's next link; all other members are then ignored. */
  readonly link?: string;
  /** Omit the expensive part of the request ($expand). */
  readonly withoutExpand?: boolean;
}

/** The next link after a page's records. */
export type PageLink =
  | { readonly kind: "none" }
  | { readonly kind: "next"; readonly url: string }
  /** A link to another origin or to plain http, which is never followed. */
  | { readonly kind: "elsewhere"; readonly origin: string };

/** A page as it streams in. */
export interface Page {
  /** The service's clock (`Date` header), ms; this machine's clock if the header is missing. */
  readonly serverNowMs: number;
  /** Set if the answer lacks a provider according to the service (206 with Warning). */
  readonly partial?: string;
  /**
   * Records in the order received. A batch's bytes are valid until the next one is requested. Throws Failure
   * if the body is broken.
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
  /** Largest number of rows of one request. */
  readonly pageTop: number;
  /** Largest `skip` that the API accepts; 0 if it has none. */
  readonly skipMax: number;
  /** Properties that can split one overfull instant, with their known values; services have others too. */
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  /**
   * True if records are nested in larger ones (an XDR incident's alerts): a request's bounds do not apply to
   * their times.
   */
  readonly hasNested?: boolean;
  /**
   * One request, not retried. Throws Failure: `throttled` (retry.at), `unauthorised` after one renewal,
   * `forbidden`, `service-error` (5xx), `bad-answer` (not JSON, wrong shape), `refused` (400), or a network
   * or sign-in failure.
   */
  ask(question: Question, signal: AbortSignal): Promise<Page>;
  /**
   * One record that `ask` reported as too large, found by its id and instant. Its bytes are passed to `keep`
   * in order, cleaned like a RecordBody's. Resolves to its head when it was complete; undefined if it does
   * not exist (any more). Throws like `ask`.
   */
  fetchHuge?(
    wanted: { readonly id: string; readonly updated: Ticks },
    keep: (bytes: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<RecordHead | undefined>;
}

/** The target of deliveries. Waiting for it is the only back-pressure. */
export interface Sink {
  /**
   * `provisional`: written is not delivered (pipe, socket). `durable`: resolved means delivered (a file
   * renamed into place).
   */
  readonly kind: "provisional" | "durable";
  /**
   * Resolves when the host has taken every byte; the records' memory can be reused then. Resolves to the
   * number of bytes written. Rejects with Failure `host-gone` (EPIPE: stop now), `output-full`,
   * `output-broken`.
   */
  write(batch: readonly Delivery[]): Promise<number>;
  /**
   * One event whose record is passed in pieces; rejects like `write`. A sink whose format needs a whole
   * record takes only the part that fits into memory.
   */
  writeHuge?(delivery: HugeDelivery, pieces: AsyncIterable<Uint8Array>): Promise<number>;
  /** Largest number of bytes of a record that `writeHuge` sends; absent: all. */
  readonly hugeMostBytes?: number;
  health(event: HealthEvent): Promise<void>;
  /**
   * A customer whose settings were refused when the sink was opened can be collected now. Absent: the sink
   * needs no settings of customers.
   */
  admit?(customer: Stanza): void;
}
