import { expect, test } from "@jest/globals";
import { ByteWriter } from "../json/byte-writer.ts";
import { lineFormatOf } from "./line-format.ts";

const NOTICE = {
  time: "2026-11-24T16:05:58Z",
  tenant: "Contoso",
  tenant_id: "b",
  about: "spool-filling",
  say: "The spool is 80 % full.",
} as const;

test("an output's profile and version are those of its lines, and outputs that differ in them share no work", () => {
  const begins = new Map<string, string>();
  for (const profile of ["xdr", "legacy", "mcas"] as const) {
    for (const cefVersion of ["0", "1"] as const) {
      const settings = { type: "syslog", profile, evidence: "none", cefVersion } as const;
      const format = lineFormatOf(settings, () => undefined, "host");
      const out = new ByteWriter();
      format.notice(out, NOTICE);
      begins.set(format.id, out.toString().split("|", 3).join("|"));
    }
  }
  expect(Object.fromEntries(begins)).toEqual({
    "cef-xdr-none": "CEF:0|Microsoft|Microsoft Defender XDR",
    "cef-xdr-none-1": "CEF:1|Microsoft|Microsoft Defender XDR",
    "cef-legacy-none": "CEF:0|Microsoft|Microsoft Defender ATP",
    "cef-legacy-none-1": "CEF:1|Microsoft|Microsoft Defender ATP",
    "cef-mcas-none": "CEF:0|MCAS|SIEM_Agent",
    "cef-mcas-none-1": "CEF:1|MCAS|SIEM_Agent",
  });
});
