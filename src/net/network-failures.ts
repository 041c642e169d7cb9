import type { PeerCertificate } from "node:tls";
import type { Retry } from "../model/failure.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Actor, FailureCode } from "../model/failure-codes.ts";
import type { AddressSetting } from "../model/ports.ts";

/** The proxy at which a connection failed. */
export interface FailedProxy {
  readonly host: string;
  /** What names the proxy, as the reader finds it: `` `proxy` `` or an environment variable. */
  readonly namedIn: string;
  readonly status?: number;
}

/** What the connector knew when it failed; wraps the runtime's own error. */
export class ConnectFailure extends Error {
  readonly code = "CONNECT_FAILED";
  readonly inner: unknown;
  /** The server's certificate as presented, trusted or not. */
  readonly certificate: PeerCertificate | undefined;
  /** Set when the connection to the proxy failed. */
  readonly proxy: FailedProxy | undefined;

  constructor(
    inner: unknown,
    seen: { readonly certificate?: PeerCertificate | undefined; readonly proxy?: FailedProxy } = {},
  ) {
    super("could not connect", { cause: inner });
    this.inner = inner;
    this.certificate = seen.certificate;
    this.proxy = seen.proxy;
  }
}

/**
 * One row for each way a connection or the transport of an answer fails. `{to}` is the host or the proxy at
 * the other end. The settings of an address are named only where one of them was written: whoever uses
 * Microsoft's own address cannot have misspelt it.
 */
export interface NetworkFailureRow {
  readonly failure: FailureCode;
  /** Error codes of Node, OpenSSL and undici that mean this. */
  readonly codes: readonly string[];
  readonly actor: Actor;
  readonly retry: "soon" | "never";
  readonly say: string;
  /** At an address of Microsoft's. */
  readonly nextStep: string;
  /** Where `{setting}` gave the address; as `nextStep` when absent. */
  readonly atOwnAddress?: string;
  /** Where a proxy, named by `{proxy}`, may have caused it as well as the host. */
  readonly throughProxy?: string;
  /** Where the connection to the proxy failed, which the operator has to look at; `{proxy}` names it. */
  readonly atProxy?: string;
}

