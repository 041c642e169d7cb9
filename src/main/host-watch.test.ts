import { expect, test } from "@jest/globals";
import { type HostSigns, hostGone } from "./host-watch.ts";

const HOST: HostSigns = {
  ancestors: () => [50],
  isAlive: () => true,
  output: () => "other",
  pipeHasReader: () => undefined,
};
const PIPE: Partial<HostSigns> = { output: () => "pipe" };
const TAKEN_OVER: Partial<HostSigns> = { ancestors: () => [1] };

/** Looks at each set of signs in turn, one a second, and stops after the last. */
async function seen(...signs: readonly Partial<HostSigns>[]): Promise<"gone" | "still there"> {
  const stop = new AbortController();
  let at = 0;
  let passedMs = 0;
  const now = (): HostSigns => ({ ...HOST, ...signs[at] });
  const host: HostSigns = {
    ancestors: () => now().ancestors(),
    isAlive: (pid) => now().isAlive(pid),
    output: () => now().output(),
    pipeHasReader: () => now().pipeHasReader(),
  };
  const clock = {
    pause(forMs: number) {
      passedMs += forMs;
      at += 1;
      if (at === signs.length) stop.abort();
      return Promise.resolve();
    },
  };
  const gone = await hostGone(host, clock, stop.signal);
  // A stop takes up to 3 s, and 5 s are promised.
  expect(passedMs / at).toBeLessThanOrEqual(2_000);
  return gone ? "gone" : "still there";
}

test.each<[string, readonly Partial<HostSigns>[], "gone" | "still there"]>([
  ["the parent still runs", [{}, {}, {}], "still there"],
  ["the parent has ended, and another process is the parent now", [{}, {}, TAKEN_OVER, {}], "gone"],
  ["the parent has ended, and its number is still named, as on Windows", [{}, { isAlive: () => false }, {}], "gone"],
  [
    "the program above the shell has ended, and the shell still runs",
    [{ ancestors: () => [50, 40] }, { ancestors: () => [50, 1] }, {}],
    "gone",
  ],
  [
    "the system cannot say what is above the shell, which says nothing",
    [
      { ancestors: () => [50, 40] },
      { ancestors: () => [50] },
      { ancestors: () => [50, 0] },
      { ancestors: () => [0] },
      {},
    ],
    "still there",
  ],
  [
    "the parent has ended, and the system cannot say what is above the next one",
    [{ ancestors: () => [50, 40] }, { ancestors: () => [1] }, {}],
    "gone",
  ],
  ["the parent had ended before the start", [{ isAlive: () => false }, { isAlive: () => false }, {}], "still there"],
  ["the parent is the first process from the start", [TAKEN_OVER, TAKEN_OVER, {}], "still there"],
  [
    "the parent has ended, and another process reads the pipe",
    [PIPE, { ...TAKEN_OVER, pipeHasReader: () => true }, { ...TAKEN_OVER, pipeHasReader: () => true }],
    "still there",
  ],
  [
    "the parent has ended, and later the reader of the pipe",
    [PIPE, { ...TAKEN_OVER, pipeHasReader: () => true }, { ...TAKEN_OVER, pipeHasReader: () => false }, {}],
    "gone",
  ],
  ["the parent has ended, and nobody can say who reads the pipe", [PIPE, TAKEN_OVER, {}], "gone"],
  ["the output goes into a file, which needs no host", [{ output: () => "file" }, TAKEN_OVER, {}], "still there"],
])("the host of a quiet program is looked for each second: %s", async (_, signs, expected) => {
  expect(await seen(...signs)).toBe(expected);
});
