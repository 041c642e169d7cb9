import { Counter, Gauge, Registry } from "prom-client";
import type { HealthState } from "../model/event.ts";
import {
  ANSWER_STATUSES,
  type CollectorStatus,
  type CustomerStatus,
  type FleetStatus,
  OUTPUT_STATES,
  type OutputStatus,
  type StreamStatus,
} from "../model/status.ts";

const DAY_S = 86_400;
const STATES: readonly HealthState[] = [
  "ok",
  "catching-up",
  "throttled",
  "failing",
  "signed-out",
  "awaiting-consent",
  "misconfigured",
  "off",
];
const FOUND = ["poll", "sweep", "replay"] as const;
const CHANGES = ["new", "updated"] as const;

/** Of the whole process, as the runtime says. */
export interface ProcessFacts {
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  readonly cpuS: number;
  readonly startedAtS: number;
}

/** What one scrape shows. */
export interface Scrape {
  readonly version: string;
  /** False until customers are polled, and while the program stops. */
  readonly isReady: boolean;
  readonly collector: CollectorStatus;
  readonly process: ProcessFacts;
}

/**
 * The metrics of one collector in a registry of their own. The values are read from the reports at each
 * scrape, so collecting pays nothing for them. They are forgotten after it: the series of thousands of
 * customers would take tens of megabytes for the rest of the time.
 */
export class Metrics {
  readonly #registry = new Registry();
  readonly #gauges: Readonly<Record<keyof typeof GAUGES, Gauge>>;
  readonly #counters: Readonly<Record<keyof typeof COUNTERS, Counter>>;

  constructor() {
    const registers = [this.#registry];
    this.#gauges = mapped(
      GAUGES,
      ([name, help, labels]) => new Gauge({ name: `${PREFIX}${name}`, help, labelNames: labels, registers }),
    );
    this.#counters = mapped(
      COUNTERS,
      ([name, help, labels]) => new Counter({ name: `${PREFIX}${name}`, help, labelNames: labels, registers }),
    );
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus' text format. Call it for one scrape at a time. */
  async text(scrape: Scrape): Promise<string> {
    try {
      this.#setProcess(scrape);
      this.#setCustomers(scrape.collector.customers);
      for (const output of scrape.collector.outputs) this.#setOutput(output);
      if (scrape.collector.fleet !== undefined) this.#setFleet(scrape.collector.fleet);
      return await this.#registry.metrics();
    } finally {
      this.#registry.resetMetrics();
    }
  }

  #setProcess({ version, isReady, process }: Scrape): void {
    this.#gauges.buildInfo.set({ version }, 1);
    this.#gauges.ready.set(isReady ? 1 : 0);
    this.#gauges.residentMemory.set(process.residentBytes);
    this.#gauges.heapUsed.set(process.heapUsedBytes);
    this.#gauges.startTime.set(process.startedAtS);
    this.#counters.cpu.inc(process.cpuS);
  }

  #setCustomers(customers: readonly CustomerStatus[]): void {
    this.#gauges.customers.set(customers.length);
    for (const state of STATES) this.#gauges.streams.set({ state }, 0);
    const shared = sharedNames(customers);
    for (const one of customers) {
      const customer = shared.has(one.tenant) ? `${one.tenant} (${one.input})` : one.tenant;
      if (one.credentialDaysLeft !== null)
        this.#gauges.credentialLeft.set({ customer }, one.credentialDaysLeft * DAY_S);
      for (const stream of one.streams) this.#setStream(customer, stream);
    }
  }

  /** Statuses and kinds of versions that did not occur are left out: most of them never do. */
  #setStream(customer: string, status: StreamStatus): void {
    const { stream, state, lag_s } = status;
    const labels = { customer, stream };
    this.#gauges.streams.inc({ state });
    this.#gauges.streamState.set({ customer, stream, state }, 1);
    if (lag_s !== null) this.#gauges.streamLag.set(labels, lag_s);
    for (const found of FOUND)
      for (const change of CHANGES) {
        const count = status.delivered[found][change];
        if (count > 0 || found === "poll") this.#counters.versions.inc({ customer, stream, found, change }, count);
      }
    for (const [at, answer] of ANSWER_STATUSES.entries()) {
      const count = status.answers[at] ?? 0;
      if (count > 0 || answer === "200") this.#counters.requests.inc({ customer, stream, status: answer }, count);
    }
    this.#counters.throttled.inc(labels, status.throttled);
    this.#counters.retries.inc(labels, status.retries);
    this.#counters.superseded.inc(labels, status.superseded);
    if (status.invalid_utf8 > 0) this.#counters.invalidUtf8.inc(labels, status.invalid_utf8);
  }

  #setOutput({ name, type, state, spoolBytes, oldestS, unconfirmed, rejected }: OutputStatus): void {
    const labels = { output: name, type };
    for (const one of OUTPUT_STATES) this.#gauges.outputState.set({ ...labels, state: one }, one === state ? 1 : 0);
    this.#gauges.spoolBytes.set(labels, spoolBytes);
    this.#gauges.spoolOldest.set(labels, oldestS ?? 0);
    if (unconfirmed !== null) this.#gauges.unconfirmed.set(labels, unconfirmed);
    this.#counters.rejected.inc(labels, rejected);
  }

  #setFleet({ members, shards, lostShards, lapses, commits, commitS, outputs, lagS }: FleetStatus): void {
    this.#gauges.fleetMembers.set(members);
    this.#gauges.fleetShards.set(shards);
    this.#counters.fleetLostShards.inc(lostShards);
    this.#counters.fleetLapses.inc(lapses);
    this.#counters.fleetCommits.inc(commits);
    this.#counters.fleetCommitTime.inc(commitS);
    for (const { output, waitingPackets, waitingBytes } of outputs) {
      this.#gauges.fleetWaitingPackets.set({ output }, waitingPackets);
      this.#gauges.fleetWaitingBytes.set({ output }, waitingBytes);
    }
    for (const [shard, lag] of lagS) this.#gauges.fleetShardLag.set({ shard: String(shard) }, lag);
  }
}

