import { chaos } from "../../test/crash/chaos.ts";
import { HISTORY_NAMES } from "../../test/crash/crash.ts";
import { crashMatrix } from "../../test/crash/matrix.ts";
import { MOMENT_NAMES } from "../../test/crash/stage.ts";
import { noteProof } from "../../test/harness/proof.ts";
import type { Bench, Outcome } from "./runs.ts";

/**
 * Row `chaos`: everything at once for `minutes`; how many versions the oracle found lost, stale or wrongly
 * repeated.
 */
export async function chaosForMinutes({ binary, minutes, say }: Bench): Promise<Outcome[]> {
  const seed = Math.floor(Date.now() / 1000) % 1_000_000;
  say(`  seed ${seed}, ${minutes} minutes`);
  const { totals, faults, examples, kills, clockSteps, faultsStruck } = await chaos({
    program: [binary],
    forMs: minutes * 60_000,
    seed,
    report: (sentence) => say(`  ${sentence}`),
  });
  say(
    `  ${kills} kills, ${clockSteps} clock steps, ${faultsStruck} faulty answers; ${totals.shown} versions shown, ${totals.delivered} delivered, ${totals.superseded} superseded, ${totals.replayed} sent again with equal keys`,
  );
  for (const fault of faults) say(`  ${fault}`);
  for (const { fault, what } of examples) say(`    ${fault}: ${what}`);
  noteProof({
    name: "chaos",
    seed,
    counts: {
      minutes,
      kills,
      clock_steps: clockSteps,
      faulty_answers: faultsStruck,
      versions: totals.shown,
      lost: totals.lost,
      stale: totals.stale,
      doubled: totals.duplicated,
    },
  });
  return [zeroOf("chaos", faults.length, "contradictions")];
}

/** Row `crash`: a kill at every request, half answer, 64 KiB read and rename. */
export async function everyCrash({ binary, say }: Bench): Promise<Outcome[]> {
  let count = 0;
  let broken = 0;
  await crashMatrix({
    program: [binary],
    histories: HISTORY_NAMES,
    moments: MOMENT_NAMES,
    report: ({ history, moment, n, faults }) => {
      count += 1;
      if (faults.length === 0) return;
      broken += 1;
      say(`  ${history}, ${moment} ${n}: ${faults.join("; ")}`);
    },
  });
  say(`  ${count} crashes`);
  return [zeroOf("crash", broken, "crashes that lost, staled or wrongly repeated something")];
}

const zeroOf = (name: string, value: number, unit: string): Outcome => ({
  name,
  value,
  unit,
  target: "0",
  holds: value === 0,
  runs: [value],
});
