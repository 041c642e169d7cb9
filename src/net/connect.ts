import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import type { PeerCertificate, SecureContext } from "node:tls";
import { createSecureContext, getCACertificates, TLSSocket } from "node:tls";
import { callbackify } from "node:util";
import type { buildConnector, Pool } from "undici";
import { caFileUnusable } from "../model/endpoint-binding.ts";
import { Failure } from "../model/failure.ts";
import { isLoopback } from "../model/loopback.ts";
import { proxyAddress } from "../model/proxy-address.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import { isVouchedFor } from "./expired-certificate.ts";
import { ConnectFailure } from "./network-failures.ts";
import { bypassesProxy } from "./no-proxy.ts";
import { connectTcp, type TcpTarget } from "./tcp.ts";
import { TIME_LIMITS } from "./time-limits.ts";
import type { Undici } from "./undici.ts";

export interface Trust {
  /** Undefined means the runtime's own roots. */
  readonly context: SecureContext | undefined;
  /** The certificates of the file. */
  readonly authorities: readonly X509Certificate[];
}

/**
 * The certificates that a route trusts: the runtime's own roots plus those of the file, or the file alone.
 * One context serves every connection of a route, because reading 150 roots takes 20 ms. Throws Failure
 * `ca-file-unusable`.
 */
export async function trustFrom(caFile: string | undefined, how: "added" | "alone"): Promise<Trust> {
  if (caFile === undefined) return { context: undefined, authorities: [] };
  let pem: string;
  try {
    pem = await readFile(caFile, "utf8");
  } catch (cause) {
    throw caFileUnusable(caFile, "cannot be read", cause);
  }
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw caFileUnusable(caFile, "contains no PEM certificate");
  try {
    // Read one by one, because OpenSSL silently skips certificates that it cannot read.
    const authorities = blocks.map((block) => new X509Certificate(block));
    const certificates = authorities.map((authority) => authority.toString());
    const context = createSecureContext({
      ca: how === "alone" ? certificates : [...getCACertificates("default"), ...certificates],
      // Whoever names only the issuing CA trusts it. The runtime's default demands its root as well.
      allowPartialTrustChain: true,
    });
    return { context, authorities };
  } catch (cause) {
    throw caFileUnusable(caFile, "contains a damaged certificate", cause);
  }
}

export interface ConnectorOptions {
  readonly trust: SecureContext | undefined;
  /** DNS lookup and TCP connect together. */
  readonly connectTimeoutMs: number;
  /** Fires when the route is closed: a connect that is under way ends. */
  readonly closed: AbortSignal;
  /** False only for this machine's own splunkd, whose certificate has no usable name. */
  readonly checkName: boolean;
  /** For this machine's own splunkd: an expired certificate is accepted if one of these vouches for it. */
  readonly acceptExpiredFrom?: readonly X509Certificate[];
}

/** For undici, which takes callbacks. */
const connectThen = callbackify((target: TcpTarget) => connectTcp(target));

/**
 * Connects with `connectTcp`, and leaves TLS and its session cache to undici's connector. Keeps the server's
 * certificate, so that a failure can name its issuer.
 */
export function witnessingConnector(
  undici: Pick<Undici, "buildConnector">,
  options: ConnectorOptions,
): buildConnector.connector {
  const { acceptExpiredFrom } = options;
  const secured = undici.buildConnector({
    // Set explicitly, because NODE_TLS_REJECT_UNAUTHORIZED changes only the default. Where an expired
    // certificate may pass, `isAccepted` decides instead of the runtime, before a byte is sent.
    rejectUnauthorized: acceptExpiredFrom === undefined,
    // A resumed session does not hold the whole chain.
    ...(acceptExpiredFrom === undefined ? {} : { maxCachedSessions: 0 }),
    allowH2: false,
    timeout: TIME_LIMITS.tlsHandshake.ms,
    keepAliveInitialDelay: TIME_LIMITS.tcpKeepAlive.ms,
    ...(options.trust === undefined ? {} : { secureContext: options.trust }),
    ...(options.checkName ? {} : { checkServerIdentity: () => undefined }),
  }) as (to: buildConnector.Options, done: buildConnector.Callback) => Socket;
  const secure: buildConnector.connector = (to, done) => {
    let certificate: PeerCertificate | undefined;
    const socket = secured(to, (error, connected) => {
      if (error) done(new ConnectFailure(error, { certificate }), null);
      else if (acceptExpiredFrom === undefined || isAccepted(connected, acceptExpiredFrom)) done(null, connected);
      else {
        connected.on("error", () => undefined).destroy();
        const code = connected instanceof TLSSocket ? String(connected.authorizationError) : "CERT_UNTRUSTED";
        done(new ConnectFailure(Object.assign(new Error(code), { code }), { certificate }), null);
      }
    });
    // "secure" is emitted before the runtime checks trust and drops the connection. After that the
    // certificate can no longer be read.
    if (socket instanceof TLSSocket) {
      socket.prependOnceListener("secure", () => {
        certificate = socket.getPeerCertificate();
      });
    }
  };
  return (to, done) => {
    if (to.httpSocket) {
      secure(to, done);
      return;
    }
    const isSecure = to.protocol === "https:";
    const port = Number(to.port) || (isSecure ? 443 : 80);
    connectThen(
      { host: to.hostname, port, withinMs: options.connectTimeoutMs, stop: options.closed },
      (error, socket) => {
        if (error) done(new ConnectFailure(error), null);
        else if (isSecure) {
          // The TLS socket reports what happens; an error of the connection below it must not be unhandled.
          socket.on("error", () => undefined);
          secure({ ...to, httpSocket: socket }, done);
        } else {
          socket.setNoDelay(true).setKeepAlive(true, TIME_LIMITS.tcpKeepAlive.ms);
          done(null, socket);
        }
      },
    );
  };
}

