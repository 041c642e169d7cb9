import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as net from "node:net";
import { createSecureContext } from "node:tls";
import type { ServeSettings } from "../../../config/arcsight-settings.ts";
import { isLoopback } from "../../../config/arcsight-settings.ts";
import { Failure } from "../../../model/failure.ts";
import type { Log } from "../../../model/ports.ts";
import { errnoOf } from "../../../stores/disk/disk.ts";
import type { ServedAnswer, ServedRequest } from "./answers.ts";

const BODY_MAX_BYTES = 64 * 1024;
const HEADERS_MAX_BYTES = 16 * 1024;
const CONNECTIONS_MAX = 256;
const REQUEST_WITHIN_MS = 30_000;
/** How often the server checks for requests that take too long. */
const CHECKED_EVERY_MS = 5_000;
const HANDSHAKE_WITHIN_MS = 10_000;
/** Limit for an idle connection, for example of a client that does not read its answer. */
const SILENT_MAX_MS = 60_000;

export interface RunningServer {
  /** The address with the real port. */
  readonly address: string;
  close(): Promise<void>;
}

/**
 * True for the names by which other machines may call this server: the address it listens on, and the names
 * in its certificate. Throws as `startServer`.
 */
export function namesOf(settings: ServeSettings): (name: string) => boolean {
  refuseUnprotected(settings);
  const own = settings.certificate === undefined ? undefined : certificateIn(settings.certificate);
  return (name) =>
    name === settings.host.toLowerCase() ||
    (own !== undefined &&
      (own.checkHost(name) !== undefined || (net.isIP(name) !== 0 && own.checkIP(name) !== undefined)));
}

/**
 * The one place where `arcsight serve` owns a socket. A slow or silent client uses one of CONNECTIONS_MAX
 * connections for at most REQUEST_WITHIN_MS; a long body is not kept.
 *
 * Listens and hands requests on. Throws Failure `output-broken` when it cannot listen or the certificate
 * cannot be used.
 */
export async function startServer(
  settings: ServeSettings,
  answer: (request: ServedRequest) => Promise<ServedAnswer>,
  log: Log,
): Promise<RunningServer> {
  refuseUnprotected(settings);
  const listener = (request: http.IncomingMessage, response: http.ServerResponse) => {
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
            cert: pemIn(settings.certificate),
            key: pemIn(settings.certificate),
            minVersion: "TLSv1.2",
            handshakeTimeout: HANDSHAKE_WITHIN_MS,
          },
          listener,
        );
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = SILENT_MAX_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(cannotListen(settings, error)));
    server.listen(settings.port, settings.host, resolve);
  });
  server.on("error", (error) =>
    log.error("the server of arcsight serve failed", { error: errnoOf(error) ?? "unknown" }),
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
  if (answered.status >= 400)
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

function certificateIn(file: string): X509Certificate {
  const pem = pemIn(file);
  try {
    createSecureContext({ cert: pem, key: pem });
    return new X509Certificate(pem);
  } catch (error) {
    throw uselessPem(file, "contains no certificate with its private key", error);
  }
}

function pemIn(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw uselessPem(file, `cannot be read (${errnoOf(error) ?? "unknown reason"})`, error);
  }
}

function uselessPem(file: string, what: string, cause: unknown): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "never" },
    say: `The file ${file} of serve.certificate ${what}.`,
    nextStep:
      "Set `serve.certificate` to a PEM file with private key and certificate that the service's account can read.",
    cause,
  });
}

/**
 * The settings refuse it too. But everyone who can reach this port reads every customer's alerts, so it is
 * also checked where the socket is opened.
 */
function refuseUnprotected({ host, certificate, clientSecret }: ServeSettings): void {
  if (isLoopback(host) || (certificate !== undefined && clientSecret !== undefined)) return;
  throw new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `serve does not listen on ${host}, which other machines can reach, without serve.certificate and serve.client_secret.`,
    nextStep: "Set both, or set `serve.listen` to an address on 127.0.0.1.",
  });
}

function cannotListen({ host, port }: ServeSettings, error: unknown): Failure {
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
    say: `serve cannot listen on ${host}:${port}: ${why}.`,
    nextStep: "Set another address in `serve.listen`.",
    cause: error,
  });
}
