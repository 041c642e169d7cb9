import { describe, expect, test } from "@jest/globals";
import { fleetNow } from "./hec.ts";

const ROOT = "/opt/splunk/etc/auth/defender_mssp";
const FLEET = {
  values: { url: "postgres://db.example.com/fleet", user: "collector", key_file: `${ROOT}/fleet.key` },
  password: `file:${ROOT}/fleet-password`,
};

/** @param files what the files hold; `!` before the path: other accounts can read it. */
async function read(files: Readonly<Record<string, string>>, fleet: Parameters<typeof fleetNow>[0] = FLEET) {
  const problems: string[] = [];
  const textOf = (file: string) => files[file] ?? files[`!${file}`];
  const settings = await fleetNow(
    fleet,
    {
      readBytes: async (file) => Buffer.from(textOf(file) ?? ""),
      files: {
        files: {
          look: (file) =>
            file === ROOT
              ? { kind: "folder", realPath: file }
              : textOf(file) === undefined
                ? { kind: "missing" }
                : { kind: "file", realPath: file, openToOthers: `!${file}` in files },
        },
        roots: [ROOT],
      },
    },
    (key, say) => problems.push(`${key} ${say}`),
  );
  return { settings, problems };
}

describe("the fleet of a modular input", () => {
  test("has the password that its file holds now, and the file's text is in no message", async () => {
    const { settings, problems } = await read({
      [`${ROOT}/fleet-password`]: "geheim\n",
      [`${ROOT}/fleet.key`]: "key",
    });

    expect([settings?.password?.open((text) => text), settings?.keyFile, problems]).toEqual([
      "geheim",
      `${ROOT}/fleet.key`,
      [],
    ]);
    expect(JSON.stringify(settings)).not.toContain("geheim");
  });

  test.each([
    [
      "a password that is missing",
      { [`${ROOT}/fleet.key`]: "key" },
      FLEET,
      /^fleet_password cannot be used: .*does not exist/,
    ],
    [
      "a password that other accounts can read",
      { [`!${ROOT}/fleet-password`]: "geheim", [`${ROOT}/fleet.key`]: "key" },
      FLEET,
      /^fleet_password cannot be used: .*which other accounts can read. Run `chmod 600 /,
    ],
    [
      "a key file that is missing",
      { [`${ROOT}/fleet-password`]: "geheim" },
      FLEET,
      /^fleet_key_file names a file that cannot be used: .*does not exist/,
    ],
    [
      "a key file outside the folder for secrets",
      { [`${ROOT}/fleet-password`]: "geheim", "/etc/shadow": "x" },
      { ...FLEET, values: { ...FLEET.values, key_file: "/etc/shadow" } },
      /^fleet_key_file names a file that cannot be used: .*outside the allowed folders/,
    ],
  ])("is refused with %s", async (_, files, fleet, say) => {
    const { settings, problems } = await read(files, fleet);

    expect([settings, problems]).toEqual([undefined, [expect.stringMatching(say)]]);
    expect(problems.join()).not.toContain("geheim");
  });
});
