import type { SharedCustomers } from "../../../src/collect/poll-times.ts";
import type { Customer } from "../../../src/collect/scheduler.ts";
import { Scheduler } from "../../../src/collect/scheduler.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../../../src/model/event.ts";
import { Failure } from "../../../src/model/failure.ts";
import type { Ticks } from "../../../src/model/instant.ts";
import { formatInstant, ticksFromMs } from "../../../src/model/instant.ts";
import type { Page, PageLink, Question, Sink, SourceStream, SplitCondition } from "../../../src/model/ports.ts";
import type { PageRecord, SourceRecord, UnreadableRecord } from "../../../src/model/record.ts";
import type {
  Checkpoint,
  LedgerEntry,
  StateFolder,
  StateKey,
  StreamStore,
  TempFile,
} from "../../../src/model/state.ts";
import type { StreamName } from "../../../src/model/stream.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeLog } from "../fakes/log.ts";
import { FakeRandom } from "../fakes/random.ts";

export const MINUTE = 60_000;
export const HOUR = 3_600_000;
export const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;

export interface Version {
  readonly id: string;
  readonly updated: Ticks;
  readonly created?: Ticks;
  /** When the list begins to show it; the newest visible version of an id hides the others. */
  readonly visibleAtMs: number;
  readonly group?: string;
  readonly kind?: string;
  readonly payloadTenantId?: string;
  readonly text?: string;
}

export interface Regime {
  readonly order: "ascending" | "descending" | "none";
  readonly links: boolean;
  readonly clamp: number;
  readonly pageTop: number;
  readonly skipMax: number;
}

export const EASY: Regime = { order: "ascending", links: false, clamp: 1000, pageTop: 1000, skipMax: 500 };

/**
 * One stream of one customer on Microsoft's side, as the engine's contract shows it: stateful, strict about
 * skip, silent about clamps.
 */
export class SimStream implements SourceStream {
  readonly name: StreamName;
  readonly budgetKey: string;
  limits: { readonly perMinute: number; readonly perHour?: number } = { perMinute: 150 };
  splits: SourceStream["splits"] = [{ property: "group", values: ["a", "b", "c", "d"] }];
  /** Values that a filter must not name: the answer is 400. */
  unknownMembers: readonly string[] = [];
  /** A filter that excludes values is refused. */
  refusesNoneOf = false;
  regime: Regime;
  readonly versions: Version[] = [];
  readonly questions: Question[] = [];
  readonly askedAtMs: number[] = [];
  /** Versions that some request could have shown: `id@updated`. */
  readonly shown = new Map<string, Version>();
  /** Called before each answer; may throw. */
  fault: ((question: Question, n: number) => Failure | undefined) | undefined;
  /** Called while a page is being read, after `n` records of it. */
  midPage: ((question: Question, n: number) => Failure | undefined) | undefined;
  partial: ((question: Question) => string | undefined) | undefined;
  linkHost = "same";
  serverOffsetMs = 0;
  answerTakesMs = 0;
  batchSize = 7;
  readonly #clock: FakeClock;
  extra: UnreadableRecord[] = [];
  readonly #list = new ShownList(this.versions);

  constructor(
    clock: FakeClock,
    options: { readonly name?: StreamName; readonly budgetKey?: string; readonly regime?: Regime } = {},
  ) {
    this.#clock = clock;
    this.name = options.name ?? "alerts";
    this.budgetKey = options.budgetKey ?? "app|tenant|graph";
    this.regime = options.regime ?? EASY;
  }

  get pageTop(): number {
    return this.regime.pageTop;
  }
  get skipMax(): number {
    return this.regime.skipMax;
  }

  add(...versions: Version[]): void {
    this.versions.push(...versions);
  }

  visible(): readonly Version[] {
    return this.#list.at(this.#clock.now);
  }

