import { join } from "node:path";
import { Failure } from "../../model/failure.ts";
import type { ConsentJournal, JournalEntry, OpenGrant } from "../../model/partner-consent.ts";
import { JOURNAL_STEPS } from "../../model/partner-consent.ts";
import type { Log } from "../../model/ports.ts";
import { SerialQueue } from "../../model/serial-queue.ts";
import type { DiskPorts } from "./disk.ts";
import { makeFolder, openForAppend, readIfThere, stateUnwritable, syncFile, syncFolder, writeWhole } from "./disk.ts";
import { takeLock } from "./lock.ts";

/** The format that this release reads and writes; it stands in every line. */
const VERSION = 1;
const IDS = ["home", "tenant", "bridge", "user", "app", "resource", "role"] as const;
const ID = /^[0-9a-f-]{36}$/i;

/**
 * Opens `partner-consent/journal.ndjson` of the state folder, one JSON object a line, only appended to. The
 * folder is locked: a second run would remove the bridge under the first one's feet. Throws Failure
 * `state-locked`, `state-unreadable`, `state-unwritable`, `state-damaged`.
 */
export async function openConsentJournal(
  ports: DiskPorts & { readonly log: Log },
  stateDir: string,
): Promise<ConsentJournal> {
  const folder = join(stateDir, "partner-consent");
  const path = join(folder, "journal.ndjson");
  makeFolder(ports.disk, folder);
  await folderKept(ports, stateDir);
  const lock = await takeLock(folder, ports, "10s");
  try {
    const bytes = readIfThere(ports.disk, path);
    const { entries, unreadable } = entriesIn(bytes?.toString("utf8") ?? "", path);
    const isTorn = bytes !== undefined && bytes.length > 0 && bytes.at(-1) !== 0x0a;
    const fd = await opened(ports, folder, path, isTorn);
    return new Journal(ports, { path, fd, entries, unreadable }, () => lock.release());
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** A new folder whose name is not on the disk would be gone with the journal in it. */
async function folderKept(ports: DiskPorts, stateDir: string): Promise<void> {
  try {
    await syncFolder(ports, stateDir);
  } catch (error) {
    throw stateUnwritable(stateDir, error);
  }
}

async function opened(ports: DiskPorts, folder: string, path: string, isTorn: boolean): Promise<number> {
  try {
    const fd = openForAppend(ports.disk, path);
    // A line that a crash cut stays, and the next one begins on a line of its own.
    if (isTorn) writeWhole(ports.disk, fd, Buffer.from("\n"));
    await syncFile(ports.disk, fd);
    await syncFolder(ports, folder);
    return fd;
  } catch (error) {
    throw stateUnwritable(path, error);
  }
}

class Journal implements ConsentJournal {
  readonly path: string;
  readonly unreadable: number;
  readonly #ports: DiskPorts;
  readonly #fd: number;
  readonly #grants = new GrantsOpen();
  readonly #queue = new SerialQueue();
  readonly #release: () => Promise<void>;
  #isTorn = false;

  constructor(
    ports: DiskPorts,
    read: {
      readonly path: string;
      readonly fd: number;
      readonly entries: readonly JournalEntry[];
      readonly unreadable: number;
    },
    release: () => Promise<void>,
  ) {
    this.#ports = ports;
    this.path = read.path;
    this.#fd = read.fd;
    this.unreadable = read.unreadable;
    this.#release = release;
    for (const entry of read.entries) this.#grants.note(entry);
  }

  openGrants(): readonly OpenGrant[] {
    return this.#grants.list();
  }

  append(entry: JournalEntry): Promise<void> {
    const line = JSON.stringify({ v: VERSION, time: new Date(this.#ports.clock.nowMs()).toISOString(), ...entry });
    return this.#queue.run(async () => {
      try {
        // The rest of a line that was written in part must not swallow this one.
        writeWhole(this.#ports.disk, this.#fd, Buffer.from(`${this.#isTorn ? "\n" : ""}${line}\n`));
        this.#isTorn = false;
        await syncFile(this.#ports.disk, this.#fd);
      } catch (error) {
        this.#isTorn = true;
        throw stateUnwritable(this.path, error);
      }
      this.#grants.note(entry);
    });
  }

  async close(): Promise<void> {
    this.#ports.disk.closeSync(this.#fd);
    await this.#release();
  }
}

/** Where the bridge may be, by what was done in order. */
class GrantsOpen {
  /** How often it was let in since it was removed: a refused grant leaves an earlier one. */
  readonly #times = new Map<string, { readonly grant: OpenGrant; readonly times: number }>();

  note({ step, home, tenant, bridge }: JournalEntry): void {
    const key = JSON.stringify([home, tenant, bridge]);
    const times = this.#times.get(key)?.times ?? 0;
    const now =
      step === "grant-bridge"
        ? times + 1
        : step === "bridge-refused"
          ? times - 1
          : step === "bridge-removed"
            ? 0
            : times;
    if (now > 0) this.#times.set(key, { grant: { home, tenant, bridge }, times: now });
    else this.#times.delete(key);
  }

  list(): readonly OpenGrant[] {
    return [...this.#times.values()].map(({ grant }) => grant);
  }
}

function entriesIn(
  text: string,
  path: string,
): { readonly entries: readonly JournalEntry[]; readonly unreadable: number } {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const read = lines.map((line) => entryIn(line, path));
  const entries = read.filter((entry) => entry !== undefined);
  return { entries, unreadable: lines.length - entries.length };
}

function entryIn(line: string, path: string): JournalEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const found = value as Readonly<Record<string, unknown>>;
  if (typeof found["v"] === "number" && found["v"] > VERSION) throw newerJournal(path);
  const step = JOURNAL_STEPS.find((name) => name === found["step"]);
  const ids = Object.fromEntries(
    IDS.flatMap((name) => {
      const id = found[name];
      return typeof id === "string" && ID.test(id) ? [[name, id]] : [];
    }),
  );
  const { home, tenant, bridge } = ids;
  if (step === undefined || home === undefined || tenant === undefined || bridge === undefined) return undefined;
  return { ...ids, step, home, tenant, bridge };
}

function newerJournal(path: string): Failure {
  return new Failure("state-damaged", {
    actor: "operator",
    retry: { when: "never" },
    say: `A newer release wrote the journal ${path}, so this one cannot tell where the bridge still is.`,
    nextStep: "Install that release again.",
  });
}
