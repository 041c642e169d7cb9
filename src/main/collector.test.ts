import { describe, expect, test } from "@jest/globals";
import { HOUR, MINUTE, SimSink, SimState, SimStream } from "../../test/harness/collect/world.ts";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import type { Customer } from "../collect/scheduler.ts";
import { parseStanzas } from "../config/settings.ts";
import { EXIT, Failure, type Retry } from "../model/failure.ts";
import type { FailureCode } from "../model/failure-codes.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { Stanza } from "../model/stanza.ts";
import type { TenantId } from "../model/tenant.ts";
import type { CollectorParts, Destination, StopLimits } from "./collector.ts";
import { Collector } from "./collector.ts";
import type { CredentialChanges } from "./credential-watch.ts";
import type { MisconfiguredCustomer, RefusedCustomer } from "./customers.ts";

const failureOf = (code: FailureCode, retry: Retry = { when: "later" }, area?: "sign-in") =>
  new Failure(code, { actor: "operator", retry, say: `It is ${code}.`, ...(area === undefined ? {} : { area }) });

function stanzaOf(n: number): Stanza {
  const id = `${n < 10 ? `${n}1111111` : String(n).padStart(8, "0")}-2222-4333-8444-555555555555`;
  const values = { tenant_id: id, client_id: id, tenant_name: `Customer ${n}` };
  const [stanza] = parseStanzas([{ name: `customer-${n}`, values }], { host: "splunk", nowMs: T0 }).stanzas;
  return stanza as Stanza;
}

const NO_CHANGES: CredentialChanges = { ready: [], refused: [] };

/** One collector over simulated customers, with everything that it does to its host in `steps`. */
class Bench {
  readonly clock = new FakeClock();
  readonly sink = new SimSink(this.clock);
  readonly log = new FakeLog();
  readonly stop = new AbortController();
  readonly steps: string[] = [];
  readonly streams = new Map<string, SimStream>();
  /** What building a customer throws, by stanza. */
  readonly unbuildable = new Map<string, Failure>();
  /** What opening a customer's state throws, by stanza. */
  /** By input, or by input and stream. */
  readonly unopenable = new Map<string, Failure>();
  readonly moreStreams = new Map<string, readonly SimStream[]>();
  /** What customers were built of, in order. */
  readonly built: Stanza[] = [];
  /** Awaited before a customer's state is opened, by stanza. */
  readonly opening = new Map<string, () => Promise<void>>();
  refused: readonly RefusedCustomer[] = [];
  misconfigured: readonly MisconfiguredCustomer[] = [];
  /** Customers whose tenant is asked for while the others are collected, and what the question comes to. */
  readonly later = new Map<string, () => Promise<unknown>>();
  /** What the next look for changed credentials finds. */
  changes: CredentialChanges = NO_CHANGES;
  /** The customers that failed for want of a credential at each look. */
  readonly looks: (readonly string[])[] = [];
  /** Customers that took a changed credential, with the time. */
  readonly renewed: string[] = [];
  /** What taking a changed credential throws, by stanza. */
  readonly unrenewable = new Map<string, Failure>();
  readonly withheld = new Map<string, Failure>();
  destination: Partial<Destination> = {};
  limits: StopLimits = { finishPagesMs: 600 };
  released: () => Promise<void> = () => Promise.resolve();
  heapCollections = 0;
  writesFacts = true;
  /** Called by a test in place of the host's own. */
  connectionBroke: () => void = () => undefined;

  startedAtMs: number | undefined;
  underContract: CollectorParts["customers"]["underContract"];
  membership: CollectorParts["membership"];

  readonly stanzas: readonly Stanza[];

  constructor(customers: number, others: readonly Stanza[] = []) {
    this.stanzas = [...Array.from({ length: customers }, (_, i) => stanzaOf(i + 1)), ...others];
    for (const { name } of this.stanzas) {
      const stream = new SimStream(this.clock, { budgetKey: name });
      stream.add({ id: `${name}-alert`, updated: ticksFromMs(T0 - 60_000), visibleAtMs: T0 - 60_000 });
      this.streams.set(name, stream);
    }
  }

