/** What an alert or an incident says of itself, beside its evidence. */
import { describe, expect, test } from "@jest/globals";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { graphAlert } from "../../../test/golden/graph-alert.ts";
import { deliveriesOf, SAMPLES } from "../../../test/golden/samples.ts";
import { scanAnswer } from "../../json/answer-scanner.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery } from "../../model/event.ts";
import { writeCef } from "./cef.ts";
import { CEF_LINE_MAX_BYTES } from "./cef-line.ts";
import { writeFlatJson } from "./flat-json.ts";

const INCIDENTS = SAMPLES.find(({ file }) => file === "graph-incidents")!;

function incident(record: Readonly<Record<string, unknown>>): Delivery {
  const json = JSON.stringify({ id: "924565", lastUpdateDateTime: "2026-11-24T16:05:58.0066667Z", ...record });
  const [first] = scanAnswer(`{"value":[${json}]}`, INCIDENTS.options).records;
  if (first?.readable !== true) throw new Error("the incident cannot be read");
  return { ...deliveriesOf(INCIDENTS)[0]!, record: first };
}

function cefOf(delivery: Delivery): ReadonlyMap<string, string> {
  const out = new ByteWriter();
  writeCef(out, delivery, "xdr");
  return readCef(out.toString().trimEnd()).extension;
}

function flatOf(delivery: Delivery): Readonly<Record<string, unknown>> {
  const out = new ByteWriter();
  writeFlatJson(out, delivery);
  return JSON.parse(out.toString()) as Readonly<Record<string, unknown>>;
}

const COMMENTS = [
  { comment: "first", createdByDisplayName: "Kai", createdDateTime: "2026-11-24T10:00:00Z" },
  { comment: "second", createdByDisplayName: "Ann", createdDateTime: "2026-11-24T11:00:00Z" },
];
const WRITTEN_COMMENTS = "2026-11-24T11:00:00Z Ann: second | 2026-11-24T10:00:00Z Kai: first";

describe("an alert of Sentinel without evidence", () => {
  const delivery = graphAlert({
    serviceSource: "microsoftSentinel",
    detectionSource: "scheduledAlerts",
    productName: "Palo Alto Networks",
    investigationState: "PendingApproval",
    alertPolicyId: "policy-7",
    providerAlertId: "provider-9",
    systemTags: ["Defender Experts", "MSSP"],
    customDetails: { Region: "EMEA", Hosts: ["a", "b"], Count: 12_345_678, Empty: "", None: null },
    comments: COMMENTS,
    assignedTo: "kai@contoso.com",
    evidence: [],
  });

  test("has each of its members in flat JSON", () => {
    expect(flatOf(delivery)).toMatchObject({
      productName: "Palo Alto Networks",
      investigationState: "pendingApproval",
      alertPolicyId: "policy-7",
      providerAlertId: "provider-9",
      systemTags: "Defender Experts,MSSP",
      customDetails: 'Region=EMEA, Hosts=["a","b"], Count=12345678',
      comments: WRITTEN_COMMENTS,
      assignedTo: "kai@contoso.com",
    });
  });

  test("has them in one labelled field of CEF", () => {
    expect(cefOf(delivery).get("requestContext")).toBe(
      [
        "Product: Palo Alto Networks",
        "Investigation: pendingApproval",
        "Assigned to: kai@contoso.com",
        "System tags: Defender Experts,MSSP",
        "Policy: policy-7",
        "Provider's alert: provider-9",
        'Custom details: Region=EMEA, Hosts=["a","b"], Count=12345678',
        `Comments: ${WRITTEN_COMMENTS}`,
      ].join("; "),
    );
  });
});

test("the provider's id of an alert is not written to CEF again when it is the alert's own", () => {
  const delivery = graphAlert({ id: "a1", providerAlertId: "a1" });
  expect(flatOf(delivery)["providerAlertId"]).toBe("a1");
  expect(cefOf(delivery).get("requestContext")).toBeUndefined();
});

