import { hostname } from "node:os";
import { FleetState } from "../collect/fleet/fleet-state.ts";
import { FleetMember, type ShardCustomers } from "../collect/fleet/member.ts";
import { OutputLanes } from "../collect/fleet/output-lanes.ts";
import type { FleetSettings } from "../config/fleet-settings.ts";
import type { OutputSettings } from "../config/output-settings.ts";
import { type ParsedSettings, settingsRefused } from "../config/settings.ts";
import { REDUCED_MOST_BYTES, reduceRecord } from "../format/reduced-record.ts";
import { type OutputsSink, openEachOutput, realDialer } from "../hosts/arcsight/index.ts";
import { JoinedBatches } from "../json/joined-batches.ts";
import { bodiesAt, bodiesInList } from "../json/record-bodies.ts";
import { ConcurrencyLimiter } from "../model/concurrency-limiter.ts";
import type { Delivery } from "../model/event.ts";
import { Failure } from "../model/failure.ts";
import type { Lease } from "../model/fleet.ts";
import type { Log, Sink } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import { authOf } from "../model/stanza.ts";
import type { StateFolder } from "../model/state.ts";
import { type TenantId, tenantIdFrom } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import type { Notice } from "../outputs/line-format.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { SecretFiles } from "../stores/disk/secrets.ts";
import { type Database, PrimaryHost } from "../stores/postgres/connections.ts";
import { PostgresFleet, shardOf } from "../stores/postgres/fleet-store.ts";
import { FleetTokens, type Renewing } from "../stores/postgres/fleet-tokens.ts";
import { admission } from "../stores/postgres/move.ts";
import { drainMembersWithoutRoster, readChangedRoster } from "../stores/postgres/roster.ts";
import { SHARD_COUNT } from "../stores/postgres/schema.ts";
import type { Chosen } from "./chosen-configuration.ts";
import type { CollectorForMembership, CollectorParts, Destination, Membership } from "./collector.ts";
import type { CredentialWatch, FileCredentialWatch } from "./credential-watch.ts";
import type { MisconfiguredCustomer, VaultOf } from "./customers.ts";
import { configHashOf, readerOf } from "./fleet-configuration.ts";
import { fleetConnections } from "./fleet-database.ts";
import { readKeyFile } from "./fleet-key-file.ts";
import {
  closeOutputs,
  noting,
  type OutputStopLimits,
  outputNames,
  outputsAlike,
  withTransactionalIds,
} from "./fleet-outputs.ts";
import { changesOf, type RosterCustomers, type RosterEntry, rosterCustomers } from "./fleet-roster.ts";
import { RosterWatch } from "./fleet-roster-watch.ts";
import { lagByShard } from "./fleet-status.ts";
import { FleetTokenWatch, fleetVaults, renewingAs } from "./fleet-tokens.ts";
import { outagesOf, outputStatuses } from "./output-status.ts";
import { realClock, realRandom, VERSION } from "./world.ts";

/** Statements of pages and deliveries under way at once. */
const CONNECTIONS = 4;
/** A renewal that takes longer is too late. */
const HEARTBEAT_WITHIN = { connectWithinMs: 2_000, answerWithinMs: 2_000 } as const;
/** As the single process drains its outputs. */
const STOP: OutputStopLimits = { drainMs: 10_000 };
/** Of memory for packets that were committed here and wait for an output; others are read back. */
const KEPT_PACKETS_BYTES = 16 << 20;
/** Of packets that wait for a file. */
const FILE_BACKLOG_BYTES = 64 << 20;
/** HEC confirms after a second or more, so several deliveries are under way. */
const HEC_LANES = 4;
/** Shorter than what giving up customers may take. The next owner delivers again what HEC confirms later. */
const HEC_REMOVE_WITHIN_MS = 5_000;
/** As for HEC. What Kafka had by then is in the watermark. */
const KAFKA_REMOVE_WITHIN_MS = 5_000;
/** As for HEC: a receiver that hangs must not hold up what is given up. */
const SYSLOG_REMOVE_WITHIN_MS = 5_000;
/** Transactions whose events are in memory at once; each shard has its own. */
const KAFKA_AT_ONCE = 4;

