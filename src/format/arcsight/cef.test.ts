import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { graphAlert, graphAlertOf } from "../../../test/golden/graph-alert.ts";
import { CONTOSO, deliveriesOf, readSample, SAMPLES } from "../../../test/golden/samples.ts";
import { anyCharacter } from "../../../test/harness/any-character.ts";
import { scanAnswer } from "../../json/answer-scanner.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import { msFromTicks, parseInstant } from "../../model/instant.ts";
import type { RosterReport } from "../../model/roster-report.ts";
import { type CefEvidence, writeCef, writeCefHealth, writeCefNotice } from "./cef.ts";
import { CEF_KEYS, type CefKey, type CefVersion } from "./cef-dictionary.ts";
import { CEF_LINE_MAX_BYTES, type CefPair, fittedCefLine } from "./cef-line.ts";
import { CEF_PROFILES, type CefProfile, eventClassIds, mappingTable } from "./cef-mapping.ts";
import { writeFlatHealth, writeFlatJson } from "./flat-json.ts";
import { FLAT_FIELDS, serviceOf } from "./flat-record.ts";
import { siemRows } from "./siem-rows.ts";

function lines(
  delivery: Delivery,
  profile: CefProfile,
  evidence: CefEvidence = "none",
  version: CefVersion = 0,
): string[] {
  const out = new ByteWriter();
  const count = writeCef(out, delivery, profile, evidence, version);
  const written = out.toString().split("\n");
  expect(written.pop()).toBe("");
  expect(written).toHaveLength(count);
  return written;
}

const [GRAPH_ALERTS] = SAMPLES;
const ALERT = deliveriesOf(GRAPH_ALERTS!)[0]!;

describe("legacy is Microsoft's published table, field by field", () => {
  interface Published {
    readonly static: { readonly field: string; readonly value: string }[];
    readonly map: { readonly alertField: string; readonly cefKey: string }[];
    readonly noMapping: string[];
  }
  const published = JSON.parse(
    readFileSync(new URL("../../../test/fixtures/arcsight/legacy-alert-mapping.json", import.meta.url), "utf8"),
  ) as Published;

  test("the table has its 23 rows and only the rows for customer and version besides", () => {
    const { rows, rowsOfVersion1, name, severity, unmapped, ...fixed } = mappingTable.legacy;
    const ours = rows.map(({ from, key }) => ({ alertField: from, cefKey: key as string }));
    const header = [
      { alertField: name, cefKey: "(header Name)" },
      { alertField: severity, cefKey: "(header Severity)" },
    ];
    expect([...header, ...ours]).toEqual(
      expect.arrayContaining(published.map.map(({ alertField, cefKey }) => ({ alertField, cefKey }))),
    );
    const added = ours
      .filter((row) => !published.map.some(({ cefKey }) => cefKey === row.cefKey))
      .map((row) => row.cefKey);
    expect(added).toEqual([
      "c6a2",
      "deviceExternalId",
      "cs3",
      "act",
      "deviceCustomDate1",
      "fileType",
      "requestContext",
    ]);
    expect(rowsOfVersion1).toEqual([]);
    expect(unmapped).toEqual(published.noMapping);
    expect(Object.fromEntries(published.static.map(({ field, value }) => [field, value]))).toEqual(fixed);
  });

  test.each(["siem-alerts", "siem-alerts-2017"])("the sample %s gets all published fields", (file) => {
    const sample = SAMPLES.find((s) => s.file === "siem-alerts")!;
    const text = readSample(file);
    const answer = text.trimStart().startsWith("[") ? text : `[${text}]`;
    const [original] = JSON.parse(answer) as Record<string, unknown>[];
    const fields = { ...sample.options.fields, id: "AlertId" };
    const [record] = scanAnswer(answer, { ...sample.options, fields }).records;
    if (record?.readable !== true) throw new Error("cannot be read");

    const { header, extension } = readCef(lines({ ...ALERT, stream: "siem-alerts", record }, "legacy")[0]!);

    for (const { alertField, cefKey } of published.map) {
      const value = original![alertField];
      const got =
        cefKey === "(header Name)" ? header[4] : cefKey === "(header Severity)" ? header[5] : extension.get(cefKey);
      const asTime = cefKey === "rt" ? String(msFromTicks(parseInstant(String(value))!)) : undefined;
      const wanted =
        value === undefined || value === null || value === ""
          ? undefined
          : (asTime ?? (value === true ? "1" : value === false ? "0" : (value as string)));
      expect([alertField, got]).toEqual([alertField, wanted]);
    }
    expect(extension.get("deviceExternalId")).toBe(CONTOSO.id);
    expect(extension.get("cs3")).toBe(CONTOSO.name);
    expect(extension.get("cs3Label")).toBe("Tenant");
    expect(extension.get("act")).toBe("new");
    expect(extension.get("deviceCustomDate1")).toBe(String(msFromTicks(record.updated)));
  });

  test("an alert of today is mapped by Microsoft's own migration table", () => {
    const { header, extension } = readCef(lines(ALERT, "legacy")[0]!);
    expect(header.slice(0, 3)).toEqual(["Microsoft", "Microsoft Defender ATP", "2.0"]);
    expect(Object.fromEntries(extension)).toMatchObject({
      externalId: "da637551227677560813_-961444813",
      fname: "MsSense.exe",
      shost: "tempDns",
      suser: "SYSTEM",
      cn1: "1",
      cn1Label: "Was Executing While Detected",
      rt: String(Date.UTC(2021, 3, 27, 12, 19, 27, 721)),
    });
  });
});

