import { expect, test } from "@jest/globals";
import { loadUntilDone } from "./load-until-done.ts";
import { RestProblem } from "./rest-problem.ts";

function bench(...answers: readonly (Error | "good")[]) {
  const stop = new AbortController();
  const pauses: number[] = [];
  const said: string[] = [];
  let loads = 0;
  const done = loadUntilDone({
    load() {
      const answer = answers[loads] ?? "good";
      loads += 1;
      return answer === "good" ? Promise.resolve() : Promise.reject(answer);
    },
    stop: stop.signal,
    pause(ms) {
      pauses.push(ms);
      if (pauses.length > 8) stop.abort();
      return Promise.resolve();
    },
    say: (sentence) => void said.push(sentence),
  });
  return { done, pauses, said, loads: () => loads };
}

test("a lost connection, a session that ended and a busy splunkd are said and tried again until they are over", async () => {
  const { done, pauses, said } = bench(
    new RestProblem(0, "No answer."),
    new RestProblem(401, "Log in."),
    new RestProblem(503, "Busy."),
  );
  await done;
  expect(said).toEqual([
    "No answer. The page tries again by itself.",
    "Log in. The page tries again by itself.",
    "Busy. The page tries again by itself.",
    "",
  ]);
  expect(pauses).toEqual([3_000, 6_000, 12_000]);
});

test("a splunkd that stays away is tried every 30 s, and no longer once nobody looks", async () => {
  const { done, pauses, loads } = bench(...Array.from({ length: 20 }, () => new RestProblem(0, "No answer.")));
  await done;
  expect(pauses).toEqual([3_000, 6_000, 12_000, 24_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
  expect(loads()).toBe(9);
});

test("what another try does not change is said once", async () => {
  for (const status of [400, 403, 404]) {
    const { done, pauses, said } = bench(new RestProblem(status, "No."));
    await done;
    expect([said, pauses]).toEqual([["No."], []]);
  }
});

test("a mistake of the page is thrown, not shown", async () => {
  await expect(bench(new TypeError("x is undefined")).done).rejects.toThrow("x is undefined");
});

test("what arrives after nobody waits for it any more can be left out", async () => {
  const stop = new AbortController();
  const shown: string[] = [];
  await loadUntilDone({
    async load(isOver) {
      stop.abort();
      if (!isOver.aborted) shown.push("what was loaded");
    },
    stop: stop.signal,
    pause: () => Promise.resolve(),
    say: (sentence) => void shown.push(sentence),
  });
  expect(shown).toEqual([]);
});
