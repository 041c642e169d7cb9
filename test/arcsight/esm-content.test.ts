/** docs/arcsight/esm-content.md names every field and class of health events, as the writers write them. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { writeCefHealth, writeCefNotice } from "../../src/format/arcsight/cef.ts";
import { fullNameOf, HEALTH_CLASSES, HEALTH_NOTICES } from "../../src/format/arcsight/cef-mapping.ts";
import { writeFlatHealth } from "../../src/format/arcsight/flat-json.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import type { HealthEvent } from "../../src/model/event.ts";
import type { RosterReport } from "../../src/model/roster-report.ts";
import { readCef } from "../contracts/strict-cef.ts";

const PAGE = readFileSync(resolve(import.meta.dirname, "../../docs/arcsight/esm-content.md"), "utf8");
/** Rows of the table below a heading row, as cells. */
function rowsBelow(head: string): readonly (readonly string[])[] {
  const lines = PAGE.slice(PAGE.indexOf(head)).split("\n").slice(2);
  const end = lines.findIndex((line) => !line.startsWith("|"));
  return lines.slice(0, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const codes = (cell: string | undefined) => [...(cell ?? "").matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);

/** A customer whose health event has everything that one can have. */
const EVENT: HealthEvent = {
  time: "2026-11-24T16:05:58.123Z",
  tenant: "Contoso",
  tenant_id: "11111111-2222-4333-8444-555555555555",
  input: "contoso",
  streams: [
    {
      stream: "alerts",
      state: "failing",
      lag_s: 61,
      walk_completed_at: null,
      new: 1,
      updated: 2,
      swept: 3,
      replayed: 4,
      superseded: 0,
      requests: 3,
      throttled: 0,
      invalid_utf8: 0,
      retry_at: null,
      failure: "service-error",
      actor: "microsoft",
      say: "Microsoft answered 500.",
      next_step: "Wait.",
    },
  ],
  credential: "main",
  credential_days_left: 3,
  version: "1.0.0",
};

const roster: RosterReport = {
  under_contract: 2,
  configured: 1,
  consented: 1,
  collected: 1,
  silent: 0,
  failure: "roster-difference",
  actor: "operator",
  say: "1 customer under contract is not configured.",
  next_step: "Look.",
  differences: [{ tenant: "Litware", tenant_id: "", difference: "not-configured" }],
  more: 0,
};

function cefLines() {
  const out = new ByteWriter();
  writeCefHealth(out, EVENT, "xdr");
  writeCefHealth(out, { ...EVENT, tenant: "", tenant_id: "", streams: [], credential_days_left: null, roster }, "xdr");
  for (const notice of HEALTH_NOTICES.slice(2).filter((one) => one !== "roster-difference"))
    writeCefNotice(out, notice, EVENT, "A sentence.", "xdr");
  return out.toString().trimEnd().split("\n").map(readCef);
}

describe("the page on ESM content", () => {
  const fields = rowsBelow("| CEF key |").filter(([key]) => codes(key).length > 0);

  test("names every key that a health line can have, and no other", () => {
    const written = cefLines().flatMap((line) => [...line.extension.keys()].filter((key) => !key.endsWith("Label")));
    expect(new Set(fields.map(([key]) => codes(key)[0]))).toEqual(new Set(written));
  });

  test.each(fields.map(([key, field]) => [codes(key)[0] as string, field as string]))(
    "gives %s the name that ESM has for it",
    (key, field) => {
      const spaced = fullNameOf(key as Parameters<typeof fullNameOf>[0])
        .replace(/([a-z])([A-Z])/g, "$1 $2")
        .toLowerCase();
      expect(field.toLowerCase()).toBe(spaced);
    },
  );

  test("says rightly on which lines a key is", () => {
    for (const [key, , on] of fields) {
      const classes = cefLines()
        .filter((line) => line.extension.has(codes(key)[0] as string))
        .map((line) => line.header[3] as string);
      const named = on?.startsWith("all")
        ? cefLines()
            .map((line) => line.header[3] as string)
            .filter((id) => !codes(on).includes(id))
        : [...codes(on), ...(on?.startsWith("streams") ? ["health:failing"] : [])];
      expect([key, new Set(classes)]).toEqual([key, new Set(named)]);
    }
  });

  test("names every class with its severity", () => {
    expect(rowsBelow("| Class ID |").map(([id, severity]) => [codes(id)[0], severity?.split(";")[0]])).toEqual(
      expect.arrayContaining(
        Object.entries(HEALTH_CLASSES).map(([state, { severity }]) => [`health:${state}`, severity]),
      ),
    );
    expect(rowsBelow("| Class ID |")).toHaveLength(Object.keys(HEALTH_CLASSES).length);
  });

  test("names every member of a health line in a JSON folder", () => {
    const out = new ByteWriter();
    writeFlatHealth(out, EVENT);
    const members = Object.keys(JSON.parse(out.toString()) as object);
    expect(
      rowsBelow("| Member |")
        .flatMap(([names]) => codes(names))
        .toSorted(),
    ).toEqual(members.toSorted());
  });
});
