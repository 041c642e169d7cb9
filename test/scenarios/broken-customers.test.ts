/**
 * 60 customers of which 36 are broken, each in its own way, with the built binary under the fake splunkd,
 * whose own certificate expired yesterday as well.
 * What is expected of the broken ones stands in broken-customers.json, written by hand.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import { type Awkward, makeAwkwardCertificate } from "../harness/awkward-certificates.ts";
import { type ConnectProxyOptions, startConnectProxy } from "../harness/connect-proxy.ts";
import type { FaultRule } from "../harness/simulator/faults.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { Splunkd } from "../harness/splunkd/splunkd.ts";
import { startTlsFront } from "../harness/tls-front.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(300_000);
const BUSY_MACHINE_MS = 180_000;

const WITHIN_S = 60;

/** A customer that differs from an ordinary one in its settings, or in what Microsoft answers. */
interface Customer {
  readonly name: string;
  readonly situation: string;
  /** What differs from an ordinary customer; empty: the setting is missing. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The tenant does not know the app, or answers each sign-in with this AADSTS number. */
  readonly entra?: "absent" | "absent-AADSTS700016" | number;
  readonly faults?: readonly Omit<FaultRule, "customers">[];
}

interface Broken extends Customer {
  /** The wait that was asked for is not kept: the next request is not later than so many seconds from now. */
  readonly retry_within_s?: number;
  /** `say` and `next_step` are parts of the sentences; `tenant_id` is the customer's own if undefined. */
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

const BROKEN = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "broken-customers.json"), "utf8"),
) as readonly Broken[];

/** Customers that look broken and are not, and ordinary ones. */
const HEALTHY: readonly Customer[] = [
  { name: "contoso", situation: "an ordinary customer" },
  { name: "fabrikam", situation: "an ordinary customer with two alerts of Microsoft's documentation" },
  {
    name: "proxy-percent",
    situation: "the proxy's password contains %",
    settings: { proxy: "http://mssp:50%off@{proxy-percent}" },
  },
  {
    name: "proxy-hash",
    situation: "the proxy's password contains #",
    settings: { proxy: "http://mssp:a#b@{proxy-hash}" },
  },
  {
    name: "proxy-slash",
    situation: "the proxy's password contains /",
    settings: { proxy: "http://mssp:12/3@{proxy-slash}" },
  },
  {
    name: "proxy-question",
    situation: "the proxy's password contains ?",
    settings: { proxy: "http://mssp:a?b=c@{proxy-question}" },
  },
  { name: "connect-204", situation: "the proxy answers CONNECT with 204", settings: { proxy: "http://{proxy-204}" } },
  {
    name: "connect-length",
    situation: "the proxy answers CONNECT with 200 and a Content-Length",
    settings: { proxy: "http://{proxy-length}" },
  },
  {
    name: "issuing-ca",
    situation: "ca_file holds the issuing authority, but not its root",
    settings: { graph_url: "{issuing}", ca_file: "{issuing-ca}" },
  },
  {
    name: "token-prefix",
    situation: "a byte order mark stands before each token answer",
    faults: [{ on: ["token"], answer: { body: "bom" } }],
  },
  {
    name: "alerts-prefix",
    situation: "a byte order mark stands before the alerts",
    faults: [{ on: ["alerts"], answer: { body: "bom" } }],
  },
  {
    name: "short-wait",
    situation: "the API answers the first request with 503 and asks for a second's wait",
    faults: [{ on: ["alerts"], times: 1, answer: { status: 503, retry_after_seconds: 1 } }],
  },
  {
    name: "domain",
    situation: "tenant_id is a domain",
    settings: { tenant_id: "domain.onmicrosoft.com" },
  },
  {
    name: "shared-app",
    situation: "its app is shared with a customer that has not consented",
    settings: { client_id: "{shared-app}", client_secret: "{shared-secret}" },
  },
  { name: "user-token", situation: "it is read with a user's refresh token", settings: { auth: "refresh_token" } },
  ...Array.from({ length: 9 }, (_, n) => ({ name: `ordinary-${n + 1}`, situation: "an ordinary customer" })),
];

/** The proxies of customers, by their names in settings. */
const PROXIES: Readonly<Record<string, ConnectProxyOptions>> = {
  "proxy-percent": { login: "mssp:50%off" },
  "proxy-hash": { login: "mssp:a#b" },
  "proxy-slash": { login: "mssp:12/3" },
  "proxy-question": { login: "mssp:a?b=c" },
  "proxy-204": { opensWith: "204 No Content" },
  "proxy-length": { opensWith: "200 OK\r\nContent-Length: 17" },
};

/** Services with a certificate of their own before the simulator, by their names in settings. */
const FRONTS: Readonly<Record<string, Awkward>> = {
  "weak-key": "1024-bit key",
  "weak-signature": "SHA-1 signature",
  issuing: "intermediate authority",
};

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
const closers: (() => void)[] = [];
/** What `{name}` in a setting or an expected sentence stands for. */
const places: Record<string, string> = { "shared-app": SHARED_APP.clientId, "shared-secret": SHARED_APP.clientSecret };
let simulator: Simulator;
let splunkd: Splunkd;
let startedAtMs = 0;
let written: readonly Written[] = [];
let delivered = "";

