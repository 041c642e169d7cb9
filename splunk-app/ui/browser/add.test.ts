import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startWorld, type World, whatIsMissing } from "./world.ts";

const missing = whatIsMissing();
if (missing !== undefined) process.stderr.write(`the pages in Splunk Web are NOT tested: ${missing}\n`);

(missing === undefined ? describe : describe.skip)("in a real browser, with the real binary behind Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({ tenants: ["contoso"] });
    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "absent" });
  });

  afterAll(() => world?.close());

  test("a customer is added, its consent is missing, then given, every check is green, and its first event is seen", async () => {
    const contoso = world.simulator.control.customer("contoso");
    const page = await world.open({ hash: "#/add" });

    await page.getByRole("textbox", { name: "Name", exact: true }).fill("contoso");
    await page.getByLabel("Tenant ID").fill(contoso.tenant_id);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(contoso.client_id);
    await page.getByLabel("Client secret", { exact: true }).fill(contoso.client_secret);
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByText("Waiting for the consent").waitFor({ timeout: 60_000 });
    const link = await page.getByLabel("Consent link").inputValue();
    expect(link).toContain(`${contoso.tenant_id}/v2.0/adminconsent`);

    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "granted" });
    await page.getByRole("button", { name: "Next: test" }).click({ timeout: 60_000 });
    await page.getByText("Every check passed.").waitFor({ timeout: 60_000 });
    await page.getByText("First event seen at").waitFor({ timeout: 90_000 });

    expect(readFileSync(world.out, "utf8")).toContain(contoso.tenant_id);
    expect(await page.content()).not.toContain(contoso.client_secret);
    expect(world.faults).toEqual([]);
  });
});
