import { describe, expect, test } from "@jest/globals";
import { apiOf, audienceOf, grants, rolesFor } from "./permissions.ts";
import type { StreamName } from "./stream.ts";

test.each<[StreamName, string]>([
  ["alerts", "https://graph.microsoft.us"],
  ["incidents", "https://graph.microsoft.us"],
  ["hunting", "https://graph.microsoft.us"],
  ["xdr-incidents", "https://api-gov.security.microsoft.us"],
  ["mde-alerts", "https://api-gov.securitycenter.microsoft.us"],
  ["siem-alerts", "https://graph.windows.net"],
])("the audience of %s follows from the cloud", (stream, audience) =>
  expect(audienceOf(apiOf(stream), "gcc-high")).toBe(audience),
);

describe("one table says which permission a stream needs", () => {
  test.each<[StreamName, readonly string[]]>([
    [
      "alerts",
      [
        "SecurityAlert.Read.All",
        "SecurityAlert.ReadWrite.All",
        "SecurityIncident.Read.All",
        "SecurityIncident.ReadWrite.All",
      ],
    ],
    ["incidents", ["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"]],
    ["hunting", ["ThreatHunting.Read.All"]],
    ["xdr-incidents", ["Incident.Read.All", "Incident.ReadWrite.All"]],
    ["mde-alerts", ["Alert.Read.All", "Alert.ReadWrite.All"]],
    ["siem-alerts", []],
  ])("%s can be read with each of these roles alone, and the first is asked for", (stream, roles) => {
    expect(rolesFor(stream)).toEqual(roles);
    for (const role of roles) expect(grants([role], roles[0] as string)).toBe(true);
  });

  test("a role of another stream does not grant incidents", () => {
    expect(grants(["SecurityAlert.ReadWrite.All", "Incident.Read.All"], "SecurityIncident.Read.All")).toBe(false);
  });
});
