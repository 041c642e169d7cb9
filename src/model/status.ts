import type { Change, Found, StreamHealth } from "./event.ts";
import type { PermissionDrift } from "./granted-permissions.ts";
import type { RosterReport } from "./roster-report.ts";

/** What a request was answered with, by the API or by the sign-in before it. `none`: no answer. */
export const ANSWER_STATUSES = [
  "200",
  "206",
  "400",
  "401",
  "403",
  "404",
  "429",
  "500",
  "502",
  "503",
  "504",
  "other",
  "none",
] as const;
export type AnswerStatus = (typeof ANSWER_STATUSES)[number];

/** One stream since the process began. */
export interface StreamStatus extends StreamHealth {
  readonly delivered: Readonly<Record<Found, Readonly<Record<Change, number>>>>;
  /** In the order of ANSWER_STATUSES; in an object, a member named 200 reserves memory for 200 others. */
  readonly answers: readonly number[];
  readonly retries: number;
}

/** One customer as its report has it now. */
export interface CustomerStatus {
  readonly tenant: string;
  /** Empty where it is not known. */
  readonly tenantId: string;
  /** The stanza's name: two inputs may collect one tenant under one name. */
  readonly input: string;
  readonly credentialDaysLeft: number | null;
  readonly streams: readonly StreamStatus[];
  /** Absent before the first token. */
  readonly permissions?: PermissionDrift;
}

/** `up`: takes events. `down`: not reached, events wait on disk. `refusing`: collection waits. */
export const OUTPUT_STATES = ["up", "down", "refusing"] as const;

/** One output as it is now. */
export interface OutputStatus {
  /** `outputs[0]`. */
  readonly name: string;
  readonly type: string;
  readonly state: (typeof OUTPUT_STATES)[number];
  /** Bytes that wait on disk. */
  readonly spoolBytes: number;
  /** Age of what waits longest; null when nothing waits. */
  readonly oldestS: number | null;
  /** Events that were sent and are not acknowledged; null where the receiver acknowledges nothing. */
  readonly unconfirmed: number | null;
  /** Events that the receiver refused for good. */
  readonly rejected: number;
}

/** What a member of a fleet knows of its part, since the process began. */
export interface FleetStatus {
  /** Live members that share the customers, as the database said last. */
  readonly members: number;
  readonly shards: number;
  /** Shards that were given up because another member has them, or because nobody knows. */
  readonly lostShards: number;
  /** How often this member's place expired. */
  readonly lapses: number;
  readonly commits: number;
  /** All commits together took so long. */
  readonly commitS: number;
  /** Of what was committed here. */
  readonly outputs: readonly {
    readonly output: string;
    readonly waitingPackets: number;
    readonly waitingBytes: number;
  }[];
  /** The largest lag of each owned shard of which a stream was read. */
  readonly lagS: ReadonlyMap<number, number>;
}

/** What one collector knows of itself. */
export interface CollectorStatus {
  readonly customers: readonly CustomerStatus[];
  /** Absent while no list of customers was read. */
  readonly roster?: RosterReport;
  readonly outputs: readonly OutputStatus[];
  /** Absent for a collector that works alone. */
  readonly fleet?: FleetStatus;
}

/** The answer of `/status` and of `status --json`; member names are those of the JSON. */
export interface StatusDocument {
  readonly version: string;
  readonly collectors: readonly {
    readonly name: string;
    readonly version: string;
    readonly alive: boolean;
    readonly customers: number;
  }[];
  readonly customers: readonly {
    readonly tenant: string;
    readonly tenant_id: string;
    readonly collector: string;
    /** As in health events, with the counts since the process began. */
    readonly streams: readonly StreamHealth[];
    /** As in health events. */
    readonly permissions?: PermissionDrift;
  }[];
  readonly outputs: readonly {
    readonly name: string;
    readonly type: string;
    readonly state: string;
    readonly spool_bytes: number;
    readonly oldest_s: number | null;
    readonly unconfirmed: number | null;
    readonly rejected: number;
  }[];
  /** As in health events; absent while no list of customers was read. */
  readonly roster?: RosterReport;
  /** All 256 of a fleet, as its database knows them; absent where a collector answers. */
  readonly shards?: readonly {
    readonly shard: number;
    /** The live member that owns it. */
    readonly collector: string | null;
    /** Of configured customers that were ever collected. */
    readonly streams: number;
    /** Of these: too long without a complete walk that was saved. */
    readonly late: number;
    /** Since the last such walk, the longest. One that finds nothing is saved every ten minutes. */
    readonly lag_s: number | null;
  }[];
}