/** Sources: Node.js docs "Errors" and "TLS", OpenSSL verify(1) "Diagnostics", undici docs "Errors". */
export const NETWORK_FAILURES: readonly NetworkFailureRow[] = [
  {
    failure: "dns-failed",
    codes: ["ENOTFOUND", "EAI_AGAIN", "EAI_NODATA", "EAI_NONAME", "EAI_FAIL"],
    actor: "operator",
    retry: "soon",
    say: "The host name of {to} could not be resolved.",
    nextStep: "Check this machine's DNS. If this machine needs a proxy, set `proxy`.",
    atOwnAddress:
      "Check the host name in {setting}, then this machine's DNS. If this machine needs a proxy, set `proxy`.",
    atProxy: "Check the host name in {proxy}, then this machine's DNS.",
  },
  {
    failure: "network-unreachable",
    codes: ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "ENETDOWN", "EHOSTDOWN", "EACCES", "EPERM"],
    actor: "operator",
    retry: "soon",
    say: "This machine could not connect to {to}.",
    nextStep: "Check the firewall. If this machine needs a proxy, set `proxy`.",
    atOwnAddress: "Check the address in {setting}, then the firewall. If this machine needs a proxy, set `proxy`.",
    atProxy: "Start the proxy, or correct its address in {proxy}.",
  },
  {
    failure: "timed-out",
    codes: ["ETIMEDOUT", "UND_ERR_CONNECT_TIMEOUT", "UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT"],
    actor: "microsoft",
    retry: "soon",
    say: "{to} did not answer in time{through}.",
    nextStep: "If this persists, check the firewall and the proxy.",
    atOwnAddress: "Check the address in {setting}, then the firewall and the proxy.",
    throughProxy: "If this persists, check the firewall and the proxy in {proxy}.",
    atProxy: "Check that the proxy runs, and its address in {proxy}.",
  },
  {
    failure: "connection-reset",
    codes: [
      "ECONNRESET",
      "EPIPE",
      "ECONNABORTED",
      "UND_ERR_SOCKET",
      "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
      "UND_ERR_PRX_CONN",
    ],
    actor: "microsoft",
    retry: "soon",
    say: "The connection to {to} was closed before the answer was complete.",
    nextStep: "If this persists, check the firewall and the proxy.",
    atProxy: "Check that the proxy runs, and its address in {proxy}.",
  },
  {
    failure: "bad-answer",
    codes: [
      "Z_DATA_ERROR",
      "Z_BUF_ERROR",
      "Z_NEED_DICT",
      "ERR__ERROR_FORMAT",
      "UND_ERR_HEADERS_OVERFLOW",
      "HPE_*",
      "ERR_BROTLI_*",
      "ERR_*FORMAT*",
    ],
    actor: "microsoft",
    retry: "soon",
    say: "{to} sent an answer that cannot be decoded.",
    nextStep: "If this persists, check whether a proxy changes the answers.",
  },
  {
    failure: "tls-untrusted",
    codes: [
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "CERT_SIGNATURE_FAILURE",
      "CERT_UNTRUSTED",
      "CERT_REJECTED",
      "CERT_REVOKED",
      "CERT_CHAIN_TOO_LONG",
      "INVALID_CA",
      "INVALID_PURPOSE",
      "PATH_LENGTH_EXCEEDED",
    ],
    actor: "operator",
    retry: "never",
    say: "The certificate of {to} was issued by {issuer}, which this machine does not trust.",
    nextStep:
      "If the issuer is your own TLS-inspecting proxy, save its CA certificate as a PEM file and set `ca_file` to that file.",
  },
  {
    failure: "tls-untrusted",
    codes: ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"],
    actor: "operator",
    retry: "never",
    say: "The certificate of {to}, issued by {issuer}, is valid from {from} to {until}. This machine's time is outside that range.",
    nextStep:
      "Check this machine's clock. If it is right, ask the owner of the certificate to renew it; `ca_file` does not help.",
  },
  {
    failure: "tls-untrusted",
    codes: ["UNSPECIFIED: * too weak"],
    actor: "operator",
    retry: "never",
    say: "The certificate of {to}, issued by {issuer}, is too weak: its key is shorter than 2048 bits, or it is signed with SHA-1.",
    nextStep:
      "Ask the owner of the certificate for one with an RSA key of 2048 bits or more, signed with SHA-256; `ca_file` does not help.",
  },
  {
    failure: "tls-untrusted",
    codes: ["ERR_TLS_CERT_ALTNAME_INVALID", "HOSTNAME_MISMATCH", "UND_ERR_PRX_TLS"],
    actor: "operator",
    retry: "never",
    say: "{to} presented a certificate for another host name, issued by {issuer}.",
    nextStep:
      "Check whether `proxy` is right, or DNS leads elsewhere; `ca_file` does not help when the host name differs.",
    atOwnAddress:
      "Check the host name in {setting} and in `proxy`; `ca_file` does not help when the host name differs.",
    atProxy: "Check the host name in {proxy}; `ca_file` does not help when the host name differs.",
  },
  {
    failure: "tls-failed",
    codes: ["EPROTO", "ERR_SSL_*", "ERR_TLS_*"],
    actor: "operator",
    retry: "soon",
    say: "The TLS handshake with {to} failed.",
    nextStep: "Check that no proxy or firewall interferes with the connection.",
    atOwnAddress: "Check that the address and port in {setting} serve https, and that no proxy interferes.",
    atProxy: "Check the port in {proxy}. If the proxy does not speak TLS, write its address with http://.",
  },
];

function matches(pattern: string, code: string): boolean {
  if (!pattern.includes("*")) return pattern === code;
  return new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(code);
}

/** Did the connection fail because a certificate is too weak? */
export function isTooWeak(error: unknown): boolean {
  return matches("UNSPECIFIED: * too weak", codeOf(error));
}

/**
 * Did the connection fail because a certificate has expired? `until`: the last day of the server's own one,
 * ms; undefined when another of its chain has expired.
 */
export function expiredCertificate(
  error: unknown,
  nowMs: number,
): { readonly untilMs: number | undefined } | undefined {
  if (codeOf(error) !== "CERT_HAS_EXPIRED") return undefined;
  const untilMs = error instanceof ConnectFailure ? Date.parse(error.certificate?.valid_to ?? "") : Number.NaN;
  return { untilMs: untilMs <= nowMs ? untilMs : undefined };
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return "";
  if (error instanceof ConnectFailure) return codeOf(error.inner);
  const code = (error as { code?: unknown }).code;
  // OpenSSL's reasons without a code of their own in Node.js, such as a key that is too short.
  if (code === "UNSPECIFIED") return `${code}: ${(error as Error).message}`;
  if (typeof code === "string") return code;
  // undici's parser leaves `code` undefined for some malformed answers.
  if ((error as { name?: unknown }).name === "HTTPParserError") return "HPE_OTHER";
  const errors = (error as { errors?: unknown }).errors;
  if (Array.isArray(errors) && errors.length > 0) return codeOf(errors[0]);
  return codeOf((error as { cause?: unknown }).cause);
}