  open(): Promise<Collector> {
    const { clock, log, steps, sink, later } = this;
    const state = new SimState();
    const openStream = state.open.bind(state);
    const open = new Set<string>();
    state.open = async (key) => {
      await this.opening.get(key.stanza)?.();
      const failure = this.unopenable.get(key.stanza) ?? this.unopenable.get(`${key.stanza} ${key.stream}`);
      if (failure) throw failure;
      // As the state folder on disk refuses it.
      const name = `${key.stanza} ${key.stream}`;
      if (open.has(name)) throw new Error(`state of ${name} is opened twice`);
      const store = await openStream(key);
      open.add(name);
      return { ...store, close: () => store.close().finally(() => open.delete(name)) };
    };
    if (!this.writesFacts) state.writeFact = () => Promise.reject(failureOf("state-unwritable"));
    state.release = async ({ orderly }) => {
      steps.push(orderly ? "state released in order" : "state released");
      await this.released();
    };
    const build = async (stanza: Stanza): Promise<Customer> => {
      this.built.push(stanza);
      await later.get(stanza.name)?.();
      const failure = this.unbuildable.get(stanza.name);
      if (failure) throw failure;
      return {
        stanza: stanza.name,
        tenant: { id: stanza.tenantId as TenantId, name: stanza.tenantName, cloud: stanza.cloud },
        settings: { pollSeconds: 60, overlapMinutes: 30, sweepHours: 0 },
        start: { kind: "ago", ms: 3_600_000 },
        sources: [this.streams.get(stanza.name) as SimStream, ...(this.moreStreams.get(stanza.name) ?? [])],
      };
    };
    const parts: CollectorParts = {
      customers: {
        configured: this.stanzas,
        wanted: this.stanzas.filter(({ name }) => !this.refused.some(({ stanza }) => stanza.name === name)),
        refused: this.refused,
        misconfigured: this.misconfigured,
        ...(this.underContract === undefined ? {} : { underContract: this.underContract }),
        credentials: {
          everyMs: 30_000,
          look: (failing) => {
            this.looks.push([...failing]);
            const found = this.changes;
            this.changes = NO_CHANGES;
            return Promise.resolve(found);
          },
        },
        builder: {
          build,
          async buildAll(stanzas) {
            const customers: Customer[] = [];
            const refused: RefusedCustomer[] = [];
            for (const stanza of stanzas.filter(({ name }) => !later.has(name)))
              await build(stanza).then(
                (customer) => customers.push(customer),
                (failure: Failure) => refused.push({ stanza, failure }),
              );
            return { customers, refused, later: stanzas.filter(({ name }) => later.has(name)) };
          },
          async joinLater(stanza, scheduler, _state, stop, failed) {
            while (!stop.aborted) {
              try {
                return await scheduler.add(await build(stanza));
              } catch (error) {
                failed(error as Failure);
              }
              await clock.pause(30_000, stop);
            }
          },
          keepTokensAlive: () => Promise.resolve(),
          save: () => Promise.resolve(),
          renew: async ({ name }) => {
            const failure = this.unrenewable.get(name);
            if (failure) throw failure;
            this.renewed.push(name);
          },
          withhold: (name, failure) => this.withheld.set(name, failure),
        },
      },
      openState: () => Promise.resolve(state),
      openDestination: () => ({
        sink,
        onBroken: (listener) => (this.connectionBroke = listener),
        close() {
          steps.push("destination closed");
          return Promise.resolve(true);
        },
        ...this.destination,
      }),
      ...(this.membership === undefined ? {} : { membership: this.membership }),
      limits: this.limits,
      globals: {
        replayMib: 16,
        recordMaxMib: 16,
        concurrency: 16,
        logLevel: "info",
        consentRedirect: "",
        discoverMode: "announce",
        discoverHours: 1,
        hecAck: "auto",
        hecGzip: false,
        hecSpoolMib: 1024,
      },
      world: {
        version: "test",
        http: {
          send: () => Promise.reject(new Error("no request is made")),
          close() {
            steps.push("connections closed");
            return Promise.resolve();
          },
        },
        clock,
        random: new FakeRandom(),
        log,
        commands: { program: "defender-mssp", inText: (text) => text.replace("defender-mssp", "./defender-mssp") },
        heap: { usedBytes: () => 100e6, collect: () => (this.heapCollections += 1) },
      },
      stop: this.stop.signal,
      ...(this.startedAtMs === undefined ? {} : { startedAtMs: this.startedAtMs }),
    };
    return Collector.open(parts);
  }

  said(level: string): string[] {
    return this.log.lines.filter((line) => line.level === level).map(({ message }) => message);
  }
}

describe("the list of customers", () => {
  test("is compared with the customers while they are collected, in health events and the status", async () => {
    const bench = new Bench(1);
    const [stanza] = bench.stanzas;
    const listed = { tenantId: stanza?.tenantId as TenantId, name: "listed", isExcluded: false };
    const other = { ...listed, tenantId: "99999999-2222-4333-8444-555555555555" as TenantId, name: "Litware" };
    bench.underContract = () => Promise.resolve([listed, other]);
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(400_000);
    const [event, ...others] = bench.sink.healths.filter(({ roster }) => roster !== undefined);
    expect(others).toEqual([]);
    expect(event?.roster).toMatchObject({
      under_contract: 2,
      configured: 1,
      collected: 1,
      say: "1 customer under contract is not configured (Litware).",
      next_step: "Run `./defender-mssp customers list --against` to see all of them.",
    });
    expect(collector.status().roster).toEqual(event?.roster);
    bench.stop.abort();
    await running;
    await collector.close();
  });

  test("makes no event where none was read", async () => {
    const bench = new Bench(1);
    bench.underContract = () => Promise.resolve(undefined);
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(400_000);
    expect(bench.sink.healths.filter(({ roster }) => roster !== undefined)).toEqual([]);
    expect(collector.status().roster).toBeUndefined();
    bench.stop.abort();
    await running;
    await collector.close();
  });
});

test("a customer that is taken signs in with the secret that changed while others collected it", async () => {
  const bench = new Bench(2);
  const [, stanza] = bench.stanzas;
  bench.refused = [{ stanza: stanza as Stanza, failure: failureOf("settings") }];
  const collector = await bench.open();
  await collector.drop("customer-2", { saves: false });
  const running = collector.run();
  const changed = { ...(stanza as Stanza) };
  bench.changes = { ready: [changed], refused: [] };
  await bench.clock.advance(60_000);
  collector.take(stanza as Stanza);
  await bench.clock.advance(1_000);

  expect(bench.built.filter(({ name }) => name === "customer-2")).toHaveLength(1);
  expect(bench.built.at(-1)).toBe(changed);
  bench.stop.abort();
  await running;
  await collector.close();
});

describe("a customer that is dropped", () => {
  test("while it waits to be opened is not refused here for ever: another member of the fleet has it", async () => {
    const bench = new Bench(2);
    bench.later.set("customer-2", () => Promise.resolve());
    let refuse: (failure: Failure) => void = () => undefined;
    let opened = 0;
    bench.opening.set("customer-2", () => {
      opened += 1;
      return new Promise((_, reject) => (refuse = reject));
    });
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(100);
    expect(opened).toBe(1);
    const dropped = collector.drop("customer-2", { saves: false });
    refuse(failureOf("fleet-fenced"));
    await dropped;
    await bench.clock.advance(600_000);

    expect(opened).toBe(1);
    expect(bench.sink.healths.filter(({ input }) => input === "customer-2")).toEqual([]);
    expect(collector.status().customers.map(({ input }) => input)).toEqual(["customer-1"]);
    bench.stop.abort();
    await running;
    await collector.close();
  });
});

