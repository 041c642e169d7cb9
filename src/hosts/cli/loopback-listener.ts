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

/** Fixed texts: the page contains nothing from the request. */
const DONE_PAGE =
  "<!doctype html><title>Done</title><p>The sign-in is complete. Close this window and return to the terminal.</p>";
const NO_PAGE = "<!doctype html><title>Not found</title><p>Not found.</p>";

export interface LoopbackListener {
  /** The whole final address of the browser. Throws Failure `sign-in-timed-out` after five minutes. */
  readonly landed: Promise<string>;
  close(): void;
}

/**
 * Can this program listen on this redirect URI? Only on this machine and with a port; otherwise the person
 * pastes the address.
 */
export function canListenFor(redirectUri: string): boolean {
  const url = new URL(redirectUri);
  const here = url.hostname === "localhost" || url.hostname === "127.0.0.1" || url.hostname === "[::1]";
  return (url.protocol === "http:" || url.protocol === "https:") && here && url.port !== "";
}

/**
 * Listens for the browser on loopback only. A request is accepted if its Host and path are the redirect URI's
 * and its state is the expected one. All others are answered with 404, so that a page in another tab cannot
 * end or change the sign-in. It accepts one request and stops after five minutes.
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
    const isExpected =
      request.method === "GET" &&
      request.headers.host === home.host &&
      url.pathname === home.pathname &&
      sameText(url.searchParams.get("state") ?? "", state);
    if (!isExpected || answered || stop.signal.aborted) {
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
  // A machine without IPv6 is fine. A port that another program uses on either address is not, because the
  // browser might send the code there.
  const refused = opened.find(
    (one, n) =>
      one.status === "rejected" && (n === 0 || !NO_SUCH_ADDRESS.has((one.reason as NodeJS.ErrnoException).code ?? "")),
  );
  if (refused?.status === "rejected") {
    close();
    throw new Failure("port-taken", {
      actor: "operator",
      retry: { when: "never" },
      say: `Another program uses port ${home.port} of this machine, so the browser cannot return to it.`,
      nextStep: "Stop that program, or run the command again with --way paste.",
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
        nextStep: "Run the command again.",
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
