import { describe, expect, test } from "@jest/globals";
import type { SettingProblem } from "../model/stanza.ts";
import { readArcSightSettings } from "./arcsight-settings.ts";
import { settingFlags } from "./flags.ts";
import { readProperties } from "./java-properties.ts";
import { metricsOfGlobals, readMetrics } from "./metrics-settings.ts";
import { parseStanzas } from "./settings.ts";

const TOKEN = "scraper-token-0123456789abcdef";

function read(given: Readonly<Record<string, string>>) {
  const problems: SettingProblem[] = [];
  const warnings: string[] = [];
  const settings = readMetrics(given, {
    complain: (problem) => problems.push(problem),
    warn: (say) => warnings.push(say),
  });
  return { settings, problems, warnings };
}

describe("metrics.* of a properties file", () => {
  test("nothing is opened without metrics.listen", () => {
    expect(read({})).toEqual({ settings: undefined, problems: [], warnings: [] });
    expect(read({ token: TOKEN }).settings).toBeUndefined();
  });

  test("an address of this machine needs neither certificate nor token", () => {
    for (const [listen, host] of [
      ["127.0.0.1:9464", "127.0.0.1"],
      ["localhost:9464", "localhost"],
      ["[::1]:9464", "::1"],
    ] as const)
      expect(read({ listen })).toMatchObject({ settings: { host, port: 9464 }, problems: [] });
  });

  test("an address that other machines reach needs certificate and token, and the problems name both", () => {
    const { settings, problems } = read({ listen: "0.0.0.0:9464" });
    expect(settings).toBeUndefined();
    expect(problems.map(({ stanza, key }) => `${stanza}.${key}`)).toEqual(["metrics.certificate", "metrics.token"]);
    expect(read({ listen: "0.0.0.0:9464", certificate: "/etc/m.pem", token: TOKEN }).settings?.port).toBe(9464);
  });

  test("a wrong address and an unknown key are named with what to write, and no token appears in a sentence", () => {
    const { problems, warnings } = read({ listen: "9464", tokens: TOKEN });
    expect(problems).toEqual([
      {
        stanza: "metrics",
        key: "listen",
        say: "is not an address with a port; write address and port such as 127.0.0.1:9464",
      },
    ]);
    expect(warnings).toEqual([
      "metrics.tokens is not a setting and is ignored; settings are listen, certificate, token",
    ]);
  });

  test("the token can be given as a file, and a file that is missing stops only the metrics", () => {
    const of = (token: string) => {
      const text = `tenants[0].tenant_id=contoso.com\nmetrics.listen=127.0.0.1:9464\nmetrics.token=${token}\n`;
      const properties = readProperties(Buffer.from(text));
      if (!properties.ok) throw new Error(properties.say);
      return readArcSightSettings(properties, {
        secrets: {
          file: (path) => (path === "/run/token" ? { text: `${TOKEN}\n`, openToOthers: false } : undefined),
          env: () => undefined,
          credential: () => undefined,
        },
      });
    };
    expect(of("file:/run/token").metrics?.token?.open((value) => value)).toBe(TOKEN);
    const missing = of("file:/run/other");
    expect(missing.metrics).toBeUndefined();
    expect(missing.problems.map(({ stanza, key }) => `${stanza}.${key}`)).toEqual(["metrics.token"]);
    expect(missing.raw).toHaveLength(1);
  });
});

describe("metrics_* in Splunk", () => {
  const globalsOf = (values: Readonly<Record<string, string>>) =>
    parseStanzas([{ name: "contoso", values: { tenant_id: "contoso.com", credential: "app", ...values } }], {
      host: "splunk",
      nowMs: 0,
    });

  test("the token is the name of a file, and a token in clear is refused without being repeated", () => {
    const { globals } = globalsOf({ metrics_listen: "127.0.0.1:9464", metrics_token: "file:/opt/splunk/etc/t" });
    expect(metricsOfGlobals(globals, () => undefined)).toEqual({
      host: "127.0.0.1",
      port: 9464,
      tokenFile: "/opt/splunk/etc/t",
    });
    const { problems, stanzas } = globalsOf({ metrics_listen: "127.0.0.1:9464", metrics_token: TOKEN });
    expect(problems.map(({ key }) => key)).toEqual(["metrics_token"]);
    expect(JSON.stringify(problems)).not.toContain(TOKEN);
    expect(stanzas).toHaveLength(1);
  });

  test("an address that other machines reach without certificate and token opens nothing and says why", () => {
    const problems: SettingProblem[] = [];
    const { globals } = globalsOf({ metrics_listen: "0.0.0.0:9464" });
    expect(metricsOfGlobals(globals, (problem) => problems.push(problem))).toBeUndefined();
    expect(problems.map(({ key }) => key)).toEqual(["metrics_certificate", "metrics_token"]);
  });

  test("no command has a flag for them, because a command that ends shows no metrics", () => {
    expect(Object.keys(settingFlags("cli")).filter((name) => name.startsWith("metrics"))).toEqual([]);
  });
});
