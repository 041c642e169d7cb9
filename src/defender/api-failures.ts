import { Failure, type Retry } from "../model/failure.ts";
import type { Actor, FailureCode } from "../model/failure-codes.ts";
import { type AskedWait, keptWait, LONGEST_WAIT_MS, retryAfter } from "../net/retry-after.ts";
import { APIS, type ApiName } from "./apis.ts";
import { type ErrorBody, quotable, readErrorBody } from "./error-body.ts";

/** An answer that is not the requested data. */
export interface RefusedAnswer {
  readonly api: ApiName;
  /** The address that the settings give, if it is not Microsoft's own. */
  readonly ownAddress?: string | undefined;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** At most ERROR_BODY_MOST bytes of the body. */
  readonly body: string;
  /** The customer as events name it. */
  readonly customer: string;
  /** The stanza's name, for commands. */
  readonly stanza: string;
  /** The stream needs one of these permissions; the first is the one to request. */
  readonly rights: readonly string[];
  readonly nowMs: number;
}

export const ERROR_BODY_MOST = 65_536;

/**
 * Placeholders in a row's sentences: `{customer}`, `{stanza}`, `{api}`, `{status}`, `{said}` (Microsoft's own
 * text), `{page}` (form and size of an answer whose text is not repeated), `{rights}`, `{right}`, `{quote}`
 * (id for Microsoft's support); where the settings give the address: `{setting}` and `{address}`.
 */
export interface ApiFailureRow {
  readonly when: {
    readonly status: number | readonly [from: number, to: number];
    readonly api?: ApiName;
    readonly body?: RegExp;
    /** Did the settings give the address? Either, when absent. */
    readonly ownAddress?: boolean;
    readonly header?: readonly [name: string, shape: RegExp];
  };
  readonly code: FailureCode;
  readonly area?: "sign-in";
  readonly actor: Actor;
  /** `named`: at the time the answer names, else after `elseMs`, else by `otherwise`. */
  readonly retry:
    | Retry["when"]
    | { readonly named: true; readonly elseMs?: number; readonly otherwise?: "soon" | "later" };
  readonly say: string;
  readonly nextStep: string;
  /** Source of the row. */
  readonly seen: string;
}

const MINUTE_MS = 60_000;
const QUARTER_HOUR_MS = 15 * MINUTE_MS;

/**
 * The first row that matches counts. Messages are free text, so rows that match a message come before the
 * general row of the same status.
 */
