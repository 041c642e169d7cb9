import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { type Access, admit, admitGrant } from "./api/access.ts";
import { answerDefenderList, answerDefenderOne, defenderStream } from "./api/defender.ts";
import { answerGraphChildren, answerGraphList, answerGraphOne, answerOrganization, graphStream } from "./api/graph.ts";
import { answerHunting } from "./api/hunting.ts";
import type { PageCache } from "./api/page.ts";
import { answerSiemAlerts } from "./api/siem.ts";
import { defenderVoice, graphVoice, type Rights } from "./api/voice.ts";
import { hostOf, type Service } from "./clouds.ts";
import type { Entra } from "./entra/sign-in.ts";
import type { TokenShop } from "./entra/tokens.ts";
import type { Exchange } from "./exchange.ts";
import { guid } from "./identity.ts";
import { answerImds } from "./imds.ts";
import { answerPartnerCenter, isPartnerCenter } from "./provider/partner-center.ts";
import { answerPrincipals, notFound } from "./provider/principals.ts";
import { answerRelationships, relationshipList } from "./provider/relationship-lists.ts";
import { STREAMS } from "./streams.ts";
import type { Customer, World } from "./world.ts";

export interface Services {
  readonly world: World;
  readonly entra: Entra;
  readonly tokens: TokenShop;
  readonly pages: PageCache;
  /** Before each answer: does what the scenario has due. */
  refresh(): void;
}

const BODY_MAX_BYTES = 1024 * 1024;

/** The handler of Microsoft's side. `only` says which service listens there when the Host header does not. */
export function microsoftListener(services: Services, only?: Service): RequestListener {
  let count = 0;
  return (request, response) => {
    count += 1;
    services.refresh();
    const exchange = makeExchange(
      request,
      response,
      services.world.clock.nowMs(),
      guid("request", `${only ?? ""}${count}`),
    );
    answer(exchange, services, hostOf(request.headers.host)?.service ?? only).catch((error: unknown) => {
      process.stderr.write(
        `simulator: ${request.method} ${request.url}: ${error instanceof Error ? error.stack : String(error)}\n`,
      );
      if (response.headersSent) response.destroy();
      else graphVoice.failed(exchange, 500, undefined, "The simulator failed; its standard error says why.");
    });
  };
}

