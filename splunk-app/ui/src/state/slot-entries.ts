import { RestProblem } from "./rest-problem.ts";

const NOT_THERE = "Splunk says that this secret is there already, and it is not. Nothing was saved; save again.";

/**
 * Writes the entries of a slot one after the other. An entry that is there is the page's own: an earlier
 * request was carried out, and only its answer lost. Throws RestProblem 409 where splunkd says so of an entry
 * that it does not have.
 *
 * @param written gets the name of each entry before it is written, as its answer may be lost.
 */
export async function writeEntries<Entry extends { readonly name: string }>(
  entries: readonly Entry[],
  written: string[],
  write: (entry: Entry) => Promise<unknown>,
  isThere: (entry: Entry) => Promise<boolean>,
): Promise<void> {
  for (const entry of entries) {
    written.push(entry.name);
    try {
      await write(entry);
    } catch (error) {
      if (!(error instanceof RestProblem) || error.status !== 409) throw error;
      if (!(await isThere(entry))) throw new RestProblem(409, NOT_THERE);
    }
  }
}
