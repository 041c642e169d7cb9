/**
 * Customers with failures of every kind beside two healthy ones, with the built binary under the fake
 * splunkd. What is expected of each stands in broken-customers.json, written by hand.
 */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import type { Splunkd } from "../harness/splunkd/splunkd.ts";
import { startSplunkd } from "../harness/splunkd/splunkd.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(240_000);

const WITHIN_MS = 60_000;

/** One customer of the table. */
interface Broken {
  readonly name: string;
  readonly situation: string;
  /** What differs from a healthy customer; empty: the setting is missing. */
  readonly settings: Readonly<Record<string, string>>;
  /** The customer has a tenant of its own: without the app, or answering sign-ins with this AADSTS number. */
  readonly entra?: "absent" | number;
  /** `say` and `next_step` are parts of the sentences; `tenant_id` is the healthy customer's if undefined. */
  readonly expect: {
    readonly tenant_id?: string;
    readonly stream: string;
    readonly state: string;
    readonly failure: string;
    readonly actor: string;
    readonly say: string;
    readonly next_step: string;
  };
}

const TABLE = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "broken-customers.json"), "utf8"),
) as readonly Broken[];

interface Health {
  readonly time: string;
  readonly tenant: string;
  readonly tenant_id: string;
  readonly streams: readonly Readonly<Record<string, unknown>>[];
}

interface Written {
  readonly stanza: string;
  readonly source: string;
  readonly health: Health;
}

const scratch = mkdtempSync(path.join(tmpdir(), "broken-customers-"));
const sockets = new Set<net.Socket>();
const hanging = net.createServer((socket) => {
  sockets.add(socket);
  socket.on("error", () => undefined);
});
let simulator: Simulator;
let splunkd: Splunkd;
let startedAtMs = 0;
let written: readonly Written[] = [];
let delivered = "";

beforeAll(async () => {
  await new Promise<void>((resolve) => hanging.listen(0, "127.0.0.1", resolve));
  simulator = await startSimulator({ shiftToNow: true });
  for (const { name, entra } of TABLE) if (entra !== undefined) addTenant(name, entra);
  const out = path.join(scratch, "out.xml");
  splunkd = await startSplunkd({
    app: await unpackedAddon(),
    home: path.join(scratch, "home"),
    out,
    conf: inputsConf(),
    validate: 0,
  });
  const { port } = hanging.address() as net.AddressInfo;
  await splunkd.until(
    ({ log }) => TABLE.every(({ name }) => log.some((line) => line.includes("failure=") && line.includes(name))),
    `one line for each broken customer (hanging: port ${port})`,
    180_000,
  );
  await splunkd.stop();
  const starts = splunkd.log.filter((line) => line.includes(" started scheme="));
  startedAtMs = Date.parse((starts.at(-1) ?? "").slice(0, 29));
  delivered = readFileSync(out, "utf8");
  written = healthIn(delivered);
});

afterAll(async () => {
  if (splunkd.isRunning) await splunkd.stop();
  await simulator.stop();
  for (const socket of sockets) socket.destroy();
  hanging.close();
  rmSync(scratch, { recursive: true, force: true });
});

function addTenant(name: string, entra: "absent" | number): void {
  const { world } = simulator.control;
  const customer = world.addCustomer(name);
  if (entra === "absent") customer.setConsent("absent");
  else world.faults.add({ on: ["token"], customers: [name], answer: { aadsts: entra } });
}

/** Whose tenant and app a customer of the table has. */
const tenantOf = ({ name, entra }: Broken): string => (entra === undefined ? "tailspin" : name);

async function unpackedAddon(): Promise<string> {
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    const file = path.join(scratch, entry.path);
    mkdirSync(entry.path.endsWith("/") ? file : path.dirname(file), { recursive: true });
    if (entry.path.endsWith("/")) continue;
    writeFileSync(file, entry.content);
    chmodSync(file, entry.mode);
  }
  return path.join(scratch, "TA_defender_mssp");
}

/** Two healthy customers, and those of the table, which differ from a healthy one in their `settings`. */
function inputsConf(): string {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const { port } = hanging.address() as net.AddressInfo;
  const of = (name: string) => {
    const { tenant_id, client_id, client_secret } = simulator.control.customer(name);
    const signIn = { tenant_id, client_id, client_secret, auth: "app" };
    return { ...signIn, login_url, graph_url, api_url, ca_file, streams: "alerts", poll_seconds: "5", start: "3650d" };
  };
  const broken = TABLE.map((one) => [one.name, { ...of(tenantOf(one)), ...one.settings }] as const);
  const stanzas = [["contoso", of("contoso")] as const, ["fabrikam", of("fabrikam")] as const, ...broken];
  const file = path.join(scratch, "inputs.conf");
  const allowed = path.join(scratch, "home/etc/auth/defender_mssp");
  const filledIn = (value: string) =>
    value.replace("{hanging}", `https://127.0.0.1:${port}`).replace("{allowed}", allowed);
  const text = stanzas.map(
    ([name, values]) =>
      `[defender_mssp://${name}]\n${Object.entries(values)
        .filter(([, value]) => value !== "")
        .map(([key, value]) => `${key} = ${filledIn(value)}\n`)
        .join("")}`,
  );
  writeFileSync(file, text.join("\n"));
  return file;
}

function healthIn(xml: string): Written[] {
  const event =
    /<event stanza="defender_mssp:\/\/([^"]*)"[^>]*><time>[^<]*<\/time><source>(defender_mssp:health:[^<]*)<\/source>.*?<data>(.*?)<\/data>/gs;
  return [...xml.matchAll(event)].map(([, stanza = "", source = "", data = ""]) => ({
    stanza,
    source,
    health: JSON.parse(data.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")) as Health,
  }));
}

test.each(TABLE)("P24 $name is reported within 60 s of the start: $situation", (one) => {
  const { name, expect: wanted } = one;
  const { tenant_id = simulator.control.customer(tenantOf(one)).tenant_id, say, next_step, ...entry } = wanted;
  const own = written.filter(({ stanza, health }) => stanza === name && Date.parse(health.time) >= startedAtMs);
  const found = own.find(({ health }) => health.streams[0]?.["failure"] === entry.failure) ?? own[0];
  expect(found?.health).toMatchObject({ tenant: name, tenant_id });
  expect(found?.source).toBe(`defender_mssp:health:${tenant_id || "unknown"}`);
  expect(found?.health.streams).toEqual([
    expect.objectContaining({
      ...entry,
      say: expect.stringContaining(say),
      next_step: expect.stringContaining(next_step),
    }),
  ]);
  expect(Date.parse(found?.health.time ?? "") - startedAtMs).toBeLessThanOrEqual(WITHIN_MS);
});

test.each(["contoso", "fabrikam"])("%s is collected beside the broken customers", (name) => {
  const states = written.filter(({ stanza }) => stanza === name).map(({ health }) => health.streams[0]?.["state"]);
  expect(states).toContain("ok");
  expect(delivered).toContain(`"tenant":"${name}"`);
});