describe("the stop", () => {
  test("of a run lets pages finish, closes the destination, then saves state and closes connections", async () => {
    const bench = new Bench(1);
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(1_000);
    expect(bench.sink.sent).toHaveLength(1);
    expect(bench.heapCollections).toBe(1);
    bench.stop.abort();
    await running;
    expect(await collector.close()).toEqual({ exitCode: EXIT.done, fatal: undefined });
    expect(bench.steps).toEqual(["destination closed", "state released in order", "connections closed"]);
  });

  test.each([
    ["answers that something may not have arrived", () => Promise.resolve(false), []],
    ["fails", () => Promise.reject(failureOf("output-broken")), ["It is output-broken."]],
  ])("is not an orderly one when closing the destination %s", async (_, close, said) => {
    const bench = new Bench(1);
    bench.destination = { close };
    const collector = await bench.open();
    const running = collector.run();
    bench.stop.abort();
    await running;
    expect((await collector.close()).exitCode).toBe(EXIT.done);
    expect(bench.steps).toEqual(["state released", "connections closed"]);
    expect(bench.said("error")).toEqual(said);
  });

  test("waits for pages no longer than the host allows, and is not an orderly one then", async () => {
    const bench = new Bench(1);
    const write = bench.sink.write.bind(bench.sink);
    bench.sink.write = async (batch) => {
      await bench.clock.pause(10_000);
      return write(batch);
    };
    const collector = await bench.open();
    let stopped = false;
    const running = collector.run().then(() => (stopped = true));
    await bench.clock.advance(1_000);
    bench.stop.abort();
    await bench.clock.advance(599);
    expect(stopped).toBe(false);
    await bench.clock.advance(1);
    expect(stopped).toBe(true);
    await running;
    void collector.close();
    await bench.clock.advance(10_000);
    expect(bench.steps).toContain("state released");
  });

  test("is not an orderly one when state cannot be saved", async () => {
    const bench = new Bench(1);
    bench.writesFacts = false;
    const collector = await bench.open();
    const running = collector.run();
    bench.stop.abort();
    await running;
    await collector.close();
    expect(bench.steps).toEqual(["destination closed", "state released", "connections closed"]);
  });

  test.each([
    ["all the time that the steps before it left", 500, 2_400],
    ["its own time when the steps before it took longer than allowed", 2_800, 300],
  ])("gives the saving of state %s, and says that it was cut short", async (_, closingMs, savingMs) => {
    const bench = new Bench(1);
    bench.limits = { finishPagesMs: 600, saveState: { atLeastMs: 300, untilAfterStopMs: 2_900 } };
    bench.destination = { close: () => bench.clock.pause(closingMs).then(() => true) };
    bench.released = () => new Promise(() => undefined);
    const collector = await bench.open();
    const running = collector.run();
    bench.stop.abort();
    await running;
    const closing = collector.close();
    await bench.clock.advance(closingMs + savingMs - 1);
    expect(bench.steps).toEqual(["state released in order"]);
    expect(bench.said("warn")).toEqual([]);
    await bench.clock.advance(1);
    expect((await closing).exitCode).toBe(EXIT.done);
    expect(bench.said("warn")).toEqual([
      "the stop was cut short; the next start may send events of the last hour again with equal keys",
    ]);
  });

  test("is over as soon as state is saved, and says nothing more", async () => {
    const bench = new Bench(1);
    bench.limits = { finishPagesMs: 600, saveState: { atLeastMs: 300, untilAfterStopMs: 2_900 } };
    const collector = await bench.open();
    const running = collector.run();
    bench.stop.abort();
    await running;
    expect((await collector.close()).exitCode).toBe(EXIT.done);
    expect(bench.said("warn")).toEqual([]);
  });

  test("comes by itself when the reader is gone, without a fatal line, and the end says why", async () => {
    const bench = new Bench(2);
    bench.sink.break = () => ({ arrives: 0, failure: failureOf("host-gone") });
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(1_000);
    await running;
    expect(await collector.close()).toMatchObject({ exitCode: EXIT.host, fatal: { code: "host-gone" } });
    expect(bench.said("fatal")).toEqual([]);
    expect(bench.steps).toEqual(["destination closed", "state released", "connections closed"]);
  });

  test("for a failure that concerns everybody says it in a fatal line and exits for it", async () => {
    const bench = new Bench(1);
    bench.sink.break = () => ({ arrives: 0, failure: failureOf("state-damaged") });
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(1_000);
    await running;
    expect((await collector.close()).exitCode).toBe(EXIT.state);
    expect(bench.said("fatal")).toEqual(["It is state-damaged."]);
  });
});

test("a member of a fleet that shares no customers any more ends, so that its supervisor starts it again", async () => {
  const bench = new Bench(0);
  const shared = { nowMs: () => bench.clock.nowMs(), lostOwnerOf: () => undefined };
  bench.membership = { shared, run: () => Promise.reject(new TypeError("no such shard")) };
  const collector = await bench.open();
  let hasEnded = false;
  const running = collector.run().then(() => (hasEnded = true));
  await bench.clock.advance(1_000);
  expect(hasEnded).toBe(true);
  await running;
  expect(await collector.close()).toMatchObject({ exitCode: EXIT.ourFault, fatal: { code: "defect" } });
  expect(bench.said("fatal")).toEqual([expect.stringContaining("no such shard")]);
});

describe("opening that fails", () => {
  test("closes what was opened, and the state goes on saying what it said", async () => {
    const bench = new Bench(1);
    bench.destination = { begin: () => Promise.reject(failureOf("output-broken")) };
    await expect(bench.open()).rejects.toMatchObject({ code: "output-broken" });
    expect(bench.steps).toEqual(["destination closed", "state released", "connections closed"]);
  });

  test("is what a stop makes of it, however many customers there still are to open", async () => {
    const bench = new Bench(3);
    bench.stop.abort();
    await expect(bench.open()).rejects.toMatchObject({ code: "stopped" });
    expect(bench.steps).toEqual(["destination closed", "state released", "connections closed"]);
  });
});

