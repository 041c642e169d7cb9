import { describe, expect, test } from "@jest/globals";
import { alerts, HOUR, MINUTE, SimStream, World } from "../../test/harness/collect/world.ts";
import { T0 } from "../../test/harness/fakes/clock.ts";
import { Failure } from "../model/failure.ts";
import type { Customer } from "./scheduler.ts";

/** Longer than any test lasts. */
const FOR_EVER_MS = 1_000 * HOUR;

/** Each customer has a request budget of its own. */
function customerOf(world: World, options: Partial<Customer> = {}): { customer: Customer; stream: SimStream } {
  const stream = new SimStream(world.clock, { budgetKey: `customer-${world.customers.length}` });
  stream.add(...alerts(1, T0 - HOUR, T0 - MINUTE));
  return { customer: world.customer(stream, options), stream };
}

function healthOf(world: World, tenant: string): readonly unknown[] {
  return world.sink.healths
    .filter((event) => event.tenant === tenant)
    .map(({ time, streams: [first] }) => [
      Math.round((Date.parse(time) - T0) / 1000),
      first?.state,
      first?.failure,
      first?.actor,
    ]);
}

describe("P24 within 60 s of the start", () => {
  test("a customer whose API hangs is failing, while the others are collected", async () => {
    const world = new World();
    const hanging = customerOf(world);
    hanging.stream.answerTakesMs = FOR_EVER_MS;
    customerOf(world);
    await world.start();
    await world.clock.advance(MINUTE);
    expect(healthOf(world, "Customer 0")).toEqual([[50, "failing", "network-timeout", "microsoft"]]);
    expect(world.sink.healths.at(-1)?.streams[0]).toMatchObject({
      say: "Customer 0: no answer for 50 s to the first question for its alerts. This program goes on waiting and asking.",
      next_step: 'Check the firewall and the proxy. Then run `defender-mssp doctor --customer "Customer 0"`.',
    });
    expect(healthOf(world, "Customer 1")).toEqual([[expect.any(Number), "ok", null, null]]);
    await world.clock.advance(2 * HOUR);
    expect(healthOf(world, "Customer 0")).toEqual([
      [50, "failing", "network-timeout", "microsoft"],
      [3660, "failing", "network-timeout", "microsoft"],
      [7260, "failing", "network-timeout", "microsoft"],
    ]);
    await world.stop();
  });

  test("a late first answer ends the failure", async () => {
    const world = new World();
    const { stream } = customerOf(world);
    stream.answerTakesMs = 90_000;
    await world.start();
    await world.clock.advance(4 * MINUTE);
    expect(healthOf(world, "Customer 0").map((event) => (event as unknown[])[1])).toEqual([
      "failing",
      "catching-up",
      "ok",
    ]);
    await world.stop();
  });

  test("a request that was sent a moment ago is not a failure", async () => {
    const world = new World();
    const { stream } = customerOf(world, { settings: { pollSeconds: 300, overlapMinutes: 30, sweepHours: 0 } });
    await world.start();
    await world.clock.advance(252_000);
    await world.stop();
    world.sink.healths.length = 0;
    stream.questions.length = 0;
    stream.answerTakesMs = 4_000;
    await world.start();
    await world.clock.advance(51_000);
    expect(stream.questions).toHaveLength(1);
    expect(world.sink.healths.map(({ streams }) => streams[0]?.state)).toEqual(["catching-up"]);
    await world.stop();
  });

  test("a customer whose first poll is not due is catching up", async () => {
    const world = new World();
    const { stream } = customerOf(world, { settings: { pollSeconds: 300, overlapMinutes: 30, sweepHours: 0 } });
    await world.start();
    await world.clock.advance(10_000);
    await world.stop();
    world.sink.healths.length = 0;
    stream.questions.length = 0;
    await world.start();
    await world.clock.advance(MINUTE);
    expect(stream.questions).toEqual([]);
    expect(world.sink.healths.map(({ streams }) => streams[0]?.state)).toEqual(["catching-up"]);
    await world.stop();
  });

  test("each of 2,000 customers is heard of, and 500 that hang keep nobody from being collected", async () => {
    const world = new World();
    const streams = Array.from({ length: 2_000 }, () => customerOf(world).stream);
    streams.forEach((stream, i) => {
      if (i % 4 === 0) stream.answerTakesMs = FOR_EVER_MS;
    });
    await world.start();
    await world.clock.advance(MINUTE);
    expect(new Set(world.sink.healths.map(({ tenant }) => tenant)).size).toBe(2_000);
    await world.clock.advance(MINUTE);
    expect(world.sink.sent).toHaveLength(1_500);
    const failing = world.sink.healths.filter(({ streams: [first] }) => first?.failure === "network-timeout");
    expect(new Set(failing.map(({ tenant }) => tenant)).size).toBe(500);
    await world.stop();
  }, 300_000);
});