/** Why this configuration cannot be run by a member of a fleet; undefined: it can. */
export function fleetObstacle(
  { config }: Pick<Chosen, "config">,
  { once, customer }: { readonly once: boolean; readonly customer: readonly string[] | undefined },
): string | undefined {
  if (once) return "`--once` cannot be used with fleet.url; members share the customers until they are stopped";
  if (customer?.length) return "`--customer` cannot be used with fleet.url; every member needs all customers";
  if (config.settings.discovery !== undefined)
    return "`discover` cannot be used with fleet.url; run `defender-mssp customers discover` beside the fleet";
  const alike = outputsAlike(config.outputs);
  if (alike === undefined) return undefined;
  return (
    `${alike.join(" and ")} have the same type, profile and tenants, and would share one progress in a fleet; ` +
    "change one of them, or remove it"
  );
}

/** The parts of a collector that is a member of a fleet. */
export interface FleetParts {
  readonly customers: Omit<CollectorParts["customers"], "configured" | "underContract" | "refused" | "only">;
  readonly openState: () => Promise<StateFolder>;
  readonly openDestination: () => FleetDestination;
  readonly membership: Membership;
}

/** What a member of any host knows of its configuration. */
export interface FleetChosen {
  readonly config: {
    readonly settings: Pick<ParsedSettings, "stanzas" | "refused" | "globals">;
    readonly outputs: readonly OutputSettings[];
    readonly fleet: FleetSettings | undefined;
  };
  readonly stateDir: string;
  /** Customers that can be collected. */
  readonly stanzas: readonly Stanza[];
  readonly misconfigured: readonly MisconfiguredCustomer[];
  /** As in `Chosen`. */
  readonly file: string;
  readonly overrides: Readonly<Record<string, string>>;
  readonly credentials: Map<string, { readonly credential: string | undefined }>;
}

/** A destination that tells how its outputs are. */
export interface FleetDestination extends Destination {
  readonly sink: CommittingSink;
  readonly onAccepting: NonNullable<Destination["onAccepting"]>;
}

/** What a member has of its host. */
export interface FleetHost {
  /** Gets notices where health has another way out than the outputs. */
  readonly takeNotice?: (notice: Notice) => void;
  /** Called with what an output has confirmed, or taken. */
  readonly delivered?: (batch: readonly Delivery[]) => void;
  /** Ends also a start that waits for the database. */
  readonly stop: AbortSignal;
  /** How long outputs may take at a stop; absent: 10 s, and as long as the database's last answer takes. */
  readonly stopLimits?: OutputStopLimits;
  /** This machine's state folder, with its lock. */
  readonly openLocal: () => Promise<StateFolder>;
  readonly files: Pick<SecretFiles, "read">;
  /** Without `alsoFor`, customers of the database are not collected here, and their health says so. */
  readonly credentials: CredentialWatch & Partial<Pick<FileCredentialWatch, "alsoFor">>;
  /** Builds customers whose refresh tokens are there. */
  readonly builderWith: (vaultOf: VaultOf) => CollectorParts["customers"]["builder"];
}

