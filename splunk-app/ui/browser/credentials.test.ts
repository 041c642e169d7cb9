import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import {
  accessibilityFaults,
  callSplunkd,
  disabledInput,
  picture,
  startWorld,
  TENANT,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const SECRET = `v~Q"'+ &%=é-${"Zz9+/".repeat(60)}`;
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("the page Credentials in Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    // The program runs while one input is enabled.
    const enabled = `[defender_mssp://running]\ntenant_id = ${TENANT}\ncredential = mssp\ntenant_name = running\n\n`;
    world = await startWorld({ tenants: ["contoso"], inputs: enabled + disabledInput("sleeping") });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
    world.web.calls.length = 0;
  });

  afterEach(() => world?.closePages());

  afterAll(() => world?.close());

  const intake = () => world.splunkd.rest.passwords.list().filter(({ realm }) => realm === "defender_mssp:intake");

  /** The stored text of a shared credential, put together as the program does. */
  function stored(name: string): unknown {
    const entries = world.splunkd.rest.passwords.list();
    const chunks = entries.filter((entry) => new RegExp(`^credential\\.${name}\\.[^.]+\\.\\d+$`).test(entry.name));
    const number = (entry: string) => Number(entry.split(".").at(-1));
    const text = chunks
      .toSorted((a, b) => number(a.name) - number(b.name))
      .map(({ password }) => password)
      .join("");
    return text === "" ? undefined : JSON.parse(JSON.parse(text) as string);
  }

  async function opened(hash = "#/credentials", width?: number) {
    const page = await world.open({ hash, ...(width === undefined ? {} : { width }) });
    await page
      .getByText(/No shared credential is stored|Used by/)
      .first()
      .waitFor();
    return page;
  }

  test("a credential is added and its secret replaced, by keyboard alone, and the secret is nowhere in the page, an address or the log", async () => {
    const page = await opened();
    await page.getByText("No shared credential is stored.").waitFor();
    await page.getByRole("button", { name: "Add a credential" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Store" }).click();
    await dialog.getByText("Client secret is missing; paste the value of the client secret.").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);

    await dialog.getByRole("textbox", { name: /^Name/ }).focus();
    for (const text of ["mssp", TENANT, SECRET, "2029-11-24"]) {
      await page.keyboard.insertText(text);
      await page.keyboard.press("Tab");
      // A filled field has a button that empties it.
      const isButton = 'document.activeElement?.tagName === "BUTTON"';
      if (text !== "2029-11-24" && (await page.evaluate(isButton))) await page.keyboard.press("Tab");
    }
    const store = dialog.getByRole("button", { name: "Store" });
    for (let presses = 0; presses < 10; presses += 1) {
      if (await store.evaluate((element) => element === element.ownerDocument.activeElement)) break;
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.getByText("mssp is stored.").waitFor();
    expect(stored("mssp")).toEqual({
      client_id: TENANT,
      client_secret: SECRET,
      expires: "2029-11-24T00:00:00.000Z",
    });
    await page.getByTestId("credential").getByRole("link", { name: "running" }).waitFor();
    await page
      .getByTestId("credential")
      .getByText(/in \d+ days/)
      .waitFor();
    await picture(page, "credentials");
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.getByRole("button", { name: "Replace secret of mssp" }).click();
    await dialog.getByLabel("Client secret", { exact: true }).fill(`${SECRET}2`);
    await dialog.getByLabel("Client secret expires").fill("2029-12-01");
    await dialog.getByRole("button", { name: "Store" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(stored("mssp")).toMatchObject({ client_secret: `${SECRET}2`, expires: "2029-12-01T00:00:00.000Z" });

    expect(intake()).toEqual([]);
    expect(await page.content()).not.toContain("Zz9+/");
    expect(page.url()).not.toContain("Zz9");
    expect(world.web.calls.filter(({ path }) => path.includes("Zz9"))).toEqual([]);
    expect(world.splunkd.log.join("\n")).not.toContain("Zz9");
    expect(world.faults).toEqual([]);
  });

  test("a customer whose credential is missing is collected soon after it was stored on the page, without a restart", async () => {
    const contoso = world.simulator.control.customer("contoso");
    const made = { name: "contoso", tenant_id: contoso.tenant_id, credential: "app", disabled: "0" };
    const before = world.splunkd.restarts;
    expect(await callSplunkd(world.splunkd, "POST", "", made)).toBe(201);
    await world.splunkd.until((splunkd) => splunkd.restarts > before, "the input to restart with the customer");
    const page = await opened();
    await page.getByRole("button", { name: "Add a credential" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /^Name/ }).fill("app");
    await dialog.getByLabel("Client ID").fill(contoso.client_id);
    await dialog.getByLabel("Client secret", { exact: true }).fill(contoso.client_secret);
    await dialog.getByRole("button", { name: "Store" }).click();
    await page.getByText("app is stored.").waitFor();
    const { restarts } = world.splunkd;

    const isCollected = () => readFileSync(world.out, "utf8").includes("<sourcetype>ms365:defender:incident");
    await world.splunkd.until(isCollected, "contoso's events", 120_000);
    expect(world.splunkd.restarts).toBe(restarts);
    expect(world.faults).toEqual([]);
  });

  test("a credential that an input uses cannot be deleted, one that nobody uses can", async () => {
    const page = await opened();
    await page.getByRole("button", { name: "Add a credential" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /^Name/ }).fill("old");
    await dialog.getByLabel("Client ID").fill(TENANT);
    await dialog.getByLabel("Client secret", { exact: true }).fill("v~another");
    await dialog.getByRole("button", { name: "Store" }).click();
    await page.getByText("old is stored.").waitFor();
    expect(await page.getByRole("button", { name: "Delete mssp" }).count()).toBe(0);

    // Another admin gives it to an input, while this page still shows that nobody uses it.
    await callSplunkd(world.splunkd, "POST", "sleeping", { tenant_id: TENANT, credential: "old" });
    await page.getByRole("button", { name: "Delete old" }).click();
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("The shared credential old is used by sleeping, so it is not deleted.").waitFor();
    expect(stored("old")).toMatchObject({ client_secret: "v~another" });

    await callSplunkd(world.splunkd, "POST", "sleeping", { tenant_id: TENANT, credential: "mssp" });
    await page.getByRole("button", { name: "Delete old" }).click();
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("old is deleted.").waitFor();
    expect(stored("old")).toBeUndefined();
    expect(world.faults).toEqual([]);
  });

  test("of two secrets the one that was typed last counts, also when its browser's clock is an hour slow", async () => {
    const fast = await world.open({ hash: "#/credentials", laterMs: 3_600_000 });
    const typed = async (page: Page, secret: string): Promise<void> => {
      await page.getByRole("button", { name: "Add a credential" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("textbox", { name: /^Name/ }).fill("clocks");
      await dialog.getByLabel("Client ID").fill(TENANT);
      await dialog.getByLabel("Client secret", { exact: true }).fill(secret);
      await dialog.getByRole("button", { name: "Store" }).click();
    };
    // This page puts its secret into the slot and is closed before it asks the input.
    await fast.route(/defender_mssp_requests/, (route) => route.abort());
    await fast.route(/storage\/passwords\//, (route) => route.abort());
    await typed(fast, "v~earlier");
    await fast.getByRole("dialog").getByText("Splunk Web does not answer.").waitFor();
    expect(intake()).toHaveLength(2);
    await fast.close();

    const page = await opened();
    await typed(page, "v~last");
    await page.getByText("clocks is stored.").waitFor();
    expect(stored("clocks")).toMatchObject({ client_secret: "v~last" });
    expect(intake()).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test.each([
    [500, "Splunk failed (500)"],
    [409, "Splunk says that this secret is there already, and it is not"],
    [403, "You are not allowed"],
    [401, "rejected the form key"],
  ])(
    "a slot that splunkd answers with %d keeps what was typed, stores nothing, and can be sent again",
    async (status, say) => {
      const page = await opened();
      await page.getByRole("button", { name: "Replace secret of mssp" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Client secret", { exact: true }).fill(`v~after-${status}`);
      const text = status === 401 ? "CSRF validation failed" : "splunkd's own words";
      world.web.interferences.push({ method: "POST", path: "/storage/passwords", status, text });
      await dialog.getByRole("button", { name: "Store" }).click();
      await dialog.getByText(say).waitFor();
      expect(await dialog.getByLabel("Client secret", { exact: true }).inputValue()).toBe(`v~after-${status}`);
      expect(intake()).toEqual([]);

      await dialog.getByRole("button", { name: "Store" }).click();
      await dialog.waitFor({ state: "detached" });
      expect(stored("mssp")).toMatchObject({ client_secret: `v~after-${status}` });
      expect(world.faults).toEqual([]);
    },
  );

  test("an input that cannot be asked without KV store is said with the command that does the same", async () => {
    world.splunkd.rest.kvStore.isOff = true;
    const refused = { method: "POST", path: "/configs/conf-defender_mssp_requests", status: 403, stays: true };
    world.web.interferences.push({ ...refused, text: "" });
    try {
      const page = await world.open({ hash: "#/credentials" });
      await page
        .getByText("If this stays so, use `defender_mssp credential set NAME --to splunk` on the host of the input.")
        .waitFor();
      expect(await accessibilityFaults(page)).toEqual([]);
      expect(world.faults).toEqual([]);
    } finally {
      world.splunkd.rest.kvStore.isOff = false;
    }
  });

  test("at 320 pixels nothing is cut off", async () => {
    const page = await opened("#/credentials", 320);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
  });
});
