import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { AFTER_THE_ANSWER_MS, CountingTokens, ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { CLOUDS } from "../model/cloud.ts";
import { parseInstant } from "../model/instant.ts";
import type { HttpAnswer, Page, SourceStream } from "../model/ports.ts";
import type { PageRecord, RecordBody } from "../model/record.ts";
import type { TenantId } from "../model/tenant.ts";
import { createSourceStream } from "./source-stream.ts";
import type { ListStreamName } from "./streams/registry.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const NO_STOP = new AbortController().signal;

function streamOver(
  name: ListStreamName,
  http: Pick<ScriptedHttp, "send" | "close">,
  recordMaxBytes = 1_000_000,
): SourceStream {
  return createSourceStream({
    stanza: { name: "contoso", endpoints: CLOUDS.commercial, route: {}, clientId: "AAAA" },
    tenant: { id: TENANT, name: "Contoso", cloud: "commercial" },
    stream: name,
    http,
    tokens: new CountingTokens(),
    clock: new FakeClock(AFTER_THE_ANSWER_MS, { pauses: "pass" }),
    log: new FakeLog(),
    recordMaxBytes,
  });
}

const textOf = ({ bytes, start, end }: RecordBody): string => new TextDecoder().decode(bytes.subarray(start, end));

/** What came of each record, taken while its bytes are valid. */
async function read(page: Page): Promise<string[]> {
  const seen: string[] = [];
  for await (const batch of page.batches)
    for (const record of batch) seen.push(record.readable ? textOf(record.body) : record.reason);
  return seen;
}

async function answered(
  name: ListStreamName,
  body: string,
): Promise<{ seen: string[]; page: Page; http: ScriptedHttp }> {
  const http = new ScriptedHttp({ body, pieceBytes: 11 });
  const stream = streamOver(name, http);
  const page = await stream.ask({ top: stream.pageTop }, NO_STOP);
  return { seen: await read(page), page, http };
}

const GRAPH_TIME = `"lastUpdateDateTime":"2026-11-24T15:00:00.1234567Z"`;
const XDR_TIME = `"lastUpdateTime":"2026-11-24T15:00:00.1234567Z"`;
const NEXT = "https://graph.microsoft.com/v1.0/security/alerts_v2?$skiptoken=7";

describe("P1 the next page is where @odata.nextLink says, and nowhere else", () => {
  test.each([
    ["before the records", `{"@odata.nextLink":"${NEXT}","value":[]}`, { kind: "next", url: NEXT }],
    ["behind the records", `{"value":[],"@odata.nextLink":"${NEXT}"}`, { kind: "next", url: NEXT }],
    ["escaped", `{"value":[],"@odata.nextLink":"${NEXT.replaceAll("/", "\\/")}"}`, { kind: "next", url: NEXT }],
    ["under a name without the at sign", `{"value":[],"odata.nextLink":"${NEXT}"}`, { kind: "none" }],
    ["under a short name", `{"value":[],"nextLink":"${NEXT}"}`, { kind: "none" }],
    ["null", `{"value":[],"@odata.nextLink":null}`, { kind: "none" }],
  ])("%s", async (_, body, link) => {
    const { page } = await answered("alerts", body);
    expect(page.link()).toEqual(link);
  });

  test("a record's own member of that name is not used as the link", async () => {
    const { page, seen } = await answered("alerts", `{"value":[{"id":"a",${GRAPH_TIME},"@odata.nextLink":"${NEXT}"}]}`);
    expect(seen).toHaveLength(1);
    expect(page.link()).toEqual({ kind: "none" });
  });
});

describe("P16 memory is bounded by a setting, not by the page", () => {
  test("a page of 20 MB is passed on as it comes: never more than a batch is ahead of what was taken", async () => {
    const row = `{"id":"a",${GRAPH_TIME},"text":"${"x".repeat(5_000)}"}`;
    const rows = 4_000;
    let sentBytes = 0;
    const http = {
      send: (): Promise<HttpAnswer> =>
        Promise.resolve({
          status: 200,
          headers: { "content-type": "application/json" },
          body: (async function* () {
            for (let i = 0; i < rows; i += 1) {
              const piece = new TextEncoder().encode(
                `${i === 0 ? '{"value":[' : ","}${row}${i === rows - 1 ? "]}" : ""}`,
              );
              sentBytes += piece.length;
              yield piece;
            }
          })(),
          text: () => Promise.resolve(""),
          discard: () => Promise.resolve(),
        }),
      close: () => Promise.resolve(),
    };
    const stream = streamOver("alerts", http);
    const page = await stream.ask({ top: 1000 }, NO_STOP);
    let takenBytes = 0;
    let furthestAheadBytes = 0;
    for await (const batch of page.batches) {
      for (const record of batch) takenBytes += record.readable ? record.body.end - record.body.start : 0;
      furthestAheadBytes = Math.max(furthestAheadBytes, sentBytes - takenBytes);
    }
    expect(takenBytes).toBeGreaterThan(20_000_000);
    expect(furthestAheadBytes).toBeLessThan(256 * 1024);
  });

  test("a record above record_max_mib is never held: it is named by id, length and hash", async () => {
    const http = new ScriptedHttp({
      body: `{"value":[{"id":"big",${GRAPH_TIME},"text":"${"x".repeat(50_000)}"},{"id":"small",${GRAPH_TIME}}]}`,
      pieceBytes: 1_000,
    });
    const stream = streamOver("alerts", http, 10_000);
    const records: PageRecord[] = [];
    for await (const batch of (await stream.ask({ top: 1000 }, NO_STOP)).batches) records.push(...batch);
    expect(records).toMatchObject([
      { readable: false, reason: "too-large", id: "big", sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { readable: true, id: "small" },
    ]);
  });
});

describe("a record above record_max_mib can be had alone, in pieces", () => {
  const text = `"text":"${"x".repeat(50_000)}"`;
  const updated = parseInstant("2026-11-24T16:00:00Z") as bigint;

  async function fetched(record: string) {
    const http = new ScriptedHttp({ body: `{"value":[{"id":"small",${GRAPH_TIME}},${record}]}`, pieceBytes: 1_000 });
    let got = "";
    const keep = async (bytes: Uint8Array) => {
      got += new TextDecoder().decode(bytes);
    };
    const head = await streamOver("alerts", http, 10_000).fetchHuge?.({ id: "big", updated }, keep, NO_STOP);
    return { head, got };
  }

  test.each([
    ["before", `{"id":"big","lastUpdateDateTime":"2026-11-24T16:00:00Z","serviceSource":"x",${text}}`],
    ["behind", `{"id":"big",${text},"serviceSource":"x","lastUpdateDateTime":"2026-11-24T16:00:00Z"}`],
  ])("its time stands %s what is large", async (_, record) => {
    const { head, got } = await fetched(record);
    expect(head).toEqual({ kind: "alert", id: "big", updated, service: "x" });
    expect(got).toBe(record);
  });

  test("not one that changed meanwhile", async () => {
    const { head } = await fetched(`{"id":"big",${text},"lastUpdateDateTime":"2026-11-24T16:00:01Z"}`);
    expect(head).toBeUndefined();
  });
});

describe("P20 a merged incident is delivered and names the one it went into", () => {
  test.each<[ListStreamName, string]>([
    ["incidents", `{"id":"7","status":"redirected","redirectIncidentId":"5",${GRAPH_TIME}}`],
    ["xdr-incidents", `{"incidentId":7,"status":"Redirected","redirectIncidentId":5,${XDR_TIME}}`],
  ])("%s", async (name, incident) => {
    const { seen } = await answered(name, `{"value":[${incident}]}`);
    expect(seen).toEqual([incident]);
  });

  test("its empty list of alerts makes no event and takes nothing along", async () => {
    const { seen } = await answered(
      "xdr-incidents",
      `{"value":[{"incidentId":7,${XDR_TIME},"alerts":[],"redirectIncidentId":5},{"incidentId":8,${XDR_TIME}}]}`,
    );
    expect(seen).toEqual([`{"incidentId":7,${XDR_TIME},"redirectIncidentId":5}`, `{"incidentId":8,${XDR_TIME}}`]);
  });
});

describe("P21 alerts, evidence and comments may be missing, null, an object or an empty list", () => {
  test.each<[string, ListStreamName, string, number]>([
    ["alerts missing", "xdr-incidents", "", 1],
    ["alerts null", "xdr-incidents", `,"alerts":null`, 1],
    ["alerts an empty list", "xdr-incidents", `,"alerts":[]`, 1],
    ["alerts an object", "xdr-incidents", `,"alerts":{"alertId":"a"}`, 1],
    ["alerts one alert", "xdr-incidents", `,"alerts":[{"alertId":"a","lastUpdatedTime":"2026-11-24T15:00:00Z"}]`, 2],
    ["comments null", "xdr-incidents", `,"comments":null`, 1],
    ["comments an object", "xdr-incidents", `,"comments":{"comment":"x"}`, 1],
  ])("%s", async (_, name, member, wanted) => {
    const { seen } = await answered(
      name,
      `{"value":[{"incidentId":1,${XDR_TIME}${member}},{"incidentId":2,${XDR_TIME}}]}`,
    );
    expect(seen).toHaveLength(wanted + 1);
    for (const text of seen) expect(() => JSON.parse(text) as unknown).not.toThrow();
    expect(seen.filter((text) => text.includes("incidentId"))).toHaveLength(2);
  });

  test.each(["", `,"evidence":null`, `,"evidence":{}`, `,"evidence":[]`, `,"comments":null`, `,"comments":[]`])(
    "alert with %j",
    async (member) => {
      const alert = `{"id":"a",${GRAPH_TIME}${member}}`;
      const { seen } = await answered("alerts", `{"value":[${alert}]}`);
      expect(seen).toEqual([alert]);
    },
  );
});

describe("P22 what is not known passes through unchanged", () => {
  const ODD = `{"id":"a","severity":"apocalyptic","newMember":{"deep":[1.10,12345678901234567890,"\\u00e9"]},"evidence":[{"@odata.type":"#microsoft.graph.security.toasterEvidence","x":1}],${GRAPH_TIME}}`;

  test("unknown enumeration members, properties and evidence types keep their bytes", async () => {
    const { seen } = await answered("alerts", `{"value":[${ODD}]}`);
    expect(seen).toEqual([ODD]);
  });

  test("Graph is asked not to hide unknown enumeration members", async () => {
    const { http } = await answered("alerts", `{"value":[]}`);
    expect(http.asked[0]?.headers.prefer).toBe("include-unknown-enum-members");
  });
});