describe("a customer that cannot be collected", () => {
  test("is reported in health at once, and is collected when its secrets can be read", async () => {
    const bench = new Bench(2);
    const [first, second] = bench.stanzas as [Stanza, Stanza];
    bench.refused = [
      { stanza: first, failure: failureOf("splunkd-unreachable") },
      { stanza: second, failure: failureOf("credential-missing", { when: "never" }, "sign-in") },
    ];
    const collector = await bench.open();
    expect(collector.hasCustomers).toBe(false);
    void collector.run();
    await bench.clock.advance(1_000);
    expect(bench.sink.healths.map(({ tenant, streams }) => [tenant, streams[0]?.state, streams[0]?.failure])).toEqual([
      ["Customer 1", "failing", "splunkd-unreachable"],
      ["Customer 2", "misconfigured", "credential-missing"],
    ]);
    bench.changes = { ready: [first], refused: [] };
    await bench.clock.advance(MINUTE);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
    expect(collector.hasCustomers).toBe(true);
    await bench.clock.advance(2 * 3_600_000);
    const reported = (code: string) => bench.sink.healths.filter(({ streams }) => streams[0]?.failure === code);
    expect(reported("splunkd-unreachable")).toHaveLength(1);
    expect(reported("credential-missing")).toHaveLength(3);
    bench.stop.abort();
  });

  test("leaves the others alone when building it fails", async () => {
    const bench = new Bench(2);
    bench.unbuildable.set("customer-1", failureOf("credential-missing", { when: "never" }, "sign-in"));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(1_000);
    expect(bench.sink.healths.some(({ streams }) => streams[0]?.failure === "credential-missing")).toBe(true);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-2-alert"]);
    expect(bench.said("error")).toEqual(["It is credential-missing."]);
    bench.stop.abort();
  });
});

describe("a customer whose tenant is given as a domain", () => {
  const DOMAIN = { tenant_id: "contoso.example", client_id: "1f6bd6d0-d1ab-4a0a-9c1e-c3c6b5d7a8e9" };
  const [stanza] = parseStanzas([{ name: "contoso", values: DOMAIN }], { host: "splunk", nowMs: T0 }).stanzas;
  const contoso = stanza as Stanza;
  const benchWith = (ask: () => Promise<unknown>): Bench => {
    const bench = new Bench(1, [contoso]);
    bench.later.set("contoso", ask);
    return bench;
  };
  const healthOf = (bench: Bench) =>
    bench.sink.healths
      .filter(({ tenant }) => tenant === "contoso")
      .map(({ tenant_id, streams: [first] }) => [tenant_id, first?.stream, first?.state, first?.failure]);

  test("P24 that cannot be resolved has one event and one line, until it can be collected", async () => {
    let isKnown = false;
    const bench = benchWith(() => (isKnown ? Promise.resolve() : Promise.reject(failureOf("dns-failed"))));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(MINUTE);
    expect(healthOf(bench)).toEqual([["", "*", "failing", "dns-failed"]]);
    expect(bench.said("error")).toEqual(["It is dns-failed."]);
    await bench.clock.advance(2 * HOUR);
    expect(healthOf(bench)).toHaveLength(3);
    isKnown = true;
    await bench.clock.advance(2 * HOUR);
    const [tenantId, stream, state] = healthOf(bench).at(-1) ?? [];
    expect([tenantId, stream, state]).toEqual(["contoso.example", "alerts", "ok"]);
    expect(healthOf(bench).filter(([id]) => id === "")).toHaveLength(3);
    bench.stop.abort();
  });

  test("P24 and the question for it hangs is failing within 60 s", async () => {
    const bench = benchWith(() => new Promise(() => undefined));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(MINUTE);
    expect(healthOf(bench)).toEqual([["", "*", "failing", "network-timeout"]]);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
    bench.stop.abort();
  });
});

test("P24 customers with wrong settings have a health event each, also when nobody else is configured", async () => {
  const bench = new Bench(0);
  const failure = failureOf("settings", { when: "never" });
  bench.misconfigured = [
    { name: "contoso", tenantName: "Contoso GmbH", tenantId: "", failure },
    { name: "fabrikam", tenantName: "fabrikam", tenantId: stanzaOf(7).tenantId as TenantId, failure },
  ];
  const collector = await bench.open();
  expect(collector.hasCustomers).toBe(false);
  void collector.run();
  await bench.clock.advance(MINUTE);
  const seen = bench.sink.healths.map(({ tenant, input, tenant_id, streams: [first] }) => [
    tenant,
    input,
    tenant_id,
    first?.state,
  ]);
  expect(seen).toEqual([
    ["Contoso GmbH", "contoso", "", "misconfigured"],
    ["fabrikam", "fabrikam", "71111111-2222-4333-8444-555555555555", "misconfigured"],
  ]);
  bench.stop.abort();
});

test("a customer whose answer hangs has its health event within 60 s of the start, whatever began before", async () => {
  const values = { tenant_id: "contoso.example", client_id: stanzaOf(1).tenantId };
  const bench = new Bench(1, parseStanzas([{ name: "contoso", values }], { host: "splunk", nowMs: T0 }).stanzas);
  (bench.streams.get("customer-1") as SimStream).answerTakesMs = HOUR;
  bench.later.set("contoso", () => new Promise(() => undefined));
  bench.startedAtMs = bench.clock.monotonicMs();
  await bench.clock.advance(40_000);
  void (await bench.open()).run();
  await bench.clock.advance(20_000);
  expect(bench.sink.healths.map(({ tenant }) => tenant).toSorted()).toEqual(["Customer 1", "contoso"]);
  bench.stop.abort();
});

