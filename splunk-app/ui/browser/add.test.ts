import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { accessibilityFaults, picture, startWorld, type World, whatIsMissing } from "./world.ts";
import "./busy-machine.ts";

const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("in a real browser, with the real binary behind Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({ tenants: ["contoso"] });
    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "absent" });
  });

  afterAll(() => world?.close());

  /** The input makes the link anew with each answer. */
  const ofAnyState = (text: string) => text.replaceAll(/state=[\w.-]+/g, "state=");

  /** What a person would paste into a mail. */
  async function pasted(): Promise<string> {
    const page = await world.open({ hash: "#/import" });
    const list = page.getByLabel("List", { exact: true });
    await list.focus();
    await page.keyboard.press("Control+V");
    const text = await list.inputValue();
    await page.close();
    return text;
  }

  test("a customer is added, its consent is missing, then given, every check is green, and its first event is seen", async () => {
    const contoso = world.simulator.control.customer("contoso");
    const page = await world.open({ view: "start" });
    await page.getByText("No customer yet.").waitFor();
    await picture(page, "start");
    // Over plain http, which is Splunk Web's default, browsers have no clipboard for pages.
    await page.addInitScript("Object.defineProperty(navigator, 'clipboard', { value: undefined })");
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/add`);

    await page.getByRole("textbox", { name: "Name", exact: true }).fill("contoso");
    await page.getByLabel("Tenant ID").fill(contoso.tenant_id);
    await picture(page, "add-1-customer");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(contoso.client_id);
    await page.getByLabel("Client secret", { exact: true }).fill(contoso.client_secret);
    await picture(page, "add-2-sign-in");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByText("Waiting for the consent").waitFor();
    const link = await page.getByLabel("Consent link").inputValue();
    expect(link).toContain(`${contoso.tenant_id}/v2.0/adminconsent`);

    await picture(page, "add-3-consent");
    const mail = await page.getByLabel("Mail to the customer").inputValue();
    for (const [button, text] of [
      ["Copy the link", link],
      ["Copy the mail", mail],
    ] as const) {
      await page.getByRole("button", { name: button }).click();
      await page.getByText("Copied.", { exact: true }).first().waitFor();
      expect(ofAnyState(await pasted())).toBe(ofAnyState(text));
    }
    expect(await accessibilityFaults(page)).toEqual([]);

    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "granted" });
    await page.getByRole("button", { name: "Next: test" }).click();
    await page.getByText("Every check passed.").waitFor();
    await page.getByText("First event seen at").waitFor();

    await picture(page, "add-4-first-event");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("link", { name: "To all customers" }).click();
    await page.getByTestId("customer").getByText("ok", { exact: true }).waitFor();

    expect(readFileSync(world.out, "utf8")).toContain(contoso.tenant_id);
    const { installed, rest } = world.splunkd;
    expect(readFileSync(`${installed.folder}/local/inputs.conf`, "utf8")).toMatch(/^client_secret = \*{8}$/m);
    expect(rest.passwords.list().filter(({ realm }) => realm === "defender_mssp:intake")).toEqual([]);
    expect(world.splunkd.faults).toEqual([]);
    expect(await page.content()).not.toContain(contoso.client_secret);
    expect(world.faults).toEqual([]);
  });
});
