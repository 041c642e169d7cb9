import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import type { LaneSink } from "../collect/fleet/delivery-lane.ts";
import { OutputLanes } from "../collect/fleet/output-lanes.ts";
import type { OutputSettings } from "../config/output-settings.ts";
import type { Delivery } from "../model/event.ts";
import type { FleetStore, Lease, PacedReceiver, PacketReceiver, WaitingPacket } from "../model/fleet.ts";
import { CLOSE_LIMIT_MS } from "../outputs/stream-pipe.ts";
import { fleetObstacle } from "./fleet.ts";
import {
  closeOutputs,
  FLEET_STOP_IN_SPLUNK,
  type FleetOutput,
  noting,
  outputNames,
  withTransactionalIds,
} from "./fleet-outputs.ts";

const output = (name: string, more: Partial<FleetOutput> = {}): FleetOutput => ({
  name,
  type: "cef-file",
  profile: "xdr",
  evidence: "none",
  cefVersion: "0",
  ...more,
});
const today = output("outputs[0]");
const retired = output("outputs[1]", { profile: "legacy" });

describe("the names of outputs in a fleet", () => {
  test("stay when another output of the same type is removed, and when two of them change places", () => {
    const [ofToday, ofRetired] = outputNames([today, retired]);

    expect(outputNames([retired])).toEqual([ofRetired]);
    expect(outputNames([retired, today])).toEqual([ofRetired, ofToday]);
    expect(ofToday).not.toBe(ofRetired);
  });

  test("are the same on members that write the same tenants in another order", () => {
    expect(outputNames([output("outputs[0]", { tenants: ["a", "b"] })])).toEqual(
      outputNames([output("outputs[0]", { tenants: ["b", "a"] })]),
    );
  });

  test("begin with the type, by which a changed output finds its progress again", () => {
    expect(outputNames([today])[0]).toMatch(/^cef-file-[0-9a-f]{8}$/);
  });

  test("of two indexers differ, and stay when indexers are added behind the first address", () => {
    const hec = (...urls: readonly string[]) => output("outputs[0]", { type: "hec", urls });
    const [first, second] = outputNames([hec("https://a:8088"), hec("https://b:8088")]);

    expect(outputNames([hec("https://a:8088", "https://c:8088")])).toEqual([first]);
    expect(second).not.toBe(first);
    expect(first).toMatch(/^hec-[0-9a-f]{8}$/);
  });

  test("of two topics of Kafka differ, and stay when brokers are added behind the first address", () => {
    const kafka = (topic: string, ...brokers: readonly string[]) =>
      output("outputs[0]", { type: "kafka", topic, brokers });
    const [first, second] = outputNames([kafka("th-cef", "a:9093"), kafka("other", "a:9093")]);

    expect(outputNames([kafka("th-cef", "a:9093", "b:9093")])).toEqual([first]);
    expect(second).not.toBe(first);
  });

  test("make a transactional id that all members have, unless the settings give one", () => {
    const kafka = (transactionalId?: string) =>
      output("outputs[0]", {
        type: "kafka",
        topic: "th-cef",
        ...(transactionalId === undefined ? {} : { transactionalId }),
      }) as OutputSettings;
    const idOf = (one: OutputSettings) => withTransactionalIds([one], "main")[0]?.transactionalId;

    expect(idOf(kafka())).toBe(`defender-mssp.main.${outputNames([kafka()])[0]}`);
    expect(idOf(kafka("collector"))).toBe("collector");
  });

  test("of two syslog receivers differ, and the names of files do not depend on them", () => {
    const syslog = (host: string, port: number) => output("outputs[0]", { type: "syslog", host, port });
    const [first, second, third] = outputNames([syslog("a", 514), syslog("b", 514), syslog("a", 515)]);

    expect(new Set([first, second, third]).size).toBe(3);
    expect(first).toMatch(/^syslog-[0-9a-f]{8}$/);
    expect(outputNames([output("outputs[0]", { host: "a" })])).toEqual(outputNames([output("outputs[0]")]));
  });

  test("every type of output is allowed", () => {
    const obstacleOf = (one: FleetOutput) =>
      fleetObstacle({ config: { settings: {}, outputs: [one] } } as unknown as Parameters<typeof fleetObstacle>[0], {
        once: false,
        customer: undefined,
      });

    expect(obstacleOf(output("outputs[0]", { type: "hec" }))).toBeUndefined();
    expect(obstacleOf(output("outputs[0]", { type: "kafka" }))).toBeUndefined();
    expect(obstacleOf(output("outputs[0]", { type: "syslog" }))).toBeUndefined();
  });

  test("two outputs that would share one progress are refused before anything is opened", () => {
    const obstacleOf = (outputs: readonly FleetOutput[]) =>
      fleetObstacle({ config: { settings: {}, outputs } } as unknown as Parameters<typeof fleetObstacle>[0], {
        once: false,
        customer: undefined,
      });

    expect(obstacleOf([today, retired])).toBeUndefined();
    expect(obstacleOf([today, retired, output("outputs[2]")])).toBe(
      "outputs[0] and outputs[2] have the same type, profile and tenants, and would share one progress in a fleet; " +
        "change one of them, or remove it",
    );
  });
});

