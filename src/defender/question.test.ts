import { describe, expect, test } from "@jest/globals";
import { parseInstant, type Ticks } from "../model/instant.ts";
import type { Question } from "../model/ports.ts";
import { questionUrl } from "./question.ts";
import { type ListStreamName, STREAMS } from "./streams/registry.ts";

const at = (text: string): Ticks => parseInstant(text) as Ticks;
const FROM = at("2026-11-24T16:05:58.0066667Z");
const TO = at("2026-11-24T17:00:00Z");
const most = 1_000_000;

describe("every stream asks in its API's own words", () => {
  test.each<[ListStreamName, Question, string]>([
    ["alerts", { top: most }, "/v1.0/security/alerts_v2?$orderby=lastUpdateDateTime%20asc&$top=1000"],
    [
      "alerts",
      { from: FROM, top: 1_000 },
      "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-11-24T16:05:58.0066667Z&$orderby=lastUpdateDateTime%20asc&$top=1000",
    ],
    [
      "alerts",
      {
        from: FROM,
        to: TO,
        top: 10,
        skip: 500,
        where: [{ property: "serviceSource", value: "microsoftDefenderForEndpoint" }],
      },
      "/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-11-24T16:05:58.0066667Z%20and%20lastUpdateDateTime%20le%202026-11-24T17:00:00.0000000Z%20and%20serviceSource%20eq%20'microsoftDefenderForEndpoint'&$orderby=lastUpdateDateTime%20asc&$top=10&$skip=500",
    ],
    [
      "incidents",
      { to: TO, top: most, withoutExpand: true },
      "/v1.0/security/incidents?$filter=lastUpdateDateTime%20le%202026-11-24T17:00:00.0000000Z&$orderby=lastUpdateDateTime%20asc&$top=50",
    ],
    [
      "incidents",
      { top: 5, where: [{ property: "status", value: "o'clock & more" }] },
      "/v1.0/security/incidents?$filter=status%20eq%20'o''clock%20%26%20more'&$orderby=lastUpdateDateTime%20asc&$top=5",
    ],
    [
      "alerts",
      {
        top: 10,
        where: [
          { property: "serviceSource", noneOf: ["microsoftSentinel", "o'clock"] },
          { property: "severity", value: "high" },
        ],
      },
      "/v1.0/security/alerts_v2?$filter=serviceSource%20ne%20'microsoftSentinel'%20and%20serviceSource%20ne%20'o''clock'%20and%20severity%20eq%20'high'&$orderby=lastUpdateDateTime%20asc&$top=10",
    ],
    [
      "xdr-incidents",
      { from: FROM, top: most },
      "/api/incidents?$filter=lastUpdateTime%20ge%202026-11-24T16:05:58.0066667Z&$top=100",
    ],
    [
      "mde-alerts",
      { from: FROM, top: most },
      "/api/alerts?$filter=lastUpdateTime%20ge%202026-11-24T16:05:58.0066667Z&$expand=evidence&$top=10000",
    ],
    [
      "mde-alerts",
      { from: FROM, top: 50, skip: 0, withoutExpand: true },
      "/api/alerts?$filter=lastUpdateTime%20ge%202026-11-24T16:05:58.0066667Z&$top=50",
    ],
    ["siem-alerts", { from: FROM, top: most }, "/api/alerts?sinceTimeUtc=2026-11-24T16:05:58.005"],
    [
      "siem-alerts",
      { from: TO, to: FROM, top: 1 },
      "/api/alerts?sinceTimeUtc=2026-11-24T16:59:59.999&untilTimeUtc=2026-11-24T16:05:58.008",
    ],
    ["siem-alerts", { top: most }, "/api/alerts?sinceTimeUtc=1969-12-31T23:59:59.999"],
  ])("%s %j", (stream, question, wanted) => {
    expect(questionUrl(STREAMS[stream], "https://api.example", question, {})).toBe(`https://api.example${wanted}`);
  });

  test("what a service turned out not to accept is remembered", () => {
    const learnt = { top: 25, noOrder: true };
    expect(questionUrl(STREAMS.incidents, "https://g.example", { top: 50 }, learnt)).toBe(
      "https://g.example/v1.0/security/incidents?$top=25",
    );
    expect(questionUrl(STREAMS.incidents, "https://g.example", { top: 1 }, learnt)).toBe(
      "https://g.example/v1.0/security/incidents?$top=1",
    );
  });

  test("a link is sent as it came", () => {
    const link = "https://g.example/v1.0/security/incidents?$skiptoken=a%2Fb+c'%20:&$top=50";
    expect(questionUrl(STREAMS.incidents, "https://g.example", { link, top: 1, from: FROM }, {})).toBe(link);
  });
});
