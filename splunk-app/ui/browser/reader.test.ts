import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { ADMIN } from "../../../test/harness/splunkd/access.ts";
import { answerSearches } from "./searches.ts";
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
/** A role to which somebody has granted the view. */
const READER = { username: "reader", roles: ["user"], capabilities: ["list_inputs", "search"] };
const MAY_CHANGE = "admin_all_objects (save, test, enable and delete inputs";
const MAY_ADD = "edit_storage_passwords (add an input";

inBrowser("somebody without the capabilities of an administrator", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({
      tenants: ["contoso"],
      inputs: (simulator) => `${collectedInput(simulator, "contoso")}${disabledInput("sleeping")}`,
    });
    answerSearches(world);
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.calls.length = 0;
  });

  afterEach(async () => {
    world.splunkd.rest.context = ADMIN;
    await world.endTest();
  });

  afterAll(() => world?.close());

  /** What can be pressed, typed into or switched: names, in their order. */
  const controls = async (page: Page): Promise<readonly string[]> =>
    (await page.evaluate(`[...document.querySelectorAll("button:enabled, input:enabled, textarea:enabled, a[href^='#/add'], a[href='#/import']")]
      .filter((one) => one.closest("nav[aria-label=Pages]") === null && one.offsetParent !== null)
      .filter((one) => one.closest("[aria-hidden=true]") === null)
      .map((one) => one.getAttribute("aria-label") || one.labels?.[0]?.textContent || one.textContent || one.name)`)) as readonly string[];

  const refused = () => world.web.calls.filter(({ method, status }) => method !== "GET" && status >= 400);

  async function shown(hash: string, width?: number): Promise<Page> {
    const page = await world.open({ hash, ...(width === undefined ? {} : { width }) });
    await page.getByText("Ask an administrator of Splunk for this, or for the role admin or sc_admin.").waitFor();
    return page;
  }

  test.each([
    ["#/customers", [MAY_CHANGE, MAY_ADD]],
    ["#/add", [MAY_CHANGE, MAY_ADD]],
    ["#/import", [MAY_CHANGE, MAY_ADD]],
    ["#/credentials", [MAY_CHANGE, MAY_ADD]],
    ["#/customer/contoso", [MAY_CHANGE, MAY_ADD]],
    ["#/settings", [MAY_CHANGE]],
  ])(
    "is told on %s what is missing and who can grant it, and is offered nothing that is refused",
    async (hash, missing) => {
      world.splunkd.rest.context = READER;
      const page = await shown(hash);
      for (const one of missing) await page.getByText(one).waitFor();
      if (hash === "#/customers") await page.getByTestId("customer").nth(1).waitFor();
      if (hash === "#/customer/contoso") await page.getByLabel("Tenant ID").waitFor();
      if (hash === "#/settings") await page.getByLabel("Customers in parallel").waitFor();
      const offered = (await controls(page)).filter(
        (name) =>
          !/^(Find|State|all \(\d+\)|Customer|Lag|Secret ends in|Who must act|CSV file|Download a template|List|Shared credential|Clear|Check the list)/.test(
            name,
          ),
      );
      expect([hash, offered]).toEqual([hash, []]);
      expect(refused()).toEqual([]);
      expect(await accessibilityFaults(page)).toEqual([]);
      if (hash === "#/customers") await picture(page, "reader-customers");
      await page.setViewportSize({ width: 320, height: 900 });
      expect([hash, await cutOff(page)]).toEqual([hash, []]);
    },
  );

  test("may check a list without writing it", async () => {
    world.splunkd.rest.context = READER;
    const page = await shown("#/import");
    await page.getByLabel("List", { exact: true }).fill("name,tenant,credential\nnew,fabrikam.com,mssp\n");
    await page.getByRole("button", { name: "Check the list" }).click();
    await page.getByText("1 new, 0 changed").waitFor();
    expect(await page.getByRole("button", { name: /^Import/ }).count()).toBe(0);
    expect(refused()).toEqual([]);
  });

  test("sees health and log by its searches, and is told where it may not search", async () => {
    world.splunkd.rest.context = READER;
    const health = await world.open({ hash: "#/health" });
    await health.getByText("States cannot be shown. You are not allowed to do this.").waitFor();
    const log = await world.open({ hash: "#/log" });
    await log.getByTestId("listed").first().waitFor();
    expect(await log.getByText("Your roles lack").count()).toBe(0);

    world.splunkd.rest.context = { ...READER, capabilities: [] };
    world.web.calls.length = 0;
    for (const hash of ["#/health", "#/log"]) {
      const page = await shown(hash);
      await page.getByText("search (plots on Health").waitFor();
      expect([hash, await controls(page)]).toEqual([hash, []]);
      expect(await accessibilityFaults(page)).toEqual([]);
    }
    expect(world.web.calls.filter(({ path }) => path.includes("search/v2"))).toEqual([]);
  });

  test("is told on the page Start", async () => {
    world.splunkd.rest.context = READER;
    const page = await world.open({ view: "start" });
    await page.getByText(MAY_CHANGE).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  test("who may change inputs and not store secrets is offered what it may do", async () => {
    world.splunkd.rest.context = {
      username: "operator",
      roles: ["power"],
      capabilities: ["admin_all_objects", "list_inputs", "search"],
    };
    const page = await shown("#/customers");
    await page.getByRole("switch", { name: "Collect sleeping" }).waitFor();
    await page.getByRole("button", { name: "Test sleeping" }).waitFor();
    expect(await page.getByText(/^(Add a customer|Import a list|Clone)$/).count()).toBe(0);
    const edit = await shown("#/customer/sleeping");
    await edit.getByLabel("Start").fill("30d");
    expect(await edit.getByLabel("Client secret", { exact: true }).count()).toBe(0);
    await edit.getByRole("button", { name: "Save", exact: true }).click();
    await edit.getByText("Saved.").waitFor();
    const credentials = await shown("#/credentials");
    await credentials.getByText("No shared credential is stored.").waitFor();
    expect(await controls(credentials)).toEqual(["Load again"]);
    expect(refused()).toEqual([]);
  });

  test("an administrator of Splunk Cloud, and one whose rights are not known, is offered everything", async () => {
    world.splunkd.rest.context = { ...ADMIN, roles: ["sc_admin"], capabilities: ["list_inputs"] };
    const cloud = await world.open();
    await cloud.getByRole("switch", { name: "Collect sleeping" }).waitFor();
    expect(await cloud.getByText("Your roles lack").count()).toBe(0);
    world.splunkd.rest.context = ADMIN;
    world.web.interferences.push({ method: "GET", path: "current-context", status: 500, text: "busy", stays: true });
    const page = await world.open();
    await page.getByRole("switch", { name: "Collect sleeping" }).waitFor();
    await page.getByText("Add a customer").waitFor();
    world.web.interferences.length = 0;
  });
});
