import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import type { Totals } from "./judge.ts";
import { consult, type Format, runOracle } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "oracle-"));
afterAll(() => rmSync(folder, { recursive: true }));

const CONTOSO = "0a0a0a0a-0000-4000-8000-00000000c001";
const FABRIKAM = "0b0b0b0b-0000-4000-8000-00000000f001";

interface Shown {
  readonly tenant?: string;
  readonly stream?: string;
  readonly kind?: string;
  readonly id: string;
  readonly updated: string;
  readonly record: string;
}

const alert = (id: string, updated: string, more = ""): Shown => ({
  id,
  updated,
  record: `{"id":"${id}","incidentId":"7","title":"T","lastUpdateDateTime":"${updated}","evidence":[{"a":1.0}]${more}}`,
});

const A1 = alert("a", "2026-01-01T00:00:00Z");
const A2 = alert("a", "2026-01-01T00:00:00.0066667Z");
const A3 = alert("a", "2026-01-01T00:00:01.5Z");
const B1 = alert("b", "2026-01-01T00:00:00.58Z");
const C1 = alert("c", "2026-01-01T00:00:02Z");
const STORY = [A1, A2, A3, B1, C1];

const keyOf = (v: Shown): string => {
  const [whole = "", fraction = ""] = v.updated.replace("Z", "").split(".");
  return `${v.tenant ?? CONTOSO}:${v.stream ?? "alerts"}:${v.kind ?? "alert"}:${v.id}:${whole}.${fraction.padEnd(7, "0")}Z`;
};
const stamped = (v: Shown, found = "poll"): string =>
  `{"mssp":{"tenant":"C","tenant_id":"${v.tenant ?? CONTOSO}","stream":"${v.stream ?? "alerts"}","cloud":"commercial","change":"new","found":"${found}","key":"${keyOf(v)}"},${v.record.slice(1)}`;
const truthLine = (v: Shown): string =>
  `{"tenant_id":"${v.tenant ?? CONTOSO}","stream":"${v.stream ?? "alerts"}","kind":"${v.kind ?? "alert"}","id":${JSON.stringify(v.id)},"updated":"${v.updated}","shown_at":"2026-01-01T00:01:00Z","record":${v.record}}\n`;

let files = 0;
function file(text: string | Uint8Array): string {
  const path = join(folder, `${++files}`);
  writeFileSync(path, text);
  return path;
}

async function judged(
  shown: readonly Shown[],
  delivered: string | Uint8Array,
  format: Format = "jsonl",
): Promise<Totals> {
  return (await consult({ truth: file(shown.map(truthLine).join("")), delivered: [file(delivered)], format })).totals;
}
const lines = (events: readonly string[]): string => events.map((event) => `${event}\n`).join("");
const splunkEvent = (data: string): string =>
  `<event stanza="defender_mssp://contoso"><time>1.0</time><source>s</source><sourcetype>ms:x</sourcetype><data>${data.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")}</data><done/></event>\n`;
const splunkRun = (events: readonly string[]): string => `<stream>\n${events.map(splunkEvent).join("")}</stream>\n`;

const CLEAN = {
  lost: 0,
  stale: 0,
  superseded: 0,
  duplicated: 0,
  replayed: 0,
  out_of_order: 0,
  changed_bytes: 0,
  unknown: 0,
  unidentified: 0,
  torn: 0,
};

