/** The searches that an analyst, or an assistant through Splunk's MCP server, runs on request. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import { REPORTS, SEVERAL_CUSTOMERS_PANELS } from "../../scripts/generate/splunk-app/reports.ts";
import { healthSourceOf, writeSplunkHealth, writeSplunkOwn } from "../../src/format/splunk/splunk-event.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import type { StreamHealth } from "../../src/model/event.ts";
import { noticeEvent } from "../../src/outputs/line-format.ts";
import { streamHealth } from "../harness/stream-health.ts";
import { setNow } from "./eval-language.ts";
import { CUSTOMERS, type Customer, eventsOf, indexed } from "./samples.ts";
import type { IndexedEvent } from "./search-time.ts";
import { shippedConf, shippedMacros, shippedWorld as world } from "./shipped.ts";
import type { SearchWorld } from "./spl.ts";
import { expandMacros, runSearch } from "./spl.ts";

const NOW_MS = Date.UTC(2026, 10, 24, 12);
const SAVED = shippedConf("savedsearches.conf");
const TOOLS = shippedConf("tools.conf");

/** What the tool of this name finds, with its saved search as it is shipped. */
function answerOf(tool: string, one: SearchWorld, given: Readonly<Record<string, string>> = {}) {
  const name = TOOLS.get(`savedsearches:${tool}`)?.get("search") ?? "";
  const search = (SAVED.get(name)?.get("search") ?? "").replace(/\$(\w+)\$/g, (_, key: string) => given[key] ?? "");
  return runSearch(search, one).map((row) => Object.fromEntries(row));
}

beforeEach(() => setNow(NOW_MS / 1000));

describe("the tools for assistants", () => {
  test("are five, each with a description and a search that exists, is not disabled and not scheduled", () => {
    expect([...TOOLS.keys()]).toEqual(REPORTS.map(({ tool }) => `savedsearches:${tool}`));
    expect(TOOLS.size).toBe(5);
    for (const [stanza, settings] of TOOLS) {
      expect(stanza).toMatch(/^savedsearches:[a-z][a-z0-9_]*$/);
      expect(settings.get("description")).toMatch(/\. (Takes no arguments|Needs the argument \w+, .+)\.$/);
      const saved = SAVED.get(settings.get("search") ?? "");
      expect([saved?.get("disabled"), saved?.get("enableSched")]).toEqual(["0", "0"]);
    }
  });

  test("only read: no command of theirs writes, sends or deletes", () => {
    const readers = [
      "dedup",
      "eval",
      "eventstats",
      "inputlookup",
      "mvexpand",
      "sort",
      "spath",
      "stats",
      "table",
      "where",
    ];
    for (const { search } of REPORTS) {
      const outsideStrings = expandMacros(search, shippedMacros()).replace(/"(?:[^"\\]|\\.)*"/g, '""');
      const commands = [...outsideStrings.matchAll(/\|\s*(\w+)/g)].map((match) => match[1] as string);
      expect(commands.length).toBeGreaterThan(1);
      expect(commands.filter((command) => !readers.includes(command))).toEqual([]);
    }
  });
});

function healthOf(
  tenant: Customer,
  minutesAgo: number,
  lagS: number,
  daysLeft: number | null,
  state: StreamHealth["state"] = "ok",
): IndexedEvent {
  const out = new ByteWriter();
  writeSplunkHealth(out, tenant, {
    time: new Date(NOW_MS - minutesAgo * 60_000).toISOString(),
    tenant,
    tenant_id: CUSTOMERS[tenant],
    input: tenant,
    streams: [streamHealth({ state, lag_s: lagS, requests: 1 })],
    credential: daysLeft === null ? null : "main",
    credential_days_left: daysLeft,
    version: "1.0.0",
  });
  return indexed(out.toString());
}

describe("of the customers' state", () => {
  const state = world([
    healthOf("contoso", 5, 40, 59),
    healthOf("fabrikam", 3, 900, 3),
    healthOf("tailspin", 200, 60, 61),
  ]);

  test("the silent ones are named, from the lookup", () => {
    runSearch(SAVED.get("Defender MSSP - Customers lookup")?.get("search") ?? "", state);
    expect(answerOf("defender_mssp_silent_customers", state)).toEqual([
      expect.objectContaining({ tenant: "tailspin", silent_minutes: "200" }),
    ]);
  });

  test("the longest lag until now comes first", () => {
    expect(answerOf("defender_mssp_collection_lag", state).map(({ tenant, lag_s }) => [tenant, lag_s])).toEqual([
      ["tailspin", 60 + 200 * 60],
      ["fabrikam", 900 + 3 * 60],
      ["contoso", 40 + 5 * 60],
    ]);
  });

  test("a disabled input is neither silent nor behind", () => {
    const off = world([healthOf("contoso", 5, 40, null), healthOf("tailspin", 200, 9_000, null, "off")]);
    runSearch(SAVED.get("Defender MSSP - Customers lookup")?.get("search") ?? "", off);
    expect(off.lookups.get("defender_mssp_customers")).toHaveLength(2);
    expect(answerOf("defender_mssp_silent_customers", off)).toEqual([]);
    expect(answerOf("defender_mssp_collection_lag", off).map(({ tenant }) => tenant)).toEqual(["contoso"]);
  });

  test("credentials that end within 60 days are named, the soonest first", () => {
    expect(
      answerOf("defender_mssp_credentials_ending", state).map(({ tenant, days_left }) => [tenant, days_left]),
    ).toEqual([
      ["fabrikam", 3],
      ["contoso", 59],
    ]);
  });
});