test("a customer that waits for its consent is polled at once when it is found, in the middle of its longest wait", async () => {
  const bench = new Bench(2);
  const [first, second] = ["customer-1", "customer-2"].map((name) => bench.streams.get(name) as SimStream);
  let isGiven = false;
  first!.fault = () => (isGiven ? undefined : failureOf("consent-missing", { when: "never" }));
  second!.fault = () => failureOf("service-error");
  const collector = await bench.open();
  void collector.run();
  await bench.clock.advance(2 * HOUR);
  const before = [first, second].map((stream) => stream!.askedAtMs.length);
  isGiven = true;
  collector.tryAgain("customer-1");
  collector.tryAgain("customer-2");
  await bench.clock.advance(10);
  expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
  expect(first!.askedAtMs.length).toBeGreaterThan(before[0]!);
  expect(second!.askedAtMs.length).toBe(before[1]);
  bench.stop.abort();
});

describe("a changed credential", () => {
  const wrongSecret = failureOf("secret-wrong", { when: "never" }, "sign-in");
  const askedAt = (bench: Bench, name: string) =>
    (bench.streams.get(name) as SimStream).askedAtMs.map((atMs) => (atMs - T0) / 1_000);

  test("counts within 60 s for a customer whose sign-in failed, in the middle of its longest wait", async () => {
    const bench = new Bench(2);
    const [first] = bench.stanzas as [Stanza];
    const stream = bench.streams.get("customer-1") as SimStream;
    stream.fault = () => (bench.renewed.includes("customer-1") ? undefined : wrongSecret);
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(2 * HOUR);
    expect(bench.looks.at(-1)).toEqual(["customer-1"]);
    const before = askedAt(bench, "customer-1").length;
    bench.changes = { ready: [first], refused: [] };
    await bench.clock.advance(MINUTE);
    expect([...new Set(askedAt(bench, "customer-1").slice(before))]).toEqual([2 * 3600 + 30]);
    expect(bench.sink.sent.map(({ id }) => id).toSorted()).toEqual(["customer-1-alert", "customer-2-alert"]);
    expect(bench.sink.healths.findLast(({ tenant }) => tenant === "Customer 1")?.streams[0]).toMatchObject({
      state: "ok",
      failure: null,
    });
    bench.stop.abort();
  });

  test("that is a damaged file fails its own customers and ends nothing for the others", async () => {
    const bench = new Bench(2);
    (bench.streams.get("customer-1") as SimStream).fault = () =>
      failureOf("state-damaged", { when: "never" }, "sign-in");
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(5 * MINUTE);
    expect(bench.said("fatal")).toEqual([]);
    expect(bench.sink.healths.find(({ tenant }) => tenant === "Customer 1")?.streams[0]).toMatchObject({
      state: "signed-out",
      failure: "state-damaged",
    });
    expect(askedAt(bench, "customer-2").at(-1)).toBeGreaterThan(200);
    bench.stop.abort();
  });

  test("is tried once, and the waits grow from the beginning again, when it is as wrong as the old one", async () => {
    const bench = new Bench(1);
    (bench.streams.get("customer-1") as SimStream).fault = () => wrongSecret;
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(2 * HOUR);
    const before = askedAt(bench, "customer-1").length;
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(5 * MINUTE);
    const [first = 0, second = 0, third = 0] = askedAt(bench, "customer-1").slice(before);
    expect(first).toBe(7230);
    expect(second - first).toBeLessThanOrEqual(1.25 * 30);
    expect(third - second).toBeGreaterThanOrEqual(0.75 * 60);
    bench.stop.abort();
  });

  test("counts at once for a sign-in with the old one that is under way and fails later", async () => {
    const bench = new Bench(1);
    const stream = bench.streams.get("customer-1") as SimStream;
    stream.answerTakesMs = 40_000;
    let isOld = true;
    stream.fault = () => (isOld ? wrongSecret : undefined);
    const collector = await bench.open();
    void collector.run();
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(40_100);
    isOld = false;
    expect(askedAt(bench, "customer-1").map(Math.floor)).toEqual([0, 40]);
    await bench.clock.advance(40_000);
    expect(bench.sink.sent).toHaveLength(1);
    bench.stop.abort();
  });

  test("waits for the next token of a customer that is collected, and of one that fails for another reason", async () => {
    const bench = new Bench(2);
    (bench.streams.get("customer-2") as SimStream).fault = () => failureOf("service-error");
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(HOUR + 10_000);
    const before = bench.stanzas.map(({ name }) => askedAt(bench, name).length);
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(45_000);
    expect(bench.looks.flat()).toEqual([]);
    expect(bench.renewed).toEqual(["customer-1", "customer-2"]);
    expect(askedAt(bench, "customer-1").slice(before[0])).toEqual([]);
    expect(askedAt(bench, "customer-2").slice(before[1])).toEqual([]);
    bench.stop.abort();
  });

  test("that 120 customers share is tried by 50 customers a second", async () => {
    const bench = new Bench(120);
    for (const stream of bench.streams.values())
      stream.fault = () => (bench.renewed.length > 0 ? undefined : wrongSecret);
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(2 * HOUR);
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(30_000 - 1);
    await bench.clock.advance(1_000);
    expect(bench.sink.sent.length).toBeGreaterThan(40);
    expect(bench.sink.sent.length).toBeLessThanOrEqual(51);
    await bench.clock.advance(2_000);
    expect(bench.sink.sent).toHaveLength(120);
    bench.stop.abort();
  });

  test("admits all customers that were refused for the same reason, and polls each of them once", async () => {
    const bench = new Bench(5);
    for (const { name } of bench.stanzas)
      bench.unbuildable.set(name, failureOf("credential-missing", { when: "never" }, "sign-in"));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(10 * MINUTE);
    bench.unbuildable.clear();
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(2 * MINUTE);
    expect(bench.sink.sent.map(({ id }) => id).toSorted()).toEqual(
      bench.stanzas.map(({ name }) => `${name}-alert`).toSorted(),
    );
    const polls = bench.stanzas.map(({ name }) => askedAt(bench, name).length);
    expect(new Set(polls).size).toBe(1);
    bench.stop.abort();
  });

  test("joins a customer once when its state could not be opened at first and its credential changes again", async () => {
    const bench = new Bench(1);
    bench.unbuildable.set("customer-1", failureOf("credential-missing", { when: "never" }, "sign-in"));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(20_000);
    bench.unbuildable.clear();
    bench.unopenable.set("customer-1", failureOf("state-unwritable"));
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(20_000);
    expect(bench.sink.healths.at(-1)?.streams[0]?.failure).toBe("state-unwritable");
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(21_000);
    bench.unopenable.clear();
    await bench.clock.advance(2 * MINUTE);
    expect(collector.summary()).toHaveLength(1);
    expect(bench.sink.sent).toHaveLength(1);
    expect(bench.sink.healths.at(-1)?.streams[0]?.failure).toBeNull();
    bench.stop.abort();
  });

  test("joins a customer whose second stream's state could not be opened at first", async () => {
    const bench = new Bench(1);
    bench.moreStreams.set("customer-1", [new SimStream(bench.clock, { name: "incidents", budgetKey: "more" })]);
    bench.unbuildable.set("customer-1", failureOf("credential-missing", { when: "never" }, "sign-in"));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(20_000);
    bench.unbuildable.clear();
    bench.unopenable.set("customer-1 incidents", failureOf("state-unwritable"));
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(20_000);
    expect(bench.sink.healths.at(-1)?.streams[0]?.failure).toBe("state-unwritable");
    bench.unopenable.clear();
    await bench.clock.advance(2 * MINUTE);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
    bench.stop.abort();
  });

  test("admits a customer that was refused at start, and its health goes from misconfigured to ok", async () => {
    const bench = new Bench(1);
    const [first] = bench.stanzas as [Stanza];
    bench.unbuildable.set(first.name, failureOf("ca-file-unusable", { when: "never" }));
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(10 * MINUTE);
    expect(bench.looks.at(-1)).toEqual(["customer-1"]);
    bench.unbuildable.clear();
    bench.changes = { ready: [first], refused: [] };
    await bench.clock.advance(MINUTE);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
    const states = bench.sink.healths.map(({ streams: [stream] }) => stream?.state);
    expect([states[0], states.at(-1)]).toEqual(["misconfigured", "ok"]);
    const healths = bench.sink.healths.length;
    await bench.clock.advance(2 * HOUR);
    expect(bench.sink.healths.slice(healths).map(({ streams: [stream] }) => stream?.state)).toEqual(["ok", "ok"]);
    bench.stop.abort();
  });

  test("admits a customer whose settings named a file that was not there, and tells the output of it", async () => {
    const bench = new Bench(0, [stanzaOf(7)]);
    const [seventh] = bench.stanzas as [Stanza];
    const failure = failureOf("settings", { when: "never" });
    const id = seventh.tenantId as TenantId;
    bench.refused = [{ stanza: seventh, failure }];
    bench.misconfigured = [{ name: seventh.name, tenantName: seventh.tenantName, tenantId: id, failure }];
    const admitted: string[] = [];
    Object.assign(bench.sink, { admit: ({ name }: Stanza) => admitted.push(name) });
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(1_000);
    bench.changes = { ready: [seventh], refused: [] };
    await bench.clock.advance(MINUTE);
    expect(admitted).toEqual(["customer-7"]);
    expect(bench.sink.sent.map(({ id: sent }) => sent)).toEqual(["customer-7-alert"]);
    bench.stop.abort();
  });

  test("that cannot be used leaves a healthy customer its old one, unless it was removed", async () => {
    const bench = new Bench(2);
    bench.unrenewable.set("customer-1", failureOf("endpoint-changed", { when: "never" }, "sign-in"));
    bench.unrenewable.set("customer-2", failureOf("credential-missing", { when: "never" }, "sign-in"));
    const collector = await bench.open();
    void collector.run();
    bench.changes = { ready: bench.stanzas, refused: [] };
    await bench.clock.advance(MINUTE);
    expect([...bench.withheld.keys()]).toEqual(["customer-2"]);
    expect(bench.said("warn")).toEqual([
      "a changed credential cannot be used; the one in use stays in use until the next start",
    ]);
    bench.stop.abort();
  });

  test("joins a customer whose tenant is still asked for, with the new one only", async () => {
    const answers: (() => void)[] = [];
    const contoso = parseStanzas(
      [{ name: "contoso", values: { tenant_id: "contoso.example", client_id: stanzaOf(1).tenantId } }],
      { host: "splunk", nowMs: T0 },
    ).stanzas as [Stanza];
    const bench = new Bench(0, contoso);
    bench.later.set("contoso", () => new Promise<void>((resolve) => answers.push(resolve)));
    const collector = await bench.open();
    void collector.run();
    bench.changes = { ready: contoso, refused: [] };
    await bench.clock.advance(MINUTE);
    expect(answers).toHaveLength(2);
    for (const answer of answers) answer();
    await bench.clock.advance(MINUTE);
    expect(collector.summary()).toHaveLength(1);
    expect(bench.sink.sent).toHaveLength(1);
    bench.stop.abort();
  });
});

