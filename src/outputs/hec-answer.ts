import { printable } from "../model/printable.ts";
import { jsonOf } from "../net/json-answer.ts";
import { retryAfter } from "../net/retry-after.ts";

/** What an answer of HEC means for the batch that was sent. */
export type HecVerdict =
  /** `ackId` undefined: HEC acknowledges nothing here. */
  | { readonly is: "taken"; readonly ackId: number | undefined }
  /** One event is refused for good; which one is not always said. */
  | { readonly is: "event-refused"; readonly index: number | undefined; readonly reason: HecReason }
  | { readonly is: "too-large"; readonly reason: HecReason }
  /** The channel is of no use any more. */
  | { readonly is: "channel-refused"; readonly reason: HecReason }
  | { readonly is: "ack-off" }
  /** Nothing is accepted before a person changes something. */
  | { readonly is: "stopped"; readonly reason: HecReason; readonly nextStep: string }
  | { readonly is: "busy"; readonly reason: HecReason; readonly waitMs: number | undefined }
  /** It may have been taken, or not. */
  | { readonly is: "unclear"; readonly reason: HecReason };

/** As the answer had it; `text` is HEC's own, cut. */
export interface HecReason {
  readonly status: number;
  readonly code: number | undefined;
  readonly text: string;
}

const TEXT_MOST = 200;

/**
 * Codes of HEC and what they mean here. Source: Splunk docs, "Possible error codes" of the HTTP Event
 * Collector.
 */
const EVENT_REFUSED: ReadonlySet<number> = new Set([6, 12, 13, 15]);
const CHANNEL_REFUSED: ReadonlySet<number> = new Set([10, 11]);
const ACK_IS_OFF = 14;
const STOPPED: Readonly<Record<number, string>> = {
  1: "Enable the token in Splunk (Settings, Data inputs, HTTP Event Collector).",
  2: "Set .token.",
  3: "Check .token: Splunk cannot read it.",
  4: "Check .token: Splunk does not know it.",
  7: "Create the index in Splunk, or allow it for the token, or correct .index and tenants[n].index.",
  21: "Check .token: Splunk does not know it.",
  22: "Enable the token in Splunk (Settings, Data inputs, HTTP Event Collector).",
};
const BUSY: ReadonlySet<number> = new Set([8, 9, 18, 19, 20, 23]);

/** Decides what one answer to a batch of events means. */
export function readHecAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  nowMs: number,
): HecVerdict {
  const answer = objectIn(body);
  const code = wholeNumber(answer?.["code"]);
  const said = typeof answer?.["text"] === "string" ? answer["text"] : "";
  const reason: HecReason = { status, code, text: shown(said) };
  if (status === 200) {
    if (answer === undefined) return { is: "unclear", reason };
    if (code === undefined || code === 0) return { is: "taken", ackId: wholeNumber(answer["ackId"]) };
  }
  if (status === 413) return { is: "too-large", reason };
  if (code !== undefined) {
    if (EVENT_REFUSED.has(code))
      return { is: "event-refused", index: wholeNumber(answer?.["invalid-event-number"]), reason };
    if (CHANNEL_REFUSED.has(code)) return { is: "channel-refused", reason };
    if (code === ACK_IS_OFF) return { is: "ack-off" };
    const nextStep = STOPPED[code];
    if (nextStep !== undefined) return { is: "stopped", reason, nextStep };
    if (BUSY.has(code)) return { is: "busy", reason, waitMs: retryAfter(headers, nowMs)?.ms };
  }
  if (status === 429 || status >= 500) return { is: "busy", reason, waitMs: retryAfter(headers, nowMs)?.ms };
  if (status === 200) return { is: "unclear", reason };
  const nextStep =
    status === 401 || status === 403
      ? "Check .token, and that the token is enabled in Splunk."
      : "Check .urls: it must be the address of HEC, usually with port 8088, without /services.";
  return { is: "stopped", reason, nextStep };
}

/** What an answer to the question for acknowledgements means. */
export type AckVerdict =
  | { readonly is: "answered"; readonly indexed: ReadonlySet<number> }
  | { readonly is: "ack-off" }
  /** Nothing is confirmed. */
  | { readonly is: "unusable"; readonly reason: HecReason };

/** Only what was asked for, and is said to be true, counts: a lying answer must not confirm anything else. */
export function readAckAnswer(status: number, body: string, asked: readonly number[]): AckVerdict {
  const answer = objectIn(body);
  const code = wholeNumber(answer?.["code"]);
  if (code === ACK_IS_OFF) return { is: "ack-off" };
  const acks = answer?.["acks"];
  if (status !== 200 || typeof acks !== "object" || acks === null || Array.isArray(acks)) {
    const said = typeof answer?.["text"] === "string" ? answer["text"] : "";
    return { is: "unusable", reason: { status, code, text: shown(said) } };
  }
  const byId = acks as Readonly<Record<string, unknown>>;
  return {
    is: "answered",
    indexed: new Set(asked.filter((id) => Object.hasOwn(byId, String(id)) && byId[String(id)] === true)),
  };
}

/** For a person: `400, code 7: Incorrect index`. */
export function inWords({ status, code, text }: HecReason): string {
  const of = `${status}${code === undefined ? "" : `, code ${code}`}`;
  return text === "" ? of : `${of}: ${text}`;
}

function objectIn(body: string): Readonly<Record<string, unknown>> | undefined {
  const value = jsonOf(body);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** It goes into a log line: a foreign text must not begin another. */
function shown(text: string): string {
  return printable(text).slice(0, TEXT_MOST);
}
