import { X509Certificate } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { msOfTicks, shiftInstants, ticksOf, ticksOfMs } from "./instant.ts";
import { compact, type NewVersion, readVersion } from "./records.ts";
import { STREAM_NAMES, STREAMS, type StreamName } from "./streams.ts";
import type { Customer, World } from "./world.ts";

export interface FolderOptions {
  /** Move all records so that the newest is a minute old. */
  readonly shiftToNow: boolean;
  /** Called with a sentence about each line that cannot be used. */
  warn(sentence: string): void;
}

/** A `--data` folder: one folder per customer, in it one file per stream. A line is a version. */
export interface DataFolder {
  /** Reads what was appended since the last look. */
  look(): void;
}

interface Followed {
  readonly path: string;
  readonly customer: string;
  readonly stream: StreamName;
  read: number;
  lines: number;
  rest: Buffer;
}

const MINUTE_MS = 60_000;
/**
 * A line appended under `--shift-to-now` that would land later than this after now carries today's time
 * already.
 */
const FUTURE_MS = 5 * MINUTE_MS;

/** Loads a folder into the world. Throws with one sentence when it holds no customer. */
export function openFolder(folder: string, world: World, options: FolderOptions): DataFolder {
  if (!existsSync(folder)) throw new Error(`--data: there is no folder ${folder}.`);
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map((entry) => entry.name)
    .sort();
  if (names.length === 0)
    throw new Error(
      `--data: ${folder} holds no customer; make a folder with the customer's name and in it ${STREAM_NAMES.map((name) => STREAMS[name].file).join(", ")}.`,
    );
  const followed: Followed[] = [];
  const loaded: { file: Followed; line: string }[] = [];
  for (const customer of names) {
    world.addCustomer(customer);
    loadHunting(join(folder, customer, "hunting"), customer, world);
    const certificate = join(folder, customer, "certificate.pem");
    if (existsSync(certificate))
      world.addCustomer(customer).credentials.certificates.push(new X509Certificate(readFileSync(certificate)));
    for (const stream of STREAM_NAMES) {
      const file: Followed = {
        path: join(folder, customer, STREAMS[stream].file),
        customer,
        stream,
        read: 0,
        lines: 0,
        rest: Buffer.alloc(0),
      };
      followed.push(file);
      // The last line counts at start even without its newline, because the file is complete then.
      for (const line of newLines(file, true)) loaded.push({ file, line });
    }
  }
  const shift = options.shiftToNow ? shiftOf(loaded, world.clock.nowMs()) : 0n;
  for (const { file, line } of loaded) take(file, line, undefined);

  function take(file: Followed, line: string, visibleAtMs: number | undefined): void {
    const { identity } = world.addCustomer(file.customer);
    const text = compact(line).replaceAll("{tenant_id}", identity.tenantId);
    let version = readVersion(STREAMS[file.stream], shift === 0n ? text : shiftInstants(text, shift), visibleAtMs);
    if (typeof version !== "string" && visibleAtMs !== undefined && isFuture(version, world.clock.nowMs()))
      version = readVersion(STREAMS[file.stream], text, visibleAtMs);
    if (typeof version === "string") options.warn(`${file.path}:${file.lines}: this line ${version}; it is left out.`);
    else world.addVersion(world.addCustomer(file.customer), file.stream, version);
  }

  return {
    look() {
      for (const file of followed) for (const line of newLines(file, false)) take(file, line, world.clock.nowMs());
    },
  };
}

const isFuture = (version: NewVersion, nowMs: number): boolean =>
  version.unkeyed !== true && msOfTicks(ticksOf(version.updated) ?? 0n) > nowMs + FUTURE_MS;

/** The lines that came since the last call. A file that became shorter is read again from its beginning. */
function* newLines(file: Followed, lastMayBeOpen: boolean): Generator<string> {
  let size: number;
  try {
    ({ size } = statSync(file.path));
  } catch {
    return;
  }
  if (size < file.read) Object.assign(file, { read: 0, lines: 0, rest: Buffer.alloc(0) });
  if (size === file.read) return;
  const chunk = Buffer.alloc(size - file.read);
  const descriptor = openSync(file.path, "r");
  const got = readSync(descriptor, chunk, 0, chunk.length, file.read);
  closeSync(descriptor);
  file.read += got;
  const text = Buffer.concat([file.rest, chunk.subarray(0, got)]);
  let from = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, from)) {
    const line = text.subarray(from, at).toString().trim();
    from = at + 1;
    file.lines += 1;
    if (line !== "") yield line;
  }
  const rest = text.subarray(from);
  if (lastMayBeOpen && rest.toString().trim() !== "") {
    file.rest = Buffer.alloc(0);
    file.lines += 1;
    yield rest.toString().trim();
  } else file.rest = Buffer.from(rest);
}

function shiftOf(loaded: readonly { file: Followed; line: string }[], nowMs: number): bigint {
  let newest: bigint | undefined;
  for (const { file, line } of loaded) {
    const version = readVersion(STREAMS[file.stream], line);
    const ticks = typeof version === "string" || version.unkeyed === true ? undefined : ticksOf(version.updated);
    if (ticks !== undefined && (newest === undefined || ticks > newest)) newest = ticks;
  }
  return newest === undefined ? 0n : ticksOfMs(nowMs - MINUTE_MS) - newest;
}

/** Tables for `runHuntingQuery`: `hunting/<Table>.ndjson`, one row per line. */
function loadHunting(folder: string, customer: string, world: World): void {
  if (!existsSync(folder)) return;
  for (const file of readdirSync(folder)) {
    if (!file.endsWith(".ndjson")) continue;
    const rows = readFileSync(join(folder, file), "utf8")
      .split("\n")
      .filter((line) => line.trim() !== "");
    world.addCustomer(customer).hunting.rows.set(file.slice(0, -".ndjson".length), rows.map(compact));
  }
}

/** Loads one customer's folder once: a scenario's `data`. Files that grow later are not followed. */
export function loadCustomer(folder: string, customer: Customer, world: World, warn: (sentence: string) => void): void {
  if (!existsSync(folder)) throw new Error(`data: there is no folder ${folder}.`);
  for (const stream of STREAM_NAMES) {
    const file: Followed = {
      path: join(folder, STREAMS[stream].file),
      customer: customer.identity.name,
      stream,
      read: 0,
      lines: 0,
      rest: Buffer.alloc(0),
    };
    for (const line of newLines(file, true)) {
      const version = readVersion(STREAMS[stream], compact(line).replaceAll("{tenant_id}", customer.identity.tenantId));
      if (typeof version === "string") warn(`${file.path}:${file.lines}: this line ${version}; it is left out.`);
      else world.addVersion(customer, stream, version);
    }
  }
  loadHunting(join(folder, "hunting"), customer.identity.name, world);
}
