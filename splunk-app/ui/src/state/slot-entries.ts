import { RestProblem } from "./rest-problem.ts";

const TYPED_AT_ONCE =
  "Somebody else typed a secret under this name at the same moment. Nothing of yours was saved; save again.";

/**
 * Writes the entries of a slot one after the other. Throws RestProblem 409 where one is there: it is somebody
 * else's, so it is not among those that are deleted again.
 *
 * @param written gets the name of each entry before it is written, as its answer may be lost.
 */
export async function writeEntries<Entry extends { readonly name: string }>(
  entries: readonly Entry[],
  written: string[],
  write: (entry: Entry) => Promise<unknown>,
): Promise<void> {
  for (const entry of entries) {
    written.push(entry.name);
    try {
      await write(entry);
    } catch (error) {
      if (!(error instanceof RestProblem) || error.status !== 409) throw error;
      written.pop();
      throw new RestProblem(409, TYPED_AT_ONCE);
    }
  }
}
