import path from "node:path";
import { REQUESTS_CONF } from "../../config/request-stanza.ts";
import { SCHEME } from "../../config/scheme.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import { isLoopback } from "../../model/loopback.ts";
import type { Clock, Http, HttpAnswer, Log } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { Route } from "../../model/stanza.ts";
import { jsonOf } from "../../net/json-answer.ts";
import { expiredCertificate, isTooWeak } from "../../net/network-failures.ts";
import { TIME_LIMITS } from "../../net/time-limits.ts";

/** Folder and id of this app; the stored secrets are in its namespace. */
export const APP = "TA_defender_mssp";

/** The inputs of an app, or the one of this name. */
export function inputsPath(app: string, name?: string): string {
  const all = `/servicesNS/nobody/${encodeURIComponent(app)}/data/inputs/${SCHEME}`;
  return name === undefined ? all : `${all}/${encodeURIComponent(name)}`;
}

/** A list page of 500 stored secrets is about 1.5 MB. */
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;
/** Pauses between attempts while splunkd starts or restarts (503, no connection). */
const PAUSES_MS = [1000, 2000, 4000, 8000, 15_000] as const;

export interface SplunkdOptions {
  readonly http: Http;
  readonly clock: Clock;
  readonly serverUri: string;
  readonly sessionKey: Sealed | undefined;
  /**
   * Scheme of the authorization header; `Bearer` for an authentication token that an administrator created.
   */
  readonly authorization?: "Splunk" | "Bearer";
  /** The setting of that name; undefined: Splunk's own CA, and then loopback only. */
  readonly splunkdCaFile: string | undefined;
  readonly splunkHome: string | undefined;
  /** Where an expired certificate of this machine's splunkd is warned about. */
  readonly log?: Pick<Log, "warn">;
  readonly stop?: AbortSignal;
}

export interface SplunkdAnswer {
  readonly status: number;
  readonly json: unknown;
}

/**
 * splunkd's REST interface with the input's own session key. The key is sent only to this machine, or to a
 * host that `splunkd_ca_file` verifies, and never through a proxy. The content of an answer never gets into a
 * failure, because these endpoints can return secrets.
 */
export class Splunkd {
  readonly #options: SplunkdOptions;
  readonly #way: Way;

  /**
   * Throws Failure `splunkd-unnamed`, `splunkd-untrusted` or `session-key-missing` before anything is sent.
   */
  constructor(options: SplunkdOptions) {
    this.#options = options;
    this.#way = trustOf(options);
    if (!options.sessionKey) {
      throw new Failure("session-key-missing", {
        actor: "operator",
        retry: { when: "never" },
        say: "The run document contains no session key, so Splunk's credential store cannot be read.",
        nextStep: "Start the input from Splunk, or use a document from `splunk cmd splunkd print-modinput-config`.",
      });
    }
  }

  get(pathAndQuery: string): Promise<SplunkdAnswer> {
    return this.#withRetries("GET", pathAndQuery);
  }

  /** The same, but the stop ends it. Not for what belongs to an edit or a write: those are finished. */
  getUntilStop(pathAndQuery: string): Promise<SplunkdAnswer> {
    return this.#withRetries("GET", pathAndQuery, undefined, this.#options.stop);
  }

  /** One try, for what is asked again soon anyway; the stop ends it. */
  getOnce(pathAndQuery: string): Promise<SplunkdAnswer> {
    return this.#once("GET", pathAndQuery, undefined, this.#options.stop);
  }

  post(pathAndQuery: string, form: Readonly<Record<string, string>>): Promise<SplunkdAnswer> {
    return this.#withRetries("POST", pathAndQuery, form);
  }

  /** One try with a form, for what is sent again soon anyway; the stop ends it. */
  postFormOnce(pathAndQuery: string, form: Readonly<Record<string, string>>): Promise<SplunkdAnswer> {
    return this.#once("POST", pathAndQuery, formBody(form), this.#options.stop);
  }

  /** One try with a JSON body, for what is sent again soon anyway; the stop ends it. */
  postJsonOnce(pathAndQuery: string, value: unknown): Promise<SplunkdAnswer> {
    const body = { type: "application/json", text: JSON.stringify(value) };
    return this.#once("POST", pathAndQuery, body, this.#options.stop);
  }

