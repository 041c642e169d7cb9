import { describe, expect, test } from "@jest/globals";
import { readOldConfiguration } from "./migration.ts";

const TENANT = "11111111-2222-4333-8444-555555555555";
const CLIENT = "77777777-0000-4000-8000-000000000000";

const fates = (text: string, name: string) =>
  readOldConfiguration(text, name).lines.map(({ fate, about }) => `${fate} ${about}`);

describe("an old configuration is read line by line", () => {
  test("Splunk's second form: Name, Login URL, Endpoint, Tenant ID, Client ID, Client Secret, Resource", () => {
    const conf = [
      "[windows_defender_atp_alerts://Contoso]",
      "login_url = https://login.microsoftonline.com",
      "endpoint = https://wdatp-alertexporter-eu.windows.com",
      `tenant_id = ${TENANT}`,
      `client_id = ${CLIENT}`,
      "client_secret = s3cret",
      "resource = https://graph.windows.net",
      "interval = 300",
    ].join("\r\n");
    const { values } = readOldConfiguration(conf, "inputs.conf");

    expect(values).toEqual({ tenant_name: "Contoso", tenant_id: TENANT, client_id: CLIENT, client_secret: "s3cret" });
    expect(fates(conf, "inputs.conf")).toEqual([
      "taken name",
      "meaningless login_url",
      "meaningless endpoint",
      "taken tenant_id",
      "taken client_id",
      "taken client_secret",
      "meaningless resource",
      "meaningless interval",
      "missing consent",
    ]);
  });

  test("a connector's file of a US Government tenant names its cloud, and what today's APIs miss is said", () => {
    const { values, lines } = readOldConfiguration(
      `client_ID=${CLIENT}\ntoken_url=https\\://login.microsoftonline.us/${TENANT}/oauth2/token\n`,
      "w.properties",
    );
    expect(values).toEqual({ client_id: CLIENT, tenant_id: TENANT, cloud: "gcc-high" });
    expect(lines.filter(({ fate }) => fate === "missing").map(({ about }) => about)).toEqual([
      "client_secret",
      "consent",
    ]);
  });

  test.each(["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"])(
    "%s is Microsoft's own sign-in host and is not taken for another address",
    (host) => {
      const { values } = readOldConfiguration(`token_url=https://${host}/${TENANT}/oauth2/token\n`, "w.properties");
      expect(values).toEqual({ tenant_id: TENANT });
    },
  );

  test("a key that every object answers to is a key like any other", () => {
    const { values, lines } = readOldConfiguration("constructor=x\n", "w.properties");
    expect(values).toEqual({});
    expect(lines[0]).toEqual({
      about: "constructor",
      fate: "meaningless",
      say: "constructor is dropped: it is not used any more.",
    });
    expect(fates("[default]\na = b\n[unrelated]\nconstructor = x\n", "inputs.conf")).not.toContain("taken name");
  });

  test("what the command was given otherwise is not called missing, and a customer's name is taken once", () => {
    const token = `0.AX${"a1-_".repeat(100)}`;
    const given = new Set(["tenant_id", "client_id", "client_secret"]);
    expect(readOldConfiguration(token, "-", given).lines.map(({ about }) => about)).toEqual([
      "refresh token",
      "consent",
    ]);
    expect(fates(`[wdatp://Contoso]\nname = Contoso Ltd\nclient_id = ${CLIENT}\n`, "inputs.conf").slice(0, 2)).toEqual([
      "taken name",
      "taken client_id",
    ]);
  });

  test("a refresh token alone", () => {
    const token = `0.AX${"a1-_".repeat(100)}`;
    expect(readOldConfiguration(`${token}\r\n`, "-").values).toEqual({ refresh_token: token });
  });

  test("no line repeats a secret", () => {
    const { lines } = readOldConfiguration(
      `client_secret=tr0ub4dor&3-correct-horse\nrefresh_token=${"z".repeat(300)}\n`,
      "w.properties",
    );
    expect(JSON.stringify(lines)).not.toMatch(/tr0ub4dor|zzz/);
  });
});
