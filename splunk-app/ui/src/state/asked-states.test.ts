import { expect, test } from "@jest/globals";
import type { Answer } from "../rest.ts";
import { AskedStates } from "./asked-states.ts";
import type { Status } from "./customers.ts";
import { RestProblem } from "./rest-problem.ts";

const statusOf = (input: string) => ({ input, first_event_at: null }) as Status;

/** An input that answers each question so long after it; a time of Infinity is none. */
function bench(answers: readonly { readonly afterS: number; readonly answer?: Answer | RestProblem }[]) {
  let nowMs = 0;
  let asked = 0;
  let looks = 0;
  const did: string[] = [];
  const waiting: { readonly atMs: number; readonly wake: () => void }[] = [];
  const askedAtMs = new Map<string, number>();
  const states = new AskedStates({
    calls: {
      async ask() {
        asked += 1;
        did.push(`ask ${asked}`);
        askedAtMs.set(String(asked), nowMs);
        return String(asked);
      },
      async answerTo(key) {
        looks += 1;
        const { afterS, answer } = answers[Number(key) - 1] ?? { afterS: Infinity };
        if (nowMs - (askedAtMs.get(key) ?? 0) < afterS * 1_000) return {};
        if (answer instanceof RestProblem) throw answer;
        return answer ?? { state: "done", states: [statusOf(`answer ${key}`)] };
      },
      forget: async (key) => void did.push(`forget ${key}`),
    },
    nowMs: () => nowMs,
    pause: (ms) => new Promise((resolve) => void waiting.push({ atMs: nowMs + ms, wake: resolve })),
  });
  /** What a page that loads now has at the end, and after how many seconds. */
  async function loaded(): Promise<readonly [string | readonly string[], seconds: number]> {
    const beganMs = nowMs;
    let found: string | readonly string[] | undefined;
    void states.rows().then(
      (rows) => (found = rows.map(({ input }) => input)),
      (error: unknown) => (found = String(error)),
    );
    for (;;) {
      for (let step = 0; step < 20; step += 1) await Promise.resolve();
      if (found !== undefined) return [found, (nowMs - beganMs) / 1_000];
      nowMs = Math.min(...waiting.map(({ atMs }) => atMs));
      for (const due of waiting.splice(0)) {
        if (due.atMs <= nowMs) due.wake();
        else waiting.push(due);
      }
    }
  }
  async function later(seconds: number): Promise<void> {
    const untilMs = nowMs + seconds * 1_000;
    while (nowMs < untilMs) {
      nowMs += 500;
      for (const due of waiting.splice(0)) {
        if (due.atMs <= nowMs) due.wake();
        else waiting.push(due);
      }
      for (let step = 0; step < 20; step += 1) await Promise.resolve();
    }
  }
  return { did, loaded, later, looks: () => looks };
}

test("an input that answers soon is waited for, and its question is deleted", async () => {
  const { did, loaded } = bench([{ afterS: 2 }, { afterS: 1 }]);

  expect(await loaded()).toEqual([["answer 1"], 2]);
  expect(await loaded()).toEqual([["answer 2"], 1]);
  expect(did).toEqual(["ask 1", "forget 1", "ask 2", "forget 2"]);
});

test("nobody waits for an input that looks seldom: the page says so, and shows the answer at its next look", async () => {
  const { did, loaded, later } = bench([{ afterS: 25 }, { afterS: Infinity }]);

  const [said, seconds] = await loaded();
  expect(said).toContain("That takes up to half a minute");
  expect(seconds).toBe(4);
  await later(25);
  expect(did).toEqual(["ask 1", "forget 1"]);
  // Nothing new within four seconds: what was answered before stays.
  expect(await loaded()).toEqual([["answer 1"], 4]);
});

test("two loads at once ask once", async () => {
  const { did, loaded, later } = bench([{ afterS: 10 }]);
  await loaded();
  await loaded();
  expect(did).toEqual(["ask 1"]);
  await later(10);
  expect(did).toEqual(["ask 1", "forget 1"]);
});

test("an input that does not answer for a minute is said instead of old states, and is asked again", async () => {
  const { did, loaded, later } = bench([{ afterS: 0 }, { afterS: Infinity }, { afterS: 10 }, { afterS: 0 }]);
  expect(await loaded()).toEqual([["answer 1"], 0]);

  expect(await loaded()).toEqual([["answer 1"], 4]);
  await later(60);
  expect(did).toEqual(["ask 1", "forget 1", "ask 2", "forget 2"]);
  expect((await loaded())[0]).toContain("has not said its states for a minute");
  await later(10);
  expect(await loaded()).toEqual([["answer 4"], 0]);
});

test("a page that no input answers asks splunkd every five seconds after the first fifteen", async () => {
  const { loaded, later, looks } = bench([{ afterS: Infinity }]);
  await loaded();
  await later(60);
  expect(looks()).toBe(24);
});

test("a question that splunkd refuses is a problem for the page", async () => {
  const { loaded } = bench([{ afterS: 0, answer: new RestProblem(403, "You are not allowed.") }]);
  expect((await loaded())[0]).toContain("You are not allowed.");
});

test("an answer without states, as an older program gives none, is a problem for the page", async () => {
  const { loaded } = bench([{ afterS: 0, answer: { state: "refused" } }]);
  expect((await loaded())[0]).toContain("has not said its states");
});