describe("an alert is one line, or one more per evidence item", () => {
  test("with evidence=each every item has a line of the same alert, named by its class id", () => {
    for (const profile of CEF_PROFILES) {
      const all = lines(ALERT, profile, "each").map(readCef);
      expect(all.map(({ header }) => header[3])).toEqual([
        "alert:microsoftDefenderForEndpoint",
        ...Array<string>(4).fill("alert:microsoftDefenderForEndpoint:evidence"),
      ]);
      expect(new Set(all.map(({ extension }) => extension.get("externalId"))).size).toBe(1);
    }
  });

  test("evidence that is not on the one line is counted", () => {
    const url = { "@odata.type": "#microsoft.graph.security.urlEvidence" };
    const delivery = graphAlert({
      evidence: [
        { ...url, url: "http://a" },
        { ...url, url: "http://b" },
        { ...url, url: "http://c" },
      ],
    });
    const { extension } = readCef(lines(delivery, "xdr")[0]!);
    expect(extension.get("request")).toBe("http://a");
    expect([extension.get("cn1"), extension.get("cn1Label")]).toEqual(["2", "Evidence Left Out"]);
  });

  test("the device with a role comes before one that is merely mentioned, a user before a process's account", () => {
    const device = { "@odata.type": "#microsoft.graph.security.deviceEvidence" };
    const user = { "@odata.type": "#microsoft.graph.security.userEvidence", userAccount: { accountName: "alice" } };
    const process = {
      "@odata.type": "#microsoft.graph.security.processEvidence",
      userAccount: { accountName: "SYSTEM" },
      processId: 7,
    };
    const evidence = [
      { ...device, deviceDnsName: "seen.x.y", roles: [] },
      { ...device, deviceDnsName: "hit.x.y", roles: ["compromised"] },
      process,
      user,
    ];
    const { extension } = readCef(lines(graphAlert({ evidence }), "xdr")[0]!);
    expect([
      extension.get("dhost"),
      extension.get("destinationDnsDomain"),
      extension.get("shost"),
      extension.get("suser"),
      extension.get("dpid"),
    ]).toEqual(["hit", "x.y", undefined, "alice", "7"]);
  });
});

