import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { SplunkWeb } from "../../../test/harness/splunkweb/splunkweb.ts";
import {
  accessibilityFaults,
  cutOff,
  cutShort,
  disabledInput,
  logIn,
  picture,
  startWorld,
  TENANT,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const MARKUP = "<img src=x onerror=document.title='hacked'>";
const CUSTOMERS = 60;
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("the pages in Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    const names = [MARKUP, ...Array.from({ length: CUSTOMERS - 1 }, (_, at) => `customer-${at + 1}`)];
    world = await startWorld({ tenants: ["contoso"], inputs: names.map(disabledInput).join("") });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
  });

  afterEach(() => world?.endTest());

  afterAll(() => world?.close());

  async function filledToStep2(name: string, width?: number): Promise<Page> {
    const page = await world.open({ hash: "#/add", ...(width === undefined ? {} : { width }) });
    await page.getByRole("textbox", { name: "Name", exact: true }).fill(name);
    await page.getByLabel("Tenant ID").fill(TENANT);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(TENANT);
    await page.getByLabel("Client secret", { exact: true }).fill("s3cret-of-the-test");
    return page;
  }

  /** The list has its heading before its rows. */
  const shown = (page: Page, hash: string) =>
    hash === "#/customers"
      ? page.getByTestId("customer").first().waitFor()
      : page.getByRole("heading", { level: 1 }).waitFor();

  const save = (page: Page) => page.getByRole("button", { name: "Save and go on" }).click();

  // First: the tests below enable inputs.
  test("where no input is enabled, the page Credentials says that nobody can answer it, and what to do", async () => {
    const page = await world.open({ hash: "#/credentials" });
    await page.getByText("No input is enabled, so no program runs that could answer this page.").waitFor();
    expect(await page.getByText("The input is asked.").count()).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("a customer whose name is markup is shown as text, and can be enabled, disabled and deleted", async () => {
    const page = await world.open();
    await page.getByLabel("Find").fill("onerror");
    const row = page.getByTestId("customer");
    await row.getByText(MARKUP).first().waitFor();
    expect(await page.locator("img[src=x]").count()).toBe(0);

    await row.getByRole("switch").click();
    await row.getByText(/^(new|no report yet)$/).waitFor();
    await row.getByRole("switch").click();
    await row.getByText("off", { exact: true }).waitFor();
    await row.getByRole("button", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Its events stay in Splunk").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("0 of 59 customers").waitFor();
    expect(await page.title()).not.toContain("hacked");
    expect(world.faults).toEqual([]);
  });

  test("what the form refuses is refused before it is saved, in the words of the command line", async () => {
    const page = await world.open({ hash: "#/add" });
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("contoso");
    await page.getByLabel("Tenant ID").fill("common");
    await page.getByLabel("Start").fill("soon");
    const before = world.web.calls.length;
    await page.getByRole("button", { name: "Next" }).click();

    await page.getByText('"common" is not one tenant').waitFor();
    await page.getByText('"soon" is not a valid time').waitFor();
    expect(world.web.calls.slice(before).filter(({ method }) => method === "POST")).toEqual([]);
    await picture(page, "add-refused");
    expect(await accessibilityFaults(page)).toEqual([]);
  });

  test("a session that ended says so, and what was typed is saved after a login in another tab", async () => {
    const page = await filledToStep2("expired");
    world.web.expireSessions();
    await save(page);
    await page.getByText("Your session has ended").waitFor();
    await picture(page, "add-session-ended");
    expect(await page.getByLabel("Client ID").inputValue()).toBe(TENANT);

    const other = await world.open();
    await other.close();
    await save(page);
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    expect(world.faults).toEqual([]);
  });

  test("a refused form key says that nothing was saved, and keeps what was typed", async () => {
    const page = await filledToStep2("form-key");
    world.web.changeFormKey();
    await save(page);
    await page.getByText("rejected the form key").waitFor();
    await picture(page, "add-form-key");
    expect(await page.getByLabel("Client secret", { exact: true }).inputValue()).toBe("s3cret-of-the-test");

    const other = await world.open({ view: "start" });
    await other.goto(world.web.url.replace("/app/TA_defender_mssp/start", "/account/login"));
    await logIn(other);
    await other.close();
    await save(page);
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
  });

  test.each([
    [500, "Splunk failed (500)"],
    [409, "already exists"],
    [404, "no longer exists"],
    [403, "You are not allowed"],
  ])(
    "a save that splunkd answers with %d keeps what was typed, and leaves no secret behind",
    async (status, sentence) => {
      const page = await filledToStep2(`refused-${status}`);
      const interference = { method: "POST", path: "/data/inputs/defender_mssp", status, text: "splunkd's own words" };
      world.web.interferences.push(interference);
      await save(page);
      await page.getByText(sentence).first().waitFor();
      if (status === 500) await picture(page, "add-500");
      expect(await page.getByLabel("Client secret", { exact: true }).inputValue()).toBe("s3cret-of-the-test");

      const kept = world.splunkd.rest.passwords.list().filter(({ name }) => name.startsWith(`refused-${status}`));
      expect(kept).toEqual([]);
      expect(world.faults).toEqual([]);
    },
  );

  test("the name of an input that exists is refused, and that input's secret stays", async () => {
    const page = await filledToStep2("customer-7");
    await save(page);
    await page.getByText("already exists").waitFor();

    expect(world.splunkd.rest.passwords.list().filter(({ name }) => name.startsWith("customer-7"))).toEqual([]);
  });

  test("an input that cannot be asked is said, and the customers are shown all the same", async () => {
    world.splunkd.rest.kvStore.isOff = true;
    const refused = { method: "POST", path: "/configs/conf-defender_mssp_requests", status: 500, stays: true };
    world.web.interferences.push({ ...refused, text: "The disk is full." });
    try {
      const page = await world.open();
      await page.getByText("States cannot be shown.").waitFor();
      await page.getByTestId("customer").nth(49).waitFor();
      await picture(page, "customers-not-asked");
      expect(await page.getByTestId("customer").count()).toBe(50);

      const adding = await filledToStep2("without-kv-store");
      await save(adding);
      const its = '--config "$SPLUNK_HOME/etc/apps/TA_defender_mssp/local/inputs.conf" --customer without-kv-store';
      await adding.getByText(`The disk is full.. If this stays so, use \`defender_mssp consent-url ${its}`).waitFor();
      await picture(adding, "add-not-asked");
      await adding.getByRole("button", { name: "Skip: test now" }).click();
      await adding.getByText(`If this stays so, use \`defender_mssp doctor ${its}`).waitFor();
      expect(await accessibilityFaults(adding)).toEqual([]);
    } finally {
      world.splunkd.rest.kvStore.isOff = false;
    }
  });

  test("a refresh token of 1,900 characters with quotes, plus and a newline is stored as it was, without the newline", async () => {
    const token = `0.A"'+ ${"Zz+/".repeat(473)}!`;
    const page = await world.open({ hash: "#/add" });
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("token");
    await page.getByLabel("Tenant ID").fill(TENANT);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(TENANT);
    await page.getByLabel("Refresh token", { exact: true }).fill(`${token}\n`);
    await save(page);
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    const isStored = ({ rest }: World["splunkd"]) =>
      rest.passwords.list().some(({ name }) => name === "customer.token.refresh_token");
    await world.splunkd.until(isStored, "the token to be stored");

    const stored = world.splunkd.rest.passwords.list();
    const chunks = stored.filter(({ name }) => /^customer\.token\.refresh_token\..*\.\d+$/.test(name));
    const number = (name: string) => Number(name.split(".").at(-1));
    const text = chunks
      .toSorted((a, b) => number(a.name) - number(b.name))
      .map(({ password }) => password)
      .join("");
    expect(JSON.parse(text)).toBe(token);
    expect(await page.content()).not.toContain("Zz+/");
    expect(page.url()).not.toContain("Zz");
    expect(world.web.calls.filter(({ path }) => path.includes("Zz"))).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("a page that leaves the origin, throws, logs an error, is cut off or has no text for a picture does not go unseen", async () => {
    const page = await world.open({ view: "start", width: 320 });
    expect([await cutOff(page), await cutShort(page), await accessibilityFaults(page)]).toEqual([[], [], []]);
    const elsewhere = page.waitForEvent("requestfailed");
    const thrown = page.waitForEvent("pageerror");
    await page.evaluate(`
      console.error("logged");
      document.body.insertAdjacentHTML("beforeend", '<img src="http://127.0.0.2:9/x.png"><div style="width: 400px">wide</div>'
        + '<p style="width: 20px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap">cut short</p>');
      setTimeout(() => { throw new Error("thrown"); }, 0);
    `);
    await Promise.all([elsewhere, thrown]);
    const found = world.faults.splice(0);
    for (const fault of ["console: logged", "left the origin: http://127.0.0.2:9/x.png", "not caught: thrown"])
      expect(found).toContain(fault);
    expect(await cutOff(page)).toContainEqual(expect.stringContaining("wide"));
    expect(await cutShort(page)).toEqual(["cut short"]);
    expect(await accessibilityFaults(page)).toContainEqual(expect.stringContaining("image-alt"));
  });

  test("the wizard works by keyboard alone", async () => {
    const page = await world.open({ hash: "#/add" });
    await page.getByRole("heading", { name: "Step 1 of 4" }).waitFor();
    const tabTo = async (name: string | RegExp, role: "textbox" | "button" | "link") => {
      const target = page.getByRole(role, { name, exact: typeof name === "string" });
      for (let presses = 0; presses < 40; presses += 1) {
        if (await target.evaluate((element) => element === element.ownerDocument.activeElement)) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`Tab does not reach ${String(name)}`);
    };
    await tabTo("Name", "textbox");
    await page.keyboard.type("keyboard");
    await tabTo(/^Tenant ID/, "textbox");
    await page.keyboard.type(TENANT);
    await tabTo("Next", "button");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Step 2 of 4" }).waitFor();
    await tabTo(/^Client ID/, "textbox");
    await page.keyboard.type(TENANT);
    await tabTo("Save and go on", "button");
    await page.keyboard.press("Space");
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    await tabTo("Skip: test now", "button");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Step 4 of 4" }).waitFor();
    await tabTo("To all customers", "link");
    await page.keyboard.press("Enter");
    await page.getByTestId("customer").first().waitFor();
    expect(world.faults).toEqual([]);
  });

  test("at 320 pixels nothing is cut off", async () => {
    const pages = { "#/customers": "narrow-customers", "#/add": "narrow-add", "#/customer/customer-5": "" };
    for (const [hash, name] of Object.entries(pages)) {
      const page = await world.open({ hash, width: 320 });
      await shown(page, hash);
      const width = await page.evaluate("document.documentElement.scrollWidth");
      expect([hash, width, await cutShort(page)]).toEqual([hash, 320, []]);
      if (name !== "") await picture(page, name);
      await page.close();
    }
  });

  test("an edit of one customer saves what changed and shows it", async () => {
    const page = await world.open({ hash: "#/customer/customer-5" });
    await page.getByLabel("Poll every (seconds)").fill("0");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("0 is below 1").first().waitFor();
    await page.getByLabel("Poll every (seconds)").fill("120");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved.").waitFor();
    // The form is long: who saves at its end must see the answer there.
    const { y = -1 } = (await page.getByText("Saved.").boundingBox()) ?? {};
    expect([y >= 0, y < 900]).toEqual([true, true]);
    await picture(page, "customer");
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("the page start is readable without scripts, and shows how far this Splunk is with them", async () => {
    const plain = await world.open({ view: "start", withoutScripts: true });
    expect(await plain.getByRole("listitem").count()).toBeGreaterThanOrEqual(9);
    const page = await world.open({ view: "start" });
    await page.getByText("customers are configured").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("before Splunk 10.4 the dashboard shows the same page, under any root path and locale", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, version: "9.4.0", root: "/splunk", locale: "de-DE" });
    try {
      const page = await world.open({ web, view: "defender_mssp_classic" });
      await page.getByText("customers", { exact: false }).first().waitFor();
      await page.getByTestId("customer").first().waitFor();
      expect(world.faults).toEqual([]);
    } finally {
      await web.close();
    }
  });

  test("in the dark theme every text can be read", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, theme: "dark" });
    try {
      for (const hash of ["#/customers", "#/add"]) {
        const page = await world.open({ web, hash });
        await shown(page, hash);
        expect(await accessibilityFaults(page)).toEqual([]);
        await page.setViewportSize({ width: 1280, height: 600 });
        await picture(page, `dark-${hash.slice(2)}`);
        await page.close();
      }
    } finally {
      await web.close();
    }
  });
});
