/** What `.cef_version=1` adds to a line, and the profile of the Cloud Apps agent. */
import { describe, expect, test } from "@jest/globals";
import { readCef } from "../../../test/contracts/strict-cef.ts";
import { graphAlert } from "../../../test/golden/graph-alert.ts";
import { deliveriesOf, SAMPLES } from "../../../test/golden/samples.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { Delivery } from "../../model/event.ts";
import { type CefEvidence, writeCef, writeCefNotice } from "./cef.ts";
import { CEF_KEYS, type CefKey, type CefVersion } from "./cef-dictionary.ts";
import { CEF_PROFILES, type CefProfile } from "./cef-mapping.ts";

function read(delivery: Delivery, profile: CefProfile, version: CefVersion, evidence: CefEvidence = "none") {
  const out = new ByteWriter();
  writeCef(out, delivery, profile, evidence, version);
  return out.toString().trimEnd().split("\n").map(readCef);
}

const NEW_KEYS = Object.keys(CEF_KEYS).filter((key) => CEF_KEYS[key as CefKey].since === 1);
const ofKind = (kind: string, members: object) => ({
  "@odata.type": `#microsoft.graph.security.${kind}Evidence`,
  ...members,
});

describe("version 0 and version 1 of a line", () => {
  test("differ in the version and in added keys only, for every sample and profile", () => {
    for (const delivery of SAMPLES.flatMap(deliveriesOf)) {
      for (const profile of CEF_PROFILES) {
        const [zero, one] = ([0, 1] as const).map((version) => read(delivery, profile, version, "each"));
        expect(one).toHaveLength(zero!.length);
        for (const [i, line] of zero!.entries()) {
          expect([line.version, one![i]!.version]).toEqual(["0", "1"]);
          expect(one![i]!.header).toEqual(line.header);
          expect(Object.fromEntries(one![i]!.extension)).toMatchObject(Object.fromEntries(line.extension));
          expect(NEW_KEYS.filter((key) => line.extension.has(key))).toEqual([]);
        }
      }
    }
  });

  test("are both in health lines and test events", () => {
    for (const version of [0, 1] as const) {
      const out = new ByteWriter();
      writeCefNotice(out, "test", { time: "2026-11-24T16:05:58Z", tenant: "a", tenant_id: "b" }, "x", "xdr", version);
      expect(readCef(out.toString().trimEnd()).version).toBe(String(version));
    }
  });
});

describe("a line of version 1", () => {
  const alert = graphAlert({
    actorDisplayName: "Midnight Blizzard",
    mitreTechniques: ["T1078", "T1078.004", "T1110.003", "T1556.006"],
    evidence: [
      ofKind("device", { deviceDnsName: "srv.corp.contoso.com", ipInterfaces: ["2001:db8::7"] }),
      ofKind("azureResource", { resourceId: "/subscriptions/1", resourceName: "vault", resourceType: "KeyVault" }),
      ofKind("container", { containerId: "c-1", name: "web" }),
    ],
  });

  test("names the actor, the techniques that fit, and the first resource", () => {
    const [{ extension }] = read(alert, "xdr", 1) as [ReturnType<typeof readCef>];
    expect(Object.fromEntries(NEW_KEYS.map((key) => [key, extension.get(key)]))).toEqual({
      threatActor: "Midnight Blizzard",
      frameworkName: "MITRE ATT&CK",
      // The fourth would make the list longer than the key's 32 characters: none is cut.
      threatAttackID: "T1078,T1078.004,T1110.003",
      reportedResourceID: "/subscriptions/1",
      reportedResourceName: "vault",
      reportedResourceType: "KeyVault",
      reportedResourceGroupName: undefined,
    });
    expect(extension.get("cs2")).toBe("T1078,T1078.004,T1110.003,T1556.006");
  });

  test("has the item's own resource on the line of an item", () => {
    const resources = read(alert, "xdr", 1, "each").map(({ extension }) => [
      extension.get("reportedResourceID"),
      extension.get("reportedResourceName"),
      extension.get("cs1Label"),
    ]);
    expect(resources).toEqual([
      ["/subscriptions/1", "vault", undefined],
      ["/subscriptions/1", "vault", "Resource Id"],
      ["c-1", "web", "Resource Id"],
      [undefined, undefined, undefined],
    ]);
  });

  test("has an IPv6 address where version 0 has none, and keeps the key that version 0 has for it", () => {
    const [zero] = read(alert, "xdr", 0);
    const [one] = read(alert, "xdr", 1);
    expect([zero!.extension.get("src"), zero!.extension.get("c6a2")]).toEqual([undefined, "2001:db8::7"]);
    expect([one!.extension.get("src"), one!.extension.get("c6a2")]).toEqual(["2001:db8::7", "2001:db8::7"]);
  });

  test("leaves out a technique that is longer than its key", () => {
    const [{ extension }] = read(graphAlert({ mitreTechniques: ["T".repeat(33)] }), "xdr", 1) as [
      ReturnType<typeof readCef>,
    ];
    expect(extension.get("threatAttackID")).toBeUndefined();
  });
});

describe("profile mcas has the form of the Cloud Apps agent", () => {
  const alert = graphAlert({
    title: "myPolicy",
    description: "Activity policy 'myPolicy' was triggered",
    severity: "low",
    serviceSource: "microsoftDefenderForCloudApps",
    alertPolicyId: "59f0ab82f797fa0681e9b1c7",
    alertWebUrl: "https://security.microsoft.com/alerts/ca1",
    firstActivityDateTime: "2017-07-15T20:42:30.531Z",
    lastActivityDateTime: "2017-07-15T20:42:30.531Z",
    evidence: [
      ofKind("user", { userAccount: { accountName: "admin", userPrincipalName: "admin@box-contoso.com" } }),
      ofKind("cloudApplication", { displayName: "Box", appId: 10_489 }),
      ofKind("ip", { ipAddress: "13.82.149.151" }),
    ],
  });

  test("with its product, keys and labels", () => {
    const [{ header, extension }] = read(alert, "mcas", 0) as [ReturnType<typeof readCef>];
    expect(header).toEqual(["MCAS", "SIEM_Agent", "1.0", "alert:microsoftDefenderForCloudApps", "myPolicy", "3"]);
    expect(Object.fromEntries(extension)).toMatchObject({
      externalId: "a1",
      start: "1500151350531",
      end: "1500151350531",
      msg: "Activity policy 'myPolicy' was triggered",
      suser: "admin@box-contoso.com",
      destinationServiceName: "Box",
      dvc: "13.82.149.151",
      cs1: "https://security.microsoft.com/alerts/ca1",
      cs1Label: "portalURL",
      cs2: "10489",
      cs2Label: "uniqueServiceAppIds",
      cs4: "59f0ab82f797fa0681e9b1c7",
      cs4Label: "policyIDs",
    });
  });

  test("with customer and version as in every profile, so that no reader has to guess", () => {
    const [{ extension }] = read(alert, "mcas", 0) as [ReturnType<typeof readCef>];
    expect([extension.get("cs3Label"), extension.get("cs3"), extension.has("deviceExternalId")]).toEqual([
      "Tenant",
      "Contoso & Söhne",
      true,
    ]);
    expect(extension.get("deviceCustomDate1Label")).toBe("Last Update");
  });

  test("with the acting account's name where there is no user principal name", () => {
    const evidence = [ofKind("user", { userAccount: { accountName: "svc" } })];
    const [{ extension }] = read(graphAlert({ evidence }), "mcas", 0) as [ReturnType<typeof readCef>];
    expect(extension.get("suser")).toBe("svc");
  });
});
