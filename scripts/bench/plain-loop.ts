/**
 * The baseline: what one writes in an afternoon with Microsoft's own client. argv[2] is the simulator's ready
 * line, argv[3] the start (ISO).
 */
import { once } from "node:events";
import { Client, type PageCollection, PageIterator } from "@microsoft/microsoft-graph-client";

const { login_url, graph_url, customers } = JSON.parse(process.argv[2] ?? "{}") as {
  login_url: string;
  graph_url: string;
  customers: { tenant_id: string; client_id: string; client_secret: string }[];
};
const start = process.argv[3] ?? "";
const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

async function collect(tenant: string, clientId: string, secret: string): Promise<void> {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: clientId,
    client_secret: secret,
    scope: "https://graph.microsoft.com/.default",
  });
  const answer = (await (
    await fetch(`${login_url}/${tenant}/oauth2/v2.0/token`, { method: "POST", body: form })
  ).json()) as {
    access_token: string;
  };
  const client = Client.init({
    baseUrl: graph_url,
    customHosts: new Set([new URL(graph_url).hostname]),
    authProvider: (done) => done(null, answer.access_token),
  });
  const first = (await client
    .api("/security/alerts_v2")
    .filter(`lastUpdateDateTime ge ${start}`)
    .orderby("lastUpdateDateTime")
    .top(1000)
    .get()) as PageCollection;
  const batch: string[] = [];
  const pages = new PageIterator(client, first, (alert: { lastUpdateDateTime: string }) => {
    const text = JSON.stringify(alert).replaceAll(/[&<>]/g, (character) => escapes[character] ?? character);
    const time = Date.parse(alert.lastUpdateDateTime) / 1000;
    batch.push(
      `<event><time>${time}</time><source>defender_mssp:alerts:${tenant}</source><data>${text}</data><done/></event>\n`,
    );
    // False pauses the iterator: what is written faster than it is read piles up, and above a gigabyte the
    // runtime gives up.
    return batch.length < 100 || process.stdout.write(batch.splice(0).join(""));
  });
  for (await pages.iterate(); !pages.isComplete(); await pages.resume()) await once(process.stdout, "drain");
  process.stdout.write(batch.join(""));
}

// All customers wait for the one pipe.
process.stdout.setMaxListeners(0);
await Promise.all(
  customers.map(({ tenant_id, client_id, client_secret }) => collect(tenant_id, client_id, client_secret)),
);