  async ask(question: Question, signal: AbortSignal): Promise<Page> {
    this.questions.push(question);
    this.askedAtMs.push(this.#clock.now);
    if (this.answerTakesMs > 0) await this.#clock.pause(this.answerTakesMs, signal);
    if (signal.aborted) throw new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "Stopped." });
    const failure = this.fault?.(question, this.questions.length);
    if (failure) throw failure;
    const effective = question.link ? parseLink(question.link) : question;
    if ((effective.skip ?? 0) > this.regime.skipMax && !question.link) throw refusedFailure("skip above the ceiling");
    for (const w of effective.where ?? []) {
      const named = "noneOf" in w ? w.noneOf : [w.value];
      if (("noneOf" in w && this.refusesNoneOf) || named.some((value) => this.unknownMembers.includes(value)))
        throw refusedFailure("not a valid enumeration type constant");
    }
    this.#list.at(this.#clock.now);
    for (const v of this.#list.takeNew()) this.shown.set(`${v.id}@${v.updated}`, v);
    const rows = this.#list
      .ordered(this.regime.order)
      .filter(
        (v) =>
          (effective.from === undefined || v.updated >= effective.from) &&
          (effective.to === undefined || v.updated <= effective.to) &&
          (effective.where ?? []).every((w) => holds(w, v)),
      );
    const skip = effective.skip ?? 0;
    const take = Math.min(effective.top, this.regime.clamp);
    const page = rows.slice(skip, skip + take);
    const more = rows.length > skip + take;
    const link: PageLink =
      more && this.regime.links ? { kind: "next", url: linkFor(effective, skip + take) } : { kind: "none" };
    const linkShown: PageLink =
      link.kind === "next" && this.linkHost !== "same" ? { kind: "elsewhere", origin: this.linkHost } : link;
    const { batchSize, midPage } = this;
    const extra = this.extra.splice(0);
    const partial = this.partial?.(question);
    return {
      serverNowMs: this.#clock.now + this.serverOffsetMs,
      ...(partial === undefined ? {} : { partial }),
      batches: (async function* () {
        const all: PageRecord[] = [...extra, ...page.map(recordOf)];
        for (let i = 0; i < all.length; i += batchSize) {
          const broken = midPage?.(question, i);
          if (broken) throw broken;
          yield all.slice(i, i + batchSize);
        }
      })(),
      link: () => linkShown,
    };
  }
}

function holds(condition: SplitCondition, { group, kind }: Version): boolean {
  const member = condition.property === "kind" ? kind : group;
  return "noneOf" in condition ? !condition.noneOf.includes(member ?? "") : member === condition.value;
}

/**
 * Which of the versions are shown: the newest visible one of each id. Reads only what changed since the last
 * call.
 */
class ShownList {
  readonly #versions: readonly Version[];
  /** So many of the versions have been looked at. */
  #lookedAt = 0;
  /** The last of them: another one in its place means that the list was replaced. */
  #last: Version | undefined;
  /** Those that nobody can see yet, the next one last. */
  #waiting: Version[] = [];
  readonly #newest = new Map<string, Version>();
  readonly #notTaken = new Map<string, Version>();
  #shown: readonly Version[] = [];
  #ordered:
    | { readonly order: Regime["order"]; readonly of: readonly Version[]; readonly versions: readonly Version[] }
    | undefined;

  constructor(versions: readonly Version[]) {
    this.#versions = versions;
  }