beforeAll(async () => {
  simulator = await startSimulator({ shiftToNow: true });
  await openServices();
  for (const customer of [...BROKEN, ...HEALTHY]) addToSimulator(customer);
  const out = path.join(scratch, "out.xml");
  splunkd = await Splunkd.make({
    app: await unpackedAddon(),
    home: path.join(scratch, "home"),
    out,
    conf: inputsConf(),
    validate: 0,
    certificate: "expired",
  });
  await storeSharedCredential("not-the-right-secret");
  await splunkd.begin();
  const isLogged = (part: RegExp) => splunkd.log.some((line) => part.test(line));
  await splunkd.until(
    () => isLogged(/tenant=shared-wrong .*failure=secret-wrong/),
    "the wrong secret",
    BUSY_MACHINE_MS,
  );
  await storeSharedCredential(SHARED_APP.clientSecret);
  const reports = [
    ...BROKEN.map(({ name, expect: { failure } }) => new RegExp(`(tenant|customer)="?${name}"? .*failure=${failure}`)),
    ...HEALTHY.map(({ name }) => new RegExp(`tenant=${name} stream=alerts state=ok`)),
    /tenant=shared-wrong stream=alerts state=ok/,
  ];
  await splunkd.until(
    () => reports.every(isLogged),
    `lines of ${reports.filter((report) => !isLogged(report)).join(", ")}`,
    BUSY_MACHINE_MS,
  );
  await splunkd.stop();
  const starts = splunkd.log.filter((line) => line.includes(" started scheme="));
  startedAtMs = Date.parse((starts.at(-1) ?? "").slice(0, 29));
  delivered = readFileSync(out, "utf8");
  written = healthIn(delivered);
});

afterAll(async () => {
  if (splunkd.isRunning) await splunkd.stop();
  for (const close of closers) close();
  await simulator.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Servers and files that settings name. */
async function openServices(): Promise<void> {
  const sockets = new Set<net.Socket>();
  const hanging = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => hanging.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    hanging.close();
  });
  places["hanging"] = `https://127.0.0.1:${(hanging.address() as net.AddressInfo).port}`;
  for (const [name, options] of Object.entries(PROXIES)) {
    const proxy = await startConnectProxy(options);
    closers.push(() => proxy.close());
    places[name] = `127.0.0.1:${proxy.port}`;
  }
  const ca = readFileSync(simulator.ready.ca_file, "utf8");
  for (const [name, awkward] of Object.entries(FRONTS)) {
    const certificate = await makeAwkwardCertificate(awkward);
    const front = await startTlsFront(certificate, { origin: simulator.ready.graph_url, ca });
    closers.push(() => front.close());
    places[name] = front.origin;
    places[`${name}-ca`] = path.join(scratch, `${name}.pem`);
    writeFileSync(places[`${name}-ca`] as string, ca + certificate.caPem);
  }
  places["allowed"] = path.join(scratch, "home/etc/auth/defender_mssp");
  places["unreadable"] = path.join(places["allowed"], "unreadable.pem");
  mkdirSync(places["allowed"], { recursive: true });
  writeFileSync(places["unreadable"], ca, { mode: 0o000 });
  // root reads every file whatever its mode, but no program reads 3 GiB at once.
  truncateSync(places["unreadable"], 3 * 2 ** 30);
}

function addToSimulator({ name, entra, faults = [] }: Customer): void {
  const { world } = simulator.control;
  const isNew = !world.customers.has(name);
  const customer = world.addCustomer(name);
  if (isNew) {
    const rule = { stream: "alerts", count: 1, from: -86_400_000 };
    simulator.control.perform({ do: "generate", customers: [name], ...rule });
  }
  if (typeof entra === "string") {
    customer.setConsent("absent");
    if (entra === "absent-AADSTS700016") customer.absentApp = 700016;
  } else if (entra !== undefined) world.faults.add({ on: ["token"], customers: [name], answer: { aadsts: entra } });
  for (const fault of faults) world.faults.add({ ...fault, customers: [name] });
}

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

const filledIn = (text: string) => text.replaceAll(/\{([a-z0-9-]+)\}/g, (_, name: string) => places[name] ?? name);

function inputsConf(): string {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const ordinary = { login_url, graph_url, api_url, ca_file, streams: "alerts", poll_seconds: "5", start: "3650d" };
  const text = [...HEALTHY, ...BROKEN].map(({ name, settings = {} }) => {
    const { tenant_id, client_id, client_secret, refresh_token } = simulator.control.customer(name);
    const signIn = settings["auth"] === "refresh_token" ? { refresh_token } : { auth: "app" };
    const values = { tenant_id, client_id, client_secret, ...signIn, ...ordinary, ...settings };
    const lines = Object.entries(values).filter(([, value]) => value !== "");
    return `[defender_mssp://${name}]\n${lines.map(([key, value]) => `${key} = ${filledIn(value)}\n`).join("")}`;
  });
  const file = path.join(scratch, "inputs.conf");
  writeFileSync(file, text.join("\n"));
  return file;
}

