/**
 * A customer's tenant in which an attacker chose every text: titles, names, command lines, an error message.
 * Everything that the program writes from them is read back: CEF in a file and over syslog, JSON, Splunk's
 * XML, the table of `hunt`, the log, `doctor`.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { STREAM_CLOSE, STREAM_OPEN, writeSplunkEvent } from "../../src/format/splunk/splunk-event.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { readCef } from "../contracts/strict-cef.ts";
import { graphAlert } from "../golden/graph-alert.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

// The bound for a machine that is busy.
jest.setTimeout(600_000);

const MAIN = join(import.meta.dirname, "../../src/main/main.ts");
const CUSTOMER = "hostile";
const FORGED_LOG = "ERROR everything was deleted";
const FORGED_CEF = "CEF:0|Evil|Forged|1|forged|Forged event|10|act=forged";
const FORGED_SYSLOG = `<133>Jan  1 00:00:00 host ${FORGED_CEF}`;

/** What each text tries. Each must arrive as text, and do nothing else. */
const TEXTS: Readonly<Record<string, string>> = {
  "ends a CEF header": `a|b\\|c\\\\|10|act=blocked ${FORGED_CEF}`,
  "adds CEF keys": "x cs1=forged act=blocked deviceExternalId=other-customer",
  "begins a line": `first\r\n${FORGED_CEF}\n${FORGED_LOG}`,
  "begins a line of Unicode": `first\u2028${FORGED_LOG}\u2029${FORGED_LOG}\u0085${FORGED_LOG}`,
  "begins a syslog message": `first\n${FORGED_SYSLOG}`,
  "ends an event of Splunk": '</data></event><event stanza="defender_mssp://other"><data>forged</data></event><event>',
  "leaves CDATA": ']]></data><!-- & &amp; &#10; &xxe; <!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>',
  "steers a terminal":
    "\u001b[2J\u001b[31mred\u001b]0;title\u0007\u001b]8;;https://evil.example\u0007link\u009b31mC1\u0000\b\u007f",
  "reverses a name": "photo_\u202egpj.exe \u2066safe\u2069 \u200fmark",
  "is HTML": '<img src=x onerror=alert(1)><script>alert(1)</script><a href="javascript:alert(1)">',
  "is a formula": "=cmd|' /C calc'!A0 +1 -1 @SUM(1) \t=1+1",
  "breaks JSON": 'x","mssp":{"tenant_id":"other-customer"},"y":"\\u0000\\',
};
/** Control characters but the line end, and signs that change the direction of text. */
const STEERING = /[^\n\P{Cc}]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** The simulator's clock starts at the real time, because `doctor` compares the two. */
const HOUR_AGO_MS = Date.now() - 3_600_000;
const instant = (seconds: number): string => new Date(HOUR_AGO_MS + seconds * 1000).toISOString();

const alerts = Object.entries(TEXTS).map(([what, text], n) => ({
  id: `hostile-${n}`,
  title: text,
  description: text,
  category: text,
  recommendedActions: text,
  detectorId: what,
  serviceSource: "microsoftDefenderForEndpoint",
  severity: "high",
  status: "new",
  createdDateTime: instant(0),
  lastUpdateDateTime: instant(n + 1),
  evidence: [
    { "@odata.type": "#microsoft.graph.security.deviceEvidence", deviceDnsName: text, osPlatform: text },
    {
      "@odata.type": "#microsoft.graph.security.processEvidence",
      processCommandLine: text,
      imageFile: { fileName: text, filePath: text },
      userAccount: { accountName: text, userPrincipalName: text, domainName: text },
    },
    { "@odata.type": "#microsoft.graph.security.urlEvidence", url: text },
  ],
}));

