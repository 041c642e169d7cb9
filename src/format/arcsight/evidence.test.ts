import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { graphAlert, graphAlertOf } from "../../../test/golden/graph-alert.ts";
import { deliveriesOf, SAMPLES } from "../../../test/golden/samples.ts";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { lintCefLine } from "../../hosts/arcsight/cef-lint.ts";
import { scanAnswer } from "../../json/answer-scanner.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery } from "../../model/event.ts";
import { writeCef } from "./cef.ts";
import { CEF_LINE_MAX_BYTES } from "./cef-line.ts";
import { CEF_PROFILES, type CefProfile } from "./cef-mapping.ts";
import { EVIDENCE_RULES } from "./evidence-rules.ts";
import { writeFlatJson } from "./flat-json.ts";
import { FLAT_FIELDS } from "./flat-record.ts";
import { siemRows } from "./siem-rows.ts";

const ARRIVED = "2026-11-24T16:05:58.0000000Z";

function typed(kind: string): string {
  return `#microsoft.graph.security.${kind}Evidence`;
}

function cefLines(delivery: Delivery, profile: CefProfile = "xdr"): readonly string[] {
  const out = new ByteWriter();
  writeCef(out, delivery, profile, "each");
  return out.toString().trimEnd().split("\n");
}

function cef(delivery: Delivery, profile: CefProfile = "xdr"): Readonly<Record<string, string>> {
  return Object.fromEntries(readCef(cefLines(delivery, profile)[0]!).extension);
}

function flatLines(delivery: Delivery): readonly string[] {
  const out = new ByteWriter();
  writeFlatJson(out, delivery, "each");
  return out.toString().trimEnd().split("\n");
}

function device(members: object): Delivery {
  return graphAlert({ evidence: [{ "@odata.type": typed("device"), ...members }] });
}

describe("of several items", () => {
  const summaryOf = (...evidence: readonly object[]): unknown => JSON.parse(flatLines(graphAlert({ evidence }))[0]!);

  test("the first gives all members that belong together, so that no hash stands beside another file's name", () => {
    const file = (fileDetails: object): object => ({ "@odata.type": typed("file"), fileDetails });
    const summary = summaryOf(file({ fileName: "a.exe" }), file({ fileName: "b.exe", sha1: "5b" }), {
      "@odata.type": typed("url"),
      url: "https://c",
    });
    expect(summary).toMatchObject({ fileName: "a.exe", url: "https://c" });
    expect(summary).not.toHaveProperty("sha1");
  });

  test("one that has only the id of its device is not the alert's device", () => {
    const summary = summaryOf(
      { "@odata.type": typed("file"), mdeDeviceId: "d1", fileDetails: { fileName: "a.exe" } },
      { "@odata.type": typed("process"), mdeDeviceId: "d2", processId: 7 },
    );
    expect(summary).toMatchObject({ fileName: "a.exe", processId: 7 });
    expect(summary).not.toHaveProperty("deviceId");
  });
});

