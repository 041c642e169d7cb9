import { askTenantFacts } from "../auth/authority.ts";
import { createSourceStream } from "../defender/source-stream.ts";
import type { Http, Log } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import type { StreamName } from "../model/stream.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { realClock } from "./world.ts";

/** One request for one record, through the code that collects the stream. */
export async function probe(
  http: Http,
  log: Log,
  stanza: Stanza,
  stream: StreamName,
  token: Sealed,
  signal: AbortSignal,
): Promise<void> {
  // Hunting has no free request: every query uses the customer's quota. The token's permission is enough.
  if (stream === "hunting") return;
  const id =
    tenantIdFrom(stanza.tenantId) ??
    (
      await askTenantFacts(
        { http, clock: realClock },
        { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId },
        stanza.route,
        signal,
      )
    ).tenantId;
  const source = createSourceStream({
    stanza,
    tenant: { id, name: stanza.tenantName, cloud: stanza.cloud },
    stream,
    http,
    tokens: { accessToken: () => Promise.resolve(token) },
    clock: realClock,
    log,
    recordMaxBytes: 1024 * 1024,
  });
  const page = await source.ask({ top: 1 }, signal);
  for await (const _ of page.batches);
}
