import { createHash } from "node:crypto";
import type { OutputSettings } from "../config/output-settings.ts";

/** What makes an output another one for whoever reads it. The path differs between members. */
export type FleetOutput = Pick<OutputSettings, "name" | "type" | "profile" | "evidence" | "cefVersion"> &
  Partial<Pick<OutputSettings, "tenants" | "urls" | "index">>;

/**
 * Names of outputs in the fleet's store, in the order given: the same on every member, and the same after
 * other outputs were added, removed or moved. What stands before the last hyphen is the type: an output that
 * is new goes on where one of its type stopped that is configured no more.
 */
export function outputNames(outputs: readonly FleetOutput[]): readonly string[] {
  return outputs.map(({ type, profile, evidence, cefVersion, tenants, urls, index }) => {
    const customers = tenants === undefined ? null : [...tenants].sort();
    // More indexers may be added behind the first address.
    const receiver = type === "hec" ? [urls?.[0] ?? null, index ?? null] : [];
    const identity = [type, profile, evidence, cefVersion, customers, ...receiver];
    return `${type}-${createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 8)}`;
  });
}

/** Two outputs that would share one name, and with it one progress; undefined: there are none. */
export function outputsAlike(outputs: readonly FleetOutput[]): readonly [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const [i, name] of outputNames(outputs).entries()) {
    const setting = outputs[i]?.name ?? "";
    const before = seen.get(name);
    if (before !== undefined) return [before, setting];
    seen.set(name, setting);
  }
  return undefined;
}
