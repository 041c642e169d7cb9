import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import * as net from "node:net";
import * as tls from "node:tls";
import { Failure, isFailure } from "../model/failure.ts";
import { isTooWeak } from "../net/network-failures.ts";
import { connectTcp } from "../net/tcp.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { errnoOf } from "../stores/disk/disk.ts";
import type { Connection, DatagramConnection, Dialer, Target } from "./connection.ts";

/**
 * Reached, but the handshake did not end in time. A receiver without TLS does this: it takes the handshake
 * for the beginning of a line.
 */
const SILENT = "NO_TLS_ANSWER";

/** The receiver asked for a client certificate, got none, and ended the connection soon after. */
const UNASKED = "NO_CLIENT_CERTIFICATE";
const SOON_MS = 5_000;

const TOO_WEAK = "CERTIFICATE_TOO_WEAK";

const CLIENT_CERTIFICATE_REQUIRED = {
  code: "output-untrusted",
  say: "it requires a client certificate",
  nextStep: "Set .certificate to a PEM file with key and certificate.",
} as const;

const CLOSED_BY_RECEIVER = {
  code: "output-unreachable",
  say: "it closed the connection",
  nextStep: "Look at the receiver and its log; the program connects again by itself.",
} as const;

/**
 * Error codes of connecting → what an operator reads. Sources: Node.js docs, "Common system errors" and
 * "X509 certificate error codes".
 */
const REASONS: Readonly<
  Record<
    string,
    { readonly code: "output-unreachable" | "output-untrusted"; readonly say: string; readonly nextStep: string }
  >
> = {
  ECONNREFUSED: {
    code: "output-unreachable",
    say: "connection refused",
    nextStep: "Start the connector, or check host and port.",
  },
  ENOTFOUND: {
    code: "output-unreachable",
    say: "the host name is not known",
    nextStep: "Check .host and the name server.",
  },
  EAI_AGAIN: {
    code: "output-unreachable",
    say: "the name server does not answer",
    nextStep: "Check the name server, or write an address.",
  },
  ETIMEDOUT: {
    code: "output-unreachable",
    say: "it does not answer",
    nextStep: "Check the firewall, host and port.",
  },
  EHOSTUNREACH: {
    code: "output-unreachable",
    say: "no route to host",
    nextStep: "Check the network and .host.",
  },
  ENETUNREACH: {
    code: "output-unreachable",
    say: "no route to that network",
    nextStep: "Check the network and .host.",
  },
  ECONNRESET: CLOSED_BY_RECEIVER,
  EPIPE: CLOSED_BY_RECEIVER,
  EPROTO: {
    code: "output-untrusted",
    say: "it does not speak TLS",
    nextStep: "Check .port, or set .protocol to what the connector speaks.",
  },
  [SILENT]: {
    code: "output-untrusted",
    say: "it accepts the connection but does not answer in TLS",
    nextStep: "Set .protocol to what the connector speaks (Raw TCP is tcp), or check .port.",
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    code: "output-untrusted",
    say: "it does not speak TLS",
    nextStep: "Check .port, or set .protocol to what the connector speaks.",
  },
  CERT_HAS_EXPIRED: {
    code: "output-untrusted",
    say: "its certificate has expired",
    nextStep: "Renew the connector's certificate.",
  },
  CERT_NOT_YET_VALID: {
    code: "output-untrusted",
    say: "its certificate is not valid yet",
    nextStep: "Check both machines' clocks.",
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    code: "output-untrusted",
    say: "its certificate is for another name",
    nextStep: "Set .host to a name in the certificate.",
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    code: "output-untrusted",
    say: "its certificate is signed by itself",
    nextStep: "Put that certificate into a PEM file and name it in .ca_file.",
  },
  SELF_SIGNED_CERT_IN_CHAIN: {
    code: "output-untrusted",
    say: "its certificate authority is not trusted",
    nextStep: "Put that authority's certificate into a PEM file and name it in .ca_file.",
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    code: "output-untrusted",
    say: "its certificate authority is not trusted",
    nextStep: "Put that authority's certificate into a PEM file and name it in .ca_file.",
  },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    code: "output-untrusted",
    say: "its certificate authority is not trusted",
    nextStep: "Put that authority's certificate into a PEM file and name it in .ca_file.",
  },
  UNABLE_TO_GET_ISSUER_CERT: {
    code: "output-untrusted",
    say: "its certificate authority is not trusted",
    nextStep: "Put that authority's certificate into a PEM file and name it in .ca_file.",
  },
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: CLIENT_CERTIFICATE_REQUIRED,
  [UNASKED]: {
    ...CLIENT_CERTIFICATE_REQUIRED,
    say: "it asked for a client certificate, got none, and closed the connection",
  },
  [TOO_WEAK]: {
    code: "output-untrusted",
    say: "its certificate is too weak: its key is shorter than 2048 bits, or it is signed with SHA-1",
    nextStep: "Give the connector a certificate with an RSA key of 2048 bits or more, signed with SHA-256.",
  },
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: {
    code: "output-untrusted",
    say: "it does not trust the client certificate",
    nextStep: "Have the connector trust the authority of .certificate.",
  },
  // Java's receivers say so.
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: {
    code: "output-untrusted",
    say: "it does not trust the client certificate",
    nextStep: "Have the connector trust the authority of .certificate.",
  },
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: {
    code: "output-untrusted",
    say: "it rejects the client certificate",
    nextStep: "Check .certificate and what the connector trusts.",
  },
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: {
    code: "output-untrusted",
    say: "it ended the TLS handshake",
    nextStep: "It may require a client certificate: set .certificate to a PEM file with key and certificate.",
  },
};