describe("a device's names and addresses", () => {
  test("come from hostName and dnsDomain where there is no deviceDnsName", () => {
    const both = cef(
      device({ deviceDnsName: null, hostName: "srv1", dnsDomain: "corp.contoso.com", ntDomain: "CORP" }),
    );
    expect(both).toMatchObject({ shost: "srv1", sourceDnsDomain: "corp.contoso.com", sntdom: "CORP" });
    expect(both["requestContext"]).toBe("Hosts: srv1.corp.contoso.com");
    expect(cef(device({ hostName: "srv1" }))).toMatchObject({ shost: "srv1" });
    expect(cef(device({ hostName: "srv1.a.b", dnsDomain: "c.d" }))).toMatchObject({
      shost: "srv1",
      sourceDnsDomain: "a.b",
    });
    expect(cef(device({ deviceDnsName: "pc1", dnsDomain: "c.d" }))).toMatchObject({
      shost: "pc1",
      sourceDnsDomain: "c.d",
    });
    const legacy = cef(device({ hostName: "srv1", dnsDomain: "corp.contoso.com" }), "legacy");
    expect(legacy).toMatchObject({ shost: "srv1", sourceDnsDomain: "corp.contoso.com" });
  });

  test("are left out where all of them are null, and the alert is delivered all the same", () => {
    const names = [
      "deviceDnsName",
      "hostName",
      "dnsDomain",
      "ntDomain",
      "lastIpAddress",
      "ipInterfaces",
      "tags",
      "roles",
    ];
    const delivery = device(Object.fromEntries(names.map((name) => [name, null])));
    expect(cefLines(delivery)).toHaveLength(2);
    expect(Object.keys(cef(delivery))).not.toContain("shost");
  });

  test.each([
    [["127.0.0.1", "169.254.1.1", "10.1.2.3"], "10.1.2.3", undefined],
    [["127.0.0.1", "169.254.1.1"], "169.254.1.1", undefined],
    [["127.0.0.1", "::1", "0:0:0:0:0:0:0:1", "0.0.0.0"], undefined, undefined],
    [["fe80::1", "FEBF::2", "2001:db8::7"], undefined, "2001:db8::7"],
    [["fe80::1", "10.1.2.3"], "10.1.2.3", undefined],
    [["fe80::1"], undefined, "fe80::1"],
    [["not an address", "300.1.2.3", "10.1.2.3"], "10.1.2.3", undefined],
    [["10.1.2.3", "10.9.9.9", "2001:db8::7"], "10.1.2.3", "2001:db8::7"],
  ])("of the addresses %j the first that others can reach counts", (ipInterfaces, src, c6a2) => {
    for (const evidence of [
      { ipInterfaces },
      { lastIpAddress: ipInterfaces[0], ipInterfaces: ipInterfaces.slice(1) },
    ]) {
      const got = cef(device(evidence));
      expect([got["src"], got["c6a2"]]).toEqual([src, c6a2]);
    }
  });

  test("of all devices and accounts are on the alert's own line, and what does not fit ends in …", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      "@odata.type": typed("device"),
      deviceDnsName: `pc${i}.contoso.com`,
    }));
    const users = ["alice", "bob"].map((accountName) => ({
      "@odata.type": typed("user"),
      userAccount: { accountName, domainName: "CONTOSO", userPrincipalName: `${accountName}@contoso.com` },
    }));
    expect(cef(graphAlert({ evidence: [...many.slice(0, 3), ...users] }))).toMatchObject({
      requestContext:
        "Hosts: pc0.contoso.com, pc1.contoso.com, pc2.contoso.com; Users: CONTOSO\\alice (alice@contoso.com), CONTOSO\\bob (bob@contoso.com)",
    });
    const all = cef(graphAlert({ evidence: [...many, ...users] }))["requestContext"]!;
    expect(all).toMatch(/^Hosts: pc0\.contoso\.com, .*, …; Users: CONTOSO\\alice .*bob@contoso\.com\)$/);
  });
});

const LONG = "9007199254740993287".slice(0, 19);

