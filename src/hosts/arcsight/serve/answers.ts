import type { Ticks } from "../../../model/instant.ts";
import { formatInstant, ticksFromMs } from "../../../model/instant.ts";
import type { Clock, Log } from "../../../model/ports.ts";
import { tenantIdFrom } from "../../../model/tenant.ts";
import { isHostAllowed, type ServedAnswer, type ServedRequest } from "../../../net/http-server.ts";
import type { PollQuery } from "./query.ts";
import { readPollQuery } from "./query.ts";
import type { RowKind } from "./rows.ts";
import type { StoredRow } from "./segment.ts";
import type { LocalTokens, Reader } from "./tokens.ts";

/**
 * After this many rows an answer ends at the next change of the second, because connectors keep a whole
 * answer in memory.
 */
export const ROWS_MAX = 10_000;
/** No customer's name is longer, so longer text is not written into a file. */
const NAME_MAX = 256;
/** Leading digits of a row's arrival that identify its second. */
const SECOND_DIGITS = 12;
const DAY_MS = 86_400_000;

/** The customers' rows; implemented by ServeBuffer. */
export interface RowSource {
  /** GUID of a customer that is configured by domain, once it is known. */
  tenantIdOf(stanza: string): string | undefined;
  present(): Promise<Ticks>;
  rows(stanzas: readonly string[], kind: RowKind, after: Ticks, until: Ticks): AsyncIterable<StoredRow>;
}

export interface AnswerParts {
  readonly customers: readonly { readonly stanza: string; readonly tenantId: string }[];
  readonly source: RowSource;
  readonly tokens: LocalTokens;
  /** True for a name by which this server may be called besides those of loopback. */
  readonly isServerName: (host: string) => boolean;
  readonly keepDays: number;
  /** ROWS_MAX, unless a test injects less. */
  readonly rowsMax: number;
  /**
   * Customers whose polls were reported to look back too far. A poller with a fixed start would otherwise be
   * reported at each poll.
   */
  readonly reportedLookbacks: Set<string>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Answers one request:
 *
 *   GET  [/<customer>]/api/alerts                            rows of the retired SIEM API
 *   GET  [/<customer>]/v1/alerts, incidents, health, events  flat JSON; events: all of it
 *   POST [/<anything>]/oauth2[/v2.0]/token, [/<anything>]/token
 *
 * A customer is called by name or tenant GUID; without one all customers' rows are answered. A token asked
 * for at a customer's address is good for that customer only: so old connectors, which have the tenant in
 * their token_url, keep apart when nothing but the host of their two addresses is changed. Statuses: 400 what
 * was asked cannot be read, 401 no valid token, 403 another customer's token, 404 no such customer or path,
 * 405 method, 413 body, 421 Host.
 */
export async function answerTo(request: ServedRequest, parts: AnswerParts): Promise<ServedAnswer> {
  if (!isHostAllowed(request.headers["host"], parts.isServerName)) {
    return refuse(421, "misdirected", "the Host header names another server; use the address in serve.listen");
  }
  let url: URL;
  try {
    url = new URL(request.target, "http://here");
  } catch {
    return refuse(400, "bad-address", "the address cannot be read");
  }
  const route = routeOf(url.pathname);
  if (route === undefined) {
    return refuse(
      404,
      "no-such-path",
      "valid paths are /api/alerts, /v1/alerts, /v1/incidents, /v1/health, /v1/events and /oauth2/token, each also after a customer's name or tenant GUID",
    );
  }
  const { what, named } = route;
  const customer = customerNamed(named, parts);
  if (what === "token")
    return request.method === "POST"
      ? tokenAnswer(request, parts, named)
      : refuse(405, "wrong-method", "request a token with POST", { allow: "POST" });
  if (request.method !== "GET") return refuse(405, "wrong-method", "request events with GET", { allow: "GET" });
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers["authorization"] ?? "")?.[1];
  const reader = bearer === undefined ? undefined : parts.tokens.reads(bearer);
  if (reader === undefined) {
    const say =
      bearer === undefined
        ? "an access token is missing; get one from /oauth2/token"
        : "the access token is unknown or expired; get one from /oauth2/token";
    return refuse(401, "no-token", say, { "www-authenticate": "Bearer" });
  }
  if (named !== undefined && customer === undefined)
    return refuse(404, "no-such-customer", "the name or tenant GUID in the path is not a configured customer");
  const own = customerNamed(reader.named, parts);
  if (customer !== undefined && own !== undefined && own !== customer)
    return refuse(403, "other-customer", "the access token is for another customer");
  const one = (customer ?? own)?.stanza;
  return rowsAnswer(url, what, one === undefined ? parts.customers.map(({ stanza }) => stanza) : [one], reader, parts);
}

