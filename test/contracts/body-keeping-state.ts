import type { Delivery } from "../../src/model/event.ts";
import { Failure } from "../../src/model/failure.ts";
import type {
  Checkpoint,
  LedgerEntry,
  PageCommit,
  StateFolder,
  StateKey,
  StreamStore,
  TempFile,
} from "../../src/model/state.ts";

interface Kept {
  checkpoint: Checkpoint | undefined;
  journal: LedgerEntry[];
  /** Committed and not delivered yet. */
  waiting: Delivery[];
}

/**
 * A state in memory that commits first and delivers after, as a database or a spool with bodies does: a
 * page's entries, checkpoint and bodies are one commit; `deliver` sends what was committed, whenever it is
 * called, also after a crash.
 */
export class BodyKeepingState implements StateFolder {
  readonly lastStopWasOrderly = true;
  /** What was committed before a crash is still here after it. */
  readonly #streams = new Map<string, Kept>();
  readonly #facts = new Map<string, string>();
  /** The next commit of entries is refused. */
  failNext = false;

  async open(key: StateKey): Promise<StreamStore> {
    const name = `${key.tenantId}/${key.stanza}/${key.stream}`;
    const kept: Kept = this.#streams.get(name) ?? { checkpoint: undefined, journal: [], waiting: [] };
    this.#streams.set(name, kept);
    let isClosed = false;
    return {
      key,
      lastStopWasOrderly: true,
      keepsBodies: true,
      get checkpoint() {
        return kept.checkpoint;
      },
      takeEntries: () => [...kept.journal],
      commit: async ({ entries = [], checkpoint, deliveries = [], huge, pieces }: PageCommit) => {
        const copies = deliveries.map(copyOf);
        if (huge !== undefined && pieces !== undefined) {
          const parts: Uint8Array[] = [];
          for await (const piece of pieces) parts.push(Uint8Array.from(piece));
          const bytes = Buffer.concat(parts);
          copies.push(copyOf({ ...huge, record: recordOf(huge.record, bytes) }));
        }
        // A database answers later: the caller must wait for the answer before it reuses the page's memory.
        await Promise.resolve();
        if (isClosed) throw new Error("committed after close");
        if (this.failNext && entries.length > 0) {
          this.failNext = false;
          throw new Failure("state-unwritable", {
            actor: "operator",
            retry: { when: "later" },
            say: "The database refused the commit.",
          });
        }
        kept.journal.push(...entries);
        kept.waiting.push(...copies);
        if (checkpoint !== undefined) kept.checkpoint = structuredClone(checkpoint);
      },
      flush: async () => undefined,
      compact: async (entries) => {
        kept.journal = [...entries];
      },
      close: async () => {
        isClosed = true;
      },
    };
  }

  /** Sends what waits, oldest first, at most `most` events of each stream. */
  deliver(take: (delivery: Delivery) => void, most = Number.POSITIVE_INFINITY): void {
    for (const kept of this.#streams.values()) for (const one of kept.waiting.splice(0, most)) take(one);
  }

  get waitingCount(): number {
    return [...this.#streams.values()].reduce((sum, { waiting }) => sum + waiting.length, 0);
  }

  async openTempFile(): Promise<TempFile> {
    const held: Uint8Array[] = [];
    return {
      append: async (bytes) => void held.push(Uint8Array.from(bytes)),
      get byteLength() {
        return held.reduce((sum, part) => sum + part.length, 0);
      },
      async *pieces() {
        yield* held;
      },
      dispose: async () => undefined,
    };
  }

  async readFact(name: string): Promise<string | undefined> {
    return this.#facts.get(name);
  }

  async writeFact(name: string, value: string): Promise<void> {
    this.#facts.set(name, value);
  }

  async release(): Promise<void> {}
}

function copyOf(delivery: Delivery): Delivery {
  const { record } = delivery;
  const { bytes, start, end } = record.body;
  const copied = Uint8Array.from(bytes.subarray(start, end));
  return { ...delivery, record: { ...record, body: { ...record.body, bytes: copied, start: 0, end: end - start } } };
}

function recordOf(head: { readonly kind: string }, bytes: Uint8Array): Delivery["record"] {
  return { ...head, readable: true, body: { bytes, start: 0, end: bytes.length } } as unknown as Delivery["record"];
}
