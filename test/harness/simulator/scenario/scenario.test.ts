import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "@jest/globals";
import { identityOf } from "../identity.ts";
import { ticksOf } from "../instant.ts";
import { startSimulator } from "../start.ts";
import { readScenario, scenarioOf } from "./apply.ts";
import { ScenarioRefused } from "./check.ts";
import { generate } from "./generate.ts";
import { scenarioSchema } from "./schema.ts";

const FOLDER = fileURLToPath(new URL("../../../scenarios/", import.meta.url));
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".yaml"));

const REQUIRED = [
  "mssp-day",
  "throttled-then-recovers",
  "consent-withdrawn",
  "secret-rotated",
  "collector-replaced",
  "host-stops-mid-page",
  "next-link-elsewhere",
  "clock-steps-back",
  "same-instant-records",
  "record-changes-while-paging",
  "expand-500-for-ever",
];

function refusal(text: string, name = "day.yaml"): string {
  try {
    scenarioOf(text, name);
  } catch (error) {
    if (error instanceof ScenarioRefused) return error.message;
    throw error;
  }
  return "";
}

describe("a scenario file", () => {
  test("exists for every scenario that the harness promises", () => {
    expect(files).toEqual(expect.arrayContaining(REQUIRED.map((name) => `${name}.yaml`)));
  });

  test.each(files)("%s can be read, is named for its file, and tells a story", (file) => {
    const scenario = readScenario(join(FOLDER, file));

    expect(scenario.name).toBe(file.replace(/\.yaml$/, ""));
    expect(scenario.story.length).toBeGreaterThan(80);
  });

  test.each(files.filter((file) => !file.startsWith("load-")))(
    "%s plays to its end, twice with the same result",
    async (file) => {
      const play = async (): Promise<unknown> => {
        const simulator = await startSimulator({ scenario: join(FOLDER, file), frozen: true });
        for (let hour = 0; hour < 12; hour += 1) simulator.control.advance(3_600_000);
        const visible = [...simulator.control.world.customers.values()].map(({ identity, tables, consent }) => {
          for (const table of Object.values(tables)) table.settle(simulator.control.clock.nowMs());
          return [
            identity.name,
            consent,
            tables.alerts.visible().map(({ id, updated }) => `${id} ${updated}`),
            tables.incidents.visible().map((version) => version.text()),
          ];
        });
        await simulator.stop();
        return visible;
      };

      const first = await play();
      expect(JSON.stringify(first).length).toBeGreaterThan(100);
      expect(await play()).toEqual(first);
    },
  );

  test("is checked by the schema that is made from the table (node test/harness/simulator/scenario/schema.ts > test/scenarios/scenario.schema.json)", () => {
    expect(JSON.parse(readFileSync(join(FOLDER, "scenario.schema.json"), "utf8"))).toEqual(scenarioSchema());
  });
});

describe("a scenario with a mistake is refused with file, line and what was expected", () => {
  const head = "name: x\nstory: y\ncustomers:\n  - name: contoso\n";

  test.each([
    [
      "an unknown member",
      `${head}    colour: red\n`,
      'day.yaml:5: customers[1]: there is no "colour"; expected one of name, count, data,',
    ],
    [
      "a wrong duration",
      `${head}    generate:\n      - { stream: alerts, count: 3, from: yesterday }\n`,
      'day.yaml:6: customers[1].generate[1].from: expected a duration such as 90s, 5m, 1h30m or -7d, found "yesterday".',
    ],
    [
      "a wrong choice",
      `${head}    consent: perhaps\n`,
      'day.yaml:5: customers[1].consent: expected one of granted, withdrawn, absent, found "perhaps".',
    ],
    [
      "a number out of bounds",
      `${head}faults:\n  - on: alerts\n    rate: 3\n    answer: { status: 503 }\n`,
      "day.yaml:7: faults[1].rate: expected a number from 0 to 1, found 3.",
    ],
    [
      "a missing member",
      "name: x\nstory: y\n",
      'day.yaml:1: the scenario: "customers" is missing; expected the customers.',
    ],
    [
      "an event of no kind",
      `${head}events:\n  - { at: 1m, do: explode }\n`,
      "day.yaml:6: events[1].do: expected one of consent, permissions, secret,",
    ],
    [
      "an event's own members",
      `${head}events:\n  - { at: 1m, do: consent, state: gone }\n`,
      'day.yaml:6: events[1].state: expected one of granted, withdrawn, absent, found "gone".',
    ],
    ["a list where members belong", "- a\n- b\n", "day.yaml:1: the scenario: expected members named name, story,"],
    ["text that is not YAML", "name: [x\n", "day.yaml:2: not readable:"],
  ])("for %s", (_, text, sentence) => {
    expect(refusal(text)).toContain(sentence);
  });

  test("and all mistakes are named at once, one line each", () => {
    expect(refusal(`${head}    consent: perhaps\n    links: maybe\n`).split("\n")).toHaveLength(2);
  });

  test("in JSON too, with its lines", () => {
    expect(
      refusal('{\n "name": "x",\n "story": "y",\n "customers": [{ "name": "a", "count": 0 }]\n}', "day.json"),
    ).toContain("day.json:4: customers[1].count: expected a whole number from 1 to 100000, found 0.");
  });
});

describe("records that a scenario generates", () => {
  const START_MS = Date.parse("2026-11-24T08:00:00Z");
  const all = (rule: Parameters<typeof generate>[0], seed = "1") => [
    ...generate(rule, identityOf("contoso"), START_MS, START_MS, seed),
  ];

  test("are as many, as large and as late as the rule says, and their texts hold the same ids and times", () => {
    const versions = all({
      stream: "alerts",
      count: 200,
      from: 0,
      to: 3_600_000,
      bytes: 5700,
      late: { share: 0.5, by: [600_000, 600_000] },
    });

    expect(new Set(versions.map(({ id }) => id)).size).toBe(200);
    for (const version of versions) {
      const text = version.text();
      expect(JSON.parse(text)).toMatchObject({
        id: version.id,
        lastUpdateDateTime: version.updated,
        createdDateTime: version.created,
      });
      expect(Math.abs(text.length - 5700)).toBeLessThan(200);
      expect(version.text()).toBe(text);
    }
    const late = versions.filter(
      ({ updated, visibleAtMs }) => (visibleAtMs ?? 0) - Number((ticksOf(updated) ?? 0n) / 10_000n) > 500_000,
    );
    expect(late.length).toBeGreaterThan(60);
    expect(late.length).toBeLessThan(140);
  });

  test("share an instant exactly in groups of the size asked for", () => {
    const counts = new Map<string, number>();
    for (const { updated } of all({ stream: "alerts", count: 500, ties: { groups: 3, size: 40 } }))
      counts.set(updated, (counts.get(updated) ?? 0) + 1);

    expect([...counts.values()].filter((count) => count > 1)).toEqual([40, 40, 40]);
  });

  test("are JSON with the members by which each list is read", () => {
    for (const stream of ["incidents", "xdr-incidents", "mde-alerts", "siem-alerts"] as const) {
      for (const version of all({ stream, count: 3, alerts: 2, updates: 1 }))
        expect(() => JSON.parse(version.text()) as unknown).not.toThrow();
    }
    const [incident] = all({ stream: "xdr-incidents", count: 1, alerts: 3 });
    const alerts = (JSON.parse(incident?.text() ?? "") as { alerts: { alertId: string }[] }).alerts;
    expect(new Set(alerts.map(({ alertId }) => alertId)).size).toBe(3);
  });
});
