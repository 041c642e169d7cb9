import { expect, test } from "@jest/globals";
import type { Answer } from "../rest.ts";
import { followRequest } from "./follow.ts";
import { RestProblem } from "./rest-problem.ts";

interface Scene {
  /** What each call answers, in turn: an answer, a key or an HTTP status; the last one again and again. */
  readonly asked?: readonly (string | number)[];
  readonly answers?: readonly (Answer | number)[];
  /** Stopped while this call is under way, or in the pause of this number. */
  readonly stopIn?: "ask" | "answerTo" | number;
}

async function followed({ asked = ["key"], answers = [{}], stopIn }: Scene) {
  const did: string[] = [];
  const pauses: number[] = [];
  const heard: (Answer | string)[] = [];
  let nowMs = 0;
  const stop = new AbortController();
  const nth = <One>(those: readonly One[], what: string): One =>
    those[Math.min(did.filter((one) => one.startsWith(what)).length, those.length) - 1] as One;
  const result = async <One>(what: string, those: readonly (One | number)[]): Promise<One> => {
    did.push(what);
    const one = nth(those, what.split(" ")[0] ?? "");
    if (what.split(" ")[0] === stopIn) stop.abort();
    if (typeof one === "number") throw new RestProblem(one, `Problem ${one}.`);
    return one;
  };
  await followRequest({
    calls: {
      ask: () => result("ask", asked),
      answerTo: (key) => result(`answerTo ${key}`, answers),
      forget: async (key) => void did.push(`forget ${key}`),
    },
    stop: stop.signal,
    nowMs: () => nowMs,
    pause: async (ms) => {
      nowMs += ms;
      if (pauses.push(ms / 1_000) === stopIn) stop.abort();
    },
    onAnswer: (answer) => heard.push(answer),
    onProblem: (error) => heard.push(String(error)),
  });
  return { did, pauses, heard };
}

test("a request is asked once, looked at each second, and deleted once it is answered", async () => {
  const { did, pauses, heard } = await followed({ answers: [{}, { state: "running" }, { state: "done", ok: true }] });

  expect(did).toEqual(["ask", "answerTo key", "answerTo key", "answerTo key", "forget key"]);
  expect(pauses).toEqual([1, 1]);
  expect(heard).toEqual([{}, { state: "running" }, { state: "done", ok: true }]);
});

test.each(["ask", "answerTo", 1] as const)(
  "a request whose page is left at %p is deleted, so that the input does not work on for nobody",
  async (stopIn) => {
    const { did, heard } = await followed({ stopIn });

    expect(did.filter((one) => one === "ask")).toHaveLength(1);
    expect(did.at(-1)).toBe("forget key");
    expect(heard).toEqual(stopIn === 1 ? [{}] : []);
  },
);

test.each([0, 401, 403, 404, 503])("splunkd is asked in growing pauses after %d, at most 30 s", async (status) => {
  const { did, pauses, heard } = await followed({ asked: [status], stopIn: 8 });

  expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
  expect(heard[0]).toContain(`Problem ${status}.`);
  expect(did).not.toContain("forget key");
});

test("an answer to which nothing is added for 15 s is looked at every 5 s, and each second when something is", async () => {
  const waiting: Answer[] = Array.from({ length: 20 }, () => ({ state: "running" }));
  const { pauses } = await followed({ answers: [...waiting, { state: "running", ok: false }, { state: "done" }] });

  expect(pauses).toEqual([...Array.from({ length: 15 }, () => 1), 5, 5, 5, 5, 5, 1]);
});

test("an answer makes pauses short again, and a request that has expired is asked anew", async () => {
  const answers = [503, 503, {}, 404, { state: "done" }] as const;
  const { did, pauses } = await followed({ asked: ["old", "new"], answers });

  expect(pauses).toEqual([1, 2, 1, 1]);
  expect(did.slice(-4)).toEqual(["answerTo old", "ask", "answerTo new", "forget new"]);
});

test("a request that expired while nobody saw the page is asked anew without a problem to read", async () => {
  const { did, heard } = await followed({ asked: ["old", "new"], answers: [{}, 404, { state: "done" }] });

  expect(did).toEqual(["ask", "answerTo old", "answerTo old", "ask", "answerTo new", "forget new"]);
  expect(heard).toEqual([{}, { state: "done" }]);
});
