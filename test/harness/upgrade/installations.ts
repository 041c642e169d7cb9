/**
 * The two installations of the story: where their files are, and how the program is started there. The script
 * that makes the fixtures and the test that uses them share this.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Ready } from "../simulator/start.ts";
import { commandOf, outputFolders010, type Placeholders, simulatorPlaceholders } from "./fixture-files.ts";
import { STREAMS_IN_ALL } from "./story.ts";

/** Of Splunk, below SPLUNK_HOME. */
export const SPLUNK = {
  inputs: "etc/apps/TA_defender_mssp/local/inputs.conf",
  caFile: "etc/auth/defender_mssp/ca.pem",
  state: "var/lib/splunk/modinputs/defender_mssp",
} as const;

/** Of ArcSight, below the folder that stands for `/`. */
export const ARCSIGHT = {
  settings: "etc/defender-mssp",
  properties: "etc/defender-mssp/defender-mssp.properties",
  caFile: "etc/defender-mssp/ca.pem",
  unit: "etc/systemd/system/defender-mssp-arcsight.service",
  state: "var/lib/defender-mssp",
  events: "var/spool/defender",
  cefFile: "var/spool/defender/defender.cef",
} as const;

/** The CEF file is nearly full of this line when the program begins to write to it. */
export const FOREIGN_LINE =
  "CEF:0|Example|Other program|1.0|note|A line that another program wrote into this file|1|msg=not an event of the story\n";

export function splunkPlaceholders(ready: Ready, home: string): Placeholders {
  return { ...simulatorPlaceholders(ready), home };
}

export function arcsightPlaceholders(ready: Ready, root: string, receiverPort: number): Placeholders {
  return {
    ...simulatorPlaceholders(ready),
    ...outputFolders010(receiverPort, join(root, ARCSIGHT.cefFile)),
    root,
    receiver: `127.0.0.1:${receiverPort}`,
  };
}

/** The simulator makes a new CA each time it starts. Its file belongs where the settings name it. */
export function installCaFile(ready: Ready, path: string): void {
  mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
  copyFileSync(ready.ca_file, path);
}

/** Every stream has completed a walk, as the log says. */
export const hasSettled = (log: readonly string[]): boolean =>
  new Set(log.map((line) => / stream state changed (tenant=.* stream=\S+) .*state=ok/.exec(line)?.[1]).filter(Boolean))
    .size >= STREAMS_IN_ALL;

/** For a machine that is busy: the program is waited for by its log. */
const DEADLINE_MS = 240_000;

/** The program as a service manager runs the unit. */
export class Service {
  readonly log: string[] = [];
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #watchers: (() => void)[] = [];

  constructor(program: string, unit: string, root: string) {
    const { args, credentials } = commandOf(unit, root);
    const folder = join(root, "run/credentials");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [name, file] of Object.entries(credentials)) copyFileSync(file, join(folder, name));
    const env = { HOME: join(root, ARCSIGHT.state), PATH: "/usr/bin:/bin", CREDENTIALS_DIRECTORY: folder };
    this.#child = spawn(program, args, { cwd: "/", env, stdio: ["ignore", "ignore", "pipe"] });
    createInterface({ input: this.#child.stderr! }).on("line", (line) => {
      this.log.push(line);
      this.#look();
    });
    this.ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", (code) => {
        resolve(code);
        this.#look();
      });
    });
  }

  /** Throws with the end of the log when the program ends, or time is up, before `holds` of the log. */
  async until(holds: (log: readonly string[]) => boolean): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#look();
    }, DEADLINE_MS);
    try {
      while (!holds(this.log)) {
        if (isLate || this.#hasEnded) {
          const what = isLate ? `the program was waited for ${DEADLINE_MS} ms in vain` : "the program ended too early";
          throw new Error(`${what}; its log ends:\n${this.log.slice(-15).join("\n")}`);
        }
        await new Promise<void>((resolve) => this.#watchers.push(resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null> {
    this.#child.kill("SIGTERM");
    return this.ended;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  #look(): void {
    for (const watcher of this.#watchers.splice(0)) watcher();
  }
}
