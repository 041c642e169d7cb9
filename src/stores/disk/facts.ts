import { join } from "node:path";
import type { Log } from "../../model/ports.ts";
import { SerialQueue } from "../../model/serial-queue.ts";
import { newerFormat } from "./damage.ts";
import { type DiskPorts, readIfThere, replaceFile } from "./disk.ts";

const VERSION = 1;

/**
 * Small facts by name in one file (a domain's tenant GUID and the like). Everything in it can be requested
 * again, so a damaged file begins empty.
 */
export class Facts {
  readonly #ports: DiskPorts;
  readonly #path: string;
  readonly #byName: Map<string, string>;
  readonly #queue = new SerialQueue();
  #writing: Promise<void> = Promise.resolve();

  private constructor(ports: DiskPorts, path: string, byName: Map<string, string>) {
    this.#ports = ports;
    this.#path = path;
    this.#byName = byName;
  }

  static open(ports: DiskPorts, log: Log, path: string): Facts {
    const bytes = readIfThere(ports.disk, path);
    if (bytes === undefined) return new Facts(ports, path, new Map());
    const reading = decode(bytes.toString("utf8"));
    if (reading === undefined)
      log.warn("facts.json is damaged and begins empty; what it held is requested again", { path });
    else if (reading.version > VERSION) throw newerFormat(path, reading.version, VERSION);
    return new Facts(ports, path, new Map(Object.entries(reading?.facts ?? {})));
  }

  get(name: string): string | undefined {
    return this.#byName.get(name);
  }

  /** Throws Failure `state-unwritable`; the fact is known to this process all the same. */
  set(name: string, value: string): Promise<void> {
    if (this.#byName.get(name) === value) return this.#writing;
    this.#byName.set(name, value);
    const save = (): Promise<void> => replaceFile(this.#ports, this.#path, Buffer.from(encode(this.#byName), "utf8"));
    this.#writing = this.#queue.run(save);
    return this.#writing;
  }
}

/**
 * The facts as a collector saved them last; none if the file is damaged, or of a newer format. It takes no
 * lock, so that it can be asked while a collector runs. Throws Failure `state-unreadable`.
 */
export function savedFacts({ disk }: Pick<DiskPorts, "disk">, stateDir: string): Readonly<Record<string, string>> {
  const bytes = readIfThere(disk, join(stateDir, "facts.json"));
  return (bytes && decode(bytes.toString("utf8"))?.facts) ?? {};
}

function encode(byName: ReadonlyMap<string, string>): string {
  return `${JSON.stringify({ version: VERSION, facts: Object.fromEntries([...byName].sort(([a], [b]) => (a < b ? -1 : 1))) }, undefined, 1)}\n`;
}

function decode(text: string): { readonly version: number; readonly facts: Record<string, string> } | undefined {
  try {
    const { version, facts } = JSON.parse(text) as { version?: unknown; facts?: unknown };
    if (typeof version !== "number") return undefined;
    if (version > VERSION) return { version, facts: {} };
    if (
      typeof facts !== "object" ||
      facts === null ||
      !Object.values(facts).every((value) => typeof value === "string")
    )
      return undefined;
    return { version, facts: facts as Record<string, string> };
  } catch {
    return undefined;
  }
}