describe("in the oracle's judgement of a delivery", () => {
  const ALL = STORY.map((v) => stamped(v));
  const table: readonly [string, readonly string[], Partial<Totals>][] = [
    ["everything once and in order has no fault", ALL, { shown: 5, delivered: 5 }],
    ["an object that never came is lost, not stale", ALL.slice(0, 4), { delivered: 4, lost: 1 }],
    [
      "a missing newest version is lost and its object stale",
      [stamped(A1), stamped(A2), stamped(B1), stamped(C1)],
      { delivered: 4, lost: 1, stale: 1 },
    ],
    [
      "two missing newest versions are two losses of one stale object",
      [stamped(A1), stamped(B1), stamped(C1)],
      { delivered: 3, lost: 2, stale: 1 },
    ],
    [
      "a version that a newer one covers is superseded",
      [stamped(A1), stamped(A3), stamped(B1), stamped(C1)],
      { delivered: 4, superseded: 1 },
    ],
    ["a repeat is a duplicate, and not out of order as well", [...ALL, stamped(A1)], { duplicated: 1 }],
    ["a repeat that says replay is a replay", [...ALL, stamped(A1, "replay"), stamped(A3, "replay")], { replayed: 2 }],
    ["a first delivery that says replay is a delivery", [stamped(A1, "replay"), ...ALL.slice(1)], { delivered: 5 }],
    [
      "a swap of two versions of one object is out of order",
      [stamped(A2), stamped(A1), stamped(A3), stamped(B1), stamped(C1)],
      { out_of_order: 1 },
    ],
    [
      "a swap of two objects is not a fault, since order is per object",
      [stamped(C1), stamped(B1), stamped(A1), stamped(A2), stamped(A3)],
      {},
    ],
    [
      "a version older than one sent stays out of order when it says replay for the first time",
      [stamped(A2), stamped(A1, "replay"), stamped(A3), stamped(B1), stamped(C1)],
      { out_of_order: 1 },
    ],
    [
      "a number written differently is changed",
      [...ALL.slice(0, 4), stamped(C1).replace("1.0}", "1}")],
      { changed_bytes: 1 },
    ],
    [
      "a member left out is changed",
      [...ALL.slice(0, 4), stamped(C1).replace('"title":"T",', "")],
      { changed_bytes: 1 },
    ],
    [
      "a member added is changed",
      [...ALL.slice(0, 4), stamped(C1).replace('"title"', '"extra":1,"title"')],
      { changed_bytes: 1 },
    ],
    [
      "an escape in place of its character is changed",
      [...ALL.slice(0, 4), stamped(C1).replace('"T"', '"\\u0054"')],
      { changed_bytes: 1 },
    ],
    [
      "members in another order and with white space are not changed",
      [
        ...ALL.slice(0, 4),
        '{ "evidence" : [ {"a": 1.0} ], ' +
          stamped(C1)
            .slice(1)
            .replace(/,"evidence":.*/, "}"),
      ],
      {},
    ],
    [
      "another order inside a member is changed",
      [...ALL.slice(0, 4), stamped(C1).replace('"cloud":"commercial",', "")],
      {},
    ],
    ["an event that was never shown is unknown", [...ALL, stamped(alert("z", "2026-01-01T00:00:00Z"))], { unknown: 1 }],
    [
      "a version that was never shown is unknown",
      [...ALL, stamped(alert("a", "2026-01-01T00:00:09Z"))],
      { unknown: 1 },
    ],
    ["a line that says nothing is unidentified", [...ALL, '{"hello":"world"}', "plain text"], { unidentified: 2 }],
    [
      "health is not judged",
      [
        ...ALL,
        '{"time":"t","tenant":"C","tenant_id":"x","streams":[],"credential":null,"credential_days_left":null,"version":"1"}',
      ],
      { health: 1 },
    ],
    ["an empty delivery has lost everything", [], { delivered: 0, lost: 5 }],
  ];
  test.each(table)("%s", async (_name, events, expected) => {
    for (const [format, text] of [
      ["jsonl", lines(events)],
      ["splunk", splunkRun(events)],
    ] as const) {
      const totals = await judged(STORY, text, format);

      expect(totals).toMatchObject({ ...CLEAN, ...expected });
      expect(totals.shown).toBe(totals.delivered + totals.lost + totals.superseded);
    }
  });

  test("members in another order keep their identity, another order inside a member does not", async () => {
    const shown = alert("n", "2026-01-01T00:00:00Z", ',"o":{"x":1,"y":2}');

    expect(await judged([shown], lines([stamped(shown).replace('{"x":1,"y":2}', '{"y":2,"x":1}')]))).toMatchObject({
      changed_bytes: 1,
    });
  });

  test("the loss of one of two members with the same name is a change", async () => {
    const shown = alert("n", "2026-01-01T00:00:00Z", ',"d":1,"d":2');

    expect(await judged([shown], lines([stamped(shown)]))).toMatchObject({ changed_bytes: 0 });
    expect(await judged([shown], lines([stamped(shown).replace(',"d":1', "")]))).toMatchObject({ changed_bytes: 1 });
  });

  test("a character that XML forbids may arrive as its escape, in upper or lower case", async () => {
    const shown = alert("n", "2026-01-01T00:00:00Z", ',"c":"x\uFFFEy"');

    for (const written of ["\\ufffe", "\\uFFFE", "\uFFFE"]) {
      expect(await judged([shown], lines([stamped(shown).replace("\uFFFE", written)]))).toMatchObject({
        changed_bytes: 0,
      });
    }
    expect(await judged([shown], lines([stamped(shown).replace("\uFFFE", "\\uffff")]))).toMatchObject({
      changed_bytes: 1,
    });
  });

  test("a vendor's member mssp is kept, and this program's is then called mssp_", async () => {
    const shown = alert("n", "2026-01-01T00:00:00Z", ',"mssp":{"key":"theirs"}');

    expect(
      await judged([shown], lines([stamped(shown).replace('"mssp":{"tenant"', '"mssp_":{"tenant"')])),
    ).toMatchObject({
      ...CLEAN,
      delivered: 1,
    });
  });
});