/** The handler of the machine's own metadata service, plain http. */
export function imdsListener(services: Services): RequestListener {
  let count = 0;
  return (request, response) => {
    count += 1;
    services.refresh();
    const { world, tokens } = services;
    answerImds(makeExchange(request, response, world.clock.nowMs(), guid("request", `imds${count}`)), world, tokens);
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
    damage: undefined,
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

async function answer(exchange: Exchange, services: Services, only: Service | undefined): Promise<void> {
  const path = exchange.url.pathname;
  if (only === "siem") return answerSiem(exchange, services, path);
  if ((only === undefined || only === "login") && (await services.entra.answer(exchange, path))) return;
  if (
    (only === undefined || only === "partnercenter") &&
    services.world.provider !== undefined &&
    isPartnerCenter(path)
  )
    return answerPartnerCenter(exchange, services.world, services.world.provider, services.tokens);
  if ((only === undefined || only === "graph") && /^\/(v1\.0|beta)(\/|$)/.test(path))
    return answerGraph(exchange, services, path);
  if ((only === undefined || only === "api") && path.startsWith("/api/"))
    return answerDefender(exchange, services, path);
  graphVoice.failed(exchange, 404, undefined, "Resource not found.");
}

const HUNTING_RIGHTS: Rights = { roles: ["ThreatHunting.Read.All"], scopes: ["ThreatHunting.Read.All"] };
const NO_RIGHTS: Rights = { roles: [], scopes: [] };

async function answerGraph(exchange: Exchange, { tokens, pages, world }: Services, path: string): Promise<void> {
  if (/^\/(v1\.0|beta)\/security\/(microsoft\.graph\.security\.)?runHuntingQuery$/i.test(path)) {
    const customer = admit(
      exchange,
      {
        api: "graph",
        budget: "hunting",
        target: "hunting",
        rights: HUNTING_RIGHTS,
        voice: graphVoice,
        methods: ["POST"],
      },
      world,
      tokens,
    );
    return customer === undefined ? undefined : answerHunting(exchange, customer, graphVoice, "graph");
  }
  if (/^\/v1\.0\/(applications|servicePrincipals)/.test(path)) {
    const access: Access = {
      api: "graph",
      budget: "graph",
      target: "directory",
      rights: NO_RIGHTS,
      voice: graphVoice,
      methods: ["GET", "POST"],
    };
    const grant = admitGrant(exchange, access, world, tokens);
    if (grant === undefined || (await answerPrincipals(exchange, grant, world, path))) return;
    if (await world.directory.answer(exchange, path)) return;
    notFound(exchange, path.split("/").at(-1) ?? "");
    return;
  }
  const list = relationshipList(world, path);
  if (list !== undefined) return answerRelationships(exchange, list, world, tokens);
  const target = graphStream(path);
  const customer = admit(
    exchange,
    {
      api: "graph",
      budget: "graph",
      target: target?.facts.name ?? "alerts",
      rights: target?.facts ?? NO_RIGHTS,
      voice: graphVoice,
    },
    world,
    tokens,
  );
  if (customer === undefined) return;
  settle(customer, world);
  if (/^\/v1\.0\/organization$/.test(path)) return answerOrganization(exchange, customer);
  if (target === undefined)
    return graphVoice.failed(
      exchange,
      400,
      "BadRequest",
      `Resource not found for the segment '${path.split("/").at(-1) ?? ""}'.`,
    );
  const { facts, id, children } = target;
  if (id === undefined) return answerGraphList(exchange, customer, facts, pages);
  if (children) answerGraphChildren(exchange, customer, id);
  else answerGraphOne(exchange, customer, facts, id);
}

/** The older hunting calls stop on this day (Microsoft Graph docs, security API overview). */
const OLDER_HUNTING_ENDS_MS = Date.parse("2027-02-01T00:00:00Z");

async function answerDefender(exchange: Exchange, { tokens, pages, world }: Services, path: string): Promise<void> {
  const hunting = /^\/api\/(?:v1\.0\/)?(advancedqueries|advancedhunting)\/run$/i.exec(path)?.[1]?.toLowerCase();
  if (hunting !== undefined && exchange.nowMs < OLDER_HUNTING_ENDS_MS) {
    const api = hunting === "advancedqueries" ? "mde" : "xdr";
    const customer = admit(
      exchange,
      { api, budget: "hunting", target: "hunting", rights: NO_RIGHTS, voice: defenderVoice, methods: ["POST"] },
      world,
      tokens,
    );
    return customer === undefined ? undefined : answerHunting(exchange, customer, defenderVoice, "older");
  }
  const target = defenderStream(path);
  if (target === undefined)
    return defenderVoice.failed(
      exchange,
      404,
      undefined,
      `No HTTP resource was found that matches the request URI '${path}'.`,
    );
  const { facts, id } = target;
  const api = facts.api === "xdr" ? "xdr" : "mde";
  const customer = admit(
    exchange,
    { api, budget: api, target: facts.name, rights: facts, voice: defenderVoice },
    world,
    tokens,
  );
  if (customer === undefined) return;
  settle(customer, world);
  if (id === undefined) return answerDefenderList(exchange, customer, facts, pages);
  answerDefenderOne(exchange, customer, facts, id);
}

function answerSiem(exchange: Exchange, { tokens, world }: Services, path: string): void {
  if (!/^\/api\/alerts\/?$/i.test(path)) {
    defenderVoice.failed(
      exchange,
      404,
      undefined,
      `No HTTP resource was found that matches the request URI '${path}'.`,
    );
    return;
  }
  const customer = admit(
    exchange,
    { api: "siem", budget: "siem", target: "siem-alerts", rights: STREAMS["siem-alerts"], voice: defenderVoice },
    world,
    tokens,
  );
  if (customer === undefined) return;
  settle(customer, world);
  answerSiemAlerts(exchange, customer);
}

function settle(customer: Customer, world: World): void {
  for (const table of Object.values(customer.tables)) table.settle(world.clock.nowMs());
}
