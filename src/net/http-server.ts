import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as net from "node:net";
import { createSecureContext } from "node:tls";
import { errnoOf } from "../model/errno.ts";
import { Failure } from "../model/failure.ts";
import { isLoopback } from "../model/loopback.ts";
import type { Log } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { ListenAddress } from "../model/setting.ts";

const BODY_MAX_BYTES = 64 * 1024;
const HEADERS_MAX_BYTES = 16 * 1024;
const CONNECTIONS_MAX = 256;
const REQUEST_WITHIN_MS = 30_000;
/** How often the server checks for requests that take too long. */
const CHECKED_EVERY_MS = 5_000;
const HANDSHAKE_WITHIN_MS = 10_000;
/** Limit for an idle connection, for example of a client that does not read its answer. */
const SILENT_MAX_MS = 60_000;

export interface ServedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Empty for GET; undefined if it was too long. */
  readonly body: string | undefined;
}

export interface ServedAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text unless a header says otherwise, in pieces. */
  readonly body: Iterable<string> | AsyncIterable<string>;
  /** A refusal that the log need not show. */
  readonly isExpected?: true;
}

/** One server of this program: what it listens on, and how its settings are called. */
export interface ServerSettings extends ListenAddress {
  /** PEM file with private key and certificate. */
  readonly certificate?: string;
  /** What a client must know; without it only this machine may be listened on. */
  readonly secret?: Sealed;
  readonly called: {
    /** For sentences: `serve`. */
    readonly server: string;
    readonly listen: string;
    readonly certificate: string;
    readonly secret: string;
  };
  /** Connections at once; 256 if undefined. */
  readonly connectionsMax?: number;
  /** A client that has not read its answer by then is disconnected; if undefined, only after silence. */
  readonly answerWithinMs?: number;
}

/**
 * Checks the Host header, so that a web page in a browser of this machine cannot read answers through a name
 * that resolves to this server (DNS rebinding).
 *
 * @param isServerName true for a name by which this server may be called besides those of loopback.
 */
export function isHostAllowed(host: string | undefined, isServerName: (host: string) => boolean): boolean {
  if (host === undefined) return false;
  const name = host
    .replace(/:\d{1,5}$/, "")
    .replace(/^\[|\]$/g, "")
    .toLowerCase();
  return isLoopback(name) || isServerName(name);
}