/** Real sockets. Certificate files are read at each connection, so that renewed ones need no restart. */
export const realDialer: Dialer = {
  async connect(target, stop) {
    try {
      const own = target.protocol === "tls" ? tlsOptions(target) : undefined;
      const until = performance.now() + TIME_LIMITS.outputConnect.ms;
      const tcp = await connectTcp({
        host: target.host,
        port: target.port,
        withinMs: TIME_LIMITS.outputConnect.ms,
        stop,
      });
      if (own === undefined) return connectionOf(tcp, target, false);
      const socket = await secured(tcp, own, until - performance.now(), stop);
      // Both sides agree on signature algorithms for a client certificate only when the server asked for one.
      return connectionOf(socket, target, own.cert === undefined && socket.getSharedSigalgs().length > 0);
    } catch (error) {
      throw isFailure(error) ? error : failureOf(target, error);
    }
  },

  datagrams({ host, port }): DatagramConnection {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    // A datagram to a missing receiver gives an error for the next datagram, so an error is reported once.
    socket.on("error", () => undefined);
    socket.unref();
    return {
      send: (datagram) =>
        new Promise((resolve, reject) => {
          socket.send(datagram, port, host, (error) => (error ? reject(error) : resolve()));
        }),
      close: () => socket.close(),
    };
  },
};

/** TLS over a connection that stands. Rejects with the runtime's error, and then ends the connection. */
function secured(
  tcp: net.Socket,
  options: tls.ConnectionOptions,
  withinMs: number,
  stop: AbortSignal,
): Promise<tls.TLSSocket> {
  return new Promise((resolve, reject) => {
    // The TLS socket reports what happens; an error of the connection below it must not be unhandled.
    tcp.on("error", () => undefined);
    const socket = tls.connect({ ...options, socket: tcp });
    const timer = setTimeout(() => fail(withCode(SILENT)), withinMs);
    const onStop = () => fail(new Error("stopped"));
    const settle = () => {
      clearTimeout(timer);
      stop.removeEventListener("abort", onStop);
      socket.removeListener("error", fail);
    };
    const fail = (error: unknown) => {
      settle();
      socket.on("error", () => undefined).destroy();
      reject(error);
    };
    stop.addEventListener("abort", onStop, { once: true });
    if (stop.aborted) onStop();
    socket.once("error", fail);
    socket.once("secureConnect", () => {
      settle();
      resolve(socket);
    });
  });
}

