import type { RequestListener } from "node:http";
import { SHARED_APP } from "./identity.ts";
import type { Services } from "./server.ts";
import { shownLines } from "./shown.ts";

/** The control API: plain http on loopback, no secrets asked. See docs/harness.md for every route. */
export function controlListener(services: Services): RequestListener {
  const { world } = services;
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    services.refresh();
    if (request.method === "GET" && url.pathname === "/shown") {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      for (const line of shownLines(world)) response.write(line);
      response.end();
      return;
    }
    if (request.method === "GET" && url.pathname === "/state") {
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({
          now: new Date(world.clock.nowMs()).toISOString(),
          shared_app: { client_id: SHARED_APP.clientId, client_secret: SHARED_APP.clientSecret },
          customers: [...world.customers.values()].map((customer) => ({ tenant_name: customer.identity.name, tenant_id: customer.identity.tenantId, ...customer.counters })),
        }),
      );
      return;
    }
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: `There is no ${request.method} ${url.pathname} here; docs/harness.md lists every route.` }));
  };
}
