import { hostname } from "node:os";
import type { FleetSettings } from "../config/fleet-settings.ts";
import { EXIT, type ExitCode } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import { initFleet, keyInUse } from "../stores/postgres/init.ts";
import { applyConfiguration, drainMember, membersAtWork } from "../stores/postgres/operate.ts";
import { roleSql, schemaOf, upgradeSql } from "../stores/postgres/schema.ts";
import { type ArcSightFlags, type Chosen, choose } from "./chosen-configuration.ts";
import { settingsFailure } from "./configuration.ts";
import { fleetObstacle } from "./fleet.ts";
import { configHashOf } from "./fleet-configuration.ts";
import { fleetConnections, withFleetDatabase } from "./fleet-database.ts";
import { provideKeyFile } from "./fleet-key-file.ts";
import { realClock } from "./world.ts";

/** Where `fleet init` finds the password of the role that `--owner` names. */
const OWNER_PASSWORD = "DEFENDER_MSSP_FLEET_OWNER_PASSWORD";

export interface FleetInitOptions {
  /** The role that owns the schema; the members' own when undefined. */
  readonly owner: string | undefined;
  readonly printSql: boolean;
}

/**
 * `fleet init`: makes the fleet's schema or upgrades it, and prints the rights of the members' role. Throws
 * Failure `settings`, `fleet-schema`, and what the database says.
 */
export async function fleetInit(
  flags: ArcSightFlags,
  { owner, printSql }: FleetInitOptions,
  out: (text: string) => void,
  log: Log,
): Promise<ExitCode> {
  const fleet = await fleetOf(flags);
  const role = roleSql(fleet.name, fleet.user);
  if (printSql) {
    out(`begin;\n${upgradeSql(fleet.name, 0)}\n${role}\ncommit;\n`);
    return EXIT.done;
  }
  const password = flags.environment[OWNER_PASSWORD];
  const login = owner === undefined ? undefined : { user: owner, password: password ? sealed(password) : undefined };
  const connections = await fleetConnections(fleet, 1, login);
  let inUse: string | undefined;
  try {
    const { before, now } = await initFleet(connections, fleet.name);
    const schema = schemaOf(fleet.name);
    if (before === 0) log.info(`the fleet's schema ${schema} was made`, { version: now });
    else if (before < now) log.info(`the fleet's schema ${schema} was upgraded`, { from: before, to: now });
    else log.info(`the fleet's schema ${schema} is already that of this release`, { version: now });
    inUse = await keyInUse(connections, fleet.name);
  } finally {
    await connections.close();
  }
  if (owner !== undefined && owner !== fleet.user) {
    log.info(`the role ${fleet.user} needs the rights that follow; run them in the database once`);
    out(`${role}\n`);
  }
  if (fleet.keyFile !== undefined && provideKeyFile(fleet.keyFile, inUse))
    log.info("a key file was made; copy it to every member, readable by its account alone", { file: fleet.keyFile });
  return EXIT.done;
}

/** An output that hangs is waited for ten seconds; more than a minute is not usual. */
const DRAINED_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 500;

/** `fleet apply`: from now on members with this configuration share the customers. Throws as `fleetInit`. */
export async function fleetApply(flags: ArcSightFlags, log: Log): Promise<ExitCode> {
  const { chosen, fleet } = await chosenFleet(flags);
  const obstacle = fleetObstacle(chosen, { once: false, customer: undefined });
  if (obstacle !== undefined) {
    log.fatal(obstacle);
    return EXIT.usage;
  }
  return withFleetDatabase(fleet, async (database) => {
    const hash = configHashOf(chosen);
    await applyConfiguration(database, fleet.name, hash);
    const members = await membersAtWork(database, fleet.name);
    const others = members.filter(({ configHash }) => configHash !== hash).map(({ name }) => name);
    log.info(`the configuration was applied to the fleet ${fleet.name}`, {
      members_with_it: members.length - others.length,
    });
    if (others.length > 0)
      log.warn("members run with another configuration; copy this file to them and reload them", {
        members: others.join(", "),
      });
    return EXIT.done;
  });
}

/**
 * `fleet drain`: empties a member and waits until it is empty. Throws as `fleetInit`.
 *
 * @param member this host's when undefined.
 */
export async function fleetDrain(flags: ArcSightFlags, member: string | undefined, log: Log): Promise<ExitCode> {
  const fleet = await fleetOf(flags);
  const name = member ?? fleet.member ?? hostname();
  return withFleetDatabase(fleet, async (database) => {
    const before = await membersAtWork(database, fleet.name);
    const names = before.map((one) => one.name).join(", ") || "none";
    if (!before.some((one) => one.name === name)) {
      log.fatal(`No live member of the fleet ${fleet.name} is named ${name}. Live members: ${names}.`);
      return EXIT.usage;
    }
    if (!before.some((one) => one.name !== name && !one.isDraining)) {
      log.fatal(`No other live member could take over the customers of ${name}. Start one before you drain ${name}.`);
      return EXIT.state;
    }
    await drainMember(database, fleet.name, name);
    const endMs = realClock.monotonicMs() + DRAINED_WITHIN_MS;
    for (;;) {
      const now = (await membersAtWork(database, fleet.name)).filter((one) => one.name === name);
      const shards = now.reduce((sum, one) => sum + one.shards, 0);
      if (shards === 0) {
        log.info(`${name} is drained: it holds no customers, and takes none until it starts again`);
        return EXIT.done;
      }
      if (realClock.monotonicMs() > endMs) {
        log.error(`${name} still holds customers of ${shards} shards. It goes on giving them up; see its log.`);
        return EXIT.state;
      }
      await realClock.pause(LOOK_EVERY_MS);
    }
  });
}

/** Throws Failure `settings` when there is none, or a wrong one. */
export async function fleetOf(flags: ArcSightFlags): Promise<FleetSettings> {
  return (await chosenFleet(flags)).fleet;
}

/** As `fleetOf`, with the configuration. */
export async function chosenFleet(
  flags: ArcSightFlags,
): Promise<{ readonly chosen: Chosen; readonly fleet: FleetSettings }> {
  const chosen = await choose(flags);
  const { config } = chosen;
  const wrong = config.problems.filter(({ stanza }) => stanza === "fleet");
  if (wrong.length > 0)
    throw settingsFailure(wrong.map(({ key, say }) => `${flags.config}: fleet.${key} ${say}`).join("\n"));
  if (config.fleet === undefined)
    throw settingsFailure(
      `${flags.config} has no fleet.url; write for example fleet.url=postgres://db.example.com:5432/fleet`,
    );
  return { chosen, fleet: config.fleet };
}