test("a health event leaves with its commands as they run on this host", async () => {
  const bench = new Bench(0);
  const nextStep = "Run `defender-mssp arcsight check`.";
  const failure = new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: "It is wrong.",
    nextStep,
  });
  bench.misconfigured = [{ name: "contoso", tenantName: "contoso", tenantId: "", failure }];
  void (await bench.open()).run();
  await bench.clock.advance(MINUTE);
  expect(bench.sink.healths[0]?.streams[0]?.next_step).toBe("Run `./defender-mssp arcsight check`.");
  bench.stop.abort();
});

describe("an output that accepts events again", () => {
  const askedAt = (bench: Bench, name: string) =>
    (bench.streams.get(name) as SimStream).askedAtMs.map((atMs) => (atMs - T0) / 1_000);

  /** Customers whose events an output refused for two hours. */
  async function refusedFor2Hours(customers: number, code: FailureCode = "output-full") {
    const bench = new Bench(customers);
    const output: { isRefusing: boolean; accepts: (stanzas?: ReadonlySet<string>) => void } = {
      isRefusing: true,
      accepts: () => undefined,
    };
    bench.sink.break = () => (output.isRefusing ? { arrives: 0, failure: failureOf(code) } : undefined);
    bench.destination = { onAccepting: (listener) => (output.accepts = listener) };
    const collector = await bench.open();
    void collector.run();
    await bench.clock.advance(2 * HOUR + 7_000);
    expect(bench.sink.sent).toEqual([]);
    return { bench, output };
  }

  test("gets those that it refused at once, and no customer waits up to a quarter of an hour for it", async () => {
    const { bench, output } = await refusedFor2Hours(2);
    output.isRefusing = false;
    output.accepts();
    await bench.clock.advance(1_000);
    expect(bench.sink.sent.map(({ id }) => id).toSorted()).toEqual(["customer-1-alert", "customer-2-alert"]);
    bench.stop.abort();
  });

  test("gets at once what it refused in a round that had not ended yet", async () => {
    const { bench, output } = await refusedFor2Hours(1);
    const stream = bench.streams.get("customer-1") as SimStream;
    stream.answerTakesMs = 500;
    output.accepts();
    await bench.clock.advance(200);
    // The round that this began has not been refused yet.
    output.accepts();
    await bench.clock.advance(200);
    const asked = askedAt(bench, "customer-1").length;
    bench.sink.break = () => {
      if (!output.isRefusing) return undefined;
      output.isRefusing = false;
      return { arrives: 0, failure: failureOf("output-full") };
    };
    await bench.clock.advance(5_000);
    expect(askedAt(bench, "customer-1").length).toBeGreaterThan(asked);
    expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
    bench.stop.abort();
  });

  test("wakes the customers whose events it gets, and of these only those that wait for an output", async () => {
    const { bench, output } = await refusedFor2Hours(3);
    (bench.streams.get("customer-2") as SimStream).fault = () => failureOf("service-error");
    await bench.clock.advance(HOUR);
    const before = bench.stanzas.map(({ name }) => askedAt(bench, name).length);
    output.accepts(new Set(["customer-1", "customer-2"]));
    await bench.clock.advance(1_000);
    const since = bench.stanzas.map(({ name }, i) => askedAt(bench, name).length - (before[i] as number));
    expect(since.map((times) => times > 0)).toEqual([true, false, false]);
    bench.stop.abort();
  });

  test("that refuses again makes the waits grow on: it is not asked at each event that it accepts", async () => {
    const { bench, output } = await refusedFor2Hours(1);
    output.accepts();
    await bench.clock.advance(1_000);
    const before = askedAt(bench, "customer-1").length;
    await bench.clock.advance(11 * MINUTE);
    expect(askedAt(bench, "customer-1")).toHaveLength(before);
    bench.stop.abort();
  });

  test.each(["output-broken", "fleet-unsettled", "fleet-refused", "defect"] as const)(
    "is given at once what waited after %s",
    async (code) => {
      const { bench, output } = await refusedFor2Hours(1, code);
      output.isRefusing = false;
      output.accepts(new Set(["customer-1"]));
      await bench.clock.advance(1_000);
      expect(bench.sink.sent.map(({ id }) => id)).toEqual(["customer-1-alert"]);
      bench.stop.abort();
    },
  );

  test.each([
    ["as one", [undefined]],
    ["lane by lane", [0, 1, 2, 3].map((lane) => (customer: number) => customer % 4 === lane)],
  ])("and that 120 customers wait for is given the events of 50 customers a second, %s", async (_, lanes) => {
    const { bench, output } = await refusedFor2Hours(120);
    output.isRefusing = false;
    const names = bench.stanzas.map(({ name }) => name);
    for (const isOf of lanes)
      output.accepts(isOf === undefined ? undefined : new Set(names.filter((_name, i) => isOf(i))));
    await bench.clock.advance(1_000);
    expect(bench.sink.sent.length).toBeGreaterThan(40);
    expect(bench.sink.sent.length).toBeLessThanOrEqual(51);
    await bench.clock.advance(2_000);
    expect(bench.sink.sent).toHaveLength(120);
    bench.stop.abort();
  });
});