export const API_FAILURES: readonly ApiFailureRow[] = [
  {
    when: {
      status: [400, 413],
      api: "hunting",
      body: /exceeded the allowed|result size|too large|too many (rows|results)|timed? ?out|memory|quota/i,
    },
    code: "query-too-large",
    actor: "operator",
    retry: "later",
    say: "The hunting query of {customer} exceeds the limits of {api}: {said}",
    nextStep: "Narrow the query, or set a shorter `window_minutes`.",
    seen: "Defender XDR docs, advanced hunting limits (100,000 rows, 50 MB, 3 minutes); public reports: 'Query execution has exceeded the allowed result size.'",
  },
  {
    when: { status: 400, api: "hunting" },
    code: "query-refused",
    actor: "operator",
    retry: "later",
    say: "{api} rejected a hunting query of {customer}: {said}",
    nextStep: "Correct the query in the file that hunting_queries names.",
    seen: "Microsoft Graph docs, security: runHuntingQuery",
  },
  {
    when: { status: 400, ownAddress: true, body: /invalid version/i },
    code: "refused",
    actor: "operator",
    retry: "later",
    say: "{api} does not know the requested address below {address} ({status}): {said}",
    nextStep: "Correct {setting} of {stanza}, or remove it to use Microsoft's address.",
    seen: "public issue reports of requests to graph.microsoft.com whose path does not begin with /v1.0 or /beta",
  },
  {
    when: { status: 400 },
    code: "refused",
    actor: "us",
    retry: "later",
    say: "{api} rejected a request for {customer}: {said}",
    nextStep: "Report this sentence as a bug of defender-mssp.",
    seen: "Defender XDR docs, common REST API error codes (BadRequest, ODataError, InvalidInput, …); Graph docs, error responses",
  },
  {
    when: { status: 401, body: /no tvm license/i },
    code: "licence-missing",
    actor: "customer",
    retry: "later",
    say: "{customer} has no licence for {api} (No Tvm license).",
    nextStep: "Ask the customer to license Microsoft Defender for this tenant, or remove this stream from `streams`.",
    seen: "public issue reports: 'Unauthorized request - reason of failure: No Tvm license'",
  },
  {
    when: { status: 401, header: ["www-authenticate", /insufficient_claims/i] },
    code: "claims-challenge",
    area: "sign-in",
    actor: "customer",
    retry: "later",
    say: "A Conditional Access policy of {customer} rejects this program's sign-in to {api}.",
    nextStep: "Ask the customer to exclude the app from that policy, or set `auth = app` for this customer.",
    seen: "Microsoft identity platform docs, claims challenges",
  },
  {
    when: { status: 401 },
    code: "unauthorised",
    area: "sign-in",
    actor: "operator",
    retry: "later",
    say: "{api} rejected {customer}'s access token, and a renewed one too: {said}",
    nextStep: "Run `defender-mssp doctor --customer {stanza}`. It checks audience, tenant, cloud and clock.",
    seen: "Defender XDR docs, common REST API error codes (Unauthorized); Graph docs, error codes (InvalidAuthenticationToken)",
  },
  {
    when: { status: 403, body: /account is not provisioned/i },
    code: "not-provisioned",
    actor: "customer",
    retry: "later",
    say: "Defender is not set up in {customer}'s tenant (Account is not provisioned).",
    nextStep:
      "Ask an administrator of the customer to open the Defender portal once, or remove this stream from `streams`.",
    seen: "public issue reports: 'Unauthorized request - Account is not provisioned.'",
  },
  {
    when: { status: 403, body: /missing application scopes|api required scopes/i },
    code: "consent-missing",
    area: "sign-in",
    actor: "customer",
    retry: "later",
    say: "{customer} has not granted the delegated permission {right} that {api} needs.",
    nextStep:
      "Send the customer's administrator the link that `defender-mssp consent-url --customer {stanza}` prints, then sign in again.",
    seen: "public code: 403 'Missing application scopes. API required scopes: A,B, application scopes: C'",
  },
  {
    when: { status: 403, body: /missing application roles|api required roles/i },
    code: "consent-missing",
    area: "sign-in",
    actor: "customer",
    retry: "later",
    say: "{customer} has not granted the application permission {right} that {api} needs.",
    nextStep: "Send the customer's administrator the link that `defender-mssp consent-url --customer {stanza}` prints.",
    seen: "public code: 403 'Missing application roles. API required roles: A,B, application roles: C,D.'",
  },
  {
    when: { status: 403, body: /disabledfeature|disallowedoperation/i },
    code: "feature-disabled",
    actor: "customer",
    retry: "later",
    say: "{customer}'s tenant does not allow this request to {api}: {said}",
    nextStep: "Ask the customer to enable the feature in the Defender portal, or remove this stream from `streams`.",
    seen: "Defender XDR docs, common REST API error codes (DisabledFeature, DisallowedOperation)",
  },
  {
    when: { status: 403, api: "siem" },
    code: "forbidden",
    area: "sign-in",
    actor: "customer",
    retry: "later",
    say: "The retired SIEM API denied access to {customer}: the administrator does not manage one of its domains, or the tenant is deleted.",
    nextStep: "Set `streams = alerts,incidents` for this customer.",
    seen: "Defender for Endpoint docs of 2020, pull-alerts-using-rest-api, error codes",
  },
  {
    when: { status: 403 },
    code: "forbidden",
    area: "sign-in",
    actor: "customer",
    retry: "later",
    say: "{api} denied access to {customer}: {said}",
    nextStep:
      "Ask the customer to consent to {rights}. A signed-in user also needs the role Security Reader in the customer's tenant.",
    seen: "Defender XDR docs, common REST API error codes (Forbidden); Graph docs, security authorization",
  },
  {
    when: { status: [404, 405], ownAddress: true },
    code: "refused",
    actor: "operator",
    retry: "later",
    say: "{api} does not know the requested address below {address} ({status}): {said}",
    nextStep: "Correct {setting} of {stanza}, or remove it to use Microsoft's address.",
    seen: "as the row of the same statuses below",
  },
  {
    when: { status: 404, api: "siem" },
    code: "api-gone",
    actor: "microsoft",
    retry: "later",
    say: "The retired SIEM API no longer answers at this address.",
    nextStep: "Set `streams = alerts,incidents` for this customer.",
    seen: "defender-docs, configure-siem: may be switched off without notice since 31 December 2024",
  },
  {
    when: { status: [404, 405] },
    code: "refused",
    actor: "operator",
    retry: "later",
    say: "{api} does not know the requested address ({status}): {said}",
    nextStep: "Check `cloud` of {stanza}.",
    seen: "Graph docs, error responses; Defender XDR docs, common REST API error codes (NotFound)",
  },
  {
    when: { status: 410 },
    code: "api-gone",
    actor: "microsoft",
    retry: "later",
    say: "Microsoft has switched off {api}.",
    nextStep: "Set `streams = alerts,incidents` for this customer.",
    seen: "RFC 9110, section 15.5.11; Graph docs, API retirement",
  },
  {
    when: { status: 429, api: "hunting", body: /\bcpu\b|resources?/i },
    code: "throttled",
    actor: "microsoft",
    retry: { named: true, elseMs: QUARTER_HOUR_MS },
    say: "{customer}'s quota of hunting CPU time is used up: {said}",
    nextStep: "If this persists, simplify the queries or run them less often.",
    seen: "Defender XDR docs, advanced hunting quotas: 429 for calls or CPU, the body says which; CPU counts in windows of 15 minutes",
  },
  {
    when: { status: 429 },
    code: "throttled",
    actor: "microsoft",
    retry: { named: true, elseMs: MINUTE_MS },
    say: "{api} throttles requests for {customer}.",
    nextStep: "If this persists, check whether another program uses the same app for this customer.",
    seen: "Graph docs, throttling; Defender XDR docs, api-incident (the body says when the quota resets); Endpoint docs, common errors (Retry-After)",
  },
  {
    when: { status: [300, 399], ownAddress: true },
    code: "bad-answer",
    actor: "operator",
    retry: "later",
    say: "{api} answered with a redirect ({status}). It is not followed, because that would send the access token elsewhere.",
    nextStep: "Check {setting} of {stanza}, and check whether a proxy or portal answers instead of Microsoft.",
    seen: "RFC 9110, section 15.4",
  },
  {
    when: { status: [300, 399] },
    code: "bad-answer",
    actor: "operator",
    retry: "later",
    say: "{api} answered with a redirect ({status}). It is not followed, because that would send the access token elsewhere.",
    nextStep: "Check whether a proxy or portal answers instead of Microsoft.",
    seen: "RFC 9110, section 15.4",
  },
  {
    when: { status: [200, 299] },
    code: "bad-answer",
    actor: "operator",
    retry: "later",
    say: "{api} answered {status} with {page} instead of JSON.",
    nextStep: "Check whether a proxy or portal answers instead of Microsoft, or changes the Content-Type.",
    seen: "public issue reports of sign-in pages answered by proxies with status 200",
  },
  {
    when: { status: [500, 599] },
    code: "service-error",
    actor: "microsoft",
    retry: { named: true, otherwise: "soon" },
    say: "{api} failed for {customer} ({status}): {said}",
    nextStep: "If this persists, open a case with Microsoft and quote {quote}.",
    seen: "Defender XDR docs, common REST API error codes (InternalServerError: retry); Graph docs, error responses",
  },
  {
    when: { status: [400, 499] },
    code: "refused",
    actor: "us",
    retry: "later",
    say: "{api} rejected a request for {customer} ({status}): {said}",
    nextStep: "Report this sentence as a bug of defender-mssp.",
    seen: "RFC 9110, section 15.5",
  },
  {
    when: { status: [100, 999] },
    code: "bad-answer",
    actor: "microsoft",
    retry: "later",
    say: "{api} answered with the unknown status {status}.",
    nextStep: "If this persists, open a case with Microsoft and quote {quote}.",
    seen: "RFC 9110, section 15",
  },
];

