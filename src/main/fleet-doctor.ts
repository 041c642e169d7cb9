import { Failure } from "../model/failure.ts";
import { sharing } from "../model/fleet.ts";
import type { DoctorCheck, FleetChecks } from "../model/sign-in.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { schemaVersion } from "../stores/postgres/fleet-store.ts";
import {
  type DatabaseLook,
  type LagLook,
  lookAtDatabase,
  lookAtFleet,
  lookAtLag,
  type MemberLook,
  type OutputLook,
  type SetAside,
} from "../stores/postgres/look.ts";
import { fleetMoved, moveOf } from "../stores/postgres/move.ts";
import { readRoster } from "../stores/postgres/roster.ts";
import { checkSchemaVersion, schemaOf } from "../stores/postgres/schema.ts";
import { placeOf } from "./command-place.ts";
import { settingsFailure } from "./configuration.ts";
import { chosenFleet } from "./fleet-command.ts";
import { readerOf } from "./fleet-configuration.ts";
import { fleetConnections } from "./fleet-database.ts";
import { type RosterReader, rosterCustomers } from "./fleet-roster.ts";
import { expectedOf } from "./fleet-status.ts";

/** A clock that differs by less is not named. */
const CLOCK_NAMED_S = 5;
/** Streams that one sentence names. */
const NAMED_MOST = 5;

/** What `doctor --fleet` checks, with the rights of a member. Throws Failure `settings`. */
export async function fleetChecks(
  argv: Readonly<Record<string, unknown>>,
  environment: NodeJS.ProcessEnv,
): Promise<FleetChecks> {
  const config = argv["config"];
  if (typeof config !== "string") throw settingsFailure("--fleet needs --config FILE, the properties file of a member");
  const { chosen, fleet: settings } = await chosenFleet({
    config,
    overrides: {},
    environment,
    place: placeOf(argv, { typed: true, secrets: "files" }),
  });
  const connections = await fleetConnections(settings, 1);
  const where = settings.hosts.map(({ host, port }) => `${host}:${port}`).join(", ");
  const reader = readerOf(chosen);
  return {
    fleet: settings.name,
    checks: [...checksOf(connections, settings.name, where, reader), rosterCheck(connections, settings.name, reader)],
    close: () => connections.close(),
  };
}

/**
 * @param where hosts and ports of the database.
 * @param reader of this member; absent: lag is of no customer.
 */
export function checksOf(
  database: Database,
  fleet: string,
  where: string,
  reader?: RosterReader,
): readonly DoctorCheck[] {
  return [
    {
      name: "database",
      run: async () => {
        const { version, isReadOnly, bytes, connections, connectionsMost } = await lookAtDatabase(database);
        if (isReadOnly) throw readOnly();
        const through = database.isPooled === true ? " through a pooler" : "";
        return (
          `The primary answers at ${where}${through}: PostgreSQL ${version}. The database takes ${mib(bytes)} MiB; ` +
          `${connections} of ${connectionsMost} connections are in use.`
        );
      },
    },
    {
      name: "schema",
      run: async () => {
        const version = await schemaVersion(database, fleet);
        checkSchemaVersion(fleet, version);
        return `${schemaOf(fleet)} has version ${version}.`;
      },
    },
    {
      name: "streams",
      run: async () => {
        const move = await moveOf(database, fleet);
        if (move !== undefined) throw fleetMoved(fleet, move);
        return "The fleet has its streams.";
      },
    },
    {
      name: "durability",
      run: async () => {
        const look = await lookAtDatabase(database);
        if (look.synchronousCommit === "off") throw losesCommits();
        if (look.synchronousStandbyNames !== "" && (look.inSync ?? look.standbys) === 0 && waitsForStandby(look))
          throw standbyMissing(look);
        const unsafe = look.fsync === "off" ? " fsync is off: a crash of its host damages the database." : "";
        return `synchronous_commit is ${look.synchronousCommit}. ${standbysInWords(look)}${unsafe}`;
      },
    },
    {
      name: "members",
      run: async () => {
        const { members, unowned } = await lookAtFleet(database, fleet);
        const alive = members.filter(({ isAlive }) => isAlive);
        if (unowned > 0) throw withoutOwner(unowned, alive.length);
        return `${alive.map(memberInWords).join(", ")}.${configurationsInWords(alive)}`;
      },
    },
    {
      name: "lag",
      run: async () => {
        const expected = reader === undefined ? [] : await expectedOf(database, fleet, reader);
        const look = await lookAtLag(database, fleet, expected);
        const late = look.shards.reduce((sum, one) => sum + one.late, 0);
        const streams = look.shards.reduce((sum, one) => sum + one.streams, 0);
        if (late * 2 > streams) throw behind(late, streams, look);
        return lagInWords(late, look);
      },
    },
    {
      name: "outputs",
      run: async () => {
        const { outputs } = await lookAtFleet(database, fleet);
        if (outputs.length === 0) return "Nothing waits.";
        return `${outputs.map(outputInWords).join(", ")}.`;
      },
    },
    {
      name: "packets",
      run: async () => {
        const { setAside } = await lookAtFleet(database, fleet);
        if (setAside.length > 0) throw damagedPackets(setAside);
        return "None is damaged.";
      },
    },
  ];
}

