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

/** A Graph alert with this evidence; roles stand where they are given, before or behind the other members. */
function seenWith(evidence: readonly (readonly [kind: string, members: object])[], more: object = {}) {
  const [event] = eventsOf("alerts", "contoso", [
    {
      id: "1",
      title: "t",
      severity: "low",
      serviceSource: "microsoftDefenderForEndpoint",
      lastUpdateDateTime: "2026-11-24T00:00:00Z",
      ...more,
      evidence: evidence.map(([kind, members]) => ({
        "@odata.type": `#microsoft.graph.security.${kind}Evidence`,
        createdDateTime: "2026-11-24T00:00:00Z",
        verdict: "suspicious",
        ...members,
      })),
    },
  ]);
  const { fields } = searchEvent(event!, KNOWLEDGE);
  return (...names: readonly string[]) => names.map((name) => fields.get(name));
}

const DEVICE = { deviceDnsName: "pc1.example.com", hostName: "pc1", loggedOnUsers: [{ accountName: "boss" }] };
const ADDRESS = { ipAddress: "198.51.100.7", countryLetterCode: "NL", location: { city: "x" } };
const USER = {
  userAccount: { accountName: "eve", domainName: "EX", userPrincipalName: "eve@example.com", resourceAccessEvents: [] },
};
const SIDES = ["src", "src_type", "src_ip", "src_user", "dest", "dest_type", "dest_ip", "user"] as const;

describe("the roles of Graph's evidence decide about the direction", () => {
  test.each(["before", "behind"])("of a brute force, with roles %s the other members", (where) => {
    const having = (roles: readonly string[], members: object) =>
      where === "before" ? { roles, tags: [], ...members } : { ...members, roles, tags: [] };
    const fields = seenWith([
      ["device", having(["attacked"], DEVICE)],
      ["ip", having(["attacker"], ADDRESS)],
      ["user", having(["compromised"], USER)],
    ]);
    expect(fields(...SIDES)).toEqual([
      "198.51.100.7",
      undefined,
      "198.51.100.7",
      undefined,
      "pc1.example.com",
      "instance",
      undefined,
      "eve@example.com",
    ]);
  });

  const SOURCE = ["attacker", "source", "commandAndControl"];
  const TARGET = ["attacked", "destination", "compromised"];
  const pairs = SOURCE.flatMap((source) => TARGET.map((target) => [source, target] as const));

  test.each(pairs)("exchanging %s and %s exchanges the sides", (source, target) => {
    const either = (one: string, other: string) =>
      seenWith([
        ["device", { ...DEVICE, roles: ["contextual", one] }],
        ["ip", { ...ADDRESS, roles: [other] }],
        ["user", { ...USER, roles: [one] }],
        ["user", { userAccount: { accountName: "bob", userPrincipalName: null }, roles: [other, "scanned"] }],
      ]);
    expect(either(source, target)("src", "dest", "dest_ip", "src_user", "user")).toEqual([
      "pc1.example.com",
      "198.51.100.7",
      "198.51.100.7",
      "eve@example.com",
      "bob",
    ]);
    expect(either(target, source)("src", "dest", "src_ip", "src_user", "user")).toEqual([
      "198.51.100.7",
      "pc1.example.com",
      "198.51.100.7",
      "bob",
      "eve@example.com",
    ]);
  });

  test("where one item has roles of both sides, it is the source", () => {
    const fields = seenWith([
      ["ip", { ...ADDRESS, roles: ["attacked", "attacker"] }],
      ["user", { ...USER, roles: ["compromised", "source"] }],
    ]);
    expect(fields("src", "dest", "src_user", "user")).toEqual([
      "198.51.100.7",
      "contoso",
      "eve@example.com",
      "unknown",
    ]);
  });

  test("detailed roles count too, however they are written", () => {
    const fields = seenWith([
      ["device", { ...DEVICE, roles: [], detailedRoles: ["Main device", "Attacked"] }],
      ["ip", { ...ADDRESS, detailedRoles: ["Command and Control"], roles: [] }],
    ]);
    expect(fields("src", "dest")).toEqual(["198.51.100.7", "pc1.example.com"]);
  });

  test("without roles, with roles that have no side, and with unknown ones all is as before", () => {
    const asBefore = seenWith([
      ["device", DEVICE],
      ["ip", ADDRESS],
      ["user", USER],
    ])(...SIDES);
    expect(asBefore).toEqual([
      "pc1.example.com",
      "instance",
      "198.51.100.7",
      undefined,
      "pc1.example.com",
      "instance",
      undefined,
      "eve@example.com",
    ]);
    for (const roles of [[], null, ["contextual"], ["someFutureRole", "policyViolator"]])
      expect(
        seenWith([
          ["device", { ...DEVICE, roles }],
          ["ip", { roles, ...ADDRESS }],
          ["user", { ...USER, roles }],
        ])(...SIDES),
      ).toEqual(asBefore);
  });

  test("a compromised device alone stays the source too: a detection takes src for the system at risk", () => {
    const fields = seenWith([
      ["device", { ...DEVICE, roles: ["compromised"] }],
      ["ip", ADDRESS],
    ]);
    expect(fields("src", "dest")).toEqual(["pc1.example.com", "pc1.example.com"]);
  });

  test("the roles of one item say nothing about the next, and a role's name in a text says nothing at all", () => {
    const fields = seenWith([
      ["ip", { ...ADDRESS, roles: [] }],
      ["registryKey", { registryKey: '"roles":["attacker"]', roles: ["attacked"] }],
      ["device", { ...DEVICE, roles: ["attacked"] }],
      ["ip", { ipAddress: "203.0.113.9", roles: ["attacker"] }],
    ]);
    expect(fields("src", "dest")).toEqual(["203.0.113.9", "pc1.example.com"]);
  });

  test("an item with 2,000 accounts behind the member and before its roles is still read", () => {
    const loggedOnUsers = Array.from({ length: 2_000 }, (_, i) => ({ accountName: `u${i}`, domainName: "EX" }));
    const fields = seenWith([
      ["device", { ...DEVICE, loggedOnUsers, roles: ["attacked"] }],
      ["ip", { ...ADDRESS, roles: ["attacker"] }],
    ]);
    expect(fields("src", "dest")).toEqual(["198.51.100.7", "pc1.example.com"]);
  });
});

