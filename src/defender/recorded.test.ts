/**
 * One recorded exchange for each API, replayed through nock and the real network layer: what is asked, and
 * what comes of each record. test/fixtures/PROVENANCE.md says where the recordings come from.
 */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { AFTER_THE_ANSWER_MS, CountingTokens } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { type RecordedStep, withStory } from "../../test/harness/nock/story.ts";
import { CLOUDS } from "../model/cloud.ts";
import { parseInstant, type Ticks } from "../model/instant.ts";
import type { Page } from "../model/ports.ts";
import type { PageRecord } from "../model/record.ts";
import type { TenantId } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { createHuntingSource } from "./hunting/hunting-source.ts";
import { createSourceStream } from "./source-stream.ts";
import type { ListStreamName } from "./streams/registry.ts";

const FIXTURES = resolve(import.meta.dirname, "../../test/fixtures/recorded");
const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const FROM = parseInstant("2026-10-30T00:00:00Z") as Ticks;

type Json = Readonly<Record<string, unknown>>;

interface Seen {
  readonly kind: string;
  readonly id: string;
  readonly updated: Ticks;
  readonly nested: boolean;
  readonly value: Json;
}

/** The steps that the program's data comes from; the sign-in before them is not this part's business. */
function recorded(name: string): readonly RecordedStep[] {
  const steps = JSON.parse(readFileSync(resolve(FIXTURES, `${name}.json`), "utf8")) as readonly RecordedStep[];
  const asked = steps.filter(({ path }) => !path.includes("/oauth2/"));
  expect(asked.length).toBeLessThan(steps.length);
  return asked;
}

function partsFor(steps: readonly RecordedStep[], http: ReturnType<typeof createHttp>) {
  const origin = steps[0]?.scope ?? "";
  return {
    stanza: {
      name: "contoso",
      endpoints: { ...CLOUDS.commercial, graphUrl: origin, apiUrl: origin, mdeApiUrl: origin, siemUrl: origin },
      route: { direct: true as const },
      clientId: "AAAA",
    },
    tenant: { id: TENANT, name: "Contoso", cloud: "commercial" as const },
    http,
    tokens: new CountingTokens(),
    clock: new FakeClock(AFTER_THE_ANSWER_MS, { pauses: "pass" }),
    log: new FakeLog(),
    recordMaxBytes: 1_000_000,
  };
}

/** The records of a page, each read as JSON while its bytes are valid. */
async function read(page: Pick<Page, "batches">): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const batch of page.batches)
    for (const record of batch) {
      if (!record.readable) throw new Error(record.reason);
      seen.push(seenOf(record));
    }
  return seen;
}

function seenOf(record: PageRecord & { readonly readable: true }): Seen {
  const { bytes, start, end } = record.body;
  return {
    kind: record.kind,
    id: record.id,
    updated: record.updated,
    nested: record.nested === true,
    value: JSON.parse(new TextDecoder().decode(bytes.subarray(start, end))) as Json,
  };
}

/** What an API's answer holds, read without the code under test. */
interface Expectation {
  readonly stream: ListStreamName;
  readonly kind: "alert" | "incident";
  readonly id: string;
  readonly updated: string;
  /** Of alerts inside an incident, where they become records of their own. */
  readonly inside?: { readonly id: string; readonly updated: string };
  readonly count: number;
}

const EXPECTED: readonly Expectation[] = [
  { stream: "alerts", kind: "alert", id: "id", updated: "lastUpdateDateTime", count: 3 },
  { stream: "incidents", kind: "incident", id: "id", updated: "lastUpdateDateTime", count: 3 },
  {
    stream: "xdr-incidents",
    kind: "incident",
    id: "incidentId",
    updated: "lastUpdateTime",
    inside: { id: "alertId", updated: "lastUpdatedTime" },
    count: 6,
  },
  { stream: "mde-alerts", kind: "alert", id: "id", updated: "lastUpdateTime", count: 3 },
  { stream: "siem-alerts", kind: "alert", id: "FullId", updated: "LastProcessedTimeUtc", count: 3 },
];

