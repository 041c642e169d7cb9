/**
 * The dashboard Customers, shown by Splunk's own packages with rows of the health events that the real binary
 * wrote. What it does not prove: how Splunk runs the searches (test/splunk/dashboard.test.ts evaluates them).
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Browser, Page } from "playwright-core";
import { buildDashboardViewer, DASHBOARDS_FOLDER } from "../../../scripts/build/pages.ts";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { setNow } from "../../../test/splunk/eval-language.ts";
import { collectHealth } from "../../../test/splunk/health-events.ts";
import { type DashboardDefinition, definitionIn, shippedView, shippedWorld } from "../../../test/splunk/shipped.ts";
import { type Row, runAfter, runSearch } from "../../../test/splunk/spl.ts";
import { accessibilityFaults, launchBrowser, picture, whatIsMissing } from "./world.ts";
import "./busy-machine.ts";

const MARKUP = "<img src=x onerror=document.title='hacked'>";
const OF_ONE_CUSTOMER = 3;
/** Splunk's own words in such a panel. */
const WAITS_FOR_A_CHOICE = "Set token value to render visualization";

function missing(): string | undefined {
  if (!existsSync(path.join(DASHBOARDS_FOLDER, "node_modules")))
    return "the packages of splunk-app/dashboards are not installed (npm run pages -- --dashboards)";
  return whatIsMissing();
}

const inBrowser = describeWith("Chromium, Splunk's packages for dashboards and the executable", missing());

/** The same definition with rows in place of searches, as far as they need no choice of a person. */
function withRows(definition: DashboardDefinition, rowsOf: (source: string) => readonly Row[] | undefined): unknown {
  return {
    ...definition,
    dataSources: Object.fromEntries(
      Object.entries(definition.dataSources).map(([name, source]) => {
        const rows = rowsOf(name);
        if (rows === undefined) return [name, source];
        const fields = [...new Set(rows.flatMap((row) => [...row.keys()]))];
        const columns = fields.map((field) => rows.map((row) => String(row.get(field) ?? "")));
        return [
          name,
          { type: "ds.test", options: { data: { fields: fields.map((field) => ({ name: field })), columns } } },
        ];
      }),
    ),
    // A time picker asks Splunk Web for its presets.
    inputs: {},
    layout: { ...definition.layout, globalInputs: [] },
  };
}