/** Throws Failure `settings`: the key file cannot be used. */
export function fleetParts(chosen: FleetChosen, settings: FleetSettings, host: FleetHost, log: Log): FleetParts {
  const { config, stateDir } = chosen;
  const key = settings.keyFile === undefined ? undefined : readKeyFile(settings.keyFile);
  let vaults: { readonly tokens: FleetTokens; readonly renewing: Renewing } | undefined;
  const fleet = new FleetOfCustomers(chosen);
  let opened:
    | {
        readonly state: FleetState;
        readonly member: FleetMember;
        readonly store: PostgresFleet;
        readonly database: Database;
      }
    | undefined;
  const open = () => {
    if (opened === undefined) throw new Error("the fleet's state is not open");
    return opened;
  };
  return {
    // Nobody is collected before a shard is claimed.
    customers: {
      wanted: [],
      misconfigured: [],
      credentials: new FleetTokenWatch(host.credentials, chosen.stanzas, () => vaults?.tokens),
      builder: host.builderWith(fleetVaults(() => vaults, host.files)),
    },
    async openState() {
      const local = await host.openLocal();
      try {
        const primary = new PrimaryHost();
        const database = await fleetConnections(settings, CONNECTIONS, undefined, { primary });
        const store = new PostgresFleet({
          database,
          heartbeat: await fleetConnections(settings, 1, undefined, { ...HEARTBEAT_WITHIN, primary }),
          fleet: settings.name,
          key,
          admits: admission(database, settings.name),
          configured: () => fleet.configured,
          bodiesOf: bodiesInList,
          bodiesAt,
          keptMostBytes: KEPT_PACKETS_BYTES,
          nowMs: () => realClock.nowMs(),
        });
        const name = settings.member ?? hostname();
        const identity = { name, version: VERSION, configHash: fleet.configHash };
        const member = new FleetMember({
          store,
          identity,
          clock: realClock,
          random: realRandom,
          log,
          shardCount: SHARD_COUNT,
          held: () => opened?.state.held ?? [],
        });
        await member.begin(host.stop).catch((error: unknown) => {
          // A statement that hangs would hold up the stop.
          void store.close();
          throw error;
        });
        if (member.isAlive()) log.info("joined the fleet", { fleet: settings.name, member: name });
        const reduce: ConstructorParameters<typeof FleetState>[0]["reduce"] = async (huge, pieces) => ({
          ...huge,
          record: await reduceRecord(huge.record, pieces),
        });
        if (key !== undefined) {
          const tokens = new FleetTokens({ database, fleet: settings.name, key, timers: realClock });
          vaults = { tokens, renewing: renewingAs(store, member, shardOf) };
        }
        const joining = new JoinedBatches();
        const state = new FleetState({
          local,
          store,
          member,
          clock: realClock,
          random: realRandom,
          shardOf,
          reduce,
          joined: (batches) => joining.join(batches),
        });
        opened = { state, member, store, database };
        return state;
      } catch (error) {
        await local.release({ orderly: false });
        throw error;
      }
    },
    openDestination() {
      const { state, member, store } = open();
      const ports = { disk: realDisk, clock: realClock, platform: process.platform };
      const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
      const world = {
        ports,
        clock: realClock,
        random: realRandom,
        log,
        dialer: realDialer,
        http,
        hostName: hostname(),
        withoutSpool: true,
        fleet: { member: settings.member ?? hostname(), shards: SHARD_COUNT, members: () => member.members },
        ...(host.takeNotice === undefined ? {} : { takeNotice: host.takeNotice }),
      };
      const { replayMib } = config.settings.globals;
      const names = outputNames(config.outputs);
      const outputs = withTransactionalIds(config.outputs, settings.name);
      let accepting: Parameters<FleetDestination["onAccepting"]>[0] = () => undefined;
      const { all, each } = openEachOutput(outputs, config.settings.stanzas, stateDir, world);
      const lanes = each().map((sink, i) => {
        const [output, configured] = [names[i] as string, outputs[i] as OutputSettings];
        log.info("an output joined the fleet", { output, setting: configured.name });
        const isAlive = () => member.isAlive();
        return new OutputLanes({
          output,
          sink: host.delivered === undefined ? sink : noting(sink, host.delivered),
          store,
          isAlive,
          accepts: (stanzas) => accepting(stanzas),
          clock: realClock,
          log,
          ...laneTo(configured, sink, replayMib),
        });
      });
      state.deliverInto(lanes);
      return {
        sink: committingSink(all),
        onAccepting: (listener) => void (accepting = listener),
        renew: (output, secrets) => all.renew(output, secrets),
        outages: () => outagesOf(all.conditions(), outputs),
        outputs: () => outputStatuses(all.conditions(), outputs, realClock.nowMs()),
        async close() {
          try {
            return await closeOutputs({ lanes, sink: all, clock: realClock }, host.stopLimits ?? STOP);
          } finally {
            await http.close().catch(() => undefined);
          }
        },
      };
    },
    membership: {
      shared: {
        nowMs: () => opened?.member.nowMs() ?? realClock.nowMs(),
        lostOwnerOf: (tenantId) => opened?.member.leaseOf(shardOf(tenantId))?.lostOwner,
      },
      isReady: () => opened?.member.isAlive() ?? false,
      status(customers) {
        if (opened === undefined) return undefined;
        const { state, member } = opened;
        const { members, shards, lostShards, lapses } = member;
        return { members, shards, lostShards, lapses, ...state.status, lagS: lagByShard(customers) };
      },
      async run(collector, stop) {
        const { state, member, database } = open();
        const alsoFor = host.credentials.alsoFor?.bind(host.credentials);
        const roster = new RosterWatch({
          read: (revision) => readChangedRoster(database, settings.name, revision),
          drainOlder: () => drainMembersWithoutRoster(database, settings.name),
          customersOf: (rows) => rosterCustomers(rows, readerOf(chosen)),
          areCollected: alsoFor !== undefined,
          use: async (customers) => {
            noteCredentials(chosen, customers);
            alsoFor?.(customers.entries.flatMap((one) => ("stanza" in one ? [one.stanza] : [])));
            await fleet.use(customers, collector, (shard) => member.leaseOf(shard) !== undefined);
          },
          health: () => collector.healthOf({ id: "", name: `customers of fleet ${settings.name}` }),
          clock: realClock,
          log,
        });
        // Whoever is claimed first is collected at once.
        await roster.look();
        await Promise.all([member.run(fleet.within(collector, state, settings.name), stop), roster.run(stop)]);
      },
    },
  };
}

