import { ALL_STREAMS, type HealthState, type StreamHealth } from "../../model/event.ts";
import { Failure } from "../../model/failure.ts";
import { withdrawnSince } from "../../model/granted-permissions.ts";
import { printable } from "../../model/printable.ts";
import type { RosterReport } from "../../model/roster-report.ts";
import type { StatusDocument } from "../../model/status.ts";
import {
  ACTORS_IN_ORDER,
  type ReasonLine,
  reasonLine,
  reasonsOf,
  reasonTable,
  type Unready,
  unneededRemarks,
} from "./doctor-reasons.ts";
import { textTable } from "./text-table.ts";

/** A customer counts by its worst stream; the worst state first. */
const WORST_FIRST: readonly HealthState[] = [
  "misconfigured",
  "signed-out",
  "awaiting-consent",
  "failing",
  "throttled",
  "catching-up",
  "ok",
  "off",
];
const MIB = 1024 * 1024;

type Customer = StatusDocument["customers"][number];

/** `status` for a person: customers by state and reason, the largest lag, outputs with what waits. */
export function statusTable({ collectors, customers, outputs, roster, shards }: StatusDocument): string {
  const states = Map.groupBy(customers, ({ streams }) => worstOf(streams));
  const parts = [
    collectors
      .map(({ name, customers: count, version, alive }) => {
        const gone = alive ? "" : ", not alive";
        return `${printable(name)}: ${count} customers, version ${printable(version)}${gone}\n`;
      })
      .join(""),
    textTable(
      ["STATE", "CUSTOMERS"],
      WORST_FIRST.toReversed().flatMap((state) => {
        const those = states.get(state);
        return those === undefined ? [] : [[state, String(those.length)]];
      }),
    ),
    reasonTable(reasonsIn(customers)),
    unneededRemarks(customers),
    roster === undefined ? "" : rosterTable(roster),
    lagLine(customers),
    shards === undefined ? "" : shardsTable(shards),
    outputs.length === 0 ? "" : outputsTable(outputs),
  ];
  return parts.filter((part) => part !== "").join("\n");
}

/** A customer whose streams are not open yet is about to be collected. */
function worstOf(streams: readonly StreamHealth[]): HealthState {
  return WORST_FIRST.find((state) => streams.some((stream) => stream.state === state)) ?? "catching-up";
}

/** One line per reason, as `doctor --all --brief` has them. */
function reasonsIn(customers: readonly Customer[]): readonly ReasonLine[] {
  const unready = customers.flatMap(({ tenant, tenant_id, streams, permissions }): Unready[] => {
    const failed = WORST_FIRST.map((state) =>
      streams.find((stream) => stream.state === state && stream.failure !== null),
    ).find((stream) => stream !== undefined);
    if (failed === undefined || failed.failure === null || failed.actor === null) return [];
    const failure = new Failure(failed.failure, {
      actor: failed.actor,
      retry: { when: "later" },
      say: printable(failed.say ?? ""),
      nextStep: printable(failed.next_step ?? ""),
    });
    const since = permissions && failed.stream !== ALL_STREAMS ? withdrawnSince(permissions, failed.stream) : undefined;
    return [{ tenant: printable(tenant), names: [tenant, tenant_id], failure, withdrawnSince: since }];
  });
  return ACTORS_IN_ORDER.flatMap((actor) =>
    reasonsOf(unready.filter(({ failure }) => failure.actor === actor)).map(reasonLine),
  );
}

/** The list of customers against reality. */
function rosterTable({ under_contract, configured, consented, collected, silent, say }: RosterReport): string {
  const counts = [under_contract, configured, consented, collected, silent].map(String);
  return `${textTable(["UNDER CONTRACT", "CONFIGURED", "CONSENTED", "COLLECTED", "SILENT"], [counts])}${printable(say)}\n`;
}

function lagLine(customers: readonly Customer[]): string {
  const lags = customers.flatMap(({ tenant, streams }) =>
    streams.flatMap(({ stream, lag_s }) => (lag_s === null ? [] : [{ tenant, stream, lag_s }])),
  );
  if (lags.length === 0) return "";
  const { tenant, stream, lag_s } = lags.reduce((worst, one) => (one.lag_s > worst.lag_s ? one : worst));
  return `Largest lag: ${lag_s} s (${printable(tenant)}, ${stream}).\n`;
}

/** Who owns which part of a fleet's customers, and how far it is behind. */
function shardsTable(shards: NonNullable<StatusDocument["shards"]>): string {
  const byOwner = [...Map.groupBy(shards, ({ collector }) => collector)].sort(([a], [b]) =>
    (a ?? "").localeCompare(b ?? ""),
  );
  return textTable(
    ["OWNER", "SHARDS", "STREAMS", "LATE", "LARGEST LAG S", "IN SHARD"],
    byOwner.map(([owner, owned]) => {
      const sum = (count: (one: (typeof owned)[number]) => number) => owned.reduce((all, one) => all + count(one), 0);
      const worst = owned.reduce((most, one) => ((one.lag_s ?? -1) > (most.lag_s ?? -1) ? one : most));
      return [
        owner === null ? "(nobody)" : printable(owner),
        String(owned.length),
        String(sum(({ streams }) => streams)),
        String(sum(({ late }) => late)),
        worst.lag_s === null ? "-" : String(worst.lag_s),
        worst.lag_s === null ? "-" : String(worst.shard),
      ];
    }),
  );
}

function outputsTable(outputs: StatusDocument["outputs"]): string {
  const orNone = (value: number | null) => (value === null ? "-" : String(value));
  return textTable(
    ["OUTPUT", "TYPE", "STATE", "SPOOL MIB", "OLDEST S", "UNCONFIRMED", "REJECTED"],
    outputs.map(({ name, type, state, spool_bytes, oldest_s, unconfirmed, rejected }) => [
      printable(name),
      printable(type),
      printable(state),
      (spool_bytes / MIB).toFixed(1),
      orNone(oldest_s),
      orNone(unconfirmed),
      String(rejected),
    ]),
  );
}
