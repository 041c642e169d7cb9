import { join } from "node:path";
import { ConcurrencyLimiter } from "../../model/concurrency-limiter.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock, Log } from "../../model/ports.ts";
import type { StateFolder, StateKey, StreamStore, TempFile } from "../../model/state.ts";
import type { TenantId } from "../../model/tenant.ts";
import {
  type Disk,
  type DiskPorts,
  errnoOf,
  makeFolder,
  realDisk,
  removeIfThere,
  renameOver,
  stateUnreadable,
  stateUnwritable,
} from "./disk.ts";
import { Facts } from "./facts.ts";
import { inFleet, readFleetNote } from "./fleet-note.ts";
import { Handles } from "./handles.ts";
import { type HeldLock, type LockWait, takeLock } from "./lock.ts";
import { folderNameOf } from "./names.ts";
import { OrderlyStop } from "./orderly-stop.ts";
import { newStreamStore, openStreamStore } from "./stream-store.ts";
import { clearTempFiles, DiskTempFile } from "./temp-file.ts";
import { EventLoopYielder } from "./yield-to-event-loop.ts";

/** The runtime's thread pool has four threads; more only queue there. */
const FLUSHES_AT_ONCE = 16;

export interface StateFolderPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly disk?: Disk;
  readonly platform?: NodeJS.Platform;
}

export interface OpenStateFolderOptions {
  readonly waitForLock: LockWait;
  /** Ends the wait for the lock with Failure `state-locked`. */
  readonly stop?: AbortSignal;
  /**
   * Every stanza that is configured now, also those that this command leaves alone. A stanza without state
   * adopts what its tenant left under a name that is not in this list. Without the list nothing is adopted.
   */
  readonly configured?: readonly { readonly stanza: string; readonly tenantId: string }[];
  /** The streams may have been moved into a fleet: a member of it needs the rest of the folder. */
  readonly mayBeInFleet?: boolean;
}

/**
 * Opens the state folder (made with 0700 when missing) and takes its lock:
 *
 *   tenants/<tenant GUID>/<stanza>/<stream>.mark.json, .mark.json.prev, .ledger
 *   facts.json   orderly-stop   fleet-move   secrets/ (see secrets.ts)   spool/ (see temp-file.ts)
 *
 * docs/state-folder.md describes every file, the order of writes and what each crash leaves.
 *
 * Throws Failure `state-locked`, `state-damaged` (a newer release wrote it), `state-unwritable`,
 * `state-unreadable`, `fleet-moved`.
 */
