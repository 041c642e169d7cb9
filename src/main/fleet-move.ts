import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { spoolsIn } from "../hosts/arcsight/index.ts";
import { EXIT, type ExitCode } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import { authOf } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { FleetTokens } from "../stores/postgres/fleet-tokens.ts";
import { readRoster } from "../stores/postgres/roster.ts";
import type { ArcSightFlags, Chosen } from "./chosen-configuration.ts";
import { settingsFailure } from "./configuration.ts";
import { chosenFleet } from "./fleet-command.ts";
import { withFleetDatabase } from "./fleet-database.ts";
import { readKeyFile } from "./fleet-key-file.ts";
import { type MovedCustomer, type TransferParts, type Transferred, transferIn, transferOut } from "./fleet-transfer.ts";
import { realSecretFiles } from "./real-collector.ts";
import { realClock, VERSION } from "./world.ts";

const CONNECTIONS = 4;

/**
 * `fleet import-state`: the fleet goes on where a collector that worked alone has stopped. Throws Failure
 * `settings`, and of both stores.
 */
export function importState(flags: ArcSightFlags, log: Log): Promise<ExitCode> {
  return moved(
    flags,
    log,
    transferIn,
    (dir, fleet) => `the fleet ${fleet} has the streams of ${dir} now; start its members`,
  );
}

/** `fleet export-state`: one collector goes on alone where the fleet has stopped. Throws as `importState`. */
export function exportState(flags: ArcSightFlags, log: Log): Promise<ExitCode> {
  return moved(
    flags,
    log,
    transferOut,
    (dir, fleet) =>
      `${dir} has the streams of the fleet ${fleet} now; take fleet.* out of the configuration and start it`,
  );
}

async function moved(
  flags: ArcSightFlags,
  log: Log,
  transfer: (parts: TransferParts) => Promise<Transferred>,
  done: (dir: string, fleet: string) => string,
): Promise<ExitCode> {
  const { chosen, fleet } = await chosenFleet(flags);
  const work = async (database: Database): Promise<ExitCode> => {
    const dir = resolve(chosen.stateDir);
    const customers = await customersOf(chosen, database, fleet.name);
    const configured = customers.map(({ stanza, tenantId }) => ({ stanza, tenantId: tenantId as string }));
    const key = fleet.keyFile === undefined ? undefined : readKeyFile(fleet.keyFile);
    const result = await transfer({
      database,
      fleet: fleet.name,
      dir,
      place: `${dir} on ${hostname()}`,
      openFolder: () =>
        openStateFolder(dir, { clock: realClock, log }, { waitForLock: "10s", configured, mayBeInFleet: true }),
      ports: { disk: realDisk, clock: realClock, platform: process.platform },
      files: realSecretFiles(dir, log),
      tokens: key && new FleetTokens({ database, fleet: fleet.name, key, timers: realClock }),
      customers,
      spools: () => spoolsIn(join(dir, "outputs"), realDisk).map(({ where }) => where),
      version: VERSION,
      newId: randomUUID,
    });
    if (result.refused !== undefined) {
      log.fatal(result.refused);
      return EXIT.state;
    }
    log.info(done(dir, fleet.name), { streams: result.streams, refresh_tokens: result.tokens });
    return EXIT.done;
  };
  return withFleetDatabase(fleet, work, CONNECTIONS);
}

/** Of the file and of the database. Throws Failure `settings`: members share customers by GUID. */
async function customersOf(
  { config, file }: Pick<Chosen, "config" | "file">,
  database: Database,
  fleet: string,
): Promise<readonly MovedCustomer[]> {
  const { stanzas, refused } = config.settings;
  if (refused.length > 0)
    throw settingsFailure(`${file}: settings of ${refused.map(({ name }) => name).join(", ")} are wrong; correct them`);
  const inFile = stanzas.map((stanza): MovedCustomer => {
    const tenantId = tenantIdFrom(stanza.tenantId);
    if (tenantId === undefined)
      throw settingsFailure(`tenant_id of ${stanza.name} is a domain; write the tenant's GUID in ${file}`);
    return { stanza: stanza.name, tenantId, hasToken: authOf(stanza) === "refresh_token" };
  });
  const known = new Set(inFile.map(({ tenantId }) => tenantId));
  const { customers } = await readRoster(database, fleet);
  const others = customers.flatMap(({ name, values }): MovedCustomer[] => {
    const tenantId = tenantIdFrom(values["tenant_id"] ?? "");
    return tenantId === undefined || known.has(tenantId) ? [] : [{ stanza: name, tenantId, hasToken: false }];
  });
  return [...inFile, ...others];
}