const piece = (text: string, done: boolean): string =>
  `<event unbroken="1"><data>${text.replaceAll('"', "&#34;").replaceAll(":", "&#x3a;")}</data>${done ? "<done/>" : ""}</event>`;

describe("in output that was cut off", () => {
  const whole = STORY.map((v) => stamped(v));

  test("every cut of a Splunk stream is torn at most once and never misread", async () => {
    const text = Buffer.from(splunkRun(whole));
    const runTwo = Buffer.from(splunkRun(STORY.map((v) => stamped(v, "replay"))));
    for (let cut = 1; cut < text.length; cut += 3) {
      const totals = await judged(STORY, Buffer.concat([text.subarray(0, cut), runTwo]), "splunk");

      expect(totals).toMatchObject({
        lost: 0,
        duplicated: 0,
        out_of_order: 0,
        changed_bytes: 0,
        unknown: 0,
        unidentified: 0,
        delivered: 5,
      });
      expect(totals.torn).toBeLessThanOrEqual(1);
    }
  });

  test("every cut of JSON lines is found, with the next run's first line glued behind it", async () => {
    const text = Buffer.from(lines(whole));
    const runTwo = Buffer.from(lines(STORY.map((v) => stamped(v, "replay"))));
    for (let cut = 1; cut < text.length; cut += 7) {
      const totals = await judged(STORY, Buffer.concat([text.subarray(0, cut), runTwo]));

      expect(totals).toMatchObject({
        lost: 0,
        duplicated: 0,
        changed_bytes: 0,
        unknown: 0,
        unidentified: 0,
        delivered: 5,
      });
    }
  });

  test("a half event at the very end is torn and its version lost", async () => {
    expect(await judged(STORY, splunkRun(whole).slice(0, -40), "splunk")).toMatchObject({
      torn: 1,
      lost: 1,
      delivered: 4,
      unidentified: 0,
    });
    expect(await judged(STORY, lines(whole).slice(0, -20))).toMatchObject({
      torn: 1,
      lost: 1,
      delivered: 4,
      unidentified: 0,
    });
  });

  test("an event in pieces is one event, and CDATA and numeric entities are text", async () => {
    const [head, tail] = [whole[0]?.slice(0, 50) ?? "", whole[0]?.slice(50) ?? ""];
    const cdata = `<event><data><![CDATA[${whole[3]}]]></data></event>`;

    expect(
      await judged([A1, B1], `<stream>${piece(head, false)}${piece(tail, true)}${cdata}</stream>`, "splunk"),
    ).toMatchObject({
      ...CLEAN,
      delivered: 2,
    });
  });
});

