import { createHash } from "node:crypto";
import type { LaneSink } from "../collect/fleet/delivery-lane.ts";
import type { OutputLanes } from "../collect/fleet/output-lanes.ts";
import type { OutputSettings } from "../config/output-settings.ts";
import type { Delivery } from "../model/event.ts";
import type { Clock } from "../model/ports.ts";
import { CLOSE_LIMIT_MS } from "../outputs/stream-pipe.ts";

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

/** The same sink, which says what was delivered. */
export function noting(sink: LaneSink, delivered: (batch: readonly Delivery[]) => void): LaneSink {
  return {
    packets: sink.packets,
    unacknowledged: sink.unacknowledged,
    pace: sink.pace,
    async write(batch, from) {
      const written = await sink.write(batch, from);
      delivered(batch);
      return written;
    },
  };
}

/** How long outputs may take at a stop. */
export interface OutputStopLimits {
  /** What waits may be delivered for so long. */
  readonly drainMs: number;
  /** After that, the database's answers are waited for so long; absent: until they come. */
  readonly answersMs?: number;
}

/** As for HEC without a fleet; what is not confirmed by then waits in the database. */
const DRAIN_IN_SPLUNK_MS = 1_000;
/** splunkd kills what does not end soon: no longer than the end of the stream may take beside it. */
export const FLEET_STOP_IN_SPLUNK: OutputStopLimits = {
  drainMs: DRAIN_IN_SPLUNK_MS,
  answersMs: CLOSE_LIMIT_MS - DRAIN_IN_SPLUNK_MS,
};

/** True when nothing is on its way any more. False: the next owner delivers again what was not confirmed. */
export async function closeOutputs(
  {
    lanes,
    sink,
    clock,
  }: {
    readonly lanes: readonly Pick<OutputLanes, "close" | "ended">[];
    readonly sink: { close(withinMs: number): Promise<unknown> };
    readonly clock: Clock;
  },
  { drainMs, answersMs }: OutputStopLimits,
): Promise<boolean> {
  const giveUpMs = clock.monotonicMs() + drainMs;
  await Promise.all(lanes.map((lane) => lane.close(drainMs)));
  await sink.close(Math.max(0, giveUpMs - clock.monotonicMs()));
  const ended = Promise.all(lanes.map((lane) => lane.ended())).then(() => true);
  if (answersMs === undefined) return ended;
  const done = new AbortController();
  const late = clock.pause(answersMs, done.signal).then(() => false);
  try {
    return await Promise.race([ended, late]);
  } finally {
    done.abort();
  }
}
