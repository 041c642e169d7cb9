import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { SplunkWeb } from "../../../test/harness/splunkweb/splunkweb.ts";
import {
  accessibilityFaults,
  collectedInput,
  cutOff,
  disabledInput,
  picture,
  startWorld,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("the page Settings", () => {
  let world: World;
  const localConf = () => readFileSync(`${world.splunkd.installed.folder}/local/inputs.conf`, "utf8");

  beforeAll(async () => {
    world = await startWorld({
      tenants: ["contoso"],
      inputs: (simulator) => `${collectedInput(simulator, "contoso")}${disabledInput("own")}concurrency = 7\n`,
    });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
  });

  afterEach(() => world?.closePages());

  afterAll(() => world?.close());

  async function shown(where: Parameters<World["open"]>[0] = {}): Promise<Page> {
    const page = await world.open({ hash: "#/settings", ...where });
    await page.getByLabel("Customers in parallel").waitFor();
    await page.getByText("What your roles allow").waitFor();
    return page;
  }
  const save = (page: Page) => page.getByRole("button", { name: "Save" }).click();

  test("process-wide settings are saved once under [defender_mssp], and the real binary runs on with them", async () => {
    const customers = await world.open();
    await customers.getByTestId("customer").getByText("ok", { exact: true }).waitFor();
    await customers.close();
    const page = await shown();
    await page.getByText("0.1.0").first().waitFor();
    const restarts = world.splunkd.restarts;
    await page.getByLabel("Customers in parallel").fill("32");
    await page.getByLabel("Log level").click();
    await page.getByRole("option", { name: "debug" }).click();
    await save(page);
    await page.getByText("Saved. The input restarts").waitFor();

    expect(localConf()).toMatch(/^\[defender_mssp\]\n(.+\n)*concurrency = 32$/m);
    expect(localConf()).toMatch(/^log_level = debug$/m);
    // Only the input that had one of its own.
    await page.getByText('own has Customers in parallel "7"').waitFor();
    expect(localConf().match(/concurrency/g)).toHaveLength(2);
    await world.splunkd.until((splunkd) => splunkd.restarts > restarts, "the input to restart");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.evaluate("scrollTo(0, 0)");
    await picture(page, "settings");
    expect(world.faults).toEqual([]);
  });

  test("what the program refuses is refused before it is saved, in the words of the command line", async () => {
    const page = await shown();
    await page.getByLabel("Customers in parallel").fill("999");
    await page.getByLabel("Proxy", { exact: true }).fill("ftp://proxy");
    const before = world.web.calls.length;
    await save(page);
    await page.getByText("999 is above 256").first().waitFor();
    await page.getByText("Proxy", { exact: false }).first().waitFor();

    expect(world.web.calls.slice(before).filter(({ method }) => method === "POST")).toEqual([]);
    expect(await page.getByLabel("Customers in parallel").inputValue()).toBe("999");
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  test.each([
    [500, "Splunk failed (500)", "64"],
    [403, "You are not allowed", "65"],
  ])("a save that splunkd answers with %d keeps what was typed", async (status, sentence, typed) => {
    const page = await shown();
    await page.getByLabel("Customers in parallel").fill(typed);
    world.web.interferences.push({ method: "POST", path: "/configs/conf-inputs", status, text: "splunkd's own words" });
    await save(page);
    await page.getByText(sentence).first().waitFor();

    expect(await page.getByLabel("Customers in parallel").inputValue()).toBe(typed);
    expect(localConf()).not.toContain(`concurrency = ${typed}`);
    await save(page);
    await page.getByText("Saved.").first().waitFor();
    expect(localConf()).toContain(`concurrency = ${typed}`);
    expect(world.faults).toEqual([]);
  });

  test("a file that the program may not read is saved, and the page shows splunkd's refusal and how to go on", async () => {
    const page = await shown();
    const before = await page.getByLabel("Additional CA file").inputValue();
    await page.getByLabel("Additional CA file").fill("/etc/hostname");
    await save(page);
    await page.getByText("Saved, but the input did not restart with them").waitFor();
    await page.getByText("credential reseal").waitFor();
    expect(await page.getByLabel("Additional CA file").inputValue()).toBe("/etc/hostname");
    await page.getByLabel("Additional CA file").fill(before);
    await save(page);
    await page.getByText("Saved. The input restarts").waitFor();
  });

  test("a slow splunkd and one that fails are said, and the page goes on when it answers", async () => {
    const page = await world.open();
    let answer: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route("**/configs/conf-inputs/**", async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/settings`);
    await page.getByText("Loading the settings").waitFor();
    world.web.interferences.push({ method: "GET", path: "/configs/conf-inputs", status: 500, text: "busy" });
    answer();
    await page.getByText("Splunk failed (500): busy. The page tries again by itself.").waitFor();
    await page.getByLabel("Customers in parallel").waitFor();
    expect(world.faults).toEqual([]);
  });

  test("a reader without rights sees which capabilities are missing, and that the KV store is off", async () => {
    const { context, kvStore } = world.splunkd.rest;
    // With a role that may read the states: splunkd refuses others before it says that the KV store is off.
    world.splunkd.rest.context = { username: "reader", roles: ["admin"], capabilities: ["search"] };
    kvStore.isOff = true;
    try {
      const page = await world.open({ hash: "#/settings" });
      await page.getByText("What your roles allow").waitFor();
      const missing = page.getByTestId("capability").filter({ hasText: "no: ask for the role admin" });
      await page.getByText("off: these pages ask the running input instead.").waitFor();
      // Until the rights are read, each is not known.
      await missing.nth(2).waitFor();
      expect(await missing.count()).toBe(3);
      expect(await accessibilityFaults(page)).toEqual([]);
    } finally {
      world.splunkd.rest.context = context;
      kvStore.isOff = false;
    }
  });

  test("a KV store that a person may not read is not said to be off, and states are read once", async () => {
    const { context } = world.splunkd.rest;
    const statesRead = () => world.web.calls.filter(({ path }) => path.endsWith("/defender_mssp_status"));
    world.web.calls.length = 0;
    const page = await shown();
    await page.getByRole("row", { name: "KV store on", exact: true }).waitFor();
    expect(statesRead()).toHaveLength(1);
    world.splunkd.rest.context = { username: "reader", roles: ["user"], capabilities: ["list_inputs"] };
    try {
      const reader = await shown();
      await reader.getByText("not known. You are not allowed to do this.").waitFor();
      expect(await reader.getByText(/off: these pages|no input has reported/).count()).toBe(0);
    } finally {
      world.splunkd.rest.context = context;
    }
  });

  test("it can be read in the dark, and nothing is cut off at 320 pixels", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, theme: "dark" });
    try {
      expect(await accessibilityFaults(await shown({ web }))).toEqual([]);
      const narrow = await shown({ web, width: 320 });
      expect(await cutOff(narrow)).toEqual([]);
      expect(await accessibilityFaults(narrow)).toEqual([]);
    } finally {
      await web.close();
    }
  });
});
