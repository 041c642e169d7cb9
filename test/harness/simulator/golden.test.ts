import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { compact } from "./records.ts";
import { type Simulator, startSimulator } from "./start.ts";
import { type Visitor, visit } from "./visitor.ts";

const sample = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`../../fixtures/microsoft-docs/${name}.json`, import.meta.url)), "utf8");

/** The records of a sample, each as compact JSON with its own bytes. */
function recordsOf(name: string): string[] {
  const text = compact(sample(name));
  const value = JSON.parse(text) as { value: unknown[] } | unknown[];
  return (Array.isArray(value) ? value : value.value).map((record) => JSON.stringify(record));
}

const FILES = {
  "alerts.ndjson": "graph-alerts_v2.response",
  "incidents.ndjson": "graph-incidents.response",
  "xdr-incidents.ndjson": "xdr-incidents.response",
  "mde-alerts.ndjson": "mde-alerts-expand-evidence.response",
  "siem-alerts.ndjson": "siem-alerts.response",
};

let folder: string;
let simulator: Simulator;
let visitor: Visitor;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "simulator-golden-"));
  const customer = join(folder, "contoso");
  mkdirSync(join(customer, "hunting"), { recursive: true });
  for (const [file, name] of Object.entries(FILES))
    writeFileSync(
      join(customer, file),
      recordsOf(name)
        .map((record) => `${record}\n`)
        .join(""),
    );
  const { results } = JSON.parse(sample("hunting.response")) as { results: unknown[] };
  writeFileSync(
    join(customer, "hunting", "DeviceProcessEvents.ndjson"),
    results.map((row) => `${JSON.stringify(row)}\n`).join(""),
  );
  simulator = await startSimulator({ data: folder, nowMs: Date.parse("2026-11-24T12:00:00Z"), frozen: true });
  visitor = visit(simulator);
});

afterAll(async () => {
  await visitor.close();
  await simulator.stop();
  rmSync(folder, { recursive: true });
});

describe("the simulator's answers are the documentation's samples, byte for byte and compact", () => {
  const lists = [
    ["graph alerts", "graph", "https://graph.microsoft.com", "/v1.0/security/alerts_v2", "graph-alerts_v2.response"],
    ["graph incidents", "graph", "https://graph.microsoft.com", "/v1.0/security/incidents", "graph-incidents.response"],
    ["xdr incidents", "api", "https://api.security.microsoft.com", "/api/incidents", "xdr-incidents.response"],
    [
      "mde alerts with evidence",
      "api",
      "https://api.securitycenter.microsoft.com",
      "/api/alerts?$expand=evidence",
      "mde-alerts-expand-evidence.response",
    ],
  ] as const;

  test.each(lists)("for %s", async (_, origin, resource, path, name) => {
    const customer = simulator.control.customer("contoso");
    const token = await visitor.appToken(customer, resource);

    const { status, text, json } = await visitor.get(`${simulator.ready[`${origin}_url`]}${path}`, token);

    expect(status).toBe(200);
    expect(Object.keys(json as object)).toEqual(["@odata.context", "value"]);
    const wanted = recordsOf(name);
    expect(text.endsWith(`"value":[${[...wanted].sort(newestFirst).join(",")}]}`)).toBe(true);
  });

  test("with the SIEM API's detections as a bare array", async () => {
    const customer = simulator.control.customer("contoso");
    const token = await visitor.appToken(customer, "https://graph.windows.net");

    const { text } = await visitor.get(
      `${simulator.ready.siem_url}/api/alerts?sinceTimeUtc=2020-09-30T00:00:00.000`,
      token,
    );

    expect(text).toBe(`[${recordsOf("siem-alerts.response").join(",")}]`);
  });

  test("with an empty list of evidence for a Defender for Endpoint alert without $expand", async () => {
    const token = await visitor.appToken(
      simulator.control.customer("contoso"),
      "https://api.securitycenter.microsoft.com",
    );

    const { json } = await visitor.get(`${simulator.ready.api_url}/api/alerts`, token);

    for (const alert of json.value as { evidence: unknown[] }[]) expect(alert.evidence).toEqual([]);
  });

  test.each([
    [false, "hunting.response"],
    [true, "hunting-capitalised-schema.response"],
  ] as const)("for hunting with capitals %s", async (capitalised, name) => {
    const token = await visitor.appToken(simulator.control.customer("contoso"));
    for (const customer of simulator.control.world.customers.values()) customer.hunting.capitalised = capitalised;

    const response = await visitor.fetch(`${simulator.ready.graph_url}/v1.0/security/runHuntingQuery`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({
        Query:
          "DeviceProcessEvents | where InitiatingProcessFileName =~ 'powershell.exe' | project Timestamp, FileName, InitiatingProcessFileName | order by Timestamp desc | limit 2",
      }),
    });

    const answer = (await response.json()) as { schema: unknown; results: unknown };
    const wanted = JSON.parse(sample(name)) as { schema: unknown };
    expect(answer.schema).toEqual(wanted.schema);
    expect(answer.results).toEqual((JSON.parse(sample("hunting.response")) as { results: unknown }).results);
  });
});

