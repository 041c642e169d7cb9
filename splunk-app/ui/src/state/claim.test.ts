import { expect, test } from "@jest/globals";
import { NameClaims } from "./claim.ts";
import { RestProblem } from "./rest-problem.ts";

const T0 = 29_900_000 * 60_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/** splunkd's credential store, with the names of its entries. */
function splunkd() {
  const entries = new Set<string>();
  let isGone = false;
  const page = (): NameClaims =>
    new NameClaims({
      write: async ({ name }) => {
        if (isGone) throw new RestProblem(0, "No answer.");
        if (entries.has(name)) throw new RestProblem(409, "There is one.");
        entries.add(name);
      },
      remove: async (name) => {
        if (isGone) throw new RestProblem(0, "No answer.");
        if (!entries.delete(name)) throw new RestProblem(404, "There is none.");
      },
    });
  const lose = (gone: boolean): void => void (isGone = gone);
  return { entries, page, lose };
}

const nothing = async (): Promise<void> => undefined;

test.each([0, 59, 119])(
  "while one page creates an input, another %d s later is told that its name is taken",
  async (s) => {
    const { page, entries } = splunkd();
    let created = 0;
    await page().whileClaimed("contoso", T0, async () => {
      // Each minute ends some time: 119 s after its begin is the last instant of the claim.
      const second = page().whileClaimed("contoso", T0 + s * SECOND_MS, async () => void (created += 1));
      await expect(second).rejects.toMatchObject({
        status: 409,
        message: expect.stringContaining("This name is taken"),
      });
      await page().whileClaimed("another", T0, nothing);
    });
    expect([created, [...entries]]).toEqual([0, []]);
  },
);

test("of two pages whose clocks are at the two sides of a minute's end exactly one goes on", async () => {
  const { page } = splunkd();
  let created = 0;
  const both = await Promise.allSettled(
    [T0 - 1, T0].map((at) => page().whileClaimed("contoso", at, async () => void (created += 1))),
  );
  expect([created, both.filter(({ status }) => status === "rejected").length]).toEqual([1, 1]);
});

test("a page that never came back keeps its name from others for at most two minutes", async () => {
  const { page } = splunkd();
  await new Promise<void>((begun) => {
    void page().whileClaimed("contoso", T0, () => {
      begun();
      return new Promise(() => undefined);
    });
  });
  await expect(page().whileClaimed("contoso", T0 + MINUTE_MS, nothing)).rejects.toMatchObject({ status: 409 });
  await expect(page().whileClaimed("contoso", T0 + 2 * MINUTE_MS, nothing)).resolves.toBeUndefined();
});

test("a page whose connection was lost in the middle can try again itself, and another page cannot", async () => {
  const { page, lose, entries } = splunkd();
  const own = page();
  const lost = own.whileClaimed("contoso", T0, async () => {
    lose(true);
    throw new RestProblem(0, "No answer.");
  });
  await expect(lost).rejects.toMatchObject({ status: 0 });
  lose(false);
  await expect(page().whileClaimed("contoso", T0, nothing)).rejects.toMatchObject({ status: 409 });
  await expect(own.whileClaimed("contoso", T0, nothing)).resolves.toBeUndefined();
  expect([...entries]).toEqual([]);
});

test("while it is not known whether the input was created, its name stays claimed", async () => {
  const { page, entries } = splunkd();
  const unknown = page().whileClaimed("contoso", T0, async () => {
    throw new RestProblem(504, "Too slow.", true);
  });
  await expect(unknown).rejects.toMatchObject({ status: 504 });
  expect(entries.size).toBe(2);
});