/** `CN=…, O=…` in one line. Certificate names come from outside, so control characters are replaced. */
function issuerInWords(certificate: PeerCertificate | undefined): string {
  const parts = Object.entries(certificate?.issuer ?? {}).map(
    ([field, value]) => `${field}=${[value].flat().join("+")}`,
  );
  if (parts.length === 0) return "an unknown issuer";
  return `"${parts
    .join(", ")
    .replace(/[^\x20-\x7e\u00a0-\uffff]/g, "?")
    .slice(0, 200)}"`;
}

function instantInWords(text: string | undefined): string {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? "?" : new Date(ms).toISOString();
}

/** Why a request was given up: this program stops, or the time for it is over. */
export type GivenUp = "stopped" | "late";

/** What is known of the request that failed. */
export interface FailedRequest {
  /** host[:port] of the requested address; never its path or query. */
  readonly host: string;
  /** The setting that gave the address, if it is not Microsoft's own. */
  readonly addressSetting?: AddressSetting | undefined;
  /** The proxy between this machine and the host. */
  readonly through?: FailedProxy | undefined;
  readonly givenUp?: GivenUp | undefined;
}

/** Turns an error of the runtime into a Failure with a sentence for the operator. */
export function networkFailure(error: unknown, request: FailedRequest): Failure {
  const { host, addressSetting, through, givenUp } = request;
  if (isFailure(error)) return error;
  if (givenUp === "stopped") {
    return new Failure("stopped", {
      actor: "us",
      retry: { when: "soon" },
      say: "The request was cancelled because this program is stopping.",
      cause: error,
    });
  }
  const failed = error instanceof ConnectFailure ? error : undefined;
  const inner = failed ? failed.inner : error;
  if (isFailure(inner)) return inner;
  const proxy = failed?.proxy;
  const to = proxy ? `proxy ${proxy.host}` : host;
  if (proxy?.status !== undefined) return proxyRefused(proxy, proxy.status, host);

  const code = givenUp === "late" ? "ETIMEDOUT" : codeOf(inner);
  const row = NETWORK_FAILURES.find((candidate) => candidate.codes.some((pattern) => matches(pattern, code)));
  if (!row) {
    return new Failure("network-unreachable", {
      actor: "operator",
      retry: { when: "soon" },
      say: `The connection to ${to} failed${code ? ` (${code})` : ""}.`,
      nextStep: proxy ? `Check the network and ${proxy.namedIn}.` : "Check the network and `proxy`.",
      cause: inner,
    });
  }
  const retry: Retry = row.retry === "soon" ? { when: "soon" } : { when: "never" };
  const certificate = failed?.certificate;
  const nextStep = proxy
    ? row.atProxy
    : (through && row.throughProxy) || (addressSetting === undefined ? undefined : row.atOwnAddress);
  const filled = (text: string): string =>
    text
      .replace("{to}", to)
      .replace("{through}", through && !proxy ? ` through the proxy ${through.host}` : "")
      .replace("{issuer}", issuerInWords(certificate))
      .replace("{from}", instantInWords(certificate?.valid_from))
      .replace("{until}", instantInWords(certificate?.valid_to))
      .replace("{setting}", `\`${addressSetting}\``)
      .replace("{proxy}", (proxy ?? through)?.namedIn ?? "`proxy`");
  return new Failure(row.failure, {
    actor: proxy && row.atProxy !== undefined ? "operator" : row.actor,
    retry,
    say: filled(row.say),
    nextStep: filled(nextStep ?? row.nextStep),
    cause: failed ?? inner,
  });
}

function proxyRefused({ host: proxyHost, namedIn }: FailedProxy, status: number, host: string): Failure {
  const needsLogin = status === 407;
  return new Failure("proxy-refused", {
    actor: "operator",
    retry: { when: needsLogin || status === 403 ? "never" : "soon" },
    say: needsLogin
      ? `The proxy ${proxyHost} requires a login, or rejected the login in ${namedIn} (407).`
      : `The proxy ${proxyHost} refused to connect to ${host} (${status}).`,
    nextStep: needsLogin
      ? `Set ${namedIn} with user and password: http://user:password@host:port.`
      : `Ask the proxy's administrator to allow CONNECT to ${host}.`,
    status,
  });
}