export interface RunningServer {
  /** The address with the real port. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * True for the names by which other machines may call this server: the address it listens on, and the names
 * in its certificate. Throws as `startServer`.
 */
export function namesOf(settings: ServerSettings): (name: string) => boolean {
  refuseUnprotected(settings);
  const own = settings.certificate === undefined ? undefined : certificateIn(settings.certificate, settings.called);
  return (name) =>
    name === settings.host.toLowerCase() ||
    (own !== undefined &&
      (own.checkHost(name) !== undefined || (net.isIP(name) !== 0 && own.checkIP(name) !== undefined)));
}

/**
 * The one place where this program waits for requests. A slow or silent client uses one of the
 * connections for at most REQUEST_WITHIN_MS; a long body is not kept.
 *
 * Listens and hands requests on. Throws Failure `output-broken` when it cannot listen or the certificate
 * cannot be used.
 */
export async function startServer(
  settings: ServerSettings,
  answer: (request: ServedRequest) => Promise<ServedAnswer>,
  log: Log,
): Promise<RunningServer> {
  refuseUnprotected(settings);
  const listener = (request: http.IncomingMessage, response: http.ServerResponse) => {
    if (settings.answerWithinMs !== undefined) {
      const late = setTimeout(() => response.destroy(), settings.answerWithinMs);
      response.once("close", () => clearTimeout(late));
    }
    void handle(request, response, answer, log).catch(() => response.destroy());
  };
  const limits = {
    maxHeaderSize: HEADERS_MAX_BYTES,
    requestTimeout: REQUEST_WITHIN_MS,
    headersTimeout: REQUEST_WITHIN_MS,
    connectionsCheckingInterval: CHECKED_EVERY_MS,
  };
  const server =
    settings.certificate === undefined
      ? http.createServer(limits, listener)
      : https.createServer(
          {
            ...limits,
            cert: pemIn(settings.certificate, settings.called),
            key: pemIn(settings.certificate, settings.called),
            minVersion: "TLSv1.2",
            handshakeTimeout: HANDSHAKE_WITHIN_MS,
          },
          listener,
        );
  server.maxConnections = settings.connectionsMax ?? CONNECTIONS_MAX;
  server.timeout = SILENT_MAX_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(settings, error)));
    server.listen(settings.port, settings.host, resolve);
  });
  server.on("error", (error) =>
    log.error("the server failed", { server: settings.called.server, error: errnoOf(error) ?? "unknown" }),
  );
  const { port } = server.address() as net.AddressInfo;
  return {
    address: `${settings.certificate === undefined ? "http" : "https"}://${settings.host.includes(":") ? `[${settings.host}]` : settings.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 2_000).unref();
      }),
  };
}

async function handle(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  answer: (request: ServedRequest) => Promise<ServedAnswer>,
  log: Log,
): Promise<void> {
  const body = await bodyOf(request);
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
  const target = request.url ?? "/";
  const { answered, pieces, first } = await begin(
    { method: request.method ?? "GET", target, headers, body },
    answer,
    log,
  );
  response.writeHead(answered.status, {
    "content-type": "application/json; charset=utf-8",
    "x-content-type-options": "nosniff",
    ...answered.headers,
    ...(body === undefined ? { connection: "close" } : {}),
  });
  for (let piece = first; !piece.done; piece = await pieces.next()) {
    if (response.destroyed) {
      await pieces.return?.();
      return;
    }
    if (!response.write(piece.value)) await drained(response);
  }
  response.end();
  // The query may hold anything, the body secrets: neither is logged. The answer to a bad request is this
  // program's own text.
  if (answered.status >= 400 && answered.isExpected !== true)
    log.warn("a request was refused", {
      method: request.method,
      path: pathOf(target),
      status: answered.status,
      say: first.done ? "" : sentenceIn(first.value),
    });
  else log.debug("a request was answered", { method: request.method, path: pathOf(target) });
}

/**
 * The sentence of a refusal, from either of the two forms that clients expect, for the log.
 */
function sentenceIn(refusal: string): string {
  try {
    const { error, error_description } = JSON.parse(refusal) as {
      error?: { message?: string };
      error_description?: string;
    };
    return error_description ?? error?.message ?? refusal;
  } catch {
    return refusal;
  }
}

/** Resolves when the client has read enough, or has disconnected. */
function drained(response: http.ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
    if (response.destroyed) done();
  });
}

interface Begun {
  readonly answered: ServedAnswer;
  readonly pieces: Iterator<string> | AsyncIterator<string>;
  readonly first: IteratorResult<string>;
}

/** The answer with its first piece; an error before that is still answered with a status. */
async function begin(
  request: ServedRequest,
  answer: (request: ServedRequest) => Promise<ServedAnswer>,
  log: Log,
): Promise<Begun> {
  try {
    const answered = await answer(request);
    const pieces =
      Symbol.asyncIterator in answered.body ? answered.body[Symbol.asyncIterator]() : answered.body[Symbol.iterator]();
    return { answered, pieces, first: await pieces.next() };
  } catch (error) {
    log.error("a request could not be answered", {
      path: pathOf(request.target),
      error: error instanceof Error ? error.message : String(error),
    });
    const pieces = ['{"error":{"code":"our-fault","message":"the request could not be answered; see the log"}}'][
      Symbol.iterator
    ]();
    return { answered: { status: 500, body: [] }, pieces, first: pieces.next() };
  }
}

function pathOf(target: string): string {
  return target.split("?")[0]?.slice(0, 200) ?? "";
}

/** Undefined when it is too long; what comes after the limit is not kept. */
function bodyOf(request: http.IncomingMessage): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on("data", (piece: Buffer) => {
      length += piece.length;
      if (length <= BODY_MAX_BYTES) pieces.push(piece);
      else resolve(undefined);
    });
    request.on("end", () => resolve(Buffer.concat(pieces).toString("utf8")));
    request.on("error", reject);
    request.on("close", () => reject(new Error("the request ended early")));
  });
}

type Called = ServerSettings["called"];

function certificateIn(file: string, called: Called): X509Certificate {
  const pem = pemIn(file, called);
  try {
    createSecureContext({ cert: pem, key: pem });
    return new X509Certificate(pem);
  } catch (error) {
    throw uselessPem(file, called, "contains no certificate with its private key", error);
  }
}

function pemIn(file: string, called: Called): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw uselessPem(file, called, `cannot be read (${errnoOf(error) ?? "unknown reason"})`, error);
  }
}

function uselessPem(file: string, called: Called, what: string, cause: unknown): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "never" },
    say: `The file ${file} of ${called.certificate} ${what}.`,
    nextStep: `Set \`${called.certificate}\` to a PEM file with private key and certificate that the service's account can read.`,
    cause,
  });
}

/**
 * The settings refuse it too. But everyone who can reach this port reads about every customer, so it is
 * also checked where the socket is opened.
 */
function refuseUnprotected({ host, certificate, secret, called }: ServerSettings): void {
  if (isLoopback(host) || (certificate !== undefined && secret !== undefined)) return;
  throw new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${called.server} does not listen on ${host}, which other machines can reach, without ${called.certificate} and ${called.secret}.`,
    nextStep: `Set both, or set \`${called.listen}\` to an address on 127.0.0.1.`,
  });
}

function cannotListen({ host, port, called }: ServerSettings, error: unknown): Failure {
  const errno = errnoOf(error);
  const why =
    errno === "EADDRINUSE"
      ? "another program uses this port"
      : errno === "EACCES"
        ? "this account has no permission to listen on this port"
        : errno === "EADDRNOTAVAIL"
          ? "this machine does not have this address"
          : (errno ?? "the certificate cannot be used");
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "never" },
    say: `${called.server} cannot listen on ${host}:${port}: ${why}.`,
    nextStep: `Set another address in \`${called.listen}\`.`,
    cause: error,
  });
}
