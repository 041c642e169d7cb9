/**
 * `npm run fuzz -- --minutes N`: throws changed answers at the member scanner and compares with JSON.parse.
 * What they disagree about is saved into the corpus, where scripts/fuzz/corpus.test.ts reads it for ever
 * after. With `--worlds`: the engine in random worlds.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { noteProof } from "../test/harness/proof.ts";
import { runScript, ScriptProblem } from "./build/project.ts";
import { mutated, randomFrom } from "./fuzz/mutate.ts";
import { fuzzReader } from "./fuzz/read-changed.ts";
import { READER_NAMES, READERS } from "./fuzz/readers.ts";
import { disagreement } from "./fuzz/scanner-check.ts";
import { fuzzWorlds, tellWorld } from "./fuzz/worlds.ts";

const HELP = `npm run fuzz -- [--worlds [--most N]] [--minutes N] [--seed N]
npm run fuzz -- --world SEED [--breadth narrow|wide]
npm run fuzz -- --reader NAME|all [--minutes N] [--seed N]

Changes the answers in test/fixtures/fuzz-corpus at random, cuts them into chunks at random, and compares what the member scanner
makes of them with JSON.parse. Stops at the first disagreement (exit 1) and saves it into the corpus.

With --worlds it runs the engine in random worlds instead: lists that grow and change, services, disks, sinks and clocks that fail, crashes and
restarts. Stops at the first world in which something shown was lost, sent twice or out of order (exit 1) and saves its seed.

With --reader it changes what one reader of outside input gets (${READER_NAMES.join(", ")}; all: each for --minutes).
A reader that throws something else than a Failure, repeats a secret, steers a terminal or takes what is not there is found
(exit 1), and its input is saved in test/fixtures/fuzz-readers.

  --minutes N     how long (default 1; fractions are fine)
  --seed N        repeat a run (default: the present time; it is printed)
  --most N        worlds at most, so that the same ones are run on every machine
  --world SEED    one world with its story
  --breadth KIND  of that world: narrow (default; one stream) or wide (several customers and streams)
`;

const OPTIONS = {
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string" },
    worlds: { type: "boolean" },
    most: { type: "string", default: "Infinity" },
    world: { type: "string" },
    breadth: { type: "string", default: "narrow" },
    reader: { type: "string" },
    help: { type: "boolean" },
  },
} as const;
const corpusUrl = new URL("../test/fixtures/fuzz-corpus/", import.meta.url);

function run(minutes: number, seed: number): number {
  const next = randomFrom(seed);
  const corpus = readdirSync(corpusUrl)
    .toSorted()
    .map((name) => new Uint8Array(readFileSync(new URL(name, corpusUrl))));
  process.stdout.write(`fuzz: ${corpus.length} answers, ${minutes} min, seed ${seed}\n`);
  const end = performance.now() + minutes * 60_000;
  let tried = 0;
  while (performance.now() < end) {
    for (let i = 0; i < 200; i++, tried++) {
      const bytes = mutated(corpus, next);
      const cuts = Array.from({ length: Math.floor(next() * 4) }, () => Math.floor(next() * bytes.length)).toSorted(
        (a, b) => a - b,
      );
      const wrong = judged(bytes, cuts);
      if (wrong === undefined) continue;
      const name = `found-${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}.json`;
      writeFileSync(new URL(name, corpusUrl), bytes);
      process.stdout.write(
        `fuzz: after ${tried} answers: ${wrong} (cuts ${cuts.join() || "none"}); saved as test/fixtures/fuzz-corpus/${name}\n`,
      );
      return 1;
    }
  }
  process.stdout.write(`fuzz: ${tried} answers, no disagreement\n`);
  noteProof({ name: "fuzz-scanner", seed, counts: { minutes, answers: tried, disagreements: 0 } });
  return 0;
}

function judged(bytes: Uint8Array, cuts: readonly number[]): string | undefined {
  try {
    return disagreement(bytes, cuts);
  } catch (error) {
    return `the scanner threw ${String(error)}`;
  }
}

await runScript(async () => {
  const { values } = parseArgs(OPTIONS);
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const minutes = Number(values.minutes);
  const seed = values.seed === undefined ? Date.now() % 4_294_967_296 : Number(values.seed);
  const most = Number(values.most);
  const { breadth } = values;
  if (!(minutes > 0) || !(most > 0) || !Number.isInteger(seed) || (breadth !== "narrow" && breadth !== "wide"))
    throw new ScriptProblem(HELP, 2);
  const say = (line: string) => void process.stdout.write(`${line}\n`);
  if (values.reader !== undefined) {
    const chosen = READERS.filter(({ name }) => values.reader === "all" || values.reader === name);
    if (chosen.length === 0) throw new ScriptProblem(HELP, 2);
    for (const reader of chosen) if (!(await fuzzReader(reader, minutes, seed, say))) process.exitCode = 1;
  } else if (values.world !== undefined) {
    const world = Number(values.world);
    if (!Number.isInteger(world)) throw new ScriptProblem(HELP, 2);
    process.exitCode = await tellWorld(world, breadth, say);
  } else {
    process.exitCode = values.worlds === true ? await fuzzWorlds(minutes, most, seed, say) : run(minutes, seed);
  }
});
