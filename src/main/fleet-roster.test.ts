import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { parseStanzas } from "../config/settings.ts";
import { commandsIn } from "../model/command-line.ts";
import { Failure } from "../model/failure.ts";
import type { ConfiguredCustomer } from "../model/roster.ts";
import type { FleetRosterRead } from "../stores/postgres/roster.ts";
import { changesOf, collectedElsewhere, type RosterReader, rosterCustomers } from "./fleet-roster.ts";
import { RosterWatch } from "./fleet-roster-watch.ts";

const CONTOSO = "11111111-2222-4333-8444-555555555555";
const FABRIKAM = "22222222-2222-4333-8444-555555555555";

function row(name: string, tenant_id: string, more: Readonly<Record<string, string>> = {}): ConfiguredCustomer {
  return { name, values: { tenant_id, auth: "app", credential: "mssp", ...more } };
}

function readerWith(inFile: readonly ConfiguredCustomer[] = [], overrides: Readonly<Record<string, string>> = {}) {
  const { stanzas, refused } = parseStanzas(inFile, { host: "arcsight", nowMs: 0 });
  const reader: RosterReader = {
    inFile: [
      ...stanzas.map((stanza) => ({ name: stanza.name, tenantId: stanza.tenantId, stanza })),
      ...refused.map(({ name, tenantId }) => ({ name, tenantId })),
    ],
    file: "member.properties",
    overrides,
    globals: {},
    nowMs: 0,
  };
  return reader;
}

/** Of each customer, its name and why it is not collected. */
function outcomes(rows: readonly ConfiguredCustomer[], reader: RosterReader) {
  return rosterCustomers(rows, reader).entries.map((one) =>
    "stanza" in one ? one.name : `${one.name}: ${one.misconfigured.failure.say}`,
  );
}

describe("customers of a fleet's database", () => {
  test("are collected as the database says, with the settings that this member has for all customers", () => {
    const rows = [row("Contoso", CONTOSO, { streams: "alerts", index: "soc", cloud: "gcc" })];
    const [one] = rosterCustomers(rows, readerWith([], { poll_seconds: "90" })).entries;

    expect(one).toMatchObject({
      shardBy: CONTOSO,
      stanza: { tenantId: CONTOSO, streams: ["alerts"], index: "soc", cloud: "gcc", pollSeconds: 90, auth: "app" },
    });
  });

  test("that this member cannot read are named with the reason, and stop no other one", () => {
    const rows = [row("Contoso", CONTOSO, { streams: "alerts,of-a-newer-release" }), row("Fabrikam", FABRIKAM)];

    expect(outcomes(rows, readerWith())).toEqual([
      "Fabrikam",
      expect.stringMatching(/^Contoso: Contoso is not collected: `streams` .*of-a-newer-release/),
    ]);
  });

  test("that a member leaves to nobody are each named with the command that removes them, and keep their shard", () => {
    const rows = [row("Contoso & Co", CONTOSO), row("Fabrikam", FABRIKAM, { streams: "unknown" })];
    const before = rosterCustomers(rows, readerWith());
    const { entries } = collectedElsewhere(before);
    const failures = entries.map((one) => ("misconfigured" in one ? one.misconfigured : undefined));

    expect(entries.map(({ name, shardBy }) => [name, shardBy])).toEqual([
      ["Contoso & Co", CONTOSO],
      ["Fabrikam", FABRIKAM],
    ]);
    expect(failures[0]).toMatchObject({ name: "Contoso & Co", tenantName: "Contoso & Co", tenantId: CONTOSO });
    expect(failures[0]?.failure.say).toMatch(/^Contoso & Co is not collected: /);
    expect(commandsIn(failures[0]?.failure.nextStep ?? "")).toEqual([
      ["customers", "remove", "Contoso & Co", "--to", "fleet"],
    ]);
    expect(entries[1]).toBe(before.entries[1]);
  });

  test("that the file has too are collected as the file says, and a sentence says what differs", () => {
    const inFile = [row("contoso", CONTOSO, { streams: "incidents" }), row("Fabrikam", FABRIKAM)];
    const rows = [row("Contoso", CONTOSO, { streams: "alerts" }), row("Fabrikam", FABRIKAM)];

    expect(rosterCustomers(rows, readerWith(inFile))).toEqual({
      entries: [],
      differing: [
        "contoso is configured in member.properties and in the fleet's database, with different name, streams. The file counts.",
      ],
    });
  });

  test("that have the name of another tenant of the file are refused under a name of their own", () => {
    expect(outcomes([row("contoso", FABRIKAM)], readerWith([row("Contoso", CONTOSO)]))).toEqual([
      `contoso (${FABRIKAM}): contoso is not collected: \`tenant_name\` is that of tenant ${CONTOSO} in member.properties too.`,
    ]);
  });

  test("begin, change and end by their rows alone, whenever these are read", () => {
    const at = (nowMs: number, ...rows: ConfiguredCustomer[]) =>
      rosterCustomers(rows, { ...readerWith(), nowMs }).entries;
    const names = (...[before, after]: Parameters<typeof changesOf>) => {
      const { gone, fresh } = changesOf(before, after);
      return { gone: gone.map(({ name }) => name), fresh: fresh.map(({ name }) => name) };
    };
    const [a, b] = [row("a", CONTOSO), row("b", FABRIKAM)];

    expect(names(at(0, a, b), at(9_000_000_000, a, b))).toEqual({ gone: [], fresh: [] });
    expect(names(at(0, a), at(1, a, b))).toEqual({ gone: [], fresh: ["b"] });
    expect(names(at(0, a, b), at(1, b))).toEqual({ gone: ["a"], fresh: [] });
    expect(names(at(0, a, b), at(1, a, row("b", FABRIKAM, { streams: "alerts" })))).toEqual({
      gone: ["b"],
      fresh: ["b"],
    });
  });
});

