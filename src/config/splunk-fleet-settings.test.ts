import { describe, expect, test } from "@jest/globals";
import { parseStanzas } from "./settings.ts";
import { fleetSettingsOf } from "./splunk-fleet-settings.ts";

const HEC = { hec_urls: "https://a.example.com:8088", hec_token: "file:/opt/splunk/etc/auth/defender_mssp/hec-token" };
const FLEET = {
  fleet_url: "postgres://db1.example.com:5432,db2.example.com/fleet",
  fleet_user: "collector",
  fleet_password: "file:/opt/splunk/etc/auth/defender_mssp/fleet-password",
};

/** As splunkd hands `[defender_mssp]` to an input. */
function parsed(values: Readonly<Record<string, string>>, host: "splunk" | "cli" | "arcsight" = "splunk") {
  const tenant = {
    tenant_id: "4b1b1c2e-0f6e-4f7e-9a57-0d6f0e1f2a3b",
    client_id: "11111111-2222-4333-8444-555555555555",
  };
  return parseStanzas([{ name: "contoso", values: { ...tenant, ...values } }], { host, nowMs: 0 });
}

describe("fleet_* under [defender_mssp]", () => {
  test("a host without them works alone", () => {
    expect(parsed(HEC)).toMatchObject({ fleet: undefined, hec: { is: "reference" }, problems: [] });
  });

  test.each(["splunk", "cli"] as const)("they name the fleet and where its password is, read by %s", (host) => {
    const more = {
      fleet_name: "emea",
      fleet_member: "hf-1",
      fleet_key_file: "/fleet.key",
      fleet_ca_file: "/db-ca.pem",
    };
    const { fleet, hec, problems } = parsed({ ...HEC, ...FLEET, ...more }, host);
    expect([problems, hec?.is, fleet?.password]).toEqual([[], "reference", FLEET.fleet_password]);
    if (fleet === undefined) throw new Error("no fleet");
    const settings = fleetSettingsOf(fleet, "the password", () => undefined);
    expect(settings).toMatchObject({
      hosts: [
        { host: "db1.example.com", port: 5432 },
        { host: "db2.example.com", port: 5432 },
      ],
      database: "fleet",
      user: "collector",
      name: "emea",
      member: "hf-1",
      keyFile: "/fleet.key",
      caFile: "/db-ca.pem",
    });
    expect(JSON.stringify([settings, fleet])).not.toContain("the password");
  });

  test("a fleet over splunkd's pipe is refused with the reason, and nothing may be collected", () => {
    const { fleet, hec, problems } = parsed(FLEET);
    expect([fleet, hec]).toEqual([undefined, { is: "wrong" }]);
    expect(problems).toEqual([
      {
        stanza: "",
        key: "fleet_url",
        say: expect.stringMatching(/^needs hec_urls: nothing tells which events in splunkd's pipe have arrived/),
      },
    ]);
  });

  test.each([
    ["the role is missing", { fleet_user: "" }, "fleet_user", /^is missing; write the role/],
    ["the address is missing", { fleet_url: "" }, "fleet_url", /^is missing; write fleet_url=postgres:/],
    [
      "the address holds a password",
      { fleet_url: "postgres://u:geheim@db/fleet" },
      "fleet_url",
      /as fleet_user and fleet_password/,
    ],
    [
      "the password itself is given",
      { fleet_password: "geheim" },
      "fleet_password",
      /^does not say where the password is/,
    ],
    [
      "the list of customers is read here",
      { discover: "gdap", discover_credential: "mssp" },
      "fleet_url",
      /^cannot be used with discover/,
    ],
  ])("nothing may be collected while %s, because another host may have the customers", (_, changes, key, say) => {
    const { fleet, hec, problems } = parsed({ ...HEC, ...FLEET, ...changes });
    expect([fleet, hec]).toEqual([undefined, { is: "wrong" }]);
    expect(problems).toContainEqual({ stanza: expect.any(String), key, say: expect.stringMatching(say) });
    expect(JSON.stringify(problems)).not.toContain("geheim");
  });

  test("beside ArcSight they mean nothing", () => {
    expect(parsed({ ...HEC, ...FLEET }, "arcsight")).toMatchObject({ fleet: undefined, hec: undefined });
  });
});
