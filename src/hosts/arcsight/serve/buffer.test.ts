import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { CONTOSO, deliveriesOf, SAMPLES } from "../../../../test/golden/samples.ts";
import { EVENING_MS, FakeClock } from "../../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../../test/harness/fakes/log.ts";
import { brokenDisk, errno, newFolder, portsOf } from "../../../../test/harness/fakes/receiver.ts";
import { streamHealth } from "../../../../test/harness/stream-health.ts";
import { siemRows } from "../../../format/arcsight/siem-rows.ts";
import type { Delivery, HealthEvent, HugeDelivery } from "../../../model/event.ts";
import { parseInstant, TICKS_PER_MS, TICKS_PER_SECOND } from "../../../model/instant.ts";
import type { Disk } from "../../../stores/disk/disk.ts";
import { ServeBuffer } from "./buffer.ts";
import type { RowKind } from "./rows.ts";

const [ALERT] = deliveriesOf(SAMPLES[0]!);
const [INCIDENT] = deliveriesOf(SAMPLES[1]!);
const STANZAS = ["contoso", "fabrikam"];
const DAY_MS = 86_400_000;

function open(folder: string, clock: FakeClock, disk: Disk = fs, log = new FakeLog()): ServeBuffer {
  const customers = [{ stanza: "contoso" }, { stanza: "fabrikam" }];
  return new ServeBuffer({ folder: join(folder, "serve"), keepDays: 7, customers, ports: portsOf(disk, clock), log });
}

function alert(key: string, stanza = "contoso"): Delivery {
  return { ...ALERT!, key, stanza };
}

interface Row {
  readonly FullId: string;
  readonly LastProcessedTimeUtc: string;
  readonly arrivedAt: string;
  readonly kind: string;
  readonly key: string;
}

async function rows(
  buffer: ServeBuffer,
  {
    after = 0n,
    stanzas = ["contoso"],
    kind = "old",
  }: { after?: bigint; stanzas?: readonly string[]; kind?: RowKind } = {},
): Promise<readonly Row[]> {
  const found = [];
  for await (const { json } of buffer.rows(stanzas, kind, after, await buffer.present())) found.push(JSON.parse(json));
  return found;
}

function ticksOf({ LastProcessedTimeUtc, arrivedAt }: Row): bigint {
  return parseInstant(LastProcessedTimeUtc ?? arrivedAt) as bigint;
}

function filesOf(folder: string): readonly string[] {
  const own = join(folder, "serve", "contoso");
  return fs
    .readdirSync(own)
    .sort()
    .map((name) => join(own, name));
}

const HEALTH: HealthEvent = {
  time: "2026-11-24T19:00:00.0000000Z",
  tenant: CONTOSO.name,
  tenant_id: CONTOSO.id,
  input: "contoso",
  streams: [streamHealth({ lag_s: 3, requests: 1 })],
  credential: null,
  credential_days_left: null,
  version: "0",
};