function expectedOf(answer: unknown, { kind, id, updated, inside }: Expectation): Seen[] {
  const rows = (Array.isArray(answer) ? answer : (answer as { readonly value: unknown }).value) as readonly Json[];
  const of = (row: Json, what: { readonly kind: string; readonly id: string; readonly updated: string }): Seen => ({
    kind: what.kind,
    id: String(row[what.id]),
    updated: parseInstant(String(row[what.updated])) as Ticks,
    nested: what.kind !== kind,
    value: row,
  });
  return rows.flatMap((row) => {
    if (inside === undefined) return [of(row, { kind, id, updated })];
    const { alerts, ...rest } = row;
    return [
      ...(alerts as readonly Json[]).map((alert) => of(alert, { kind: "alert", ...inside })),
      of(rest, { kind, id, updated }),
    ];
  });
}

const byId = (a: Seen, b: Seen): number => (a.id < b.id ? -1 : 1);

describe("a recorded exchange is asked for as it was and read whole", () => {
  test.each(EXPECTED)(
    "$stream: every record comes once, with its id, its time and all its members",
    async (expectation) => {
      const steps = recorded(expectation.stream);

      const pages = await withStory(async (story) => {
        story.replay(steps);
        const http = createHttp();
        const stream = createSourceStream({ ...partsFor(steps, http), stream: expectation.stream });
        const answered: { readonly seen: Seen[]; readonly link: string; readonly serverNowMs: number }[] = [];
        let skip = 0;
        for (const _ of steps) {
          const page = await stream.ask({ from: FROM, top: stream.pageTop, skip }, new AbortController().signal);
          const seen = await read(page);
          answered.push({ seen, link: page.link().kind, serverNowMs: page.serverNowMs });
          skip += seen.filter(({ nested }) => !nested).length;
        }
        await http.close();
        return answered;
      });

      expect(pages.flatMap(({ seen }) => seen)).toHaveLength(expectation.count);
      expect(pages.map(({ seen }) => seen.toSorted(byId))).toEqual(
        steps.map(({ response }) => expectedOf(JSON.parse(response), expectation).toSorted(byId)),
      );
      expect(pages.map(({ link }) => link)).toEqual(steps.map(() => "none"));
      expect(pages.map(({ serverNowMs }) => serverNowMs)).toEqual(
        steps.map(({ headers }) => Date.parse(headers["date"] ?? "")),
      );
    },
  );

  test("hunting: every row comes once, with its time and all its columns", async () => {
    const steps = recorded("hunting");
    const window = { from: FROM, to: parseInstant("2026-11-29T12:35:00Z") as Ticks };
    const query = {
      name: "Processes",
      kql: "DeviceProcessEvents",
      everyMinutes: 5,
      windowMinutes: 14_400,
      delayMinutes: 5,
    };

    const { seen, end } = await withStory(async (story) => {
      story.replay(steps);
      const http = createHttp();
      const source = createHuntingSource({ ...partsFor(steps, http), queries: [query] });
      const page = await source.hunt(
        { query, window, after: window.from, untimedAt: window.to },
        new AbortController().signal,
      );
      const rows = await read(page);
      await http.close();
      return { seen: rows, end: page.end() };
    });

    const answer = JSON.parse(steps[0]?.response ?? "") as { readonly schema: Json[]; readonly results: Json[] };
    expect(answer.results).toHaveLength(4);
    expect(seen.map(({ value }) => value)).toEqual(answer.results);
    expect(seen.map(({ updated }) => updated)).toEqual(
      answer.results.map((row) => parseInstant(String(row["Timestamp"]))),
    );
    expect(new Set(seen.map(({ id }) => id)).size).toBe(4);
    expect(end).toEqual({ rowCount: 4, untimedCount: 0, columns: answer.schema, isCut: false });
  });

  test("a request that was not recorded fails: another path, another page size", async () => {
    const steps = recorded("alerts");

    const play = withStory(async (story) => {
      story.replay(steps);
      const http = createHttp();
      const stream = createSourceStream({ ...partsFor(steps, http), stream: "alerts" });
      await stream.ask({ from: FROM, top: 7 }, new AbortController().signal);
    });

    await expect(play).rejects.toThrow("not in this story");
  });
});
