import { expect, test } from "@jest/globals";
import { parseStanzas } from "../config/settings.ts";
import { announcements } from "./announcements.ts";

const stanza = (name: string, streams: string) => ({
  name,
  values: {
    tenant_id: "contoso.example",
    client_id: "11111111-2222-4333-8444-555555555555",
    client_secret: "x",
    streams,
  },
});

test("streams whose API may end say so once, with the day; the others say nothing", () => {
  const { stanzas } = parseStanzas(
    [
      stanza("a", "alerts,incidents"),
      stanza("b", "xdr-incidents,siem-alerts"),
      stanza("c", "xdr-incidents,mde-alerts"),
    ],
    { host: "cli", nowMs: 0 },
  );

  const lines = announcements(stanzas);

  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^xdr-incidents, mde-alerts: .*1 February 2027/);
  expect(lines[1]).toMatch(/^siem-alerts: .*31 December 2024/);
  expect(announcements(stanzas.slice(0, 1))).toEqual([]);
});