test("the actor stands on the alert's own line, and on the line of a process its command line", () => {
  const process = {
    "@odata.type": "#microsoft.graph.security.processEvidence",
    processId: 7,
    processCommandLine: "cmd.exe /c whoami",
  };
  const all = lines(graphAlert({ actorDisplayName: "Midnight Blizzard", evidence: [process] }), "xdr", "each");
  expect(all.map((line) => ["cs4Label", "cs4"].map((key) => readCef(line).extension.get(key)))).toEqual([
    ["Actor", "Midnight Blizzard"],
    ["Command Line", "cmd.exe /c whoami"],
  ]);
});

test("the threat that the alert names is not replaced by that of its evidence", () => {
  const evidence = [{ "@odata.type": "#microsoft.graph.security.malwareEvidence", name: "of the evidence" }];
  const threats = (alert: object) =>
    lines(graphAlert({ ...alert, evidence }), "xdr", "each").map((line) => readCef(line).extension.get("cs1"));
  expect(threats({ threatDisplayName: "of the alert" })).toEqual(["of the alert", "of the evidence"]);
  expect(threats({})).toEqual(["of the evidence", "of the evidence"]);
});

describe("of identifiers", () => {
  test("one above its field's 40 characters is hashed there and stands whole in a labelled field", () => {
    const id = `da${"0123456789".repeat(5)}`;
    for (const profile of CEF_PROFILES) {
      const { extension } = readCef(lines(graphAlert({ id }), profile)[0]!);
      expect(extension.get("externalId")).toMatch(/^sha256:[0-9a-f]{32}$/);
      expect([extension.get("flexString2"), extension.get("flexString2Label")]).toEqual([id, "Full Id"]);
    }
  });

  test("flexNumber1 says whether a version is new or updated, and its update time names the version", () => {
    for (const [change, number] of [
      ["new", "0"],
      ["updated", "1"],
    ] as const) {
      const { extension } = readCef(lines({ ...ALERT, change }, "xdr")[0]!);
      expect(
        ["flexNumber1", "flexNumber1Label", "deviceCustomDate1", "deviceCustomDate1Label"].map((key) =>
          extension.get(key),
        ),
      ).toEqual([number, "Updated", "1619965141326", "Last Update"]);
    }
  });

  test("the detector is in cs5, and an MD5 stands in cs6 under its own label only without a SHA-256", () => {
    const file = { "@odata.type": "#microsoft.graph.security.fileEvidence" };
    const hashes = (fileDetails: object) => {
      const delivery = graphAlert({ detectorId: "d-1", evidence: [{ ...file, fileDetails }] });
      const { extension } = readCef(lines(delivery, "xdr")[0]!);
      return ["cs5", "cs5Label", "cs6", "cs6Label"].map((key) => extension.get(key));
    };
    const md5 = "854b85cbff2752fcb88606bca76f83c6";
    const sha256 = "8963a19fb992ad9a76576c5638fd68292cffb9aaac29eb8285f9abf6196a7dec";
    expect(hashes({ md5, sha256 })).toEqual(["d-1", "Detector Id", sha256, "SHA-256"]);
    expect(hashes({ md5 })).toEqual(["d-1", "Detector Id", md5, "MD5"]);
  });
});

