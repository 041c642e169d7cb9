import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import type { EventStyle } from "../../src/format/splunk/splunk-event.ts";
import { atpAlertFindings, incidentAlertFindings } from "./detections.ts";
import type { Fields } from "./eval-language.ts";
import type { Customer } from "./samples.ts";
import { allSamples, eventsOf, recordsIn } from "./samples.ts";
import { searchEvent } from "./search-time.ts";
import { shippedKnowledge } from "./shipped.ts";

const KNOWLEDGE = shippedKnowledge();
const SPLUNK = path.resolve(import.meta.dirname, "../fixtures/splunk");

function seen(style: Partial<EventStyle> = {}): Fields[] {
  return allSamples(style).map(({ event }) => searchEvent(event, KNOWLEDGE).fields);
}

function graphAlerts(customer: Customer, style: Partial<EventStyle> = {}): Fields[] {
  return eventsOf("alerts", customer, recordsIn("graph-alerts_v2.response.json"), style).map(
    (event) => searchEvent(event, KNOWLEDGE).fields,
  );
}

/** What the incident detection makes of Microsoft's sample alert. */
function sampleFinding(style: Partial<EventStyle>) {
  return incidentAlertFindings(
    graphAlerts("contoso", { alertsSourcetype: "ms365:defender:incident:alerts", ...style }),
  )[0];
}

function bothWithDc01(style: (customer: Customer) => Partial<EventStyle>): Fields[] {
  return (["contoso", "fabrikam"] as const).flatMap((customer) =>
    eventsOf(
      "mde-alerts",
      customer,
      [
        {
          id: `alert of ${customer}`,
          title: "t",
          severity: "High",
          computerDnsName: "dc01",
          lastUpdateTime: "2026-11-24T00:00:00Z",
          evidence: [],
        },
      ],
      style(customer),
    ).map((event) => searchEvent(event, KNOWLEDGE).fields),
  );
}

describe("an alert whose evidence has roles", () => {
  const evidence = (device: string, address: string) => [
    { "@odata.type": "#microsoft.graph.security.deviceEvidence", deviceDnsName: "dc01", roles: [device] },
    { "@odata.type": "#microsoft.graph.security.ipEvidence", ipAddress: "198.51.100.7", roles: [address] },
  ];
  const alert = (device: string, address: string, style: Partial<EventStyle> = {}) =>
    eventsOf(
      "alerts",
      "contoso",
      [
        {
          id: "a",
          title: "t",
          severity: "high",
          serviceSource: "microsoftDefenderForEndpoint",
          lastUpdateDateTime: "2026-11-24T00:00:00Z",
          evidence: evidence(device, address),
        },
      ],
      style,
    ).map((event) => searchEvent(event, KNOWLEDGE).fields);

  test.each([
    ["attacked", "attacker", ["198.51.100.7"], ["dc01"]],
    ["attacker", "attacked", ["dc01"], ["198.51.100.7"]],
    ["compromised", "contextual", ["dc01"], ["dc01"]],
    ["contextual", "contextual", ["dc01"], ["dc01"]],
  ])(
    "is found by both detections (device %s, address %s), each with its side as the system",
    (device, address, ...systems) => {
      const asIncidentAlert = { classicEntities: true, alertsSourcetype: "ms365:defender:incident:alerts" } as const;
      expect([
        atpAlertFindings(alert(device, address))[0]?.systems,
        incidentAlertFindings(alert(device, address, asIncidentAlert))[0]?.systems,
      ]).toEqual(systems);
    },
  );
});

