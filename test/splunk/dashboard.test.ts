/**
 * The searches and the dashboard that are shipped, run over the health events that the built binary wrote.
 * What it does not prove: how Splunk itself runs them.
 */

import { readFileSync } from "node:fs";
import path from "node:path";
import { beforeAll, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { XMLValidator } from "fast-xml-parser";
import { compareRoster } from "../../src/collect/roster-watch.ts";
import { writeSplunkHealth } from "../../src/format/splunk/splunk-event.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import type { TenantId } from "../../src/model/tenant.ts";
import { customerStatus, streamStatus } from "../harness/monitoring/status.ts";
import type { Value } from "./eval-language.ts";
import { setNow } from "./eval-language.ts";
import { type CollectedHealth, collectHealth, healthOfOldVersion } from "./health-events.ts";
import { allSamples, CUSTOMERS, indexed } from "./samples.ts";
import type { IndexedEvent } from "./search-time.ts";
import { type DataSource, definitionIn, shippedConf, shippedWorld as world } from "./shipped.ts";
import type { Row, SearchWorld } from "./spl.ts";
import { runAfter, runSearch } from "./spl.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(240_000);

const SAVED = shippedConf("savedsearches.conf");
const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

let health: CollectedHealth;
/** A moment after the last health event. */
let nowS = 0;

beforeAll(async () => {
  health = await collectHealth();
  nowS = Math.max(...health.events.map(({ time }) => time)) + 5;
});

beforeEach(() => setNow(nowS));

const memberOf = (event: IndexedEvent, name: string): unknown =>
  (JSON.parse(event.raw) as Readonly<Record<string, unknown>>)[name];
const ofInput = (input: string) => health.events.filter((event) => memberOf(event, "input") === input);
const newestOf = (input: string) => ofInput(input).at(-1) as IndexedEvent;
/** The same event, some time earlier. */
const ago = (event: IndexedEvent, seconds: number): IndexedEvent => ({ ...event, time: event.time - seconds });

const byText = (a: string, b: string) => (a < b ? -1 : 1);
const plain = (rows: readonly Row[]) => rows.map((row) => Object.fromEntries(row));
const byInput = (rows: readonly Row[], field: string) =>
  Object.fromEntries(rows.map((row) => [String(row.get("input")), row.get(field)]));

/** A saved search as it is shipped, with its time range. */
function runSaved(name: string, one: SearchWorld): readonly Row[] {
  const stanza = SAVED.get(`Defender MSSP - ${name}`);
  const earliest = stanza?.get("dispatch.earliest_time") ?? "";
  return runSearch(stanza?.get("search") ?? "", { ...one, earliest });
}

const lookupOf = (one: SearchWorld) => one.lookups.get("defender_mssp_customers") ?? [];

describe("the lookup of customers", () => {
  test("holds one row per input, also where two inputs have one tenant and one name, with the worst of its streams", () => {
    const one = world(health.events);
    runSaved("Customers lookup", one);
    expect(byInput(lookupOf(one), "state")).toEqual({
      contoso: "ok",
      "contoso-2": "failing",
      fabrikam: "failing",
      tailspin: "throttled",
      northwind: "awaiting-consent",
      adatum: "signed-out",
      wrong: "misconfigured",
      litware: "off",
    });
    const rows = plain(lookupOf(one));
    const { contoso, tailspin } = health.tenantIds;
    expect(rows.find(({ input }) => input === "contoso-2")).toMatchObject({
      tenant: "Contoso",
      tenant_id: contoso,
      streams: "incidents",
      failure: "network-unreachable",
    });
    expect(rows.find(({ input }) => input === "tailspin")).toMatchObject({
      tenant_id: tailspin,
      streams: "alerts,incidents",
      failure: "throttled",
      actor: "microsoft",
      last_seen: newestOf("tailspin").time,
    });
    expect(Object.keys(rows.find(({ input }) => input === "contoso") ?? {})).not.toContain("say");
    expect(rows.find(({ input }) => input === "wrong")).toMatchObject({ tenant_id: "unknown:wrong" });
    expect(rows.find(({ input }) => input === "litware")).toMatchObject({ tenant: "Litware Inc" });
  });

  test("keeps a customer that sends nothing any more for 7 days, and its fields are all declared", () => {
    const one = world(health.events);
    runSaved("Customers lookup", one);
    for (const days of [1.5, 3, 6.9]) {
      setNow(nowS + days * DAY_S);
      runSaved("Customers lookup", one);
      expect(lookupOf(one)).toHaveLength(8);
    }
    const declared = shippedConf("transforms.conf").get("defender_mssp_customers")?.get("fields_list")?.split(", ");
    const stored = shippedConf("collections.conf").get("defender_mssp_customers");
    for (const row of lookupOf(one))
      for (const field of row.keys()) {
        expect(declared).toContain(field);
        expect(stored?.has(`field.${field}`)).toBe(true);
      }
    setNow(nowS + 7.1 * DAY_S);
    runSaved("Customers lookup", one);
    expect(lookupOf(one)).toEqual([]);
  });

  test("has one row for a customer whose events come from both versions, and drops the row that 0.1.0 stored", () => {
    const old = healthOfOldVersion();
    const newestS = Math.max(...old.map(({ time }) => time));
    const before = old.map((event) => ago(event, newestS - nowS + 5 * HOUR_S));
    const one = world([...before, ...health.events]);
    const rowOf010 = (event: IndexedEvent): Row =>
      new Map<string, Value>([
        ["tenant", String(memberOf(event, "tenant"))],
        ["tenant_id", String(memberOf(event, "tenant_id"))],
        ["state", "ok"],
        ["last_seen", event.time],
      ]);
    one.lookups.set("defender_mssp_customers", before.slice(-6).map(rowOf010));
    const upgraded = { ...one, events: one.events.filter((row) => Number(row.get("_time")) < nowS - HOUR_S) };
    setNow(nowS - 4 * HOUR_S);
    runSaved("Customers lookup", upgraded);
    expect(lookupOf(one).map((row) => row.get("input"))).toEqual(["-", "-", "-"]);
    setNow(nowS);
    runSaved("Customers lookup", one);
    expect(lookupOf(one).filter((row) => row.get("input") === "-")).toEqual([]);
    expect(lookupOf(one)).toHaveLength(8);
    expect(runSearch("`defender_mssp_customer_streams`", one).filter((row) => row.get("input") === "-")).toEqual([]);
  });
});

describe("of one input there is one row", () => {
  const rowsOf = (...events: readonly IndexedEvent[]) =>
    plain(runSearch("`defender_mssp_customer_streams` | dedup customer_id", world(events)));

  test("when its tenant becomes known", () => {
    const unknown = newestOf("wrong");
    const contoso = newestOf("contoso");
    const known = { ...contoso, raw: contoso.raw.replace('"input":"contoso"', '"input":"wrong"') };
    expect(rowsOf(ago(unknown, 600), known)).toMatchObject([
      { input: "wrong", state: "ok", tenant_id: health.tenantIds.contoso },
    ]);
    expect(rowsOf(unknown, ago(known, 600))).toMatchObject([
      { input: "wrong", state: "misconfigured", tenant_id: "unknown:wrong" },
    ]);
  });

  test("when it moves to another host, and two when two hosts have an input of that name for two tenants", () => {
    const fabrikam = newestOf("fabrikam");
    const other = newestOf("contoso");
    const renamed = { ...other, raw: other.raw.replace('"input":"contoso"', '"input":"fabrikam"') };
    expect(rowsOf({ ...ago(fabrikam, DAY_S), host: "old" }, { ...fabrikam, host: "new" })).toMatchObject([
      { input: "fabrikam", host: "new", state: "failing" },
    ]);
    expect(rowsOf({ ...fabrikam, host: "one" }, { ...renamed, host: "two" })).toHaveLength(2);
  });

  test("and none 7 days after it was deleted, while its host reports others; without them it stays silent", () => {
    const deleted = ago(newestOf("fabrikam"), 8 * DAY_S);
    expect(rowsOf(deleted, newestOf("contoso")).map((row) => row["input"])).toEqual(["contoso"]);
    expect(rowsOf(deleted)).toMatchObject([{ input: "fabrikam", state: "silent" }]);
    const sixDays = ago(newestOf("fabrikam"), 6 * DAY_S);
    expect(rowsOf(sixDays, newestOf("contoso"))).toHaveLength(2);
  });
});

describe("saved alerts", () => {
  const inputsOf = (rows: readonly Row[]) => rows.map((row) => String(row.get("input")));

  test("name a silent customer, and not one whose input is disabled", () => {
    const one = world(health.events);
    runSaved("Customers lookup", one);
    expect(runSaved("Customer silent", one)).toEqual([]);
    setNow(nowS + 3 * HOUR_S);
    runSaved("Customers lookup", one);
    const silent = runSaved("Customer silent", one);
    expect(inputsOf(silent).toSorted(byText)).toEqual([
      "adatum",
      "contoso",
      "contoso-2",
      "fabrikam",
      "northwind",
      "tailspin",
      "wrong",
    ]);
    expect(plain(silent).find(({ input }) => input === "contoso")).toMatchObject({
      tenant: "Contoso",
      silent_minutes: "180",
      state: "silent",
      say: expect.stringMatching(/^No health event has come since \d{4}-/),
    });
  });

  test("name a customer that fails for 15 minutes, that nothing was collected of, or that is throttled for an hour", () => {
    const one = world(health.events);
    expect(inputsOf(runSaved("Customer failing", one))).toEqual(["contoso-2"]);
    setNow(nowS + 16 * MINUTE_S);
    const failing = plain(runSaved("Customer failing", one));
    expect(failing.map(({ input }) => String(input)).toSorted(byText)).toEqual(["contoso-2", "fabrikam"]);
    expect(failing.find(({ input }) => input === "fabrikam")).toMatchObject({
      failure: "service-error",
      actor: "microsoft",
      say: expect.stringContaining("(500)"),
      next_step: expect.stringMatching(/\S/),
      tenant_id: health.tenantIds.fabrikam,
    });
    setNow(nowS + 62 * MINUTE_S);
    expect(inputsOf(runSaved("Customer failing", one))).toContain("tailspin");
    setNow(nowS + 3 * HOUR_S);
    expect(runSaved("Customer failing", one)).toEqual([]);
  });

  test("name a customer that nobody can sign in for", () => {
    expect(plain(runSaved("Customer signed out", world(health.events)))).toMatchObject([
      { input: "adatum", failure: "secret-wrong", actor: "operator", tenant_id: health.tenantIds.adatum },
    ]);
  });

  test("name a customer that has waited for consent, or had wrong settings, for more than a day", () => {
    const hourly = (input: string, hours: number) =>
      Array.from({ length: hours }, (_, n) => ago(newestOf(input), n * HOUR_S));
    const one = world([
      ...hourly("northwind", 26),
      ago(newestOf("fabrikam"), 30 * HOUR_S),
      ...hourly("wrong", 23),
      ...hourly("contoso", 40),
    ]);
    expect(plain(runSaved("Customer waits", one))).toMatchObject([
      { input: "northwind", state: "awaiting-consent", waits_hours: 25, actor: "customer", failure: "consent-missing" },
    ]);
    const granted = { ...newestOf("contoso"), raw: newestOf("contoso").raw.replace('"contoso"', '"northwind"') };
    const wasGranted = {
      ...granted,
      raw: granted.raw.replaceAll(health.tenantIds.contoso, health.tenantIds.northwind),
    };
    expect(plain(runSaved("Customer waits", world([...hourly("northwind", 26), ago(wasGranted, 9_000)])))).toEqual([]);
    setNow(nowS + 3 * HOUR_S);
    expect(plain(runSaved("Customer waits", one))).toEqual([]);
  });

  test("name a credential that ends within 30 days, by the end date that was typed with the secret", () => {
    expect(plain(runSaved("Credential expiring", world(health.events)))).toEqual([
      { tenant: "Contoso", tenant_id: health.tenantIds.contoso, input: "contoso", days_left: 12 },
    ]);
  });

  test("count rows that only the sweep found", () => {
    const event = newestOf("contoso");
    const swept = { ...event, raw: event.raw.replace('"swept":0', '"swept":3') };
    expect(plain(runSaved("Sweep found rows", world([swept, ago(swept, HOUR_S), newestOf("fabrikam")])))).toEqual([
      { tenant: "Contoso", tenant_id: health.tenantIds.contoso, input: "contoso", stream: "alerts", swept: 6 },
    ]);
  });

  test("are on where SA_defender_mssp is installed, and nothing runs on forwarders", () => {
    const scheduled = [...SAVED].filter(([, stanza]) => stanza.has("cron_schedule"));
    const isOn = (stanza: ReadonlyMap<string, string>) =>
      stanza.get("enableSched") === "1" && stanza.get("disabled") === "0";
    expect(Object.fromEntries(scheduled.map(([name, stanza]) => [name.split(" - ")[1], isOn(stanza)]))).toEqual({
      "Customers lookup": true,
      "Customer silent": true,
      "Customer failing": true,
      "Customer signed out": true,
      "Customer waits": true,
      "Credential expiring": false,
      "Sweep found rows": false,
      "Seen at several customers": false,
    });
    const onForwarders = shippedConf("savedsearches.conf", "TA_defender_mssp");
    expect([...onForwarders.keys()]).toEqual([...SAVED.keys()]);
    for (const stanza of onForwarders.values()) {
      expect(stanza.get("enableSched")).toBe("0");
      expect(stanza.get("disabled")).toBe(stanza.has("cron_schedule") ? "1" : "0");
    }
  });
});

describe("the dashboard Customers", () => {
  const file = "../../splunk-app/SA_defender_mssp/default/data/ui/views/customers.xml";
  const xml = readFileSync(path.resolve(import.meta.dirname, file), "utf8");
  const dashboard = definitionIn(xml);
  const { base } = dashboard.dataSources as Readonly<Record<string, DataSource>> & { readonly base: DataSource };
  const earliest = base.options.queryParameters?.earliest ?? "";
  const panels = new Map(
    Object.values(dashboard.visualizations).map(({ title, dataSources }) => [
      title,
      dashboard.dataSources[dataSources.primary]!.options,
    ]),
  );
  const queryOf = (title: string) => panels.get(title)?.query ?? "";
  /** What comes after the base search: without the first pipe. */
  const commandsOf = (query: string) => query.replace(/^\| /, "");

  /** What a panel shows. A panel's search gets only what the base search hands on. */
  const shown = (title: string, events = health.events) => {
    const one = { ...world(events), earliest };
    return plain(runAfter(runSearch(base.options.query, one), commandsOf(queryOf(title)), one));
  };
  const worst = (events = health.events) => shown("Customers, worst first (click one for its alerts)", events);

  test("looks back 30 days, so that a customer that is silent for weeks is still seen", () => {
    expect(earliest).toBe("-30d");
    setNow(nowS + 29 * DAY_S);
    expect(shown("Silent for two hours")).toEqual([{ silent: 7 }]);
    setNow(nowS + 31 * DAY_S);
    expect(shown("Silent for two hours")).toEqual([{ silent: 0 }]);
  });

  test("has tables whose columns break no word of a heading, a state or a tenant ID", () => {
    const tables = Object.values(dashboard.visualizations).filter(({ type }) => type === "splunk.table");
    expect(tables.length).toBeGreaterThan(5);
    const isShown = (field: string) => !field.startsWith("_");
    const words: Readonly<Record<string, string>> = { state: "misconfigured", tenant_id: "0".repeat(36) };
    for (const { title, dataSources, options } of tables) {
      const query = dashboard.dataSources[dataSources.primary]!.options.query;
      const several = ["kind", "seen", "customers", "alerts", "names", "signatures", "first_seen", "last_seen"];
      const fields = query.startsWith("`defender_mssp_several")
        ? several
        : /\| table (.*)$/.exec(query)?.[1]?.split(", ");
      const widths = options["columnFormat"] as Readonly<Record<string, { readonly width: number }>>;
      expect([title, fields?.length]).toEqual([title, expect.any(Number)]);
      for (const field of (fields ?? []).filter(isShown)) {
        const least = Math.max(field.length * 8 + 40, (words[field]?.length ?? 0) * 7.5 + 16);
        const width = widths[field]?.width ?? 90;
        expect([title, field, width >= least]).toEqual([title, field, true]);
      }
    }
  });

  test("has tables that are not wider than their panels, so that the next step is in sight", () => {
    const roomFor = new Map(dashboard.layout.structure.map(({ item, position }) => [item, position.w - 24]));
    const sums = Object.entries(dashboard.visualizations)
      .filter(([, { type }]) => type === "splunk.table")
      .map(([name, { title, options }]) => {
        const widths = Object.values(
          (options["columnFormat"] ?? {}) as Readonly<Record<string, { readonly width: number }>>,
        );
        return [title, widths.reduce((sum, { width }) => sum + width, 0) <= (roomFor.get(name) ?? 0)];
      });
    expect(sums.length).toBeGreaterThan(5);
    expect(sums.filter(([, fits]) => fits !== true)).toEqual([]);
  });

  test("has panels that read no field which the base search does not hand on", () => {
    const after = [...panels].filter(([, search]) => search.extend === "base");
    expect(after.length).toBeGreaterThan(8);
    for (const hours of [0, 3]) {
      setNow(nowS + hours * HOUR_S);
      const one = { ...world(health.events), earliest };
      const all = runSearch("`defender_mssp_customer_streams`", one);
      for (const [title, search] of after)
        expect([title, plain(runAfter(all, commandsOf(search.query), one))]).toEqual([title, shown(title)]);
    }
  });

  test.each([
    ["Customers", { customers: 7 }],
    ["Silent for two hours", { silent: 0 }],
    ["Not collected", { failing: 5 }],
    ["Throttled or catching up", { slow: 1 }],
    ["Off (input disabled)", { off: 1 }],
    ["Credentials ending soon", { ending: 1 }],
  ])("counts in the panel %s", (title, wanted) => expect(shown(title)).toEqual([wanted]));

  test("lists inputs worst first, with the sentence and the next step", () => {
    const rows = worst();
    const inputs = rows.map((row) => String(row["input"]));
    expect([inputs.slice(0, 2).toSorted(byText), inputs.slice(2, 5).toSorted(byText), inputs.slice(5)]).toEqual([
      ["adatum", "wrong"],
      ["contoso-2", "fabrikam", "northwind"],
      ["tailspin", "contoso", "litware"],
    ]);
    expect(rows.map((row) => row["state"]).slice(5)).toEqual(["throttled", "ok", "off"]);
    for (const row of rows.filter(({ state }) => state !== "ok"))
      expect(row).toMatchObject({ say: expect.stringMatching(/\S/), next_step: expect.stringMatching(/\S/) });
    expect(rows.at(-1)).toMatchObject({ say: "The input litware is disabled, so Litware Inc is not collected." });
  });

  test("says of a silent customer since when, and what to look at", () => {
    setNow(nowS + 3 * HOUR_S);
    expect(worst().find((row) => row["input"] === "adatum")).toMatchObject({
      state: "silent",
      who_must_act: "operator",
      say: expect.stringMatching(/^No health event has come since /),
      next_step: expect.stringContaining("enabled"),
    });
    expect(worst().find((row) => row["input"] === "litware")).toMatchObject({ state: "off" });
  });

  test("counts lag until now, and shows none of a stream that is ok, because its events come hourly", () => {
    const before = Number(worst().find((row) => row["input"] === "fabrikam")?.["lag_s"]);
    expect(before).toBeGreaterThan(0);
    setNow(nowS + 50 * MINUTE_S);
    expect(worst().find((row) => row["input"] === "fabrikam")?.["lag_s"]).toBe(before + 50 * MINUTE_S);
    expect(worst().find((row) => row["input"] === "contoso")?.["lag_s"]).toBeUndefined();
    const streams = runSearch("`defender_mssp_customer_streams`", world(health.events));
    for (const row of streams.filter((one) => one.get("input") === "contoso"))
      expect(row.get("lag_s")).toBeGreaterThanOrEqual(50 * MINUTE_S);
  });

  test("counts the days of a credential until now", () => {
    const daysLeft = () =>
      shown("Credentials, soonest end first").find((row) => row["input"] === "contoso")?.["credential_days_left"];
    setNow(nowS + 10 * DAY_S);
    expect(daysLeft()).toBe(2);
    setNow(nowS + 20 * DAY_S);
    expect(daysLeft()).toBe(0);
  });

  test("lists the streams that are not ok, and the credentials", () => {
    expect(
      shown("Every stream that is not ok")
        .map((row) => ["input", "stream", "state"].map((field) => String(row[field])).join(" "))
        .toSorted(byText),
    ).toEqual([
      "adatum alerts signed-out",
      "contoso-2 incidents failing",
      "fabrikam alerts failing",
      "litware * off",
      "northwind alerts awaiting-consent",
      "tailspin alerts throttled",
      "wrong * misconfigured",
    ]);
    expect(shown("Credentials, soonest end first").map((row) => [row["input"], row["credential_days_left"]])).toEqual([
      ["contoso", 12],
    ]);
  });

  test("says where no input runs: of a host that went quiet, and when there is no health event at all", () => {
    const hosts = () => {
      const quiet = { ...ago(newestOf("fabrikam"), 3 * HOUR_S), host: "hf2" };
      return shown("Hosts that collect", [...health.events, quiet]);
    };
    expect(hosts()).toMatchObject([{ host: "h", inputs: 8, say: "Runs." }]);
    const other = { ...ago(newestOf("adatum"), 3 * HOUR_S), host: "hf2" };
    const alone = shown("Hosts that collect", [...ofInput("contoso"), other]);
    expect(alone).toMatchObject([
      { host: "hf2", inputs: 1, say: expect.stringMatching(/^No health event has come since then: no input of this/) },
      { host: "h", inputs: 1, say: "Runs." },
    ]);
    expect(shown("Hosts that collect", [])).toMatchObject([
      { host: "none", say: expect.stringMatching(/^No health event has come in 30 days: no input is enabled/) },
    ]);
  });

  /** The event that a collector writes for this comparison. */
  const compared = (names: readonly string[], collecting: readonly string[], host: string): IndexedEvent => {
    const idOf = (name: string) => `${name.length}${name.length}000000-2222-4333-8444-555555555555` as TenantId;
    const walk_completed_at = new Date(nowS * 1000).toISOString();
    const roster = compareRoster({
      underContract: names.map((name) => ({ tenantId: idOf(name), name, isExcluded: false })),
      customers: collecting.map((name) =>
        customerStatus(name, { tenantId: idOf(name), streams: [streamStatus({ walk_completed_at })] }),
      ),
      nowMs: nowS * 1000,
      collectingForMs: DAY_S * 1000,
    });
    const out = new ByteWriter();
    const nobody = { tenant: "", tenant_id: "", input: "", streams: [], credential: null, credential_days_left: null };
    writeSplunkHealth(out, "contoso", { ...nobody, time: walk_completed_at, version: "1", roster });
    return { ...indexed(out.toString().trimEnd()), host };
  };

  test("shows the newest comparison with the list of each host, and every customer that differs", () => {
    const events = [
      ago(compared(["one", "three", "seventeen"], [], "hf1"), HOUR_S),
      compared(["one", "three"], ["one", "unlisted"], "hf1"),
      compared(["four"], ["four"], "hf2"),
    ];
    const panel = (title: string) => plain(runSearch(queryOf(title), world(events)));
    const rows = panel("List against reality");
    expect(rows.find(({ host }) => host === "hf1")).toMatchObject({
      under_contract: 2,
      configured: 2,
      collected: 2,
      silent: 0,
      say: "1 customer under contract is not configured (three). 1 configured customer is not under contract (unlisted).",
      next_step: expect.stringContaining("customers list --against"),
    });
    expect(rows.find(({ host }) => host === "hf2")).toMatchObject({ say: "The customers are as the list says." });
    expect(panel("Customers that differ from the list").map((row) => [row["tenant"], row["difference"]])).toEqual([
      ["three", "not-configured"],
      ["unlisted", "not-under-contract"],
    ]);
  });

  test("takes no comparison with the list for a customer", () => {
    const before = worst();
    expect(worst([...health.events, compared(["one"], [], "h")])).toEqual(before);
  });

  test("shows the chosen customer's alerts by severity, technique and newest version", () => {
    const one = world(allSamples().map((sample) => sample.event));
    const own = (title: string) =>
      plain(runSearch(queryOf(title).replaceAll("$tenant_id|s$", `"${CUSTOMERS.contoso}"`), one));
    expect(own("$tenant$: alerts by severity").length).toBeGreaterThan(1);
    expect(own("$tenant$: alerts by ATT&CK technique").map((row) => row["mitre_technique_id"])).toContain("T1564.001");
    const now = own("$tenant$: alerts as they are now");
    expect(now.length).toBeGreaterThan(3);
    for (const row of now)
      expect(row).toMatchObject({
        severity: expect.any(String),
        signature: expect.any(String),
        dest: expect.any(String),
      });
  });

  test("is a dashboard of Dashboard Studio, the same in both apps, whose parts all exist and do not overlap", () => {
    expect(XMLValidator.validate(xml)).toBe(true);
    expect(xml).toMatch(/<dashboard version="2" theme="light">/);
    expect(readFileSync(path.resolve(import.meta.dirname, file.replace("SA_", "TA_")), "utf8")).toBe(xml);
    const { dataSources, visualizations, inputs, layout } = dashboard;
    const used = Object.values(visualizations).map(({ dataSources: { primary } }) => primary);
    expect(["base", ...used].toSorted(byText)).toEqual(Object.keys(dataSources).toSorted(byText));
    expect(Object.values(dataSources).flatMap(({ options }) => options.extend ?? [])).toEqual(
      Object.values(dataSources).flatMap(({ type }) => (type === "ds.chain" ? ["base"] : [])),
    );
    expect(layout.structure.map(({ item }) => item)).toEqual(Object.keys(visualizations));
    expect(layout.globalInputs).toEqual(Object.keys(inputs));
    const places = layout.structure.map(({ position }) => position);
    for (const [at, a] of places.entries()) {
      expect(a.x + a.w).toBeLessThanOrEqual(1200);
      for (const b of places.slice(at + 1))
        expect(a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y).toBe(true);
    }
  });

  test("sets every token that it uses, and a click hands on only fields of the clicked row", () => {
    const { visualizations, inputs, defaults } = dashboard;
    const handlers = Object.values(visualizations).flatMap(({ eventHandlers = [] }) => eventHandlers);
    const clicked = handlers.flatMap(({ options }) => options.tokens ?? []);
    const set = new Set([
      ...clicked.map(({ token }) => token),
      ...Object.values(inputs).map(({ options }) => options.token),
      ...Object.keys(defaults.tokens.default),
      "row",
    ]);
    const tokens = [...JSON.stringify(dashboard).matchAll(/\$(\w+)(?:\.\w+)*(?:\|\w)?\$/g)].map(([, name]) => name);
    expect(tokens.length).toBeGreaterThan(8);
    expect(tokens.filter((name) => !set.has(name ?? ""))).toEqual([]);
    // Without a default the panels of one customer wait for a click.
    expect(Object.keys(defaults.tokens.default)).not.toContain("tenant_id");
    const fields = new Set(worst().flatMap((row) => Object.keys(row)));
    for (const { key } of clicked) expect(fields).toContain(/^row\.(\w+)\.value$/.exec(key)?.[1]);
  });
});

describe("from an incident to its alerts and back", () => {
  const actions = shippedConf("workflow_actions.conf");
  const fill = (name: string, values: Row) =>
    (actions.get(name)?.get("search.search_string") ?? "").replace(
      /\$(\w+)\$/g,
      (_, field: string) => `"${String(values.get(field))}"`,
    );

  test("it takes one click each way, within one customer", () => {
    const one = world(allSamples().map((sample) => sample.event));
    const incidents = runSearch("`defender_mssp_incidents`", one);
    const linked = incidents
      .map((incident) => ({ incident, alerts: runSearch(fill("defender_mssp_alerts_of_incident", incident), one) }))
      .filter((pair) => pair.alerts.length > 0);
    expect(linked.length).toBeGreaterThan(2);
    for (const { incident, alerts } of linked) {
      for (const alert of alerts) {
        expect(alert.get("tenant_id")).toBe(incident.get("tenant_id"));
        const back = runSearch(fill("defender_mssp_incident_of_alert", alert), one).map((row) => row.get("ticket_id"));
        expect(back).toContain(incident.get("ticket_id"));
      }
    }
  });
});

describe("of the searches in the docs", () => {
  const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/splunk/searches.md"), "utf8");
  const rows = [...page.matchAll(/^\| ([^|]+) \| `+ ?(.+?) ?`+(?: \(.*\))? \|$/gm)].map(
    (match) => [match[1] as string, (match[2] as string).replaceAll("\\|", "|")] as const,
  );

  test("every one is read by this test", () => expect(rows.length).toBe(page.match(/^\| (?!You want|---)/gm)?.length));

  test.each(rows)("%s runs and finds events", (name, search) => {
    const one = world([...allSamples().map((sample) => sample.event), ...health.events]);
    runSaved("Customers lookup", one);
    const alert = one.events.find((row) => row.get("incident_id") !== undefined);
    const filled = search
      .replace("<id>", String(alert?.get(search.includes("incident_id") ? "incident_id" : "id")))
      .replace("<GUID>", String(alert?.get("tenant_id")));
    const found = runSearch(filled, one);
    // Nothing was repeated in these samples.
    expect(found.length > 0).toBe(name !== "Repeats after a crash");
  });
});