describe("the buffer that polls are answered from", () => {
  test("gives each row an arrival time of its own, later than all before, over restarts and steps of the clock", async () => {
    const clock = new FakeClock(EVENING_MS);
    const folder = newFolder();
    await open(folder, clock).write([alert("k1"), alert("k2")]);
    clock.now -= 3_600_000;
    const buffer = open(folder, clock);
    await buffer.write([alert("k3")]);
    await buffer.write([alert("k4", "fabrikam")]);

    const times = (await rows(buffer, { stanzas: STANZAS })).map(ticksOf);

    expect(times.length).toBeGreaterThan(3);
    expect(times.every((time, i) => i === 0 || time > (times[i - 1] as bigint))).toBe(true);
  });

  test("gives no row a whole millisecond, and begins each flush in a millisecond of its own", async () => {
    const buffer = open(newFolder(), new FakeClock(EVENING_MS));
    await buffer.write([alert("k1")]);
    const first = (await rows(buffer)).map(ticksOf).at(-1) as bigint;
    await buffer.write(Array.from({ length: 6_000 }, (_, i) => alert(`m${i}`)));

    const times = (await rows(buffer)).map(ticksOf);

    expect(times.filter((time) => time % TICKS_PER_MS === 0n)).toEqual([]);
    expect((times.find((time) => time > first) as bigint) / TICKS_PER_MS).toBeGreaterThan(first / TICKS_PER_MS);
  });

  test("keeps customers and kinds of rows apart, and has no rows of the old form for incidents", async () => {
    const buffer = open(newFolder(), new FakeClock(EVENING_MS));
    await buffer.write([{ ...INCIDENT!, stanza: "contoso" }]);
    await buffer.write([alert("k1", "fabrikam")]);
    await buffer.health(HEALTH);

    expect(await rows(buffer)).toEqual([]);
    expect((await rows(buffer, { stanzas: ["fabrikam"] })).length).toBeGreaterThan(0);
    expect(await rows(buffer, { kind: "incidents" })).toMatchObject([{ kind: "incident", tenantName: CONTOSO.name }]);
    expect(await rows(buffer, { kind: "alerts" })).toEqual([]);
    expect((await rows(buffer, { kind: "events", stanzas: STANZAS })).map(({ kind }) => kind)).toEqual([
      "incident",
      "alert",
      "health",
    ]);
    expect(await rows(buffer, { kind: "health" })).toMatchObject([
      { kind: "health", arrivedAt: expect.stringMatching(/^2026-11-24T19:00:00\.\d{7}Z$/) },
    ]);
  });

  test("gives equal FullIds to equal versions, and does not write a version that it has again", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    await open(folder, clock).write([alert("k1")]);
    const buffer = open(folder, clock);
    const once = await rows(buffer);
    await buffer.write([alert("k1")]);
    expect(await rows(buffer)).toEqual(once);

    await buffer.write([alert("k2")]);
    const twice = await rows(buffer);
    expect(twice.slice(once.length).map(({ FullId }) => FullId)).toEqual(once.map(({ FullId }) => FullId));
  });

  test("loses only one event by a kill at any byte of its rows, says so, and gets it again whole", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    await open(folder, clock).write([alert("k1")]);
    const [file] = filesOf(folder);
    const whole = fs.readFileSync(file as string);
    await open(folder, clock).write([alert("k2")]);
    const both = fs.readFileSync(file as string);
    const before = await rows(open(folder, clock));

    for (let length = whole.length; length < both.length; length += 97) {
      fs.writeFileSync(file as string, both.subarray(0, length));
      const log = new FakeLog();
      const buffer = open(folder, clock, fs, log);
      expect(await rows(buffer)).toEqual(before.slice(0, before.length / 2));
      expect(log.texts.length).toBe(length === whole.length ? 0 : 1);
      await buffer.write([alert("k1"), alert("k2")]);
      expect(await rows(buffer)).toHaveLength(before.length);
      expect(await rows(open(folder, clock))).toHaveLength(before.length);
    }
  });

  test("drops an event in which a power cut left a hole", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    const buffer = open(folder, clock);
    await buffer.write([alert("k1")]);
    await buffer.write([alert("k2")]);
    const kept = (await rows(buffer)).length / 2;
    const [file] = filesOf(folder);
    const bytes = fs.readFileSync(file as string);
    bytes.fill(0, bytes.length - 900, bytes.length - 700);
    fs.writeFileSync(file as string, bytes);

    expect(await rows(open(folder, clock))).toHaveLength(kept);
  });

  test("accepts nothing on a full disk, not even after a restart, and the group comes again whole", async () => {
    const broken = brokenDisk();
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    const buffer = open(folder, clock, broken.disk);
    await buffer.write([alert("k1")]);
    const one = (await rows(buffer)).length;

    broken.failing = { fdatasync: () => errno("ENOSPC") };
    await expect(buffer.write([alert("k2"), alert("k3", "fabrikam")])).rejects.toMatchObject({ code: "output-full" });
    expect(await rows(open(folder, clock), { stanzas: STANZAS })).toHaveLength(one);
    broken.failing = { fdatasync: () => errno("ENOSPC"), ftruncateSync: () => errno("EIO") };
    await expect(buffer.write([alert("k2")])).rejects.toMatchObject({ code: "output-full" });
    broken.failing = { ftruncateSync: () => errno("EIO") };
    await expect(buffer.write([alert("k2")])).rejects.toMatchObject({ code: "output-broken" });
    broken.failing = {};
    await buffer.write([alert("k2")]);

    expect(await rows(buffer)).toHaveLength(2 * one);
  });

  test("waits for the flush under way, so that a poller that continues from the time of its own request misses nothing", async () => {
    const clock = new FakeClock(EVENING_MS);
    const buffer = open(newFolder(), clock);
    const writing = buffer.write([alert("k1")]);
    await Promise.resolve();
    await Promise.resolve();
    clock.now += 5;
    expect((await rows(buffer)).length).toBeGreaterThan(0);
    await writing;
  });

  test("makes a folder that vanished anew", async () => {
    const folder = newFolder();
    const buffer = open(folder, new FakeClock(EVENING_MS));
    await buffer.write([alert("k1")]);
    const one = (await rows(buffer)).length;
    fs.rmSync(join(folder, "serve"), { recursive: true });
    expect(await rows(buffer)).toEqual([]);
    await buffer.write([alert("k2")]);
    expect(await rows(buffer)).toHaveLength(one);
  });

  test("deletes what is older than it keeps, day by day", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    const buffer = open(folder, clock);
    for (let day = 0; day < 20; day += 1) {
      await buffer.write([alert(`day${day}`)]);
      clock.now += DAY_MS;
    }

    const text = filesOf(folder)
      .map((file) => fs.readFileSync(file, "utf8"))
      .join("");
    expect(text).not.toContain(" day10\n");
    expect(text).toContain(" day13\n");
  });

  test("does not read the files for a poll that finds nothing new, also after a restart", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    const first = open(folder, clock);
    await first.write([{ ...INCIDENT!, stanza: "contoso" }]);
    await first.write([alert("k1")]);
    const [incident] = await rows(first, { kind: "incidents" });
    for (const again of [false, true]) {
      let opened = 0;
      const broken = brokenDisk();
      const buffer = again ? open(folder, clock, broken.disk) : open(newFolder(), clock, broken.disk);
      if (!again) {
        await buffer.write([{ ...INCIDENT!, stanza: "contoso" }]);
        await buffer.write([alert("k1")]);
      }
      const after = again ? ticksOf(incident!) : await buffer.present();
      broken.failing = {
        openSync: () => {
          opened += 1;
          return undefined;
        },
      };
      expect(await rows(buffer, { kind: "incidents", after })).toEqual([]);
      expect({ again, opened }).toEqual({ again, opened: 0 });
    }
  });

  test("finds the first row later than any time, in files of any size", async () => {
    const folder = newFolder();
    const clock = new FakeClock(EVENING_MS);
    const buffer = open(folder, clock);
    for (let i = 0; i < 40; i += 1) {
      await buffer.write(Array.from({ length: 40 }, (_, j) => alert(`k${i}-${j}`)));
      clock.now += 1_000;
    }
    const all = (await rows(buffer)).map(ticksOf);
    expect(all).toHaveLength(40 * 40 * siemRows(ALERT!, "").length);
    expect(filesOf(folder).length).toBeGreaterThan(1);

    await fc.assert(
      fc.asyncProperty(fc.nat(all.length - 1), fc.constantFrom(-1n, 0n, 1n), async (i, off) => {
        const after = (all[i] as bigint) + off;
        expect((await rows(buffer, { after })).length).toBe(all.filter((time) => time > after).length);
      }),
      { numRuns: 25 },
    );
  });
});

