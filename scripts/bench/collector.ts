import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ScriptProblem } from "../build/project.ts";
import type { Microsoft } from "./microsoft.ts";

/** Settings of every stanza beside its sign-in. */
export type StanzaSettings = Readonly<Record<string, string | number>>;

/** What /proc says of a process; MB are 10^6 bytes. */
export interface Memory {
  readonly peakMb: number;
  readonly anonymousMb: number;
}

/**
 * Counts events in what a collector writes: this program and the plain loop are read by the same reader, so
 * that reading costs both the same. Each event ends with a line break. Its source stands near its beginning,
 * so the rest of it is only looked at for that line break: a reader that searches all of it would take as
 * much of the machine as a part of what is measured.
 */
export class EventCount {
  /** Events of streams; health events are not counted. */
  events = 0;
  readonly #sourceStart: Buffer;
  #tail: Uint8Array = new Uint8Array(0);
  /** The source of the present event has been seen. */
  #isSeen = false;

  /** @param sourceStart how an event's source begins, up to the stream's name. */
  constructor(sourceStart = "<source>defender_mssp:") {
    this.#sourceStart = Buffer.from(sourceStart);
  }

  /** What comes next; a piece may begin and end anywhere. */
  add(piece: Uint8Array): void {
    const { length } = this.#sourceStart;
    const bytes =
      this.#tail.length > 0
        ? Buffer.concat([this.#tail, piece])
        : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    let at = 0;
    for (;;) {
      if (this.#isSeen) {
        const end = bytes.indexOf(NEWLINE, at);
        if (end === -1) break;
        this.#isSeen = false;
        at = end + 1;
      }
      const source = bytes.indexOf(this.#sourceStart, at);
      const stream = source + length;
      if (source === -1 || stream + HEALTH.length > bytes.length) {
        const keptFrom = source === -1 ? Math.max(at, bytes.length - length + 1) : source;
        this.#tail = Uint8Array.from(bytes.subarray(keptFrom));
        return;
      }
      if (HEALTH.compare(bytes, stream, stream + HEALTH.length) !== 0) this.events += 1;
      this.#isSeen = true;
      at = stream;
    }
    this.#tail = new Uint8Array(0);
  }
}

/**
 * The built binary as splunkd starts it: run document on stdin, events into a pipe that is read as fast as
 * they come.
 */
export class Collector {
  private readonly count = new EventCount();
  private readonly process: ChildProcess;
  private readonly complaints: string[] = [];
  private readonly exit: Promise<number>;
  private keptBytes = 0;
  private changed: () => void = () => undefined;

  /**
   * @param keptIn a file that gets every byte, with the times of their arrival beside it as the oracle reads
   *   them.
   */
  constructor(binary: string, home: string, document: string, keptIn?: string) {
    this.process = spawn(binary, [], {
      env: { SPLUNK_HOME: home, PATH: process.env["PATH"] ?? "" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.process.stdin?.write(document);
    this.process.stdout?.on("data", (chunk: Buffer) => {
      this.count.add(chunk);
      this.changed();
      if (keptIn !== undefined) this.keep(keptIn, chunk);
    });
    this.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.complaints.push(text);
      this.complaints.splice(0, this.complaints.length - 50);
    });
    this.exit = new Promise((resolve) => {
      this.process.once("close", (code) => {
        resolve(code ?? 1);
        this.changed();
      });
    });
  }

  get events(): number {
    return this.count.events;
  }

  /**
   * Resolves when `wanted` events have come. Throws ScriptProblem when it ends, or `withinMs` pass, before
   * that.
   */
  async untilEvents(wanted: number, withinMs: number): Promise<void> {
    const deadline = setTimeout(() => this.changed(), withinMs);
    const endMs = performance.now() + withinMs;
    while (this.events < wanted) {
      if (this.process.exitCode !== null || performance.now() >= endMs) {
        await this.stop();
        throw new ScriptProblem(
          `${this.events} of ${wanted} events came within ${withinMs / 1000} s: ${this.complaints.join("").trim().split("\n").at(-1) ?? ""}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
    }
    clearTimeout(deadline);
  }

  memory(): Memory {
    return memoryOf(this.process.pid ?? -1);
  }

  /** Processor time used so far, ms. */
  cpuMs(): number {
    return cpuMsOf(this.process.pid ?? -1);
  }

  /** Bytes it has had written to disk so far: its state, since events go into a pipe. */
  diskBytes(): number {
    return Number(
      /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${this.process.pid}/io`, "utf8"))?.[1] ?? Number.NaN,
    );
  }

  async stop(): Promise<number> {
    if (this.process.exitCode === null) this.process.kill("SIGTERM");
    return this.exit;
  }

  private keep(file: string, chunk: Buffer): void {
    this.keptBytes += chunk.length;
    appendFileSync(file, chunk);
    appendFileSync(`${file}.arrivals`, `{"offset":${this.keptBytes},"at":"${new Date().toISOString()}"}\n`);
  }
}

const NEWLINE = 0x0a;
/** The health event's source is defender_mssp:health:... */
const HEALTH = Buffer.from("health");

/** Processor time a running process has used, its own and the kernel's for it, ms. */
export function cpuMsOf(pid: number): number {
  return cpuMsIn(pid, [11, 12]);
}

/** As `cpuMsOf`, with the processes that it started, those that have ended included. */
export function cpuMsOfTree(pid: number): number {
  const running = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  return running.reduce((sum, one) => sum + cpuMsOf(one), cpuMsIn(pid, [11, 12, 13, 14]));
}

/** @param places of `/proc/<pid>/stat`, counted after the program's name. */
function cpuMsIn(pid: number, places: readonly number[]): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  const ticksPerSecond = 100;
  return (places.reduce((sum, place) => sum + Number(fields[place]), 0) * 1000) / ticksPerSecond;
}

/** VmHWM and RssAnon of a running process. */
export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? Number.NaN);
  return { peakMb: (kib("VmHWM") * 1024) / 1e6, anonymousMb: (kib("RssAnon") * 1024) / 1e6 };
}

/**
 * Lays a SPLUNK_HOME with the simulator's CA where a stanza may name it, and answers the run document for
 * these customers.
 */
export function runDocument(
  home: string,
  microsoft: Microsoft,
  settings: StanzaSettings,
  customers = microsoft.customers,
): string {
  const ca = join(home, "etc/auth/defender_mssp/ca.pem");
  const checkpoints = join(home, "var/lib/splunk/modinputs/defender_mssp");
  mkdirSync(join(ca, ".."), { recursive: true });
  mkdirSync(checkpoints, { recursive: true });
  cpSync(microsoft.ca_file, ca);
  const stanzas = customers.map((customer) => {
    const all = {
      tenant_id: customer.tenant_id,
      client_id: customer.client_id,
      client_secret: customer.client_secret,
      auth: "app",
      login_url: microsoft.login_url,
      graph_url: microsoft.graph_url,
      api_url: microsoft.api_url,
      ca_file: ca,
      ...settings,
    };
    const params = Object.entries(all).map(([name, value]) => `<param name="${name}">${value}</param>`);
    return `<stanza name="defender_mssp://${customer.tenant_name}" app="TA_defender_mssp">${params.join("")}</stanza>`;
  });
  return `<input><server_host>bench</server_host><server_uri>https://127.0.0.1:8089</server_uri><checkpoint_dir>${checkpoints}</checkpoint_dir><configuration>${stanzas.join("")}</configuration></input>`;
}
