import { describe, expect, test } from "@jest/globals";
import { settingFlags } from "./flags.ts";
import { hecOutput, withSplunksKeys } from "./hec-settings.ts";
import { parseStanzas } from "./settings.ts";

const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const URLS = "https://a.example.com:8088, https://b.example.com:8088/services/collector";
const GIVEN = { hec_urls: URLS, hec_token: "file:/opt/splunk/etc/auth/defender_mssp/hec-token" };

/** As splunkd hands `[defender_mssp]` to an input. */
function parsed(values: Readonly<Record<string, string>>, host: "splunk" | "cli" | "arcsight" = "splunk") {
  const tenant = {
    tenant_id: "4b1b1c2e-0f6e-4f7e-9a57-0d6f0e1f2a3b",
    client_id: "11111111-2222-4333-8444-555555555555",
  };
  return parseStanzas([{ name: "contoso", values: { ...tenant, ...values } }], { host, nowMs: 0 });
}

describe("hec_* under [defender_mssp]", () => {
  test("nothing changes where events go without hec_urls", () => {
    expect(parsed({})).toMatchObject({ hec: undefined, problems: [] });
  });

  test.each(["splunk", "cli"] as const)("they become one output of type hec, read by %s", (host) => {
    const more = {
      hec_index: "defender",
      hec_ack: "on",
      hec_gzip: "true",
      hec_ca_file: "/ca.pem",
      hec_spool_mib: "64",
    };
    const { hec, problems } = parsed({ ...GIVEN, ...more }, host);
    expect(problems).toEqual([]);
    expect(hec).toMatchObject({ is: "reference", hec: { token: GIVEN.hec_token } });
    if (hec?.is !== "reference") throw new Error("no reference");
    expect(hecOutput(hec.hec, TOKEN, () => undefined)).toMatchObject({
      name: "hec",
      type: "hec",
      urls: ["https://a.example.com:8088", "https://b.example.com:8088"],
      index: "defender",
      ack: "on",
      gzip: true,
      caFile: "/ca.pem",
      spoolMib: 64,
    });
  });

  test("a properties file has outputs[n] instead, so they mean nothing there", () => {
    expect(parsed(GIVEN, "arcsight").hec).toBeUndefined();
  });

  test.each([
    ["the token itself", { ...GIVEN, hec_token: TOKEN }, "hec_token"],
    ["a variable of the environment", { ...GIVEN, hec_token: "env:HEC_TOKEN" }, "hec_token"],
    ["no token", { hec_urls: URLS }, "hec_token"],
    ["an address that is none", { ...GIVEN, hec_urls: "splunk.example.com" }, "hec_urls"],
    ["plain http to another machine", { ...GIVEN, hec_urls: "http://splunk.example.com:8088" }, "hec_urls"],
    ["a word that is not a choice", { ...GIVEN, hec_ack: "maybe" }, "hec_ack"],
    ["a token without an address", { hec_token: GIVEN.hec_token }, "hec_token"],
    ["an index without an address", { hec_index: "defender" }, "hec_index"],
    ["a wrong choice alone", { hec_ack: "maybe" }, "hec_ack"],
  ])("%s is refused by the key's name, the input stays, and events go nowhere", (_, values, key) => {
    const { hec, problems, stanzas } = parsed(values);
    expect(problems.map((one) => one.key)).toEqual([key]);
    expect(problems.map((one) => one.say).join()).not.toContain(TOKEN);
    expect(problems.map((one) => one.say).join()).not.toContain("is used)");
    expect(stanzas).toHaveLength(1);
    expect(hec).toEqual({ is: "wrong" });
  });

  test("a token that cannot be one is refused without being printed", () => {
    const { hec } = parsed(GIVEN);
    if (hec?.is !== "reference") throw new Error("no reference");
    const said: string[] = [];
    expect(hecOutput(hec.hec, "two words", (key, say) => said.push(`${key} ${say}`))).toBeUndefined();
    expect(said).toEqual([expect.stringMatching(/^hec_token contains a character/)]);
    expect(said.join()).not.toContain("two words");
  });

  test("they are not flags", () => {
    expect(Object.keys(settingFlags("cli")).filter((flag) => flag.startsWith("hec"))).toEqual([]);
  });

  test.each([
    ["defender", "defender"],
    ["default", undefined],
    [" ", undefined],
  ])("the index of an input %j is the customer's: %s", (index, own) => {
    expect(parsed({ index }).stanzas[0]?.index).toBe(own);
  });
});

test("sentences about an output name the keys as Splunk has them, and touch nothing else", () => {
  expect(withSplunksKeys("Set .ack to on. Correct .index and tenants[n].index.")).toBe(
    "Set hec_ack to on. Correct hec_index and `index` of the input.",
  );
  expect(withSplunksKeys("the file /etc/app/x.token or https://a.token/ stays")).toBe(
    "the file /etc/app/x.token or https://a.token/ stays",
  );
});