describe("the simulator's token answers have the samples' members", () => {
  test("at v2 for an app", async () => {
    const { client_id, client_secret, tenant_id } = simulator.control.customer("contoso");

    const { json } = await visitor.post(`${simulator.ready.login_url}/${tenant_id}/oauth2/v2.0/token`, {
      grant_type: "client_credentials",
      client_id,
      client_secret,
      scope: "https://graph.microsoft.com/.default",
    });

    expect(json).toMatchObject({ token_type: "Bearer", expires_in: 3599 });
    expect(Object.keys(json as object)).toEqual(
      expect.arrayContaining(Object.keys(JSON.parse(sample("token-v2-client-credentials.response")) as object)),
    );
    expect(json.refresh_token).toBeUndefined();
  });

  test("at v1 with numbers written as strings", async () => {
    const { client_id, client_secret, tenant_id } = simulator.control.customer("contoso");

    const { json } = await visitor.post(`${simulator.ready.login_url}/${tenant_id}/oauth2/token`, {
      grant_type: "client_credentials",
      client_id,
      client_secret,
      resource: "https://graph.windows.net",
    });

    expect(Object.keys(json as object).sort()).toEqual(
      Object.keys(JSON.parse(sample("token-v1-client-credentials.response")) as object).sort(),
    );
    for (const member of ["expires_in", "ext_expires_in", "expires_on", "not_before"])
      expect(typeof json[member]).toBe("string");
  });

  test.each([50001, 7000215, 7000222, 70008, 700082, 70011])(
    "for AADSTS%i with the sample's shape, error and numbers",
    async (number) => {
      const { tenant_id } = simulator.control.customer("contoso");
      simulator.control.perform({ do: "fault", on: ["token"], times: 1, answer: { aadsts: number } });

      const { status, json } = await visitor.post(`${simulator.ready.login_url}/${tenant_id}/oauth2/v2.0/token`, {
        grant_type: "refresh_token",
      });

      const wanted = JSON.parse(sample(`token-error-AADSTS${number}`)) as {
        error: string;
        error_codes: number[];
        error_description: string;
      };
      expect(json).toMatchObject({ error: wanted.error, error_codes: wanted.error_codes });
      expect(Object.keys(json as object)).toEqual(expect.arrayContaining(Object.keys(wanted)));
      expect(firstWords(json.error_description as string)).toBe(firstWords(wanted.error_description));
      expect(json.error_description).toMatch(
        /\r\nTrace ID: \S+\r\nCorrelation ID: \S+\r\nTimestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/,
      );
      expect(status).toBe(wanted.error === "invalid_client" ? 401 : 400);
    },
  );

  test("for Defender's errors", async () => {
    const token = await visitor.appToken(simulator.control.customer("contoso"), "https://api.security.microsoft.com");

    const { status, json } = await visitor.get(`${simulator.ready.api_url}/api/incidents/1`, token);

    const wanted = JSON.parse(sample("defender-error-ResourceNotFound")) as { error: object };
    expect(status).toBe(404);
    expect(json.error.code).toBe("ResourceNotFound");
    expect(Object.keys(json.error as object)).toEqual(Object.keys(wanted.error));
  });
});

const firstWords = (text: string): string => text.split(/\s/).slice(0, 4).join(" ");

const UPDATED = /"(?:lastUpdateDateTime|lastUpdateTime)":"([^"]+)"/;

/** Samples of one list have times that differ in the second already. */
const newestFirst = (a: string, b: string): number =>
  (UPDATED.exec(b)?.[1] ?? "").localeCompare(UPDATED.exec(a)?.[1] ?? "");
