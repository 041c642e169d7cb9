import { inParallel } from "../model/concurrency-limiter.ts";
import type { Lease } from "../model/fleet.ts";
import type { StateFolder, StateKey, StreamStore } from "../model/state.ts";
import { STREAM_NAMES } from "../model/stream.ts";
import type { TenantId } from "../model/tenant.ts";
import type { DiskPorts } from "../stores/disk/disk.ts";
import { type FleetNote, readFleetNote, writeFleetNote } from "../stores/disk/fleet-note.ts";
import { type SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import type { Database } from "../stores/postgres/connections.ts";
import { shardOf } from "../stores/postgres/fleet-store.ts";
import type { FleetTokens } from "../stores/postgres/fleet-tokens.ts";
import {
  beginMove,
  endMove,
  type FleetMove,
  fleetMoved,
  leasesOf,
  moveOf,
  openMoved,
  packetsLeft,
  streamsOf,
} from "../stores/postgres/move.ts";
import { schemaOf } from "../stores/postgres/schema.ts";
import type { SecretEntry } from "../stores/secret-entry.ts";

/** Each has a statement under way. */
const STREAMS_AT_ONCE = 4;
/** Customers that one sentence names. */
const NAMED_MOST = 5;

/** A customer with its tenant's GUID. */
export interface MovedCustomer {
  readonly stanza: string;
  readonly tenantId: TenantId;
  /** It signs in with a refresh token. */
  readonly hasToken: boolean;
}

export interface TransferParts {
  readonly database: Database;
  readonly fleet: string;
  /** The folder's path, and what a person calls it. */
  readonly dir: string;
  readonly place: string;
  /** Takes the folder's lock. Throws Failure `state-…`. */
  readonly openFolder: () => Promise<StateFolder>;
  readonly ports: DiskPorts;
  readonly files: Pick<SecretFiles, "read" | "write">;
  /** Undefined: there is no key file. */
  readonly tokens: Pick<FleetTokens, "take" | "give"> | undefined;
  readonly customers: readonly MovedCustomer[];
  /**
   * Receivers for which events wait in the folder. Called under its lock: a collector that stops meanwhile
   * may leave some.
   */
  readonly spools: () => readonly string[];
  readonly version: string;
  readonly newId: () => string;
}

/** Why nothing was moved, in sentences; or how much was. */
export type Transferred =
  | { readonly refused: string }
  | { readonly refused?: undefined; readonly streams: number; readonly tokens: number };

/**
 * Moves the streams of a state folder into the fleet's database. While it goes on neither collects, and if it
 * is killed it is run again: each stream is replaced as a whole. Throws Failure of both stores.
 */
export async function transferIn(parts: TransferParts): Promise<Transferred> {
  const folder = await parts.openFolder();
  try {
    return await movedIn(parts, folder);
  } finally {
    // Nothing was written to its streams, so what the last stop left still holds.
    await folder.release({ orderly: false });
  }
}

async function movedIn(parts: TransferParts, folder: StateFolder): Promise<Transferred> {
  const { database, fleet, files, tokens, customers } = parts;
  const note = readFleetNote(parts.ports, parts.dir);
  const before = await moveOf(database, fleet);
  const refused = whyNotIn(parts, folder, note, before);
  if (refused !== undefined) return { refused };
  const entries = customers.filter(({ hasToken }) => hasToken).flatMap((owner) => tokenOf(files, owner) ?? []);
  if (entries.length > 0 && tokens === undefined) return { refused: NO_KEY };
  const keys = await begunIn(folder, customers);
  const known = await streamsOf(database, fleet);
  if (before === undefined) {
    const tenants = new Set(known.filter(({ isBegun }) => isBegun).map(({ tenantId }) => tenantId));
    const twice = new Set(keys.filter(({ tenantId }) => tenants.has(tenantId)).map(({ stanza }) => stanza));
    if (twice.size > 0) return { refused: collectedAlready(fleet, [...twice]) };
  }
  const move: FleetMove = { direction: "in", folder: note?.folder ?? parts.newId(), place: parts.place };
  // Noted before the database knows it, so that a crash in between leaves the folder's name.
  await writeFleetNote(parts.ports, parts.dir, { ...move, fleet, isInFleet: note?.isInFleet ?? false });
  const members = await beginMove(database, fleet, move, parts.version);
  if (members !== undefined) return { refused: membersLive(fleet, members) };
  await writeFleetNote(parts.ports, parts.dir, { ...move, fleet, isInFleet: true });
  const leases = await leasesOf(database, fleet, move.folder);
  await inParallel(keys, STREAMS_AT_ONCE, async (key) => {
    const others = customers.filter(({ tenantId, stanza }) => tenantId === key.tenantId && stanza !== key.stanza);
    const from = await folder.open(key);
    try {
      const names = others.map(({ stanza }) => stanza);
      await copy(from, await openMoved(database, fleet, move, key, leaseOf(leases, key), names));
    } finally {
      await from.close();
    }
  });
  for (const { owner, entry } of entries) await tokens?.take(owner, entry);
  await endMove(database, fleet, move.folder);
  return { streams: keys.length, tokens: entries.length };
}

/**
 * Moves the fleet's streams into a state folder, which one collector may use alone then. As `transferIn`.
 */
export async function transferOut(parts: TransferParts): Promise<Transferred> {
  const folder = await parts.openFolder();
  let note: FleetNote | undefined;
  let result: Transferred;
  try {
    const moved = await movedOut(parts, folder);
    if ("refused" in moved) return { refused: moved.refused };
    note = moved.note;
    result = { streams: moved.streams, tokens: moved.tokens };
  } finally {
    // In order: nothing has to be sent again.
    await folder.release({ orderly: note !== undefined });
  }
  await writeFleetNote(parts.ports, parts.dir, { ...note, isInFleet: false });
  return result;
}

async function movedOut(parts: TransferParts, folder: StateFolder) {
  const { database, fleet, files, tokens, customers } = parts;
  const note = readFleetNote(parts.ports, parts.dir);
  const before = await moveOf(database, fleet);
  const refused = whyNotOut(parts, note, before);
  if (refused !== undefined) return { refused };
  if (note === undefined && (await begunIn(folder, customers)).length > 0) return { refused: hasOwnStreams(parts.dir) };
  if (tokens === undefined && (await hasSecrets(parts))) return { refused: NO_KEY };
  const move: FleetMove = { direction: "out", folder: note?.folder ?? parts.newId(), place: parts.place };
  const present: FleetNote = { folder: move.folder, fleet, isInFleet: true };
  if (note === undefined) await writeFleetNote(parts.ports, parts.dir, present);
  const members = await beginMove(database, fleet, move, parts.version);
  if (members !== undefined) return { refused: membersLive(fleet, members) };
  const left = await packetsLeft(database, fleet);
  if (left.size > 0) {
    await endMove(database, fleet, move.folder);
    return { refused: packetsWait(left) };
  }
  const leases = await leasesOf(database, fleet, move.folder);
  const known = (await streamsOf(database, fleet)).filter(({ isBegun }) => isBegun);
  await inParallel(known, STREAMS_AT_ONCE, async ({ tenantId, stanza, stream }) => {
    const key: StateKey = { tenantId, stanza, stream };
    const to = await folder.open(key);
    try {
      await copy(await openMoved(database, fleet, move, key, leaseOf(leases, key), [stanza]), to);
    } finally {
      await to.close();
    }
  });
  let count = 0;
  for (const { tenantId, stanza } of customers.filter(({ hasToken }) => hasToken)) {
    const entry = await tokens?.give({ tenantId, stanza });
    if (entry === undefined) continue;
    await files.write(tokenEntryName(tenantId, stanza), entry);
    count += 1;
  }
  return { streams: known.length, tokens: count, note: present };
}

/** The checkpoint last: it never is ahead of the entries. */
async function copy(from: StreamStore, to: StreamStore): Promise<void> {
  await to.compact(from.takeEntries());
  if (from.checkpoint !== undefined) await to.commit({ checkpoint: from.checkpoint });
  await to.flush();
}

/** Streams of these customers that the folder knows. */
async function begunIn(folder: StateFolder, customers: readonly MovedCustomer[]): Promise<readonly StateKey[]> {
  const keys: StateKey[] = [];
  for (const { stanza, tenantId } of customers)
    for (const stream of STREAM_NAMES) {
      const store = await folder.open({ stanza, tenantId, stream });
      if (store.checkpoint !== undefined || store.takeEntries().length > 0) keys.push(store.key);
      await store.close();
    }
  return keys;
}

function leaseOf(leases: ReadonlyMap<number, Lease>, { tenantId }: StateKey): Lease {
  const shard = shardOf(tenantId);
  // The store refuses an epoch that is nobody's.
  return leases.get(shard) ?? { shard, epoch: 0n };
}

function tokenOf(files: TransferParts["files"], owner: MovedCustomer) {
  const entry: SecretEntry | undefined = files.read(tokenEntryName(owner.tenantId, owner.stanza));
  return entry === undefined ? undefined : { owner, entry };
}

async function hasSecrets({ database, fleet }: TransferParts): Promise<boolean> {
  const rows = await database.query(`select 1 from ${schemaOf(fleet)}.secret limit 1`);
  return rows.length > 0;
}

function whyNotIn(
  { dir, fleet, spools }: TransferParts,
  folder: StateFolder,
  note: FleetNote | undefined,
  before: FleetMove | undefined,
): string | undefined {
  const isOurs = before !== undefined && before.folder === note?.folder;
  if (before !== undefined && !isOurs) return fleetMoved(fleet, before).say;
  if (note?.isInFleet === true) {
    if (!isOurs || note.fleet !== fleet)
      return `The streams of ${dir} were moved into the fleet ${note.fleet} before. Nothing has to be moved.`;
    if (before?.direction === "out")
      return `The move of the streams to ${dir} is not complete. Run \`defender-mssp fleet export-state\` again first.`;
  }
  if (!folder.lastStopWasOrderly)
    return `The collector that used ${dir} last stopped abnormally, and some of its events must be sent again. Start it once more without fleet.url, stop it with SIGTERM, then run the command again.`;
  const receivers = spools();
  if (receivers.length > 0)
    return `Events in ${dir} still wait for ${receivers.join(", ")}, and members of a fleet do not send them. Run this machine without fleet.url until they are sent, then run the command again.`;
  return undefined;
}

function whyNotOut(
  { dir, fleet }: TransferParts,
  note: FleetNote | undefined,
  before: FleetMove | undefined,
): string | undefined {
  const isOurs = before !== undefined && before.folder === note?.folder;
  if (before !== undefined && !isOurs) return fleetMoved(fleet, before).say;
  if (note === undefined) return undefined;
  if (note.isInFleet && note.fleet === fleet) {
    if (before?.direction === "in")
      return `The move of the streams of ${dir} into the fleet is not complete. Run \`defender-mssp fleet import-state\` again first.`;
    return undefined;
  }
  if (isOurs) return `The streams of the fleet ${fleet} were moved to ${dir} before. Nothing has to be moved.`;
  return hasOwnStreams(dir);
}

const NO_KEY =
  "Refresh tokens are moved too, and need a key file. Set fleet.key_file, run `defender-mssp fleet init`, then run the command again.";

function hasOwnStreams(dir: string): string {
  return `${dir} has checkpoints of its own, which would be lost. Give an empty folder with --state.`;
}

function membersLive(fleet: string, members: string): string {
  const who =
    members === "" ? "Another command moves the fleet's streams" : `Members of the fleet ${fleet} live: ${members}`;
  return `${who}. Nothing was moved. Stop them with SIGTERM, then run the command again.`;
}

function collectedAlready(fleet: string, stanzas: readonly string[]): string {
  const named = stanzas.slice(0, NAMED_MOST).join(", ");
  const more = stanzas.length > NAMED_MOST ? ` and ${stanzas.length - NAMED_MOST} more` : "";
  return `The fleet ${fleet} has collected ${named}${more} already, and goes on from there. Nothing was moved. Run the command with a configuration that does not have them.`;
}

function packetsWait(left: ReadonlyMap<string, number>): string {
  const what = [...left].map(([output, packets]) => `${packets} for ${output}`).join(", ");
  return `Packets of events still wait: ${what}. Nothing was moved. Start a member until \`defender-mssp doctor --fleet\` says that nothing waits, then run the command again.`;
}