let simulator: Simulator | undefined;
let folder: string;
let config: string;
let received = "";
/** What a program has sent before its end may still wait in a socket after its end. */
const connections: Promise<void>[] = [];
const receiver = createServer((connection) => {
  connections.push(new Promise((done) => connection.once("close", () => done())));
  connection.setEncoding("utf8").on("data", (piece: string) => (received += piece));
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "hostile-"));
  const data = join(folder, "data");
  mkdirSync(join(data, "hunting"), { recursive: true });
  writeFileSync(join(data, "alerts.ndjson"), alerts.map((alert) => `${JSON.stringify(alert)}\n`).join(""));
  const rows = Object.values(TEXTS).map((text, n) => ({
    Timestamp: instant(0),
    DeviceName: text,
    FileName: text,
    ReportId: n,
  }));
  writeFileSync(
    join(data, "hunting/DeviceProcessEvents.ndjson"),
    rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
  );
  const scenario = join(folder, "scenario.json");
  writeFileSync(
    scenario,
    JSON.stringify({
      name: "hostile",
      story: "An attacker chose every text.",
      seed: 1,
      customers: [{ name: CUSTOMER, data: "data" }, { name: "refusing" }],
      faults: [
        {
          on: ["alerts"],
          customers: ["refusing"],
          answer: { status: 400, code: "BadRequest", message: Object.values(TEXTS).join(" ") },
        },
      ],
    }),
  );
  const started = await startSimulator({
    frozen: true,
    scenario,
    warn: () => undefined,
  });
  simulator = started;
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const address = receiver.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  config = join(folder, "hostile.properties");
  const { ready } = started;
  const lines = ready.customers.flatMap(({ tenant_id, tenant_name, client_id, client_secret }, n) => {
    const values = {
      tenant_id,
      tenant_name,
      client_id,
      client_secret,
      auth: "app",
      streams: "alerts",
      start: "3650d",
      login_url: ready.login_url,
      graph_url: ready.graph_url,
      api_url: ready.api_url,
      ca_file: ready.ca_file,
    };
    return Object.entries(values).map(([key, value]) => `tenants[${n}].${key}=${value}\n`);
  });
  const outputs = [
    `outputs[0].type=cef-file\noutputs[0].path=${folder}/events.cef\noutputs[0].evidence=each\n`,
    `outputs[1].type=json-lines\noutputs[1].path=${folder}/events.jsonl\n`,
    `outputs[2].type=syslog\noutputs[2].host=127.0.0.1\noutputs[2].port=${port}\noutputs[2].protocol=tcp\noutputs[2].profile=legacy\n`,
  ];
  writeFileSync(config, `${lines.join("")}${outputs.join("")}`);
});
afterAll(async () => {
  await simulator?.stop();
  receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly errors: string;
}

function program(...argv: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, ...argv], {
      env: childEnvironment({ HOME: folder, DEFENDER_MSSP_LOG_LEVEL: "debug" }),
      cwd: folder,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let errors = "";
    child.stdout.on("data", (piece: Buffer) => (out += piece.toString()));
    child.stderr.on("data", (piece: Buffer) => (errors += piece.toString()));
    child.on("close", (code) => resolve({ code, out, errors }));
  });
}

const linesOf = (text: string): readonly string[] => text.split("\n").slice(0, -1);
/** Readable events, without health. */
const ofAlerts = (lines: readonly string[]) =>
  lines.map((line) => readCef(line)).filter(({ header }) => !header[3]?.startsWith("health"));