describe("a single round", () => {
  const signIn = failureOf("consent-missing", { when: "later" }, "sign-in");
  test.each([
    ["nothing failed", [], EXIT.done],
    ["one of two customers failed", ["customer-1"], EXIT.someCustomers],
    ["every customer failed", ["customer-1", "customer-2"], EXIT.signIn],
  ])("exits as the contract says when %s", async (_, failing, code) => {
    const bench = new Bench(2);
    for (const name of failing) (bench.streams.get(name) as SimStream).fault = () => signIn;
    const collector = await bench.open();
    await collector.round();
    expect((await collector.close()).exitCode).toBe(code);
  });

  test.each([
    ["one of two customers cannot be built", ["customer-1"], EXIT.someCustomers],
    ["no customer can be built", ["customer-1", "customer-2"], EXIT.signIn],
  ])("exits as the contract says when %s", async (_, failing, code) => {
    const bench = new Bench(2);
    for (const name of failing) bench.unbuildable.set(name, signIn);
    const collector = await bench.open();
    await collector.round();
    expect((await collector.close()).exitCode).toBe(code);
  });

  test("that an output refused exits for the output, whoever else was collected", async () => {
    const bench = new Bench(2);
    bench.sink.break = ([first]) =>
      first?.stanza === "customer-1" ? { arrives: 0, failure: failureOf("output-full") } : undefined;
    const collector = await bench.open();
    await collector.round();
    expect((await collector.close()).exitCode).toBe(EXIT.host);
  });

  test.each([
    ["stays one while no connection breaks", 0, 1],
    ["is repeated after a connection broke", 1, 2],
    ["is repeated three times at most, however often connections break", Number.POSITIVE_INFINITY, 4],
  ])("%s", async (_, breaks, rounds) => {
    const bench = new Bench(1);
    const collector = await bench.open();
    let left = breaks;
    const stream = bench.streams.get("customer-1") as SimStream;
    stream.fault = () => {
      if (left-- > 0) bench.connectionBroke();
      return undefined;
    };
    await collector.round();
    expect(stream.questions.filter(({ skip }) => skip === undefined)).toHaveLength(rounds);
  });
});

