import { expect, test } from "@jest/globals";
import { RestProblem } from "./rest-problem.ts";
import { writeEntries } from "./slot-entries.ts";

const ENTRIES = [{ name: "contoso~client_secret~1~1~2" }, { name: "contoso~client_secret~1~2~2" }];

/** Writes all entries until one gets this status. */
async function tried(failing: string, status: number, isThere = true) {
  const written: string[] = [];
  const problem = await writeEntries(
    ENTRIES,
    written,
    async ({ name }) => {
      if (name === failing) throw new RestProblem(status, "No.");
    },
    () => Promise.resolve(isThere),
  ).catch((error: unknown) => error as RestProblem);
  return { written, problem };
}

test("an entry that is there already was sent twice: it is the page's own, and a failed save deletes it", async () => {
  const { written, problem } = await tried("contoso~client_secret~1~1~2", 409);
  expect(written).toEqual(ENTRIES.map(({ name }) => name));
  expect(problem).toBeUndefined();
});

test("an entry that splunkd calls there, and does not have, is not taken for saved", async () => {
  const { problem } = await tried("contoso~client_secret~1~2~2", 409, false);
  expect(problem).toMatchObject({ status: 409, message: expect.stringContaining("Nothing was saved") });
});

test("an entry whose answer was lost is among those that a failed save deletes", async () => {
  const { written, problem } = await tried("contoso~client_secret~1~2~2", 0);
  expect(written).toEqual(ENTRIES.map(({ name }) => name));
  expect(problem).toMatchObject({ status: 0, message: "No." });
});