  /** One try; the stop ends it. */
  deleteOnce(pathAndQuery: string): Promise<SplunkdAnswer> {
    return this.#once("DELETE", pathAndQuery, undefined, this.#options.stop);
  }

  delete(pathAndQuery: string): Promise<SplunkdAnswer> {
    return this.#withRetries("DELETE", pathAndQuery);
  }

  /** Retries for half a minute while splunkd is busy or not reachable. */
  async #withRetries(
    method: "GET" | "POST" | "DELETE",
    pathAndQuery: string,
    form?: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<SplunkdAnswer> {
    const body = formBody(form);
    for (const pauseMs of PAUSES_MS) {
      try {
        return await this.#once(method, pathAndQuery, body, signal);
      } catch (error) {
        if (!isFailure(error) || error.retry.when !== "soon" || this.#options.stop?.aborted) throw error;
        await this.#options.clock.pause(pauseMs, this.#options.stop);
      }
    }
    return this.#once(method, pathAndQuery, body, signal);
  }

  async #once(
    method: "GET" | "POST" | "DELETE",
    pathAndQuery: string,
    body?: Body,
    signal?: AbortSignal,
  ): Promise<SplunkdAnswer> {
    const separator = pathAndQuery.includes("?") ? "&" : "?";
    const answer = await (this.#options.sessionKey as Sealed).open((key) =>
      sendTo(this.#options, this.#way, {
        method,
        path: `${pathAndQuery}${separator}output_mode=json`,
        headers: { authorization: `${this.#options.authorization ?? "Splunk"} ${key}` },
        body,
        ...(signal ? { signal } : {}),
      }),
    );
    if (answer.status === 403) throw forbidden(method, pathAndQuery, await capabilityNamedIn(answer));
    const refused = refusal(answer.status);
    if (refused) {
      await answer.discard();
      throw refused;
    }
    const text = await answer.text(ANSWER_MAX_BYTES).catch((error: unknown) => {
      throw unreachable(error, this.#options.clock);
    });
    // Some answers (201, 409) can be XML although JSON was requested; then only the status is used.
    return { status: answer.status, json: jsonOf(text) };
  }
}

/**
 * A session key for a person's login, for commands that run outside of an input. Throws the failures of
 * Splunkd, and `splunkd-login-refused`. Source: Splunk REST API Reference, auth/login.
 */
export async function splunkdLogin(
  options: Omit<SplunkdOptions, "sessionKey">,
  user: string,
  password: Sealed,
): Promise<Sealed> {
  const way = trustOf({ ...options, sessionKey: undefined });
  const answer = await password.open((text) =>
    sendTo(options, way, {
      method: "POST",
      path: "/services/auth/login?output_mode=json",
      headers: {},
      body: formBody({ username: user, password: text }),
    }),
  );
  const text = await answer.text(ANSWER_MAX_BYTES).catch((error: unknown) => {
    throw unreachable(error, options.clock);
  });
  const key = (jsonOf(text) as { readonly sessionKey?: unknown } | undefined)?.sessionKey;
  if (answer.status === 200 && typeof key === "string" && key !== "") return sealed(key);
  if (answer.status === 401 || answer.status === 403) {
    throw new Failure("splunkd-login-refused", {
      actor: "operator",
      retry: { when: "never" },
      status: answer.status,
      say: "Splunk rejected this user and password.",
      nextStep: "Check both, or set DEFENDER_MSSP_SPLUNK_TOKEN to an authentication token.",
    });
  }
  throw (
    refusal(answer.status) ??
    new Failure("splunkd-answer", {
      actor: "operator",
      retry: { when: "later" },
      status: answer.status,
      say: `splunkd answered the login in an unknown form (${answer.status}).`,
      nextStep: "Look for the cause in splunkd.log.",
    })
  );
}

interface Way {
  readonly base: string;
  /** Changes once, when splunkd's certificate turns out to have expired. */
  route: Route;
}

interface Sent {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Body | undefined;
  readonly signal?: AbortSignal;
}

interface Body {
  readonly type: string;
  readonly text: string;
}

