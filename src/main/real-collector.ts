import type { CommandLines } from "../model/command-line.ts";
import type { Http, Log } from "../model/ports.ts";
import type { GlobalSettings } from "../model/stanza.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { realStampOf } from "../stores/disk/file-stamps.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import type { SecretFiles } from "../stores/disk/secrets.ts";
import type { CollectorParts, CollectorWorld } from "./collector.ts";
import { FileCredentialWatch, type ReadConfiguration } from "./credential-watch.ts";
import { CustomerBuilder, type VaultOf } from "./customers.ts";
import { fileCredentials, fileVaults, secretFiles } from "./file-vaults.ts";
import { ownHeap } from "./heap-keeper.ts";
import { realClock, realRandom, VERSION } from "./world.ts";

/** What a collector gets of this process. */
export function realCollectorWorld(http: Http, log: Log, commands: CommandLines): CollectorWorld {
  return { version: VERSION, http, clock: realClock, random: realRandom, log, commands, heap: ownHeap() };
}

/** State in a folder of this machine. */
export function diskState(
  dir: string,
  log: Log,
  options: { readonly waitForLock: "for-ever" | "10s"; readonly stop: AbortSignal; readonly mayBeInFleet?: boolean },
): CollectorParts["openState"] {
  return (configured) => openStateFolder(dir, { clock: realClock, log }, { ...options, configured });
}

/** `secrets/` of a state folder. One for a collector and its watch: it tells own writes from others'. */
export function realSecretFiles(stateDir: string, log: Log): SecretFiles {
  return secretFiles(stateDir, log, realClock, process.platform);
}

/** Notices secrets in `secrets/` of the state folder and in the configuration's files that changed. */
export function fileCredentialWatch(
  stateDir: string,
  configuration: ReadConfiguration,
  readAgain: () => Promise<ReadConfiguration>,
  log: Log,
  files: SecretFiles,
): FileCredentialWatch {
  return new FileCredentialWatch({
    stateDir,
    files,
    stampOf: realStampOf,
    disk: realDisk,
    configuration,
    readAgain,
    log,
  });
}

/** Builds customers whose secrets lie in `secrets/` of the state folder. */
export function fileCustomers(
  stateDir: string,
  world: { readonly http: Http; readonly log: Log; readonly globals: GlobalSettings },
  files: SecretFiles = realSecretFiles(stateDir, world.log),
  vaultOf: VaultOf = fileVaults(stateDir, world.log, realClock, process.platform, files),
): CustomerBuilder {
  const { log } = world;
  return new CustomerBuilder(
    { ...world, clock: realClock, random: realRandom },
    vaultOf,
    fileCredentials(stateDir, log, realClock),
  );
}
