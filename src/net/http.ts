import type { X509Certificate } from "node:crypto";
import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { isMicrosoftsAddress } from "../model/cloud.ts";
import { Failure, isFailure } from "../model/failure.ts";
import { isLoopback } from "../model/loopback.ts";
import type { Http, HttpAnswer, HttpRequest } from "../model/ports.ts";
import { proxyAddress } from "../model/proxy-address.ts";
import { sealed } from "../model/sealed.ts";
import type { Route } from "../model/stanza.ts";
import type { ProxyRoute } from "./connect.ts";
import { trustFrom, tunnelConnector, witnessingConnector } from "./connect.ts";
import { decodedBody } from "./decode.ts";
import { IDENTITY_ENDPOINT } from "./identity-endpoint.ts";
import { type FailedProxy, type FailedRequest, type GivenUp, networkFailure } from "./network-failures.ts";
import { bypassesProxy } from "./no-proxy.ts";
import { TIME_LIMITS } from "./time-limits.ts";
import { loadUndici } from "./undici.ts";

export interface HttpOptions {
  /** Connections per origin and route; further requests wait in a queue. */
  readonly connectionsPerOrigin?: number;
  readonly connectTimeoutMs?: number;
  /** How long an idle connection is kept when the server names no time. */
  readonly keepAliveMs?: number;
  readonly userAgent?: string;
  /**
   * Where HTTPS_PROXY and NO_PROXY are read for routes without a proxy; the process's own environment unless
   * a test injects another.
   */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Connections of one route (same proxy, exceptions and trust), grouped by origin in undici's agent. */
interface RoutePool {
  readonly agent: Dispatcher;
  /** Certificates of the route's `ca_file`, as it was read. */
  readonly authorities: readonly X509Certificate[];
  destroy(): Promise<void>;
}

/**
 * The only owner of HTTP connections to the outside. Certificates are always verified. Redirects are returned
 * to the caller, never followed. Plain http is refused except to this machine
 * and, without a proxy, to Azure's managed identity endpoint. undici is loaded at the first
 * request. Answers are decoded while they arrive.
 */
export function createHttp(options: HttpOptions = {}): Http {
  const pools = new Map<string, Promise<RoutePool>>();
  const poolOf = new WeakMap<Route, Promise<RoutePool>>();
  /** Pools whose `ca_file` was replaced; their connections end when they are idle. */
  const retired: RoutePool[] = [];
  const userAgent = options.userAgent ?? "defender-mssp";
  const environment = options.environment ?? process.env;
  let closed = false;

  const keyOf = (route: Route): string =>
    JSON.stringify([
      route.direct ?? route.proxy?.open((value) => value),
      route.noProxy,
      route.caFile,
      route.loopbackCertificate,
      route.acceptExpired,
    ]);

  /** A renewed authority is in the file, but not in the pool that read the file before. */
  async function forgetReplacedTrust(route: Route): Promise<void> {
    const pool = await poolOf.get(route);
    if (pool === undefined || route.caFile === undefined) return;
    const { authorities } = await trustFrom(route.caFile, "alone").catch(() => pool);
    const texts = (of: RoutePool["authorities"]) => of.map((one) => one.toString()).join("");
    if (texts(authorities) === texts(pool.authorities)) return;
    poolOf.delete(route);
    const key = keyOf(route);
    if ((await pools.get(key)) !== pool) return;
    pools.delete(key);
    retired.push(pool);
  }

  function poolFor(route: Route): Promise<RoutePool> {
    const known = poolOf.get(route);
    if (known) return known;
    const key = keyOf(route);
    let pool = pools.get(key);
    if (!pool) {
      pool = openPool(route, options);
      pools.set(key, pool);
      pool.catch(() => pools.delete(key));
    }
    poolOf.set(route, pool);
    // The user may fix an unreadable file while this program runs. Each route that shares it looks again.
    pool.catch(() => poolOf.delete(route));
    return pool;
  }

  return {
    async send(request) {
      const url = new URL(request.url);
      refusePlainHttp(url, request.route);
      if (request.route.loopbackCertificate && !isLoopback(url.hostname)) {
        throw new Error(`loopbackCertificate on a route to ${url.host}, which is not this machine`);
      }
      const failed = (): FailedRequest => ({
        host: url.host,
        addressSetting: isMicrosoftsAddress(url.origin) ? undefined : request.addressSetting,
        through: proxyOnTheWay(url, request.route, environment),
        givenUp: closed ? "stopped" : givenUp(request.signal),
      });
      if (closed || request.signal?.aborted === true) throw networkFailure(undefined, failed());
      try {
        const pool = await poolFor(request.route);
        return await ask(pool.agent, request, url, userAgent, failed);
      } catch (error) {
        const failure = networkFailure(error, failed());
        if (isFailure(failure) && failure.code === "tls-untrusted") await forgetReplacedTrust(request.route);
        throw failure;
      }
    },
    async close() {
      closed = true;
      const open = await Promise.allSettled(pools.values());
      const usable = open.flatMap((pool) => (pool.status === "fulfilled" ? [pool.value] : []));
      await Promise.all([...usable, ...retired].map((pool) => pool.destroy()));
      pools.clear();
    },
  };
}

/** Whoever sets a time limit aborts with the reason of `AbortSignal.timeout`. */
function givenUp(signal: AbortSignal | undefined): GivenUp | undefined {
  if (signal?.aborted !== true) return undefined;
  return (signal.reason as { name?: unknown } | undefined)?.name === "TimeoutError" ? "late" : "stopped";
}

async function ask(
  agent: Dispatcher,
  request: HttpRequest,
  url: URL,
  userAgent: string,
  failed: () => FailedRequest,
): Promise<HttpAnswer> {
  const { statusCode, headers, body } = await agent.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: request.method,
    headers: { "accept-encoding": "gzip", "user-agent": userAgent, ...request.headers },
    body: request.body ?? null,
    signal: request.signal ?? null,
    headersTimeout: request.headersTimeoutMs ?? TIME_LIMITS.headers.ms,
    bodyTimeout: request.bodyTimeoutMs ?? TIME_LIMITS.body.ms,
  });
  return answerFrom(statusCode, flat(headers), body, url.host, failed);
}

