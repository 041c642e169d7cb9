import type { Outage } from "../collect/outage-watch.ts";
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

/** Outputs that keep events until a receiver confirms them: of others nobody knows whether they arrive. */
const CONFIRMING: ReadonlySet<string> = new Set(["hec", "kafka"]);

/** Why outputs deliver nothing, and to which customers' events that happens. */
export function outagesOf(
  conditions: readonly { readonly output: Pick<Output, "name">; readonly condition: OutputCondition }[],
  settings: readonly { readonly name: string; readonly type: string; readonly tenants?: readonly string[] }[],
): readonly Outage[] {
  return conditions.flatMap(({ output: { name }, condition: { state, failure, waitingSinceMs } }) => {
    const of = settings.find((one) => one.name === name);
    if (state === "up" || failure === undefined || of === undefined || !CONFIRMING.has(of.type)) return [];
    const { code, actor, say, nextStep } = failure;
    const since = waitingSinceMs === undefined ? "" : ` Events wait since ${new Date(waitingSinceMs).toISOString()}.`;
    const customers = of.tenants === undefined ? {} : { customers: new Set(of.tenants) };
    return [{ output: name, ...customers, code, actor, say: `${say}${since}`, nextStep }];
  });
}

function ageS(sinceMs: number | undefined, nowMs: number): number | null {
  return sinceMs === undefined ? null : Math.max(0, Math.round((nowMs - sinceMs) / 1000));
}
