import { describe, expect, test } from "@jest/globals";
import { FIELDS } from "../../scripts/generate/splunk-app/knowledge.ts";
import { readConf } from "./conf.ts";
import { many } from "./eval-language.ts";
import { allSamples, CUSTOMERS, eventsOf, recordsIn } from "./samples.ts";
import { searchEvent, settingsFor } from "./search-time.ts";
import { shippedConf, shippedKnowledge } from "./shipped.ts";

const KNOWLEDGE = shippedKnowledge();
const REQUIRED = {
  alert: FIELDS.filter((row) => row.alerts === "required"),
  ticketing: FIELDS.filter((row) => row.ticketing === "required"),
};
const SEVERITIES = ["critical", "high", "medium", "low", "informational"];

const samples = [
  ...allSamples().map((sample) => ({ ...sample, style: "as by default" })),
  ...allSamples({ envelope: false }).map((sample) => ({ ...sample, style: "without our member" })),
  ...allSamples({ classicEntities: true, cimEntityZone: "zone_a" }).map((sample) => ({
    ...sample,
    style: "with classic entities",
  })),
].map((sample) => ({ ...sample, seen: searchEvent(sample.event, KNOWLEDGE), name: `${sample.from}, ${sample.style}` }));
const alerts = samples.filter((sample) => sample.seen.tags.includes("alert"));
const incidents = samples.filter((sample) => sample.seen.tags.includes("ticketing"));

test("there are samples of every stream, and each is an alert or an incident", () => {
  expect(new Set(samples.map((sample) => sample.stream))).toEqual(
    new Set(["alerts", "incidents", "xdr-incidents", "mde-alerts", "siem-alerts"]),
  );
  expect(alerts.length + incidents.length).toBe(samples.length);
  expect(samples.length).toBeGreaterThan(60);
  for (const sample of incidents) expect(sample.seen.tags).toEqual(["ticketing", "incident"]);
});

describe("for the Alerts data model", () => {
  test("the required fields are those of the model", () => {
    expect(REQUIRED.alert.map((row) => row.field)).toEqual([
      "app",
      "type",
      "id",
      "signature",
      "description",
      "signature_id",
      "severity",
      "dest",
      "src",
      "user",
    ]);
  });

  test.each(alerts.map((sample) => [sample.name, sample] as const))(
    "every required field has a value on the alert %s",
    (_, { seen }) => {
      expect(
        REQUIRED.alert.filter((row) => many(seen.fields.get(row.field) ?? null).length === 0).map((row) => row.field),
      ).toEqual([]);
      expect(SEVERITIES).toContain(seen.fields.get("severity"));
      expect(seen.fields.get("severity_id")).toBe(5 - SEVERITIES.indexOf(String(seen.fields.get("severity"))));
      expect(seen.fields.get("type")).toBe("alert");
    },
  );
});

describe("for the data model Ticket Management", () => {
  test("the required fields are those of the model", () => {
    expect(REQUIRED.ticketing.map((row) => row.field)).toEqual([
      "severity",
      "severity_id",
      "dest",
      "ticket_id",
      "priority",
      "status",
    ]);
  });

  test.each(incidents.map((sample) => [sample.name, sample] as const))(
    "every required field has a value on the incident %s",
    (_, { seen }) => {
      expect(
        REQUIRED.ticketing
          .filter((row) => many(seen.fields.get(row.field) ?? null).length === 0)
          .map((row) => row.field),
      ).toEqual([]);
      expect(seen.fields.get("incident")).toBeDefined();
      expect(seen.fields.get("type")).toBeUndefined();
    },
  );
});

test.each(samples.map((sample) => [sample.name, sample] as const))(
  "no mapped field holds the text null or an empty text on %s",
  (_, { seen }) => {
    const spoiled = FIELDS.filter((row) =>
      many(seen.fields.get(row.field) ?? null).some((value) => value === "null" || value === ""),
    );
    expect(spoiled.map((row) => row.field)).toEqual([]);
  },
);