describe("addresses, hashes, mailboxes and senders are cut out of every kind that has them:", () => {
  const ACCESS = {
    resourceAccessEvents: [
      { accessDateTime: "2026-11-24T00:00:00Z", accountId: "a", ipAddress: "10.9.9.1", resourceIdentifier: "r[1]" },
      { resourceIdentifier: 'quoted "]', accountId: null, ipAddress: "10.9.9.2" },
    ],
  };

  test("an address from which an account used another resource is never src_ip, whatever the members' order", () => {
    const fields = seenWith([
      ["user", { userAccount: { accountName: "eve", ...ACCESS, userPrincipalName: "eve@example.com" } }],
      ["ip", ADDRESS],
      ["device", { ...DEVICE, ...ACCESS }],
      ["ip", { ipAddress: "203.0.113.9" }],
    ]);
    expect(fields("src_ip")).toEqual([["198.51.100.7", "203.0.113.9"]]);
    expect(seenWith([["user", { userAccount: { ...ACCESS } }]])("src_ip", "src")).toEqual([undefined, "contoso"]);
  });

  test("a device's own and external address, without loopback and link-local ones", () => {
    const fields = seenWith([
      [
        "device",
        {
          ...DEVICE,
          lastIpAddress: "10.1.2.3",
          lastExternalIpAddress: "192.0.2.44",
          ipInterfaces: ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "10.1.2.3", "10.1.2.4"],
        },
      ],
      ["device", { deviceDnsName: "pc2", lastIpAddress: "127.0.0.1", ipInterfaces: ["fe80::2", "2001:db8::2"] }],
      ["device", { deviceDnsName: "pc3", lastIpAddress: null, ipInterfaces: ["127.0.0.1"] }],
    ]);
    expect(fields("dest_ip", "dest_translated_ip", "src_ip")).toEqual([
      ["10.1.2.3", "2001:db8::2"],
      "192.0.2.44",
      undefined,
    ]);
  });

  test("a Teams message", () => {
    const fields = seenWith([
      [
        "teamsMessage",
        {
          senderFromAddress: "evil@example.net",
          senderIP: "203.0.113.5",
          recipients: ["victim@example.com", "second@example.com"],
          urls: [
            { "@odata.type": "#microsoft.graph.security.urlEvidence", url: "https://u:p@evil.example.net:8443/x?y" },
          ],
          files: [{ fileDetails: { fileName: "a.exe", sha256: "a".repeat(64) } }],
        },
      ],
    ]);
    expect(fields("sender", "src_ip", "user", "url_domain", "file_hash")).toEqual([
      "evil@example.net",
      "203.0.113.5",
      "victim@example.com",
      "evil.example.net",
      "a".repeat(64),
    ]);
  });

  test("a mail and a reported mail", () => {
    const fields = seenWith([
      [
        "analyzedMessage",
        {
          p1Sender: { displayName: null, domainName: "bounce.example", emailAddress: "b@bounce.example" },
          p2Sender: { displayName: "B", domainName: "example.net", emailAddress: "boss@example.net" },
          recipientEmailAddress: "victim@example.com",
          senderIp: "203.0.113.6",
        },
      ],
      ["submissionMail", { sender: "other@example.net", recipient: "victim@example.com", senderIp: "203.0.113.7" }],
    ]);
    expect(fields("sender", "user", "src_ip")).toEqual([
      ["b@bounce.example", "boss@example.net", "other@example.net"],
      "victim@example.com",
      ["203.0.113.6", "203.0.113.7"],
    ]);
  });

  test("a mailbox's configuration names its user, by principal name or by mailbox", () => {
    const rule = { configurationType: "mailForwardingRule", mailboxPrimaryAddress: "box@example.com" };
    expect(seenWith([["mailboxConfiguration", { ...rule, upn: "owner@example.com" }]])("user")).toEqual([
      "owner@example.com",
    ]);
    expect(seenWith([["mailboxConfiguration", { ...rule, upn: null }]])("user")).toEqual(["box@example.com"]);
  });

  test("a hash that is evidence of its own, if it is SHA-256", () => {
    const fields = seenWith([
      ["fileHash", { algorithm: "sha256", value: "b".repeat(64) }],
      ["fileHash", { algorithm: "md5", value: "c".repeat(32) }],
      ["registryValue", { registryValue: "d".repeat(64), value: "e".repeat(64) }],
    ]);
    expect(fields("file_hash")).toEqual(["b".repeat(64)]);
  });
});