/** How pollers make the next start time of the last row they saw. */
const MOVES: Readonly<Record<string, (last: bigint) => bigint>> = {
  exact: (last) => last,
  "cut to milliseconds": (last) => (last / TICKS_PER_MS) * TICKS_PER_MS,
  "milliseconds and one": (last) => (last / TICKS_PER_MS + 1n) * TICKS_PER_MS,
  "cut to seconds": (last) => (last / TICKS_PER_SECOND) * TICKS_PER_SECOND,
};

type Step =
  | { readonly do: "write"; readonly keys: readonly (readonly [number, string])[] }
  | { readonly do: "poll" | "wait" | "clock back" | "restart" | "settle" };

const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      keys: fc.array(fc.tuple(fc.nat(12), fc.constantFrom(...STANZAS)), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: "poll" as const }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      { do: "wait" as const },
      { do: "clock back" as const },
      { do: "restart" as const },
      { do: "settle" as const },
    ),
  },
);

test("a poller that moves by the rows' time sees each row, and equal ids for repeats, in any order and over restarts and clock steps", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(MOVES)),
      fc.array(STEP, { minLength: 4, maxLength: 40 }),
      async (how, steps) => {
        const clock = new FakeClock(EVENING_MS);
        const folder = newFolder();
        let buffer = open(folder, clock);
        const seen = new Map<string, string>();
        let after = 0n;
        let pending: Promise<unknown>[] = [];
        const poll = async (): Promise<void> => {
          for (const row of await rows(buffer, { after, stanzas: STANZAS })) {
            expect(row.FullId).toBe(seen.get(row.LastProcessedTimeUtc) ?? row.FullId);
            seen.set(row.LastProcessedTimeUtc, row.FullId);
            after = MOVES[how]!(ticksOf(row));
          }
        };
        for (const step of steps) {
          if (step.do === "write") pending.push(buffer.write(step.keys.map(([n, stanza]) => alert(`k${n}`, stanza))));
          else if (step.do === "poll") pending.push(poll());
          else if (step.do === "wait") clock.now += 7;
          else if (step.do === "clock back") clock.now -= 3_000;
          else {
            await Promise.all(pending);
            pending = [];
            if (step.do === "restart") buffer = open(folder, clock);
          }
        }
        await Promise.all(pending);
        await poll();
        expect(Array.from(seen.keys()).sort()).toEqual(
          (await rows(buffer, { stanzas: STANZAS })).map((row) => row.LastProcessedTimeUtc),
        );
        fs.rmSync(folder, { recursive: true });
      },
    ),
    { numRuns: 60 },
  );
});