interface Route {
  readonly what: RowKind | "token";
  /** The text at the customer's position in the path. */
  readonly named: string | undefined;
}

const PATHS: readonly (readonly [RegExp, Route["what"]])[] = [
  // The singular is in a sample of Microsoft's page.
  [/^(?:\/([^/]+))?\/api\/alerts?\/?$/i, "old"],
  [/^(?:\/([^/]+))?\/v1\/alerts\/?$/i, "alerts"],
  [/^(?:\/([^/]+))?\/v1\/incidents\/?$/i, "incidents"],
  [/^(?:\/([^/]+))?\/v1\/health\/?$/i, "health"],
  [/^(?:\/([^/]+))?\/v1\/events\/?$/i, "events"],
  [/^(?:\/([^/]+))?\/oauth2(?:\/v2\.0)?\/token\/?$/i, "token"],
  [/^(?:\/([^/]+))?\/token\/?$/i, "token"],
];

function routeOf(path: string): Route | undefined {
  for (const [pattern, what] of PATHS) {
    const found = pattern.exec(path);
    if (!found) continue;
    try {
      return { what, named: found[1] === undefined ? undefined : decodeURIComponent(found[1]) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

type Customer = AnswerParts["customers"][number];

function customerNamed(text: string | undefined, { customers, source }: AnswerParts): Customer | undefined {
  if (text === undefined) return undefined;
  const wanted = [text.toLowerCase(), tenantIdFrom(text) ?? ""];
  const namesOf = ({ stanza, tenantId }: Customer) =>
    [stanza, tenantId, source.tenantIdOf(stanza)].map((name) => name?.toLowerCase() ?? "");
  return customers.find((one) => namesOf(one).some((name) => name !== "" && wanted.includes(name)));
}

function tokenAnswer(
  { headers, body }: ServedRequest,
  { tokens }: AnswerParts,
  named: string | undefined,
): ServedAnswer {
  if (body === undefined) return refuse(413, "too-long", "a token request may have at most 64 KiB");
  const answer = tokens.answer(
    new URLSearchParams(body),
    basicOf(headers["authorization"]),
    named !== undefined && named.length <= NAME_MAX ? named : undefined,
  );
  return {
    status: answer.status,
    headers: {
      "cache-control": "no-store",
      ...(answer.status === 401 ? { "www-authenticate": 'Basic realm="defender-mssp"' } : {}),
    },
    body: [JSON.stringify(answer.body)],
  };
}

function basicOf(header: string | undefined): { readonly id: string; readonly secret: string } | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  // RFC 6749, 2.3.1: both parts are form-encoded before they are joined. Most clients do not do this, but
  // decoding does not change plain text.
  return colon === -1
    ? undefined
    : { id: formDecoded(text.slice(0, colon)), secret: formDecoded(text.slice(colon + 1)) };
}

function formDecoded(text: string): string {
  try {
    return text.includes("%") ? decodeURIComponent(text) : text;
  } catch {
    return text;
  }
}

async function rowsAnswer(
  url: URL,
  kind: RowKind,
  stanzas: readonly string[],
  reader: Reader,
  parts: AnswerParts,
): Promise<ServedAnswer> {
  const nowMs = parts.clock.nowMs();
  const present = await parts.source.present();
  const reading = readPollQuery(url.searchParams, nowMs, present);
  if (!reading.ok) return refuse(400, "bad-parameter", reading.say);
  const { query } = reading;
  const keptFrom = ticksFromMs(nowMs - parts.keepDays * DAY_MS);
  const asked: Asked = {
    stanzas,
    kind,
    query,
    until: query.until === undefined || query.until > present ? present : query.until,
    pollerKey: JSON.stringify([kind, stanzas.length === 1 ? stanzas[0] : null, query.machineGroups, query.machineTags]),
    reader,
  };
  const tooFar = query.after < keptFrom;
  if (tooFar) noteLookback(asked, keptFrom, parts);
  return {
    status: 200,
    headers: {
      "cache-control": "no-store",
      ...(tooFar
        ? { warning: `299 - "events are kept for ${parts.keepDays} days; older events are not in this answer"` }
        : {}),
    },
    body: arrayOf(chosenRows(asked, parts)),
  };
}

interface Asked {
  readonly stanzas: readonly string[];
  readonly kind: RowKind;
  readonly query: PollQuery;
  /** Up to this time all rows can be read. */
  readonly until: Ticks;
  /** The same for each poll of one poller. */
  readonly pollerKey: string;
  readonly reader: Reader;
}

/**
 * A poller that looks back further than the buffer may have missed events, so it is logged. It is logged
 * once, since a poller with a fixed start looks back too far at each poll.
 */
function noteLookback(
  { stanzas, query }: Asked,
  keptFrom: Ticks,
  { keepDays, log, reportedLookbacks }: AnswerParts,
): void {
  const who = stanzas.length === 1 ? (stanzas[0] as string) : "all";
  if (reportedLookbacks.has(who)) return;
  reportedLookbacks.add(who);
  log.warn("a poll asks for events older than those that are kept: the older ones are not answered", {
    customer: who,
    since: formatInstant(query.after),
    kept_from: formatInstant(keptFrom),
    kept_days: keepDays,
  });
}

/**
 * The rows of an answer, oldest first. A full answer continues at the same poller's next poll, whether the
 * poller moves by the rows' time or by its own clock.
 */
async function* chosenRows(
  { stanzas, kind, query, until, pollerKey, reader }: Asked,
  { source, rowsMax, log }: AnswerParts,
): AsyncGenerator<string> {
  const fits = filterOf(query, kind);
  const continuesAt = query.limit === undefined ? reader.continuesAt.get(pollerKey) : undefined;
  const after = continuesAt !== undefined && continuesAt < query.after ? continuesAt : query.after;
  let skip = 0;
  if (query.limit !== undefined) {
    for await (const { json } of source.rows(stanzas, kind, after, until)) if (fits(json)) skip += 1;
    skip = Math.max(0, skip - query.limit);
  }
  let given = 0;
  let last = "";
  for await (const { at, json } of source.rows(stanzas, kind, after, until)) {
    if (!fits(json) || skip-- > 0) continue;
    // Not within a second: a poller that keeps whole seconds would request the same rows for ever.
    if (given >= rowsMax && at.slice(0, SECOND_DIGITS) !== last.slice(0, SECOND_DIGITS)) {
      if (query.limit === undefined) reader.continuesAt.set(pollerKey, BigInt(last));
      log.info("an answer was full; the next poll gets the rest", {
        rows: given,
        up_to: formatInstant(BigInt(last)),
      });
      return;
    }
    given += 1;
    last = at;
    yield json;
  }
  if (query.limit === undefined) reader.continuesAt.delete(pollerKey);
}

/** Filters by device groups and tags like the old API. */
function filterOf({ machineGroups, machineTags }: PollQuery, kind: RowKind): (row: string) => boolean {
  if (machineGroups.length === 0 && machineTags.length === 0) return () => true;
  const [group, ...tags] =
    kind === "old"
      ? ["MachineGroup", "DeviceCreatedMachineTags", "CloudCreatedMachineTags"]
      : ["deviceGroup", "deviceTags"];
  return (row) => {
    const values = JSON.parse(row) as Readonly<Record<string, unknown>>;
    const textOf = (name: string | undefined) => {
      const value = values[name ?? ""];
      return typeof value === "string" ? value : "";
    };
    const words = tags.flatMap((name) => textOf(name).split(/[,;]/)).map((word) => word.trim());
    return (
      (machineGroups.length === 0 || machineGroups.includes(textOf(group))) &&
      machineTags.every((tag) => words.includes(tag))
    );
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

function refuse(
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): ServedAnswer {
  return { status, headers, body: [JSON.stringify({ error: { code, message } })] };
}