describe("the priority of an incident", () => {
  test.each([
    [100, "high"],
    [86, "high"],
    [85, "medium"],
    [15, "medium"],
    [14, "low"],
    [0, "low"],
    [null, "high"],
    [undefined, "high"],
  ])("with the priority score %s is %s, its severity stays", (priorityScore, priority) => {
    const [event] = eventsOf("incidents", "contoso", [
      {
        id: "1",
        displayName: "i",
        severity: "high",
        status: "active",
        lastUpdateDateTime: "2026-11-24T00:00:00Z",
        priorityScore,
      },
    ]);
    const { fields } = searchEvent(event!, KNOWLEDGE);
    expect([fields.get("priority"), fields.get("severity")]).toEqual([priority, "high"]);
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
    mssp: { tenant: "contoso", tenant_id: CUSTOMERS.contoso },
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

test.each(["props.conf", "transforms.conf", "eventtypes.conf", "tags.conf", "macros.conf", "tools.conf"])(
  "the file %s is the same in both apps",
  (name) => {
    expect(shippedConf(name, "TA_defender_mssp")).toEqual(shippedConf(name));
  },
);

test("the add-on has the collections of the search heads' app, and two for its pages", () => {
  const ours = [...shippedConf("collections.conf", "TA_defender_mssp")];
  const pages = ours.filter(([name]) => !shippedConf("collections.conf").has(name)).map(([name]) => name);

  expect(new Map(ours.filter(([name]) => !pages.includes(name)))).toEqual(shippedConf("collections.conf"));
  expect(pages).toEqual(["defender_mssp_requests", "defender_mssp_status"]);
});
