/**
 * How fast a member polls and signs in after it took customers over: what docs/fleet says of a failover and
 * of a rolling restart, with a simulated clock.
 */
import { expect, test } from "@jest/globals";
import { createTokenPacer } from "../../src/auth/token-pacer.ts";
import { JoinSlots } from "../../src/collect/join-slots.ts";
import { FakeClock } from "../harness/fakes/clock.ts";

const CUSTOMERS = 10_000;
const MEMBERS = 3;
const POLL_MS = 60_000;
/** As the scheduler and the token cycles have them; fleet-pages.test.ts compares them with the page. */
const POLLS_PER_SECOND = 100;
const TOKENS_PER_SECOND = 100;

/** @param dueInMs of each customer when it is taken over. */
async function takenOver(dueInMs: readonly number[]) {
  const clock = new FakeClock();
  const slots = new JoinSlots(POLLS_PER_SECOND);
  const pacer = createTokenPacer(clock, TOKENS_PER_SECOND);
  const beganMs = clock.monotonicMs();
  const sinceS = () => (clock.monotonicMs() - beganMs) / 1_000;
  const [polls, tokens]: [number[], number[]] = [[], []];
  let latestMs = 0;
  const all = dueInMs.map(async (due) => {
    const slotMs = slots.acquire(beganMs, due);
    await clock.pause(slotMs);
    polls.push(sinceS());
    await pacer.acquire();
    tokens.push(sinceS());
    latestMs = Math.max(latestMs, clock.monotonicMs() - beganMs - due);
  });
  for (let second = 0; second < 120; second += 1) await clock.advance(1_000);
  await Promise.all(all);
  return { polls, tokens, latestS: latestMs / 1_000 };
}

/** The most in one second, from the second given on. */
function mostPerSecond(times: readonly number[], from = 0): number {
  const counts = Map.groupBy(
    times.filter((at) => at >= from),
    (at) => Math.floor(at),
  );
  return Math.max(...[...counts.values()].map(({ length }) => length));
}

test("after a kill, each of two members polls its 1,667 customers and has their tokens within 17 s", async () => {
  const share = Math.ceil(CUSTOMERS / MEMBERS / (MEMBERS - 1));
  const { polls, tokens } = await takenOver(Array.from({ length: share }, () => 0));

  expect([polls.length, tokens.length]).toEqual([1_667, 1_667]);
  expect(mostPerSecond(polls)).toBe(POLLS_PER_SECOND);
  // The bucket is full at first.
  expect(mostPerSecond(tokens)).toBeLessThanOrEqual(2 * TOKENS_PER_SECOND);
  expect(mostPerSecond(tokens, 1)).toBe(TOKENS_PER_SECOND);
  expect([polls, tokens].map((times) => Math.ceil(times.at(-1) as number))).toEqual([17, 17]);
});

test("in a rolling restart, the member that comes back takes its 3,333 customers when they are due, none of them late", async () => {
  const share = Math.floor(CUSTOMERS / MEMBERS);
  // Given up in order, so the database says when each is due: evenly over a minute.
  const due = Array.from({ length: share }, (_, n) => (n * POLL_MS) / share);
  const { polls, tokens, latestS } = await takenOver(due);

  expect(mostPerSecond(polls)).toBeLessThanOrEqual(Math.ceil((share * 1_000) / POLL_MS) + 1);
  // As many as there are polls: the limit is above that.
  expect(mostPerSecond(tokens)).toBe(56);
  expect(tokens).toHaveLength(share);
  expect(Math.ceil(tokens.at(-1) as number)).toBe(60);
  expect(latestS).toBeLessThan(0.1);
});
