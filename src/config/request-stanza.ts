import { asciiJson } from "./ascii-json.ts";

/**
 * How a page in Splunk Web asks the running input where there is no KV store. A stanza of a configuration
 * file of this app is a request, and the input writes its answer into the same stanza. Each value is JSON on
 * one line: a customer's name with a line break or a backslash at its end would else begin another setting.
 */

/** The configuration file, without `.conf`; the KV store's collection has the same name. */
export const REQUESTS_CONF = "defender_mssp_requests";
/** What a page may ask, in either place; nothing else is ever done for a request. */
export const ASKS = ["doctor", "consent", "states", "credentials", "credential-replace", "credential-delete"] as const;
export type Ask = (typeof ASKS)[number];
/** What the input reads of each stanza; answers can be large, and it knows them. */
export const REQUEST_KEYS = ["request", "state", "answered_at"] as const;

type Values = Readonly<Record<string, unknown>>;

/** The settings of a new request. */
export function requestSettings(customer: string, ask: Ask): Readonly<Record<string, string>> {
  return { request: asciiJson({ customer, ask }) };
}

/** The settings that an answer adds to its request. */
export function answerSettings(answer: Values): Readonly<Record<string, string>> {
  return {
    state: textOf(answer["state"]),
    answered_at: textOf(answer["answered_at"]),
    answer: asciiJson(answer),
  };
}

/** What a stanza asks, and whether it is answered; nothing of it can be trusted. */
export function requestIn(settings: Values): Values {
  const { customer, ask } = objectIn(settings["request"]);
  return { customer, ask, state: settings["state"] || undefined, answered_at: settings["answered_at"] };
}

/** The answer of a stanza; empty before there is one. */
export function answerIn(settings: Values): Values {
  return objectIn(settings["answer"]);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function objectIn(text: unknown): Values {
  try {
    const value: unknown = JSON.parse(textOf(text));
    return typeof value === "object" && value !== null ? (value as Values) : {};
  } catch {
    return {};
  }
}
