import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { accessibilityFaults, callSplunkd, picture, startWorld, TENANT, type World, whatIsMissing } from "./world.ts";
import "./busy-machine.ts";

const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());
const INPUTS_CONF = '--config "$SPLUNK_HOME/etc/apps/TA_defender_mssp/local/inputs.conf"';

inBrowser("the pages on a host without KV store", () => {
  let world: World;
  /** Everything that ever stood in the conf file of the requests, as far as it was looked at. */
  const seen = new Set<string>();

  beforeAll(async () => {
    world = await startWorld({ tenants: ["contoso"] });
    world.splunkd.rest.kvStore.isOff = true;
    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "absent" });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
  });

  afterEach(() => world?.endTest());

  afterAll(() => world?.close());

  function requests(): string {
    const file = path.join(world.splunkd.installed.folder, "local/defender_mssp_requests.conf");
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    seen.add(text);
    return text;
  }
  const asks = (what: string) => requests().includes(`"ask":"${what}"`);
  /** Pages delete what they asked of a customer or a credential, unless they are closed before the answer. */
  const nothingLeft = () =>
    world.splunkd.until(
      () => !/"customer":"(contoso|mssp)","ask":"(?!states")/.test(requests()),
      "every request to be deleted",
    );

  async function credentialTyped(page: Page, name: string, secret: string): Promise<void> {
    await page.getByRole("button", { name: "Add a credential" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("textbox", { name: /^Name/ }).fill(name);
    await dialog.getByLabel("Client ID").fill(TENANT);
    await dialog.getByLabel("Client secret", { exact: true }).fill(secret);
    await dialog.getByRole("button", { name: "Store" }).click();
  }

  test("a credential is added before the first customer, also where no program runs: the next one that starts stores it", async () => {
    const stored = (name: string) => world.splunkd.rest.passwords.list().some((entry) => entry.name === name);
    const page = await world.open({ hash: "#/credentials" });
    await page.getByText("No shared credential is stored.").waitFor();
    await credentialTyped(page, "early", "v~Zz9+/early");
    await page.getByText("early is stored.").waitFor();
    await page.close();

    world.splunkd.signal("SIGSTOP");
    const alone = await world.open({ hash: "#/credentials" });
    await alone.getByText("No input is enabled, so no program runs").waitFor();
    await credentialTyped(alone, "later", "v~Zz9+/later");
    await alone.getByText("later waits in Splunk's credential store.").waitFor();
    expect(await accessibilityFaults(alone)).toEqual([]);
    expect(await alone.content()).not.toContain("Zz9");
    expect(asks("credential-replace")).toBe(true);
    expect(stored("credential.later")).toBe(false);
    await alone.close();

    world.splunkd.signal("SIGKILL");
    const first = { name: "first", tenant_id: TENANT, credential: "later", disabled: "0" };
    expect(await callSplunkd(world.splunkd, "POST", "", first)).toBe(201);
    const taken = () =>
      stored("credential.later") &&
      world.splunkd.rest.passwords.list().every(({ realm }) => realm !== "defender_mssp:intake");
    await world.splunkd.until(taken, "the credential, and an empty intake");
    expect(await callSplunkd(world.splunkd, "DELETE", "first")).toBe(200);
    world.splunkd.faults.length = 0;
    expect(world.faults).toEqual([]);
  });

  test("a customer is added, its consent is missing, then given, every check is green, its first event is seen, and no request is left", async () => {
    const contoso = world.simulator.control.customer("contoso");
    const page = await world.open({ hash: "#/add" });
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("contoso");
    await page.getByLabel("Tenant ID").fill(contoso.tenant_id);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(contoso.client_id);
    await page.getByLabel("Client secret", { exact: true }).fill(contoso.client_secret);
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByText("Waiting for the consent").waitFor();
    expect(await page.getByLabel("Consent link").inputValue()).toContain(`${contoso.tenant_id}/v2.0/adminconsent`);
    expect(asks("consent")).toBe(true);

    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "granted" });
    await page.getByRole("button", { name: "Next: test" }).click();
    await page.getByText("Every check passed.").waitFor();
    await page.getByText("First event seen at").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "To all customers" }).click();
    await page.getByTestId("customer").getByText("ok", { exact: true }).waitFor();
    await picture(page, "customers-no-kv-store");

    await page.goto(`${world.web.viewUrl("defender_mssp")}#/customer/contoso`);
    await page.getByText("since the program started at").waitFor();
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/health`);
    await page.getByTestId("counts").getByText("ok").waitFor();
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/settings`);
    await page.getByText("off: these pages ask the running input instead.").waitFor();
    await page.close();
    await nothingLeft();
    expect(world.splunkd.faults).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("two administrators who test one customer at once both get every check", async () => {
    const pages = [await world.open(), await world.open()];
    for (const page of pages) await page.getByTestId("customer").getByText("ok", { exact: true }).waitFor();
    for (const page of pages) await page.getByRole("button", { name: "Test contoso" }).click();
    for (const page of pages) await page.getByRole("dialog").getByText("Every check passed.").waitFor();
    expect(world.faults).toEqual([]);
  });

  test("a request that a killed program left is answered by its next run", async () => {
    const page = await world.open();
    await page.getByTestId("customer").getByText("ok", { exact: true }).waitFor();
    const { pid } = world.splunkd;
    world.splunkd.signal("SIGSTOP");
    await page.getByRole("button", { name: "Test contoso" }).click();
    await world.splunkd.until(() => asks("doctor"), "the request");
    world.splunkd.signal("SIGKILL");
    await page.getByRole("dialog").getByText("Every check passed.").waitFor();
    expect(world.splunkd.pid).not.toBe(pid);
    await page.close();
    await nothingLeft();
    // The kill itself is one.
    world.splunkd.faults.length = 0;
    expect(world.faults).toEqual([]);
  });

  test("a credential is stored and deleted, and no secret was ever in the conf file or an address", async () => {
    const page = await world.open({ hash: "#/credentials" });
    await page.getByTestId("credential").getByText("early").waitFor();
    await credentialTyped(page, "mssp", "v~Zz9+/Zz9");
    await world.splunkd.until(() => asks("credential-replace"), "the request");
    await page.getByText("mssp is stored.").waitFor();
    requests();
    await page.getByRole("button", { name: "Delete mssp" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("mssp is deleted.").waitFor();
    await page.close();
    await nothingLeft();

    const { client_secret } = world.simulator.control.customer("contoso");
    expect([...seen].join("\n")).toContain("credential-replace");
    expect([...seen].join("\n")).not.toContain("Zz9");
    expect([...seen].join("\n")).not.toContain(client_secret);
    expect(world.web.calls.filter(({ path: called }) => called.includes("Zz9"))).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("an administrator who may not write the conf file reads the commands that do the same", async () => {
    const refused = { method: "POST", path: "/configs/conf-defender_mssp_requests", status: 403, stays: true };
    world.web.interferences.push({ ...refused, text: "splunkd's own words" });
    const page = await world.open({ hash: "#/credentials" });
    await page
      .getByText("If this stays so, use `defender_mssp credential set NAME --to splunk` on the host of the input.")
      .waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.goto(`${world.web.viewUrl("defender_mssp")}#/customers`);
    await page.getByText("States cannot be shown. Neither the KV store nor defender_mssp_requests.conf").waitFor();
    await page.getByRole("button", { name: "Test contoso" }).click();
    await page
      .getByRole("dialog")
      .getByText(`If this stays so, use \`defender_mssp doctor ${INPUTS_CONF} --customer contoso`)
      .waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("a KV store that comes back is used again, and what was asked meanwhile is answered", async () => {
    const page = await world.open();
    await page.getByTestId("customer").getByText("ok", { exact: true }).waitFor();
    world.splunkd.signal("SIGSTOP");
    await page.getByRole("button", { name: "Test contoso" }).click();
    await world.splunkd.until(() => asks("doctor"), "the request");
    world.splunkd.rest.kvStore.isOff = false;
    try {
      world.splunkd.signal("SIGCONT");
      await page.getByRole("dialog").getByText("Every check passed.").waitFor();
      await page.getByRole("dialog").getByRole("button", { name: "Test again" }).click();
      const inStore = () => world.splunkd.rest.kvStore.rows("TA_defender_mssp/defender_mssp_requests").length > 0;
      await world.splunkd.until(inStore, "the request in the KV store");
      expect(world.faults).toEqual([]);
    } finally {
      world.splunkd.rest.kvStore.isOff = true;
    }
  });
});
