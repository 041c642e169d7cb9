import * as fs from "node:fs";
import { join } from "node:path";
import { compareRoster } from "../../../src/collect/roster-watch.ts";
import { createHuntingSource } from "../../../src/defender/hunting/hunting-source.ts";
import { loadHuntingQueries } from "../../../src/main/hunting-queries.ts";
import { CLOUDS } from "../../../src/model/cloud.ts";
import type { FailureCode } from "../../../src/model/failure-codes.ts";
import type { HuntingQuery } from "../../../src/model/hunting.ts";
import type { Http } from "../../../src/model/ports.ts";
import { sealed } from "../../../src/model/sealed.ts";
import { loadCheckpoint } from "../../../src/stores/disk/checkpoint-file.ts";
import { takeLock } from "../../../src/stores/disk/lock.ts";
import { DiskTempFile } from "../../../src/stores/disk/temp-file.ts";
import {
  alerts,
  CONTOSO,
  EASY,
  HOUR,
  MINUTE,
  type Regime,
  refusedFailure,
  SimStream,
  ticks,
  World,
} from "../../harness/collect/world.ts";
import { T0 } from "../../harness/fakes/clock.ts";
import { diskPorts, diskThatFails, newFolder } from "../../harness/fakes/disk.ts";
import { type Answer, answering, type Causes, type Raised, silent, thrownBy } from "./cause.ts";

/** The first health event of this world that carries the code. */
function inHealth(world: World, code: FailureCode): Raised {
  const all = world.sink.healths.flatMap(({ streams }) => streams);
  const found = all.find(({ failure }) => failure === code);
  if (!found)
    throw new Error(
      `no health event carries ${code}, only ${[...new Set(all.map(({ failure }) => failure))].join(", ")}`,
    );
  return { code, actor: found.actor ?? "", say: found.say ?? "", nextStep: found.next_step ?? "" };
}

/** A customer is collected for ten minutes from a list that is as `prepare` makes it. */
async function collected(
  code: FailureCode,
  prepare: (stream: SimStream, world: World) => void,
  regime: Partial<Regime> = {},
): Promise<Raised> {
  const world = new World();
  const stream = new SimStream(world.clock, { regime: { ...EASY, ...regime } });
  prepare(stream, world);
  world.customer(stream);
  await world.start();
  await world.clock.advance(10 * MINUTE);
  await world.stop();
  return inHealth(world, code);
}

/** A list in pages of ten that gives next links. */
const LINKED = { order: "descending", links: true, clamp: 10, pageTop: 10 } as const;

/** One hunting query runs on its schedule; `live` lets the time pass. */
async function hunted(
  code: FailureCode,
  query: Partial<HuntingQuery>,
  answer: (window: { readonly fromMs: number; readonly toMs: number }) => Answer,
  live: (world: World) => Promise<void>,
): Promise<Raised> {
  const world = new World();
  const http: Http = answering((request) => {
    const [from = "", to = ""] = (JSON.parse(String(request.body)) as { Timespan: string }).Timespan.split("/");
    const given = answer({ fromMs: Date.parse(from), toMs: Date.parse(to) });
    return { ...given, headers: { date: new Date(world.clock.now).toUTCString() } };
  });
  const customer = world.customer(new SimStream(world.clock), { sources: [] });
  world.customers[0] = {
    ...customer,
    hunting: createHuntingSource({
      stanza: { name: customer.stanza, endpoints: CLOUDS.commercial, route: {}, clientId: "app" },
      tenant: customer.tenant,
      queries: [
        { name: "logons", kql: "IdentityLogonEvents", everyMinutes: 60, windowMinutes: 60, delayMinutes: 5, ...query },
      ],
      http,
      tokens: { accessToken: () => Promise.resolve(sealed("token")) },
      clock: world.clock,
      log: silent,
      recordMaxBytes: 100_000,
    }),
  };
  await live(world);
  return inHealth(world, code);
}

const results = (rows: readonly unknown[]): Answer => ({ body: { schema: [], results: rows } });
/** As many rows as one answer can hold, so that it was cut off. */
const tooMany = (row: unknown): Answer => ({
  body: `{"schema":[],"results":[${Array(100_000).fill(JSON.stringify(row)).join(",")}]}`,
});

async function started(world: World): Promise<void> {
  await world.start();
  await world.clock.advance(2 * MINUTE);
  await world.stop();
}

