import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { HealthEvent } from "../../model/event.ts";
import { writeFlatHealth, writeFlatNotice } from "./flat-json.ts";

const PARSER = readFileSync(
  new URL("../../../arcsight/user/agent/flexagent/defender-mssp.jsonparser.properties", import.meta.url),
  "utf8",
);

/** What a connector with the kit's parser file makes of the line. */
function parsed(line: string) {
  const record = JSON.parse(line) as Record<string, unknown>;
  const field = (name: string) => {
    const expression = new RegExp(`^event\\.${name}=(?:\\w+\\()?(\\w+)\\)?$`, "m").exec(PARSER)?.[1];
    return expression === undefined ? `${name} is not in the parser file` : record[expression];
  };
  return {
    classId: field("deviceEventClassId"),
    name: field("name"),
    severity: field("deviceSeverity"),
    receiptTime: field("deviceReceiptTime"),
    tenantId: field("deviceExternalId"),
    tenant: field("deviceCustomString3"),
  };
}

const EVENT = {
  time: "2026-11-24T19:00:00.000Z",
  tenant: "Contoso",
  tenant_id: "b3c1b5fc-828c-45fa-a1e1-10d74f6d6e9c",
};
const SAME = { receiptTime: 1_795_546_800_000, tenantId: EVENT.tenant_id, tenant: "Contoso" };

test.each([
  ["ok", "Defender collection is up", "informational"],
  ["catching-up", "Defender collection is catching up", "low"],
  ["throttled", "Defender collection is throttled by Microsoft", "medium"],
  ["failing", "Defender collection fails", "high"],
  ["signed-out", "Defender collection cannot sign in", "high"],
])("a health event in flat JSON has name, severity, receipt time and tenant for the kit's parser: %s", (...row) => {
  const [state, name, severity] = row;
  const out = new ByteWriter();
  writeFlatHealth(out, { ...EVENT, streams: [{ stream: "alerts", state, swept: 0 }] } as unknown as HealthEvent);
  expect(parsed(Buffer.from(out.take()).toString())).toEqual({ classId: `health:${state}`, name, severity, ...SAME });
});

test("a notice of the helper itself in flat JSON has the same fields", () => {
  const out = new ByteWriter();
  writeFlatNotice(out, "spool-filling", EVENT, "outputs[0]: 60 % is used.");
  const name = "Defender collection output cannot keep up";
  const line = Buffer.from(out.take()).toString();
  expect(parsed(line)).toEqual({ classId: "health:spool-filling", name, severity: "medium", ...SAME });
});