/** @param reader of this member: another one may have other flags and another file. */
export function rosterCheck(database: Database, fleet: string, reader: RosterReader): DoctorCheck {
  return {
    name: "customers",
    run: async () => {
      const { customers } = await readRoster(database, fleet);
      const { entries, differing } = rosterCustomers(customers, reader);
      const unusable = entries.flatMap((one) => ("misconfigured" in one ? [one.misconfigured.failure] : []));
      const [first] = unusable;
      if (first !== undefined)
        throw new Failure("settings", {
          actor: "operator",
          retry: { when: "never" },
          say: unusable.map(({ say }) => say).join(" "),
          nextStep: first.nextStep,
        });
      return [`${customers.length} in the database.`, ...differing].join(" ");
    },
  };
}

function memberInWords({
  name,
  version,
  shards,
  clockAheadMs,
  isDraining,
  hasOtherKey,
  isApplied,
}: MemberLook): string {
  const offS = Math.round(clockAheadMs / 1_000);
  const facts = [
    version,
    ...(Math.abs(offS) > CLOCK_NAMED_S ? [`clock ${Math.abs(offS)} s ${offS > 0 ? "ahead" : "behind"}`] : []),
    ...(hasOtherKey ? ["another key file than the fleet's"] : isDraining ? ["drained"] : []),
    ...(isApplied ? [] : ["another configuration than the applied one"]),
    `${shards} shards`,
  ];
  return `${name} (${facts.join(", ")})`;
}

function configurationsInWords(alive: readonly MemberLook[]): string {
  if (!sharing(alive).some(({ isApplied }) => isApplied))
    return " No member with the applied configuration takes customers, so the others do. One that starts with it takes over all of them.";
  const differ = new Set(alive.map(({ configHash }) => configHash)).size > 1;
  return differ ? " They do not all run with the same configuration; those with the applied one collect." : "";
}

function mib(bytes: number): number {
  return Math.ceil(bytes / 1_048_576);
}

/** Levels below `on` end before a standby has the commit. */
function waitsForStandby({ synchronousCommit }: DatabaseLook): boolean {
  return synchronousCommit !== "local";
}

function standbysInWords(look: DatabaseLook): string {
  const { standbys, inSync, synchronousStandbyNames: names } = look;
  if (standbys === 0) return "No standby follows: if this host is lost, collection begins at `start` again.";
  if (names === "" || !waitsForStandby(look))
    return (
      `${standbys} standby servers follow, and a commit waits for none of them` +
      ` (${names === "" ? "synchronous_standby_names is empty" : "synchronous_commit is local"}): ` +
      "after a failover the last events may be sent again, with equal keys."
    );
  if (inSync === undefined)
    return (
      `${standbys} standby servers follow; synchronous_standby_names is ${names}. ` +
      "Grant pg_read_all_stats to fleet.user to see here whether they are in sync."
    );
  return `${standbys} standby servers follow; a commit waits for ${inSync} of them (${names}).`;
}