export const ENGINE: Causes = {
  defect: [
    "a stream throws something that nobody foresaw",
    () =>
      collected("defect", (stream) => {
        stream.ask = () => Promise.reject(new TypeError("undefined is not a function"));
      }),
  ],
  "instant-incomplete": [
    "1,900 records share one instant, and the property that should split them has one value",
    () =>
      collected(
        "instant-incomplete",
        (stream) => {
          for (let i = 0; i < 1900; i += 1)
            stream.add({ id: `tie-${i}`, updated: ticks(T0 - HOUR), visibleAtMs: 0, group: "a" });
        },
        { clamp: 40, pageTop: 100 },
      ),
  ],
  "instant-overfull": [
    "1,900 records share one instant",
    () =>
      collected(
        "instant-overfull",
        (stream) => {
          for (let i = 0; i < 1900; i += 1)
            stream.add({ id: `tie-${i}`, updated: ticks(T0 - HOUR), visibleAtMs: 0, group: "abcd"[i % 4]! });
        },
        { clamp: 40, pageTop: 100 },
      ),
  ],
  "network-timeout": [
    "the first answer does not come within the first minute",
    () =>
      collected("network-timeout", (stream) => {
        stream.answerTakesMs = HOUR;
      }),
  ],
  "link-elsewhere": [
    "a next link leads to another host",
    () =>
      collected(
        "link-elsewhere",
        (stream) => {
          stream.linkHost = "https://elsewhere.example";
          stream.add(...alerts(95, T0 - HOUR, T0 - MINUTE));
        },
        LINKED,
      ),
  ],
  "link-refused": [
    "the service refuses its own next links",
    () =>
      collected(
        "link-refused",
        (stream) => {
          stream.add(...alerts(95, T0 - HOUR, T0 - MINUTE));
          stream.fault = (question) => (question.link ? refusedFailure("skip token expired") : undefined);
        },
        LINKED,
      ),
  ],
  "link-repeats": [
    "each next link leads back to the first page",
    () =>
      collected(
        "link-repeats",
        (stream) => {
          stream.add(...alerts(95, T0 - HOUR, T0 - MINUTE));
          const ask = stream.ask.bind(stream);
          let first: string | undefined;
          stream.ask = async (question, signal) => {
            const page = await ask(question, signal);
            const given = page.link();
            if (given.kind !== "next") return page;
            first ??= given.url;
            const url = first;
            return { ...page, link: () => ({ kind: "next", url }) };
          };
        },
        LINKED,
      ),
  ],
  "partial-answer": [
    "the API answers without one of its providers",
    () =>
      collected("partial-answer", (stream) => {
        stream.partial = () => "Microsoft/Endpoint";
      }),
  ],
  "record-quarantined": [
    "a record without an id is in the list",
    () =>
      collected("record-quarantined", (stream) => {
        stream.extra = [{ readable: false, reason: "no-id", byteLength: 77, sha256: "ab".repeat(32) }];
      }),
  ],
  "roster-difference": [
    "a customer of the list is not configured",
    () => {
      const customer = { tenantId: CONTOSO, name: "Contoso", isExcluded: false };
      const { failure, actor, say, next_step } = compareRoster({
        underContract: [customer],
        customers: [],
        nowMs: T0,
        collectingForMs: HOUR,
      });
      return { code: failure ?? "", actor: actor ?? "", say, nextStep: next_step ?? "" };
    },
  ],
  "tenant-mismatch": [
    "a record carries another tenant's id",
    () =>
      collected("tenant-mismatch", (stream) => {
        stream.add({
          id: "a",
          updated: ticks(T0 - HOUR),
          visibleAtMs: 0,
          payloadTenantId: "99999999-2222-4333-8444-555555555555",
        });
      }),
  ],

  "hunting-cut": [
    "a query without row times has more rows than an answer",
    () => hunted("hunting-cut", {}, () => tooMany({ n: 1 }), started),
  ],
  "hunting-gap": [
    "the collector is off for 40 days",
    () =>
      hunted(
        "hunting-gap",
        { everyMinutes: 1_440, windowMinutes: 1_440 },
        () => results([]),
        async (world) => {
          await started(world);
          await world.clock.advance(40 * 24 * HOUR);
          await started(world);
        },
      ),
  ],
  "hunting-queries-wrong": [
    "the file of hunting queries is not JSON",
    () => {
      const file = join(newFolder(), "queries.json");
      fs.writeFileSync(file, "{");
      const { problem } = loadHuntingQueries(file);
      if (!problem) throw new Error("no problem was found");
      return problem;
    },
  ],
  "hunting-split": [
    "a window holds more rows than an answer",
    () => {
      const answer = ({ fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): Answer =>
        toMs - fromMs > 40 * MINUTE ? tooMany({ Timestamp: new Date(fromMs + MINUTE).toISOString() }) : results([]);
      return hunted("hunting-split", {}, answer, started);
    },
  ],

  "state-damaged": [
    "a newer release wrote the state file",
    () => {
      const file = join(newFolder(), "alerts.mark.json");
      fs.writeFileSync(file, '{"version":2,"crc32":0}');
      return thrownBy(() => loadCheckpoint(diskPorts(), silent, file));
    },
  ],
  "state-locked": [
    "another run holds the state folder",
    async () => {
      const folder = newFolder();
      const ports = { ...diskPorts(), log: silent, platform: process.platform };
      const held = await takeLock(folder, ports, "10s");
      const failure = await thrownBy(() => takeLock(folder, ports, "10s"));
      await held.release();
      return failure;
    },
  ],
  "state-unreadable": [
    "a folder stands where the state file should be",
    () => {
      const file = join(newFolder(), "alerts.mark.json");
      fs.mkdirSync(file);
      return thrownBy(() => loadCheckpoint(diskPorts(), silent, file));
    },
  ],
  "state-unsettled": [
    "the output is full and the journal cannot be corrected",
    async () => {
      const world = new World();
      const stream = new SimStream(world.clock, { regime: EASY });
      stream.add(...alerts(3, T0 - HOUR, T0 - MINUTE));
      world.customer(stream);
      const open = world.state.open.bind(world.state);
      world.state.open = async (key) => ({ ...(await open(key)), compact: () => Promise.reject(new Error("ENOSPC")) });
      world.sink.write = () => Promise.reject(new Error("the output is full"));
      const scheduler = await world.open();
      const running = thrownBy(() => scheduler.run(new AbortController().signal));
      running.catch(() => undefined);
      await world.clock.advance(MINUTE);
      return running;
    },
  ],
  "state-unwritable": [
    "the disk under the state folder is full",
    () => thrownBy(() => new DiskTempFile(diskThatFails(1, "ENOSPC"), newFolder()).append(Buffer.from("x"))),
  ],
};
