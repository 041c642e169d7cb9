/**
 * The oracle: compares what Microsoft's side showed with what a collector delivered, any collector.
 *
 *   npm run -s oracle -- --truth URL|FILE --delivered FILE --format splunk|jsonl|cef
 *
 * Exit codes: 0 within the limits, 1 beyond one, 2 the call itself is wrong (arguments, unreadable file,
 * bad truth line).
 */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { pathToFileURL } from "node:url";
import yargs from "yargs";
import { readArrivals } from "./arrivals.ts";
import type { Reader } from "./delivered.ts";
import { Judge, type Judgement } from "./judge.ts";
import { type Excess, excesses, LIMITS } from "./limits.ts";
import { readCef } from "./read-cef.ts";
import { readJsonLines } from "./read-jsonl.ts";
import { readSplunkStream } from "./read-splunk.ts";
import { renderTable } from "./report.ts";
import { readTruth } from "./truth.ts";

export type Format = "splunk" | "jsonl" | "cef";

const READERS: Readonly<Record<Format, Reader>> = { splunk: readSplunkStream, jsonl: readJsonLines, cef: readCef };
const CHUNK_BYTES = 1 << 20;

export interface Question {
  /** File, or URL of the simulator's `/shown` (its control URL will do). */
  readonly truth: string;
  /** Files in the order of delivery; `-` is standard input. */
  readonly delivered: readonly string[];
  readonly format: Format;
  readonly caFile?: string | undefined;
  readonly addedMembers?: readonly string[];
  readonly examples?: number;
}

/** Reads both sides and judges. Rejects with an Error of one sentence when a side cannot be read. */
export async function consult(question: Question): Promise<Judgement> {
  const { chunks: shown, aheadMs } = await openTruth(question.truth, question.caFile);
  const truth = await readTruth(shown);
  const options = {
    format: question.format,
    addedMembers: new Set(question.addedMembers),
    examples: question.examples ?? 5,
  };
  let arrivedAtMs: ((endOffset: number) => number | undefined) | undefined;
  const judge = new Judge(truth, { ...options, arrivedAtMs: (endOffset) => arrivedAtMs?.(endOffset) });
  for (const file of question.delivered) {
    const arrivals = readArrivals(file);
    arrivedAtMs = (endOffset) => {
      const atMs = arrivals?.(endOffset);
      return atMs === undefined ? undefined : atMs + aheadMs;
    };
    const chunks: AsyncIterable<Uint8Array> =
      file === "-" ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES });
    await READERS[question.format](chunks, (event) => judge.take(event));
  }
  return judge.verdict();
}

interface OpenTruth {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** How far the clock of shown_at is ahead of this machine's: a simulator may run in another year. */
  readonly aheadMs: number;
}

async function openTruth(from: string, caFile: string | undefined): Promise<OpenTruth> {
  if (!/^https?:\/\//.test(from)) return { chunks: createReadStream(from, { highWaterMark: CHUNK_BYTES }), aheadMs: 0 };
  const url = new URL(from);
  if (url.pathname === "/") url.pathname = "/shown";
  const ca = caFile === undefined ? undefined : await readFile(caFile);
  const state = await get(new URL("state", url), ca).catch(() => undefined);
  const now = state?.statusCode === 200 ? (JSON.parse(await textOf(state)) as { now?: unknown }).now : undefined;
  const aheadMs = typeof now === "string" ? Date.parse(now) - Date.now() : 0;
  const answer = await get(url, ca);
  if (answer.statusCode !== 200) throw new Error(`${url.href} answered ${answer.statusCode}`);
  return { chunks: answer, aheadMs };
}

function get(url: URL, ca: Buffer | undefined): Promise<http.IncomingMessage> {
  const client = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    client
      .get(url, ca === undefined ? {} : { ca }, resolve)
      .on("error", (error) => reject(new Error(`${url.href} cannot be read: ${error.message}`)));
  });
}

async function textOf(answer: http.IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString("utf8");
}

/** Runs the command line; answers the exit code. */
export async function runOracle(
  argv: readonly string[],
  print: (text: string) => void,
  complain: (text: string) => void,
): Promise<number> {
  const parser = yargs([...argv])
    .scriptName("npm run -s oracle --")
    .usage(
      "$0 --truth URL|FILE --delivered FILE --format splunk|jsonl|cef\n\nCompares what was shown with what was delivered: JSON on stdout, exit 1 above a limit.",
    )
    .option("truth", {
      type: "string",
      demandOption: true,
      describe: "NDJSON of every version shown: a file, or the simulator's control URL",
    })
    .option("delivered", {
      type: "string",
      array: true,
      demandOption: true,
      describe: "what the collector wrote; several in their order; - is stdin",
    })
    .option("format", { choices: ["splunk", "jsonl", "cef"] as const, demandOption: true })
    .option("ca-file", { type: "string", describe: "PEM that vouches for the URL (the simulator's ca_file)" })
    .option("added-member", {
      type: "string",
      array: true,
      default: [],
      describe: "a member that the collector adds to each record, to be left out of the comparison",
    })
    .option("examples", { type: "number", default: 5, describe: "examples kept of each fault" })
    .option("table", { type: "boolean", default: false, describe: "a table for people instead of JSON" })
    .strict()
    .version(false)
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UsageError(message);
    });
  for (const limit of LIMITS)
    parser.option(limit.flag, { type: "number", describe: `${limit.help} (${limit.default ?? "not judged"})` });
  try {
    const args = await parser.parseAsync([...argv], {}, (_error, _argv, output) => {
      if (output) print(`${output}\n`);
    });
    if (args["help"]) return 0;
    const given = Object.fromEntries(
      LIMITS.map((limit) => [limit.flag, (args as Record<string, unknown>)[limit.flag] as number | undefined]),
    );
    for (const [flag, value] of Object.entries(given)) {
      if (value !== undefined && !(value >= 0)) throw new UsageError(`--${flag} needs a number of 0 or more`);
    }
    const judgement = await consult({
      truth: args.truth,
      delivered: args.delivered,
      format: args.format,
      caFile: args["ca-file"],
      addedMembers: args["added-member"],
      examples: args.examples,
    });
    const broken: readonly Excess[] = excesses(judgement.totals, given);
    print(args.table ? renderTable(judgement, broken) : `${JSON.stringify({ ...judgement, exceeded: broken })}\n`);
    return broken.length > 0 ? 1 : 0;
  } catch (error) {
    complain(
      `oracle: ${error instanceof Error ? error.message : String(error)}${error instanceof UsageError ? " (--help shows the options)" : ""}\n`,
    );
    return 2;
  }
}

class UsageError extends Error {
  override name = "UsageError";
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await runOracle(
    process.argv.slice(2),
    (text) => process.stdout.write(text),
    (text) => process.stderr.write(text),
  );
}