function formBody(form: Readonly<Record<string, string>> | undefined): Body | undefined {
  return form && { type: "application/x-www-form-urlencoded", text: new URLSearchParams(form).toString() };
}

/**
 * Splunk makes splunkd's certificate for three years and does not renew it by itself. On this machine its
 * end is warned about, and the customers go on: the key is still the right one. Elsewhere it is refused.
 */
async function sendTo(options: Omit<SplunkdOptions, "sessionKey">, way: Way, sent: Sent): Promise<HttpAnswer> {
  const { http, clock, log } = options;
  const { method, path: pathAndQuery, headers, body, signal } = sent;
  try {
    return await http.send({
      method,
      url: `${way.base}${pathAndQuery}`,
      headers: { ...headers, ...(body ? { "content-type": body.type } : {}) },
      ...(body ? { body: body.text } : {}),
      route: way.route,
      ...(signal ? { signal } : {}),
      headersTimeoutMs: TIME_LIMITS.splunkd.ms,
    });
  } catch (error) {
    const expired = isFailure(error) ? expiredCertificate(error.cause, clock.nowMs()) : undefined;
    if (expired === undefined || !way.route.loopbackCertificate || way.route.acceptExpired)
      throw unreachable(error, clock);
    way.route = { ...way.route, acceptExpired: true };
    log?.warn(`${expiredInWords(expired.untilMs)} It is accepted, because splunkd is on this machine`, {
      next_step: RENEW,
    });
    return sendTo(options, way, sent);
  }
}

const RENEW =
  "Renew splunkd's certificate: rename $SPLUNK_HOME/etc/auth/server.pem and restart Splunk, which makes a new one. If serverCert in server.conf names a certificate of your own, replace that file and restart Splunk.";

function expiredInWords(untilMs: number | undefined): string {
  return untilMs === undefined
    ? "A certificate in the chain of splunkd's certificate has expired."
    : `splunkd's certificate expired on ${new Date(untilMs).toISOString().slice(0, 10)}.`;
}

/** Where the session key may be sent, and how splunkd's certificate is verified. */
function trustOf(options: SplunkdOptions): Way {
  let url: URL;
  try {
    url = new URL(options.serverUri);
  } catch {
    throw new Failure("splunkd-unnamed", {
      actor: "operator",
      retry: { when: "never" },
      say: "The run document contains no valid server_uri, so Splunk's credential store cannot be read.",
    });
  }
  const base = url.origin;
  if (isLoopback(url.hostname)) {
    const caFile =
      options.splunkdCaFile ??
      (options.splunkHome === undefined ? undefined : path.join(options.splunkHome, "etc", "auth", "cacert.pem"));
    if (url.protocol === "http:") return { base, route: { direct: true } };
    if (caFile === undefined) {
      throw new Failure("splunkd-untrusted", {
        actor: "operator",
        retry: { when: "never" },
        say: "SPLUNK_HOME is not set and splunkd_ca_file names no file, so splunkd's certificate cannot be verified",
        nextStep: "Set splunkd_ca_file under [defender_mssp].",
      });
    }
    return { base, route: { direct: true, caFile, loopbackCertificate: true } };
  }
  if (url.protocol !== "https:" || options.splunkdCaFile === undefined) {
    throw new Failure("splunkd-untrusted", {
      actor: "operator",
      retry: { when: "never" },
      say: `The session key is not sent to splunkd at ${url.host}: the address is not on this machine, and splunkd_ca_file is not set to verify it.`,
      nextStep: "Set splunkd_ca_file under [defender_mssp] to the PEM file of splunkd's CA.",
    });
  }
  return { base, route: { direct: true, caFile: options.splunkdCaFile } };
}

/**
 * The meaning of splunkd's own error statuses; other statuses are left to the caller. Source: Splunk REST API
 * Reference, response status codes.
 */
