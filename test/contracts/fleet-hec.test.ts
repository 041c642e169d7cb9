/**
 * The way of a fleet's packets to HEC, with everything between the store and the network: what a member
 * counts as delivered, and what its successor sends again.
 */
import * as fs from "node:fs";
import { afterEach, describe, expect, test } from "@jest/globals";
import { OutputLanes } from "../../src/collect/fleet/output-lanes.ts";
import { readArcSightConfig } from "../../src/hosts/arcsight/configuration.ts";
import type { Lease } from "../../src/model/fleet.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { openEachOutput } from "../../src/outputs/open-outputs.ts";
import { EVENING_MS, FakeClock } from "../harness/fakes/clock.ts";
import { HEC_TOKEN, HecNetwork } from "../harness/fakes/hec.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { OneStream, STREAM } from "../harness/fakes/one-stream.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { newFolder, portsOf, Receiver } from "../harness/fakes/receiver.ts";

const HEC = "https://hec.example:8088";
const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;

const folders: string[] = [];
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

function world({
  settings = [],
  members = 1,
}: {
  readonly settings?: readonly string[];
  readonly members?: number;
} = {}) {
  const clock = new FakeClock(EVENING_MS);
  const network = new HecNetwork(clock);
  const store = new OneStream(TENANT);
  const config = readArcSightConfig(
    Buffer.from(
      [
        `tenants[0].tenant_id=${TENANT}`,
        "tenants[0].tenant_name=Contoso",
        "tenants[0].client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "outputs[0].type=hec",
        `outputs[0].urls=${HEC}`,
        `outputs[0].token=${HEC_TOKEN}`,
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
  const member = () => {
    const folder = newFolder();
    folders.push(folder);
    const log = new FakeLog();
    const { all, each } = openEachOutput(config.outputs, config.settings.stanzas, folder, {
      ports: portsOf(fs, clock),
      clock,
      random: FakeRandom.always(),
      log,
      dialer: new Receiver(),
      http: network,
      hostName: "collector",
      withoutSpool: true,
      fleet: { member: "one", shards: 256, members: () => members },
    });
    const lanes = new OutputLanes({
      output: "hec-1",
      sink: each()[0] as ReturnType<typeof each>[number],
      store,
      lanes: 1,
      backlogMostBytes: 1_000_000,
      removeWithinMs: 5_000,
      isAlive: () => true,
      accepts: () => undefined,
      clock,
      log,
    });
    ends.push(async () => {
      const closing = Promise.all([lanes.close(0), all.close(0)]);
      clock.endPauses();
      await closing;
    });
    return lanes;
  };
  const lease = (epoch: bigint): Lease => {
    store.epoch = epoch;
    return { shard: 1, epoch };
  };
  return { clock, network, store, member, lease };
}

describe("packets of a fleet on their way to HEC", () => {
  test("count as delivered when the indexer has indexed them, and not when it took them", async () => {
    const { clock, network, store, member, lease } = world();
    network.indexer(HEC, { indexAfterMs: 5_000 });
    store.commit(1, 2);
    member().add(STREAM, lease(1n), "Contoso");
    await clock.pass(4_000);
    expect([network.posts.length, store.progress]).toEqual([1, 0n]);
    await clock.pass(10_000);

    expect([network.posts.length, store.progress, network.indexed.length]).toEqual([1, 1n, 2]);
  });

  test("count as delivered when HEC took them where it acknowledges nothing, and are not sent again", async () => {
    const { clock, network, store, member, lease } = world({ settings: ["outputs[0].ack=off"] });
    network.indexer(HEC, { ack: "off", indexAfterMs: 3_600_000 });
    store.commit(1, 2);
    member().add(STREAM, lease(1n), "Contoso");
    await clock.pass(4_000);
    expect([network.posts.length, store.progress, network.indexed]).toEqual([1, 1n, []]);
    member().add(STREAM, lease(2n), "Contoso");
    await clock.pass(10_000);

    expect(network.posts).toHaveLength(1);
  });

  test("are sent again by the member that takes over, byte for byte, and the old one's late confirmation does not count", async () => {
    const { clock, network, store, member, lease } = world();
    network.indexer(HEC, { indexAfterMs: 8_000 });
    store.commit(1, 2);
    const [old, successor] = [member(), member()];
    old.add(STREAM, lease(1n), "Contoso");
    await clock.pass(3_000);
    // The old one was suspended: its events are on their way, and it knows nothing of the takeover.
    successor.add(STREAM, lease(2n), "Contoso");
    await clock.pass(2_000);
    expect(network.posts).toHaveLength(2);
    await clock.pass(4_000);
    const [first, second] = [network.indexed.slice(0, 2), network.indexed.slice(2)];
    expect([first.length, second, store.progress]).toEqual([2, [], 0n]);
    await clock.pass(15_000);

    expect(store.progress).toBe(1n);
    expect(network.indexed).toEqual([...first, ...first]);
  });

  test("go no faster than this member's part of max_eps, and are given up at once while they wait for that", async () => {
    const { clock, network, store, member, lease } = world({ settings: ["outputs[0].max_eps=20"], members: 10 });
    network.indexer(HEC, { indexAfterMs: 0 });
    for (let n = 1; n <= 200; n += 1) store.commit(n);
    const old = member();
    old.add(STREAM, lease(1n), "Contoso");
    const counts: number[] = [];
    for (let minute = 0; minute < 3; minute += 1) {
      for (let second = 0; second < 20; second += 1) await clock.pass(1_000);
      counts.push(network.indexed.length);
    }

    // Two a second, and a packet may hold more than one second's.
    const steps = counts.map((count, i) => count - (counts[i - 1] ?? 0));
    expect(steps.every((step) => step >= 28 && step <= 56)).toBe(true);
    const sent = network.posts.length;
    let isGone = false;
    void old.remove([STREAM]).then(() => (isGone = true));
    await clock.pass(100);
    expect(isGone).toBe(true);
    await clock.pass(60_000);
    expect(network.posts).toHaveLength(sent);
  });

  test("that a member claims anew while they are on their way are not taken for delivered", async () => {
    const { clock, network, store, member, lease } = world();
    const indexer = network.indexer(HEC, { indexAfterMs: 60_000 });
    store.commit(1);
    const lanes = member();
    lanes.add(STREAM, lease(1n), "Contoso");
    await clock.pass(2_000);
    const removing = lanes.remove([STREAM]);
    await clock.pass(6_000);
    await removing;
    lanes.add(STREAM, lease(2n), "Contoso");
    indexer.restart();
    await clock.pass(200_000);
    expect([store.progress, network.indexed]).toEqual([0n, []]);
    await clock.pass(400_000);

    expect([store.progress, new Set(network.indexed).size]).toEqual([1n, 1]);
  });
});