describe("the watch of a fleet's customers", () => {
  function watching({ areCollected = true }: { readonly areCollected?: boolean } = {}) {
    const clock = new FakeClock();
    const log = new FakeLog();
    const said: string[] = [];
    const used: string[][] = [];
    const failures: (string | undefined)[] = [];
    let parsed = 0;
    let now: FleetRosterRead | Failure = { revision: "1", customers: [] };
    let older: readonly string[] = [];
    const watch = new RosterWatch({
      read: async (revision) => {
        if (now instanceof Failure) throw now;
        return now.revision === revision ? undefined : now;
      },
      drainOlder: async () => older,
      customersOf: (rows) => {
        parsed += 1;
        return rosterCustomers(rows, readerWith());
      },
      areCollected,
      use: async ({ entries }) => {
        used.push(entries.map(({ name }) => name));
        failures.push(...entries.map((one) => ("stanza" in one ? undefined : one.misconfigured.failure.say)));
      },
      health: () => ({ be: (state, failure) => void said.push(`${state} ${failure?.code ?? ""}`.trim()) }),
      clock,
      log,
    });
    return {
      watch,
      clock,
      log,
      said,
      used,
      failures,
      parsed: () => parsed,
      become: (next: FleetRosterRead | Failure) => void (now = next),
      drained: (names: readonly string[]) => void (older = names),
    };
  }

  test("begins what was added within seconds, and does nothing while nothing changes", async () => {
    const { watch, clock, used, become } = watching();
    await watch.look();
    const stop = new AbortController();
    const running = watch.run(stop.signal);
    become({ revision: "2", customers: [row("Contoso", CONTOSO)] });
    for (let seconds = 0; seconds < 60; seconds += 1) await clock.advance(1_000);
    stop.abort();
    await running;

    expect(used).toEqual([[], ["Contoso"]]);
  });

  test("of a member that collects none of them says so of each, and reads them once while nothing changes", async () => {
    const { watch, clock, failures, parsed, become } = watching({ areCollected: false });
    become({ revision: "2", customers: [row("Contoso", CONTOSO)] });
    await watch.look();
    const stop = new AbortController();
    const running = watch.run(stop.signal);
    for (let seconds = 0; seconds < 60; seconds += 1) await clock.advance(1_000);
    stop.abort();
    await running;

    expect(failures).toEqual([expect.stringMatching(/^Contoso is not collected: it stands in the database/)]);
    expect(parsed()).toBe(1);
  });

  test("goes on with what it knows while the database is gone, and says in health why it cannot read it else", async () => {
    const { watch, said, used, become } = watching();
    const failure = (code: "fleet-unreachable" | "fleet-refused") =>
      new Failure(code, { actor: "operator", retry: { when: "later" }, say: `${code}.` });
    await watch.look();
    become(failure("fleet-unreachable"));
    await watch.look();
    expect([used, said]).toEqual([[[]], []]);
    become(failure("fleet-refused"));
    await watch.look();
    become({ revision: "1", customers: [] });
    await watch.look();

    expect([used, said]).toEqual([[[]], ["failing fleet-refused", "ok"]]);
  });

  test("says which members of an older release are drained, because they would not collect these customers", async () => {
    const { watch, log, drained } = watching();
    drained(["old"]);
    await watch.look();

    expect(log.lines.map(({ fields }) => fields?.["members"])).toContain("old");
  });
});
