/**
 * The way of a fleet's packets to a syslog receiver, with everything between the store and the socket: what
 * a member counts as delivered although nothing acknowledges it, and what its successor sends again.
 */
import * as fs from "node:fs";
import { afterEach, describe, expect, test } from "@jest/globals";
import { OutputLanes } from "../../src/collect/fleet/output-lanes.ts";
import { readArcSightConfig } from "../../src/hosts/arcsight/configuration.ts";
import type { Lease } from "../../src/model/fleet.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { openEachOutput } from "../../src/outputs/open-outputs.ts";
import { EVENING_MS, FakeClock } from "../harness/fakes/clock.ts";
import { HecNetwork } from "../harness/fakes/hec.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { OneStream, STREAM } from "../harness/fakes/one-stream.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { newFolder, portsOf, Receiver } from "../harness/fakes/receiver.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const HOUR_MS = 3_600_000;

const folders: string[] = [];
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

function world({
  replayBytes = 1_000_000,
  settings = [],
}: {
  readonly replayBytes?: number;
  readonly settings?: readonly string[];
} = {}) {
  const clock = new FakeClock(EVENING_MS);
  const store = new OneStream(TENANT);
  const config = readArcSightConfig(
    Buffer.from(
      [
        `tenants[0].tenant_id=${TENANT}`,
        "tenants[0].tenant_name=Contoso",
        "tenants[0].client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "outputs[0].type=syslog",
        "outputs[0].host=siem.example",
        "outputs[0].port=6514",
        ...settings,
        "",
      ].join("\n"),
    ),
    "helper.properties",
    {
      nowMs: 0,
      secrets: { file: () => undefined, env: () => undefined, credential: () => undefined },
    },
  );
  /** A process of the fleet. */
  const member = (receiver = new Receiver()) => {
    const folder = newFolder();
    folders.push(folder);
    const log = new FakeLog();
    const { all, each } = openEachOutput(config.outputs, config.settings.stanzas, folder, {
      ports: portsOf(fs, clock),
      clock,
      random: FakeRandom.always(),
      log,
      dialer: receiver,
      http: new HecNetwork(clock),
      hostName: "collector",
      withoutSpool: true,
    });
    const [sink] = each() as [ReturnType<typeof each>[number]];
    const lanes = new OutputLanes({
      output: "syslog-1",
      sink,
      store,
      lanes: 1,
      backlogMostBytes: 1_000,
      replayBytes,
      removeWithinMs: 5_000,
      receiverFailure: () => sink.conditions().find(({ condition }) => condition.state === "down")?.condition.failure,
      isAlive: () => true,
      accepts: () => undefined,
      clock,
      log,
    });
    const close = async () => {
      const closing = (async () => {
        await lanes.close(0);
        await all.close(0);
      })();
      for (let i = 0; i < 20; i += 1) await clock.pass(1_000);
      await closing;
    };
    ends.push(close);
    const commit = (...numbers: readonly number[]) => {
      store.commit(...numbers);
      lanes.committed(STREAM, 100);
    };
    return { lanes, receiver, folder, log, sink, all, close, commit };
  };
  const lease = (epoch: bigint): Lease => {
    store.epoch = epoch;
    return { shard: 1, epoch };
  };
  return { clock, store, member, lease };
}

/** The numbers of the alerts that arrived, in order. */
const arrived = ({ text }: Receiver) =>
  [...text.matchAll(/msg=Alert <(\d+)>|Alert <(\d+)>/g)].map(([, a, b]) => a ?? b);

