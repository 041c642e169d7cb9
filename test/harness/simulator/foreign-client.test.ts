import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client, type PageCollection, PageIterator } from "@microsoft/microsoft-graph-client";
import { Agent, fetch as undiciFetch } from "undici";
import { scenarioOf } from "./scenario/apply.ts";
import { type Simulator, startSimulator } from "./start.ts";
import { visit } from "./visitor.ts";

let simulator: Simulator;
let agent: Agent;

beforeAll(async () => {
  simulator = await startSimulator({
    scenario: scenarioOf(
      "{ name: walk, story: walk, start: '2026-11-24T08:00:00Z', customers: [{ name: contoso, generate: [{ stream: alerts, count: 2345, ties: { groups: 2, size: 300 } }, { stream: incidents, count: 120 }] }] }",
      "walk",
    ),
    frozen: true,
  });
  agent = new Agent({ connect: { ca: readFileSync(simulator.ready.ca_file) } });
});

afterAll(async () => {
  await agent.close();
  await simulator.stop();
});

/** Microsoft's own client with the simulator's address and certificate; no code of this project is in it. */
async function graphClient(): Promise<Client> {
  const visitor = visit(simulator);
  const token = await visitor.appToken(simulator.control.customer("contoso"));
  await visitor.close();
  globalThis.fetch = ((url: string, options: object) =>
    undiciFetch(url, { ...options, dispatcher: agent })) as unknown as typeof fetch;
  const host = new URL(simulator.ready.graph_url);
  return Client.initWithMiddleware({
    baseUrl: `${simulator.ready.graph_url}/`,
    customHosts: new Set([host.hostname, host.host]),
    authProvider: { getAccessToken: () => Promise.resolve(token) },
  });
}

test.each([
  ["/security/alerts_v2?$orderby=lastUpdateDateTime asc&$top=500", 2345],
  ["/security/incidents?$count=true", 120],
])("Microsoft's Graph client reads %s to the end", async (path, wanted) => {
  const before = globalThis.fetch;
  const client = await graphClient();
  const ids: string[] = [];

  const first = (await client.api(path).get()) as PageCollection;
  const pages = new PageIterator(client, first, (row: { id: string }) => {
    ids.push(row.id);
    return true;
  });
  await pages.iterate();
  globalThis.fetch = before;

  expect(pages.isComplete()).toBe(true);
  expect(new Set(ids).size).toBe(wanted);
  expect(ids).toHaveLength(wanted);
});
