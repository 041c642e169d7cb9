import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { answerGraphChildren, answerGraphList, answerGraphOne, graphStream, sendGraphError, sendGraphForbidden, sendGraphUnauthorized } from "./api/graph.ts";
import type { PageCache } from "./api/lists.ts";
import type { Entra } from "./entra/sign-in.ts";
import type { TokenShop } from "./entra/tokens.ts";
import type { Exchange } from "./exchange.ts";
import { guid } from "./identity.ts";
import type { World } from "./world.ts";

export interface Services {
  readonly world: World;
  readonly entra: Entra;
  readonly tokens: TokenShop;
  readonly pages: PageCache;
  /** Before each answer: takes up appended lines and whatever else is due. */
  refresh(): void;
}

const BODY_MAX_BYTES = 1024 * 1024;

/** The handler of Microsoft's side. */
export function microsoftListener(services: Services): RequestListener {
  let count = 0;
  return (request, response) => {
    count += 1;
    const exchange = makeExchange(request, response, services.world.clock.nowMs(), guid("request", String(count)));
    services.refresh();
    answer(exchange, services).catch((error: unknown) => {
      process.stderr.write(`simulator: ${request.method} ${request.url}: ${error instanceof Error ? error.stack : String(error)}\n`);
      if (!response.headersSent) sendGraphError(exchange, 500, "InternalServerError", "The simulator failed; its standard error says why.");
      else response.destroy();
    });
  };
}

function makeExchange(request: IncomingMessage, response: ServerResponse, nowMs: number, requestId: string): Exchange {
  const origin = `https://${request.headers.host ?? "localhost"}`;
  response.sendDate = false;
  return {
    request,
    response,
    url: new URL(request.url ?? "/", origin),
    nowMs,
    origin,
    requestId,
    async body() {
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of request as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > BODY_MAX_BYTES) throw new Error("request body above 1 MiB");
        chunks.push(chunk);
      }
      return Buffer.concat(chunks).toString();
    },
  };
}

async function answer(exchange: Exchange, services: Services): Promise<void> {
  const path = exchange.url.pathname;
  if (await services.entra.answer(exchange, path)) return;
  if (/^\/(v1\.0|beta)(\/|$)/.test(path)) return answerGraph(exchange, services, path);
  sendGraphError(exchange, 404, "ResourceNotFound", "Resource not found for the segment.");
}

async function answerGraph(exchange: Exchange, { tokens, pages, world }: Services, path: string): Promise<void> {
  const bearer = /^Bearer\s+(\S+)$/i.exec(String(exchange.request.headers.authorization ?? ""))?.[1];
  if (bearer === undefined) return sendGraphUnauthorized(exchange, "empty");
  const grant = tokens.find(bearer);
  if (grant === undefined) return sendGraphUnauthorized(exchange, bearer.includes(".") ? "expired" : "malformed");
  if (grant.expiresMs <= exchange.nowMs) return sendGraphUnauthorized(exchange, "expired");
  if (grant.api !== "graph") return sendGraphUnauthorized(exchange, "audience");
  const target = graphStream(path);
  if (target === undefined) {
    return sendGraphError(exchange, 400, "BadRequest", `Resource not found for the segment '${path.split("/").at(2) ?? ""}'.`);
  }
  const { facts, id, children } = target;
  if (!facts.roles.some((role) => grant.permissions.includes(role))) return sendGraphForbidden(exchange, grant, facts);
  const { customer } = grant;
  const counters = customer.counters.apis.graph;
  counters.requests += 1;
  counters.lastAtMs = exchange.nowMs;
  counters.inFlight += 1;
  counters.maxInFlight = Math.max(counters.maxInFlight, counters.inFlight);
  exchange.response.once("close", () => {
    counters.inFlight -= 1;
  });
  for (const table of Object.values(customer.tables)) table.settle(world.clock.nowMs());
  if (exchange.request.method !== "GET") return sendGraphError(exchange, 405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.");
  if (id === undefined) return answerGraphList(exchange, customer, facts, pages);
  return children ? answerGraphChildren(exchange, customer, id) : answerGraphOne(exchange, customer, facts, id);
}
