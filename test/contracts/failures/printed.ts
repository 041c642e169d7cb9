/**
 * Commands as a host prints them: a real shell splits the line, and the program's own parser takes the words.
 * No command runs.
 */
import { spawnSync } from "node:child_process";
import { expect } from "@jest/globals";
import { placeOf } from "../../../src/main/command-place.ts";
import { commandParser } from "../../../src/main/commands.ts";
import type { CommandPlace } from "../../../src/model/command-line.ts";
import { commandLine, commandLines, commandName, commandsIn } from "../../../src/model/command-line.ts";
import { EXIT, isFailure } from "../../../src/model/failure.ts";
import { FakeLog } from "../../harness/fakes/log.ts";

export const CUSTOMER = `Söhne & "O'Brien" $HOME`;
export const CREDENTIAL = "mssp.main";

const LINUX = { platform: "linux", argv0: "", script: "/snapshot/main.cjs" } as const;
const UNPACKED = { ...LINUX, execPath: "/opt/arcsight/defender-mssp", argv0: "./defender-mssp", environment: {} };
const IN_SPLUNK = {
  ...LINUX,
  execPath: "/opt/splunk é/etc/apps/TA_defender_mssp/linux_x86_64/bin/defender_mssp",
  environment: { SPLUNK_HOME: "/opt/splunk é" },
};

/** Where sentences are printed. */
export const PLACES: Readonly<Record<string, CommandPlace>> = withCredential({
  "the modular input": {
    ...placeOf({ "splunk-uri": "https://127.0.0.1:8089" }, { typed: false, secrets: "splunk" }, IN_SPLUNK),
    customer: () => ({ config: "/opt/splunk é/etc/apps/search/local/inputs.conf" }),
  },
  "doctor in Splunk": placeOf({ config: "local/inputs.conf", "splunk-user": "it's me" }, { typed: true }, IN_SPLUNK),
  "arcsight run as a service": placeOf(
    { config: "/etc/defender mssp/Kunden–alle.properties", state: "/var/lib/défender" },
    { typed: false, secrets: "files" },
    UNPACKED,
  ),
  "a command beside ArcSight": placeOf({ config: "my file.properties" }, { typed: true }, UNPACKED),
  "a command about one customer in flags": placeOf(
    {
      "tenant-id": "contoso.example",
      "client-id": "11111111-1111-4111-8111-111111111111",
      proxy: "http://u:secret@p:1",
    },
    { typed: true },
    UNPACKED,
  ),
});

function withCredential(places: Readonly<Record<string, CommandPlace>>): Readonly<Record<string, CommandPlace>> {
  const customer = (place: CommandPlace) => () => ({ ...place.customer?.(CUSTOMER), credential: CREDENTIAL });
  return Object.fromEntries(
    Object.entries(places).map(([name, place]) => [name, { ...place, customer: customer(place) }]),
  );
}

/** The words as a POSIX shell reads the lines. */
function readByShell(lines: readonly string[]): readonly (readonly string[])[] {
  const script = lines.map((line) => `printf '%s\\0' ${line}; printf '\\n\\0'`).join("\n");
  expect(spawnSync("sh", ["-n"], { input: script, encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
  const { stdout, stderr } = spawnSync("sh", { input: script, encoding: "utf8", env: { HOME: "/home/expanded" } });
  expect(stderr).toBe("");
  return stdout
    .split("\n\0")
    .slice(0, -1)
    .map((words) => words.split("\0").slice(0, -1));
}

/** What a Windows program makes of its command line (CommandLineToArgvW). */
export function readByWindows(line: string): readonly string[] {
  const words: string[] = [];
  let word: string | undefined;
  let isQuoted = false;
  for (const [, slashes = "", quote, other] of line.matchAll(/(\\+(?=")|)(?:(")|([^]))/g)) {
    if (quote === undefined) {
      if (other === " " && !isQuoted) {
        if (word !== undefined) words.push(word);
        word = undefined;
      } else word = `${word ?? ""}${other}`;
      continue;
    }
    word = (word ?? "") + "\\".repeat(Math.floor(slashes.length / 2));
    if (slashes.length % 2 === 1) word += '"';
    else isQuoted = !isQuoted;
  }
  return word === undefined ? words : [...words, word];
}

class Parsed extends Error {
  readonly args: Readonly<Record<string, unknown>>;

  constructor(args: Readonly<Record<string, unknown>>) {
    super("parsed");
    this.args = args;
  }
}

const parsedBefore = new Map<string, Promise<Readonly<Record<string, unknown>> | string>>();

/** What the program's parser makes of the words, or its complaint. The command does not begin. */
export function parse(words: readonly string[]): Promise<Readonly<Record<string, unknown>> | string> {
  const key = JSON.stringify(words);
  const parsed = parsedBefore.get(key) ?? parseAnew(words);
  parsedBefore.set(key, parsed);
  return parsed;
}

async function parseAnew(words: readonly string[]): Promise<Readonly<Record<string, unknown>> | string> {
  const ending = {
    code: EXIT.done,
    commands: commandLines(PLACES["a command beside ArcSight"]!),
    configured: new Map(),
  };
  const parser = commandParser(words, ending, new FakeLog(), []);
  parser.middleware((args) => {
    throw new Parsed(args);
  });
  try {
    await parser.parseAsync();
  } catch (error) {
    if (error instanceof Parsed) return error.args;
    if (isFailure(error)) return error.say;
    throw error;
  }
  throw new Error("the parser neither took the words nor complained");
}

/** What is wrong with the commands of a sentence at a place; empty if all run as printed. */
export async function faultsOf(sentences: readonly string[], place: CommandPlace): Promise<readonly string[]> {
  const commands = sentences.flatMap((sentence) => commandsIn(sentence).map((words) => ({ sentence, words })));
  const mentions = sentences.flatMap((sentence) => mentionsIn(sentence).map((mention) => `only a name: ${mention}`));
  if (commands.length === 0) return mentions;
  const lines = commands.map(({ words }) => commandLine(words, place, CUSTOMER));
  const read = readByShell(lines);
  const faults: string[] = [...mentions];
  for (const [n, { sentence, words }] of commands.entries()) {
    const argv = read[n]!.slice(place.program.length);
    expect(read[n]!.slice(0, place.program.length)).toEqual(place.program);
    if (words[0] === "--help") continue;
    if (commandName(words) === undefined) faults.push(`no command: ${sentence}`);
    const parsed = await parse(argv);
    if (typeof parsed === "string") faults.push(`${parsed}: ${lines[n]}`);
    const placeholder = argv.find((word) => /^[A-Z][A-Z_]{2,}$/.test(word) && word !== "CUSTOMER");
    if (placeholder !== undefined) faults.push(`${placeholder} is not a value: ${lines[n]}`);
  }
  return faults;
}

/** Commands that are named without the program, so that they cannot be pasted. */
function mentionsIn(sentence: string): readonly string[] {
  return [...sentence.matchAll(/`((?:consent-url|token|credential|doctor|register|arcsight) ?[^`=]*)`/g)]
    .map(([, mention = ""]) => mention)
    .filter((mention) => mention !== "credential");
}
