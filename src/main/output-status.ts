import type { OutputStatus } from "../model/status.ts";
import type { Output, OutputCondition } from "../outputs/output.ts";

/** What `/status` says of each output. */
export function outputStatuses(
  conditions: readonly { readonly output: Pick<Output, "name">; readonly condition: OutputCondition }[],
  settings: readonly { readonly name: string; readonly type: string }[],
  nowMs: number,
): readonly OutputStatus[] {
  const types = new Map(settings.map(({ name, type }) => [name, type]));
  return conditions.map(({ output: { name }, condition: { state, spooledBytes, waitingSinceMs } }) => ({
    name,
    type: types.get(name) ?? "",
    state,
    spoolBytes: spooledBytes,
    oldestS: waitingSinceMs === undefined ? null : Math.max(0, Math.round((nowMs - waitingSinceMs) / 1000)),
    unconfirmed: null,
    rejected: 0,
  }));
}
