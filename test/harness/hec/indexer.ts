import { gunzipSync } from "node:zlib";

/**
 * How the indexer acknowledges. `on`: as Splunk Enterprise does. `late`: seconds later. `never`: it indexes
 * and says so never. `wrong`: most answers are of no use, and name ids that nobody asked for. `restart`: it
 * restarts again and again, loses what it has not indexed, and begins its ids at 0. `off`: as Splunk Cloud.
 */
export const ACK_MODES = ["on", "late", "never", "wrong", "restart", "off"] as const;
export type AckMode = (typeof ACK_MODES)[number];

export interface IndexerOptions {
  readonly token: string;
  readonly ack: AckMode;
  /** Gets the `event` values that count as indexed from now on, in order. */
  readonly indexed: (events: readonly string[]) => void;
  readonly nowMs: () => number;
  /** Evenly distributed in [0, 1). */
  readonly random: () => number;
  /** From the answer until the events are indexed. */
  readonly indexAfterMs?: number;
  /** Other indexes are refused with code 7. */
  readonly indexes?: readonly string[];
  readonly maxBytes?: number;
  /**
   * Gets each body's pieces in order, and its events are not checked: a measurement would measure these
   * checks.
   */
  readonly unchecked?: (piece: Uint8Array) => void;
}

export interface HecRequest {
  /** With its query. */
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** As its pieces came: joining them would cost a measurement more than counting what they hold. */
  readonly body: readonly Uint8Array[];
}

export interface HecReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Channel {
  nextId: number;
  /** Batches that are indexed, or will be; an id reported as true is forgotten. */
  readonly acks: Map<number, { isIndexed: boolean }>;
}

interface Queued {
  readonly events: readonly string[];
  readonly dueMs: number;
  readonly ack: { isIndexed: boolean };
}

const INDEX_AFTER_MS = 100;
const LATE_MS = { least: 1_500, most: 4_000 };
/** Posts between two restarts. */
const RESTART_EVERY = 12;
/** Of four answers about acknowledgements one is right. */
const RIGHT_EVERY = 4;

/**
 * Splunk's HTTP Event Collector with one indexer behind it, without sockets and clocks of its own. It checks
 * what Splunk checks (docs, "Possible error codes") and knows what it has indexed.
 */
export class FakeIndexer {
  readonly #o: IndexerOptions;
  readonly #channels = new Map<string, Channel>();
  #queue: Queued[] = [];
  posts = 0;
  asks = 0;
  restarts = 0;
  /** Indexes that events have named. */
  readonly namedIndexes = new Set<string>();
  /** Replies that are given instead, first to last, before the request is looked at. */
  readonly scripted: HecReply[] = [];

  constructor(options: IndexerOptions) {
    this.#o = options;
  }

  /** Events that were taken and are not indexed yet. */
  get queued(): number {
    return this.#queue.reduce((sum, { events }) => sum + events.length, 0);
  }

  /** What is due is indexed. */
  tick(): void {
    const nowMs = this.#o.nowMs();
    const due = this.#queue.filter(({ dueMs }) => dueMs <= nowMs);
    if (due.length === 0) return;
    this.#queue = this.#queue.filter(({ dueMs }) => dueMs > nowMs);
    for (const { events, ack } of due) {
      this.#o.indexed(events);
      ack.isIndexed = true;
    }
  }

  /** As after a crash of the indexer: its queue and its channels are gone. */
  restart(): void {
    this.tick();
    this.#queue = [];
    this.#channels.clear();
    this.restarts += 1;
  }

  handle(request: HecRequest): HecReply {
    this.tick();
    const scripted = this.scripted.shift();
    if (scripted !== undefined) return scripted;
    const path = request.path.split("?")[0];
    const refused = this.#unauthorised(request.headers["authorization"]);
    if (refused !== undefined) return refused;
    if (path === "/services/collector/ack") return this.#acknowledge(request);
    if (path === "/services/collector/event" || path === "/services/collector") return this.#take(request);
    return { status: 404, body: "Not Found" };
  }

