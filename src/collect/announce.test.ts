import { expect, test } from "@jest/globals";
import { SimSink, SimState, SimStream } from "../../test/harness/collect/world.ts";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { Failure } from "../model/failure.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { TenantId } from "../model/tenant.ts";
import { Scheduler } from "./scheduler.ts";

const CONTOSO = {
  id: "11111111-2222-4333-8444-555555555555" as TenantId,
  name: "Contoso",
  cloud: "commercial",
} as const;
const OTHER = { id: "22222222-2222-4333-8444-555555555555" as TenantId, name: "Fabrikam" };
const HOUR = 3_600_000;

const found = new Failure("customer-found", { actor: "operator", retry: { when: "never" }, say: "It is new." });
const forbidden = new Failure("discovery-forbidden", { actor: "operator", retry: { when: "later" }, say: "No." });

async function running() {
  const clock = new FakeClock();
  const sink = new SimSink(clock);
  const stream = new SimStream(clock);
  stream.add({ id: "a", updated: ticksFromMs(T0 - 60_000), visibleAtMs: T0 - 60_000 });
  const stop = new AbortController();
  const scheduler = await Scheduler.open({
    customers: [
      {
        stanza: "contoso",
        tenant: CONTOSO,
        settings: { pollSeconds: 60, overlapMinutes: 30, sweepHours: 0 },
        start: { kind: "ago", ms: HOUR },
        sources: [stream],
      },
    ],
    state: new SimState(),
    sink,
    replayMib: 1,
    concurrency: 4,
    version: "test",
    clock,
    random: FakeRandom.always(),
    log: new FakeLog(),
  });
  const ended = scheduler.run(stop.signal);
  await clock.advance(61_000);
  const since = sink.healths.length;
  const said = () =>
    sink.healths
      .slice(since)
      .map(({ tenant, streams }) => [tenant, ...streams.map((one) => `${one.stream} ${one.state} ${one.failure}`)]);
  const end = async () => {
    stop.abort();
    await ended;
  };
  return { scheduler, clock, said, end };
}

test("something that is said of a collected customer leaves the states of its streams as they are", async () => {
  const { scheduler, said, end } = await running();
  await scheduler.announce(CONTOSO, found);
  expect(said()).toEqual([["Contoso", "alerts ok customer-found"]]);
  expect(scheduler.status().flatMap(({ streams }) => streams.map(({ failure }) => failure))).toEqual([null]);
  await end();
});

test("something that is said of another tenant is one event with the state off, and no customer of the status", async () => {
  const { scheduler, clock, said, end } = await running();
  await scheduler.announce(OTHER, found);
  expect(said()).toEqual([["Fabrikam", "* off customer-found"]]);
  await clock.advance(2 * HOUR);
  expect(said().filter(([tenant]) => tenant === "Fabrikam")).toHaveLength(1);
  expect(scheduler.status().map(({ tenant }) => tenant)).toEqual(["Contoso"]);
  await end();
});

test("health of what is not a customer has an event at each change, and hourly while it is not ok", async () => {
  const { scheduler, clock, said, end } = await running();
  const health = scheduler.healthOf({ name: "list of customers", id: "" });
  const ofList = () => said().filter(([tenant]) => tenant === "list of customers");
  health.be("ok");
  await clock.advance(2 * HOUR);
  expect(ofList()).toEqual([]);
  health.be("failing", forbidden);
  await clock.advance(2.5 * HOUR);
  expect(ofList()).toEqual(Array.from({ length: 3 }, () => ["list of customers", "* failing discovery-forbidden"]));
  health.be("ok");
  await clock.advance(2 * HOUR);
  expect(ofList().slice(3)).toEqual([["list of customers", "* ok null"]]);
  expect(scheduler.status().map(({ tenant }) => tenant)).toEqual(["Contoso"]);
  await end();
});
