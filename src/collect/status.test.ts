import { expect, test } from "@jest/globals";
import {
  alerts,
  HOUR,
  MINUTE,
  SimStream,
  serviceError,
  throttledUntil,
  World,
} from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";
import { Failure } from "../model/failure.ts";
import { ANSWER_STATUSES, type StreamStatus } from "../model/status.ts";

/** One customer whose stream answers the first requests with these failures, after half an hour of polls. */
async function afterFailures(faults: readonly (Failure | undefined)[]): Promise<StreamStatus> {
  const world = new World();
  const stream = new SimStream(world.clock);
  stream.add(...alerts(10, T0 - HOUR, T0 - MINUTE));
  stream.fault = (_question, n) => faults[n - 1];
  world.customer(stream);
  const scheduler = await world.start();
  await world.clock.advance(30 * MINUTE);
  const [customer] = scheduler.status();
  return customer!.streams[0]!;
}

/** How many requests of the stream were answered with each status. */
function answersOf({ answers }: StreamStatus): Readonly<Record<string, number>> {
  return Object.fromEntries(ANSWER_STATUSES.map((status, at) => [status, answers[at]!]));
}

test("each request of a stream is counted once, by the status of its answer", async () => {
  const noAnswer = new Failure("timed-out", { actor: "microsoft", retry: { when: "soon" }, say: "No answer." });
  const unusual = new Failure("refused", { actor: "us", retry: { when: "soon" }, say: "418.", status: 418 });
  const status = await afterFailures([serviceError(), noAnswer, unusual]);
  expect(answersOf(status)).toMatchObject({ "500": 1, none: 1, other: 1, "429": 0 });
  const total = status.answers.reduce((sum, n) => sum + n, 0);
  expect(answersOf(status)["200"]).toBeGreaterThan(20);
  expect(total).toBe(status.requests);
});

test("a request that is sent again after a failure is one retry, and a throttled one is counted as both", async () => {
  const status = await afterFailures([serviceError(), throttledUntil(T0 + 2 * MINUTE)]);
  expect(status.retries).toBe(2);
  expect(status.throttled).toBe(1);
  expect(answersOf(status)).toMatchObject({ "500": 1, "429": 1 });
});

test("the versions that went out are counted by how they were found and what they are", async () => {
  const world = new World();
  const stream = new SimStream(world.clock);
  stream.add(...alerts(10, T0 - HOUR, T0 - MINUTE));
  stream.add(...alerts(3, T0 - 3 * HOUR, T0 - 2 * HOUR, "late").map((v) => ({ ...v, visibleAtMs: T0 + 20 * MINUTE })));
  world.customer(stream);
  const scheduler = await world.start();
  await world.clock.advance(2 * HOUR);
  const status = scheduler.status()[0]!.streams[0]!;
  expect(status.delivered).toEqual({
    poll: { new: 10, updated: 0 },
    sweep: { new: 3, updated: 0 },
    replay: { new: 0, updated: 0 },
  });
});

test("the counts of a status grow from the start, although each health event begins again at zero", async () => {
  const world = new World();
  const stream = new SimStream(world.clock);
  stream.add(...alerts(10, T0 - HOUR, T0 - MINUTE));
  world.customer(stream);
  const scheduler = await world.start();
  await world.clock.advance(3 * HOUR);
  const [health] = world.sink.healths.slice(-1);
  expect(health?.streams[0]?.new).toBe(0);
  expect(scheduler.status()[0]?.streams[0]).toMatchObject({ new: 10, state: "ok" });
});

test("a customer that cannot be collected is in the status with its reason until that is withdrawn", async () => {
  const world = new World();
  const scheduler = await world.open();
  const failure = new Failure("settings", { actor: "operator", retry: { when: "never" }, say: "Wrong.", nextStep: "" });
  const refusal = scheduler.refuse({ stanza: "fabrikam", tenant: { id: "", name: "Fabrikam" }, failure });
  expect(scheduler.status()).toMatchObject([
    { tenant: "Fabrikam", tenantId: "", input: "fabrikam", streams: [{ stream: "*", failure: "settings" }] },
  ]);
  refusal.withdraw();
  expect(scheduler.status()).toEqual([]);
});
