import type { LedgerEntry, Mark, StateKey, StreamStore } from "../../model/state.ts";
import { loadMark, saveMark } from "./checkpoint-file.ts";
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
  stoppedInOrder: boolean,
  parts: StreamStoreParts,
): Promise<StreamStore> {
  const mark = loadMark(parts.kit, parts.log, `${base}.mark.json`);
  const { file, entries } = await LedgerFile.open(`${base}.ledger`, parts);
  return new FileStreamStore(`${base}.mark.json`, key, stoppedInOrder, mark, entries, file, parts);
}

class FileStreamStore implements StreamStore {
  readonly key: StateKey;
  readonly stoppedInOrder: boolean;
  readonly #markPath: string;
  readonly #ledger: LedgerFile;
  readonly #parts: StreamStoreParts;
  #mark: Mark | undefined;
  #entries: readonly LedgerEntry[];
  #saving: Promise<void> = Promise.resolve();
  #wrote = false;

  constructor(
    markPath: string,
    key: StateKey,
    stoppedInOrder: boolean,
    mark: Mark | undefined,
    entries: readonly LedgerEntry[],
    ledger: LedgerFile,
    parts: StreamStoreParts,
  ) {
    this.#markPath = markPath;
    this.key = key;
    this.stoppedInOrder = stoppedInOrder;
    this.#mark = mark;
    this.#entries = entries;
    this.#ledger = ledger;
    this.#parts = parts;
  }

  get mark(): Mark | undefined {
    return this.#mark;
  }

  takeEntries(): readonly LedgerEntry[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }

  saveMark(mark: Mark): Promise<void> {
    this.#aboutToWrite();
    const save = async (): Promise<void> => {
      await this.#parts.gate.through(() => saveMark(this.#parts.kit, this.#markPath, mark));
      this.#mark = mark;
    };
    // One at a time and in the order asked for: two writers of one file aside would mix.
    this.#saving = this.#saving.then(save, save);
    return this.#saving;
  }

  append(entries: readonly LedgerEntry[]): void {
    if (entries.length === 0) return;
    this.#aboutToWrite();
    this.#ledger.append(entries);
  }

  flush(): Promise<void> {
    return this.#ledger.flush();
  }

  compact(entries: Iterable<LedgerEntry>): Promise<void> {
    this.#aboutToWrite();
    return this.#ledger.compact(entries);
  }

  async close(): Promise<void> {
    await this.#saving.catch(() => undefined);
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
