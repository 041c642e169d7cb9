import { createHash } from "node:crypto";
import type { OutputSettings } from "../config/output-settings.ts";

/** What makes an output another one for whoever reads it. The path differs between members. */
export type FleetOutput = Pick<OutputSettings, "name" | "type" | "profile" | "evidence" | "cefVersion"> &
  Partial<
    Pick<
      OutputSettings,
      | "tenants"
      | "urls"
      | "index"
      | "host"
      | "port"
      | "brokers"
      | "topic"
      | "watermarkTopic"
      | "transactionalId"
      | "recordFormat"
    >
  >;

/**
 * Names of outputs in the fleet's store, in the order given: the same on every member, and the same after
 * other outputs were added, removed or moved. What stands before the last hyphen is the type: an output that
 * is new goes on where one of its type stopped that is configured no more.
 */
export function outputNames(outputs: readonly FleetOutput[]): readonly string[] {
  return outputs.map((output) => {
    const { type, profile, evidence, cefVersion, tenants } = output;
    const customers = tenants === undefined ? null : [...tenants].sort();
    const identity = [type, profile, evidence, cefVersion, customers, ...receiverOf(output)];
    return `${type}-${createHash("sha256").update(JSON.stringify(identity)).digest("hex").slice(0, 8)}`;
  });
}

/** More indexers or brokers may be added behind the first address. */
function receiverOf(output: FleetOutput): readonly (string | number | null)[] {
  if (output.type === "hec") return [output.urls?.[0] ?? null, output.index ?? null];
  if (output.type === "syslog") return [output.host ?? null, output.port ?? null];
  if (output.type !== "kafka") return [];
  // Members that differ in one of these would not see what the others committed.
  const { brokers, topic, watermarkTopic, transactionalId, recordFormat } = output;
  return [brokers?.[0], topic, watermarkTopic, transactionalId, recordFormat].map((one) => one ?? null);
}

/** The same outputs with transactional ids that all members have, and no other fleet and no other output. */
export function withTransactionalIds(outputs: readonly OutputSettings[], fleet: string): readonly OutputSettings[] {
  const names = outputNames(outputs);
  return outputs.map((output, i) =>
    output.type === "kafka" && output.transactionalId === undefined
      ? { ...output, transactionalId: `defender-mssp.${fleet}.${names[i]}` }
      : output,
  );
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
