import type { OutputStatus } from "../model/status.ts";
import type { Output, OutputCondition } from "../outputs/output.ts";

/** What `/status` says of each output. */
export function outputStatuses(
  conditions: readonly { readonly output: Pick<Output, "name">; readonly condition: OutputCondition }[],
  settings: readonly { readonly name: string; readonly type: string }[],
  nowMs: number,
): readonly OutputStatus[] {
  const types = new Map(settings.map(({ name, type }) => [name, type]));
  return conditions.map(({ output: { name }, condition }) => ({
    name,
    type: types.get(name) ?? "",
    state: condition.state,
    spoolBytes: condition.spooledBytes,
    oldestS: ageS(condition.waitingSinceMs, nowMs),
    unconfirmed: condition.unconfirmed ?? null,
    rejected: condition.rejected ?? 0,
  }));
}

function ageS(sinceMs: number | undefined, nowMs: number): number | null {
  return sinceMs === undefined ? null : Math.max(0, Math.round((nowMs - sinceMs) / 1000));
}