/** The row that matches an answer; the last row matches every answer. */
export function apiFailureRow(answer: RefusedAnswer): ApiFailureRow {
  const body = readErrorBody(answer.body, answer.headers);
  return API_FAILURES.find((candidate) => fits(candidate, answer, body)) as ApiFailureRow;
}

/** The Failure that an answer means. Pure; never throws. */
export function apiFailure(answer: RefusedAnswer): Failure {
  const body = readErrorBody(answer.body, answer.headers);
  const row = apiFailureRow(answer);
  const wait = askedWait(row, answer, body);
  const words: Readonly<Record<string, string>> = {
    customer: answer.customer,
    stanza: JSON.stringify(answer.stanza),
    api: `the ${APIS[answer.api].title}`,
    status: String(answer.status),
    said: said(body),
    page: pageOf(answer, body),
    rights: answer.rights.join(" or "),
    right: answer.rights[0] ?? "it needs",
    setting: `\`${APIS[answer.api].setting}\``,
    address: answer.ownAddress ?? "",
    quote: body.trackingId ?? `status ${answer.status} and the time`,
  };
  return new Failure(row.code, {
    ...(row.area === undefined ? {} : { area: row.area }),
    actor: row.actor,
    retry: retryOf(row, wait, answer.nowMs),
    say: [sentence(filled(row.say, words)), wait?.note ?? []].flat().join(" "),
    nextStep: sentence(filled(row.nextStep, words)),
    status: answer.status,
  });
}

