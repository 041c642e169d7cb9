import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { CONTOSO, deliveriesOf, SAMPLES } from "../../../../test/golden/samples.ts";
import type { Delivery } from "../../../model/event.ts";
import { parseInstant, TICKS_PER_MS } from "../../../model/instant.ts";
import type { Disk } from "../../../stores/disk.ts";
import { brokenDisk, errno, HandClock, newFolder } from "../arcsight.test-kit.ts";
import { ServeBuffer } from "./buffer.ts";
import type { PollQuery } from "./query.ts";

const [ALERT] = deliveriesOf(SAMPLES[0]!);
const [INCIDENT] = deliveriesOf(SAMPLES[1]!);
const ALL: PollQuery = { after: 0n, machineGroups: [], machineTags: [] };

function open(folder: string, clock: HandClock, disk: Disk = fs): ServeBuffer {
  return new ServeBuffer({ folder: join(folder, "serve"), keepDays: 7, customers: [{ stanza: "contoso", tenantName: CONTOSO.name }, { stanza: "fabrikam", tenantName: "Fabrikam" }], disk, clock });
}

function alert(key: string, stanza = "contoso"): Delivery {
  return { ...ALERT!, key, stanza };
}

async function rows(buffer: ServeBuffer, query: Partial<PollQuery> = {}, stanza = "contoso"): Promise<readonly { readonly FullId: string; readonly LastProcessedTimeUtc: string }[]> {
  const found = [];
  for await (const row of buffer.rows(stanza, "old", { ...ALL, ...query })) found.push(JSON.parse(row));
  return found;
}

function ticksOf(row: { readonly LastProcessedTimeUtc: string }): bigint {
  return parseInstant(row.LastProcessedTimeUtc) as bigint;
}

describe("the buffer that polls are answered from", () => {
  test("gives each row an arrival time of its own, later than all before, whatever the clock does", async () => {
    const clock = new HandClock();
    const buffer = open(newFolder(), clock);
    await buffer.write([alert("k1"), alert("k2")]);
    clock.now -= 3_600_000;
    await buffer.write([alert("k3")]);

    const times = (await rows(buffer)).map(ticksOf);

    expect(times.length).toBeGreaterThan(2);
    expect(times.every((time, i) => i === 0 || time > (times[i - 1] as bigint))).toBe(true);
  });

  test("keeps customers apart, and incidents out of the old form", async () => {
    const buffer = open(newFolder(), new HandClock());
    await buffer.write([{ ...INCIDENT!, stanza: "contoso" }]);
    await buffer.write([alert("k1", "fabrikam")]);

    expect(await rows(buffer)).toEqual([]);
    expect((await rows(buffer, {}, "fabrikam")).length).toBeGreaterThan(0);
    const flat: unknown[] = [];
    for await (const row of buffer.rows("contoso", "flat", ALL)) flat.push(JSON.parse(row));
    expect(flat).toMatchObject([{ kind: "incident", tenantName: CONTOSO.name }]);
  });

  test("survives a kill in the middle of an event: that event comes again whole, no other does", async () => {
    const folder = newFolder();
    const clock = new HandClock();
    await open(folder, clock).write([alert("k1")]);
    const before = await rows(open(folder, clock));
    const file = join(folder, "serve", "contoso", fs.readdirSync(join(folder, "serve", "contoso"))[0] as string);
    fs.appendFileSync(file, `${fs.readFileSync(file, "utf8").split("\n")[0]}\nO 00`);

    const buffer = open(folder, clock);
    await buffer.write([alert("k1"), alert("k2")]);

    const after = await rows(buffer);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after).toHaveLength(2 * before.length);
  });

  test("on a full disk takes nothing, and the group comes again whole", async () => {
    const broken = brokenDisk();
    const buffer = open(newFolder(), new HandClock(), broken.disk);
    await buffer.write([alert("k1")]);
    const one = (await rows(buffer)).length;

    broken.failing = { fdatasync: () => errno("ENOSPC") };
    await expect(buffer.write([alert("k2")])).rejects.toMatchObject({ code: "output-full" });
    broken.failing = {};
    await buffer.write([alert("k2")]);

    expect(await rows(buffer)).toHaveLength(2 * one);
  });

  test("lets go of what is older than it keeps, in whole segments", async () => {
    const folder = newFolder();
    const clock = new HandClock();
    const buffer = open(folder, clock);
    const some = (name: string) => Array.from({ length: 150 }, (_, i) => alert(`${name}-${i}`));
    for (let i = 0; i < 6; i += 1) await buffer.write(some(`old${i}`));
    clock.now += 9 * 86_400_000;
    for (let i = 0; i < 6; i += 1) await buffer.write(some(`new${i}`));

    const names = fs.readdirSync(join(folder, "serve", "contoso")).sort();
    const text = fs.readFileSync(join(folder, "serve", "contoso", names[0] as string), "utf8");
    expect(text).not.toContain("C old0-0\n");
    expect((await rows(buffer)).length).toBeGreaterThan(900);
  });

  test("a poller that moves by time misses nothing: exact, cut to milliseconds, with one added, or by his own clock", async () => {
    const moves: Readonly<Record<string, (last: bigint, clock: HandClock) => bigint>> = {
      exact: (last) => last,
      cut: (last) => (last / TICKS_PER_MS) * TICKS_PER_MS,
      "one millisecond added": (last) => (last / TICKS_PER_MS) * TICKS_PER_MS + TICKS_PER_MS - 1n,
    };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...Object.keys(moves)), fc.array(fc.constantFrom("write", "write", "poll", "wait", "clock back"), { minLength: 5, maxLength: 30 }), async (how, steps) => {
        const clock = new HandClock();
        const buffer = open(newFolder(), clock);
        const seen = new Set<string>();
        let after = 0n;
        let written = 0;
        const pending: Promise<unknown>[] = [];
        const poll = async () => {
          for (const row of await rows(buffer, { after })) {
            seen.add(row.LastProcessedTimeUtc);
            after = (moves[how] as (last: bigint, clock: HandClock) => bigint)(ticksOf(row), clock);
          }
        };
        for (const step of steps) {
          if (step === "write") {
            written += 1;
            pending.push(buffer.write([alert(`k${written}`)]));
          } else if (step === "poll") await poll();
          else clock.now += step === "wait" ? 7 : -1_000;
        }
        await Promise.all(pending);
        await poll();
        expect(seen.size).toBe((await rows(buffer)).length);
      }),
      { numRuns: 30 },
    );
  });
});
