import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LedgerEntry } from "../../../src/model/state.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import type { Disk, DiskPorts } from "../../../src/stores/disk/disk.ts";
import { FakeClock, T0 } from "./clock.ts";

export const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;

export function newFolder(): string {
  return fs.mkdtempSync(join(tmpdir(), "stores-"));
}

function entry(n: number): LedgerEntry {
  return {
    hash: [n, -1 - n, Math.imul(n, 7919), 1],
    updated: BigInt(n) * 1_234_567n,
    writtenAtS: 1_700_000_000 + n,
    byteLength: 5_000 + n,
    bodyCrc: (n * 2_654_435_761) >>> 0,
    change: n % 2 === 0 ? "new" : "updated",
  };
}

export function entries(from: number, to: number): LedgerEntry[] {
  return Array.from({ length: to - from }, (_, i) => entry(from + i));
}

function errnoError(errno: string): Error {
  return Object.assign(new Error(errno), { code: errno });
}

const MUTATING = [
  "writeSync",
  "renameSync",
  "unlinkSync",
  "ftruncateSync",
  "openSync",
  "mkdirSync",
  "fsync",
  "fdatasync",
] as const;

/**
 * A disk that stops at its n-th changing call: `dies` as if the machine lost the process there (nothing works
 * any more, half of a write arrives), otherwise that one call answers with this errno and all others work.
 */
export function diskThatFails(at: number, how: "dies" | "ENOSPC" | "EROFS"): Disk & { readonly calls: () => number } {
  let calls = 0;
  let dead = false;
  const disk: Record<string, unknown> = { ...fs, calls: () => calls };
  const whole: Disk = fs;
  for (const name of MUTATING) {
    const real = whole[name] as (...args: unknown[]) => unknown;
    disk[name] = (...args: unknown[]): unknown => {
      calls += 1;
      const hit = dead || calls === at;
      if (!hit) return real(...args);
      if (name === "writeSync" && !dead) {
        const [fd, bytes, offset, length] = args as [number, Uint8Array, number, number];
        fs.writeSync(fd, bytes, offset, Math.floor(length / 2));
      }
      if (how === "dies") dead = true;
      const error = errnoError(how === "dies" ? "EIO" : how);
      const last = args.at(-1);
      if (typeof last !== "function") throw error;
      (last as (error: Error) => void)(error);
      return undefined;
    };
  }
  return disk as unknown as Disk & { readonly calls: () => number };
}

export function diskPorts(
  disk: Disk = fs,
  platform: NodeJS.Platform = "linux",
): DiskPorts & { readonly clock: FakeClock } {
  return { disk, clock: new FakeClock(T0, { pauses: "pass" }), platform };
}