inBrowser("the dashboard Customers, shown by Splunk's own packages", () => {
  const definition = definitionIn(shippedView("customers.xml"));
  let browser: Browser;
  let viewer = "";
  let rowsOf: (source: string) => readonly Row[] | undefined;
  const faults: string[] = [];

  beforeAll(async () => {
    const { events } = await collectHealth();
    setNow(Math.max(...events.map(({ time }) => time)) + 5);
    const { base, ...others } = definition.dataSources;
    const world = { ...shippedWorld(events), earliest: base?.options.queryParameters?.earliest ?? "" };
    const streams = runSearch(base?.options.query ?? "", world)
      .map(onSplunk)
      .map((row) => (row.get("tenant") === "Litware Inc" ? new Map(row).set("tenant", MARKUP) : row));
    rowsOf = (source) => {
      const { query = "", extend } = others[source]?.options ?? {};
      if (source === "base") return streams;
      if (query.includes("$tenant_id|s$")) return undefined;
      if (extend === "base") return runAfter(streams, query.replace(/^\| /, ""), world);
      return runSearch(query, world);
    };
    viewer = await buildDashboardViewer();
    browser = await launchBrowser();
  });

  afterAll(() => browser?.close());

  async function shown(): Promise<Page> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 700 } });
    page.on("request", (request) => {
      if (/^https?:/.test(request.url())) faults.push(`asked for ${request.url()}`);
    });
    page.on("pageerror", (error) => faults.push(`not caught: ${error.message}`));
    await page.setContent('<!doctype html><html lang="en"><head><title>Customers</title></head><body></body></html>');
    await page.evaluate(`window.definition = ${JSON.stringify(withRows(definition, rowsOf))}`);
    await page.addScriptTag({ content: viewer });
    await page.getByText("adatum").first().waitFor();
    // Each panel is drawn by itself.
    await page
      .getByText(WAITS_FOR_A_CHOICE)
      .nth(OF_ONE_CUSTOMER - 1)
      .waitFor();
    const tables = Object.values(definition.visualizations).filter(
      ({ type, dataSources }) => type === "splunk.table" && (rowsOf(dataSources?.primary ?? "")?.length ?? 0) > 0,
    );
    await page
      .locator("table")
      .nth(tables.length - 1)
      .waitFor({ state: "attached" });
    return page;
  }

  /** What commands begin with on a real Splunk. */
  function onSplunk(row: Row): Row {
    return new Map(
      [...row].map(([name, value]) => [
        name,
        typeof value === "string" ? value.replaceAll(/\/\S+\/home\/(bin\/splunk|etc\/)/g, "/opt/splunk/$1") : value,
      ]),
    );
  }

  test("every panel shows its title and its rows, markup as text, and those of one customer wait for a click", async () => {
    const page = await shown();
    for (const { title } of Object.values(definition.visualizations))
      await page.getByText(title.replace("$tenant$", "Chosen customer"), { exact: true }).first().waitFor();
    for (const state of ["signed-out", "misconfigured", "failing", "awaiting-consent", "throttled", "off"])
      await page.getByRole("cell", { name: state, exact: true }).first().waitFor();
    await page.getByText(MARKUP).first().waitFor();
    expect(await page.locator("img[src=x]").count()).toBe(0);
    expect(await page.getByText(WAITS_FOR_A_CHOICE).count()).toBe(OF_ONE_CUSTOMER);
    // Splunk's own sign of a panel that waits has no name.
    const own = (await accessibilityFaults(page)).filter(
      (fault) => !fault.startsWith('button-name: <button data-test="clickable"'),
    );
    expect(own).toEqual([]);
    await picture(page, "dashboard");
    expect(faults).toEqual([]);
  });

  test("no table is wider than its panel, so that nobody has to scroll for the next step", async () => {
    const page = await shown();
    const wide = (await page.evaluate(`[...document.querySelectorAll("table")].flatMap((table) => {
      let room = table.parentElement;
      while (room !== null && room.scrollWidth <= room.clientWidth) room = room.parentElement;
      return room === null ? [] : [table.innerText.slice(0, 60) + ": " + room.scrollWidth + " in " + room.clientWidth];
    })`)) as readonly string[];
    expect(await page.locator("table").count()).toBeGreaterThan(2);
    expect(wide).toEqual([]);
  });

  test("a click on a customer chooses it", async () => {
    const page = await shown();
    await page.getByRole("cell", { name: "fabrikam", exact: true }).first().click();
    await page.getByText("fabrikam: alerts by severity").waitFor();
    expect(await page.getByText("Chosen customer: alerts by severity").count()).toBe(0);
  });

  test("no panel has an option that Splunk does not know", async () => {
    const page = await shown();
    const known = (await page.evaluate(
      "Object.fromEntries(Object.entries(window.optionSchemas).map(([name, schema]) => [name, Object.keys(schema.properties ?? schema)]))",
    )) as Readonly<Record<string, readonly string[]>>;
    const unknown = Object.values(definition.visualizations).flatMap(({ type, title, options }) => {
      const [, schema] =
        Object.entries(known).find(([name]) => name.toLowerCase().startsWith(type.replace("splunk.", ""))) ?? [];
      return Object.keys(options).flatMap((option) => (schema?.includes(option) ? [] : [`${title}: ${option}`]));
    });
    expect(Object.keys(known).length).toBeGreaterThan(4);
    expect(unknown).toEqual([]);
  });
});
