import type { FleetSettings } from "../config/fleet-settings.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { ConfiguredCustomer, FleetRoster, RosterChange } from "../model/roster.ts";
import type { Database } from "../stores/postgres/connections.ts";
import {
  addToRoster,
  changeInRoster,
  isKeptInRoster,
  type RosterWritten,
  readRoster,
  removeFromRoster,
} from "../stores/postgres/roster.ts";
import { placeOf } from "./command-place.ts";
import { type RawConfiguration, settingsFailure } from "./configuration.ts";
import { chosenFleet } from "./fleet-command.ts";
import { readerOf } from "./fleet-configuration.ts";
import { withFleetDatabase } from "./fleet-database.ts";
import { rosterCustomers } from "./fleet-roster.ts";

/**
 * The customers in the database of the fleet that `--config` names. Throws Failure `settings` or
 * `fleet-schema`, and what the database says.
 */
export async function fleetRoster(
  argv: Readonly<Record<string, unknown>>,
  environment: NodeJS.ProcessEnv,
): Promise<FleetRoster> {
  const config = argv["config"];
  if (typeof config !== "string")
    throw settingsFailure("--to fleet needs --config FILE, the properties file of a member");
  const flags = { config, overrides: {}, environment, place: placeOf(argv, { typed: true, secrets: "files" }) };
  const { chosen, fleet } = await chosenFleet(flags);
  // A connection that stays open would keep the command alive while tenants are looked up.
  const withDatabase = <T>(work: (database: Database) => Promise<T>) => withFleetDatabase(fleet, work);
  // Before a list is read and tenants are looked up.
  await withDatabase(async () => undefined);
  return {
    name: `the database of the fleet ${fleet.name}`,
    usesIndex: chosen.config.outputs.some(({ type }) => type === "hec"),
    keeps: isKeptInRoster,
    read: async () => (await withDatabase((database) => readRoster(database, fleet.name))).customers,
    write: (changes, report) =>
      withDatabase(async (database) => {
        for (const change of changes) report(change, await failureOf(change, write(database, fleet.name, change)));
      }),
    differing: (customers: readonly ConfiguredCustomer[]) => rosterCustomers(customers, readerOf(chosen)).differing,
  };
}

/**
 * What a properties file says, with the customers of its fleet's database that it does not have. Where the
 * database cannot be read, the customers of the file are enough, unless another one is asked for: then it
 * throws Failure.
 *
 * @param wanted names or tenants; undefined: all.
 */
export async function withRoster(
  raw: RawConfiguration,
  fleet: FleetSettings,
  wanted: readonly string[] | undefined,
): Promise<RawConfiguration> {
  const facts = raw.stanzas.map(({ name, values }) => [name, values["tenant_name"], values["tenant_id"]]);
  const inFile = new Set(facts.flat().map((one) => one?.trim().toLowerCase()));
  const lacks = wanted?.some((one) => !inFile.has(one.toLowerCase())) ?? false;
  if (wanted?.length && !lacks) return raw;
  try {
    const { customers } = await withFleetDatabase(fleet, (database) => readRoster(database, fleet.name));
    const others = customers.filter(
      ({ name, values }) => !inFile.has(name.toLowerCase()) && !inFile.has(values["tenant_id"]),
    );
    return { ...raw, stanzas: [...raw.stanzas, ...others], mayBeEmpty: true };
  } catch (error) {
    if (!isFailure(error) || lacks) throw error;
    const warning = `customers of the fleet's database are left out: ${error.say}`;
    return { ...raw, warnings: [...(raw.warnings ?? []), warning], mayBeEmpty: true };
  }
}

function write(database: Database, fleet: string, change: RosterChange): Promise<RosterWritten> {
  if (change.kind === "remove") return removeFromRoster(database, fleet, change.name);
  return change.kind === "add" ? addToRoster(database, fleet, change) : changeInRoster(database, fleet, change);
}

/** Why a change was not written; undefined: it was. */
async function failureOf({ kind, name }: RosterChange, written: Promise<RosterWritten>): Promise<Failure | undefined> {
  try {
    const result = await written;
    if (result.isDone) return undefined;
    return kind !== "remove" && result.members !== undefined ? membersTooOld(result.members) : overtaken(name);
  } catch (error) {
    if (isFailure(error)) return error;
    throw error;
  }
}

function membersTooOld(members: string): Failure {
  return new Failure("fleet-schema", {
    actor: "operator",
    retry: { when: "never" },
    say: `Of the fleet's live members, ${members} run an older release, which would not collect customers of the database.`,
    nextStep: "Install this release there, then run the command again.",
  });
}

function overtaken(name: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${name} was changed in the fleet's database by somebody else while this command ran.`,
    nextStep: "Run the command again.",
  });
}