const HASH = "A".repeat(64);
function alertOf(customer: Customer, id: string, evidence: readonly object[], more: object = {}, minute = 0) {
  return eventsOf("alerts", customer, [
    {
      id,
      title: `title ${id}`,
      severity: "low",
      status: "new",
      serviceSource: "microsoftDefenderForEndpoint",
      lastUpdateDateTime: `2026-11-24T10:${String(minute).padStart(2, "0")}:00Z`,
      detectorId: null,
      ...more,
      evidence,
    },
  ])[0]!;
}

test("a notice about an output is not a customer that falls silent later", () => {
  const out = new ByteWriter();
  const [tenant, tenant_id] = ["defender-mssp", "00000000-0000-0000-0000-000000000000"];
  const time = new Date(NOW_MS - 3 * 3_600_000).toISOString();
  const say = "Splunk refuses one event for good.";
  const notice = noticeEvent({ time, tenant, tenant_id, about: "event-rejected", say });
  writeSplunkOwn(out, "contoso", notice, healthSourceOf(tenant_id));
  const events = world([indexed(out.toString()), healthOf("contoso", 1, 0, null)]);
  const named = (search: string) => runSearch(search, events).map((row) => row.get("tenant"));
  expect(named("`defender_mssp_health`")).toEqual(["contoso", tenant]);
  expect(named("`defender_mssp_health_rows`")).toEqual(["contoso"]);
});

describe("seen at several customers", () => {
  const everywhere = (evidence: (customer: Customer) => readonly object[], more: object = {}) =>
    world(
      (Object.keys(CUSTOMERS) as Customer[]).map((customer) => alertOf(customer, customer, evidence(customer), more)),
    );
  const seen = (one: SearchWorld) =>
    answerOf("defender_mssp_seen_at_several_customers", one).map((row) => [row["kind"], row["seen"], row["customers"]]);

  test.each([
    ["hash", { fileDetails: { fileName: "x", sha256: HASH } }, HASH.toLowerCase()],
    ["sender", { senderFromAddress: "Evil@example.net" }, "evil@example.net"],
    ["address", { ipAddress: "198.51.100.7" }, "198.51.100.7"],
    ["address", { ipAddress: "2001:db8::7" }, "2001:db8::7"],
    ["domain", { url: "https://Evil.example/x" }, "evil.example"],
  ])("a %s that three customers have is named", (kind, evidence, value) => {
    expect(seen(everywhere(() => [evidence]))).toEqual([[kind, value, 3]]);
  });

  test("a detector that three customers have is named, with their names and the alerts' titles", () => {
    const one = everywhere(() => [], { detectorId: "d-1" });
    expect(answerOf("defender_mssp_seen_at_several_customers", one)).toEqual([
      expect.objectContaining({
        kind: "detector",
        seen: "d-1",
        customers: 3,
        alerts: 3,
        names: "contoso, fabrikam, tailspin",
        signatures: "title contoso; title fabrikam; title tailspin",
      }),
    ]);
  });

  test("what only two have, or one has in many alerts, or no alert has, is not", () => {
    const two = (customer: Customer) => (customer === "tailspin" ? [] : [{ ipAddress: "198.51.100.7" }]);
    expect(seen(everywhere(two))).toEqual([]);
    const many = ["a", "b", "c", "d"].map((id) => alertOf("contoso", id, [{ ipAddress: "198.51.100.7" }]));
    expect(seen(world(many))).toEqual([]);
    expect(seen(everywhere(() => []))).toEqual([]);
  });

  test.each([
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.1",
    "192.168.1.1",
    "127.0.0.1",
    "169.254.1.1",
    "::1",
    "fe80::1",
    "fd00::1",
  ])("the private address %s is not, because it is at every customer", (ipAddress) =>
    expect(seen(everywhere(() => [{ ipAddress }]))).toEqual([]),
  );

  test.each(["172.15.0.1", "172.32.0.1", "11.0.0.1", "192.169.0.1"])("the public address %s is", (ipAddress) =>
    expect(seen(everywhere(() => [{ ipAddress }]))).toEqual([["address", ipAddress, 3]]),
  );

  test("the dashboard's panel and the alert run the same search over 24 hours", () => {
    const [panel] = SEVERAL_CUSTOMERS_PANELS;
    const alert = SAVED.get("Defender MSSP - Seen at several customers");
    expect([panel?.search, panel?.earliest]).toEqual([alert?.get("search"), alert?.get("dispatch.earliest_time")]);
  });
});

test("the history of an alert holds its versions, the oldest first, and no other alert's", () => {
  const one = world([
    alertOf("contoso", "a1", [], { status: "resolved", assignedTo: "ann@example.com", incidentId: "9" }, 30),
    alertOf("contoso", "a1", [], { status: "new", incidentId: "7" }, 10),
    alertOf("contoso", "a2", []),
  ]);
  expect(
    answerOf("defender_mssp_alert_history", one, { alert_id: "a1" }).map(({ id, status, assigned_to, incident_id }) => [
      id,
      status,
      assigned_to,
      incident_id,
    ]),
  ).toEqual([
    ["a1", "new", undefined, "7"],
    ["a1", "resolved", "ann@example.com", "9"],
  ]);
  expect(answerOf("defender_mssp_alert_history", one, { alert_id: "" })).toEqual([]);
});
