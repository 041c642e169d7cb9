/**
 * A real, strict CEF reader of another project: liblognorm's (`lognormalizer`, Debian package
 * liblognorm-utils). Without it these tests skip that reader and only the strict reader here judges; where
 * real parts are required (DEFENDER_MSSP_REAL_PARTS=1) its absence fails.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { writeCef } from "../../src/format/arcsight/cef.ts";
import { CEF_KEYS, type CefKey } from "../../src/format/arcsight/cef-dictionary.ts";
import { fittedCefLine } from "../../src/format/arcsight/cef-line.ts";
import { CEF_PROFILES } from "../../src/format/arcsight/cef-mapping.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { evidenceDeliveries } from "../golden/evidence-samples.ts";
import { deliveriesOf, SAMPLES } from "../golden/samples.ts";
import { anyCharacter } from "../harness/any-character.ts";
import { readCef } from "./strict-cef.ts";

const REQUIRED = process.env["DEFENDER_MSSP_REAL_PARTS"] === "1";
const PRESENT = spawnSync("lognormalizer", ["-V"]).error === undefined;

interface LognormRecord {
  readonly f?: Readonly<Record<string, string>> & { readonly Extensions: Readonly<Record<string, string>> };
}

/**
 * Each line as liblognorm reads it. It drops the first letter of the first key unless a space stands before
 * it: one is put there for it.
 */
function lognormed(lines: readonly string[]): LognormRecord[] {
  const folder = mkdtempSync(join(tmpdir(), "cef-reader-"));
  try {
    writeFileSync(join(folder, "rules"), "version=2\nrule=:%f:cef%\n");
    const input = lines.map((line) => line.replace(/^((?:[^|\\]|\\.)*\|){7}/, (header) => `${header} `)).join("\n");
    const { stdout, status } = spawnSync("lognormalizer", ["-r", join(folder, "rules")], {
      input: `${input}\n`,
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    expect(status).toBe(0);
    return stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LognormRecord);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Both readers must take each line and find the same in it. */
function bothRead(lines: readonly string[]): void {
  const own = lines.map(readCef);
  if (!PRESENT) return;
  const theirs = lognormed(lines);
  expect(theirs).toHaveLength(own.length);
  for (const [i, { header, extension }] of own.entries()) {
    const { Extensions, ...fields } = theirs[i]!.f ?? { Extensions: { unread: lines[i]! } };
    expect(Object.values(fields)).toEqual(header);
    expect(Extensions).toEqual(Object.fromEntries(extension));
  }
}

test("the public CEF reader is installed where real parts are required", () => {
  expect(PRESENT || !REQUIRED).toBe(true);
});

test("the public CEF reader and the strict reader agree on every line over the documentation samples", () => {
  const out = new ByteWriter();
  for (const sample of SAMPLES) {
    for (const delivery of deliveriesOf(sample))
      for (const profile of CEF_PROFILES)
        for (const version of [0, 1] as const) writeCef(out, delivery, profile, "each", version);
  }
  // The public reader refuses CEF:1 by its number alone.
  const lines = out
    .toString()
    .trimEnd()
    .replace(/^CEF:1/gm, "CEF:0")
    .split("\n");
  expect(lines.length).toBeGreaterThan(40);
  bothRead(lines);
});

test("the public CEF reader and the strict reader agree on every line of each kind of Graph's evidence", () => {
  const out = new ByteWriter();
  for (const delivery of evidenceDeliveries())
    for (const profile of CEF_PROFILES) writeCef(out, delivery, profile, "each");
  const lines = out.toString().trimEnd().split("\n");
  expect(lines).toHaveLength(48 * CEF_PROFILES.length * 2);
  bothRead(lines);
});

test("the public CEF reader and the strict reader agree on every case of the standard's escaping rules", () => {
  const path = new URL("../fixtures/cef/escaping-cases.json", import.meta.url);
  const { cases } = JSON.parse(readFileSync(path, "utf8")) as { cases: { line: string }[] };
  bothRead(cases.map(({ line }) => line.replace(/^CEF:1/, "CEF:0")));
  expect(cases).toHaveLength(30);
});

test("the public CEF reader and the strict reader agree on any Unicode text in any field", () => {
  const keys = Object.keys(CEF_KEYS).filter(
    (key) => !key.endsWith("Label") && CEF_KEYS[key as CefKey].type === "string",
  ) as CefKey[];
  const text = fc.oneof(
    fc.string({ unit: anyCharacter, maxLength: 30 }),
    fc.string({ unit: fc.constantFrom("\\", "=", "|", "\n", "\r", " ", "n", "a=", "é") }),
  );
  const pairs = fc.uniqueArray(fc.tuple(fc.constantFrom(...keys), text), {
    minLength: 1,
    maxLength: 12,
    selector: ([key]) => key,
  });
  const lines = fc.sample(fc.tuple(pairs, text), { numRuns: 3000, seed: 20_261_124 }).map(([given, name]) => {
    const header = {
      deviceVendor: "V",
      deviceProduct: "P",
      deviceVersion: "1",
      deviceEventClassId: "c",
      name: `x${name}`,
      severity: "5",
    };
    return fittedCefLine(header, [
      ...given.map(([key, value]) => ({ key, value, cutOrder: 1 })),
      { key: "cn1", value: "1", label: "Last" },
    ]);
  });
  bothRead(lines);
  expect(lines).toHaveLength(3000);
});