describe("act is what the product did", () => {
  const file = { "@odata.type": "#microsoft.graph.security.fileEvidence" };
  const process = { "@odata.type": "#microsoft.graph.security.processEvidence" };
  const device = { "@odata.type": "#microsoft.graph.security.deviceEvidence", remediationStatus: "none" };
  const mail = { "@odata.type": "#microsoft.graph.security.analyzedMessageEvidence", subject: "Invoice" };
  const act = (evidence: readonly object[]) => readCef(lines(graphAlert({ evidence }), "xdr")[0]!).extension.get("act");

  test.each([
    ["prevented", [{ ...file, detectionStatus: "prevented", remediationStatus: "active" }]],
    ["blocked", [{ ...file, detectionStatus: "blocked" }]],
    ["detected", [{ ...file, detectionStatus: "detected", remediationStatus: "remediated" }]],
    ["prevented", [{ ...file, detectionStatus: "unknownFutureValue", remediationStatus: "prevented" }]],
    ["blocked", [{ ...file, remediationStatus: "remediated" }]],
    ["allowed", [{ ...file, remediationStatus: "unremediated" }]],
    ["detected", [{ ...file, remediationStatus: "partiallyRemediated" }]],
    ["detected", [device]],
    ["blocked", [device, { ...file, remediationStatus: "Blocked" }]],
    [undefined, [{ ...file, remediationStatus: "unknownFutureValue" }]],
    ["allowed", [device, { ...mail, deliveryAction: "Delivered" }]],
    ["blocked", [{ ...mail, deliveryAction: "blocked" }]],
    ["detected", [{ ...mail, deliveryAction: "junked" }]],
    ["blocked", [{ ...mail, deliveryAction: "delivered", remediationStatus: "remediated" }]],
    [undefined, []],
  ])("%s for the evidence %j", (wanted, evidence) => {
    expect(act(evidence)).toBe(wanted);
  });

  test("of several items by the one that was stopped least, so that no live hit looks prevented", () => {
    const [prevented, detected] = ["prevented", "detected"].map((detectionStatus) => ({ ...file, detectionStatus }));
    expect(act([prevented!, detected!])).toBe("detected");
    expect(act([detected!, prevented!])).toBe("detected");
  });

  test("by the file that was prevented and not by the process that tried to run it, so that the line does not look like a live hit", () => {
    const tried = { ...process, processId: 7, detectionStatus: "detected" };
    expect(act([tried, { ...file, detectionStatus: "prevented" }])).toBe("prevented");
    expect(act([tried])).toBe("detected");
  });

  test("and on the line of an item what was done to that item", () => {
    const evidence = [
      { ...file, detectionStatus: "prevented" },
      { ...file, detectionStatus: "detected" },
      { ...file, verdict: "suspicious" },
    ];
    const all = lines(graphAlert({ evidence }), "xdr", "each").map((line) => readCef(line).extension.get("act"));
    expect(all).toEqual(["detected", "prevented", "detected", undefined]);
  });
});

describe("a value has one spelling whichever API it came from", () => {
  const value = (record: object, key: string) =>
    readCef(lines(graphAlert({ ...record }), "xdr")[0]!).extension.get(key);

  test.each([
    [{ status: "InProgress" }, "outcome", "inProgress"],
    [{ status: "awaitingAction" }, "outcome", "awaitingAction"],
    [{ classification: "TruePositive", determination: "CompromisedUser" }, "reason", "truePositive/compromisedAccount"],
    [{ detectionSource: "WindowsDefenderAtp" }, "sourceServiceName", "microsoftDefenderForEndpoint"],
    [{ detectionSource: "OfficeATP" }, "sourceServiceName", "microsoftDefenderForOffice365"],
    [{ detectionSource: "SomethingNew" }, "sourceServiceName", "SomethingNew"],
    [{ serviceSource: "MicrosoftCloudAppSecurity" }, "deviceFacility", "microsoftDefenderForCloudApps"],
    [{ serviceSource: "SomethingNew" }, "deviceFacility", "SomethingNew"],
    [{}, "deviceFacility", "other"],
  ])("of %j, %s is %s", (record, key, wanted) => {
    expect(value(record, key)).toBe(wanted);
  });

  test("a service without a class keeps the class id of others", () => {
    const [line] = lines(graphAlert({ serviceSource: "SomethingNew" }), "xdr");
    expect(readCef(line!).header[3]).toBe("alert:other");
  });
});

describe("categories come before the deprecated single category", () => {
  const category = (record: object, profile: CefProfile) =>
    readCef(lines(graphAlert({ ...record }), profile)[0]!).extension.get("cat");

  test("xdr has all of them, legacy the first", () => {
    const both = { category: "Execution", categories: ["InitialAccess", "Execution"] };
    expect([category(both, "xdr"), category(both, "legacy")]).toEqual(["InitialAccess,Execution", "InitialAccess"]);
    for (const categories of [[], null, undefined])
      expect(category({ category: "Execution", categories }, "xdr")).toBe("Execution");
  });
});