describe("the detection Microsoft Defender ATP Alerts", () => {
  test("finds every Defender for Endpoint alert, whichever API it came from", () => {
    const fields = seen();
    const wanted = new Set(
      fields.filter((one) => one.get("sourcetype") === "ms:defender:atp:alerts").map((one) => one.get("id")),
    );
    expect(wanted.size).toBeGreaterThan(5);
    expect(new Set(atpAlertFindings(fields).map((one) => one.id))).toEqual(wanted);
  });

  test("names the device as the system at risk, not the tenant and not the product", () => {
    const [finding] = atpAlertFindings(graphAlerts("contoso"));
    expect(finding).toMatchObject({
      systems: ["tempDns"],
      users: ["SYSTEM"],
      riskScore: 15,
      techniques: ["T1564.001"],
    });
  });

  test("gets files, processes and users from the Defender for Endpoint API", () => {
    const [event] = eventsOf("mde-alerts", "contoso", recordsIn("mde-alerts-expand-evidence.response.json"));
    const [finding] = atpAlertFindings([searchEvent(event!, KNOWLEDGE).fields]);
    expect(finding).toMatchObject({
      systems: ["temp123.middleeast.corp.microsoft.com"],
      users: ["temp123@microsoft.com"],
      threats: {
        file_name: ["suspicious.dll"],
        process: ["rundll32.exe  c:\\temp\\suspicious.dll,RepeatAfterMe"],
        ip_address: [],
        registry_key: [],
        url: [],
      },
    });
  });

  test("gets the same device and users from Splunk's own example event", () => {
    const record: unknown = JSON.parse(readFileSync(path.join(SPLUNK, "ms-defender-atp-alerts.event.json"), "utf8"));
    const [event] = eventsOf("mde-alerts", "contoso", [record]);
    const [finding] = atpAlertFindings([searchEvent(event!, KNOWLEDGE).fields]);
    expect(finding?.systems).toEqual([(record as { computerDnsName: string }).computerDnsName]);
    expect(finding?.users.every((user) => user !== "null" && user !== "")).toBe(true);
  });
});

describe("the detection Microsoft Defender Incident Alerts", () => {
  test("finds every other alert, those with neither device nor user included", () => {
    const fields = seen();
    const wanted = new Set(
      fields.filter((one) => one.get("sourcetype") === "ms365:defender:incident:alerts").map((one) => one.get("id")),
    );
    expect(wanted.size).toBeGreaterThan(5);
    expect(new Set(incidentAlertFindings(fields).map((one) => one.id))).toEqual(wanted);
  });

  test("gets risk objects from Graph evidence, and threat objects once classic_entities is on", () => {
    expect(sampleFinding({})).toMatchObject({ systems: ["tempDns"], threats: { file_name: [], process: [] } });
    expect(sampleFinding({ classicEntities: true })).toMatchObject({
      systems: ["tempDns"],
      threats: {
        file_name: ["MsSense.exe"],
        process: ['"MsSense.exe"'],
        registry_key: ["SYSTEM\\CONTROLSET001\\CONTROL\\WMI\\AUTOLOGGER\\SENSEAUDITLOGGER"],
      },
    });
  });

  test("gets device, user and files from Splunk's own example event", () => {
    const alert = JSON.parse(
      readFileSync(path.join(SPLUNK, "ms365-defender-incident-alerts.event.json"), "utf8"),
    ) as Record<string, unknown>;
    const incident = {
      incidentId: alert["incidentId"] ?? 1,
      incidentName: "i",
      severity: "High",
      status: "Active",
      lastUpdateTime: "2026-11-24T00:00:00Z",
      alerts: [alert],
    };
    const events = eventsOf("xdr-incidents", "contoso", [incident]).map(
      (event) => searchEvent(event, KNOWLEDGE).fields,
    );
    const [finding, ...more] = incidentAlertFindings(events);
    expect(more).toEqual([]);
    expect(finding?.systems).toEqual(
      (alert["devices"] as { deviceDnsName: string }[]).map((device) => device.deviceDnsName),
    );
    expect(finding?.threats.file_name.length).toBeGreaterThan(0);
    expect(finding?.users.length).toBeGreaterThan(0);
  });
});

describe("two customers with one host name", () => {
  test("share one system in Enterprise Security when no zone is set, and the customer is in a field beside it", () => {
    const fields = bothWithDc01(() => ({}));
    expect(atpAlertFindings(fields).map((one) => [one.systems, one.zones])).toEqual([
      [["dc01"], []],
      [["dc01"], []],
    ]);
    expect(fields.map((one) => one.get("vendor_account"))).toEqual(["contoso", "fabrikam"]);
  });

  test("are kept apart by cim_entity_zone", () => {
    expect(
      atpAlertFindings(bothWithDc01((customer) => ({ cimEntityZone: customer }))).map((one) => [
        one.systems,
        one.zones,
      ]),
    ).toEqual([
      [["dc01"], ["contoso"]],
      [["dc01"], ["fabrikam"]],
    ]);
  });
});