  #unauthorised(authorization: string | string[] | undefined): HecReply | undefined {
    if (typeof authorization !== "string") return says(401, 2, "Token is required");
    const [, token] = /^Splunk (\S+)$/.exec(authorization) ?? [];
    if (token === undefined) return says(401, 3, "Invalid authorization");
    return token === this.#o.token ? undefined : says(403, 4, "Invalid token");
  }

  #take(request: HecRequest): HecReply {
    this.posts += 1;
    const { ack, maxBytes = 4 << 20, nowMs, unchecked } = this.#o;
    const channel = channelOf(request);
    if (ack !== "off" && channel === undefined) return says(400, 10, "Data channel is missing");
    if (channel !== undefined && !/^[0-9A-F-]{36}$/i.test(channel)) return says(400, 11, "Invalid data channel");
    const isGzip = request.headers["content-encoding"] === "gzip";
    const pieces = isGzip ? [gunzipSync(Buffer.concat(request.body))] : request.body;
    if (pieces.reduce((sum, { length }) => sum + length, 0) > maxBytes)
      return { status: 413, body: '{"text":"Request entity too large","code":27}' };
    const events: string[] = [];
    if (unchecked === undefined) {
      for (const [i, text] of objectsIn(Buffer.concat(pieces).toString("utf8")).entries()) {
        const read = this.#read(text);
        if (typeof read === "string") events.push(read);
        else return says(400, read.code, read.text, { "invalid-event-number": i });
      }
      if (events.length === 0) return says(400, 5, "No data");
    } else pieces.forEach(unchecked);
    if (ack === "restart" && this.posts % RESTART_EVERY === 0) this.restart();
    const acked = { isIndexed: false };
    this.#queue.push({ events, dueMs: nowMs() + this.#delayMs(), ack: acked });
    if (ack === "off" || channel === undefined) return says(200, 0, "Success");
    const at = this.#channel(channel);
    const id = at.nextId;
    at.nextId += 1;
    at.acks.set(id, acked);
    return says(200, 0, "Success", { ackId: id });
  }

  #read(text: string): string | { readonly code: number; readonly text: string } {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return { code: 6, text: "Invalid data format" };
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return { code: 6, text: "Invalid data format" };
    const { event, index } = value as { readonly event?: unknown; readonly index?: unknown };
    if (event === undefined) return { code: 12, text: "Event field is required" };
    if (event === "") return { code: 13, text: "Event field cannot be blank" };
    const { indexes } = this.#o;
    if (indexes !== undefined && typeof index === "string" && !indexes.includes(index))
      return { code: 7, text: "Incorrect index" };
    if (typeof index === "string") this.namedIndexes.add(index);
    return typeof event === "string" ? event : JSON.stringify(event);
  }

  #delayMs(): number {
    const { ack, random, indexAfterMs = INDEX_AFTER_MS } = this.#o;
    return ack === "late" ? LATE_MS.least + random() * (LATE_MS.most - LATE_MS.least) : indexAfterMs;
  }

  #acknowledge(request: HecRequest): HecReply {
    this.asks += 1;
    const { ack } = this.#o;
    if (ack === "off") return says(400, 14, "ACK is disabled");
    const channel = channelOf(request);
    if (channel === undefined) return says(400, 10, "Data channel is missing");
    let asked: readonly number[];
    try {
      asked = (JSON.parse(Buffer.concat(request.body).toString("utf8")) as { acks: number[] }).acks;
      if (!asked.every(Number.isInteger)) throw new Error();
    } catch {
      return says(400, 6, "Invalid data format");
    }
    if (ack === "wrong" && this.asks % RIGHT_EVERY !== 0) return this.#wrongAnswer(asked);
    const { acks } = this.#channel(channel);
    const answer: Record<string, boolean> = {};
    for (const id of asked) {
      const isTrue = ack !== "never" && acks.get(id)?.isIndexed === true;
      answer[id] = isTrue;
      if (isTrue) acks.delete(id);
    }
    return { status: 200, body: JSON.stringify({ acks: answer }) };
  }

  #wrongAnswer(asked: readonly number[]): HecReply {
    const others = Object.fromEntries(asked.map((id) => [id + 1_000_000, true]));
    switch (this.asks % RIGHT_EVERY) {
      case 1:
        return { status: 200, body: JSON.stringify({ acks: others }) };
      case 2:
        return { status: 400, body: JSON.stringify({ text: "Invalid data format", code: 6, acks: { "0": true } }) };
      default:
        return { status: 200, body: '{"acks":{"0":tru' };
    }
  }

  #channel(name: string): Channel {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = { nextId: 0, acks: new Map() };
      this.#channels.set(name, channel);
    }
    return channel;
  }
}

/**
 * Events stand one behind another, with or without white space between them (Splunk docs, "Format events for
 * HTTP Event Collector", batch protocol). What does not begin as an object goes to the end of its line.
 */
function objectsIn(body: string): string[] {
  const found: string[] = [];
  let at = 0;
  while (at < body.length) {
    if (/\s/.test(body[at] ?? "")) {
      at += 1;
      continue;
    }
    const end = body[at] === "{" ? endOfObject(body, at) : body.indexOf("\n", at);
    const to = end < 0 ? body.length : end;
    found.push(body.slice(at, to));
    at = to;
  }
  return found;
}

/** Behind the object's last brace; -1 when it does not end. */
function endOfObject(text: string, from: number): number {
  let depth = 0;
  let isQuoted = false;
  for (let at = from; at < text.length; at += 1) {
    const sign = text[at];
    if (isQuoted) {
      if (sign === "\\") at += 1;
      else if (sign === '"') isQuoted = false;
    } else if (sign === '"') isQuoted = true;
    else if (sign === "{") depth += 1;
    else if (sign === "}" && --depth === 0) return at + 1;
  }
  return -1;
}

function channelOf({ path, headers }: HecRequest): string | undefined {
  const header = headers["x-splunk-request-channel"];
  return typeof header === "string" ? header : (new URL(path, "http://hec").searchParams.get("channel") ?? undefined);
}

function says(status: number, code: number, text: string, more: object = {}): HecReply {
  return { status, body: JSON.stringify({ text, code, ...more }) };
}