function fits({ when }: ApiFailureRow, answer: RefusedAnswer, body: ErrorBody): boolean {
  const [from, to] = typeof when.status === "number" ? [when.status, when.status] : when.status;
  if (answer.status < from || answer.status > to) return false;
  if (when.api !== undefined && when.api !== answer.api) return false;
  if (when.ownAddress !== undefined && when.ownAddress !== (answer.ownAddress !== undefined)) return false;
  if (when.body !== undefined && !when.body.test(`${body.code} ${body.message}`)) return false;
  return when.header === undefined || when.header[1].test(answer.headers[when.header[0]] ?? "");
}

/** The wait that this answer asks for; undefined when its row, or the answer, names none. */
function askedWait({ retry }: ApiFailureRow, answer: RefusedAnswer, body: ErrorBody): AskedWait | undefined {
  if (typeof retry === "string") return undefined;
  const named = retryAfter(answer.headers, answer.nowMs);
  if (named !== undefined) return named;
  const ms = bodyWaitMs(body.message, answer.nowMs) ?? retry.elseMs;
  return ms === undefined ? undefined : keptWait(ms);
}

function retryOf({ retry }: ApiFailureRow, wait: AskedWait | undefined, nowMs: number): Retry {
  if (typeof retry === "string") return retry === "at" ? { when: "later" } : { when: retry };
  if (wait === undefined) return { when: retry.otherwise ?? "later" };
  // "0" would cause requests in a loop.
  return { when: "at", atMs: nowMs + Math.max(1_000, wait.ms) };
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/**
 * How long the text of a 429 asks the client to wait: `Try again in 43 seconds`, `resets in 00:12:30`,
 * `… until 2026-11-24T16:05:58Z`. Microsoft documents that the body of the XDR API states it, but not its
 * wording. Undefined when the text is not understood.
 */
export function bodyWaitMs(message: string, nowMs: number): number | undefined {
  const clock = /\b(\d{1,2}):(\d{2}):(\d{2})(?:\.\d+)?\b(?!Z)/.exec(message.replace(/\d{4}-\d{2}-\d{2}T[\d:.]+/g, ""));
  const count = /\b(\d+)(?:\.\d+)?\s*(seconds?|secs?|minutes?|mins?|hours?)\b/i.exec(message);
  const instant = /\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})?/.exec(message);
  let waitMs: number | undefined;
  if (count) waitMs = Number(count[1]) * (UNIT_MS[(count[2] as string)[0]?.toLowerCase() ?? ""] ?? 1_000);
  else if (clock) waitMs = (Number(clock[1]) * 3_600 + Number(clock[2]) * 60 + Number(clock[3])) * 1_000;
  else if (instant)
    waitMs = Date.parse(/(?:Z|[+-]\d{2}:\d{2})$/.test(instant[0]) ? instant[0] : `${instant[0]}Z`) - nowMs;
  return waitMs === undefined || Number.isNaN(waitMs) || waitMs < 0 || waitMs > LONGEST_WAIT_MS ? undefined : waitMs;
}

function said(body: ErrorBody): string {
  if (body.kind === "html") return webPage(body);
  if (!quotable(body)) return "JSON of an unknown form";
  if (body.code !== "" && body.message !== "") return `${body.code}: ${body.message}`;
  return body.code || body.message || "no explanation";
}

function webPage({ message }: ErrorBody): string {
  return message === "" ? "a web page" : `a web page titled "${message}"`;
}

/** Never more of the text than a web page's title: such an answer may hold the customer's alerts. */
function pageOf({ headers, body: text }: RefusedAnswer, body: ErrorBody): string {
  if (body.kind === "html") return webPage(body);
  const type = (headers["content-type"] ?? "none").replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 100);
  // The body of an answer that is above the limit, or cut off, was not kept.
  const size = text === "" ? "no readable body" : `${Buffer.byteLength(text)} bytes`;
  return `Content-Type ${type} (${size})`;
}

function filled(template: string, words: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (whole, word: string) => words[word] ?? whole);
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?\u2026]$/.test(capital) ? capital : `${capital}.`;
}
