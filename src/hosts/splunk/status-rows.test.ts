import { expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import type { HealthEvent } from "../../model/event.ts";
import { Failure } from "../../model/failure.ts";
import { type StatusRow, StatusRows } from "./status-rows.ts";

const SECOND_MS = 1_000;

function health(input: string, version = "1"): HealthEvent {
  const time = "2026-11-24T12:00:00.000Z";
  return {
    time,
    input,
    tenant: input,
    tenant_id: "",
    streams: [],
    credential: null,
    credential_days_left: null,
    version,
  };
}

function bench(
  earlier: readonly Record<string, unknown>[] = [],
  failures = 0,
  saving: (stop: AbortController) => void = () => {},
) {
  const clock = new FakeClock();
  const log = new FakeLog();
  const saved: StatusRow[][] = [];
  const stop = new AbortController();
  let failing = failures;
  const rows = new StatusRows({
    collection: () => ({
      rows: () => Promise.resolve(earlier),
      async saveAll(some) {
        saving(stop);
        failing -= 1;
        if (failing >= 0)
          throw new Failure("splunkd-busy", { actor: "operator", retry: { when: "soon" }, say: "Off.", nextStep: "" });
        saved.push([...some] as StatusRow[]);
      },
    }),
    clock,
    random: FakeRandom.always(),
    log,
  });
  const running = rows.run(stop.signal);
  const end = async () => {
    stop.abort();
    await running;
  };
  return { rows, clock, log, saved, end };
}

test("the last health event of each input becomes its row, and those that come together are one call", async () => {
  const { rows, clock, saved, end } = bench();
  rows.note(health("contoso", "1"));
  rows.note(health("fabrikam"));
  rows.note(health("contoso", "2"));
  await clock.advance(SECOND_MS);
  await end();

  expect(saved).toEqual([
    [
      { ...health("contoso", "2"), _key: "contoso", first_event_at: null },
      { ...health("fabrikam"), _key: "fabrikam", first_event_at: null },
    ],
  ]);
});

test("the first event of an input is in its row within a second, though no health event is due", async () => {
  const { rows, clock, saved, end } = bench();
  rows.note(health("contoso"));
  await clock.advance(SECOND_MS);
  rows.delivered([{ stanza: "contoso" }, { stanza: "contoso" }]);
  await clock.advance(SECOND_MS);
  rows.delivered([{ stanza: "contoso" }]);
  await clock.advance(SECOND_MS);
  await end();

  expect(saved.map((some) => some.map((row) => row.first_event_at))).toEqual([[null], ["2026-11-24T12:00:01.000Z"]]);
});

test("the comparison with the list of customers has a row of its own beside the inputs", async () => {
  const roster = {
    under_contract: 2,
    configured: 1,
    consented: 1,
    collected: 1,
    silent: 0,
    failure: "roster-difference",
    actor: "operator",
    say: "1 customer under contract is not configured (Fabrikam).",
    next_step: "Look.",
    differences: [{ tenant: "Fabrikam", tenant_id: "f", difference: "not-configured" }],
    more: 0,
  } as const;
  const { rows, clock, saved, end } = bench();
  rows.note({ ...health(""), roster });
  rows.note(health("contoso"));
  await clock.advance(SECOND_MS);
  await end();

  expect(saved.flat()).toMatchObject([
    { _key: "defender_mssp:roster", input: "", roster, first_event_at: null },
    { _key: "contoso", input: "contoso" },
  ]);
});

test("a restart keeps the time of the first event", async () => {
  const { rows, clock, saved, end } = bench([{ input: "contoso", first_event_at: "2026-01-01T00:00:00.000Z" }]);
  rows.delivered([{ stanza: "contoso" }]);
  rows.note(health("contoso"));
  await clock.advance(SECOND_MS);
  await end();

  expect(saved.flat()).toMatchObject([{ first_event_at: "2026-01-01T00:00:00.000Z" }]);
});

test.each([
  ["another tenant's first event is not this one's, though the input has the same name", "a", "b", null],
  ["a tenant that was known by its domain only keeps the time of its first event", "", "b", "2026-01-01T00:00:00.000Z"],
  ["a tenant that is not known yet keeps the time of its first event", "a", "", "2026-01-01T00:00:00.000Z"],
])("%s", async (_title, before, now, expected) => {
  const { rows, clock, saved, end } = bench([
    { input: "contoso", tenant_id: before, first_event_at: "2026-01-01T00:00:00.000Z" },
  ]);
  rows.note({ ...health("contoso"), tenant_id: now });
  await clock.advance(SECOND_MS);
  await end();

  expect(saved.flat()).toMatchObject([{ first_event_at: expected }]);
});

test("the first event of an input's new tenant has its own time", async () => {
  const { rows, clock, saved, end } = bench([
    { input: "contoso", tenant_id: "a", first_event_at: "2026-01-01T00:00:00.000Z" },
  ]);
  rows.note({ ...health("contoso"), tenant_id: "b" });
  rows.delivered([{ stanza: "contoso" }]);
  await clock.advance(SECOND_MS);
  await end();

  expect(saved.flat()).toMatchObject([{ first_event_at: "2026-11-24T12:00:00.000Z" }]);
});

test("rows that cannot be saved are saved later, with one warning", async () => {
  const { rows, clock, log, saved, end } = bench([], 2);
  rows.note(health("contoso"));
  for (let minute = 0; minute < 3; minute += 1) await clock.advance(60 * SECOND_MS);
  await end();

  expect(saved.flat().map(({ input }) => input)).toEqual(["contoso"]);
  expect(log.lines.map(({ level, fields }) => [level, fields["failure"]])).toEqual([["warn", "splunkd-busy"]]);
});

test("what is not saved is known all the same, and says that first events before this run are not", async () => {
  const earlier = { input: "contoso", tenant_id: "", first_event_at: "2026-01-01T00:00:00.000Z" };
  const { rows, clock, end } = bench([earlier]);
  rows.note(health("contoso", "1"));
  rows.note(health("contoso", "2"));
  rows.note(health("fabrikam"));
  rows.delivered([{ stanza: "fabrikam" }]);
  const contoso = { ...health("contoso", "2"), _key: "contoso" };

  const now = "2026-11-24T12:00:00.000Z";
  const since = { first_event_since: now };
  expect(rows.known()).toEqual([
    { ...contoso, first_event_at: null, ...since },
    { ...health("fabrikam"), _key: "fabrikam", first_event_at: now, ...since },
  ]);

  await clock.advance(SECOND_MS);
  await end();
  expect(rows.known()[0]).toEqual({ ...contoso, first_event_at: "2026-01-01T00:00:00.000Z" });
});

test("a save that the stop ended is not warned of", async () => {
  const { rows, clock, log, end } = bench([], 1, (stop) => stop.abort());
  rows.note(health("contoso"));
  await clock.advance(SECOND_MS);
  await end();

  expect(log.lines).toEqual([]);
});

test("many inputs that report all the time cost about four saves a minute, and none is lost", async () => {
  const { rows, clock, saved, end } = bench();
  for (let second = 0; second < 600; second += 1) {
    rows.note(health(`customer ${second}`));
    await clock.advance(SECOND_MS);
  }
  await clock.advance(60 * SECOND_MS);
  const before = saved.length;
  await clock.advance(60 * SECOND_MS);
  rows.note(health("contoso"));
  await clock.advance(SECOND_MS);
  await end();

  expect(before).toBeLessThanOrEqual(46);
  expect(saved.flat()).toHaveLength(601);
  expect(saved.length).toBe(before + 1);
});