/** Runs `credential set` of the built program, as an operator does. */
async function storeSharedCredential(secret: string): Promise<void> {
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const splunk = { to: "splunk", splunk_uri: splunkd.serverUri, splunk_user: "admin", splunkd_ca_file: splunkd.caFile };
  const settings = { client_id: SHARED_APP.clientId, login_url, graph_url, api_url, ca_file, ...splunk };
  const flags = Object.entries(settings).flatMap(([key, value]) => [`--${key.replaceAll("_", "-")}`, value]);
  const argv = ["credential", "set", "mssp", ...flags];
  const secrets = { DEFENDER_MSSP_CLIENT_SECRET: secret, DEFENDER_MSSP_SPLUNK_PASSWORD: "changeme" };
  const binary = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));
  const child = spawn(binary, argv, { env: { HOME: scratch, ...secrets }, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`credential set ended with ${code}: ${said}`);
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

/** The health events that the last start wrote of an input, with their seconds from that start. */
function healthOf(name: string): readonly (Written & { readonly afterS: number })[] {
  return written
    .map((one) => ({ ...one, afterS: (Date.parse(one.health.time) - startedAtMs) / 1_000 }))
    .filter(({ stanza, afterS }) => stanza === name && afterS >= 0);
}

test("there are 60 customers, and 36 of them are broken", () => {
  const names = [...BROKEN, ...HEALTHY].map(({ name }) => name);
  expect([new Set(names).size, BROKEN.length]).toEqual([60, 36]);
});

test.each(BROKEN)("P24 $name is reported within 60 s of the start: $situation", (one) => {
  const { name, expect: wanted } = one;
  const { tenant_id = simulator.control.customer(name).tenant_id, say, next_step, ...entry } = wanted;
  const own = healthOf(name);
  const fits = ({ health }: Written) =>
    health.streams[0]?.["failure"] === entry.failure && health.streams[0]["actor"] === entry.actor;
  const found = own.find(fits) ?? own[0];
  expect(found?.health).toMatchObject({ tenant: name, tenant_id });
  expect(found?.source).toBe(`defender_mssp:health:${tenant_id || "unknown"}`);
  expect(found?.health.streams).toEqual([
    expect.objectContaining({
      ...entry,
      say: expect.stringContaining(filledIn(say)),
      next_step: expect.stringContaining(filledIn(next_step)),
    }),
  ]);
  expect(found?.afterS).toBeLessThanOrEqual(WITHIN_S);
  if (one.retry_within_s === undefined) return;
  const retryAtMs = Date.parse(String(found?.health.streams[0]?.["retry_at"]));
  expect((retryAtMs - startedAtMs) / 1_000).toBeLessThanOrEqual(WITHIN_S + one.retry_within_s);
});

test.each(HEALTHY)("$name is collected and reported as ok within 60 s of the start: $situation", ({ name }) => {
  const ok = healthOf(name).find(({ health }) => health.streams[0]?.["state"] === "ok");
  expect(ok?.afterS).toBeLessThanOrEqual(WITHIN_S);
  expect(delivered).toContain(`"tenant":"${name}"`);
});

test("the customers with stored secrets go on under a splunkd whose certificate expired yesterday, with one warning", () => {
  const stored = readFileSync(path.join(scratch, "home/etc/apps/TA_defender_mssp/local/inputs.conf"), "utf8");
  expect(stored).not.toContain(simulator.control.customer("contoso").client_secret);
  const yesterday = new Date(startedAtMs - 86_400_000).toISOString().slice(0, 10);
  const ofLastStart = splunkd.log.slice(splunkd.log.findLastIndex((line) => line.includes(" started scheme=")));
  expect(ofLastStart.filter((line) => line.includes("certificate expired"))).toEqual([
    expect.stringContaining(
      `splunkd's certificate expired on ${yesterday}. It is accepted, because splunkd is on this machine`,
    ),
  ]);
});

test("a shared credential that is corrected while the input runs counts without a restart", () => {
  const states = healthOf("shared-wrong").map(({ health }) => health.streams[0]?.["state"]);
  expect(states).toEqual(expect.arrayContaining(["signed-out", "ok"]));
  expect(states.indexOf("signed-out")).toBeLessThan(states.indexOf("ok"));
});

test("no line of the log holds an alert that came under another Content-Type", () => {
  const shown = simulator.control.world.customers.get("content-type")?.tables.alerts.visible() ?? [];
  const ids = shown.map(({ id }) => id);
  expect(ids).toHaveLength(1);
  expect(splunkd.log.filter((line) => ids.some((id) => line.includes(id)))).toEqual([]);
});
