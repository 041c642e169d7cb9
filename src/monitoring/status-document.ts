import type { StreamHealth } from "../model/event.ts";
import type { CollectorStatus, StatusDocument, StreamStatus } from "../model/status.ts";

/** The JSON of `/status` and of `status --json`. */
export function statusDocument(
  name: string,
  version: string,
  { customers, outputs, roster }: CollectorStatus,
): StatusDocument {
  return {
    version,
    collectors: [{ name, version, alive: true, customers: customers.length }],
    customers: customers.map(({ tenant, tenantId, streams, permissions }) => ({
      tenant,
      tenant_id: tenantId,
      collector: name,
      streams: streams.map(asInHealth),
      ...(permissions === undefined ? {} : { permissions }),
    })),
    outputs: outputs.map(({ spoolBytes, oldestS, ...rest }) => ({
      name: rest.name,
      type: rest.type,
      state: rest.state,
      spool_bytes: spoolBytes,
      oldest_s: oldestS,
      unconfirmed: rest.unconfirmed,
      rejected: rest.rejected,
    })),
    ...(roster === undefined ? {} : { roster }),
  };
}

function asInHealth({
  delivered: _delivered,
  answers: _answers,
  retries: _retries,
  ...health
}: StreamStatus): StreamHealth {
  return health;
}
