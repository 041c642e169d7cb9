/**
 * How fast a member polls and signs in after it took customers over: what docs/fleet says of a failover and
 * of a rolling restart, with a simulated clock.
 */
import { expect, test } from "@jest/globals";
import { createTokenPacer } from "../../src/auth/token-pacer.ts";
import { JoinSlots } from "../../src/collect/join-slots.ts";
import { PollTimes } from "../../src/collect/poll-times.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { FakeClock, T0 } from "../harness/fakes/clock.ts";

const CUSTOMERS = 10_000;
const MEMBERS = 3;
const POLL_MS = 60_000;
/** As the scheduler and the token cycles have them; fleet-pages.test.ts compares them with the page. */
const POLLS_PER_SECOND = 100;
const TOKENS_PER_SECOND = 100;

/**
 * @param dueInMs of each customer when it is taken over.
 * @returns in the order of `dueInMs`, after how many seconds each was polled and had its token.
 */
async function takenOver(dueInMs: readonly number[]) {
  const clock = new FakeClock();
  const slots = new JoinSlots(clock, POLLS_PER_SECOND);
  const pacer = createTokenPacer(clock, TOKENS_PER_SECOND);
  const beganMs = clock.monotonicMs();
  const sinceS = () => (clock.monotonicMs() - beganMs) / 1_000;
  const goesOn = new AbortController().signal;
  const all = dueInMs.map(async (due) => {
    await slots.acquire(beganMs + due, goesOn);
    const polledS = sinceS();
    await pacer.acquire();
    return { polledS, tokenS: sinceS() };
  });
  for (let second = 0; second < 120; second += 1) await clock.advance(1_000);
  const taken = await Promise.all(all);
  return { polls: taken.map(({ polledS }) => polledS), tokens: taken.map(({ tokenS }) => tokenS) };
}

/** The most in one second, from the second given on. */
function mostPerSecond(times: readonly number[], from = 0): number {
  const counts = Map.groupBy(
    times.filter((at) => at >= from),
    (at) => Math.floor(at),
  );
  return Math.max(...[...counts.values()].map(({ length }) => length));
}

/** From the last renewal of a member that is killed until others claim its shards. */
const CLAIMED_AFTER_MS = 6_500;
const SHARE = Math.ceil(CUSTOMERS / MEMBERS / (MEMBERS - 1));

function tenant(n: number): TenantId {
  return `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
}

/**
 * Of each customer of a killed member, in how long it is due, and how long it has waited.
 *
 * @param goneForMs since its member renewed its place last.
 */
function afterKill(goneForMs: number) {
  const claimedMs = T0 + goneForMs;
  return Array.from({ length: SHARE }, (_, n) => {
    const times = new PollTimes(tenant(n), POLL_MS, { nowMs: () => claimedMs });
    const lost = { sinceMs: T0 - 3_600_000, untilMs: T0 };
    const lastPollMs = times.firstAfter(T0) - POLL_MS;
    return {
      dueInMs: times.dueMs(lastPollMs, lost, { isInterrupted: false }) - claimedMs,
      waitedS: (claimedMs - lastPollMs) / 1_000,
    };
  });
}

test("after a kill, each of two members polls those of its 1,667 customers that were due within 3 s, and none waits 8 s longer", async () => {
  const customers = afterKill(CLAIMED_AFTER_MS);
  const { polls, tokens } = await takenOver(customers.map(({ dueInMs }) => dueInMs));
  const due = polls.filter((_, n) => (customers[n]?.dueInMs ?? 0) <= 0);
  const pauses = tokens.map((at, n) => at + (customers[n]?.waitedS ?? 0));

  expect(due.length).toBeGreaterThan(200);
  expect(Math.max(...due)).toBeLessThanOrEqual(3);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(POLL_MS / 1_000 + 8);
  expect(mostPerSecond(polls)).toBeLessThanOrEqual(POLLS_PER_SECOND);
  // The sign-in service sees a burst of those that were due, then as many as there are polls.
  expect(mostPerSecond(tokens, 5)).toBeLessThanOrEqual(50);
});

test("after an hour without the database, a member polls its 1,667 customers and has their tokens within 17 s", async () => {
  const { polls, tokens } = await takenOver(afterKill(3_600_000).map(({ dueInMs }) => dueInMs));

  expect([polls.length, tokens.length]).toEqual([1_667, 1_667]);
  expect(mostPerSecond(polls)).toBe(POLLS_PER_SECOND);
  expect(mostPerSecond(tokens)).toBe(TOKENS_PER_SECOND);
  expect([polls, tokens].map((times) => Math.ceil(Math.max(...times)))).toEqual([17, 17]);
});

test("in a rolling restart, the member that comes back takes its 3,333 customers when they are due, none of them late", async () => {
  const share = Math.floor(CUSTOMERS / MEMBERS);
  // Given up in order, so the database says when each is due.
  const due = Array.from({ length: share }, (_, n) => {
    const times = new PollTimes(tenant(n), POLL_MS, { nowMs: () => T0 });
    return times.firstAfter(T0) - T0;
  });
  const { polls, tokens } = await takenOver(due);

  // As many as there are polls: the limit is above that.
  expect(mostPerSecond(tokens)).toBe(69);
  expect(Math.ceil(Math.max(...tokens))).toBe(60);
  expect(Math.max(...polls.map((at, n) => at - (due[n] ?? 0) / 1_000))).toBeLessThan(0.2);
  expect(Math.max(...tokens.map((at, n) => at - (polls[n] ?? 0)))).toBeLessThan(0.1);
});