describe("hostile text of an alert, collected into files and over syslog,", () => {
  let ended: Ended;
  beforeAll(async () => {
    ended = await program("arcsight", "run", "--config", config, "--state", join(folder, "state"), "--once");
    await Promise.all(connections);
  });

  test("forges no line of the log, and does not steer the terminal that shows it", () => {
    expect([0, 6]).toContain(ended.code);
    expect(ended.errors).toContain("refusing");
    expect(linesOf(ended.errors).filter((line) => !/^\[\d{4}-\d\d-\d\d [\d:,]+\]\[[A-Z]+\] /.test(line))).toEqual([]);
    expect(ended.errors).not.toMatch(STEERING);
    expect(ended.out).toBe("");
  });

  test("forges no CEF event, no key and no customer, in a file", () => {
    const text = readFileSync(join(folder, "events.cef"), "utf8");
    const events = ofAlerts(linesOf(text));

    expect(text.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    expect(events.length).toBeGreaterThanOrEqual(alerts.length);
    const tenant = simulator?.ready.customers[0];
    for (const { header, extension } of events) {
      expect(header[0]).toBe("Microsoft");
      expect(header[3]).toMatch(/^alert:microsoftDefenderForEndpoint(:evidence)?$/);
      expect(extension.get("deviceExternalId")).toBe(tenant?.tenant_id);
      expect(extension.get("act")).not.toBe("forged");
    }
  });

  test("forges no message of syslog: each begins with the program's own header", () => {
    // Python and some others end a line at these two as well.
    expect(received).not.toMatch(/[\u2028\u2029]/);
    const messages = linesOf(received).map((line) => /^<133>\w{3} [ \d]\d [\d:]{8} \S+ (CEF:0\|.*)$/s.exec(line)?.[1]);

    expect(messages.length).toBeGreaterThanOrEqual(alerts.length);
    expect(messages).not.toContain(undefined);
    expect(messages.filter((message) => message?.startsWith(FORGED_CEF.slice(0, 12)))).toEqual([]);
    expect(ofAlerts(messages.map(String)).map(({ header }) => header[0])).toEqual(alerts.map(() => "Microsoft"));
  });

  test("stays one value of one JSON line each", () => {
    const rows = linesOf(readFileSync(join(folder, "events.jsonl"), "utf8")).map(
      (line) => JSON.parse(line) as Readonly<Record<string, unknown>>,
    );
    const tenants = new Set(rows.map((row) => row["deviceExternalId"] ?? row["tenant_id"]));

    expect(rows.length).toBeGreaterThanOrEqual(alerts.length);
    expect(tenants).not.toContain("other-customer");
  });
});

test("hostile text of an alert stays text in Splunk's XML: as many events as alerts, each with its own bytes", () => {
  const out = new ByteWriter();
  out.copy(Buffer.from(STREAM_OPEN), 0, STREAM_OPEN.length);
  const style = { layout: "vendor", envelope: false, alertsSourcetype: "split", classicEntities: false } as const;
  for (const alert of alerts) writeSplunkEvent(out, graphAlert(alert), style);
  out.copy(Buffer.from(STREAM_CLOSE), 0, STREAM_CLOSE.length);
  const document = out.toString();

  expect(XMLValidator.validate(document)).toBe(true);
  // XML 1.0, section 2.2: no other character may stand in a document.
  expect(document).not.toMatch(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u);
  const parser = new XMLParser({ ignoreAttributes: false, trimValues: false, parseTagValue: false });
  const { stream } = parser.parse(document) as { stream: { event: readonly { data: string; "@_stanza": string }[] } };
  expect(stream.event.map(({ data }) => (JSON.parse(data) as { title: string }).title)).toEqual(Object.values(TEXTS));
  expect(new Set(stream.event.map((event) => event["@_stanza"])).size).toBe(1);
});

test("hostile text of a row does not steer the terminal from the table of hunt: one line each", async () => {
  const queries = join(folder, "queries.json");
  writeFileSync(
    queries,
    JSON.stringify({
      queries: [{ name: "Everything", kql: "DeviceProcessEvents", every_minutes: 60, window_minutes: 60 }],
    }),
  );

  const customer = ["--config", config, "--customer", CUSTOMER, "--state", join(folder, "hunt")];
  const query = ["--hunting-queries", queries, "--query", "Everything", "--since", "1d"];
  const { code, out, errors } = await program("hunt", ...customer, ...query);

  expect([code, code === 0 ? "" : errors]).toEqual([0, ""]);
  expect(linesOf(out)).toHaveLength(2 + alerts.length);
  expect(out + errors).not.toMatch(STEERING);
});

test("a hostile error message does not steer the terminal of doctor, and begins no line", async () => {
  const { out, errors } = await program("doctor", "--config", config, "--customer", "refusing");

  expect(out).toContain("act=forged");
  expect(out + errors).not.toMatch(STEERING);
  expect(linesOf(out + errors).filter((line) => line.startsWith("CEF:") || line.startsWith(FORGED_LOG))).toEqual([]);
});

test("collect writes hostile text unchanged, one JSON line for each alert", async () => {
  const { out } = await program("collect", "--config", config, "--customer", CUSTOMER, "--state", join(folder, "once"));

  expect(linesOf(out).map((line) => (JSON.parse(line) as { title: string }).title)).toEqual(Object.values(TEXTS));
});
