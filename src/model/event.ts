import type { Actor, FailureCode } from "./failure-codes.ts";
import type { PermissionDrift } from "./granted-permissions.ts";
import type { Ticks } from "./instant.ts";
import { formatInstant } from "./instant.ts";
import type { RecordHead, SourceRecord } from "./record.ts";
import type { RosterReport } from "./roster-report.ts";
import type { RecordKind, StreamName } from "./stream.ts";
import type { Tenant, TenantId } from "./tenant.ts";

export type Change = "new" | "updated";
export type Found = "poll" | "sweep" | "replay";

/** One version on its way to the SIEM. */
export interface Delivery {
  readonly stanza: string;
  readonly tenant: Tenant;
  readonly stream: StreamName;
  readonly change: Change;
  readonly found: Found;
  /** The version's identity; the same each time it is sent. */
  readonly key: string;
  readonly record: SourceRecord;
}

/** A version whose record is too large for memory: its bytes are passed separately, in pieces. */
export type HugeDelivery = Omit<Delivery, "record"> & { readonly record: RecordHead };

/** `<tenant GUID>:<stream>:<kind>:<object id>:<update instant, UTC, seven fraction digits>` */
export function versionKey(
  tenantId: TenantId,
  stream: StreamName,
  kind: RecordKind,
  objectId: string,
  updated: Ticks,
): string {
  return `${tenantId}:${stream}:${kind}:${objectId}:${formatInstant(updated)}`;
}

export type HealthState =
  | "ok"
  | "catching-up"
  | "throttled"
  | "failing"
  | "signed-out"
  | "awaiting-consent"
  | "misconfigured"
  | "off";

/** Stands for all streams of a customer that is refused as a whole. */
export const ALL_STREAMS = "*";

/** One stream's part of a health event; counts are since the previous health event of that customer. */
export interface StreamHealth {
  readonly stream: StreamName | typeof ALL_STREAMS;
  readonly state: HealthState;
  /** Seconds since the start of the last completed walk; null before the first. */
  readonly lag_s: number | null;
  readonly walk_completed_at: string | null;
  readonly new: number;
  readonly updated: number;
  readonly swept: number;
  readonly replayed: number;
  readonly superseded: number;
  readonly requests: number;
  readonly throttled: number;
  /** Events sent in which invalid UTF-8 became U+FFFD. */
  readonly invalid_utf8: number;
  readonly retry_at: string | null;
  readonly failure: FailureCode | null;
  readonly actor: Actor | null;
  readonly say: string | null;
  readonly next_step: string | null;
}

/** Written at each change of state and hourly; member names are those of the JSON event. */
export interface HealthEvent {
  readonly time: string;
  readonly tenant: string;
  /** Empty where only a domain is known, or nothing valid. */
  readonly tenant_id: string;
  /** The stanza's name: two inputs may collect one tenant under one name. */
  readonly input: string;
  readonly streams: readonly StreamHealth[];
  readonly credential: string | null;
  readonly credential_days_left: number | null;
  readonly version: string;
  /** Absent before the first token. */
  readonly permissions?: PermissionDrift;
  /** Only in the event that compares all customers with the list; it has no customer and no streams. */
  readonly roster?: RosterReport;
}