describe("every event names the customer", () => {
  test.each(samples.map((sample) => [sample.name, sample] as const))("on %s", (_, { event, seen, style }) => {
    const [, , tenantId] = event.source.split(":");
    expect(seen.fields.get("tenant_id")).toBe(tenantId);
    const name = Object.entries(CUSTOMERS).find(([, id]) => id === tenantId)?.[0];
    expect(seen.fields.get("vendor_account")).toBe(style === "without our member" ? tenantId : name);
    expect(seen.fields.get("cim_entity_zone")).toBe(style === "with classic entities" ? "zone_a" : undefined);
  });
});

describe("in the mapping", () => {
  const graph = searchEvent(
    eventsOf("alerts", "contoso", recordsIn("graph-alerts_v2.response.json"))[0]!,
    KNOWLEDGE,
  ).fields;
  const mde = searchEvent(
    eventsOf("mde-alerts", "contoso", recordsIn("mde-alerts-expand-evidence.response.json"))[0]!,
    KNOWLEDGE,
  ).fields;
  const siem = searchEvent(
    eventsOf("siem-alerts", "contoso", recordsIn("siem-alerts.response.json"))[0]!,
    KNOWLEDGE,
  ).fields;

  test("an alert of Graph gets the expected fields", () => {
    expect(
      Object.fromEntries(
        [
          "dest",
          "src",
          "dest_type",
          "user",
          "severity",
          "signature",
          "signature_id",
          "mitre_technique_id",
          "incident_id",
          "file_name",
          "status",
        ].map((name) => [name, graph.get(name)]),
      ),
    ).toEqual({
      dest: "tempDns",
      src: "tempDns",
      dest_type: "instance",
      user: "SYSTEM",
      severity: "low",
      signature: "Suspicious execution of hidden file",
      signature_id: "e0da400f-affd-43ef-b1d5-afc2eb6f2756",
      mitre_technique_id: "T1564.001",
      incident_id: "28282",
      file_name: ["MsSense.exe", "services.exe"],
      status: "new",
    });
  });

  test("an alert of Defender for Endpoint gets the expected fields", () => {
    expect(mde.get("dest")).toBe("temp123.middleeast.corp.microsoft.com");
    expect(mde.get("src")).toBe("temp123.middleeast.corp.microsoft.com");
    expect(mde.get("user")).toBe("temp123@microsoft.com");
    expect(mde.get("user_name")).toBe("eranb");
    expect(mde.get("mitre_technique_id")).toEqual(["T1064", "T1085", "T1220"]);
    expect(mde.get("assignedTo")).toBeUndefined();
  });

  test("a row of the retired SIEM API gets the expected fields", () => {
    expect(siem.get("dest")).toBe("mymachine1.domain.com");
    expect(siem.get("severity")).toBe("high");
    expect(siem.get("user")).toBe("unknown");
  });

  test("an XDR incident and its alert have the same incident_id and different types", () => {
    const both = eventsOf("xdr-incidents", "contoso", recordsIn("xdr-incidents.response.json")).map((event) =>
      searchEvent(event, KNOWLEDGE),
    );
    const alert = both.find((one) => one.tags.includes("alert"))!;
    const incident = both.find((one) => one.tags.includes("incident"))!;
    expect(alert.fields.get("incident_id")).toBe(incident.fields.get("ticket_id"));
    expect(alert.fields.get("ticket_id")).toBeUndefined();
    expect(incident.fields.get("signature")).toBeUndefined();
  });

  test.each([
    ["unknown", "informational", 1],
    ["UnSpecified", "informational", 1],
    ["High", "high", 4],
  ])("the severity %s becomes %s", (native, severity, id) => {
    const [event] = eventsOf("alerts", "contoso", [
      { id: "1", title: "t", severity: native, lastUpdateDateTime: "2026-11-24T00:00:00Z" },
    ]);
    const { fields } = searchEvent(event!, KNOWLEDGE);
    expect([fields.get("severity"), fields.get("severity_id"), fields.get("vendor_severity")]).toEqual([
      severity,
      id,
      native,
    ]);
  });

  test("an alert with neither device nor user still has a dest and a user", () => {
    const [event] = eventsOf("alerts", "contoso", [
      { id: "1", title: "t", severity: "low", lastUpdateDateTime: "2026-11-24T00:00:00Z", evidence: [] },
    ]);
    const { fields } = searchEvent(event!, KNOWLEDGE);
    expect([fields.get("dest"), fields.get("src"), fields.get("user"), fields.get("dest_type")]).toEqual([
      "contoso",
      "contoso",
      "unknown",
      undefined,
    ]);
  });

  test("evidence far behind the end of the automatic extraction is still found", () => {
    const [event] = eventsOf("alerts", "contoso", [
      {
        id: "1",
        title: "t",
        severity: "low",
        lastUpdateDateTime: "2026-11-24T00:00:00Z",
        description: "x".repeat(9000),
        evidence: [
          { deviceDnsName: "far.example.com", userAccount: { userPrincipalName: "u@example.com", accountName: null } },
        ],
      },
    ]);
    const { fields } = searchEvent(event!, KNOWLEDGE);
    expect([fields.get("dest"), fields.get("user"), fields.get("user_name")]).toEqual([
      "far.example.com",
      "u@example.com",
      undefined,
    ]);
  });

  test("a name inside a text does not become a field", () => {
    const [event] = eventsOf("alerts", "contoso", [
      {
        id: "1",
        title: 'says "deviceDnsName":"evil.example.com"',
        severity: "low",
        lastUpdateDateTime: "2026-11-24T00:00:00Z",
      },
    ]);
    expect(searchEvent(event!, KNOWLEDGE).fields.get("dest")).toBe("contoso");
  });
});

