import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Server } from "node:net";
import { Failure } from "../../model/failure.ts";
import { passingCertificate } from "./passing-certificate.ts";

const LIFETIME_MS = 300_000;

/** errno of an address that this machine does not have. Source: bind(2). */
const NO_SUCH_ADDRESS = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT"]);

const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "content-security-policy": "default-src 'none'",
  "x-content-type-options": "nosniff",
  connection: "close",
} as const;

/** Fixed texts: nothing of the request comes back in the page. */
const DONE_PAGE =
  "<!doctype html><title>Done</title><p>The sign-in has arrived. You can close this window and go back to the terminal.</p>";
const NO_PAGE = "<!doctype html><title>No</title><p>Nothing to see here.</p>";

export interface LoopbackListener {
  /** The whole address that the browser ended on. Throws Failure `sign-in-timed-out` after five minutes. */
  readonly landed: Promise<string>;
  close(): void;
}

/**
 * Can we listen for this redirect URI? Only on this machine and with a port; for the others the address is
 * pasted.
 */
export function canListenFor(redirectUri: string): boolean {
  const url = new URL(redirectUri);
  const here = url.hostname === "localhost" || url.hostname === "127.0.0.1" || url.hostname === "[::1]";
  return (url.protocol === "http:" || url.protocol === "https:") && here && url.port !== "";
}

/**
 * Listens for the browser's return on loopback only. A request counts when its Host is the redirect URI's,
 * its path too, and its state is ours; whatever else comes is answered 404 and ignored, so that a page in
 * another tab can neither end nor steer the sign-in. It answers once and lives five minutes.
 */
export async function listenOnLoopback(
  redirectUri: string,
  state: string,
  pause: (forMs: number, signal?: AbortSignal) => Promise<void>,
  nowMs: number,
): Promise<LoopbackListener> {
  const home = new URL(redirectUri);
  const stop = new AbortController();
  const { promise: landed, resolve: arrive, reject: fail } = Promise.withResolvers<string>();
  landed.catch(() => {});
  let answered = false;

  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? "/", home);
    const ours =
      request.method === "GET" &&
      request.headers.host === home.host &&
      url.pathname === home.pathname &&
      sameText(url.searchParams.get("state") ?? "", state);
    if (!ours || answered || stop.signal.aborted) {
      response.writeHead(404, PAGE_HEADERS).end(NO_PAGE);
      return;
    }
    answered = true;
    response.writeHead(200, PAGE_HEADERS).end(DONE_PAGE, close);
    arrive(`${home.origin}${request.url ?? ""}`);
  };
  // `localhost` may resolve to either address in the browser; both are loopback.
  const addresses = home.hostname === "localhost" ? ["127.0.0.1", "::1"] : [home.hostname.replace(/^\[|\]$/g, "")];
  const limits = { requestTimeout: 10_000, headersTimeout: 10_000 };
  const certificate = home.protocol === "https:" ? passingCertificate(nowMs) : undefined;
  const servers = addresses.map(() =>
    certificate ? createTlsServer({ ...limits, ...certificate }, answer) : createServer(limits, answer),
  );
  function close(): void {
    stop.abort();
    for (const server of servers) {
      server.close();
      server.closeIdleConnections();
    }
  }
  const opened = await Promise.allSettled(servers.map((server, n) => listen(server, Number(home.port), addresses[n]!)));
  // A machine without IPv6 is in order; a port that somebody else holds on either address is not: the browser
  // might go there with the code.
  const refused = opened.find(
    (one, n) =>
      one.status === "rejected" && (n === 0 || !NO_SUCH_ADDRESS.has((one.reason as NodeJS.ErrnoException).code ?? "")),
  );
  if (refused?.status === "rejected") {
    close();
    throw new Failure("port-taken", {
      actor: "operator",
      retry: { when: "never" },
      say: `Port ${home.port} on this machine is taken, so the browser cannot come back to it.`,
      nextStep: "Stop the program that uses it, or paste the address by hand: --way paste.",
      cause: refused.reason,
    });
  }
  const expire = (): void => {
    if (stop.signal.aborted) return;
    close();
    fail(
      new Failure("sign-in-timed-out", {
        actor: "operator",
        retry: { when: "never" },
        area: "sign-in",
        say: "Nobody completed the sign-in within five minutes.",
        nextStep: "Begin again.",
      }),
    );
  };
  void pause(LIFETIME_MS, stop.signal).then(expire);
  return { landed, close };
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host, exclusive: true }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
