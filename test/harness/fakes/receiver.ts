import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Failure } from "../../../src/model/failure.ts";
import type { Clock } from "../../../src/model/ports.ts";
import type { Connection, DatagramConnection, Dialer, Target } from "../../../src/outputs/connection.ts";
import type { Batch } from "../../../src/outputs/output.ts";
import type { Disk, DiskPorts } from "../../../src/stores/disk/disk.ts";

export function newFolder(): string {
  return fs.mkdtempSync(join(tmpdir(), "arcsight-"));
}

/** The real disk, on which named calls can be made to fail. */
export function brokenDisk(): {
  readonly disk: Disk;
  failing: Partial<Record<keyof Disk, (path: unknown) => NodeJS.ErrnoException | undefined>>;
} {
  const state = { failing: {} as Partial<Record<keyof Disk, (path: unknown) => NodeJS.ErrnoException | undefined>> };
  const disk = new Proxy(fs, {
    get(target, name: keyof Disk) {
      const real = (target as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
      if (typeof real !== "function") return real;
      return (...args: unknown[]) => {
        const error = state.failing[name]?.(args[0]);
        if (error === undefined) return real(...args);
        const done = args.at(-1);
        if (typeof done !== "function") throw error;
        setImmediate(() => (done as (error: Error) => void)(error));
        return undefined;
      };
    },
  });
  return {
    disk,
    get failing() {
      return state.failing;
    },
    set failing(next) {
      state.failing = next;
    },
  };
}

export function errno(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

export function portsOf(disk: Disk, clock: Clock): DiskPorts {
  return { disk, clock, platform: "linux" };
}

/** Lines `one`, `two` as a batch, each an event whose key is its text. */
export function batchOf(...lines: string[]): Batch {
  const ends: number[] = [];
  let at = 0;
  for (const line of lines) {
    at += Buffer.byteLength(line) + 1;
    ends.push(at);
  }
  return { bytes: Buffer.from(lines.map((line) => `${line}\n`).join("")), keys: lines, ends };
}

/** A receiver that can be down, slow, or disconnect. */
export class Receiver implements Dialer {
  /** All that arrived, over all connections. */
  text = "";
  up = true;
  /** Accepts nothing while set. */
  stalled = false;
  /** What the operating system has taken and the receiver never gets. */
  swallows = false;
  /** Resolves when it has taken what it was just sent. */
  taking: (bytes: number) => Promise<void> = () => Promise.resolve();
  /** Does not close its side when the sender closes its own. */
  hangs = false;
  connections = 0;
  attempts = 0;
  targets: Target[] = [];
  #break: ((why: Failure) => void) | undefined;

  async connect(target: Target): Promise<Connection> {
    this.attempts += 1;
    this.targets.push(target);
    if (!this.up)
      throw new Failure("output-unreachable", {
        actor: "operator",
        retry: { when: "later" },
        say: "connection refused",
      });
    this.connections += 1;
    let cut: Failure | undefined;
    let breakOff: (why: Failure) => void = () => undefined;
    const gone = new Promise<Failure>((resolve) => {
      breakOff = (why) => {
        cut ??= why;
        resolve(why);
      };
    });
    this.#break = breakOff;
    return {
      gone,
      send: async (bytes) => {
        if (cut) throw cut;
        if (this.stalled) throw await gone;
        await this.taking(bytes.length);
        // oxlint-disable-next-line typescript/only-throw-error -- it may be set while the line above waits
        if (cut) throw cut;
        if (!this.swallows) this.text += Buffer.from(bytes).toString("utf8");
      },
      close: () => {
        breakOff(new Failure("output-broken", { actor: "operator", retry: { when: "soon" }, say: "closed" }));
        return Promise.resolve(!this.hangs);
      },
      cut: breakOff,
    };
  }

  /** The connection breaks. */
  reset(): void {
    this.#break?.(new Failure("output-broken", { actor: "operator", retry: { when: "soon" }, say: "it was reset" }));
  }

  datagrams(): DatagramConnection {
    return {
      send: async (datagram) => {
        if (!this.up) throw errno("ECONNREFUSED");
        if (!this.swallows) this.text += `${Buffer.from(datagram).toString("utf8")}\n`;
      },
      close: () => undefined,
    };
  }

  /** The last word of each line that arrived: the event's text. */
  get events(): string[] {
    return this.text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.slice(line.lastIndexOf(" ") + 1));
  }
}