test("a hunting row names its device and its user where its columns do, and never null", () => {
  const row = (columns: Record<string, unknown>) =>
    searchEvent(
      {
        raw: JSON.stringify(columns),
        source: `defender_mssp:hunting:${CUSTOMERS.contoso}`,
        sourcetype: "m365:defender:incident:advanced_hunting",
        time: 0,
      },
      KNOWLEDGE,
    );
  const { fields, tags } = row({
    DeviceName: "pc1.example.com",
    AccountUpn: null,
    AccountName: "u1",
    mssp: { tenant: "contoso" },
  });
  expect([fields.get("dest"), fields.get("user"), fields.get("vendor_account"), tags]).toEqual([
    "pc1.example.com",
    "u1",
    "contoso",
    [],
  ]);
  expect([row({ FileName: "cmd.exe" }).fields.get("dest"), row({ DeviceName: null }).fields.get("dest")]).toEqual([
    undefined,
    undefined,
  ]);
});

describe("beside another add-on for the same sourcetypes", () => {
  const other = readConf(
    '[ms:defender:atp:alerts]\nEVAL-dest = "theirs"\nEVAL-extra = "theirs"\n[ms365:defender:incident]\nEVAL-dest = "theirs"\n',
  );
  const [ours] = eventsOf("mde-alerts", "contoso", recordsIn("mde-alerts.response.json"));

  test.each([
    ["above", [shippedConf("props.conf"), other]],
    ["below", [other, shippedConf("props.conf")]],
  ])("%s it, this add-on's fields win on its own events, because source wins over sourcetype", (_, props) => {
    expect(searchEvent(ours!, { ...KNOWLEDGE, props }).fields.get("dest")).not.toBe("theirs");
  });

  test("the other add-on's events are not changed", () => {
    const theirs = { ...ours!, source: "microsoft_defender_endpoint_atp_alerts" };
    expect([...settingsFor(theirs, [shippedConf("props.conf")]).keys()]).toEqual([]);
    expect(searchEvent(theirs, KNOWLEDGE).tags).toEqual([]);
  });

  test("every stanza of this add-on is a source stanza", () => {
    for (const name of shippedConf("props.conf").keys()) expect(name).toMatch(/^source::defender_mssp:/);
  });
});

test.each([
  "props.conf",
  "transforms.conf",
  "eventtypes.conf",
  "tags.conf",
  "macros.conf",
  "savedsearches.conf",
  "collections.conf",
])("the file %s is the same in both apps", (name) => {
  expect(shippedConf(name, "TA_defender_mssp")).toEqual(shippedConf(name));
});
