/** What an administrator does who is in a hurry, and names that nobody has tried. */
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { SplunkWeb } from "../../../test/harness/splunkweb/splunkweb.ts";
import { answerSearches } from "./searches.ts";
import {
  accessibilityFaults,
  cutOff,
  cutShort,
  disabledInput,
  inputsMade,
  startWorld,
  TENANT,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const INPUTS = "/data/inputs/defender_mssp";
const SIGNS = "A&B 100% 'q' #1 ?x=y+z";
const LONG = "W".repeat(200);
const RIGHT_TO_LEFT = "שירותי אבטחה (ישראל) בע״מ";
const NAMES = [SIGNS, LONG, RIGHT_TO_LEFT];
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("in Splunk Web an administrator in a hurry", () => {
  let world: World;

  beforeAll(async () => {
    const running = `[defender_mssp://running]\ntenant_id = ${TENANT}\ncredential = nowhere\ntenant_name = running\n\n`;
    const model = disabledInput("model").replace("client_id", "credential = mssp\nclient_id");
    world = await startWorld({ tenants: ["contoso"], inputs: running + model + NAMES.map(disabledInput).join("") });
    answerSearches(world);
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
    world.web.calls.length = 0;
  });

  afterEach(() => world?.endTest());

  afterAll(() => world?.close());

  const created = () => world.web.calls.filter(({ method, path }) => method === "POST" && path.endsWith(INPUTS));
  const stanza = (name: string): string => {
    const conf = readFileSync(`${world.splunkd.installed.folder}/local/inputs.conf`, "utf8");
    return conf.split(/^(?=\[)/m).find((one) => one.startsWith(`[defender_mssp://${name}]`)) ?? "";
  };
  const nameField = (page: Page) => page.getByRole("textbox", { name: "Name", exact: true });
  const heading = (page: Page, step: number) => page.getByRole("heading", { name: `Step ${step} of 4` });

  async function begun(name: string, hash = "#/add"): Promise<Page> {
    const page = await world.open({ hash });
    await heading(page, 1).waitFor();
    await nameField(page).fill(name);
    await page.getByLabel("Tenant ID").fill(TENANT);
    return page;
  }

  test("who presses Next twice sees the second step and has saved nothing", async () => {
    const page = await begun("twice", "#/add/model");
    await page.getByText("are copied.").waitFor();
    await page.getByRole("button", { name: "Next" }).dblclick();
    await heading(page, 2).waitFor();
    expect(await page.getByText(/is missing/).count()).toBe(0);
    expect(created()).toEqual([]);
    await page.getByRole("button", { name: "Save and go on" }).dblclick();
    await heading(page, 3).waitFor();
    expect(created()).toHaveLength(1);
  });

  test("the browser's Back goes one step back, and what was typed is still there", async () => {
    const page = await world.open({ hash: "#/customers" });
    await page.getByText("Add a customer").click();
    await nameField(page).fill("back");
    await page.getByLabel("Tenant ID").fill(TENANT);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(TENANT);
    await page.goBack();
    await heading(page, 1).waitFor();
    expect(await nameField(page).inputValue()).toBe("back");
    await page.goForward();
    await heading(page, 2).waitFor();
    expect(await page.getByLabel("Client ID").inputValue()).toBe(TENANT);
    await page.getByRole("button", { name: "Back" }).click();
    await heading(page, 1).waitFor();
    await page.goBack();
    await page.getByTestId("customer").first().waitFor();
    await page.goForward();
    await heading(page, 1).waitFor();
    expect(created()).toEqual([]);
  });

  test.each([
    ["#/customer/model", "Tenant ID"],
    ["#/settings", "Customers in parallel"],
    ["#/add/model", "are copied."],
    ["#/log", "started"],
    ["#/credentials", "No shared credential is stored."],
    ["#/health", "customers ·"],
  ])("a connection that is lost while %s is loaded is said, and the page resumes by itself", async (hash, shown) => {
    const page = await world.open({ hash: "#/nothing", laterMs: 3 });
    await page.getByTestId("customer").first().waitFor();
    const isCall = (url: URL): boolean => url.pathname.includes("/splunkd/__raw/");
    await page.route(isCall, (route) => route.abort());
    await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
    await page
      .getByText(/Splunk Web does not answer\./)
      .first()
      .waitFor();
    const typed = nameField(page);
    const isForm = (await typed.count()) > 0;
    if (isForm) await typed.fill("typed meanwhile");
    await page.unroute(isCall);
    // The longest pause of any page is a minute.
    await page.clock.fastForward(60_000);
    const target = page.getByLabel(shown).or(page.getByText(shown));
    await target.first().waitFor();
    await page
      .getByText(/Splunk Web does not answer\./)
      .first()
      .waitFor({ state: "hidden" });
    expect(isForm ? await typed.inputValue() : "typed meanwhile").toBe("typed meanwhile");
  });

  test("a second press of Delete in its dialog deletes one customer", async () => {
    world.web.calls.length = 0;
    const page = await world.open();
    await page.getByLabel("Find").fill("twice");
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    await page.getByRole("button", { name: "Delete twice" }).dblclick();
    await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).dblclick();
    await page.getByText(/^0 of \d+ customers$/).waitFor();
    expect(world.web.calls.filter(({ method, path }) => method === "DELETE" && path.includes(INPUTS))).toHaveLength(1);
  });

  test.each(NAMES)("a customer called %j is found, opened, edited, cloned and enabled", async (name) => {
    const page = await world.open();
    await page.getByLabel("Find").fill(name);
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    await page.getByLabel("Start").fill("30d");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("Saved.").waitFor();
    expect(stanza(name)).toMatch(/^start = 30d$/m);
    await page.getByRole("link", { name: "Log lines of this customer" }).click();
    await page.getByRole("heading", { level: 1, name: "Log" }).waitFor();
    expect(await page.getByLabel("Customer or word").inputValue()).toBe(name);
    await page.getByRole("link", { name: "Customers", exact: true }).click();
    await page.getByLabel("Find").fill(name);
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    await page.getByRole("switch").click();
    await page
      .getByText(/^(new|no report yet)$/)
      .first()
      .waitFor();
    await page.getByRole("switch").click();
    await page.getByText("off", { exact: true }).waitFor();
    await page.getByRole("link", { name: `Clone ${name}` }).click();
    await page.getByText("are copied.").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  test("at 320 pixels, as with a zoom of 400 %, no name is cut off on any page or in any dialog", async () => {
    const pages = NAMES.map(encodeURIComponent).flatMap((name) => [
      `#/customer/${name}`,
      `#/add/${name}`,
      `#/log/${name}`,
    ]);
    for (const hash of [...pages, "#/health", "#/import", "#/settings"]) {
      const page = await world.open({ hash, width: 320 });
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle");
      expect([hash, await cutOff(page), await cutShort(page)]).toEqual([hash, [], []]);
      await page.close();
    }
    for (const name of NAMES) {
      const page = await world.open({ width: 320 });
      await page.getByLabel("Find").fill(name);
      await page.getByText(/^1 of \d+ customers$/).waitFor();
      await page.getByRole("button", { name: `Delete ${name}` }).click();
      await page.getByRole("dialog").waitFor();
      expect([name, await cutOff(page), await cutShort(page)]).toEqual([name, [], []]);
      expect(await accessibilityFaults(page)).toEqual([]);
      await page.close();
    }
  });

  test("each step of the form can be used at 320 pixels and in the dark", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, theme: "dark" });
    try {
      const page = await world.open({ web, hash: "#/add", width: 320 });
      const fits = async (step: number) => {
        await heading(page, step).waitFor();
        expect([step, await cutOff(page), await cutShort(page), await accessibilityFaults(page)]).toEqual([
          step,
          [],
          [],
          [],
        ]);
      };
      await fits(1);
      await nameField(page).fill(`narrow ${"n".repeat(100)}`);
      await page.getByLabel("Tenant ID").fill(TENANT);
      await page.getByRole("button", { name: "Next" }).click();
      await fits(2);
      await page.getByLabel("Client ID").fill(TENANT);
      await page.getByLabel("Client secret", { exact: true }).fill("v~narrow");
      await page.getByRole("button", { name: "Save and go on" }).click();
      await heading(page, 3).waitFor();
      await page.getByLabel("Mail to the customer").waitFor();
      await fits(3);
      await page.getByRole("button", { name: "Skip: test now" }).click();
      await heading(page, 4).waitFor();
      await page.getByText("Who must act").first().waitFor();
      await fits(4);
    } finally {
      await web.close();
    }
  });

  test("by keyboard alone a customer is found, tested, disabled and deleted", async () => {
    const page = await world.open();
    await page.getByLabel("Find").fill("running");
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    const press = async (role: "switch" | "button", name: string, key: string) => {
      const target = page.getByRole(role, { name, exact: true });
      for (let presses = 0; presses < 60; presses += 1) {
        if (await target.evaluate((element) => element === element.ownerDocument.activeElement)) break;
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press(key);
    };
    await press("switch", "Collect running", "Space");
    await page.getByText("off", { exact: true }).waitFor();
    await press("button", "Delete running", "Enter");
    await page.getByRole("dialog").waitFor();
    await press("button", "Delete", "Enter");
    await page.getByText(/^0 of \d+ customers$/).waitFor();
    expect(inputsMade(world.splunkd)).not.toContain("running");
    // The row is gone with its button: the focus must not begin at the top of Splunk's bar again.
    expect(await page.evaluate("document.activeElement?.tagName")).not.toBe("BODY");
  });
});