describe("in the delivery of another collector", () => {
  const XDR_ALERT = '{"alertId":"x1","incidentId":9,"lastUpdatedTime":"2026-01-01T00:00:00.1Z"}';
  const shown: readonly Shown[] = [
    A1,
    {
      stream: "incidents",
      kind: "incident",
      id: "29",
      updated: "2026-01-01T00:00:00Z",
      record: '{"id":"29","displayName":"D","lastUpdateDateTime":"2026-01-01T00:00:00Z"}',
    },
    {
      stream: "mde-alerts",
      id: "m1",
      updated: "2026-01-01T00:00:00.12Z",
      record: '{"id":"m1","incidentId":9,"lastUpdateTime":"2026-01-01T00:00:00.12Z"}',
    },
    {
      stream: "xdr-incidents",
      kind: "incident",
      id: "9",
      updated: "2026-01-01T00:00:01Z",
      record: `{"incidentId":9,"lastUpdateTime":"2026-01-01T00:00:01Z","alerts":[${XDR_ALERT}]}`,
    },
    {
      stream: "siem-alerts",
      id: "s1:u",
      updated: "2026-01-01T00:00:00Z",
      record: '{"AlertId":"s1","FullId":"s1:u","LastProcessedTimeUtc":"2026-01-01T00:00:00Z"}',
    },
    {
      stream: "hunting",
      kind: "row",
      id: "r",
      updated: "2026-01-01T00:00:00Z",
      record: '{"Timestamp":"2026-01-01T00:00:00Z","FileName":"cmd.exe"}',
    },
  ];

  test("records without an envelope are found by the id and time members of their API", async () => {
    const bare = shown.map((v) => v.record.replace(`,"alerts":[${XDR_ALERT}]`, ""));

    expect(await judged(shown, lines([...bare, XDR_ALERT]))).toMatchObject({ ...CLEAN, shown: 7, delivered: 7 });
  });

  test("an incident may keep its alerts inside, but then they did not arrive as events", async () => {
    expect(await judged(shown, lines(shown.map((v) => v.record)))).toMatchObject({ ...CLEAN, lost: 1 });
  });

  test("a record inside a wrapper is found, as an object or as text", async () => {
    const wrapped = [`{"@timestamp":"now","event":${A1.record}}`, JSON.stringify({ message: B1.record })];

    expect(await judged([A1, B1], lines(wrapped))).toMatchObject({ ...CLEAN, delivered: 2 });
  });

  test("a member that the collector was configured to add is not compared", async () => {
    const truth = file(truthLine(A1));
    const delivered = [file(lines([A1.record.replace("{", '{"@version":"1",')]))];

    expect((await consult({ truth, delivered, format: "jsonl", addedMembers: ["@version"] })).totals).toMatchObject(
      CLEAN,
    );
    expect((await consult({ truth, delivered, format: "jsonl" })).totals).toMatchObject({ ...CLEAN, changed_bytes: 1 });
  });

  test("the tenant that an event names decides between two customers with one object id, else each gets one event", async () => {
    const theirs = { ...A1, tenant: FABRIKAM };

    const both = await judged([A1, theirs], lines([A1.record, A1.record]));
    const named = await judged(
      [A1, theirs],
      `<stream><event><source>x:${FABRIKAM}</source><data>${A1.record}</data></event><event><source>x:${FABRIKAM}</source><data>${A1.record}</data></event></stream>`,
      "splunk",
    );

    expect(both).toMatchObject({ ...CLEAN, delivered: 2 });
    expect(named).toMatchObject({ ...CLEAN, delivered: 1, lost: 1, duplicated: 1 });
  });
});