describe("a stop of a member", () => {
  const lease: Lease = { shard: 1, epoch: 5n };
  const never = () => new Promise<never>(() => undefined);

  /** Lanes to an output that has all time in the world, as a member of a fleet has them. */
  function lanesOver(clock: FakeClock, store: Pick<FleetStore, "waiting" | "confirm" | "setAside">, sink: LaneSink) {
    const log = new FakeLog();
    const parts = { output: "hec-1", lanes: 4, backlogMostBytes: 1_000, isAlive: () => true, accepts: () => undefined };
    const lanes = new OutputLanes({ ...parts, sink, store, clock, log });
    lanes.add(1, lease, "Contoso");
    return lanes;
  }
  const packet: WaitingPacket = { stream: 1, seq: 1n, epoch: 1n, bytes: 1, deliveries: [] };
  const HUNG = { waiting: never, confirm: never, setAside: never };

  /** How long closing takes by this clock, and what it says. */
  async function stopOf(clock: FakeClock, closing: Promise<boolean>) {
    const beganMs = clock.monotonicMs();
    let end: { readonly afterMs: number; readonly isWhole: boolean } | undefined;
    void closing.then((isWhole) => (end = { afterMs: clock.monotonicMs() - beganMs, isWhole }));
    await clock.advance(60_000);
    return end;
  }

  test.each([
    ["the database answers nothing", HUNG, async () => 1],
    ["the receiver takes nothing", { ...HUNG, waiting: async () => [packet] }, never],
    ["the database confirms nothing", { ...HUNG, waiting: async () => [packet] }, async () => 1],
  ])("in Splunk ends within the time that the end of the stream has, where %s", async (_, store, write) => {
    const clock = new FakeClock();
    const lanes = lanesOver(clock, store, { write });
    await clock.advance(100);
    const sink = { close: async (withinMs: number) => clock.pause(withinMs) };
    const end = await stopOf(clock, closeOutputs({ lanes: [lanes], sink, clock }, FLEET_STOP_IN_SPLUNK));

    expect(end?.isWhole).toBe(false);
    expect(end?.afterMs).toBeLessThanOrEqual(CLOSE_LIMIT_MS);
  });

  test("takes no longer than what waits, and says that nothing is left on its way", async () => {
    const clock = new FakeClock();
    const confirm: FleetStore["confirm"] = async (_output, sent) => sent.map(({ stream }) => stream);
    const store = { waiting: async () => [], confirm, setAside: async () => undefined };
    const lanes = lanesOver(clock, store, { write: async () => 1 });
    await clock.advance(100);
    const sink = { close: async () => undefined };

    expect(await stopOf(clock, closeOutputs({ lanes: [lanes], sink, clock }, FLEET_STOP_IN_SPLUNK))).toEqual({
      afterMs: 0,
      isWhole: true,
    });
  });

  test("that has no limit waits for the last answer of the database", async () => {
    const clock = new FakeClock();
    const lanes = { close: async () => undefined, ended: () => clock.pause(25_000) };
    const sink = { close: async () => undefined };

    expect(await stopOf(clock, closeOutputs({ lanes: [lanes], sink, clock }, { drainMs: 10_000 }))).toEqual({
      afterMs: 25_000,
      isWhole: true,
    });
  });
});

describe("what is said of deliveries", () => {
  const batch = [{ stanza: "Contoso", key: "1" } as unknown as Delivery];

  test("is each batch once the output has taken it, with what the output says of it", async () => {
    const noted: (readonly Delivery[])[] = [];
    let take: (bytes: number) => void = () => undefined;
    const write = () => new Promise<number>((resolve) => (take = resolve));
    const packets = {} as PacketReceiver;
    const pace = {} as PacedReceiver;
    const sink = noting({ write, packets, pace }, (taken) => noted.push(taken));
    const written = sink.write(batch);

    expect(noted).toEqual([]);
    take(7);
    expect(await written).toBe(7);
    expect(noted).toEqual([batch]);
    expect(sink.packets).toBe(packets);
    expect(sink.pace).toBe(pace);
  });

  test("is nothing of a batch that the output refuses", async () => {
    const noted: (readonly Delivery[])[] = [];
    const sink = noting({ write: () => Promise.reject(new Error("refused")) }, (taken) => noted.push(taken));

    await expect(sink.write(batch)).rejects.toThrow("refused");
    expect(noted).toEqual([]);
  });
});
