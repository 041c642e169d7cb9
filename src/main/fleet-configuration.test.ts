import { describe, expect, test } from "@jest/globals";
import { sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import { sharedHash } from "./fleet-configuration.ts";

const contoso = {
  name: "contoso",
  tenantId: "11111111-2222-4333-8444-555555555555",
  tenantName: "Contoso",
  cloud: "commercial",
  streams: ["alerts", "incidents"],
  start: { kind: "at", at: 7n },
  pollSeconds: 60,
  overlapMinutes: 10,
  sweepHours: 1,
  endpoints: { loginUrl: "https://login.example.com", graphUrl: "https://graph.example.com" },
  route: {},
} as unknown as Stanza;
const fabrikam = { ...contoso, name: "fabrikam" } as Stanza;

function hashOf(stanzas: readonly Stanza[], outputs: readonly string[] = ["json-lines-1"]): string {
  return sharedHash({ stanzas, configured: stanzas, outputs });
}

describe("the hash of a member's configuration", () => {
  test.each([
    ["where the first run starts", { start: { kind: "at", at: 8n } }],
    ["the overlap of polls", { overlapMinutes: 11 }],
    ["how often it sweeps", { sweepHours: 0 }],
    ["the streams", { streams: ["alerts"] }],
    ["an address of Microsoft", { endpoints: { ...contoso.endpoints, graphUrl: "https://graph.example.org" } }],
    ["a setting that a later release adds", { newOne: true }],
  ])("changes with %s", (_, change) => {
    expect(hashOf([{ ...contoso, ...change } as Stanza])).not.toBe(hashOf([contoso]));
  });

  test("changes with a customer, with an output, and with a customer whose settings are wrong", () => {
    const hashes = [
      hashOf([contoso]),
      hashOf([contoso, fabrikam]),
      hashOf([contoso], ["json-lines-1", "cef-file-2"]),
      sharedHash({ stanzas: [contoso], configured: [contoso, fabrikam], outputs: ["json-lines-1"] }),
    ];

    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test("does not change with what belongs to the host, and with the order of customers, outputs and members", () => {
    const here = { ...contoso, clientSecret: sealed("one"), route: { caFile: "/here" }, certificate: "/here" };
    const there = { certificate: "/there", ...contoso, clientSecret: sealed("two"), route: { caFile: "/there" } };

    expect(hashOf([here])).toBe(hashOf([there]));
    expect(hashOf([contoso, fabrikam], ["a", "b"])).toBe(hashOf([fabrikam, contoso], ["b", "a"]));
  });
});
