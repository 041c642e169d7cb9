import { readValue } from "../config/kinds.ts";
import { type HuntRow, huntTable } from "../hosts/cli/hunt-table.ts";
import { parseExactly } from "../json/exact-numbers.ts";
import { inParallel } from "../model/concurrency-limiter.ts";
import { versionKey } from "../model/event.ts";
import { EXIT, type ExitCode, exitCodeOf, type Failure, isFailure } from "../model/failure.ts";
import type { HuntingPass, HuntingQuery } from "../model/hunting.ts";
import { formatInstant, type Ticks, ticksFromMs } from "../model/instant.ts";
import type { Log, Sink } from "../model/ports.ts";
import type { SourceRecord } from "../model/record.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Tenant } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { pipeSink } from "../outputs/pipe-sink.ts";
import { PLAIN_LINES, StreamPipe } from "../outputs/stream-pipe.ts";
import { type Configuration, settingsFailure } from "./configuration.ts";
import { noFacts } from "./customers.ts";
import { loadHuntingQueries } from "./hunting-queries.ts";
import { fileCustomers } from "./real-collector.ts";
import { realClock, stopSignal, VERSION } from "./world.ts";

export interface HuntFlags {
  readonly query: string;
  readonly since?: string | undefined;
  readonly json: boolean;
  /** Maximum number of rows in a table. */
  readonly limit: number;
}

/** Customers queried in parallel: each has its own quota with Microsoft. */
const AT_ONCE = 8;

/**
 * `hunt`: runs one saved query now over the chosen customers, even if their hunting stream is off. Nothing is
 * marked as delivered, so the schedule does not change. JSON lines are those of `collect`; a table shows the
 * first `limit` rows.
 */
export async function hunt(configuration: Configuration, flags: HuntFlags, log: Log): Promise<ExitCode> {
  const stop = stopSignal().signal;
  const { settings, stanzas } = configuration;
  const now = ticksFromMs(realClock.nowMs());
  const since = sinceFlag(flags.since, now);
  const looked = stanzas.map((stanza) => ({ stanza, ...savedQuery(stanza, flags.query) }));
  const chosen = looked.filter(({ query }) => query !== undefined);
  if (chosen.length === 0) throw unknownQuery(stanzas, flags.query);
  const failed: Failure[] = [];
  // The query may be in the part that cannot be read, so these customers are reported.
  for (const { stanza, query, problem } of looked) {
    if (query !== undefined || problem === undefined) continue;
    failed.push(problem);
    log.error(problem.say, { customer: stanza.name, failure: problem.code, next_step: problem.nextStep || undefined });
  }
  const meant = chosen.length + failed.length;
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const builder = fileCustomers(configuration.stateDir, { http, log, globals: settings.globals });
  const table: HuntRow[] = [];
  const stdout = new StreamPipe(process.stdout, realClock, PLAIN_LINES);
  const show = flags.json
    ? jsonRows(pipeSink({ events: stdout, health: stdout, form: "lines", customers: stanzas }))
    : tableRows(table, flags.limit);
  let rows = 0;
  let answered = 0;
  const one = async ({
    stanza,
    query,
  }: {
    readonly stanza: Stanza;
    readonly query: HuntingQuery | undefined;
  }): Promise<void> => {
    if (query === undefined || stop.aborted) return;
    try {
      const { tenant, hunting: source } = await builder.build({ ...stanza, streams: ["hunting"] }, noFacts);
      if (source === undefined) throw unknownQuery([stanza], flags.query);
      const pass = passNow(query, since ?? now - BigInt(query.windowMinutes) * 600_000_000n, now);
      const page = await source.hunt(pass, stop);
      for await (const batch of page.batches)
        await show(
          stanza,
          tenant,
          batch.filter((record) => record.readable),
        );
      const end = page.end();
      rows += end.rowCount;
      if (end.isCut)
        log.warn("the answer was truncated; give a later --since", { customer: stanza.name, rows: end.rowCount });
      log.info("hunted", { customer: stanza.name, rows: end.rowCount, done: `${++answered} of ${chosen.length}` });
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed.push(error);
      log.error(error.say, {
        customer: stanza.name,
        failure: error.code,
        next_step: error.nextStep || undefined,
        done: `${++answered} of ${chosen.length}`,
      });
    }
  };
  try {
    await inParallel(chosen, AT_ONCE, one);
  } finally {
    await http.close().catch(() => undefined);
  }
  if (!flags.json) process.stdout.write(huntTable(table));
  if (!flags.json && rows > table.length)
    log.info("there are more rows than the table shows; --json prints all", { rows, shown: table.length });
  if (stop.aborted) return EXIT.ourFault;
  if (failed.length === 0) return EXIT.done;
  return failed.length < meant ? EXIT.someCustomers : exitCodeOf(failed[0] as Failure);
}

type Show = (stanza: Stanza, tenant: Tenant, records: readonly SourceRecord[]) => Promise<void>;

function jsonRows(sink: Sink): Show {
  return async (stanza, tenant, records) => {
    if (records.length === 0) return;
    await sink.write(
      records.map((record) => {
        const key = versionKey(tenant.id, "hunting", record.kind, record.id, record.updated);
        return {
          stanza: stanza.name,
          tenant,
          stream: "hunting" as const,
          change: "new" as const,
          found: "poll" as const,
          key,
          record,
        };
      }),
    );
  };
}

function tableRows(table: HuntRow[], limit: number): Show {
  return (_, tenant, records) => {
    for (const { body } of records.slice(0, Math.max(0, limit - table.length))) {
      const text = Buffer.from(body.bytes.buffer, body.bytes.byteOffset + body.start, body.end - body.start).toString(
        "utf8",
      );
      table.push({ customer: tenant.name, values: parseExactly(text) as Record<string, unknown> });
    }
    return Promise.resolve();
  };
}

function passNow(query: HuntingQuery, from: Ticks, to: Ticks): HuntingPass {
  return { query, window: { from, to }, after: from, untimedAt: to };
}

function sinceFlag(text: string | undefined, now: Ticks): Ticks | undefined {
  if (text === undefined) return undefined;
  const read = readValue({ is: "start" }, text, realClock.nowMs());
  if (!read.ok) throw settingsFailure(`--since ${read.say}`);
  const from = read.value.kind === "at" ? read.value.at : now - ticksFromMs(read.value.ms);
  if (from >= now) throw settingsFailure(`--since ${formatInstant(from)} lies in the future`);
  return from;
}

function savedQuery(
  stanza: Stanza,
  name: string,
): { readonly query: HuntingQuery | undefined; readonly problem?: Failure | undefined } {
  if (stanza.huntingQueries === undefined) return { query: undefined };
  const { queries, problem } = loadHuntingQueries(stanza.huntingQueries);
  return { query: queries.find((query) => query.name.toLowerCase() === name.toLowerCase()), problem };
}

function unknownQuery(stanzas: readonly Stanza[], name: string): Failure {
  const files = [...new Set(stanzas.map(({ huntingQueries }) => huntingQueries).filter((file) => file !== undefined))];
  if (files.length === 0)
    return settingsFailure("no chosen customer has hunting_queries; name the file with --hunting-queries");
  const loaded = files.map((file) => loadHuntingQueries(file));
  const known = [...new Set(loaded.flatMap(({ queries }) => queries.map((query) => query.name)))].join(", ");
  const problems = loaded.flatMap(({ problem }) => (problem === undefined ? [] : [problem.say]));
  return settingsFailure(
    [
      `no query is called ${JSON.stringify(name)}; ${known === "" ? "the file holds none" : `known are ${known}`}`,
      ...problems,
    ].join("\n"),
  );
}
