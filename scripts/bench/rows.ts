import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ROOT } from "../build/project.ts";
import { alertsToRsyslog, historyOfArcSight, pagesOfArcSight, pollOfServe } from "./arcsight.ts";
import { catchUpBesideOthers } from "./catch-up.ts";
import { chaosForMinutes, everyCrash } from "./chaos.ts";
import { Collector, type Memory, runDocument, type StanzaSettings } from "./collector.ts";
import { cursorRules } from "./cursor-rules.ts";
import { commitsOfFleet, idleFleet, stormOfFleet, takeoverOfFleet } from "./fleet.ts";
import { growth } from "./growth.ts";
import { alertsToHec } from "./hec.ts";
import { huntingRound } from "./hunting.ts";
import { alertsToKafka } from "./kafka.ts";
import { lagOfTheHealthy } from "./lag.ts";
import { throttledAnswers } from "./microsoft.ts";
import { onboardFromAList } from "./onboard.ts";
import { manyCustomersInBrowser } from "./pages.ts";
import {
  type Bench,
  catchUp,
  interleaved,
  median,
  memoryAtRest,
  type Outcome,
  round,
  WITHIN_MS,
  wallMs,
  withMicrosoft,
} from "./runs.ts";
import { startWithManyCustomers } from "./start.ts";

/** A measurement, and the rows it gives. */
export interface Measurement {
  readonly rows: readonly string[];
  readonly about: string;
  readonly measure: (bench: Bench) => Promise<Outcome[]>;
}

const SCENARIOS = resolve(ROOT, "test/scenarios");

export const MEASUREMENTS: readonly Measurement[] = [
  {
    rows: ["scheme"],
    about: "`--scheme` of the built binary against the same runtime evaluating nothing",
    async measure({ binary, runs }) {
      const [ours, bare] = await interleaved(runs * 4, [
        async () => wallMs(binary, ["--scheme"]),
        async () => wallMs(process.execPath, ["--eval", ""]),
      ]);
      const ratio = median(ours) / median(bare);
      return [
        {
          name: "scheme",
          value: round(ratio),
          unit: "times",
          target: "<= 3",
          holds: ratio <= 3,
          runs: ours.map((ms, run) => round(ms / (bare[run] ?? ms))),
        },
      ];
    },
  },
  {
    rows: ["catch-up", "catch-up-ratio", "catch-up-cpu", "catch-up-go", "catch-up-python"],
    about:
      "25 customers x 8,000 Graph alerts, pacing on, TLS and gzip, built binary into a pipe; loops with Microsoft's own client, in Go and in Python beside it",
    measure: catchUpBesideOthers,
  },
  largePage(
    "page-mde",
    "contoso",
    { streams: "mde-alerts" },
    10_000,
    "10,000 Defender for Endpoint alerts in one answer",
  ),
  largePage(
    "page-incidents",
    "fabrikam",
    { streams: "xdr-incidents" },
    12 * 2001,
    "Defender XDR incidents of 2,000 alerts each",
  ),
  {
    rows: ["idle-2000", "throttled"],
    about:
      "2,000 customers polled each minute with nothing new: processor time and memory of the one process, and requests that were answered 429",
    async measure(bench) {
      const { outcome, throttled } = await idle(bench, { customers: 2000, mostMb: 200, mostShare: 8 });
      return [
        outcome,
        {
          name: "throttled",
          value: throttled,
          unit: "answers of 429",
          target: "0",
          holds: throttled === 0,
          runs: [throttled],
        },
      ];
    },
  },
  {
    rows: ["idle-10000"],
    about: "10,000 customers polled each minute with nothing new: processor time and memory of the one process",
    measure: async (bench) => [(await idle(bench, { customers: 10_000, mostMb: 540, mostShare: 25 })).outcome],
  },
  {
    rows: ["start-2000", "start-2000-polled"],
    about: "a first start with 2,000 customers: until the first event, and until every stream has been polled",
    measure: startWithManyCustomers,
  },
  {
    rows: ["lag"],
    about:
      "197 healthy customers while one bursts, one answers 500 and one is throttled: the healthy ones' 99th percentile",
    measure: lagOfTheHealthy,
  },
  {
    rows: ["growth-time", "growth-memory", "growth-state"],
    about:
      "four times the alerts, and four times the customers: time and state written grow with them, memory does not grow with history",
    measure: growth,
  },
  {
    rows: ["hunting"],
    about: "one round of 200 customers x 5 saved queries of 60 rows, from the start of the binary to the last row",
    measure: huntingRound,
  },
  {
    rows: ["onboard-200"],
    about:
      "from nothing to 200 collecting customers: customers import (shown, then --apply), credential set, consent-url --any-customer, arcsight run",
    measure: onboardFromAList,
  },
  {
    rows: ["pages", "pages-keystroke", "pages-bundle"],
    about:
      "2,000 customers in Splunk Web in Debian's Chromium: first row from an empty cache, a key in the field Find, size of the bundle",
    measure: manyCustomersInBrowser,
  },
  {
    rows: ["arcsight-tls"],
    about:
      "25 customers x 8,000 Graph alerts, pacing on, built binary as `arcsight run`, CEF on a TLS socket to a real rsyslog",
    measure: alertsToRsyslog,
  },
  {
    rows: ["hec"],
    about:
      "25 customers x 8,000 Graph alerts, pacing on, built binary as `run`, to one HEC with acknowledgement over TLS, until all is indexed and confirmed",
    measure: alertsToHec,
  },
  {
    rows: ["kafka"],
    about:
      "25 customers x 8,000 Graph alerts, pacing on, built binary as `run`, JSON in zstd transactions to one real broker of Kafka",
    measure: alertsToKafka,
  },
  {
    rows: ["fleet-commit"],
    about:
      "25 customers x 8,000 Graph alerts, three built binaries as members of a fleet, files as outputs, from their start until a real PostgreSQL has committed all",
    measure: commitsOfFleet,
  },
  {
    rows: ["fleet-takeover"],
    about:
      "three members with 2,000 customers each, polled each minute; one is killed: the longest time between two polls of a customer",
    measure: takeoverOfFleet,
  },
  {
    rows: ["fleet-idle"],
    about: "10,000 customers polled each minute by three members with nothing new: processor time of PostgreSQL",
    measure: idleFleet,
  },
  {
    rows: ["fleet-storm"],
    about:
      "three members under kills, pauses, cut networks, crashes of PostgreSQL and restarts of HEC, `--runs` rounds of each, files and HEC as output",
    measure: stormOfFleet,
  },
  {
    rows: ["arcsight-memory"],
    about: "`arcsight run` over four times the alerts of as many customers: peak memory does not grow with history",
    measure: historyOfArcSight,
  },
  {
    rows: ["arcsight-page"],
    about:
      "`arcsight run` over 10,000 Defender for Endpoint alerts in one answer, and incidents of 2,000 alerts each: peak memory",
    measure: pagesOfArcSight,
  },
  {
    rows: ["serve-poll"],
    about: "a poll of 1,000 rows in the retired API's form from `arcsight serve` with 20 customers",
    measure: pollOfServe,
  },
  {
    rows: ["cursor-rules"],
    about:
      "the engine over three synthetic days, also with 5 % of requests failing: alerts lost, left stale or repeated",
    measure: cursorRules,
  },
  {
    rows: ["crash"],
    about:
      "the binary killed at every request received, answer half sent, 64 KiB read of its stdout and rename in its state, then started again",
    measure: everyCrash,
  },
  {
    rows: ["chaos"],
    about:
      "every kind of fault at 5 % of requests, a kill every 0.1 to 3 s, tokens of 60 s, stepping clocks; then peace, and the oracle",
    measure: chaosForMinutes,
  },
];