describe("numbers are copied and not computed:", () => {
  function hunting(row: string): Delivery {
    const sample = SAMPLES.find(({ stream }) => stream === "hunting")!;
    const [record] = scanAnswer(`{"schema":[],"results":[${row}]}`, sample.options).records;
    if (record?.readable !== true) throw new Error("the row cannot be read");
    return { ...deliveriesOf(sample)[0]!, record };
  }

  test("a hunting row's long numbers, negative ones too, have all their digits in CEF and flat JSON", () => {
    const row = `{"Timestamp":"2026-11-24T16:00:00Z","ProcessUniqueId":${LONG},"Offset":-9223372036854775808,"FileSize":9007199254740993}`;
    const delivery = hunting(row);
    expect(cef(delivery)["msg"]).toBe(row);
    const [line] = flatLines(delivery);
    expect((JSON.parse(line!) as { description: string }).description).toBe(row);
    expect(line).toMatch(/"fileSize":9007199254740993[,}]/);
  });

  test.each(["9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "42", "-7", "0"])(
    "%s stays as it is, whether Microsoft writes a number or text",
    (digits) => {
      for (const given of [digits, `"${digits}"`]) {
        const alert = (evidence: string) =>
          graphAlertOf(`{"id":"a1","lastUpdateDateTime":"${ARRIVED}","incidentId":${given},"evidence":[${evidence}]}`);
        const process = `{"@odata.type":"${typed("process")}","processId":${given},"imageFile":{"fileSize":${given}}}`;
        const application = `{"@odata.type":"${typed("cloudApplication")}","appId":${given},"displayName":"Box"}`;
        const delivery = alert(`${process},${application}`);
        expect(cef(delivery)["cn3"]).toBe(digits);
        const [summary] = flatLines(delivery);
        expect(summary).toContain(`"processId":${digits},`);
        expect(summary).toContain(`"fileSize":${digits},`);
        expect(summary).toContain(`"applicationId":"${digits}"`);
        expect(summary).toContain(`"incidentId":"${digits}"`);
        expect(cefLines(delivery).at(-1)).toContain(`Application ID: ${digits}`);
        // The old form has no member for it, but the id of a row is made of it.
        expect(siemRows(delivery, ARRIVED)).toHaveLength(1);
      }
    },
  );

  test("a number that CEF has no room for stands as text in the context", () => {
    const file = { "@odata.type": typed("file"), fileDetails: { fileName: "big.iso", fileSize: 6_442_450_944 } };
    const process = { "@odata.type": typed("process"), processId: 4_294_967_295, parentProcessId: 4_294_967_294 };
    const [alert, ofFile, ofProcess] = cefLines(graphAlert({ evidence: [file, process] })).map(
      (line) => readCef(line).extension,
    );
    const all = "Process ID: 4294967295; Parent process ID: 4294967294; File size: 6442450944";
    expect([alert!.get("fsize"), alert!.get("dpid"), alert!.get("requestContext")]).toEqual([
      undefined,
      undefined,
      all,
    ]);
    expect(ofFile!.get("requestContext")).toContain("File size: 6442450944");
    expect(ofProcess!.get("requestContext")).toContain("Process ID: 4294967295; Parent process ID: 4294967294");
  });

  test("rows of the retired API itself keep them", () => {
    const sample = SAMPLES.find(({ stream }) => stream === "siem-alerts")!;
    const text = `[{"FullId":"f1","LastProcessedTimeUtc":"${ARRIVED}","AlertTime":"${ARRIVED}","ReportID":${LONG}}]`;
    const [record] = scanAnswer(text, sample.options).records;
    if (record?.readable !== true) throw new Error("the row cannot be read");
    const [row] = siemRows({ ...deliveriesOf(sample)[0]!, record }, ARRIVED);
    expect(JSON.stringify(row)).toContain(`"ReportID":${LONG},`);
  });

  test("two processes whose numbers differ in the last digit only are two rows of the old form", () => {
    const process = (id: string) => `{"@odata.type":"${typed("process")}","processId":${id}}`;
    const evidence = [process("9007199254740992"), process("9007199254740993")].join(",");
    const delivery = graphAlertOf(`{"id":"a1","lastUpdateDateTime":"${ARRIVED}","evidence":[${evidence}]}`);
    expect(siemRows(delivery, ARRIVED)).toHaveLength(2);
  });

  test.each(["9223372036854775808", "-9223372036854775809"])("%s has more than 64 bits and fits no field", (digits) => {
    const delivery = hunting(`{"Timestamp":"2026-11-24T16:00:00Z","FileSize":${digits}}`);
    expect(flatLines(delivery)[0]).not.toContain('"fileSize"');
    expect(cef(delivery)["msg"]).toContain(`"FileSize":${digits}`);
    const alert = graphAlertOf(`{"id":"a1","lastUpdateDateTime":"${ARRIVED}","incidentId":${digits}}`);
    expect([cef(alert)["cn3"], flatLines(alert)[0]]).toEqual([undefined, expect.stringContaining(`"${digits}"`)]);
  });

  test("more than 64 bits or a fraction do not fit a field, and stand in the description of a row", () => {
    const row = `{"Timestamp":"2026-11-24T16:00:00Z","FileSize":123456789012345678901234567890,"ProcessId":1.5}`;
    const got = cef(hunting(row));
    expect([got["fsize"], got["dpid"], got["msg"]]).toEqual([undefined, undefined, row]);
  });
});