export async function openStateFolder(
  dir: string,
  given: StateFolderPorts,
  options: OpenStateFolderOptions,
): Promise<StateFolder> {
  const ports: DiskPorts = {
    disk: given.disk ?? realDisk,
    clock: given.clock,
    platform: given.platform ?? process.platform,
  };
  makeFolder(ports.disk, dir);
  const lock = await takeLock(dir, { ...ports, log: given.log }, options.waitForLock, options.stop);
  try {
    const note = options.mayBeInFleet === true ? undefined : readFleetNote(ports, dir);
    if (note?.isInFleet === true) throw inFleet(dir, note.fleet);
    clearTempFiles(ports.disk, dir);
    return new FileStateFolder(dir, ports, given.log, lock, options);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

class FileStateFolder implements StateFolder {
  readonly lastStopWasOrderly: boolean;
  readonly #dir: string;
  readonly #ports: DiskPorts;
  readonly #log: Log;
  readonly #lock: HeldLock;
  readonly #configured: ReadonlySet<string> | undefined;
  readonly #facts: Facts;
  readonly #orderlyStop: OrderlyStop;
  readonly #handles: Handles;
  readonly #yielder: EventLoopYielder;
  readonly #limiter = new ConcurrencyLimiter(FLUSHES_AT_ONCE);
  readonly #open = new Map<string, StreamStore>();
  /** Folder names that stanzas took over, by the stanza's folder. */
  readonly #adopted = new Map<string, string>();
  /** Streams that this holder had open: only for them does its normal stop count. */
  readonly #touched = new Set<string>();
  #released = false;

  constructor(dir: string, ports: DiskPorts, log: Log, lock: HeldLock, options: OpenStateFolderOptions) {
    this.#dir = dir;
    this.#ports = ports;
    this.#log = log;
    this.#lock = lock;
    this.#configured =
      options.configured &&
      new Set(options.configured.map(({ stanza, tenantId }) => stanzaPath(tenantId.toLowerCase(), stanza)));
    this.#facts = Facts.open(ports, log, join(dir, "facts.json"));
    this.#orderlyStop = OrderlyStop.open(ports, log, join(dir, "orderly-stop"));
    this.#handles = new Handles(ports.disk);
    this.#yielder = new EventLoopYielder(ports.clock);
    this.lastStopWasOrderly = this.#orderlyStop.holdsForAll || foldersIn(ports.disk, join(dir, "tenants")).length === 0;
  }

  async open(key: StateKey): Promise<StreamStore> {
    const stanzaFolder = stanzaPath(key.tenantId, key.stanza);
    const stream = `${stanzaFolder}/${key.stream}`;
    if (this.#open.has(stream)) throw new Error(`state of ${stream} is opened twice`);
    if (this.#released) throw new Error("the state folder was given up");
    await this.#yielder.take();
    await this.#adopt(key.tenantId, stanzaFolder);
    const base = join(this.#dir, "tenants", stanzaFolder, key.stream);
    // A new customer has no folder yet. To find three files missing in it costs ten times as much.
    const isThere = isPresent(this.#ports.disk, join(this.#dir, "tenants", stanzaFolder));
    const isNew = !isThere || !this.#ports.disk.existsSync(`${base}.ledger`);
    const open = isThere ? openStreamStore : newStreamStore;
    const store = await open(base, key, isNew || this.#orderlyStop.holdsFor(stream), {
      ports: this.#ports,
      log: this.#log,
      handles: this.#handles,
      yielder: this.#yielder,
      limiter: this.#limiter,
      beforeFirstWrite: () => this.#orderlyStop.takeAway(),
      afterClose: () => this.#open.delete(stream),
    });
    this.#open.set(stream, store);
    this.#touched.add(stream);
    return store;
  }

  wasLeftUnder(key: StateKey, stanza: string): boolean {
    return this.#adopted.get(stanzaPath(key.tenantId, key.stanza)) === folderNameOf(stanza);
  }

  async openTempFile(): Promise<TempFile> {
    return new DiskTempFile(this.#ports.disk, this.#dir);
  }

  forget(tenantId: TenantId): Promise<void> {
    // Another program may hold it by now.
    if (this.#released) return Promise.reject(new Error("the state folder was given up"));
    if ([...this.#open.keys()].some((stream) => stream.startsWith(`${tenantId}/`))) return Promise.resolve();
    const { disk } = this.#ports;
    const folder = join(this.#dir, "tenants", tenantId);
    try {
      for (const stanza of foldersIn(disk, folder)) {
        for (const file of disk.readdirSync(join(folder, stanza))) removeIfThere(disk, join(folder, stanza, file));
        disk.rmdirSync(join(folder, stanza));
      }
      if (disk.existsSync(folder)) disk.rmdirSync(folder);
    } catch (error) {
      return Promise.reject(isFailure(error) ? error : stateUnwritable(folder, error));
    }
    return Promise.resolve();
  }

  readFact(name: string): Promise<string | undefined> {
    return Promise.resolve(this.#facts.get(name));
  }

  writeFact(name: string, value: string): Promise<void> {
    return this.#facts.set(name, value);
  }

  async release({ orderly }: { readonly orderly: boolean }): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    try {
      for (const store of this.#open.values()) await store.close();
      if (orderly) await this.#orderlyStop.write(this.#unsettledStreams());
    } finally {
      this.#handles.dropAll();
      await this.#lock.release();
    }
  }

  /** Streams with a journal that the last holder left after a crash and that this one did not open. */
  #unsettledStreams(): readonly string[] {
    if (this.#orderlyStop.holdsForAll) return [];
    const unsettled: string[] = [];
    const tenants = join(this.#dir, "tenants");
    for (const tenant of foldersIn(this.#ports.disk, tenants)) {
      for (const stanza of foldersIn(this.#ports.disk, join(tenants, tenant))) {
        for (const file of this.#ports.disk.readdirSync(join(tenants, tenant, stanza))) {
          if (!file.endsWith(".ledger")) continue;
          const stream = `${tenant}/${stanza}/${file.slice(0, -".ledger".length)}`;
          if (!this.#touched.has(stream) && !this.#orderlyStop.holdsFor(stream)) unsettled.push(stream);
        }
      }
    }
    return unsettled.sort();
  }

  /**
   * Gives a stanza without state the folder that its tenant left under a name that is configured no more; the
   * newest when there are several.
   */
  async #adopt(tenantId: TenantId, stanzaFolder: string): Promise<void> {
    const { disk } = this.#ports;
    const own = join(this.#dir, "tenants", stanzaFolder);
    if (this.#configured === undefined || disk.existsSync(own)) return;
    const tenantFolder = join(this.#dir, "tenants", tenantId);
    const left = foldersIn(disk, tenantFolder)
      .filter((name) => !this.#configured?.has(`${tenantId}/${name}`))
      .map((name) => ({ name, changedMs: lastChangeMs(disk, join(tenantFolder, name)) }))
      .sort((a, b) => b.changedMs - a.changedMs);
    const newest = left[0];
    if (newest === undefined) return;
    // A crash right after the rename must not leave a record that counts for the new name because it only
    // names the old one.
    if (!this.#orderlyStop.holdsForAll) this.#orderlyStop.takeAway();
    try {
      await renameOver(this.#ports, join(tenantFolder, newest.name), own);
    } catch (error) {
      throw stateUnwritable(own, error);
    }
    this.#orderlyStop.renamed(`${tenantId}/${newest.name}`, stanzaFolder);
    this.#adopted.set(stanzaFolder, newest.name);
    this.#log.info("a stanza took over the state that its tenant left under another name", {
      tenant_id: tenantId,
      from: newest.name,
      to: stanzaFolder.slice(tenantId.length + 1),
    });
  }
}

function stanzaPath(tenantId: string, stanza: string): string {
  return `${tenantId}/${folderNameOf(stanza)}`;
}

/** False only when it is not there. Throws Failure `state-unreadable`. */
function isPresent(disk: Disk, path: string): boolean {
  try {
    return disk.statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw stateUnreadable(path, error);
  }
}

/** Names of the folders in it; none when it is missing. Throws Failure `state-unreadable`. */
function foldersIn(disk: Disk, path: string): readonly string[] {
  if (!isPresent(disk, path)) return [];
  try {
    return disk
      .readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw stateUnreadable(path, error);
  }
}

function lastChangeMs(disk: Disk, folder: string): number {
  return Math.max(0, ...disk.readdirSync(folder).map((name) => disk.statSync(join(folder, name)).mtimeMs));
}
