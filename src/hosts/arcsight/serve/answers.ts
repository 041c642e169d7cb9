import { isLoopback } from "../../../config/arcsight-settings.ts";
import { formatInstant, ticksFromMs } from "../../../model/instant.ts";
import type { Clock, Log } from "../../../model/kit.ts";
import { tenantIdFrom } from "../../../model/tenant.ts";
import type { RowKind } from "./buffer.ts";
import type { PollQuery } from "./query.ts";
import { readPollQuery } from "./query.ts";
import type { LocalTokens } from "./tokens.ts";

/** Above this many a `limit` is more than any connector takes, and is not obeyed: the newest would have to be held in memory. */
const LIMIT_MAX = 100_000;
const DAY_MS = 86_400_000;

export interface ServedRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly target: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Empty for GET; undefined when it was too long. */
  readonly body: string | undefined;
}

export interface ServedAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON text, in pieces. */
  readonly body: Iterable<string> | AsyncIterable<string>;
}

/** The customers' rows, as ServeBuffer has them. */
export interface RowSource {
  rows(stanza: string, kind: RowKind, query: PollQuery): AsyncIterable<string>;
}

export interface AnswerParts {
  readonly customers: readonly { readonly stanza: string; readonly tenantId: string }[];
  readonly source: RowSource;
  readonly tokens: LocalTokens;
  /** True for a name by which we may be called besides those of loopback. */
  readonly isOurName: (host: string) => boolean;
  readonly keepDays: number;
  /** Customers of whom it was said that a poll reaches back too far: a poller with a fixed start would have it said at each poll. */
  readonly told: Set<string>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Answers one request:
 *
 *   GET  [/<customer>]/api/alerts    the retired SIEM API's array
 *   GET  [/<customer>]/api/events    flat JSON of alerts, incidents and health
 *   POST [/<customer>]/oauth2[/v2.0]/token, [/<customer>]/token
 *
 * A customer is called by name or tenant GUID, and may be left out when there is only one, or for /api/events.
 */
export async function answerTo(request: ServedRequest, parts: AnswerParts): Promise<ServedAnswer> {
  if (!isCalledRightly(request.headers["host"], parts.isOurName)) {
    return refuse(421, "misdirected", "the Host header names another server; call this one by the address in serve.listen");
  }
  let url: URL;
  try {
    url = new URL(request.target, "http://here");
  } catch {
    return refuse(400, "bad-address", "the address cannot be read");
  }
  const route = routeOf(url.pathname);
  if (route === undefined) return refuse(404, "no-such-path", "there is /api/alerts, /api/events and /oauth2/token, each also behind a customer's name or tenant GUID");
  const customer = route.customer === undefined ? undefined : parts.customers.find(({ stanza, tenantId }) => isNamed(route.customer as string, stanza, tenantId));
  if (route.customer !== undefined && customer === undefined) return refuse(404, "no-such-customer", "no configured customer has the name or tenant GUID in the path");
  if (route.what === "token") return request.method === "POST" ? tokenAnswer(request, parts, customer?.stanza) : refuse(405, "wrong-method", "a token is asked for by POST", { allow: "POST" });
  if (request.method !== "GET") return refuse(405, "wrong-method", "events are asked for by GET", { allow: "GET" });
  return rowsAnswer(request, url, route.what, customer?.stanza, parts);
}

type Route = { readonly what: "old" | "flat" | "token"; readonly customer: string | undefined };

const PATHS: readonly (readonly [RegExp, Route["what"]])[] = [
  // The singular stands in a sample of Microsoft's page.
  [/^(?:\/([^/]+))?\/api\/alerts?\/?$/i, "old"],
  [/^(?:\/([^/]+))?\/api\/events\/?$/i, "flat"],
  [/^(?:\/([^/]+))?\/oauth2(?:\/v2\.0)?\/token\/?$/i, "token"],
  [/^(?:\/([^/]+))?\/token\/?$/i, "token"],
];

function routeOf(path: string): Route | undefined {
  for (const [pattern, what] of PATHS) {
    const found = pattern.exec(path);
    if (!found) continue;
    try {
      return { what, customer: found[1] === undefined ? undefined : decodeURIComponent(found[1]) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function isNamed(text: string, stanza: string, tenantId: string): boolean {
  return text.toLowerCase() === stanza.toLowerCase() || (tenantIdFrom(text) ?? text.toLowerCase()) === tenantId.toLowerCase();
}

function tokenAnswer({ headers, body }: ServedRequest, { tokens }: AnswerParts, stanza: string | undefined): ServedAnswer {
  if (body === undefined) return refuse(413, "too-long", "a token request has at most 64 KiB");
  const answer = tokens.answer(new URLSearchParams(body), basicOf(headers["authorization"]), stanza);
  return {
    status: answer.status,
    headers: { "cache-control": "no-store", ...(answer.status === 401 ? { "www-authenticate": 'Basic realm="defender-mssp"' } : {}) },
    body: [JSON.stringify(answer.body)],
  };
}

function basicOf(header: string | undefined): { readonly id: string; readonly secret: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // RFC 6749, 2.3.1: both parts are form-encoded before they are joined; most clients do not do it, and it changes nothing for plain ones.
  return colon === -1 ? undefined : { id: formDecoded(text.slice(0, colon)), secret: formDecoded(text.slice(colon + 1)) };
}

function formDecoded(text: string): string {
  try {
    return text.includes("%") ? decodeURIComponent(text) : text;
  } catch {
    return text;
  }
}

function rowsAnswer(request: ServedRequest, url: URL, kind: RowKind, stanza: string | undefined, parts: AnswerParts): ServedAnswer {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "")?.[1];
  const reader = bearer === undefined ? undefined : parts.tokens.reads(bearer);
  if (reader === undefined) {
    return refuse(401, "no-token", bearer === undefined ? "an access token is missing; get one from /oauth2/token" : "the access token is not known or too old; get one from /oauth2/token", {
      "www-authenticate": "Bearer",
    });
  }
  const all = parts.customers.map((one) => one.stanza);
  const asked = stanza === undefined ? all.filter((one) => reader.stanza === undefined || reader.stanza === one) : [stanza];
  if (stanza !== undefined && reader.stanza !== undefined && reader.stanza !== stanza) return refuse(403, "other-customer", "the access token is for another customer");
  if (kind === "old" && asked.length > 1) return refuse(404, "which-customer", "there are several customers, and rows of the old form do not name theirs; ask /<customer>/api/alerts");
  const nowMs = parts.clock.nowMs();
  const reading = readPollQuery(url.searchParams, nowMs);
  if (!reading.ok) return refuse(400, "bad-parameter", reading.say);
  for (const one of asked) noteReach(one, reading.query, nowMs, parts);
  return { status: 200, headers: { "cache-control": "no-store" }, body: arrayOf(chosenRows(asked, kind, reading.query, parts)) };
}

/** A poller that reaches back further than the buffer has missed something: he must not find out from silence. */
function noteReach(stanza: string, { after }: PollQuery, nowMs: number, { keepDays, log, told }: AnswerParts): void {
  if (after >= ticksFromMs(nowMs - keepDays * DAY_MS) || told.has(stanza)) return;
  told.add(stanza);
  log.warn("a poll reaches back further than events are kept: older ones are not answered", { customer: stanza, since: formatInstant(after), kept_days: keepDays });
}

async function* chosenRows(stanzas: readonly string[], kind: RowKind, query: PollQuery, { source }: AnswerParts): AsyncGenerator<string> {
  const fits = filterOf(query, kind);
  if (query.limit !== undefined && query.limit <= LIMIT_MAX) {
    const newest: string[] = [];
    for (const stanza of stanzas) {
      for await (const row of source.rows(stanza, kind, query)) {
        if (fits(row)) newest.push(row);
        if (newest.length > 2 * query.limit) newest.splice(0, newest.length - query.limit);
      }
    }
    yield* newest.slice(Math.max(0, newest.length - query.limit));
    return;
  }
  for (const stanza of stanzas) for await (const row of source.rows(stanza, kind, query)) if (fits(row)) yield row;
}

/** Device groups and tags as the old API filtered by them. */
function filterOf({ machineGroups, machineTags }: PollQuery, kind: RowKind): (row: string) => boolean {
  if (machineGroups.length === 0 && machineTags.length === 0) return () => true;
  const [group, ...tags] = kind === "old" ? ["MachineGroup", "DeviceCreatedMachineTags", "CloudCreatedMachineTags"] : ["deviceGroup", "deviceTags"];
  return (row) => {
    const values = JSON.parse(row) as Readonly<Record<string, unknown>>;
    const words = tags.flatMap((name) => String(values[name] ?? "").split(/[,;]/)).map((word) => word.trim());
    return (machineGroups.length === 0 || machineGroups.includes(String(values[group as string] ?? ""))) && machineTags.every((tag) => words.includes(tag));
  };
}

async function* arrayOf(rows: AsyncIterable<string>): AsyncGenerator<string> {
  let piece = "[";
  let first = true;
  for await (const row of rows) {
    piece += first ? row : `,\n${row}`;
    first = false;
    if (piece.length < 65_536) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}]`;
}

function refuse(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}): ServedAnswer {
  return { status, headers, body: [JSON.stringify({ error: { code, message } })] };
}

/** A page in a browser of this machine must not be able to read alerts by way of a name that leads here (DNS rebinding). */
function isCalledRightly(host: string | undefined, isOurName: (host: string) => boolean): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d{1,5}$/, "").replace(/^\[|\]$/g, "").toLowerCase();
  return isLoopback(name) || isOurName(name);
}
