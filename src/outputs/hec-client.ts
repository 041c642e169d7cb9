import { gzipSync } from "node:zlib";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock, Http, HttpAnswer } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { Route } from "../model/stanza.ts";
import {
  type AckVerdict,
  type HecReason,
  type HecVerdict,
  inWords,
  readAckAnswer,
  readHecAnswer,
} from "./hec-answer.ts";

/** No answer of HEC is longer: an answer to 10,000 acknowledgement ids has 150 KiB. */
const ANSWER_MOST_BYTES = 4 << 20;
const GZIP_LEVEL = 1;

/** How requests reach HEC. */
export interface HecClientParts {
  readonly name: string;
  /** Undefined: it cannot be read yet, so nothing is sent before `useToken`. */
  readonly token: Sealed | undefined;
  readonly gzip: boolean;
  readonly caFile: string | undefined;
  readonly http: Http;
  readonly clock: Clock;
}

/** One conversation with one indexer, or a balancer before several. */
export interface HecConversation {
  /** The base address, without a path of HEC. */
  readonly url: string;
  /** Undefined: no acknowledgement is asked for. */
  readonly channel: string | undefined;
  /** What keeps a balancer at one indexer. */
  readonly cookie: string | undefined;
}

export interface HecAnswered<Verdict> {
  readonly verdict: Verdict;
  /** What the answer set; undefined when it set none. */
  readonly cookie: string | undefined;
}

/** Sends batches and questions for acknowledgements to HEC. Certificates are verified, redirects refused. */
export class HecClient {
  readonly #p: HecClientParts;
  readonly #route: Route;
  #token: Sealed | undefined;

  constructor(parts: HecClientParts) {
    this.#p = parts;
    this.#token = parts.token;
    this.#route = parts.caFile === undefined ? {} : { caFile: parts.caFile };
  }

  /** For every request from now on. */
  useToken(token: Sealed): void {
    this.#token = token;
  }

  /**
   * Throws Failure `output-unreachable` or `output-untrusted`: whether it arrived is not known then; and
   * `output-broken` while there is no token.
   */
  async send(to: HecConversation, lines: Uint8Array, stop: AbortSignal): Promise<HecAnswered<HecVerdict>> {
    const body = this.#p.gzip ? gzipSync(lines, { level: GZIP_LEVEL }) : lines;
    const { answer, text } = await this.#post(to, "/services/collector/event", body, this.#p.gzip, stop);
    const verdict = readHecAnswer(answer.status, answer.headers, text, this.#p.clock.nowMs());
    return { verdict, cookie: cookieIn(answer) };
  }

  /** Throws as `send`. */
  async askAcks(to: HecConversation, ids: readonly number[], stop: AbortSignal): Promise<AckVerdict> {
    const body = Buffer.from(JSON.stringify({ acks: ids }));
    const { answer, text } = await this.#post(to, "/services/collector/ack", body, false, stop);
    return readAckAnswer(answer.status, text, ids);
  }

  async #post(
    { url, channel, cookie }: HecConversation,
    path: string,
    body: Uint8Array,
    isGzip: boolean,
    stop: AbortSignal,
  ): Promise<{ readonly answer: HttpAnswer; readonly text: string }> {
    const { name, http } = this.#p;
    const token = this.#token;
    if (token === undefined) throw hecWithoutToken(name);
    try {
      const answer = await http.send({
        method: "POST",
        url: `${url}${path}`,
        headers: {
          authorization: token.open((value) => `Splunk ${value}`),
          "content-type": "application/json",
          ...(isGzip ? { "content-encoding": "gzip" } : {}),
          ...(channel === undefined ? {} : { "x-splunk-request-channel": channel }),
          ...(cookie === undefined ? {} : { cookie }),
        },
        body,
        route: this.#route,
        signal: stop,
      });
      return { answer, text: await answer.text(ANSWER_MOST_BYTES) };
    } catch (error) {
      throw isFailure(error) ? unreachable(name, error) : error;
    }
  }
}

/** Name and value of each cookie, as they are sent back. */
function cookieIn({ headers }: HttpAnswer): string | undefined {
  const set = headers["set-cookie"];
  if (set === undefined) return undefined;
  // Several are joined by ", ", and a date after "expires=" holds that too.
  const pairs = set
    .split(/, (?=[^;,\s=]+=)/)
    .map((one) => (one.split(";")[0] ?? "").trim())
    .filter((pair) => /^[^\s=]+=[^\s]*$/.test(pair));
  return pairs.length === 0 ? undefined : pairs.join("; ");
}

const UNTRUSTED: ReadonlySet<string> = new Set(["tls-untrusted", "ca-file-unusable"]);

function unreachable(name: string, failure: Failure): Failure {
  const isUntrusted = UNTRUSTED.has(failure.code);
  return new Failure(isUntrusted ? "output-untrusted" : "output-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${failure.say}`,
    nextStep: isUntrusted
      ? "Put the certificate of the authority that issued HEC's certificate into a PEM file and name it in .ca_file."
      : "Start Splunk, or check .urls and the network. Delivery resumes by itself.",
    cause: failure,
  });
}

/** HEC accepts nothing before a person changes something. */
export function hecStopped(name: string, url: string, reason: HecReason, nextStep: string): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${url} refuses events (${inWords(reason)}). They wait, and it is tried again each minute.`,
    nextStep,
  });
}

/** The token's file is missing, or is not for this program. */
function hecWithoutToken(name: string): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: the token of HEC cannot be read, so nothing is sent. Events wait in the spool.`,
    nextStep: "Put the token where .token says. It counts within 60 seconds.",
  });
}

/** `.ack=on`, but HEC acknowledges nothing. */
export function hecWithoutAck(name: string, url: string): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${url} does not acknowledge events, but .ack is on. They wait.`,
    nextStep:
      "Enable indexer acknowledgement for the token in Splunk, or set .ack to auto and accept the weaker promise.",
  });
}

/**
 * HEC takes events, and nothing says that one of them is indexed.
 *
 * @param answer why its answers about acknowledgements are of no use; undefined: they are, and say no.
 */
export function hecSilent(name: string, url: string, answer: string | undefined): Failure {
  const why = answer === undefined ? "it says that none of them is indexed" : `no usable answer: ${answer}`;
  return new Failure("output-unconfirmed", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: HEC at ${url} takes events and acknowledges none of them (${why}). They wait, and are sent again with the same keys: after 5 minutes, then after pauses that double up to one hour.`,
    nextStep:
      answer === undefined
        ? "Check the indexing queues and the disk of Splunk's indexers, and that a load balancer keeps each client at one indexer."
        : `Let requests for ${url}/services/collector/ack reach the indexer that took the events.`,
  });
}
