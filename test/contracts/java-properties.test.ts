/**
 * Java itself reads the same as this program: our templates and parser files, and any file made of characters
 * with a meaning in such files. Without a JDK these tests do nothing; where real parts are required
 * (DEFENDER_MSSP_REAL_PARTS=1) its absence fails.
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, jest, test } from "@jest/globals";
import fc from "fast-check";
import { readExactly, withProperties } from "../../src/config/java-properties.ts";
import { anyCharacter } from "../harness/any-character.ts";
import { describeWith } from "../harness/real-parts.ts";

jest.setTimeout(600_000);

const ROOT = resolve(import.meta.dirname, "../..");

/** One character per byte in; key and value pairs out, undefined when refused. */
function asJava(files: readonly string[]): (Readonly<Record<string, string>> | undefined)[] {
  const input = files.map((text) => `${Buffer.from(text, "latin1").toString("base64")}\n`).join("");
  const { stdout, stderr, status } = spawnSync("java", [join(import.meta.dirname, "ReadProperties.java")], {
    input,
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  const text = (encoded: string) => Buffer.from(encoded, "base64").toString("utf16le");
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) =>
      line === "refused"
        ? undefined
        : Object.fromEntries(
            line
              .split(",")
              .filter((pair) => pair !== "")
              .map((pair) => {
                // base64 may end in "=": the pair's own sign is the first one after it.
                const [, key = "", value = ""] =
                  /^([A-Za-z0-9+/]*=*?)=((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/.exec(pair) ??
                  [];
                return [text(key), text(value)];
              }),
          ),
    );
}

function asWe(text: string): Readonly<Record<string, string>> | undefined {
  const reading = readExactly(text);
  return reading.ok ? Object.fromEntries([...reading.byKey].map(([key, { value }]) => [key, value])) : undefined;
}

const hasJava = spawnSync("javac", ["-version"]).error === undefined;
const withJava = describeWith("Programs of a JDK", hasJava ? undefined : "no javac in PATH");

withJava("java.util.Properties", () => {
  test("Java reads the shipped template and parser files as we do, filled in or not", () => {
    const flex = join(ROOT, "arcsight/user/agent/flexagent");
    const template = readFileSync(join(ROOT, "arcsight/defender-mssp.properties.template"), "latin1");
    const filled = template.replaceAll(/^#((?:tenants|outputs|serve)\S*=)/gm, "$1");
    const files = [
      template,
      filled,
      withProperties(template, [["outputs[0].path", "C:\\users\\svc\\Söhne"]]),
      ...readdirSync(flex).map((name) => readFileSync(join(flex, name), "latin1")),
    ];
    expect(files.length).toBeGreaterThan(4);
    expect(files.map(asWe)).toEqual(asJava(files));
    expect(asWe(filled)?.["outputs[0].rotate_mib"]).toBe("64");
  });

  test("Java reads any file as we do, and refuses what we refuse", () => {
    const sign = fc.constantFrom(..." \t\f\r\n\\\\\\=:#!uabtnrf0419é\u00c3\u00bc[].".split(""));
    const files = fc.sample(
      fc.array(sign, { maxLength: 60 }).map((signs) => signs.join("")),
      { numRuns: 3_000, seed: 20261124 },
    );
    const java = asJava(files);
    const differing = files.flatMap((text, i) => {
      const [ours, theirs] = [asWe(text), java[i]];
      return JSON.stringify(sorted(ours)) === JSON.stringify(sorted(theirs)) ? [] : [{ text, ours, theirs }];
    });
    expect(differing.slice(0, 3)).toEqual([]);
    expect(java.filter((one) => one === undefined).length).toBeGreaterThan(20);
  });

  test("Java reads every value that we wrote into a file unchanged", () => {
    const pairs = fc.sample(
      fc.tuple(fc.string({ unit: anyCharacter, minLength: 1 }), fc.string({ unit: anyCharacter })),
      {
        numRuns: 500,
        seed: 20261124,
      },
    );
    const java = asJava(pairs.map(([key, value]) => withProperties("# before\n", [[key, value]])));
    expect(java).toEqual(pairs.map(([key, value]) => ({ [key]: value })));
  });

  function sorted(values: Readonly<Record<string, string>> | undefined): unknown {
    return values && Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
  }
});
