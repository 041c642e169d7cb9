import { readFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { evaluate } from "./operations.ts";
import { ParserFile } from "./parser-file.ts";
import { ArcSightPoller, nextStart } from "./poller.ts";
import { readProperties } from "./properties.ts";
import { eventsUrl, START_FORMATS } from "./start-time.ts";

const PARSER = String.raw`
# a parser as Microsoft's old package had one
trigger.node.location=/
token.count=6
token[0].name=AlertTitle
token[0].type=String
token[0].location=AlertTitle
token[1].name=Severity
token[2].name=AlertTime
token[2].location=AlertTime
token[3].name=Part
token[3].type=Integer
token[3].location=AlertPart
token[4].name=FirstUser
token[4].location=Users[0]//name
token[5].name=Category
event.name=AlertTitle
event.deviceSeverity=Severity
event.deviceVendor=__getVendor("Microsoft")
event.deviceProduct=__stringConstant("Microsoft Defender ATP")
event.deviceReceiptTime=__createOptionalTimeStampFromString(__regexToken(AlertTime,"(.*?)\\d{4}Z"),"yyyy-MM-dd'T'HH:mm:ss.SSS")
event.message=__concatenate(__toLowerCase(AlertTitle),", part ",Part)
event.sourceUserName=__oneOf(FirstUser,"nobody")
severity.map.veryhigh.if.deviceSeverity=High,Critical
severity.map.low.if.deviceSeverity=Low
additionaldata.enabled=true
conditionalmap.count=1
conditionalmap[0].field=event.deviceSeverity
conditionalmap[0].mappings.count=1
conditionalmap[0].mappings[0].values=High,Low
conditionalmap[0].mappings[0].event.deviceEventClassId=__stringConstant("alert")
`;
const parser = (text = PARSER): ParserFile => new ParserFile(readProperties(Buffer.from(text)));
const ROW = {
  AlertTitle: "Odd, very",
  Severity: "High",
  AlertTime: "2026-01-02T03:04:05.6780000Z",
  AlertPart: 0,
  Users: [{ name: "lee" }],
  Category: "Malware",
  LastProcessedTimeUtc: "2026-01-02T03:05:00.0000000Z",
};

describe("the fake poller's parser file", () => {
  test("makes one event per element of an array, with operations, severity, conditions and additional data", () => {
    const events = parser().parse([ROW, { ...ROW, Users: [], Severity: "Medium" }]);

    expect(events[0]).toEqual({
      fields: {
        name: "Odd, very",
        deviceSeverity: "High",
        agentSeverity: "veryhigh",
        deviceVendor: "Microsoft",
        deviceProduct: "Microsoft Defender ATP",
        deviceReceiptTime: Date.parse("2026-01-02T03:04:05.678Z"),
        message: "odd, very, part 0",
        sourceUserName: "lee",
        deviceEventClassId: "alert",
      },
      additional: { Category: "Malware" },
    });
    expect(events[1]?.fields).toMatchObject({ sourceUserName: "nobody", deviceSeverity: "Medium" });
    expect(events[1]?.fields).not.toHaveProperty("deviceEventClassId");
  });

  test("fails on null and on a wrong type for a typed token, as the connector does", () => {
    expect(() => parser().parse([{ ...ROW, AlertPart: null }])).toThrow("the token Part of type Integer met null");
    expect(() => parser().parse([{ ...ROW, AlertPart: "x" }])).toThrow("the token Part of type Integer met x");
  });

  test.each([
    ["a token beyond the count", "token.count=6", "token.count=5", "token[5] is beyond token.count"],
    ["a token that is missing", "token.count=6", "token.count=7", "token[6].name is missing although token.count is 7"],
    ["an unknown type", "token[0].type=String", "token[0].type=Text", "token[0].type is Text"],
  ])("refuses %s", (_name, text, by, message) => {
    expect(() => parser(PARSER.replace(text, by))).toThrow(message);
  });

  test("names an operation or token that it does not know", () => {
    expect(() => evaluate('__frobnicate(a,"b")', () => "x")).toThrow("the operation __frobnicate is not known");
    expect(() => parser(PARSER.replace("event.name=AlertTitle", "event.name=Title")).parse([ROW])).toThrow(
      "event.name uses Title, which is no token",
    );
  });
});

interface JavaCase {
  readonly id: string;
  readonly latin1Text: string;
  readonly expected?: Readonly<Record<string, string>>;
}
const JAVA = JSON.parse(
  readFileSync(new URL("../../fixtures/arcsight/java-properties-cases.json", import.meta.url), "utf8"),
) as {
  cases: JavaCase[];
};

function asJava(latin1Text: string): unknown {
  try {
    return Object.fromEntries(readProperties(Buffer.from(latin1Text, "latin1")));
  } catch {
    return "refused";
  }
}

describe("the fake poller reads properties with the result that Java itself gave", () => {
  test.each(JAVA.cases.map((one) => [one.id, one] as const))("in the case %s", (_id, { latin1Text, expected }) => {
    expect(asJava(latin1Text)).toEqual(expected ?? "refused");
  });
});

const read = (text: string): object => Object.fromEntries(readProperties(Buffer.from(text)));

test("the fake poller reads continued lines, escapes and separators of properties as Java does", () => {
  expect(read("a=b\\\n   c\n# x\\\nkey\\ one : v \n!no\nu=\\u0041\\:\\q\nC=C:\\temp\n")).toEqual({
    a: "bc",
    "key one": "v ",
    u: "A:q",
    C: "C:\temp",
  });
  expect(() => read("p=C:\\users")).toThrow("a bad \\u escape");
});

test("every start format names the same instant", () => {
  const ms = Date.parse("2026-01-02T03:04:05.000Z");
  const written = Object.keys(START_FORMATS).map(
    (format) => eventsUrl("http://x/api/alerts/?sinceTimeUtc=$START_AT_TIME", format, ms).split("=")[1] ?? "",
  );

  const instants = written.slice(0, -1).map((text) => {
    const plain = decodeURIComponent(text)
      .replaceAll('"', "")
      .replace(/(\d) (00:00)$/, "$1+$2")
      .replace("+0", "+0");
    if (/^\d+$/.test(plain)) return Number(plain) * (plain.length === 10 ? 1000 : 1);
    const withT = plain.replace(/^(\d{4}-\d\d-\d\d)[ +]/, "$1T");
    return Date.parse(/Z$|[+-]\d\d:?\d\d$/.test(withT) ? withT : `${withT}Z`);
  });

  expect(new Set(instants)).toEqual(new Set([ms]));
  expect(written.at(-1)).toBe("$START_AT_TIME");
});

describe("a poll of the fake poller", () => {
  const seen: { url: string; body: string; authorization: string | undefined }[] = [];
  let expired = false;
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push({
        url: request.url ?? "",
        body: Buffer.concat(chunks).toString(),
        authorization: request.headers.authorization,
      });
      if (request.url === "/bad/token") response.writeHead(400).end('{"error":"invalid_grant"}');
      else if (request.url === "/token")
        response.end('{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rt2"}');
      else if (expired) {
        expired = false;
        response.writeHead(401).end();
      } else response.end(JSON.stringify([ROW]));
    });
  });
  let base = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.close();
  });
  const poller = (tokenUrl: string): ArcSightPoller =>
    new ArcSightPoller({
      client: readProperties(Buffer.from(`client_ID=app\nclient_secret=s\\=cret\ntoken_url=${tokenUrl}\nscope=\n`)),
      refreshToken: "rt1",
      eventsUrl: `${base}/api/alerts/?sinceTimeUtc=$START_AT_TIME`,
      startFormat: "iso-ms",
      parser: parser(),
      nowMs: () => 0,
    });

  test("posts the refresh token, gets the events since the start, moves on by the rows' time and renews after a 401 with the rotated token", async () => {
    const connector = poller(`${base}/token`);

    const first = await connector.poll(Date.parse("2026-01-01T00:00:00Z"));
    expired = true;
    const next = nextStart(first, "LastProcessedTimeUtc", 0);
    await connector.poll(next);

    expect(first.events).toHaveLength(1);
    expect(seen.map((one) => one.url)).toEqual([
      "/token",
      "/api/alerts/?sinceTimeUtc=2026-01-01T00:00:00.000",
      "/api/alerts/?sinceTimeUtc=2026-01-02T03:05:00.000",
      "/token",
      "/api/alerts/?sinceTimeUtc=2026-01-02T03:05:00.000",
    ]);
    expect(seen[0]?.body).toBe("grant_type=refresh_token&client_id=app&client_secret=s%3Dcret&refresh_token=rt1");
    expect(seen[3]?.body).toContain("refresh_token=rt2");
    expect(seen[1]?.authorization).toBe("Bearer at");
  });

  test("fails with the connector's words when the refresh token is refused", async () => {
    await expect(poller(`${base}/bad/token`).poll(0)).rejects.toThrow(
      'Failed to refresh access token: status=HTTP/1.1 400: {"error":"invalid_grant"}',
    );
  });
});