test("the oracle accepts a row that two saved queries find under two keys, and twice under one key is a duplicate", async () => {
  const row = {
    stream: "hunting",
    kind: "row",
    id: "row-1",
    updated: "2026-01-01T00:00:00Z",
    record: '{"Timestamp":"2026-01-01T00:00:00Z","FileName":"cmd.exe"}',
  };
  const sha = createHash("sha256").update(row.record).digest("hex");
  const of = (query: string): string => stamped({ ...row, id: `${query}/${sha}` });

  expect(await judged([row], lines([of("a"), of("b")]))).toMatchObject({ ...CLEAN, delivered: 1 });
  expect(await judged([row], lines([of("a"), of("b"), of("a")]))).toMatchObject({ ...CLEAN, duplicated: 1 });
  expect(await judged([row], lines([of("a").replace("cmd.exe", "cmd.EXE")]))).toMatchObject({
    ...CLEAN,
    changed_bytes: 1,
  });
});

const cef = (v: Shown, classId = "alert:microsoftDefenderForEndpoint", id = v.id): string =>
  `CEF:0|Microsoft|Microsoft Defender XDR|1|${classId}|a \\| pipe|3|externalId=${id} msg=has \\= and CEF:0| inside deviceExternalId=${v.tenant ?? CONTOSO} deviceCustomDate1=${Date.parse(v.updated)} deviceCustomDate1Label=Last Update act=new\n`;

describe("in CEF", () => {
  const LONG = { ...A1, id: "x".repeat(41) };
  const incident = { stream: "incidents", kind: "incident", id: "a", updated: A1.updated, record: "{}" };

  test("lines are found by id, millisecond and tenant, and evidence, health and bytes are not judged", async () => {
    const text =
      cef(A1) +
      cef(A1, "alert:other:evidence") +
      cef(A2) +
      `<134>Jan  1 00:00:00 host ${cef(A3)}` +
      cef(incident, "incident") +
      cef(B1) +
      cef(C1) +
      cef(A1, "health:ok");

    expect(await judged([...STORY, incident], text, "cef")).toMatchObject({
      ...CLEAN,
      changed_bytes: null,
      delivered: 6,
      evidence: 1,
      health: 1,
    });
  });

  test("an id too long for its field is found by its hash", async () => {
    const hashed = `sha256:${createHash("sha256").update(LONG.id).digest("hex").slice(0, 32)}`;

    expect(await judged([LONG], cef(LONG, "alert:other", hashed), "cef")).toMatchObject({
      delivered: 1,
      lost: 0,
      unknown: 0,
    });
  });

  test("both of two versions in one millisecond are expected", async () => {
    const [first, second] = [alert("t", "2026-01-01T00:00:00.0000001Z"), alert("t", "2026-01-01T00:00:00.0000002Z")];

    expect(await judged([first, second], cef(first), "cef")).toMatchObject({ delivered: 1, lost: 1 });
    expect(await judged([first, second], cef(first) + cef(second), "cef")).toMatchObject({
      delivered: 2,
      lost: 0,
      duplicated: 0,
    });
  });

  test("a line without its newline is torn, also before the first line of a new run", async () => {
    expect(await judged([A1, B1], cef(A1) + cef(B1).slice(0, 80), "cef")).toMatchObject({
      delivered: 1,
      torn: 1,
      lost: 1,
    });
    expect(await judged([A1, B1], cef(A1).slice(0, 40) + cef(A1) + cef(B1), "cef")).toMatchObject({
      delivered: 2,
      torn: 1,
      lost: 0,
    });
  });
});

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const code = await runOracle(
    argv,
    (text) => (out += text),
    (text) => (err += text),
  );
  return { code, out, err };
}

const truth = (): string => file(STORY.map(truthLine).join(""));