describe("class ids are a closed set", () => {
  test.each([
    ["microsoftDefenderForEndpoint", "microsoftDefenderForEndpoint"],
    ["MicrosoftDefenderATP", "microsoftDefenderForEndpoint"],
    ["OfficeATP", "microsoftDefenderForOffice365"],
    ["MicrosoftCloudAppSecurity", "microsoftDefenderForCloudApps"],
    ["microsoftSentinel", "microsoftSentinel"],
    ["somethingNew", "other"],
    [undefined, "other"],
    ["constructor", "other"],
  ])("the class id of %s is %s", (name, service) => {
    expect(serviceOf(name)).toBe(service);
  });

  test("every line of the samples has a class id of the set", () => {
    const known = new Set(eventClassIds());
    for (const sample of SAMPLES) {
      for (const delivery of deliveriesOf(sample)) {
        for (const profile of CEF_PROFILES)
          for (const line of lines(delivery, profile, "each")) expect(known).toContain(readCef(line).header[3]);
      }
    }
  });
});

test("each row's key is in the dictionary, each custom field has a label, and every flat member is mapped or named as not mapped", () => {
  for (const profile of CEF_PROFILES) {
    for (const { key, label } of mappingTable[profile].rows) {
      expect(CEF_KEYS[key]).toBeDefined();
      expect([key, label === undefined]).toEqual([key, !(`${key}Label` in CEF_KEYS)]);
    }
  }
  const { rows, unmapped, name, severity } = mappingTable.xdr;
  const named = new Set([...rows.map(({ from }) => from), ...unmapped, name, severity]);
  expect(Object.keys(FLAT_FIELDS).filter((field) => !named.has(field))).toEqual([]);
});

test("property: whatever an alert holds, its lines are read by a strict reader, in size, with dictionary keys and no null, and flat JSON has one kind per member", () => {
  const odd = fc.oneof(
    fc.string({ unit: anyCharacter, maxLength: 60 }),
    fc.constantFrom(null, 1, true, [], {}, "null", "=|\\", "a".repeat(9000)),
    fc.jsonValue(),
  );
  const account = fc.record(
    { accountName: odd, domainName: odd, userSid: odd, userPrincipalName: odd },
    { requiredKeys: [] },
  );
  const file = fc.record(
    { fileName: odd, filePath: odd, sha1: odd, sha256: odd, fileSize: fc.oneof(odd, fc.nat()) },
    { requiredKeys: [] },
  );
  const kinds = [
    "device",
    "file",
    "process",
    "user",
    "ip",
    "url",
    "mailbox",
    "analyzedMessage",
    "registryKey",
    "somethingNew",
  ];
  const evidence = fc.record(
    {
      "@odata.type": fc.constantFrom(...kinds.map((kind) => `#microsoft.graph.security.${kind}Evidence`)),
      deviceDnsName: odd,
      mdeDeviceId: odd,
      ipInterfaces: fc.oneof(odd, fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), odd), { maxLength: 3 })),
      fileDetails: fc.oneof(file, odd),
      imageFile: file,
      userAccount: fc.oneof(account, odd),
      processCommandLine: odd,
      processId: fc.oneof(fc.integer(), odd),
      ipAddress: fc.oneof(fc.ipV4(), fc.ipV6(), odd),
      url: odd,
      verdict: odd,
    },
    { requiredKeys: ["@odata.type"] },
  );
  const alert = fc.record(
    {
      title: odd,
      description: odd,
      severity: fc.oneof(odd, fc.constantFrom("high", "unknownFutureValue")),
      category: odd,
      categories: fc.oneof(odd, fc.array(odd, { maxLength: 3 })),
      comments: fc.oneof(odd, fc.array(fc.oneof(odd, fc.record({ comment: odd, createdDateTime: odd })))),
      customDetails: fc.oneof(odd, fc.dictionary(fc.string(), odd, { maxKeys: 3 })),
      systemTags: fc.oneof(odd, fc.array(odd, { maxLength: 3 })),
      actorDisplayName: odd,
      detectorId: odd,
      serviceSource: odd,
      mitreTechniques: fc.oneof(odd, fc.array(fc.string(), { maxLength: 30 })),
      createdDateTime: fc.oneof(odd, fc.constant("2021-04-27T12:19:27.72Z")),
      incidentId: odd,
      evidence: fc.oneof(fc.array(evidence, { maxLength: 5 }), odd),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(alert, fc.constantFrom(...CEF_PROFILES), fc.constantFrom(0, 1), (record, profile, version) => {
      const delivery = graphAlert(record);
      for (const line of lines(delivery, profile, "each", version)) {
        expect(Buffer.byteLength(line)).toBeLessThanOrEqual(CEF_LINE_MAX_BYTES);
        const { header, extension } = readCef(line);
        expect(header[4]).not.toBe("");
        expect(header[5]).toMatch(/^(\d|10|Unknown|Low|Medium|High|Very-High)$/);
        for (const [key, value] of extension) {
          const { max, type } = CEF_KEYS[key as CefKey];
          expect(value).not.toBe("");
          expect(max === 0 || value.length <= max).toBe(true);
          expect(type === "string" || /^-?[\d.:a-fA-F]+$/.test(value)).toBe(true);
        }
      }
      const json = new ByteWriter();
      writeFlatJson(json, delivery, "each");
      for (const flat of json.toString().trimEnd().split("\n")) {
        for (const [name, value] of Object.entries(JSON.parse(flat) as object)) {
          const kind = FLAT_FIELDS[name as keyof typeof FLAT_FIELDS] === "text" ? "string" : "number";
          expect([name, typeof value]).toEqual([name, kind]);
        }
      }
      const rows = siemRows(delivery, "2026-11-24T16:05:58.0000000Z");
      expect(rows.length).toBeGreaterThan(0);
      expect(new Set(rows.map(({ FullId }) => FullId)).size).toBe(rows.length);
    }),
    { numRuns: 400 },
  );
});