describe("P24 a customer that is refused as a whole", () => {
  const failure = (code: "settings" | "dns-failed" | "consent-missing", say: string) =>
    new Failure(code, { actor: "operator", retry: { when: "never" }, say, nextStep: "Correct it." });

  test("has one entry for all streams, at once and hourly until the refusal is withdrawn", async () => {
    const world = new World();
    const scheduler = await world.start();
    const refusal = scheduler.refuse({
      stanza: "contoso",
      tenant: { id: "", name: "Contoso" },
      failure: failure("settings", "Wrong."),
    });
    await world.clock.advance(2 * HOUR + MINUTE);
    expect(world.sink.healths).toHaveLength(3);
    expect(world.sink.healths[0]).toMatchObject({ tenant: "Contoso", tenant_id: "", input: "contoso" });
    expect(world.sink.healths[0]?.streams).toEqual([
      expect.objectContaining({
        stream: "*",
        state: "misconfigured",
        failure: "settings",
        actor: "operator",
        say: "Wrong.",
        next_step: "Correct it.",
      }),
    ]);
    refusal.withdraw();
    await world.clock.advance(2 * HOUR);
    expect(world.sink.healths).toHaveLength(3);
    await world.stop();
  });

  test("has an event for another reason, and none for the same one", async () => {
    const world = new World();
    const scheduler = await world.start();
    const refusal = scheduler.refuse({
      stanza: "contoso",
      tenant: { id: "", name: "Contoso" },
      failure: failure("dns-failed", "No."),
    });
    refusal.become(failure("dns-failed", "No."));
    await world.clock.advance(0);
    refusal.become(failure("consent-missing", "Not yet."));
    await world.clock.advance(0);
    expect(healthOf(world, "Contoso").map((event) => (event as unknown[])[1])).toEqual(["failing", "awaiting-consent"]);
    await world.stop();
  });
});

describe("P24 health events that an output does not take", () => {
  const full = new Failure("output-broken", {
    actor: "operator",
    retry: { when: "soon" },
    say: "outputs[0]: /out/a.cef cannot be written: the disk is full.",
    nextStep: "Free disk space.",
  });

  test("are named once in the log, also while no customer has anything else to send", async () => {
    const world = new World();
    for (let n = 0; n < 3; n += 1) world.customer(new SimStream(world.clock, { budgetKey: `customer-${n}` }));
    world.sink.health = () => Promise.reject(full);
    await world.start();
    await world.clock.advance(30 * MINUTE);
    const said = world.log.lines.filter(({ message }) => message === full.say);
    expect(said).toEqual([
      { level: "error", message: full.say, fields: { failure: "output-broken", next_step: "Free disk space." } },
    ]);
    await world.clock.advance(HOUR);
    expect(world.log.lines.filter(({ message }) => message === full.say)).toHaveLength(2);
    await world.stop();
  });

  test("are sent again five minutes later, not an hour later", async () => {
    const world = new World();
    world.customer(new SimStream(world.clock));
    const take = world.sink.health.bind(world.sink);
    world.sink.health = () => Promise.reject(full);
    await world.start();
    await world.clock.advance(MINUTE);
    world.sink.health = take;
    await world.clock.advance(5 * MINUTE);
    expect(healthOf(world, "Customer 0")).toEqual([[expect.any(Number), "ok", null, null]]);
    await world.clock.advance(30 * MINUTE);
    expect(healthOf(world, "Customer 0")).toHaveLength(1);
    await world.stop();
  });
});