function refusal(status: number): Failure | undefined {
  switch (status) {
    case 401:
      return new Failure("splunkd-session-refused", {
        actor: "operator",
        retry: { when: "later" },
        status,
        say: "splunkd rejected this program's session key (401). It has probably expired.",
        nextStep: "Disable and enable one of the inputs, so that splunkd restarts this program with a new session key.",
      });
    case 429:
    case 502:
    case 503:
    case 504:
      return new Failure("splunkd-busy", {
        actor: "operator",
        retry: { when: "soon" },
        status,
        say: `splunkd is not ready (${status}).`,
        nextStep: "Wait until splunkd has started. If this persists, check splunkd.log.",
      });
    default:
      return undefined;
  }
}

/** splunkd's messages name the capability; nothing else of them may get into a failure. */
const CAPABILITY = /requires capability:?\s*['"]?([a-z][a-z0-9_]{2,59})\b/;
const MESSAGE_MAX_BYTES = 64 * 1024;

async function capabilityNamedIn(answer: HttpAnswer): Promise<string | undefined> {
  const text = await answer.text(MESSAGE_MAX_BYTES).catch(() => "");
  return CAPABILITY.exec(text)?.[1];
}

/**
 * @param named the capability that splunkd's answer names. Where it names none: those of authorize.conf.
 */
function forbidden(method: string, pathAndQuery: string, named: string | undefined): Failure {
  const isRead = method === "GET";
  if (pathAndQuery.includes("/storage/collections/") || pathAndQuery.includes(`/conf-${REQUESTS_CONF}`))
    return new Failure("splunkd-forbidden", {
      actor: "operator",
      retry: { when: "later" },
      status: 403,
      say: `splunkd does not allow this program to ${isRead ? "read" : "write"} what the pages in Splunk Web ask and show (403).`,
      nextStep: `Give the user that owns the input write access to the app ${APP}.`,
    });
  const isInput = pathAndQuery.includes("/data/inputs/");
  const [what, usual] = isInput
    ? isRead
      ? ["to read an input", "list_inputs"]
      : ["to edit an input", "admin_all_objects"]
    : isRead
      ? ["to read its credential store", "list_storage_passwords"]
      : ["to write to its credential store", "edit_storage_passwords"];
  const capability = named ?? usual;
  return new Failure("splunkd-forbidden", {
    actor: "operator",
    retry: { when: "later" },
    status: 403,
    say: `splunkd does not allow this program ${what} (403): the capability ${capability} is missing.`,
    nextStep: `Give the user that owns the input the capability \`${capability}\`${isInput ? ", and write access to the input's app" : ""}.`,
  });
}

/**
 * A network failure with a sentence about splunkd, because the client's own sentences name Microsoft's
 * settings.
 */
function unreachable(error: unknown, clock: Clock): Failure {
  if (!isFailure(error)) throw error;
  if (error.code === "stopped") return error;
  if (isTooWeak(error.cause)) {
    return new Failure("splunkd-untrusted", {
      actor: "operator",
      retry: { when: "never" },
      say: "splunkd's certificate is too weak: its key is shorter than 2048 bits, or it is signed with SHA-1.",
      nextStep:
        "Give splunkd a certificate with an RSA key of 2048 bits or more, signed with SHA-256 (serverCert in server.conf), and restart Splunk; splunkd_ca_file does not help.",
      cause: error,
    });
  }
  const expired = expiredCertificate(error.cause, clock.nowMs());
  if (expired !== undefined) {
    return new Failure("splunkd-untrusted", {
      actor: "operator",
      retry: { when: "never" },
      say: `${expiredInWords(expired.untilMs)} No session key is sent. splunkd_ca_file does not help.`,
      nextStep: RENEW,
      cause: error,
    });
  }
  if (error.code === "ca-file-unusable" || error.code === "tls-untrusted") {
    return new Failure("splunkd-untrusted", {
      actor: "operator",
      retry: { when: "never" },
      say: "splunkd's certificate could not be verified with $SPLUNK_HOME/etc/auth/cacert.pem or the file in splunkd_ca_file.",
      nextStep: "Set splunkd_ca_file under [defender_mssp] to the PEM file of splunkd's CA.",
      cause: error,
    });
  }
  return new Failure("splunkd-unreachable", {
    actor: "operator",
    retry: { when: "soon" },
    say: `splunkd's management port does not answer (${error.code}).`,
    nextStep: "Check that the port is open on this host. On a universal forwarder set secrets as file:PATH.",
    cause: error,
  });
}
