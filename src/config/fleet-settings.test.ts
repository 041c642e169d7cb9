import { describe, expect, test } from "@jest/globals";
import type { SettingProblem } from "../model/stanza.ts";
import { readArcSightSettings } from "./arcsight-settings.ts";
import { readFleet } from "./fleet-settings.ts";
import { readProperties } from "./java-properties.ts";

const PASSWORD = "correct-horse-battery-staple";
const GOOD = { url: "postgres://db.example.com/fleet", user: "collector" };

function read(given: Readonly<Record<string, string>>) {
  const problems: SettingProblem[] = [];
  const settings = readFleet(given, { complain: (problem) => problems.push(problem), warn: () => undefined });
  return { settings, problems, says: problems.map(({ key, say }) => `${key} ${say}`).join("\n") };
}

describe("fleet.* of a properties file", () => {
  test("a collector without fleet.* works alone", () => {
    expect(read({})).toMatchObject({ settings: undefined, problems: [] });
  });

  test("several hosts, IPv6 and default ports are read; only this machine may go without TLS", () => {
    const { settings } = read({ ...GOOD, url: "postgresql://db1.example.com,[2001:db8::1]:6432/fleet_1" });
    expect(settings).toMatchObject({
      hosts: [
        { host: "db1.example.com", port: 5432 },
        { host: "2001:db8::1", port: 6432 },
      ],
      database: "fleet_1",
      user: "collector",
      name: "main",
      isLocal: false,
    });
    expect(read({ ...GOOD, url: "postgres://127.0.0.1:5432,localhost/fleet" }).settings?.isLocal).toBe(true);
    expect(read({ ...GOOD, url: "postgres://127.0.0.1,db.example.com/fleet" }).settings?.isLocal).toBe(false);
  });

  test.each([`collector:${PASSWORD}@`, `:${PASSWORD}@`, `${PASSWORD}@`])(
    "an address that begins with %s is refused, and nothing of it is repeated",
    (login) => {
      const { settings, says } = read({ ...GOOD, url: `postgres://${login}db.example.com/fleet` });
      expect(settings).toBeUndefined();
      expect(says).toContain("write them as fleet.user and fleet.password");
      expect(says).not.toContain(PASSWORD);
    },
  );

  test.each([
    "db.example.com",
    "mysql://db/fleet",
    "postgres://db",
    "postgres://db/fleet?sslmode=disable",
    "postgres://a,,b/f",
    "postgres://db:70000/f",
    "postgres://db/fleet%20one",
  ])("%s is not the address of a database", (url) => {
    expect(read({ ...GOOD, url })).toMatchObject({ settings: undefined, problems: [{ key: "url" }] });
  });

  test("a missing role, a wrong name and an unknown key are named, and no fleet is used then", () => {
    expect(read({ url: GOOD.url }).says).toContain("user is missing");
    expect(read({ user: "collector" }).says).toContain("url is missing");
    expect(read({ ...GOOD, name: "Fleet One" }).says).toContain("name");
    expect(read({ ...GOOD, hosts: "a" })).toMatchObject({ settings: undefined, problems: [{ key: "hosts" }] });
  });

  test("the password can be given as a file, and is sealed", () => {
    const text = `tenants[0].tenant_id=contoso.com\nfleet.url=${GOOD.url}\nfleet.user=c\nfleet.password=file:/secret\n`;
    const properties = readProperties(Buffer.from(text));
    if (!properties.ok) throw new Error(properties.say);
    const secrets = {
      file: () => ({ text: `${PASSWORD}\n`, openToOthers: false }),
      env: () => undefined,
      credential: () => undefined,
    };
    const { fleet } = readArcSightSettings(properties, { secrets });

    expect(fleet?.password?.open((value) => value)).toBe(PASSWORD);
    expect(JSON.stringify(fleet)).not.toContain(PASSWORD);
  });
});