function isAccepted(socket: Socket, authorities: readonly X509Certificate[]): boolean {
  return socket instanceof TLSSocket && (socket.authorized || isVouchedFor(socket, authorities));
}

export interface ProxyRoute {
  readonly proxy: Sealed;
  /** What names the proxy, for sentences. */
  readonly namedIn: string;
  readonly noProxy: string | undefined;
  /** False for a proxy that comes from the environment. */
  readonly alsoForLoopback: boolean;
}

export interface Tunnel {
  readonly connector: buildConnector.connector;
  readonly pool: Pool;
}

/**
 * Connects through an HTTP or HTTPS proxy by CONNECT, with TLS to the destination inside the tunnel.
 * Destinations in `no_proxy` use `direct`. All requests use a tunnel, so a proxy never sees a token.
 */
export function tunnelConnector(
  undici: Pick<Undici, "Pool">,
  route: ProxyRoute,
  direct: buildConnector.connector,
  toProxy: buildConnector.connector,
): Tunnel {
  const { origin, host, authorization } = route.proxy.open(readProxy);
  const pool = new undici.Pool(origin, {
    connect: toProxy,
    connections: 32,
    pipelining: 1,
    headersTimeout: TIME_LIMITS.tlsHandshake.ms,
    bodyTimeout: TIME_LIMITS.body.ms,
    keepAliveTimeout: TIME_LIMITS.idleConnection.ms,
    keepAliveMaxTimeout: TIME_LIMITS.idleConnectionNamed.ms,
    keepAliveTimeoutThreshold: TIME_LIMITS.idleConnectionMargin.ms,
  });
  const connector: buildConnector.connector = (to, done) => {
    const port = Number(to.port) || (to.protocol === "https:" ? 443 : 80);
    if (bypassesProxy(to.hostname, port, route.noProxy) || (!route.alsoForLoopback && isLoopback(to.hostname)))
      return direct(to, done);
    const authority = `${to.hostname.includes(":") && !to.hostname.startsWith("[") ? `[${to.hostname}]` : to.hostname}:${port}`;
    const headers: Record<string, string> = { host: authority };
    authorization?.open((value) => {
      headers["proxy-authorization"] = value;
    });
    pool.connect({ path: authority, headers }, (error, answer) => {
      if (error) {
        const failureText = error instanceof ConnectFailure ? error : undefined;
        done(
          new ConnectFailure(failureText ? failureText.inner : error, {
            certificate: failureText?.certificate,
            proxy: { host, namedIn: route.namedIn },
          }),
          null,
        );
        return;
      }
      const { socket, statusCode } = answer;
      // RFC 9110 section 9.3.6: any 2xx opens the tunnel, and its Content-Length and Transfer-Encoding mean
      // nothing.
      if (statusCode < 200 || statusCode > 299) {
        socket.on("error", () => {}).destroy();
        done(new ConnectFailure(undefined, { proxy: { host, namedIn: route.namedIn, status: statusCode } }), null);
      } else if (to.protocol === "https:") direct({ ...to, httpSocket: socket as Socket }, done);
      else done(null, socket as Socket);
    });
  };
  return { connector, pool };
}

/** Where the proxy is, and the header by which this program logs in. Throws Failure `proxy-unusable`. */
function readProxy(text: string): { origin: string; host: string; authorization: Sealed | undefined } {
  const address = proxyAddress(text);
  if (address === undefined || !/^https?:$/.test(address.url.protocol)) {
    // The text may contain a password, so the sentence must not repeat it.
    throw new Failure("proxy-unusable", {
      actor: "operator",
      retry: { when: "never" },
      say: "The setting `proxy` is not an http or https address.",
      nextStep: "Set `proxy` to http://host:port or http://user:password@host:port.",
    });
  }
  const { url, login } = address;
  const basic = login && Buffer.from(`${login.user}:${login.password}`, "utf8").toString("base64");
  return {
    origin: url.origin,
    host: url.host,
    authorization: basic === undefined ? undefined : sealed(`Basic ${basic}`),
  };
}
