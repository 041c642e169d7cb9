import type { FleetSettings } from "../config/fleet-settings.ts";
import { EXIT, type ExitCode } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import { initFleet } from "../stores/postgres/init.ts";
import { roleSql, schemaOf, upgradeSql } from "../stores/postgres/schema.ts";
import { type ArcSightFlags, choose } from "./arcsight-command.ts";
import { settingsFailure } from "./configuration.ts";
import { fleetConnections } from "./fleet-database.ts";

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
  try {
    const { before, now } = await initFleet(connections, fleet.name);
    const schema = schemaOf(fleet.name);
    if (before === 0) log.info(`the fleet's schema ${schema} was made`, { version: now });
    else if (before < now) log.info(`the fleet's schema ${schema} was upgraded`, { from: before, to: now });
    else log.info(`the fleet's schema ${schema} is already that of this release`, { version: now });
  } finally {
    await connections.close();
  }
  if (owner !== undefined && owner !== fleet.user) {
    log.info(`the role ${fleet.user} needs the rights that follow; run them in the database once`);
    out(`${role}\n`);
  }
  return EXIT.done;
}

/** Throws Failure `settings` when there is none, or a wrong one. */
export async function fleetOf(flags: ArcSightFlags): Promise<FleetSettings> {
  const { config } = await choose(flags);
  const wrong = config.problems.filter(({ stanza }) => stanza === "fleet");
  if (wrong.length > 0)
    throw settingsFailure(wrong.map(({ key, say }) => `${flags.config}: fleet.${key} ${say}`).join("\n"));
  if (config.fleet === undefined)
    throw settingsFailure(
      `${flags.config} has no fleet.url; write for example fleet.url=postgres://db.example.com:5432/fleet`,
    );
  return config.fleet;
}