describe("a health event in CEF", () => {
  const stream = {
    stream: "alerts",
    lag_s: 61.4,
    walk_completed_at: null,
    new: 1,
    updated: 2,
    replayed: 0,
    superseded: 0,
    requests: 3,
    throttled: 0,
    invalid_utf8: 0,
    retry_at: null,
    failure: null,
    actor: null,
    say: null,
    next_step: null,
  } as const;
  const event: HealthEvent = {
    time: "2026-11-24T16:05:58.123Z",
    tenant: "A=B|C",
    tenant_id: CONTOSO.id,
    input: "contoso",
    streams: [
      { ...stream, state: "ok", swept: 2 },
      {
        ...stream,
        stream: "incidents",
        state: "signed-out",
        swept: 0,
        failure: "consent-missing",
        actor: "customer",
        say: "No consent.",
        next_step: "Send the link.",
      },
    ],
    credential: "msp",
    credential_days_left: 5,
    version: "0.1.0",
  };

  const roster: RosterReport = {
    under_contract: 2,
    configured: 1,
    consented: 1,
    collected: 1,
    silent: 0,
    failure: "roster-difference",
    actor: "operator",
    say: "1 customer under contract is not configured (Litware).",
    next_step: "Look.",
    differences: [{ tenant: "Litware", tenant_id: "", difference: "not-configured" }],
    more: 0,
  };

  test("of the list of customers is one line without a tenant, and none while nothing differs", () => {
    const of = (given: RosterReport) => {
      const out = new ByteWriter();
      const health = { ...event, tenant: "", tenant_id: "", streams: [], credential: null, credential_days_left: null };
      const written = writeCefHealth(out, { ...health, roster: given }, "xdr");
      const flat = new ByteWriter();
      expect(writeFlatHealth(flat, { ...health, roster: given })).toBe(written);
      return { cef: out.toString().trimEnd(), flat: flat.toString() };
    };
    const { header, extension } = readCef(of(roster).cef);
    expect([header[3], header[5]]).toEqual(["health:roster-difference", "5"]);
    expect(Object.fromEntries(extension)).toMatchObject({ cn1: "1", reason: "roster-difference", cs1: "operator" });
    expect(extension.get("msg")).toBe("1 customer under contract is not configured (Litware). Look.");
    expect([extension.has("cs3"), extension.has("deviceExternalId")]).toEqual([false, false]);
    expect(JSON.parse(of(roster).flat)).toMatchObject({ status: "roster-difference", description: roster.say });
    expect(of({ ...roster, failure: null })).toEqual({ cef: "", flat: "" });
  });

  test("is a line per stream and one per condition, with fixed class ids", () => {
    for (const profile of CEF_PROFILES) {
      const out = new ByteWriter();
      expect(writeCefHealth(out, event, profile)).toBe(4);
      const read = out.toString().trimEnd().split("\n").map(readCef);
      expect(read.map(({ header }) => [header[3], header[5]])).toEqual([
        ["health:ok", "1"],
        ["health:sweep-found", "3"],
        ["health:signed-out", "8"],
        ["health:credential-expiring", "8"],
      ]);
      for (const { extension } of read) {
        expect([extension.get("deviceExternalId"), extension.get("cs3"), extension.get("rt")]).toEqual([
          CONTOSO.id,
          "A=B|C",
          "1795536358123",
        ]);
      }
      expect(read[0]!.extension.get("cn1")).toBe("61");
      expect(read[2]!.extension.get("msg")).toBe("No consent. Send the link.");
      expect(read[2]!.extension.get("cs1Label")).toBe("Who Must Act");
      expect(read[3]!.extension.get("cn3")).toBe("5");
    }
  });

  test("gets a line of the helper's own condition too", () => {
    const out = new ByteWriter();
    writeCefNotice(out, "spool-filling", event, "The spool is 80 % full.", "xdr");
    expect(readCef(out.toString().trimEnd()).header[3]).toBe("health:spool-filling");
  });
});

