/**
 * Random worlds (test/harness/collect/random-world.ts) until the time is up or one fails. That one is saved,
 * and the tests run it from then on.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { type Breadth, liveThrough, type WorldReport } from "../../test/harness/collect/random-world.ts";
import { noteProof } from "../../test/harness/proof.ts";

/** A world in which the engine once lost, doubled or disordered something. */
export interface SavedWorld {
  readonly seed: number;
  readonly breadth: Breadth;
  /** What went wrong when it was saved. */
  readonly found: string;
}

const savedUrl = new URL("../../test/fixtures/worlds/failed-once.json", import.meta.url);
const REPORTED_EVERY_MS = 60_000;

export function savedWorlds(): readonly SavedWorld[] {
  return JSON.parse(readFileSync(savedUrl, "utf8")) as SavedWorld[];
}

/**
 * Lives through at most `most` worlds from `firstSeed` on, narrow and wide in turn. Returns the exit code: 1
 * when one failed.
 */
export async function fuzzWorlds(
  minutes: number,
  most: number,
  firstSeed: number,
  say: (line: string) => void,
): Promise<number> {
  say(`fuzz: worlds, ${minutes} min, from seed ${firstSeed}`);
  const beganAtMs = performance.now();
  let reportedAtMs = beganAtMs;
  let lived = 0;
  for (; lived < most && performance.now() - beganAtMs < minutes * 60_000; lived++) {
    const seed = firstSeed + Math.floor(lived / 2);
    const breadth: Breadth = lived % 2 === 0 ? "narrow" : "wide";
    const { faults } = await liveThrough(seed, breadth);
    if (faults.length > 0) {
      say(`fuzz: after ${lived} worlds: seed ${seed}, ${breadth}: ${summary(faults)}`);
      say(
        `fuzz: ${save({ seed, breadth, found: summary(faults) })}; its story: npm run fuzz -- --world ${seed} --breadth ${breadth}`,
      );
      return 1;
    }
    if (performance.now() - reportedAtMs < REPORTED_EVERY_MS) continue;
    reportedAtMs = performance.now();
    say(`fuzz: ${lived + 1} worlds, at seed ${seed}, nothing lost, doubled or out of order`);
  }
  say(`fuzz: ${lived} worlds, nothing lost, doubled or out of order`);
  const counts = { minutes, worlds: lived, lost: 0, doubled: 0, out_of_order: 0 };
  noteProof({ name: "fuzz-worlds", seed: firstSeed, counts });
  return 0;
}

/** One world with its story. Returns the exit code: 1 when it failed. */
export async function tellWorld(seed: number, breadth: Breadth, say: (line: string) => void): Promise<number> {
  const { faults, arrived, story }: WorldReport = await liveThrough(seed, breadth);
  for (const line of story) say(line);
  for (const fault of faults) say(fault);
  say(
    `fuzz: seed ${seed}, ${breadth}: ${arrived} events arrived, ${faults.length === 0 ? "nothing wrong" : summary(faults)}`,
  );
  return faults.length === 0 ? 0 : 1;
}

/** `lost 2, duplicated 1`. */
function summary(faults: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const fault of faults) {
    const kind = fault.slice(0, fault.indexOf(" "));
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(", ");
}

function save(world: SavedWorld): string {
  const saved = savedWorlds();
  if (!saved.some((one) => one.seed === world.seed && one.breadth === world.breadth)) {
    const lines = [...saved, world].map((one) => `  ${JSON.stringify(one)}`).join(",\n");
    writeFileSync(savedUrl, `[\n${lines}\n]\n`);
  }
  return "saved in test/fixtures/worlds/failed-once.json";
}
