import type { Log } from "../../model/ports.ts";
import { newerFormat } from "./damage.ts";
import { type DiskPorts, readIfThere, removeIfThere, replaceFile } from "./disk.ts";

const VERSION = 1;

/**
 * The record that the last holder stopped normally. It is removed before a holder's first write, so that any
 * other end leaves no record. It names the streams for which it does not count: a holder that opened only
 * some customers' streams after a crash knows nothing of the others.
 */
export class OrderlyStop {
  readonly #ports: DiskPorts;
  readonly #path: string;
  #there: boolean;
  /** Undefined: every stream with a journal. */
  #unsettled: ReadonlySet<string> | undefined;

  private constructor(ports: DiskPorts, path: string, there: boolean, unsettled: ReadonlySet<string> | undefined) {
    this.#ports = ports;
    this.#path = path;
    this.#there = there;
    this.#unsettled = unsettled;
  }

  static open(ports: DiskPorts, log: Log, path: string): OrderlyStop {
    const bytes = readIfThere(ports.disk, path);
    if (bytes === undefined) return new OrderlyStop(ports, path, false, undefined);
    const reading = decode(bytes.toString("utf8"));
    if (reading === undefined) {
      log.warn("the record of the last stop is damaged; the events of the last hour are sent again with equal keys", {
        path,
      });
      return new OrderlyStop(ports, path, true, undefined);
    }
    if (reading.version > VERSION) throw newerFormat(path, reading.version, VERSION);
    return new OrderlyStop(ports, path, true, new Set(reading.unsettled));
  }

  /** Whether the last holder of this stream (a path relative to the folder) stopped normally. */
  holdsFor(stream: string): boolean {
    return this.#unsettled !== undefined && !this.#unsettled.has(stream);
  }

  get holdsForAll(): boolean {
    return this.#unsettled !== undefined && this.#unsettled.size === 0;
  }

  /** A stanza's folder has another name now: the record of its streams gets the new name too. */
  renamed(from: string, to: string): void {
    if (this.#unsettled === undefined) return;
    const now = Array.from(this.#unsettled, (stream) =>
      stream.startsWith(`${from}/`) ? to + stream.slice(from.length) : stream,
    );
    this.#unsettled = new Set(now);
  }

  /** Throws Failure `state-unwritable`: as long as the record cannot be removed nothing may be written. */
  takeAway(): void {
    if (!this.#there) return;
    removeIfThere(this.#ports.disk, this.#path);
    this.#there = false;
  }

  async write(unsettled: readonly string[]): Promise<void> {
    await replaceFile(
      this.#ports,
      this.#path,
      Buffer.from(`${JSON.stringify({ version: VERSION, unsettled })}\n`, "utf8"),
    );
    this.#there = true;
  }
}

function decode(text: string): { readonly version: number; readonly unsettled: readonly string[] } | undefined {
  try {
    const { version, unsettled } = JSON.parse(text) as { version?: unknown; unsettled?: unknown };
    if (typeof version !== "number") return undefined;
    if (version > VERSION) return { version, unsettled: [] };
    if (!Array.isArray(unsettled) || !unsettled.every((item) => typeof item === "string")) return undefined;
    return { version, unsettled };
  } catch {
    return undefined;
  }
}
