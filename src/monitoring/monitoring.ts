import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock, Log } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { CollectorStatus } from "../model/status.ts";
import {
  isHostAllowed,
  type RunningServer,
  type ServedAnswer,
  type ServedRequest,
  type ServerSettings,
  startServer,
} from "../net/http-server.ts";
import { Metrics, type ProcessFacts } from "./metrics.ts";
import { statusDocument } from "./status-document.ts";

/** Whoever scrapes needs one connection; a few more are for probes and for a person who looks. */
const CONNECTIONS_MAX = 16;
const ANSWER_WITHIN_MS = 30_000;
/** Scrapes that come closer together get the same text, so that many of them cost no more than one. */
const SAME_TEXT_FOR_MS = 1_000;
const PIECE_CHARACTERS = 1 << 16;

/** What is watched. */
export interface Watched {
  /** False until the customers are open, and again while the program stops. */
  isReady(): boolean;
  /** Undefined while it is not ready. It goes through all customers: asked only for who may read it. */
  status(): CollectorStatus | undefined;
}

export interface MonitoringParts {
  /** This collector's name in `/status`. */
  readonly name: string;
  readonly version: string;
  readonly watched: Watched;
  readonly clock: Clock;
  readonly log: Log;
  readonly process: () => ProcessFacts;
  /** Compares digests; in constant time unless a test injects another comparison. */
  readonly isEqual?: (one: Uint8Array, other: Uint8Array) => boolean;
}

export type MonitoringSettings = Omit<ServerSettings, "connectionsMax">;

const NOTHING_YET: CollectorStatus = { customers: [], outputs: [] };

/**
 * Answers `/metrics`, `/status`, `/healthz/live` and `/healthz/ready`. The health paths name nobody and need
 * no token. Throws Failure `output-broken` when it cannot listen, or the certificate cannot be used.
 */
export function startMonitoring(settings: MonitoringSettings, parts: MonitoringParts): Promise<RunningServer> {
  const answers = new MonitoringAnswers(settings, parts);
  return startServer(
    { answerWithinMs: ANSWER_WITHIN_MS, ...settings, connectionsMax: CONNECTIONS_MAX },
    (request) => answers.answer(request),
    parts.log,
  );
}

/** What each request is answered with; knows no socket. */
export class MonitoringAnswers {
  readonly #p: MonitoringParts;
  readonly #host: string;
  readonly #token: Sealed | undefined;
  readonly #metrics = new Metrics();
  readonly #logged = new Set<number>();
  /** Of the last second. While it is being made no other one is: they share one registry. */
  #text: Promise<string> | undefined;

  constructor({ host, secret }: Pick<MonitoringSettings, "host" | "secret">, parts: MonitoringParts) {
    this.#p = parts;
    this.#host = host.toLowerCase();
    this.#token = secret;
  }

  async answer(request: ServedRequest): Promise<ServedAnswer> {
    const path = request.target.split("?")[0] ?? "";
    if (!PATHS.has(path))
      return this.#refuse(404, "the path is not /metrics, /status, /healthz/live or /healthz/ready");
    if (request.method !== "GET" && request.method !== "HEAD")
      return this.#refuse(405, "the method is not GET", { allow: "GET, HEAD" });
    const { watched, name, version } = this.#p;
    if (path === "/healthz/live") return plain(200, "ok\n");
    if (path === "/healthz/ready")
      return watched.isReady() ? plain(200, "ok\n") : { ...plain(503, "not collecting\n"), isExpected: true as const };
    // A web page in a browser of this machine has no token, so names matter only where none is asked for.
    if (this.#token === undefined && !isHostAllowed(request.headers["host"], (host) => host === this.#host))
      return this.#refuse(421, "the Host header names another server; use the address in metrics.listen");
    if (!this.#isBearer(request.headers["authorization"]))
      return this.#refuse(401, "the bearer token differs from metrics.token", { "www-authenticate": "Bearer" });
    if (path === "/metrics")
      return { ...plain(200, await this.#metricsText()), headers: { "content-type": this.#metrics.contentType } };
    const status = watched.status() ?? NOTHING_YET;
    return { status: 200, body: pieces(JSON.stringify(statusDocument(name, version, status))) };
  }

  #isBearer(header: string | undefined): boolean {
    if (this.#token === undefined) return true;
    const given = /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1] ?? "";
    const isEqual = this.#p.isEqual ?? timingSafeEqual;
    return this.#token.open((wanted) => isEqual(digest(given), digest(wanted)));
  }

  #metricsText(): Promise<string> {
    const { version, process, watched } = this.#p;
    if (this.#text !== undefined) return this.#text;
    const status = watched.status();
    const scrape = {
      version,
      isReady: watched.isReady(),
      collector: status ?? NOTHING_YET,
      process: process(),
    };
    const text = this.#metrics.text(scrape);
    this.#text = text;
    void this.#forgetLater(text);
    return text;
  }

  /** Of thousands of customers it is megabytes. */
  async #forgetLater(text: Promise<string>): Promise<void> {
    await text.catch(() => undefined);
    await this.#p.clock.pause(SAME_TEXT_FOR_MS);
    this.#text = undefined;
  }

  /** Each kind of refusal is logged once: whoever knocks without a token can knock often. */
  #refuse(status: number, say: string, headers: Readonly<Record<string, string>> = {}): ServedAnswer {
    const isExpected = this.#logged.has(status);
    this.#logged.add(status);
    const refused = plain(status, `${say}\n`);
    return {
      ...refused,
      headers: { ...refused.headers, ...headers },
      ...(isExpected ? { isExpected: true as const } : {}),
    };
  }
}

const PATHS: ReadonlySet<string> = new Set(["/metrics", "/status", "/healthz/live", "/healthz/ready"]);

function plain(status: number, text: string): ServedAnswer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body: pieces(text) };
}

/** In pieces, because a client that reads slowly must not have all of it copied into its socket's queue. */
function* pieces(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const end = from + PIECE_CHARACTERS;
    // Two halves of one character would each become U+FFFD.
    const cut = isHighSurrogate(text.charCodeAt(end - 1)) ? end + 1 : end;
    yield text.slice(from, cut);
    from = cut;
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