/** What readers would refuse of all that the outputs write of an alert. */
function refusedOf(delivery: Delivery): readonly string[] {
  const refused: string[] = [];
  for (const line of CEF_PROFILES.flatMap((profile) => cefLines(delivery, profile))) {
    readCef(line);
    refused.push(...lintCefLine(line));
    if (Buffer.byteLength(line) > CEF_LINE_MAX_BYTES) refused.push(`${Buffer.byteLength(line)} bytes`);
  }
  for (const line of flatLines(delivery)) {
    for (const [name, value] of Object.entries(JSON.parse(line) as object)) {
      const wanted = FLAT_FIELDS[name as keyof typeof FLAT_FIELDS] === "text" ? "string" : "number";
      if (typeof value !== wanted) refused.push(`${name} is a ${typeof value}`);
    }
  }
  JSON.stringify(siemRows(delivery, ARRIVED));
  return refused;
}

describe("evidence that is not as documented gives a line as good as it can be:", () => {
  test.each([
    ["without @odata.type", [{ ipAddress: "203.0.113.7", verdict: "suspicious" }]],
    ["with a type that is not text", [{ "@odata.type": 7, id: "x" }]],
    ["with an empty type", [{ "@odata.type": "" }]],
    ["with the type alone", Object.keys(EVIDENCE_RULES).map((kind) => ({ "@odata.type": typed(kind) }))],
    ["null, text and lists in place of items", [null, "x", [], 7, {}]],
    ["not a list", { "@odata.type": typed("ip") }],
    [
      "a host name of 300 characters",
      [{ "@odata.type": typed("device"), deviceDnsName: `${"h".repeat(300)}.${"d".repeat(300)}` }],
    ],
    [
      "an address that is none",
      [
        { "@odata.type": typed("ip"), ipAddress: "999.1.1.1" },
        { "@odata.type": typed("ip"), ipAddress: 7 },
      ],
    ],
    [
      "addresses of no host",
      [
        { "@odata.type": typed("ip"), ipAddress: "127.0.0.1" },
        { "@odata.type": typed("ip"), ipAddress: "fe80::1" },
      ],
    ],
    [
      "roles that nobody knows",
      [
        {
          "@odata.type": typed("user"),
          roles: ["king", null, 7],
          detailedRoles: "x",
          userAccount: { accountName: "a" },
        },
      ],
    ],
    [
      "roles that contradict",
      [{ "@odata.type": typed("user"), roles: ["attacker", "attacked"], userAccount: { accountName: "a" } }],
    ],
    ["numbers as text", [{ "@odata.type": typed("process"), processId: "4780", parentProcessId: "0668" }]],
    [
      "ports that are none",
      [
        {
          "@odata.type": typed("networkConnection"),
          sourcePort: -1,
          destinationPort: 70_000,
          sourceAddress: { ipAddress: "10.0.0.1" },
        },
      ],
    ],
  ])("%s", (_, evidence) => {
    expect(refusedOf(graphAlert({ evidence }))).toEqual([]);
  });

  test("identifiers of thousands of characters", () => {
    const long = "é=".repeat(1950);
    const evidence = [
      { "@odata.type": typed("file"), fileDetails: { sha1: "a".repeat(255), sha256: long, md5: long, fileName: long } },
      {
        "@odata.type": typed("user"),
        roles: ["attacked"],
        userAccount: { accountName: "a", userSid: long.slice(0, 1000) },
      },
      {
        "@odata.type": typed("user"),
        roles: ["source"],
        userAccount: { accountName: "b", userSid: long.slice(2, 1000) },
      },
      {
        "@odata.type": typed("blob"),
        blobContainer: { name: long },
        fileHashes: [{ algorithm: "sha256", value: long }],
      },
      { "@odata.type": typed("azureResource"), resourceId: long, resourceName: long, resourceType: long },
    ];
    const delivery = graphAlert({ title: long, description: long, category: long, evidence });
    expect(refusedOf(delivery)).toEqual([]);
    expect(cef(delivery)).toMatchObject({ cs6: expect.stringMatching(/^sha256:/), suser: "b", duser: "a" });
  });

  test("roles that contradict put the account on the source side only", () => {
    const evidence = [
      { "@odata.type": typed("user"), roles: ["attacked", "attacker"], userAccount: { accountName: "a" } },
    ];
    const got = cef(graphAlert({ evidence }));
    expect([got["suser"], got["duser"]]).toEqual(["a", undefined]);
  });

  test("an address that is none stands in the context of its line", () => {
    const [, line] = cefLines(graphAlert({ evidence: [{ "@odata.type": typed("ip"), ipAddress: "999.1.1.1" }] }));
    expect(readCef(line!).extension.get("requestContext")).toBe("Item: 1 of 1; ipAddress: 999.1.1.1");
  });

  test("10,000 items of all kinds, each with a line, none too long and no two equal", () => {
    const kinds = Object.keys(EVIDENCE_RULES);
    const evidence = Array.from({ length: 10_000 }, (_, i) => ({
      "@odata.type": typed(kinds[i % kinds.length]!),
      name: `n${i}`,
      url: `https://x.example/${i}`,
      roles: i % 3 === 0 ? ["attacker"] : ["attacked"],
      userAccount: { accountName: `user${i}`, userPrincipalName: `user${i}@contoso.com` },
      deviceDnsName: `pc${i}.contoso.com`,
      labels: { of: "v".repeat(i < 100 ? 9000 : 9) },
    }));
    const delivery = graphAlert({ evidence });
    for (const profile of CEF_PROFILES) {
      const lines = cefLines(delivery, profile);
      expect(lines).toHaveLength(10_001);
      expect(new Set(lines).size).toBe(10_001);
      expect(lines.filter((line) => Buffer.byteLength(line) > CEF_LINE_MAX_BYTES)).toEqual([]);
    }
    expect(flatLines(delivery)).toHaveLength(10_001);
  });

  test("property: whatever is in an item of whatever kind, there is no exception, and strict readers take each line", () => {
    const odd = fc.oneof(
      { weight: 3, arbitrary: fc.string({ unit: anyCharacter, maxLength: 40 }) },
      fc.constantFrom(
        null,
        true,
        1.5,
        -1,
        2 ** 53,
        "127.0.0.1",
        "fe80::1",
        "10.1.2.3",
        "a@b.c",
        "=|\\\n",
        "x".repeat(9000),
        [],
        {},
      ),
      fc.jsonValue({ maxDepth: 2 }),
    );
    const members = new Set<string>([
      "roles",
      "detailedRoles",
      "tags",
      "verdict",
      "remediationStatus",
      "detectionStatus",
    ]);
    const nested = new Set<string>();
    const places = JSON.stringify(EVIDENCE_RULES)
      .match(/"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*"/g)!
      .map((place) => place.slice(1, -1));
    for (const place of places) {
      const [outer = "", ...inner] = place.split(".");
      members.add(outer);
      for (const member of inner) nested.add(member);
    }
    for (const name of [
      "deviceDnsName",
      "hostName",
      "dnsDomain",
      "ntDomain",
      "lastIpAddress",
      "ipInterfaces",
      "lastExternalIpAddress",
      "loggedOnUsers",
    ])
      members.add(name);
    for (const name of [
      "accountName",
      "domainName",
      "userSid",
      "userPrincipalName",
      "fileName",
      "filePath",
      "sha256",
      "algorithm",
      "value",
      "ipAddress",
      "deviceDnsName",
    ])
      nested.add(name);
    const inner = fc.dictionary(fc.constantFrom(...nested), odd, { maxKeys: 6 });
    const deep = fc.dictionary(fc.constantFrom(...nested), fc.oneof(odd, inner, fc.array(inner, { maxLength: 3 })), {
      maxKeys: 6,
    });
    const value = fc.oneof(
      odd,
      deep,
      fc.array(deep, { maxLength: 3 }),
      fc.array(fc.constantFrom("attacker", "attacked", "scanned", null)),
    );
    const item = fc
      .tuple(
        fc.oneof(
          fc.constantFrom(...Object.keys(EVIDENCE_RULES).map(typed)),
          fc.constantFrom(undefined, typed("new"), null, 7),
        ),
        fc.dictionary(fc.constantFrom(...members), value, { maxKeys: 14 }),
      )
      .map(([type, rest]) => (type === undefined ? rest : { "@odata.type": type, ...rest }));
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: item }, odd), { maxLength: 6 }), (evidence) => {
        expect(refusedOf(graphAlert({ title: "T", evidence }))).toEqual([]);
      }),
      { numRuns: 250 },
    );
  });
});