  at(nowMs: number): readonly Version[] {
    if (this.#versions[this.#lookedAt - 1] !== this.#last) this.#forget();
    if (this.#versions.length > this.#lookedAt) {
      const added = this.#versions.slice(this.#lookedAt).reverse();
      this.#waiting = [...added, ...this.#waiting].sort((a, b) => b.visibleAtMs - a.visibleAtMs);
      this.#lookedAt = this.#versions.length;
      this.#last = this.#versions.at(-1);
    }
    if ((this.#waiting.at(-1)?.visibleAtMs ?? Number.POSITIVE_INFINITY) > nowMs) return this.#shown;
    for (
      let next = this.#waiting.at(-1);
      next !== undefined && next.visibleAtMs <= nowMs;
      next = this.#waiting.at(-1)
    ) {
      this.#waiting.pop();
      this.#show(next);
    }
    this.#shown = [...this.#newest.values()];
    return this.#shown;
  }

  #show(version: Version): void {
    const held = this.#newest.get(version.id);
    const isNewer =
      held === undefined ||
      version.updated > held.updated ||
      (version.updated === held.updated && version.visibleAtMs > held.visibleAtMs);
    if (!isNewer) return;
    this.#newest.set(version.id, version);
    this.#notTaken.set(version.id, version);
  }

  #forget(): void {
    this.#lookedAt = 0;
    this.#waiting = [];
    this.#shown = [];
    this.#newest.clear();
    this.#notTaken.clear();
  }

  /** What is shown and was not among what this answered before. */
  takeNew(): readonly Version[] {
    const taken = [...this.#notTaken.values()];
    this.#notTaken.clear();
    return taken;
  }

  /** What is shown, in the order in which the service lists it; a question's filter keeps it. */
  ordered(order: Regime["order"]): readonly Version[] {
    if (this.#ordered?.of !== this.#shown || this.#ordered.order !== order)
      this.#ordered = { order, of: this.#shown, versions: inOrder(this.#shown, order) };
    return this.#ordered.versions;
  }
}

function inOrder(versions: readonly Version[], order: Regime["order"]): readonly Version[] {
  if (order === "none") return versions.toSorted((a, b) => placeOf(a.id) - placeOf(b.id));
  const sign = order === "ascending" ? 1 : -1;
  return versions.toSorted((a, b) =>
    a.updated === b.updated ? (a.id < b.id ? -1 : 1) : a.updated < b.updated ? -sign : sign,
  );
}

function linkFor(question: Question, skip: number): string {
  return JSON.stringify({ ...question, skip }, (_k, v) => (typeof v === "bigint" ? `${v}n` : v));
}

function parseLink(url: string): Question {
  return JSON.parse(url, (_k, v) =>
    typeof v === "string" && /^-?\d+n$/.test(v) ? BigInt(v.slice(0, -1)) : v,
  ) as Question;
}

const places = new Map<string, number>();

/**
 * The place of an id in an unsorted list: any place, but always the same. Kept, because a sort asks for it
 * often.
 */
function placeOf(id: string): number {
  const known = places.get(id);
  if (known !== undefined) return known;
  let h = 2_166_136_261;
  for (const c of id) h = Math.imul(h ^ c.charCodeAt(0), 16_777_619);
  places.set(id, h >>> 0);
  return h >>> 0;
}

const records = new WeakMap<Version, SourceRecord>();

/** The record of a version: made once, as every answer that holds the version holds the same bytes. */
export function recordOf(v: Version): SourceRecord {
  const known = records.get(v);
  if (known) return known;
  const bytes = new TextEncoder().encode(
    JSON.stringify({ id: v.id, lastUpdateDateTime: formatInstant(v.updated), text: v.text ?? "" }),
  );
  const made: SourceRecord = {
    readable: true,
    kind: "alert",
    id: v.id,
    updated: v.updated,
    ...(v.created === undefined ? {} : { created: v.created }),
    ...(v.payloadTenantId === undefined ? {} : { payloadTenantId: v.payloadTenantId }),
    body: {
      bytes,
      start: 0,
      end: bytes.length,
      members: new Int32Array(0),
      firstMember: 0,
      memberCount: 0,
      escapes: new Int32Array(0),
      firstEscape: 0,
      escapeCount: 0,
    },
  };
  records.set(v, made);
  return made;
}

export function refusedFailure(say: string): Failure {
  return new Failure("refused", { actor: "us", retry: { when: "later" }, say, status: 400 });
}

export function serviceError(): Failure {
  return new Failure("service-error", {
    actor: "microsoft",
    retry: { when: "soon" },
    say: "Microsoft answered 500.",
    status: 500,
  });
}

export function throttledUntil(atMs: number): Failure {
  return new Failure("throttled", {
    actor: "microsoft",
    retry: { when: "at", atMs },
    say: "Microsoft asked for a pause.",
    status: 429,
  });
}

export interface Sent {
  readonly tenantId: string;
  readonly stream: StreamName;
  readonly id: string;
  readonly updated: Ticks;
  readonly change: string;
  readonly found: string;
  readonly key: string;
  readonly atMs: number;
}

/** Takes everything, in memory; can be told to break. */
export class SimSink implements Sink {
  kind: "provisional" | "durable" = "provisional";
  readonly sent: Sent[] = [];
  readonly healths: HealthEvent[] = [];
  readonly #clock: FakeClock;
  /** Called before each write; may throw, and decides how many of the batch still arrive. */
  break:
    | ((batch: readonly Delivery[]) => { readonly arrives: number; readonly failure: Failure } | undefined)
    | undefined;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }
  async write(batch: readonly Delivery[]): Promise<number> {
    const broken = this.break?.(batch);
    for (const d of batch.slice(0, broken ? broken.arrives : batch.length)) {
      this.sent.push({
        tenantId: d.tenant.id,
        stream: d.stream,
        id: d.record.id,
        updated: d.record.updated,
        change: d.change,
        found: d.found,
        key: d.key,
        atMs: this.#clock.now,
      });
    }
    if (broken) throw broken.failure;
    return batch.length * 100;
  }
  async writeHuge(d: HugeDelivery, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    let length = 0;
    for await (const piece of pieces) length += piece.length;
    this.sent.push({
      tenantId: d.tenant.id,
      stream: d.stream,
      id: d.record.id,
      updated: d.record.updated,
      change: d.change,
      found: d.found,
      key: d.key,
      atMs: this.#clock.now,
    });
    return length;
  }
  async health(event: HealthEvent): Promise<void> {
    this.healths.push(event);
  }
}

/** State that survives a simulated crash: what was appended stays, what was not saved is gone. */
export class SimState implements StateFolder {
  /** The disk takes nothing more. */
  isFull = false;
  lastStopWasOrderly = true;
  readonly streams = new Map<
    string,
    { checkpoint: Checkpoint | undefined; journal: LedgerEntry[]; checkpointsSaved: number }
  >();
  #nextInOrder = true;

  async open(key: StateKey): Promise<StreamStore> {
    const name = `${key.tenantId}/${key.stanza}/${key.stream}`;
    let held = this.streams.get(name);
    const isNew = held === undefined;
    if (!held) {
      held = { checkpoint: undefined, journal: [], checkpointsSaved: 0 };
      this.streams.set(name, held);
    }
    const stream = held;
    return {
      key,
      lastStopWasOrderly: isNew || this.lastStopWasOrderly,
      checkpoint: stream.checkpoint,
      takeEntries: () =>
        stream.journal.map((e) => ({ ...e, hash: e.hash.map((w) => w >>> 0) as unknown as LedgerEntry["hash"] })),
      keepsBodies: false,
      commit: async ({ entries = [], checkpoint }) => {
        if (entries.length > 0 && this.isFull)
          throw new Failure("state-unwritable", {
            actor: "operator",
            retry: { when: "later" },
            say: "The disk is full.",
          });
        stream.journal.push(...entries);
        if (checkpoint === undefined) return;
        stream.checkpoint = structuredClone(checkpoint);
        stream.checkpointsSaved += 1;
      },
      flush: async () => undefined,
      compact: async (entries) => {
        stream.journal = [...entries];
      },
      close: async () => undefined,
    };
  }
  readonly #facts = new Map<string, string>();
  async openTempFile(): Promise<TempFile> {
    const held: Uint8Array[] = [];
    return {
      append: async (bytes) => {
        held.push(Uint8Array.from(bytes));
      },
      get byteLength() {
        return held.reduce((sum, part) => sum + part.length, 0);
      },
      async *pieces() {
        yield* held;
      },
      dispose: async () => undefined,
    };
  }
  async readFact(name: string): Promise<string | undefined> {
    return this.#facts.get(name);
  }
  async writeFact(name: string, value: string): Promise<void> {
    this.#facts.set(name, value);
  }
  async release(options: { readonly orderly: boolean }): Promise<void> {
    this.#nextInOrder = options.orderly;
  }
  /** The next process opens the folder. */
  reopen(options: { readonly orderly: boolean }): void {
    this.lastStopWasOrderly = options.orderly && this.#nextInOrder;
    this.#nextInOrder = true;
  }
}

/** A process over a simulated world, started and stopped at will. */
export class World {
  readonly clock = new FakeClock();
  readonly state = new SimState();
  readonly sink = new SimSink(this.clock);
  readonly log = new FakeLog();
  customers: Customer[] = [];
  concurrency = 16;
  replayMib = 16;
  /** As a collector that shares customers with others. */
  shared: SharedCustomers | undefined;
  random = new FakeRandom(7);
  #running: { scheduler: Scheduler; stop: AbortController; done: Promise<void> } | undefined;

  customer(stream: SimStream, options: Partial<Customer> & { readonly n?: number } = {}): Customer {
    const n = options.n ?? this.customers.length;
    const id = `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
    const made: Customer = {
      stanza: `customer-${n}`,
      tenant: { id, name: `Customer ${n}`, cloud: "commercial" },
      settings: { pollSeconds: 60, overlapMinutes: 30, sweepHours: 24 },
      start: { kind: "ago", ms: 7 * 24 * HOUR },
      sources: [stream],
      ...options,
    };
    this.customers.push(made);
    return made;
  }

  async open(): Promise<Scheduler> {
    return Scheduler.open({
      customers: this.customers,
      state: this.state,
      sink: this.sink,
      replayMib: this.replayMib,
      concurrency: this.concurrency,
      version: "test",
      clock: this.clock,
      random: this.random,
      log: this.log,
      ...(this.shared === undefined ? {} : { shared: this.shared }),
    });
  }

  async start(): Promise<Scheduler> {
    const scheduler = await this.open();
    const stop = new AbortController();
    const done = scheduler.run(stop.signal);
    done.catch(() => undefined);
    this.#running = { scheduler, stop, done };
    return scheduler;
  }

  get scheduler(): Scheduler {
    if (!this.#running) throw new Error("not running");
    return this.#running.scheduler;
  }

  get done(): Promise<void> {
    if (!this.#running) throw new Error("not running");
    return this.#running.done;
  }

  /** SIGTERM. */
  /** @param thoroughForMs as long the checkpoints that only spare reading are saved as well. */
  async stop(thoroughForMs = Number.POSITIVE_INFINITY): Promise<void> {
    const { scheduler, stop, done } = this.#running!;
    stop.abort();
    await this.clock.advance(0);
    await done;
    await scheduler.close({ orderly: true, thoroughForMs });
    await this.state.release({ orderly: true });
    this.state.reopen({ orderly: true });
    this.#running = undefined;
  }

  /** SIGKILL: nothing more is saved or written. */
  async kill(): Promise<void> {
    const { stop, done } = this.#running!;
    const frozen = structuredCloneState(this.state);
    const sent = this.sink.sent.length;
    stop.abort();
    await this.clock.advance(0);
    await done.catch(() => undefined);
    this.state.streams.clear();
    for (const [name, held] of frozen) this.state.streams.set(name, held);
    this.sink.sent.length = sent;
    this.state.reopen({ orderly: false });
    this.#running = undefined;
  }

  sentOf(customer: Customer): Sent[] {
    return this.sink.sent.filter((s) => s.tenantId === customer.tenant.id);
  }
}

function structuredCloneState(
  state: SimState,
): Map<string, { checkpoint: Checkpoint | undefined; journal: LedgerEntry[]; checkpointsSaved: number }> {
  return new Map(
    [...state.streams].map(([name, held]) => [
      name,
      {
        checkpoint: structuredClone(held.checkpoint),
        journal: [...held.journal],
        checkpointsSaved: held.checkpointsSaved,
      },
    ]),
  );
}

/** What an oracle says of one stream's deliveries. */
export function judge(
  stream: SimStream,
  sent: readonly Sent[],
): { lost: string[]; stale: string[]; duplicated: string[]; outOfOrder: string[] } {
  const newest = new Map<string, Ticks>();
  for (const v of stream.shown.values()) if ((newest.get(v.id) ?? -1n) < v.updated) newest.set(v.id, v.updated);
  const delivered = new Map<string, Ticks[]>();
  const duplicated: string[] = [];
  const outOfOrder: string[] = [];
  const keys = new Set<string>();
  for (const s of sent) {
    if (keys.has(s.key) && s.found !== "replay") duplicated.push(s.key);
    const list = delivered.get(s.id) ?? [];
    const last = list[list.length - 1];
    if (last !== undefined && s.updated < last && s.found !== "replay") outOfOrder.push(s.key);
    list.push(s.updated);
    delivered.set(s.id, list);
    keys.add(s.key);
  }
  const lost: string[] = [];
  const stale: string[] = [];
  for (const [id, updated] of newest) {
    const got = delivered.get(id);
    if (!got) lost.push(id);
    else if (!got.includes(updated)) stale.push(id);
  }
  return { lost, stale, duplicated, outOfOrder };
}

export const FLAWLESS = { lost: [], stale: [], duplicated: [], outOfOrder: [] };

export function ticks(ms: number, plus = 0): Ticks {
  return ticksFromMs(ms) + BigInt(plus);
}

/** `n` alerts spread evenly over the time from `fromMs` to `toMs`, all visible at once. */
export function alerts(n: number, fromMs: number, toMs: number, prefix = "alert"): Version[] {
  return Array.from({ length: n }, (_, i) => {
    const ms = Math.round(fromMs + ((toMs - fromMs) * i) / Math.max(1, n - 1));
    return {
      id: `${prefix}-${i}`,
      updated: ticks(ms, i % 7),
      created: ticks(ms),
      visibleAtMs: 0,
      group: "abcd"[i % 4]!,
    };
  });
}