/** Customers polled each minute with nothing new: peak memory, and each minute's processor time. */
async function idle(
  bench: Bench,
  { customers, mostMb, mostShare }: { readonly customers: number; readonly mostMb: number; readonly mostShare: number },
): Promise<{ outcome: Outcome; throttled: number }> {
  return withMicrosoft(join(SCENARIOS, `load-${customers}-idle.yaml`), async (microsoft, home) => {
    const collector = new Collector(bench.binary, home, runDocument(home, microsoft, { poll_seconds: 60 }));
    try {
      await collector.untilEvents(customers * 4, WITHIN_MS);
      // The first minute after the catch-up still spreads the customers over the minute.
      await pause(60_000);
      const shares: number[] = [];
      for (let run = 0; run < bench.runs; run += 1) {
        const [cpuMs, atMs] = [collector.cpuMs(), performance.now()];
        await pause(60_000);
        shares.push(((collector.cpuMs() - cpuMs) / (performance.now() - atMs)) * 100);
      }
      const memory = collector.memory();
      const share = median(shares);
      const outcome = {
        name: `idle-${customers}`,
        value: round(memory.peakMb),
        unit: "MB",
        target: `<= ${mostMb}, <= ${mostShare} % of one core (${round(share)} %)`,
        holds: memory.peakMb <= mostMb && share <= mostShare,
        runs: shares.map(round),
        memory,
      };
      return { outcome, throttled: await throttledAnswers(microsoft) };
    } finally {
      await collector.stop();
    }
  });
}

function largePage(
  name: string,
  customer: string,
  settings: StanzaSettings,
  wanted: number,
  about: string,
): Measurement {
  return {
    rows: [name],
    about: `${about}: peak memory of the built binary`,
    async measure(bench) {
      const rest = await memoryAtRest(bench);
      return withMicrosoft(join(SCENARIOS, "load-large-pages.yaml"), async (microsoft) => {
        const chosen = microsoft.customers.filter(({ tenant_name }) => tenant_name === customer);
        const seen: Memory[] = [];
        for (let run = 0; run < bench.runs; run += 1)
          seen.push((await catchUp(bench, microsoft, settings, wanted, chosen)).memory);
        const peaks = seen.map(({ peakMb }) => peakMb);
        const peak = median(peaks);
        const memory = seen.at(-1);
        return [
          {
            name,
            value: round(peak),
            unit: "MB",
            target: `<= rest + 90, <= 200 (rest ${round(rest.peakMb)} MB)`,
            holds: peak <= rest.peakMb + 90 && peak <= 200,
            runs: peaks.map(round),
            ...(memory === undefined ? {} : { memory }),
          },
        ];
      });
    },
  };
}