/** Seconds as a person says them. */
function spanInWords(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3_600)} hours`;
}

function lateInWords({ late, shards }: LagLook): string {
  return late
    .map(({ customer, stream, shard, lagS }) => {
      const owner = shards.find((one) => one.shard === shard)?.owner ?? "no member";
      return `${customer}, ${stream}: ${spanInWords(lagS)} (shard ${shard} of ${owner})`;
    })
    .join("; ");
}

function lagInWords(late: number, look: LagLook): string {
  const never =
    look.neverOpened === 0 ? "" : ` ${look.neverOpened} configured customers have never been collected by this fleet.`;
  if (late > 0) {
    const shards = look.shards.filter((one) => one.late > 0).length;
    return `${late} streams of ${shards} shards are behind. The worst: ${lateInWords(look)}. Run \`defender-mssp doctor --customer NAME\` for each.${never}`;
  }
  const lags = look.shards.filter((one) => one.lagS !== undefined);
  const worst = lags.reduce((most, one) => Math.max(most, one.lagS ?? 0), 0);
  if (lags.length === 0) return `No stream was read completely yet.${never}`;
  return `No stream is behind. The oldest walk that was saved ended ${spanInWords(worst)} ago; those without events are saved every 10 minutes.${never}`;
}

function outputInWords({ output, packets, streams, bytes, oldestS }: OutputLook): string {
  const kib = Math.ceil(bytes / 1024);
  return `${packets} packets (${kib} KiB) of ${streams} streams wait for ${output}, for at most ${Math.ceil(oldestS / 60)} minutes`;
}

function damagedPackets(setAside: readonly SetAside[]): Failure {
  const sum = (count: (one: SetAside) => number) => setAside.reduce((all, one) => all + count(one), 0);
  const named = setAside.slice(0, NAMED_MOST).map(({ customer, stream, records, sinceMs, damage }) => {
    const since = new Date(sinceMs).toISOString();
    return `${customer}, ${stream}: ${records} since ${since} (${damage.replaceAll(/\s+/g, " ")})`;
  });
  const more = setAside.length > NAMED_MOST ? ` and ${setAside.length - NAMED_MOST} more streams` : "";
  return new Failure("fleet-set-aside", {
    actor: "operator",
    retry: { when: "later" },
    say: `${sum(({ packets }) => packets)} damaged packets with ${sum(({ records }) => records)} events were set aside and not delivered: ${named.join("; ")}${more}.`,
    nextStep: "Check the database's disk. docs/fleet says how to send them again or give them up.",
  });
}

function withoutOwner(unowned: number, alive: number): Failure {
  return new Failure("fleet-unowned", {
    actor: "operator",
    retry: { when: "later" },
    say: `${unowned} of 256 shards have no live owner, and ${alive} members are alive. Their customers are not collected.`,
    nextStep: "Start the members. If one stopped within the last ten seconds, look again.",
  });
}

function behind(late: number, streams: number, look: LagLook): Failure {
  return new Failure("fleet-behind", {
    actor: "operator",
    retry: { when: "later" },
    say: `${late} of ${streams} streams are behind: their last complete walk was saved long ago. The worst: ${lateInWords(look)}.`,
    nextStep: "Read the log and the health events of these members, and add a member if they have no processor time.",
  });
}

function readOnly(): Failure {
  return new Failure("fleet-refused", {
    actor: "operator",
    retry: { when: "later" },
    say: "The fleet's database is read-only for fleet.user, so no member can commit anything.",
    nextStep: "Set default_transaction_read_only = off for the database and this role.",
  });
}

function standbyMissing({ synchronousStandbyNames, standbys }: DatabaseLook): Failure {
  return new Failure("fleet-standby-missing", {
    actor: "operator",
    retry: { when: "later" },
    say: `synchronous_standby_names is ${synchronousStandbyNames}, and ${standbys === 0 ? "no standby follows" : `none of the ${standbys} standby servers that follow is in sync`}. Each commit waits for one, so nothing is collected.`,
    nextStep: "Start the standby. If it is gone for good, correct synchronous_standby_names and reload the database.",
  });
}

function losesCommits(): Failure {
  return new Failure("fleet-not-durable", {
    actor: "operator",
    retry: { when: "never" },
    say: "synchronous_commit is off in the fleet's database: a crash of it loses pages that were committed.",
    nextStep: "Set synchronous_commit = on in the database, at least for the members' role.",
  });
}
