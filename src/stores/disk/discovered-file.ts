import { join } from "node:path";
import type { Discovered, DiscoveredCustomer, Relationship } from "../../model/discovered.ts";
import { NOTHING_DISCOVERED } from "../../model/discovered.ts";
import { Failure } from "../../model/failure.ts";
import type { Log } from "../../model/ports.ts";
import { type TenantId, tenantIdFrom } from "../../model/tenant.ts";
import { newerFormat } from "./damage.ts";
import { type DiskPorts, readIfThere, replaceFile } from "./disk.ts";

const VERSION = 1;
const FILE = "discovered.json";

/** What discovery remembered, with the text that it was read from. */
export interface DiscoveredReading {
  readonly discovered: Discovered;
  /** Undefined where there is no file yet. */
  readonly text: string | undefined;
  /** There is a file, but it says nothing. */
  readonly isDamaged?: boolean;
}

/**
 * Reads `discovered.json` of a state folder without a lock: it is always replaced as a whole. A damaged file
 * begins empty, because the next listing holds everything but names, dates and decisions. Throws Failure
 * `state-damaged` for a file of a newer release.
 */
export function readDiscovered(
  ports: Pick<DiskPorts, "disk">,
  log: Pick<Log, "warn">,
  stateDir: string,
): DiscoveredReading {
  const path = join(stateDir, FILE);
  const text = readIfThere(ports.disk, path)?.toString("utf8");
  if (text === undefined) return { discovered: NOTHING_DISCOVERED, text };
  const reading = decode(text);
  if (reading.kind === "newer") throw newerFormat(path, reading.version, VERSION);
  if (reading.kind === "read") return { discovered: reading.discovered, text };
  log.warn("discovered.json is damaged and begins empty; the next list of customers is compared with nothing", {
    path,
  });
  return { discovered: NOTHING_DISCOVERED, text, isDamaged: true };
}

/**
 * Replaces `discovered.json` (0600) so that after a crash it is the old or the new one, and returns its text.
 * A damaged one is kept as `discovered.json.damaged`.
 * Throws Failure `state-unwritable`, and `state-locked` if it is no longer what was read.
 */
export async function writeDiscovered(
  ports: DiskPorts,
  stateDir: string,
  discovered: Discovered,
  readText: string | undefined,
): Promise<string> {
  const path = join(stateDir, FILE);
  const text = encode(discovered);
  if (text === readText) return text;
  if (readIfThere(ports.disk, path)?.toString("utf8") !== readText)
    throw new Failure("state-locked", {
      actor: "operator",
      retry: { when: "later" },
      say: `${path} was changed by another program while the list of customers was read. Nothing was written.`,
      nextStep: "Nothing to do. The list is read again within the hour.",
    });
  if (readText !== undefined && decode(readText).kind === "damaged")
    await replaceFile(ports, `${path}.damaged`, Buffer.from(readText, "utf8"));
  await replaceFile(ports, path, Buffer.from(text, "utf8"));
  return text;
}

function encode({ listed_at, customers }: Discovered): string {
  const sorted = [...customers].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `${JSON.stringify({ version: VERSION, listed_at, customers: Object.fromEntries(sorted) }, undefined, 1)}\n`;
}

type Reading =
  | { readonly kind: "read"; readonly discovered: Discovered }
  | { readonly kind: "damaged" }
  | { readonly kind: "newer"; readonly version: number };

function decode(text: string): Reading {
  let file: { version?: unknown; listed_at?: unknown; customers?: unknown };
  try {
    file = JSON.parse(text) as typeof file;
  } catch {
    return { kind: "damaged" };
  }
  if (typeof file !== "object" || file === null || typeof file.version !== "number") return { kind: "damaged" };
  if (file.version > VERSION) return { kind: "newer", version: file.version };
  const { listed_at } = file;
  if (!isTimeOrNull(listed_at) || typeof file.customers !== "object" || file.customers === null)
    return { kind: "damaged" };
  const customers = new Map<TenantId, DiscoveredCustomer>();
  for (const [key, value] of Object.entries(file.customers as Readonly<Record<string, unknown>>)) {
    const tenantId = tenantIdFrom(key);
    if (tenantId === undefined || !isCustomer(value)) return { kind: "damaged" };
    customers.set(tenantId, value);
  }
  return { kind: "read", discovered: { listed_at, customers } };
}

function isCustomer(value: unknown): value is DiscoveredCustomer {
  if (typeof value !== "object" || value === null) return false;
  const one = value as Readonly<Record<keyof DiscoveredCustomer, unknown>>;
  return (
    ["gdap", "governance", "file"].includes(String(one.source)) &&
    ["announced", "enrolled", "excluded", "ended"].includes(String(one.decided)) &&
    ["discovery", "operator"].includes(String(one.by)) &&
    isText(one.name) &&
    one.name !== "" &&
    isText(one.listed_name) &&
    isTime(one.first_seen) &&
    isTime(one.last_seen) &&
    isTimeOrNull(one.missing_since) &&
    isTimeOrNull(one.ended_at) &&
    (one.excluded_by === null || isText(one.excluded_by)) &&
    isFlag(one.confirmed_missing) &&
    isFlag(one.enrolling) &&
    isTexts(one.reminded) &&
    Array.isArray(one.relationships) &&
    one.relationships.every(isRelationship)
  );
}

function isRelationship(value: unknown): value is Relationship {
  if (typeof value !== "object" || value === null) return false;
  const one = value as Readonly<Record<keyof Relationship, unknown>>;
  return (
    isText(one.id) &&
    isText(one.name) &&
    isText(one.status) &&
    isTexts(one.roles) &&
    isTimeOrNull(one.ends) &&
    (one.auto_extend === null || isText(one.auto_extend))
  );
}

function isFlag(value: unknown): value is boolean | undefined {
  return value === undefined || typeof value === "boolean";
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function isTime(value: unknown): value is string {
  return isText(value) && !Number.isNaN(Date.parse(value));
}

function isTimeOrNull(value: unknown): value is string | null {
  return value === null || isTime(value);
}
