import { expect, test } from "@jest/globals";
import { STATES_PACE } from "./poll-pace.ts";
import { Poller } from "./poller.ts";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A page that polls, its splunkd, and a clock that is turned by hand. */
function bench() {
  let nowMs = 0;
  let timer: { readonly atMs: number; readonly fire: () => void } | undefined;
  const splunkd = { has: "ok" as string | undefined, loadedAtS: [] as number[] };
  const page = { isHidden: false };
  const poller = new Poller({
    load: async () => {
      splunkd.loadedAtS.push(nowMs / SECOND_MS);
      return splunkd.has === undefined ? undefined : [{ state: splunkd.has }];
    },
    pace: STATES_PACE,
    nowMs: () => nowMs,
    after: (ms, fire) => {
      if (timer !== undefined) throw new Error("Two timers run at once.");
      const made = { atMs: nowMs + ms, fire };
      timer = made;
      return () => {
        if (timer === made) timer = undefined;
      };
    },
    isHidden: () => page.isHidden,
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  let counted = 0;
  /** Returns how many loads there were since the last call. */
  const pass = async (ms: number): Promise<number> => {
    const untilMs = nowMs + ms;
    await settle();
    while (timer !== undefined && timer.atMs <= untilMs) {
      const { atMs, fire } = timer;
      nowMs = atMs;
      timer = undefined;
      fire();
      await settle();
    }
    nowMs = untilMs;
    const loads = splunkd.loadedAtS.length - counted;
    counted += loads;
    return loads;
  };
  const show = (isHidden: boolean) => {
    page.isHidden = isHidden;
    poller.visibilityChanged();
  };
  return { splunkd, poller, pass, show, hasTimer: () => timer !== undefined };
}

test("an open page looks every 10 s for a minute, and once a minute after that while nothing changes", async () => {
  const { splunkd, poller, pass } = bench();
  poller.start();

  expect(await pass(HOUR_MS)).toBe(7 + 59);
  expect(splunkd.loadedAtS.slice(0, 9)).toEqual([0, 10, 20, 30, 40, 50, 60, 120, 180]);
});

test("what changes in splunkd is looked at every 10 s for another minute", async () => {
  const { splunkd, poller, pass } = bench();
  poller.start();
  await pass(10 * MINUTE_MS);
  splunkd.has = "failing";

  await pass(3 * MINUTE_MS);
  expect(splunkd.loadedAtS.slice(-9)).toEqual([600, 660, 670, 680, 690, 700, 710, 720, 780]);
});

test("a page that nobody sees asks nothing, and at once when it is seen again", async () => {
  const { poller, pass, show } = bench();
  poller.start();
  await pass(5 * MINUTE_MS);
  show(true);

  expect(await pass(HOUR_MS)).toBe(0);
  show(false);
  expect(await pass(SECOND_MS)).toBe(1);
  expect(await pass(30 * SECOND_MS)).toBe(3);
});

test("a page that is hidden for a short time asks again when what it shows is 10 s old", async () => {
  const { poller, pass, show } = bench();
  poller.start();
  await pass(5 * MINUTE_MS + 2 * SECOND_MS);
  show(true);
  show(false);
  expect(await pass(0)).toBe(0);
  await pass(8 * SECOND_MS);
  show(true);
  show(false);
  expect(await pass(0)).toBe(1);
});

test("a change made on the page shows at once, and what follows from it within 10 s", async () => {
  const { splunkd, poller, pass } = bench();
  poller.start();
  await pass(10 * MINUTE_MS + 5 * SECOND_MS);
  await poller.again();

  expect(splunkd.loadedAtS.at(-1)).toBe(605);
  await pass(30 * SECOND_MS);
  expect(splunkd.loadedAtS.slice(-4)).toEqual([605, 615, 625, 635]);
});

test("a splunkd that does not answer is asked every 10 s, so that the page resumes soon after it does", async () => {
  const { splunkd, poller, pass } = bench();
  splunkd.has = undefined;
  poller.start();

  expect(await pass(10 * MINUTE_MS)).toBe(61);
});

test("a page that was left asks nothing more, also when an answer was on its way", async () => {
  const { poller, pass, show, hasTimer } = bench();
  poller.start();
  poller.stop();
  show(false);

  // The one that was on its way.
  expect(await pass(HOUR_MS)).toBe(1);
  expect(hasTimer()).toBe(false);
});
