import { SerialQueue } from "../../model/serial-queue.ts";
import type { Checkpoint, LedgerEntry, PageCommit, StateKey, StreamStore } from "../../model/state.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint-file.ts";
import { LedgerFile, type LedgerParts } from "./ledger-file.ts";

export interface StreamStoreParts extends LedgerParts {
  /** Called before the first byte of this stream is written. */
  readonly beforeFirstWrite: () => void;
  readonly afterClose: () => void;
}

/**
 * Opens one stream's files. `base` is their common path without `.mark.json` and `.ledger`. Throws Failure
 * `state-damaged`, `state-unreadable`.
 */
export async function openStreamStore(
  base: string,
  key: StateKey,
  lastStopWasOrderly: boolean,
  parts: StreamStoreParts,
): Promise<StreamStore> {
  const checkpoint = loadCheckpoint(parts.ports, parts.log, `${base}.mark.json`);
  const { file, entries } = await LedgerFile.open(`${base}.ledger`, parts);
  return new FileStreamStore(`${base}.mark.json`, key, lastStopWasOrderly, checkpoint, entries, file, parts);
}

/** As `openStreamStore`, for a stream whose folder is not there yet. */
export function newStreamStore(
  base: string,
  key: StateKey,
  lastStopWasOrderly: boolean,
  parts: StreamStoreParts,
): StreamStore {
  const file = LedgerFile.none(`${base}.ledger`, parts);
  return new FileStreamStore(`${base}.mark.json`, key, lastStopWasOrderly, undefined, [], file, parts);
}

class FileStreamStore implements StreamStore {
  readonly keepsBodies = false;
  readonly key: StateKey;
  readonly lastStopWasOrderly: boolean;
  readonly #checkpointPath: string;
  readonly #ledger: LedgerFile;
  readonly #parts: StreamStoreParts;
  #checkpoint: Checkpoint | undefined;
  #entries: readonly LedgerEntry[];
  /** One at a time and in the order asked for: two writers of one file aside would mix. */
  readonly #saving = new SerialQueue();
  #wrote = false;

  constructor(
    checkpointPath: string,
    key: StateKey,
    lastStopWasOrderly: boolean,
    checkpoint: Checkpoint | undefined,
    entries: readonly LedgerEntry[],
    ledger: LedgerFile,
    parts: StreamStoreParts,
  ) {
    this.#checkpointPath = checkpointPath;
    this.key = key;
    this.lastStopWasOrderly = lastStopWasOrderly;
    this.#checkpoint = checkpoint;
    this.#entries = entries;
    this.#ledger = ledger;
    this.#parts = parts;
  }

  get checkpoint(): Checkpoint | undefined {
    return this.#checkpoint;
  }

  takeEntries(): readonly LedgerEntry[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }

  async commit({ entries, checkpoint }: PageCommit): Promise<void> {
    if (entries !== undefined && entries.length > 0) {
      this.#aboutToWrite();
      this.#ledger.append(entries);
    }
    if (checkpoint === undefined) return;
    await this.#ledger.flush();
    await this.#saveCheckpoint(checkpoint);
  }

  #saveCheckpoint(checkpoint: Checkpoint): Promise<void> {
    this.#aboutToWrite();
    return this.#saving.run(async () => {
      await this.#parts.limiter.run(() => saveCheckpoint(this.#parts.ports, this.#checkpointPath, checkpoint));
      this.#checkpoint = checkpoint;
    });
  }

  flush(): Promise<void> {
    return this.#ledger.flush();
  }

  compact(entries: Iterable<LedgerEntry>): Promise<void> {
    this.#aboutToWrite();
    return this.#ledger.compact(entries);
  }

  async close(): Promise<void> {
    await this.#saving.idle();
    await this.#ledger.close();
    this.#entries = [];
    this.#parts.afterClose();
  }

  #aboutToWrite(): void {
    if (this.#wrote) return;
    this.#parts.beforeFirstWrite();
    this.#wrote = true;
  }
}