describe("P24 an output that takes nothing, where health has another way out", () => {
  const DOWN = new Failure("output-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: "hec: connection refused.",
    nextStep: "Start Splunk, then run `defender-mssp status`.",
  });
  const HEALTHY = ["ok", null];
  const FAILING = ["failing", "output-unreachable"];

  function benchOf(customers: number) {
    const bench = new Bench(customers);
    const output: { outage: Failure | undefined; customers?: ReadonlySet<string> } = { outage: undefined };
    bench.destination = {
      outages: () => {
        const { outage, customers: those } = output;
        if (outage === undefined) return [];
        const { code, actor, say, nextStep } = outage;
        return [{ output: "hec", ...(those ? { customers: those } : {}), code, actor, say, nextStep }];
      },
    };
    const saidOf = (n: number) =>
      bench.sink.healths
        .filter(({ tenant }) => tenant === `Customer ${n}`)
        .flatMap(({ streams }) => streams.map(({ state, failure }) => [state, failure]));
    return { bench, output, saidOf };
  }

  test("is in the health of each customer within 60 s, hourly while it lasts, and until it is well again", async () => {
    const { bench, output, saidOf } = benchOf(2);
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(5 * MINUTE);
    expect([saidOf(1), saidOf(2)]).toEqual([[HEALTHY], [HEALTHY]]);

    output.outage = DOWN;
    await bench.clock.advance(MINUTE);
    expect([saidOf(1), saidOf(2)]).toEqual([
      [HEALTHY, FAILING],
      [HEALTHY, FAILING],
    ]);
    expect(bench.sink.healths.at(-1)?.streams[0]).toMatchObject({
      actor: "operator",
      say: DOWN.say,
      next_step: "Start Splunk, then run `./defender-mssp status`.",
    });
    expect(collector.status().customers.map(({ streams }) => streams[0]?.failure)).toEqual([DOWN.code, DOWN.code]);
    // The output has logged it; once for each customer would bury everything else.
    expect(bench.said("error")).toEqual([]);

    await bench.clock.advance(HOUR);
    expect(saidOf(1)).toEqual([HEALTHY, FAILING, FAILING]);
    output.outage = undefined;
    await bench.clock.advance(MINUTE);
    expect([saidOf(1).at(-1), saidOf(2).at(-1)]).toEqual([HEALTHY, HEALTHY]);
    expect(saidOf(1)).toHaveLength(4);
    bench.stop.abort();
    await running;
  });

  test("is in the health of the customers whose events it gets, and of no other", async () => {
    const { bench, output, saidOf } = benchOf(2);
    output.customers = new Set(["customer-2"]);
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(MINUTE);
    output.outage = DOWN;
    await bench.clock.advance(MINUTE);
    expect([saidOf(1).at(-1), saidOf(2).at(-1)]).toEqual([HEALTHY, FAILING]);
    bench.stop.abort();
    await running;
  });

  test("is in the first health event when it is down from the start", async () => {
    const { bench, output, saidOf } = benchOf(1);
    output.outage = DOWN;
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(MINUTE);
    expect(saidOf(1).at(-1)).toEqual(FAILING);
    bench.stop.abort();
    await running;
  });

  test("is not said of a short pause, and a customer's own failure is said before it", async () => {
    const { bench, output, saidOf } = benchOf(2);
    bench.streams.get("customer-2")!.fault = () => failureOf("forbidden", { when: "never" });
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(5 * MINUTE);
    for (let pause = 0; pause < 50; pause += 1) {
      output.outage = DOWN;
      await bench.clock.advance(29_000);
      output.outage = undefined;
      await bench.clock.advance(11_000);
    }
    expect(saidOf(1)).toEqual([HEALTHY]);
    const own = saidOf(2).at(-1);
    expect(own).toContain("forbidden");
    output.outage = DOWN;
    await bench.clock.advance(MINUTE);
    expect(saidOf(1).at(-1)).toEqual(FAILING);
    // Its hourly event too.
    await bench.clock.advance(HOUR);
    expect(new Set(saidOf(2).map(([, failure]) => failure))).toEqual(new Set(["forbidden"]));
    bench.stop.abort();
    await running;
  });

  test("is said of a customer that joins meanwhile, and an outage for another reason is said anew", async () => {
    const { bench, output, saidOf } = benchOf(2);
    let resolves = false;
    bench.later.set("customer-2", () => (resolves ? Promise.resolve() : Promise.reject(failureOf("dns-failed"))));
    output.outage = DOWN;
    const collector = await bench.open();
    const running = collector.run();
    await bench.clock.advance(2 * MINUTE);
    expect(saidOf(2)).toEqual([["failing", "dns-failed"]]);
    resolves = true;
    await bench.clock.advance(MINUTE);
    expect(saidOf(2).at(-1)).toEqual(FAILING);
    output.outage = failureOf("output-broken");
    await bench.clock.advance(MINUTE);
    expect([saidOf(1).at(-1), saidOf(2).at(-1)]).toEqual(Array.from({ length: 2 }, () => ["failing", "output-broken"]));
    bench.stop.abort();
    await running;
  });
});
