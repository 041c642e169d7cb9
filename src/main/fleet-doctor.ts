import { Failure } from "../model/failure.ts";
import { sharing } from "../model/fleet.ts";
import type { DoctorCheck, FleetChecks } from "../model/sign-in.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { schemaVersion } from "../stores/postgres/fleet-store.ts";
import {
  lookAtDatabase,
  lookAtFleet,
  type MemberLook,
  type OutputLook,
  type SetAside,
} from "../stores/postgres/look.ts";
import { checkSchemaVersion, schemaOf } from "../stores/postgres/schema.ts";
import { placeOf } from "./command-place.ts";
import { settingsFailure } from "./configuration.ts";
import { fleetOf } from "./fleet-command.ts";
import { fleetConnections } from "./fleet-database.ts";

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
  const settings = await fleetOf({
    config,
    overrides: {},
    environment,
    place: placeOf(argv, { typed: true, secrets: "files" }),
  });
  const connections = await fleetConnections(settings, 1);
  const where = settings.hosts.map(({ host, port }) => `${host}:${port}`).join(", ");
  return {
    fleet: settings.name,
    checks: checksOf(connections, settings.name, where),
    close: () => connections.close(),
  };
}

/** @param where hosts and ports of the database. */
export function checksOf(database: Database, fleet: string, where: string): readonly DoctorCheck[] {
  return [
    {
      name: "database",
      run: async () => {
        const { version } = await lookAtDatabase(database);
        return `The primary answers at ${where}: PostgreSQL ${version}.`;
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
      name: "durability",
      run: async () => {
        const { synchronousCommit, standbys, synchronousStandbys } = await lookAtDatabase(database);
        if (synchronousCommit === "off") throw losesCommits();
        const followed =
          standbys === 0
            ? "No standby follows: if this host is lost, collection begins at `start` again."
            : `${standbys} standby servers follow; a commit waits for ${synchronousStandbys}.`;
        return `synchronous_commit is ${synchronousCommit}. ${followed}`;
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

function losesCommits(): Failure {
  return new Failure("fleet-not-durable", {
    actor: "operator",
    retry: { when: "never" },
    say: "synchronous_commit is off in the fleet's database: a crash of it loses pages that were committed.",
    nextStep: "Set synchronous_commit = on in the database, at least for the members' role.",
  });
}