describe("the fast paths of the CEF writer do not change a line:", () => {
  const endOf = (text: string): string =>
    /\bend=(-?\d+)/.exec(lines(graphAlert({ lastActivityDateTime: text }), "xdr")[0]!)?.[1] ?? "none";
  const digits = (length: number) =>
    fc
      .array(fc.constantFrom(..."0123456789".split("")), { minLength: length, maxLength: length })
      .map((all) => all.join(""));
  const number = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, "0"));
  const instant = fc
    .tuple(
      fc.constantFrom("0000", "1601", "1969", "1970", "2026", "9999"),
      number(13),
      number(32),
      number(25),
      number(60),
      number(60),
      fc.oneof(
        fc.constant(""),
        fc.constant("."),
        fc.integer({ min: 1, max: 12 }).chain((n) => digits(n).map((text) => `.${text}`)),
      ),
      fc.constantFrom("Z", "z", "", "+01:00", "Z "),
    )
    .map(([y, mo, d, h, mi, s, fraction, zone]) => `${y}-${mo}-${d}T${h}:${mi}:${s}${fraction}${zone}`);

  test("a time is the same milliseconds as by the one reader of instants, whatever its form", () => {
    fc.assert(
      fc.property(fc.oneof(instant, fc.string()), (text) => {
        const ticks = parseInstant(text);
        const ms = ticks === undefined ? 0 : msFromTicks(ticks);
        // Only the years 1971 to 2099 are times of events.
        expect(endOf(text)).toBe(ms >= 31_536_000_000 && ms < 4_102_444_800_000 ? String(ms) : "none");
      }),
      { numRuns: 2000 },
    );
  });

  const SIGNS = [
    "=",
    "\\",
    "|",
    " ",
    "é",
    "\u{1f600}",
    "\ud800",
    "\n",
    "\r",
    "\t",
    "\u2028",
    "\u0085",
    "A",
    "~",
    "\u007f",
  ];
  const header = {
    deviceVendor: "",
    deviceProduct: "",
    deviceVersion: "",
    deviceEventClassId: "",
    name: "",
    severity: "",
  };

  test("a text of any signs and any length is escaped, trimmed and cut as by the slow path", () => {
    const few = fc.array(fc.constantFrom(...SIGNS), { maxLength: 6 }).map((all) => all.join(""));
    const sign = fc.constantFrom(...SIGNS);
    const long = fc.tuple(sign, fc.integer({ min: 1018, max: 1030 })).map(([one, count]) => one.repeat(count));
    fc.assert(
      fc.property(fc.oneof(few, long), fc.oneof(few, long), (category, description) => {
        const pairs: readonly CefPair[] = [
          { key: "cat", value: category, cutOrder: 12 },
          { key: "msg", value: description, cutOrder: 1 },
        ];
        const slow = readCef(fittedCefLine(header, pairs)).extension;
        const fast = readCef(lines(graphAlert({ category, description }), "xdr")[0]!).extension;
        expect([fast.get("cat"), fast.get("msg")]).toEqual([slow.get("cat"), slow.get("msg")]);
      }),
      { numRuns: 500 },
    );
  });

  test("a line is cut when it is a byte too long, and not before", () => {
    const rest = {
      threatDisplayName: "é".repeat(1500),
      alertWebUrl: "=".repeat(1000),
      incidentWebUrl: "=".repeat(1000),
    };
    const bytesWithout = Buffer.byteLength(lines(graphAlert(rest), "xdr")[0]!) + " msg=".length;
    const most = CEF_LINE_MAX_BYTES - bytesWithout;
    const messageOf = (length: number) =>
      readCef(lines(graphAlert({ ...rest, description: "x".repeat(length) }), "xdr")[0]!).extension.get("msg");
    expect(messageOf(most)).toBe("x".repeat(most));
    expect(messageOf(most + 1)).toBe(`${"x".repeat(most - 3)}…`);
  });

  test("recommended actions are not mapped, so with them, of any kind and anywhere in the record, the line is the same", () => {
    const before = { title: "A" };
    const after = {
      title: "A",
      evidence: [{ "@odata.type": "#microsoft.graph.security.ipEvidence", ipAddress: "10.0.0.1" }],
    };
    for (const given of ["x", "", null, 7, ["y"], { title: "not this one" }, "long ".repeat(1000)]) {
      expect(lines(graphAlert({ ...before, recommendedActions: given, ...after }), "xdr")).toEqual(
        lines(graphAlert(after), "xdr"),
      );
      expect(lines(graphAlert({ ...after, recommendedActions: given }), "legacy", "each")).toEqual(
        lines(graphAlert(after), "legacy", "each"),
      );
    }
    const text =
      '{"value":[{"recommendedActions":"x","id":"a1","lastUpdateDateTime":"2026-11-24T16:05:58.0066667Z","title":"A"}]}';
    const [first] = scanAnswer(text, GRAPH_ALERTS!.options).records;
    if (first?.readable !== true) throw new Error("cannot be read");
    expect(lines({ ...ALERT, record: first }, "xdr")).toEqual(lines(graphAlert({ title: "A" }), "xdr"));
  });

  test("additional data is not mapped, beside recommended actions or apart, and whatever numbers stand in it", () => {
    const other = { title: "A", category: "B" };
    const wanted = lines(graphAlert(other), "xdr");
    for (const data of ["null", "{}", '{"big":12345678901234567890}', '{"title":"not this one"}'])
      for (const members of [
        `"title":"A","recommendedActions":"x","additionalData":${data},"category":"B"`,
        `"title":"A","additionalData":${data},"recommendedActions":"x","category":"B"`,
        `"additionalData":${data},"title":"A","recommendedActions":"x","category":"B"`,
        `"recommendedActions":"x","title":"A","category":"B","additionalData":${data}`,
      ]) {
        const head = '"id":"a1","lastUpdateDateTime":"2026-11-24T16:05:58.0066667Z"';
        expect(lines(graphAlertOf(`{${head},${members}}`), "xdr")).toEqual(wanted);
        expect(lines(graphAlertOf(`{${members},${head}}`), "xdr")).toEqual(wanted);
      }
  });
});
