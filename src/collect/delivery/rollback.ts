import { Failure } from "../../model/failure.ts";
import type { LedgerEntry, StreamStore } from "../../model/state.ts";
import type { HeldVersion, Ledger } from "./ledger.ts";

type Before = readonly (HeldVersion | undefined)[];

function forget(ledger: Ledger, entries: readonly LedgerEntry[], before: Before): void {
  for (let i = entries.length - 1; i >= 0; i--) ledger.restore(entries[i]!.hash, before[i]);
}

/**
 * Appends to the journal; what could not be appended (disk full) counts as not sent, in memory too, and is
 * met again.
 */
export function journal(store: StreamStore, ledger: Ledger, entries: readonly LedgerEntry[], before: Before): void {
  try {
    store.append(entries);
  } catch (error) {
    forget(ledger, entries, before);
    throw error;
  }
}

/**
 * The sink did not take them: neither memory nor journal may say that it did. Throws Failure
 * `state-unsettled` when the journal cannot be put right.
 */
export async function rollback(
  store: StreamStore,
  ledger: Ledger,
  entries: readonly LedgerEntry[],
  before: Before,
  kept: () => Iterable<LedgerEntry>,
): Promise<void> {
  forget(ledger, entries, before);
  try {
    await store.compact(kept());
  } catch (cause) {
    throw new Failure("state-unsettled", {
      actor: "operator",
      retry: { when: "never" },
      say: "The output refused versions and the journal that names them could not be put right; stopping, so that the next start sends them again.",
      nextStep: "Make room for the state folder and the output, then start again.",
      cause,
    });
  }
}