/** Two inputs may have one customer name; two series of one name would make the whole scrape invalid. */
function sharedNames(customers: readonly CustomerStatus[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const { tenant } of customers) (seen.has(tenant) ? shared : seen).add(tenant);
  return shared;
}

const PREFIX = "defender_mssp_";

type Row = readonly [name: string, help: string, labels: readonly string[]];
const STREAM = ["customer", "stream"] as const;
const OUTPUT = ["output", "type"] as const;

const GAUGES = {
  buildInfo: ["build_info", "Always 1; the label holds the version of this program.", ["version"]],
  ready: ["ready", "1 while customers are polled, else 0.", []],
  customers: ["customers", "Configured customers, those that cannot be collected too.", []],
  streams: ["streams", "Streams of all customers in each state.", ["state"]],
  streamState: [
    "stream_state",
    "1 for the state in which a stream is; its other states are absent.",
    [...STREAM, "state"],
  ],
  streamLag: [
    "stream_lag_seconds",
    "Time since the last complete walk of a stream began; absent before the first.",
    STREAM,
  ],
  credentialLeft: [
    "credential_remaining_seconds",
    "Time until the customer's refresh token, client secret or certificate ends, whichever is first; absent when it is not known.",
    ["customer"],
  ],
  outputState: ["output_state", "1 for the state of an output: up, down or refusing.", [...OUTPUT, "state"]],
  spoolBytes: ["output_spool_bytes", "Size of what waits on disk for an output.", OUTPUT],
  spoolOldest: [
    "output_spool_oldest_seconds",
    "Age of what waits longest on disk for an output; 0 when nothing waits.",
    OUTPUT,
  ],
  unconfirmed: [
    "output_unconfirmed_events",
    "Events that were sent and are not acknowledged; absent for outputs without acknowledgement.",
    OUTPUT,
  ],
  fleetMembers: [
    "fleet_members",
    "Live members that share the customers, as the database said last; 0 for a collector that works alone.",
    [],
  ],
  fleetShards: ["fleet_shards", "Shards that this member owns, of 256.", []],
  fleetShardLag: [
    "fleet_shard_lag_seconds",
    "The largest lag of a shard's streams; absent for shards of other members and for those without a customer.",
    ["shard"],
  ],
  fleetWaitingPackets: [
    "fleet_output_waiting_packets",
    "Packets that this member committed and did not deliver to an output yet.",
    ["output"],
  ],
  fleetWaitingBytes: ["fleet_output_waiting_bytes", "Size of these packets in the database.", ["output"]],
  residentMemory: ["process_resident_memory_bytes", "Resident memory of this process.", []],
  heapUsed: ["process_heap_used_bytes", "Used memory of the JavaScript heap.", []],
  startTime: ["process_start_time_seconds", "Start of this process, since 1970.", []],
} as const satisfies Readonly<Record<string, Row>>;

const COUNTERS = {
  versions: [
    "versions_total",
    "Versions of alerts, incidents and rows that were sent, by how they were found and what they are.",
    [...STREAM, "found", "change"],
  ],
  requests: [
    "requests_total",
    "Requests for records by the status of the answer, or of the sign-in's where that failed; none: no answer.",
    [...STREAM, "status"],
  ],
  throttled: ["throttled_requests_total", "Requests after which Microsoft asked for a pause.", STREAM],
  retries: ["request_retries_total", "Failed requests that were sent again within their walk.", STREAM],
  superseded: ["superseded_versions_total", "Versions that were not sent because a newer one was.", STREAM],
  invalidUtf8: ["invalid_utf8_events_total", "Events in which invalid UTF-8 was replaced.", STREAM],
  rejected: ["output_rejected_events_total", "Events that an output refused for good.", OUTPUT],
  fleetLostShards: [
    "fleet_lost_shards_total",
    "Shards that this member gave up because another one has them, or because the database did not answer.",
    [],
  ],
  fleetLapses: [
    "fleet_expired_total",
    "How often this member's place in the fleet expired: the database did not answer, or it had no processor time.",
    [],
  ],
  fleetCommits: ["fleet_commits_total", "Commits of this member.", []],
  fleetCommitTime: ["fleet_commit_seconds_total", "Time that these commits took together.", []],
  cpu: ["process_cpu_seconds_total", "Processor time of this process.", []],
} as const satisfies Readonly<Record<string, Row>>;

/** Every metric's name with its labels, for what must agree with them. */
export const METRICS: readonly { readonly name: string; readonly help: string; readonly labels: readonly string[] }[] =
  [...Object.values<Row>(GAUGES), ...Object.values<Row>(COUNTERS)].map(([name, help, labels]) => ({
    name: `${PREFIX}${name}`,
    help,
    labels,
  }));

function mapped<Key extends string, Made>(
  rows: Readonly<Record<Key, Row>>,
  make: (row: Row) => Made,
): Record<Key, Made> {
  return Object.fromEntries(Object.entries<Row>(rows).map(([key, row]) => [key, make(row)])) as Record<Key, Made>;
}