/** A file has an event when it is written; of receivers, some confirm. */
function laneTo({ name, type, protocol, spoolMib }: OutputSettings, sink: OutputsSink, replayMib: number) {
  const byType = () => {
    if (type === "hec") return { lanes: HEC_LANES, removeWithinMs: HEC_REMOVE_WITHIN_MS };
    if (type === "syslog" && protocol !== "udp")
      return { lanes: 1, removeWithinMs: SYSLOG_REMOVE_WITHIN_MS, replayBytes: replayMib * 1_048_576 };
    if (type !== "kafka") return undefined;
    return {
      lanes: SHARD_COUNT,
      laneBy: "shard" as const,
      limiter: new ConcurrencyLimiter(KAFKA_AT_ONCE),
      removeWithinMs: KAFKA_REMOVE_WITHIN_MS,
    };
  };
  const lane = byType();
  if (lane === undefined) return { lanes: 1, backlogMostBytes: FILE_BACKLOG_BYTES };
  return {
    ...lane,
    backlogMostBytes: spoolMib * 1_048_576,
    receiverFailure: () => {
      const [one] = sink.conditions();
      return one?.condition.state === "down" ? backlogFull(name, one.output.where, spoolMib) : undefined;
    },
  };
}

function backlogFull(name: string, where: string, spoolMib: number): Failure {
  return new Failure("output-full", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: ${where} accepts no events. Of the ${spoolMib} MiB that may wait for it in the fleet's database this customer's part is full, so its collection waits. Nothing is lost.`,
    nextStep: "Start the receiver again, and collection resumes by itself. Raise .spool_mib for longer outages.",
  });
}

/** A printed command names the credential of its customer. */
function noteCredentials({ credentials }: FleetChosen, { entries }: RosterCustomers): void {
  for (const one of entries)
    if ("stanza" in one) credentials.set(one.stanza.tenantName, { credential: one.stanza.credential });
}

/** A customer, and how its collection begins. */
interface Placed {
  readonly name: string;
  readonly customer: Stanza | MisconfiguredCustomer;
  /** Its settings may be others than those with which it was collected here before. */
  readonly mayChange: boolean;
}

/** Which customers are in which shard, and how their collection begins and ends. */
class FleetOfCustomers {
  readonly configHash: string;
  readonly #inFile: readonly { readonly stanza: string; readonly tenantId: string }[];
  readonly #ofFile: readonly ReturnType<typeof placed>[];
  #configured: readonly { readonly stanza: string; readonly tenantId: string }[] = [];
  #roster: readonly RosterEntry[] = [];
  #shards: ReadonlyMap<number, readonly Placed[]> = new Map();
  /** Collected or reported here now, by name. */
  readonly #taken = new Set<string>();

  constructor({ config, stanzas, misconfigured }: FleetChosen) {
    const all = [...config.settings.stanzas, ...config.settings.refused];
    this.#inFile = all.map(({ name, tenantId }) => ({ stanza: name, tenantId }));
    // As they are written: what a host has in its store does not count.
    this.configHash = configHashOf({ config, stanzas: config.settings.stanzas });
    const hasKey = config.fleet?.keyFile !== undefined;
    this.#ofFile = [
      ...stanzas.map((stanza) => {
        const tenantId = tenantIdFrom(stanza.tenantId);
        const customer = refusedInFleet(stanza, tenantId, { hasKey }) ?? stanza;
        return placed(tenantId ?? (stanza.name as TenantId), customer);
      }),
      ...misconfigured.map((one) => placed(one.tenantId === "" ? (one.name as TenantId) : one.tenantId, one)),
    ];
    this.#place([]);
  }

  /** Of the file and of the database; the same list until something changes. */
  get configured(): readonly { readonly stanza: string; readonly tenantId: string }[] {
    return this.#configured;
  }

  #place(roster: readonly RosterEntry[]): void {
    this.#roster = roster;
    this.#configured = [...this.#inFile, ...roster.map(({ name, shardBy }) => ({ stanza: name, tenantId: shardBy }))];
    const ofRoster = roster.map((one) =>
      placed(one.shardBy, "stanza" in one ? one.stanza : one.misconfigured, { mayChange: true }),
    );
    const byShard = Map.groupBy([...this.#ofFile, ...ofRoster], ({ shard }) => shard);
    this.#shards = new Map([...byShard].map(([shard, some]) => [shard, some.map((one) => one.placed)]));
  }

  /**
   * These are the customers of the database from now on. Those that are held here begin and end at once.
   *
   * @param holds the shard is this member's.
   */
  async use(
    { entries }: RosterCustomers,
    collector: CollectorForMembership,
    holds: (shard: number) => boolean,
  ): Promise<void> {
    const { gone, fresh } = changesOf(this.#roster, entries);
    if (gone.length + fresh.length === 0) return;
    this.#place(entries);
    // A removed customer's last page is saved, so that it continues there when it is added again.
    const ends = gone.filter(({ name }) => this.#taken.delete(name));
    await Promise.allSettled(ends.map(({ name }) => collector.drop(name, { saves: true })));
    for (const { shardBy, name } of fresh) {
      const [one] = (this.#shards.get(shardOf(shardBy)) ?? []).filter((some) => some.name === name);
      // Meanwhile its shard may have been given up, or claimed.
      if (one !== undefined && holds(shardOf(shardBy))) this.#take(one, collector);
    }
  }

  #take({ name, customer, mayChange }: Placed, collector: CollectorForMembership): void {
    if (this.#taken.has(name)) return;
    this.#taken.add(name);
    if ("failure" in customer) collector.takeMisconfigured(customer);
    else collector.take(customer, { isChanged: mayChange });
  }

  /** @param fleet its name. */
  within(collector: CollectorForMembership, state: FleetState, fleet: string): ShardCustomers {
    const missed = new Set<string>();
    const health = collector.healthOf({ id: "", name: `fleet ${fleet}` });
    const inShard = (shard: number) => this.#shards.get(shard) ?? [];
    return {
      take: ({ shard }) => {
        for (const one of inShard(shard)) this.#take(one, collector);
      },
      drop: async (lease: Lease, options) => {
        // What may be another's is not delivered here any more; what is given up is saved first.
        const left = options.saves ? undefined : state.leave(lease, { settles: false });
        const dropped = await Promise.allSettled(
          inShard(lease.shard).map(({ name }) => {
            this.#taken.delete(name);
            return collector.drop(name, options);
          }),
        );
        await (left ?? state.leave(lease, { settles: true }));
        for (const one of dropped) if (one.status === "rejected") throw one.reason;
      },
      report: (failure) => (failure === undefined ? health.be("ok") : health.be("failing", failure)),
      miss: (shards, failure) => {
        for (const { customer } of shards.flatMap(inShard)) {
          if ("failure" in customer) continue;
          const { name, tenantName } = customer;
          missed.add(name);
          collector.takeMisconfigured({ name, tenantName, tenantId: tenantIdFrom(customer.tenantId) ?? "", failure });
        }
      },
      found: () => {
        // Whoever owns them now says how they are.
        for (const one of missed) void collector.drop(one, { saves: false });
        missed.clear();
      },
    };
  }
}

function placed(
  shardBy: TenantId,
  customer: Stanza | MisconfiguredCustomer,
  { mayChange = false }: { readonly mayChange?: boolean } = {},
): { readonly shard: number; readonly placed: Placed } {
  return { shard: shardOf(shardBy), placed: { name: customer.name, customer, mayChange } };
}

/** What works in one process and not yet in a fleet. */
function refusedInFleet(
  stanza: Stanza,
  tenantId: TenantId | undefined,
  { hasKey }: { readonly hasKey: boolean },
): MisconfiguredCustomer | undefined {
  const { name, tenantName } = stanza;
  const refused = (key: string, say: string): MisconfiguredCustomer => {
    const problems = [{ stanza: name, key, say }];
    const failure = settingsRefused({ name, tenantName, tenantId: tenantId ?? "", problems }, "the configuration");
    return { name, tenantName, tenantId: tenantId ?? "", failure };
  };
  if (tenantId === undefined)
    return refused("tenant_id", "is a domain, and members of a fleet share customers by GUID; write the tenant's GUID");
  if (authOf(stanza) === "refresh_token" && !hasKey)
    return refused("auth", "is refresh_token, which needs fleet.key_file on every member; set it and run `fleet init`");
  return undefined;
}

type CommittingSink = Sink & Required<Pick<Sink, "writeHuge">>;

/** What the engine sees: it commits to the store, and health goes out at once. */
function committingSink(all: Sink): CommittingSink {
  const unused = () => Promise.reject(new Error("a member of a fleet delivers what it committed"));
  return {
    kind: "durable",
    hugeMostBytes: REDUCED_MOST_BYTES,
    write: unused,
    writeHuge: unused,
    health: (event) => all.health(event),
    ...(all.admit === undefined ? {} : { admit: all.admit.bind(all) }),
  };
}