describe("an incident", () => {
  const delivery = incident({
    priorityScore: 87,
    status: "redirected",
    redirectIncidentId: "924600",
    customTags: ["Demo", "VIP"],
    systemTags: ["Defender Experts"],
    resolvingComment: "merged",
    lastModifiedBy: "kai@contoso.com",
    comments: COMMENTS,
    description: "What happened",
    summary: "In short",
  });

  test("has score, target of the redirection, tags and author in fields of their own", () => {
    const extension = cefOf(delivery);
    const labelled = ["cn2", "cs5", "cs1", "cs4"].map((key) => [extension.get(`${key}Label`), extension.get(key)]);
    expect(Object.fromEntries(labelled)).toEqual({
      "Priority Score": "87",
      "Redirected To Incident": "924600",
      "Custom Tags": "Demo,VIP",
      "Last Modified By": "kai@contoso.com",
    });
    expect([extension.get("outcome"), extension.get("msg")]).toEqual(["redirected", "What happened"]);
    expect(extension.get("requestContext")).toBe(
      `System tags: Defender Experts; Resolving comment: merged; Comments: ${WRITTEN_COMMENTS}; Summary: In short`,
    );
  });

  test("has each of its members in flat JSON", () => {
    expect(flatOf(delivery)).toMatchObject({
      priorityScore: 87,
      redirectIncidentId: "924600",
      customTags: "Demo,VIP",
      systemTags: "Defender Experts",
      resolvingComment: "merged",
      lastModifiedBy: "kai@contoso.com",
      comments: WRITTEN_COMMENTS,
      summary: "In short",
      description: "What happened",
    });
  });

  test("without a description has its summary as the message, and only there", () => {
    const extension = cefOf(incident({ summary: "In short" }));
    expect([extension.get("msg"), extension.get("requestContext")]).toEqual(["In short", undefined]);
  });

  test("with a score of 0 has it", () => {
    expect(cefOf(incident({ priorityScore: 0 })).get("cn2")).toBe("0");
  });
});

test("hosts and users come before comments when not all of it fits", () => {
  const evidence = Array.from({ length: 40 }, (_, i) => ({
    "@odata.type": "#microsoft.graph.security.deviceEvidence",
    deviceDnsName: `host-${i}.corp.contoso.com`,
  }));
  const comments = Array.from({ length: 200 }, (_, i) => ({ comment: `comment ${i} ${"x".repeat(200)}` }));
  const context = cefOf(graphAlert({ evidence, comments, productName: "P" })).get("requestContext")!;
  expect(context).toMatch(/^Product: P; Hosts: host-0\.corp\.contoso\.com, /);
  expect(context).toContain("host-39.corp.contoso.com");
  expect(context).toMatch(/…$/);
  expect(context.length).toBeLessThanOrEqual(2048);
});

test.each([
  [{ comments: "no list" }],
  [{ comments: [null, 1, {}, { comment: 7 }, { comment: "" }] }],
  [{ customDetails: ["a"] }],
  [{ customDetails: {} }],
  [{ systemTags: [null, {}, ""] }],
  [{ categories: "Execution" }],
  [{ productName: 7, investigationState: {}, alertPolicyId: [] }],
])("a member of another kind than documented is left out: %j", (record) => {
  const extension = cefOf(graphAlert(record));
  expect([extension.get("requestContext"), extension.get("cat")]).toEqual([undefined, undefined]);
});

test("a record with long texts in every member stays below the size of a line", () => {
  const long = "=\\é".repeat(3000);
  const delivery = graphAlert({
    description: long,
    productName: long,
    comments: [{ comment: long }],
    customDetails: { a: long },
    systemTags: [long],
    categories: [long],
    detectorId: long,
    alertPolicyId: long,
  });
  const out = new ByteWriter();
  writeCef(out, delivery, "xdr");
  expect(Buffer.byteLength(out.toString())).toBeLessThanOrEqual(CEF_LINE_MAX_BYTES + 1);
  expect(readCef(out.toString().trimEnd()).extension.get("externalId")).toBe("a1");
});