describe("the command oracle", () => {
  test("exits with 1 above a limit and 0 within it, and judges superseded only when asked", async () => {
    const args = [
      "--truth",
      truth(),
      "--format",
      "jsonl",
      "--delivered",
      file(lines([A1, A3, B1].map((v) => stamped(v)))),
    ];

    expect((await run(...args)).code).toBe(1);
    expect((await run(...args, "--max-lost", "1")).code).toBe(0);
    expect((await run(...args, "--max-lost", "1", "--max-superseded", "0")).code).toBe(1);
    const { customers, totals, exceeded } = JSON.parse((await run(...args)).out) as Record<string, unknown>;
    expect(customers).toEqual([
      expect.objectContaining({
        tenant_id: CONTOSO,
        stream: "alerts",
        shown: 5,
        delivered: 3,
        lost: 1,
        superseded: 1,
        lag_ms_p99: null,
      }),
    ]);
    expect(totals).toMatchObject({ lost: 1 });
    expect(exceeded).toEqual([{ limit: "max-lost", allowed: 0, found: 1 }]);
  });

  test("says with --table which limit was exceeded and by what", async () => {
    const { out } = await run("--truth", truth(), "--format", "jsonl", "--delivered", file(""), "--table");

    expect(out).toContain("--max-lost 0 exceeded: 5");
    expect(out).toContain(`lost: ${keyOf(C1)}`);
  });

  test("reports the lag when arrivals are known", async () => {
    const delivered = file(lines(STORY.map((v) => stamped(v))));
    writeFileSync(
      `${delivered}.arrivals`,
      `{"offset":10,"at":"2026-01-01T00:01:01Z"}\n{"offset":${readFileSync(delivered).length},"at":"2026-01-01T00:01:02.500Z"}\n`,
    );

    const { out } = await run("--truth", truth(), "--format", "jsonl", "--delivered", delivered);

    expect(JSON.parse(out)).toMatchObject({ totals: { lag_ms_p99: 2_500 } });
  });

  test("reads the truth from /shown of a control URL and subtracts its clock's lead from the lag", async () => {
    const delivered = file(lines(STORY.map((v) => stamped(v))));
    writeFileSync(
      `${delivered}.arrivals`,
      `{"offset":${readFileSync(delivered).length},"at":"${new Date().toISOString()}"}\n`,
    );
    const server = createServer((request, response) => {
      if (request.url === "/state") response.end('{"now":"2026-01-01T00:01:10Z"}');
      else if (request.url === "/shown") response.end(STORY.map(truthLine).join(""));
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

      const answer = JSON.parse((await run("--truth", url, "--format", "jsonl", "--delivered", delivered)).out) as {
        totals: Totals;
      };

      expect(answer.totals).toMatchObject({ delivered: 5, lost: 0 });
      // shown_at is ten seconds before the simulator's present; what is left is the time this test took.
      expect(Math.abs((answer.totals.lag_ms_p99 ?? 0) - 10_000)).toBeLessThan(60_000);
      expect((await run("--truth", `${url}/other`, "--format", "jsonl", "--delivered", delivered)).err).toBe(
        `oracle: ${url}/other answered 404\n`,
      );
    } finally {
      server.close();
    }
  });

  test("refuses wrong arguments with exit code 2 and a sentence", async () => {
    const good = file("");
    expect(await run("--truth", truth(), "--format", "xml", "--delivered", good)).toMatchObject({ code: 2 });
    expect(await run("--truth", "/nonexistent/truth", "--format", "jsonl", "--delivered", good)).toMatchObject({
      code: 2,
      err: expect.stringContaining("/nonexistent/truth") as unknown,
    });
    expect(await run("--truth", file('{"tenant_id":"x"}\n'), "--format", "jsonl", "--delivered", good)).toMatchObject({
      code: 2,
      err: "oracle: truth line 1: has no stream\n",
    });
    expect(await run("--truth", truth(), "--format", "jsonl", "--delivered", good, "--max-lost", "many")).toMatchObject(
      { code: 2 },
    );
  });
});