describe("packets of a fleet on their way to a syslog receiver", () => {
  test("go out once and in order, and count as delivered only an hour after the socket took them", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver, commit } = member();
    store.commit(1, 2);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    commit(3);
    await clock.pass(2_000);
    expect([arrived(receiver), store.progress]).toEqual([["1", "2", "3"], 0n]);
    await clock.advance(HOUR_MS - 10_000);
    expect(store.progress).toBe(0n);
    await clock.pass(15_000);

    expect([arrived(receiver), store.progress]).toEqual([["1", "2", "3"], 2n]);
  });

  test("go out once over UDP, and count as delivered although nobody may have got them", async () => {
    const { clock, store, member, lease } = world({ settings: ["outputs[0].protocol=udp"] });
    const receiver = new Receiver();
    receiver.swallows = true;
    const old = member(receiver);
    store.commit(1);
    old.lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    expect([arrived(receiver), store.progress]).toEqual([[], 1n]);
    receiver.swallows = false;
    const successor = member(receiver);
    successor.lanes.add(STREAM, lease(2n), "Contoso");
    successor.commit(2);
    await clock.pass(2_000);

    expect([arrived(receiver), store.progress]).toEqual([["2"], 2n]);
  });

  test("count as delivered before an hour once replay_mib of events were taken after them", async () => {
    const { clock, store, member, lease } = world({ replayBytes: 1 });
    const { lanes, commit } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    expect(store.progress).toBe(0n);
    commit(2);
    await clock.pass(2_000);

    expect(store.progress).toBe(1n);
  });

  test("are sent again when the connection breaks, with what was written and never arrived", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver, commit, log } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    receiver.swallows = true;
    commit(2);
    await clock.pass(2_000);
    expect(arrived(receiver)).toEqual(["1"]);
    receiver.swallows = false;
    receiver.reset();
    await clock.pass(5_000);

    expect([arrived(receiver), store.progress]).toEqual([["1", "1", "2"], 0n]);
    expect(log.lines.map(({ message }) => message)).toContain(
      "the connection broke: what the receiver may not have read is sent again, with the same keys",
    );
  });

  test("are sent again by whoever takes over after a kill, with equal keys", async () => {
    const { clock, store, member, lease } = world();
    const receiver = new Receiver();
    const old = member(receiver);
    store.commit(1, 2);
    old.lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    // What the killed one's socket held never arrives.
    receiver.swallows = true;
    old.commit(3);
    await clock.pass(2_000);
    receiver.swallows = false;
    const successor = member(receiver);
    successor.lanes.add(STREAM, lease(2n), "Contoso");
    await clock.pass(2_000);

    const lines = receiver.text.split("\n").slice(0, -1);
    expect(arrived(receiver)).toEqual(["1", "2", "1", "2", "3"]);
    const withoutTime = (line: string | undefined) => line?.slice(line.indexOf("CEF:"));
    expect(lines.slice(2, 4).map(withoutTime)).toEqual(lines.slice(0, 2).map(withoutTime));
    // The old one's hour does not move what is another's.
    await clock.advance(HOUR_MS - 3_000);
    expect(store.progress).toBe(0n);
  });

  test("that the receiver has read, because it closed its side, are not sent again by the next owner", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver, commit } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    await Promise.all([lanes.remove([STREAM], { settles: true }), clock.pass(2_000)]);
    expect([store.progress, receiver.connections]).toEqual([1n, 2]);
    // It goes on over the next connection.
    lanes.add(STREAM, lease(2n), "Contoso");
    commit(2);
    await clock.pass(2_000);

    expect(arrived(receiver)).toEqual(["1", "2"]);
  });

  test("that the receiver may not have read, because it did not close its side, are sent again by the next owner", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    receiver.hangs = true;
    await Promise.all([lanes.remove([STREAM], { settles: true }), clock.pass(10_000)]);

    expect(store.progress).toBe(0n);
  });

  test("a customer that is another member's already costs no connection", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    await Promise.all([lanes.remove([STREAM]), clock.pass(2_000)]);

    expect([store.progress, receiver.connections]).toEqual([0n, 1]);
  });

  test("a normal stop confirms what the receiver has read, and leaves nothing for the next start", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, commit, close } = member();
    store.commit(1);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    commit(2);
    await close();

    expect(store.progress).toBe(2n);
  });

  test("wait in the store while the receiver is down, until too much waits: then collection of the customer waits too", async () => {
    const { clock, member, lease } = world();
    const receiver = new Receiver();
    receiver.up = false;
    const { lanes, commit } = member(receiver);
    lanes.add(STREAM, lease(1n), "Contoso");
    for (let n = 1; n <= 9; n += 1) commit(n);
    await clock.pass(5_000);
    await expect(lanes.room(STREAM)).resolves.toBeUndefined();
    commit(10);
    await expect(lanes.room(STREAM)).rejects.toMatchObject({ code: "output-unreachable" });
    receiver.up = true;
    await clock.pass(120_000);

    expect(arrived(receiver)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    await expect(lanes.room(STREAM)).resolves.toBeUndefined();
  });

  test("a connection that breaks in the middle of a packet holds up nobody's collection", async () => {
    const { clock, store, member, lease } = world();
    const { lanes, receiver } = member();
    let breakNow: () => void = () => undefined;
    receiver.taking = () => new Promise((resolve) => (breakNow = resolve));
    store.commit(1, 2);
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    receiver.reset();
    breakNow();
    receiver.taking = () => Promise.resolve();
    await clock.pass(10);
    await expect(lanes.room(STREAM)).resolves.toBeUndefined();
    await clock.pass(5_000);

    expect(arrived(receiver)).toEqual(["1", "2"]);
  });

  test("nothing is written to a spool on disk, and health waits in memory until the receiver is back", async () => {
    const { clock, member } = world();
    const receiver = new Receiver();
    receiver.up = false;
    const { all, folder, sink } = member(receiver);
    const streams = [{ stream: "alerts", state: "failing", failure: "sign-in-refused", actor: "customer" }];
    const event = { time: "2026-11-24T19:00:00Z", tenant: "Contoso", tenant_id: TENANT, input: "Contoso", streams };
    await all.health(event as unknown as Parameters<typeof all.health>[0]);
    await clock.pass(2_000);
    expect(sink.conditions()[0]?.condition.spooledBytes).toBeGreaterThan(0);
    receiver.up = true;
    await clock.pass(120_000);

    expect(receiver.text.split("\n").filter((line) => line.includes("health"))).toHaveLength(1);
    expect(sink.conditions()[0]?.condition.spooledBytes).toBe(0);
    expect(fs.readdirSync(folder, { recursive: true }).filter((name) => String(name).endsWith(".spool"))).toEqual([]);
  });
});
