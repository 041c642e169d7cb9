import { expect, test } from "@jest/globals";
import { type ClaimCalls, NAME_TAKEN, NameClaims } from "./name-claims.ts";

const T0 = 29_900_000 * 60_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

class CallFailed extends Error {
  readonly status: number;
  readonly mayBeDone: boolean;

  constructor(status: number, mayBeDone = false) {
    super(`Answered with ${status}.`);
    this.status = status;
    this.mayBeDone = mayBeDone;
  }
}

const FAILURES: Pick<ClaimCalls, "taken" | "isLost" | "mayBeDone"> = {
  taken: () => new Error(NAME_TAKEN),
  isLost: (error) => error instanceof CallFailed && error.status === 0,
  mayBeDone: (error) => error instanceof CallFailed && error.mayBeDone,
};

/** What the connection does with the next request: carries it out and loses its answer, or loses it. */
type Loss = "answer" | "request" | "answer, then sends it again";

/** splunkd's credential store: the text of each entry by its name. */
function splunkd() {
  const entries = new Map<string, string>();
  const losses: Loss[] = [];
  let pages = 0;
  let isGone = false;
  const over = async <Answer>(act: () => Answer): Promise<Answer> => {
    const loss = losses.shift();
    if (isGone || loss === "request") throw new CallFailed(0);
    const answer = act();
    if (loss === "answer") throw new CallFailed(0);
    return loss === undefined ? answer : act();
  };
  const page = (): NameClaims => {
    pages += 1;
    const calls: ClaimCalls = {
      write: ({ name, password }) =>
        over(() => {
          if (entries.has(name)) return false;
          entries.set(name, password);
          return true;
        }),
      read: (name) => over(() => entries.get(name)),
      remove: (name) => over(() => void entries.delete(name)).catch(() => undefined),
      ...FAILURES,
    };
    return new NameClaims(calls, `page-${pages}`);
  };
  const lose = (gone: boolean): void => void (isGone = gone);
  return { entries, losses, page, lose };
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
      await expect(second).rejects.toThrow("This name is taken");
      await page().whileClaimed("another", T0, nothing);
    });
    expect([created, entries.size]).toEqual([0, 0]);
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
  await expect(page().whileClaimed("contoso", T0 + MINUTE_MS, nothing)).rejects.toThrow("This name is taken");
  await expect(page().whileClaimed("contoso", T0 + 2 * MINUTE_MS, nothing)).resolves.toBeUndefined();
});

test("a page whose connection was lost in the middle can try again itself, and another page cannot", async () => {
  const { page, lose, entries } = splunkd();
  const own = page();
  const lost = own.whileClaimed("contoso", T0, async () => {
    lose(true);
    throw new CallFailed(0);
  });
  await expect(lost).rejects.toMatchObject({ status: 0 });
  lose(false);
  await expect(page().whileClaimed("contoso", T0, nothing)).rejects.toThrow("This name is taken");
  await expect(own.whileClaimed("contoso", T0, nothing)).resolves.toBeUndefined();
  expect(entries.size).toBe(0);
});

test("while it is not known whether the input was created, its name stays claimed", async () => {
  const { page, entries } = splunkd();
  const unknown = page().whileClaimed("contoso", T0, async () => {
    throw new CallFailed(504, true);
  });
  await expect(unknown).rejects.toMatchObject({ status: 504 });
  expect(entries.size).toBe(2);
});

test("a claim that the browser sent twice, because its answer was lost, is the page's own", async () => {
  const { page, losses, entries } = splunkd();
  losses.push("answer, then sends it again");
  let created = 0;
  await page().whileClaimed("contoso", T0, async () => void (created += 1));
  expect([created, entries.size]).toEqual([1, 0]);
});

test("a claim whose answer was lost is released, so another page has the name at once", async () => {
  const { page, losses, entries } = splunkd();
  losses.push("answer");
  await expect(page().whileClaimed("contoso", T0, nothing)).rejects.toMatchObject({ status: 0 });
  expect(entries.size).toBe(0);
});

test("a page whose claim was lost on its way neither has nor deletes what another page claimed meanwhile", async () => {
  const { page, losses, entries } = splunkd();
  const [own, other] = [page(), page()];
  // The claim, and the request that reads it.
  losses.push("request", "request");
  await expect(own.whileClaimed("contoso", T0, nothing)).rejects.toMatchObject({ status: 0 });
  let created = 0;
  await other.whileClaimed("contoso", T0, async () => {
    const again = own.whileClaimed("contoso", T0, async () => void (created += 1));
    await expect(again).rejects.toThrow("This name is taken");
    expect([created, entries.size]).toEqual([0, 2]);
  });
});

test("a page whose release got no answer does not take another page's claim for its own", async () => {
  const { page, losses } = splunkd();
  const [own, other] = [page(), page()];
  await own.whileClaimed("contoso", T0, async () => void losses.push("answer", "answer"));
  let created = 0;
  await other.whileClaimed("contoso", T0, async () => {
    const again = own.whileClaimed("contoso", T0, async () => void (created += 1));
    await expect(again).rejects.toThrow("This name is taken");
  });
  expect(created).toBe(0);
});

test("one page that creates two inputs of one name at once creates the first one only", async () => {
  const { page } = splunkd();
  const own = page();
  let created = 0;
  await own.whileClaimed("contoso", T0, async () => {
    const second = own.whileClaimed("contoso", T0, async () => void (created += 1));
    await expect(second).rejects.toThrow("This name is taken");
  });
  await own.whileClaimed("contoso", T0, async () => void (created += 1));
  expect(created).toBe(1);
});

test("where the page may not read who has claimed a name, the name is taken", async () => {
  const calls: ClaimCalls = {
    write: () => Promise.resolve(false),
    read: () => Promise.resolve(undefined),
    remove: () => Promise.reject(new Error("not the page's own")),
    ...FAILURES,
  };
  const refused = new NameClaims(calls, "page").whileClaimed("contoso", T0, nothing);
  await expect(refused).rejects.toThrow("This name is taken");
});
