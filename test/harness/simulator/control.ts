import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Action } from "./actions.ts";
import { SHARED_APP } from "./identity.ts";
import { providerView } from "./provider/oracle.ts";
import { readChecked, ScenarioRefused } from "./scenario/check.ts";
import { ACTIONS, actionSpec } from "./scenario/spec.ts";
import { shownLines } from "./shown.ts";
import type { Customer, World } from "./world.ts";

export interface Controlled {
  readonly world: World;
  refresh(): void;
  perform(action: Action): Readonly<Record<string, unknown>>;
}

/**
 * The control API: plain http on loopback, so that curl needs nothing. docs/harness.md lists every route.
 * Answers are JSON; a mistake is 400 with one sentence.
 */
export function controlListener(controlled: Controlled): RequestListener {
  return (request, response) => {
    controlled.refresh();
    route(request, response, controlled).catch((error: unknown) => {
      const expected = error instanceof ScenarioRefused;
      sendJson(response, expected ? 400 : 500, { error: error instanceof Error ? error.message : String(error) });
    });
  };
}

async function route(request: IncomingMessage, response: ServerResponse, controlled: Controlled): Promise<void> {
  const { world } = controlled;
  const { pathname } = new URL(request.url ?? "/", "http://127.0.0.1");
  const path = pathname
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const [first = "", name = "", what = ""] = path;
  if (request.method === "GET" && path.length === 1) {
    if (first === "shown") {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      Readable.from(shownLines(world)).pipe(response);
      return;
    }
    if (first === "state") return sendJson(response, 200, stateOf(world));
    if (first === "faults") return sendJson(response, 200, world.faults.list());
    if (first === "provider" && world.provider !== undefined) return sendJson(response, 200, providerView(world));
  }
  if (request.method === "DELETE" && pathname === "/provider/requests" && world.provider !== undefined) {
    world.provider.requests.length = 0;
    return sendJson(response, 200, providerView(world));
  }
  if (request.method === "DELETE" && pathname === "/pauses") {
    for (const { counters } of world.customers.values())
      for (const counter of Object.values(counters.apis)) counter.longestPauseMs = 0;
    return sendJson(response, 200, {});
  }
  if (request.method === "DELETE" && first === "faults" && path.length <= 2) {
    world.faults.remove(path.length === 2 ? Number(name) : undefined);
    return sendJson(response, 200, world.faults.list());
  }
  if (request.method === "POST") {
    const kind = path.length === 1 ? (PLURALS[first] ?? first) : path.length === 3 && first === "customers" ? what : "";
    if (path.length === 3 && !world.customers.has(name)) throw new ScenarioRefused(`There is no customer "${name}".`);
    if (kind in ACTIONS) {
      const results = actionsIn(await bodyOf(request), kind, path.length === 3 ? [name] : undefined).map((action) =>
        controlled.perform(action),
      );
      return sendJson(response, 200, results.length === 1 ? results[0] : results);
    }
  }
  sendJson(response, 404, {
    error: `There is no ${request.method} ${pathname} here; docs/harness.md lists every route.`,
  });
}

const PLURALS: Readonly<Record<string, string>> = { faults: "fault", records: "record" };

/** One action, or a list of them; the member `do` may be left out, the route says it. */
function actionsIn(body: string, kind: string, customers: readonly string[] | undefined): Action[] {
  let given: unknown;
  try {
    given = body.trim() === "" ? {} : JSON.parse(body);
  } catch {
    throw new ScenarioRefused("The body is not JSON.");
  }
  return (Array.isArray(given) ? given : [given]).map((one: unknown) => {
    const members = {
      ...(one as Record<string, unknown>),
      do: kind,
      ...(customers === undefined ? {} : { customers }),
    };
    return readChecked(JSON.stringify(members, undefined, 1), `POST ${kind}`, actionSpec(kind)) as unknown as Action;
  });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(value)}\n`);
}

function stateOf(world: World): unknown {
  return {
    now: textOf(world.clock.nowMs()),
    shared_app: { client_id: SHARED_APP.clientId, client_secret: SHARED_APP.clientSecret },
    customers: [...world.customers.values()].map((customer) => customerState(customer, world.clock.nowMs())),
  };
}

function customerState({ identity, consent, counters, tables }: Customer, nowMs: number): unknown {
  for (const table of Object.values(tables)) table.settle(nowMs);
  const apis = Object.entries(counters.apis).map(
    ([api, { lastAtMs, longestPauseMs, maxInFlight, inFlight, ...rest }]) => [
      api,
      {
        ...rest,
        in_flight: inFlight,
        max_in_flight: maxInFlight,
        longest_pause_ms: longestPauseMs,
        last_at: lastAtMs === undefined ? null : textOf(lastAtMs),
      },
    ],
  );
  return {
    tenant_name: identity.name,
    tenant_id: identity.tenantId,
    consent,
    token_requests: counters.tokenRequests,
    tokens_issued: counters.tokensIssued,
    token_errors: counters.tokenErrors,
    apis: Object.fromEntries(apis) as Record<string, unknown>,
    visible: Object.fromEntries(Object.entries(tables).map(([stream, table]) => [stream, table.visible().length])),
  };
}

const textOf = (ms: number): string => new Date(ms).toISOString();