test("a record too large to be held is answered once to both kinds of pollers, with its small members", async () => {
  const log = new FakeLog();
  const buffer = open(newFolder(), new FakeClock(EVENING_MS), fs, log);
  const evidence = Array.from({ length: 9 }, () => ({ url: "u".repeat(10_000) }));
  const text = JSON.stringify({ id: "huge", title: "Ransomware was stopped", evidence, severity: "high" });
  const huge: HugeDelivery = { ...alert("k1"), record: { kind: "alert", id: "huge", updated: ALERT!.record.updated } };
  async function* pieces() {
    for (let at = 0; at < text.length; at += 5_000) yield Buffer.from(text.slice(at, at + 5_000));
  }
  await buffer.writeHuge(huge, pieces());
  await buffer.writeHuge({ ...huge, found: "replay" }, pieces());

  expect(await rows(buffer)).toEqual([
    expect.objectContaining({ AlertId: "huge", AlertTitle: "Ransomware was stopped" }),
  ]);
  expect(await rows(buffer, { kind: "alerts" })).toEqual([
    expect.objectContaining({
      id: "huge",
      title: "Ransomware was stopped",
      evidenceCount: 9,
      evidenceLeftOut: 9,
      key: "k1",
      found: "poll",
    }),
  ]);
  expect(log.texts[0]).toContain("evidence (9 items");
});
