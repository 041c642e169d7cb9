/**
 * The other process of `--ceiling`: asks for every page of every customer's alerts, all customers at once,
 * and throws the bytes away. It does not even unzip: the simulator leaves a page's head uncompressed inside
 * the gzip member, so the next link can be read off the first bytes.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import type { ReaderReport } from "./ceiling.ts";
import type { Ready, ReadyCustomer } from "./start.ts";

async function fetchAll(ready: Ready): Promise<ReaderReport> {
  const agent = new Agent({ keepAlive: true, ca: readFileSync(ready.ca_file), maxSockets: ready.customers.length });
  const tokens = await Promise.all(ready.customers.map((customer) => tokenFor(ready, customer, agent)));
  const startMs = performance.now();
  const walks = await Promise.all(tokens.map((token) => walk(ready, token, agent)));
  const seconds = (performance.now() - startMs) / 1000;
  agent.destroy();
  return {
    seconds,
    pages: sum(walks.map(({ pages }) => pages)),
    compressedBytes: sum(walks.map(({ bytes }) => bytes)),
  };
}

const sum = (all: readonly number[]): number => all.reduce((total, one) => total + one, 0);

async function walk(ready: Ready, token: string, agent: Agent): Promise<{ pages: number; bytes: number }> {
  const from = new Date(Date.parse(ready.now) - 7 * 86_400_000).toISOString();
  let url: string | undefined =
    `${ready.graph_url}/v1.0/security/alerts_v2?$filter=${encodeURIComponent(`lastUpdateDateTime ge ${from}`)}&$orderby=${encodeURIComponent("lastUpdateDateTime asc")}&$top=1000`;
  let [pages, bytes] = [0, 0];
  while (url !== undefined) {
    const { head, length } = await get(url, { authorization: `Bearer ${token}`, "accept-encoding": "gzip" }, agent);
    pages += 1;
    bytes += length;
    const link: string | undefined = /"@odata\.nextLink":"([^"]+)"/.exec(head)?.[1];
    url = link;
  }
  return { pages, bytes };
}

function get(
  url: string,
  headers: Record<string, string>,
  agent: Agent,
  body?: string,
): Promise<{ head: string; length: number }> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, headers, method: body === undefined ? "GET" : "POST" }, (response) => {
      let head = "";
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        if (head.length < 4096) head += chunk.toString("latin1");
        length += chunk.length;
      });
      response.on("end", () => resolve({ head, length }));
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

async function tokenFor(ready: Ready, customer: ReadyCustomer, agent: Agent): Promise<string> {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: customer.client_id,
    client_secret: customer.client_secret,
    scope: "https://graph.microsoft.com/.default",
  });
  const { head } = await get(
    `${ready.login_url}/${customer.tenant_id}/oauth2/v2.0/token`,
    { "content-type": "application/x-www-form-urlencoded" },
    agent,
    form.toString(),
  );
  return (JSON.parse(head) as { access_token: string }).access_token;
}

process.on("message", (ready: Ready) => {
  void fetchAll(ready).then((report) => process.send?.(report));
});