function answerFrom(
  status: number,
  headers: Readonly<Record<string, string>>,
  raw: Readable & { dump(options?: { limit: number }): Promise<void> },
  host: string,
  failed: () => FailedRequest,
): HttpAnswer {
  const body = withFailures(() => decodedBody(raw, { status, headers }, host), failed);
  return {
    status,
    headers,
    body,
    async text(limitBytes) {
      const pieces: Uint8Array[] = [];
      let length = 0;
      for await (const piece of body) {
        length += piece.length;
        if (length > limitBytes) {
          const { addressSetting } = failed();
          throw new Failure("bad-answer", {
            actor: "microsoft",
            retry: { when: "soon" },
            say: `${host} sent an answer of more than ${limitBytes} bytes, the limit for this request.`,
            nextStep: addressSetting === undefined ? "Check `proxy`." : `Check \`${addressSetting}\`.`,
            status,
          });
        }
        // A piece is valid until the next one is requested.
        pieces.push(Uint8Array.from(piece));
      }
      return Buffer.concat(pieces).toString("utf8");
    },
    async discard() {
      // Reads a short remainder so that the connection can be reused; drops the connection if more follows.
      await raw.dump({ limit: 128 * 1024 }).catch(() => {});
    },
  };
}

async function* withFailures(
  open: () => AsyncIterable<Uint8Array>,
  failed: () => FailedRequest,
): AsyncGenerator<Uint8Array> {
  try {
    yield* open();
  } catch (error) {
    throw networkFailure(error, failed());
  }
}

function flat(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const out: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) out[name] = typeof value === "string" ? value : value.join(", ");
  }
  return out;
}

function refusePlainHttp(url: URL, route: Route): void {
  if (url.protocol === "https:" || (url.protocol === "http:" && isLoopback(url.hostname))) return;
  if (url.origin === IDENTITY_ENDPOINT && route.direct === true) return;
  throw new Failure("address-not-https", {
    actor: "operator",
    retry: { when: "never" },
    say: `No request is sent to ${url.host} over ${url.protocol.slice(0, -1)}, because tokens are sent only over https.`,
    nextStep: "Write an https address in login_url, graph_url, api_url, siem_url or partnercenter_url.",
  });
}

/**
 * The proxy of a route: its own, else the one of the environment (`https_proxy` before `HTTPS_PROXY`, as in
 * curl). The environment's proxy is never used for addresses on this machine.
 */
function proxyFor(route: Route, environment: Readonly<Record<string, string | undefined>>): ProxyRoute | undefined {
  if (route.direct === true) return undefined;
  const noProxy = route.noProxy ?? environment["no_proxy"] ?? environment["NO_PROXY"];
  if (route.proxy !== undefined) return { proxy: route.proxy, namedIn: "`proxy`", noProxy, alsoForLoopback: true };
  const variable = ["https_proxy", "HTTPS_PROXY"].find((name) => environment[name]);
  if (variable === undefined) return undefined;
  const namedIn = `the environment variable ${variable}`;
  return { proxy: sealed(environment[variable] as string), namedIn, noProxy, alsoForLoopback: false };
}

/**
 * Does a request to this address go through a proxy? `doctor` prints this; connections use the same rules.
 */
export function goesThroughProxy(
  url: string,
  route: Route,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return proxyOnTheWay(new URL(url), route, environment) !== undefined;
}

function proxyOnTheWay(
  { hostname, port, protocol }: URL,
  route: Route,
  environment: Readonly<Record<string, string | undefined>>,
): FailedProxy | undefined {
  const found = proxyFor(route, environment);
  if (!found || bypassesProxy(hostname, Number(port) || (protocol === "https:" ? 443 : 80), found.noProxy))
    return undefined;
  if (!found.alsoForLoopback && isLoopback(hostname)) return undefined;
  const host = found.proxy.open((text) => proxyAddress(text)?.url.host ?? "");
  return { host, namedIn: found.namedIn };
}

async function openPool(route: Route, options: HttpOptions): Promise<RoutePool> {
  const undici = await loadUndici();
  const own = route.loopbackCertificate === true;
  const { context: trust, authorities } = await trustFrom(route.caFile, own ? "alone" : "added");
  const closing = new AbortController();
  const straight = witnessingConnector(undici, {
    trust,
    closed: closing.signal,
    connectTimeoutMs: options.connectTimeoutMs ?? TIME_LIMITS.connect.ms,
    checkName: !own,
    ...(own && route.acceptExpired ? { acceptExpiredFrom: authorities } : {}),
  });
  const proxy = proxyFor(route, options.environment ?? process.env);
  const tunnel = proxy === undefined ? undefined : tunnelConnector(undici, proxy, straight, straight);
  const agent = new undici.Agent({
    connect: tunnel?.connector ?? straight,
    connections: options.connectionsPerOrigin ?? 64,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: options.keepAliveMs ?? TIME_LIMITS.idleConnection.ms,
    keepAliveMaxTimeout: TIME_LIMITS.idleConnectionNamed.ms,
    keepAliveTimeoutThreshold: TIME_LIMITS.idleConnectionMargin.ms,
  });
  return {
    agent,
    authorities,
    async destroy() {
      closing.abort();
      await Promise.all([agent.destroy(), tunnel?.pool.destroy()]);
    },
  };
}
