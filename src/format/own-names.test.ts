import { expect, test } from "@jest/globals";
import { deliveriesOf, SAMPLES } from "../../test/golden/samples.ts";
import { ByteWriter } from "../json/byte-writer.ts";
import { recordObject } from "../json/record-object.ts";
import type { Delivery } from "../model/event.ts";
import { writeCef } from "./arcsight/cef.ts";
import { CEF_PROFILES } from "./arcsight/cef-mapping.ts";
import { writeFlatJson } from "./arcsight/flat-json.ts";
import { siemRows } from "./arcsight/siem-rows.ts";
import { classicEntities } from "./splunk/classic-entities.ts";

/** Texts, numbers, flags, and what is empty: any of them may be a text one day. */
function isPlain(value: unknown): boolean {
  return typeof value !== "object" || value === null;
}

/** Names of the plain members of a record, however deep. */
function namesIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(namesIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, one]) => (isPlain(one) ? [name] : namesIn(one)));
}

function replaced(value: unknown, of: string, word: string): unknown {
  if (Array.isArray(value)) return value.map((one) => replaced(one, of, word));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [name, name === of && isPlain(one) ? word : replaced(one, of, word)]),
  );
}

/** Everything that is written of it. */
function written(delivery: Delivery): string {
  const out = new ByteWriter();
  for (const profile of CEF_PROFILES)
    for (const version of [0, 1] as const) writeCef(out, delivery, profile, "each", version);
  writeFlatJson(out, delivery, "each");
  const rows = delivery.stream === "hunting" ? [] : siemRows(delivery, "");
  const others = [rows, classicEntities(delivery.record.body)].map((one) =>
    // JSON leaves functions out.
    JSON.stringify(one, (_, value: unknown) => (typeof value === "function" ? "a function" : value)),
  );
  return [Buffer.from(out.view()).toString(), ...others].join("\n");
}

test.each(SAMPLES.map((sample) => [sample.file, sample] as const))(
  "a name that every object answers to is a text like any other, in each member of %s",
  (_, sample) => {
    const [delivery] = deliveriesOf(sample);
    if (delivery === undefined) throw new Error("the sample is empty");
    const { record } = delivery;
    for (const name of new Set(namesIn(recordObject(record.body))))
      for (const word of ["constructor", "__proto__"]) {
        const bytes = Buffer.from(JSON.stringify(replaced(recordObject(record.body), name, word)));
        const body = { ...record.body, bytes, start: 0, end: bytes.length, memberCount: 0 };
        const text = written({ ...delivery, record: { ...record, body } });
        expect([name, /native code|\[object|a function|:\{\}/.exec(text)]).toEqual([name, null]);
      }
  },
);