/** Verifies the receiver. Throws Failure `output-untrusted` or an errno error for an unusable file. */
export function tlsOptions({ host, port, caFile, certificate }: Target): tls.ConnectionOptions {
  const own = certificate === undefined ? undefined : readFileSync(certificate);
  const ca = caFile === undefined ? undefined : readFileSync(caFile);
  // A file without a certificate would count as an empty list, and the error would name the receiver instead.
  if (ca !== undefined && !ca.includes("-----BEGIN "))
    throw uselessFile(".ca_file", caFile, "holds no certificate in PEM form");
  if (own !== undefined) {
    try {
      tls.createSecureContext({ cert: own, key: own });
    } catch (error) {
      const isWeak = /TOO_SMALL|TOO_WEAK/.test(codeOf({ host, port, protocol: "tls" }, error));
      throw uselessFile(
        ".certificate",
        certificate,
        isWeak
          ? "holds a certificate that is too weak: its key is shorter than 2048 bits, or it is signed with SHA-1"
          : "does not hold a certificate and the key that belongs to it, both in PEM form",
        error,
      );
    }
  }
  return {
    host,
    port,
    minVersion: "TLSv1.2",
    // Stated, because NODE_TLS_REJECT_UNAUTHORIZED changes only the default.
    rejectUnauthorized: true,
    ...(net.isIP(host) === 0 ? { servername: host } : {}),
    // Whoever names only the issuing CA trusts it. The runtime's default demands its root as well.
    ...(ca === undefined ? {} : { ca, allowPartialTrustChain: true }),
    ...(own === undefined ? {} : { cert: own, key: own }),
  };
}

function uselessFile(key: string, file: string | undefined, what: string, cause?: unknown): Failure {
  return new Failure("output-untrusted", {
    actor: "operator",
    retry: { when: "later" },
    say: `The file ${file} of ${key} ${what}.`,
    nextStep: `Put the right file there, or name another in ${key}; the program connects again by itself.`,
    cause,
  });
}

/** @param lacksCertificate the receiver asked for a client certificate, and there is none. */
function connectionOf(socket: net.Socket, target: Target, lacksCertificate: boolean): Connection {
  let why: unknown;
  const openedAt = performance.now();
  const failed = (error: unknown): Failure => {
    const isPlainEnd = ["", "ECONNRESET", "EPIPE"].includes(codeOf(target, error));
    const isSoon = performance.now() - openedAt < SOON_MS;
    return failureOf(target, lacksCertificate && isPlainEnd && isSoon ? withCode(UNASKED) : error);
  };
  socket.setNoDelay(true);
  socket.setKeepAlive(true, TIME_LIMITS.tcpKeepAlive.ms);
  // A receiver sends nothing of use. It is read all the same, because only then its end is noticed.
  socket.resume();
  socket.on("error", (error) => {
    why ??= error;
  });
  const gone = new Promise<Failure>((resolve) => {
    socket.once("close", () => resolve(why instanceof Failure ? why : failed(why ?? new Error("closed"))));
  });
  return {
    gone,
    send(bytes) {
      return new Promise((resolve, reject) => {
        if (socket.destroyed || socket.writableEnded) {
          reject(failed(why ?? new Error("closed")));
          return;
        }
        socket.write(bytes, (error) => (error ? reject(failed(why ?? error)) : resolve()));
      });
    },
    async close(withinMs) {
      const timer = setTimeout(() => socket.destroy(withCode("ETIMEDOUT")), withinMs);
      socket.end();
      await gone;
      clearTimeout(timer);
      return why === undefined;
    },
    cut(failure) {
      why ??= failure;
      socket.destroy();
    },
  };
}

function withCode(code: string): Error {
  return Object.assign(new Error("the connection cannot be used"), { code });
}

/** The error's code as REASONS names it. */
function codeOf(target: Target, error: unknown): string {
  if (isTooWeak(error)) return TOO_WEAK;
  const given = (error as { code?: unknown } | null)?.code;
  // OpenSSL renamed these alerts in 3.2.
  const code = typeof given === "string" ? given.replace("ERR_SSL_SSL/TLS_ALERT_", "ERR_SSL_SSLV3_ALERT_") : "";
  // Java's receivers answer a missing certificate as a bad one.
  if (code === "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE" && target.certificate === undefined)
    return "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED";
  return code;
}

/** What an error of connecting, or of a connection, means to an operator. */
export function failureOf(target: Target, error: unknown): Failure {
  const code = codeOf(target, error);
  const known = REASONS[code];
  const where = `${target.protocol}://${target.host}:${target.port}`;
  const file =
    errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES" ? (error as { path?: string }).path : undefined;
  if (file !== undefined) {
    return new Failure("output-untrusted", {
      actor: "operator",
      retry: { when: "later" },
      say: `The file ${file} for ${where} cannot be read.`,
      nextStep: "Check .ca_file and .certificate.",
    });
  }
  return new Failure(known?.code ?? "output-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: `${where} cannot be used: ${known?.say ?? (code === "" ? "the connection was closed" : `the connection failed (${code})`)}.`,
    nextStep: known?.nextStep ?? "Look at the receiver; the program connects again by itself.",
    cause: error,
  });
}
