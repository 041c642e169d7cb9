import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page, Route } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import {
  accessibilityFaults,
  callSplunkd,
  disabledInput,
  inputsMade,
  logIn,
  picture,
  startWorld,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const INPUTS = "/data/inputs/defender_mssp";
/** Each of 37 inputs is validated by the executable, whose start can take seconds. */
const SLOW_MACHINE_MS = 300_000;
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

const tenant = (number: number) => `${String(number).padStart(8, "0")}-1111-4111-8111-111111111111`;

/** The tenants of one list are not those of another one. */
const TENANTS = new Map<string, number>();
let lists = 0;

/** A CSV list of customers `<name>-1` and so on, as a spreadsheet of many countries saves it. */
function list(name: string, customers: number, more = ""): string {
  lists += 1;
  const at = (TENANTS.get(name) ?? lists) * 1_000;
  TENANTS.set(name, at / 1_000);
  const rows = Array.from({ length: customers }, (_, row) => `"${name}-${row + 1}";${tenant(at + row)};`);
  return `\uFEFFName;Tenant;Index\r\n${rows.join("\r\n")}\r\n${more}`;
}

inBrowser("the page Import in Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({ tenants: ["contoso"], inputs: disabledInput("here-before") });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
    world.web.calls.length = 0;
  });

  afterEach(() => world?.closePages());

  afterAll(() => world?.close());

  async function checked(text: string): Promise<Page> {
    const page = await world.open({ hash: "#/import" });
    await page.getByLabel("List", { exact: true }).fill(text);
    await page.getByLabel("Shared credential").fill("mssp");
    await page.getByRole("button", { name: "Check the list" }).click();
    await page.getByText(/\d+ new, \d+ changed/).waitFor();
    return page;
  }

  /** What happens to the nth input that the page creates; the others are created. */
  async function atNth(page: Page, nth: number, act: (route: Route) => Promise<void>): Promise<void> {
    let count = 0;
    await page.route(
      (url) => url.pathname.endsWith(INPUTS),
      async (route) => {
        if (route.request().method() === "POST") count += 1;
        if (route.request().method() === "POST" && count === nth) await act(route);
        else await route.fallback();
      },
    );
  }

  const posts = () => world.web.calls.filter(({ method, path }) => method === "POST" && path.endsWith(INPUTS));
  const created = (name: string) => inputsMade(world.splunkd).filter((one) => one.startsWith(`${name}-`)).length;

  test(
    "a list of 40 customers with three wrong rows says why they are wrong, and creates 37 inputs with one request each",
    async () => {
      const wrong = `forty-2;${tenant(1)};\r\n"=cmd";${tenant(2)};\r\nforty-x;common;\r\n`;
      const page = await world.open({ hash: "#/import" });
      await page.getByLabel("CSV file").setInputFiles({
        name: "customers.csv",
        mimeType: "text/csv",
        buffer: Buffer.from(list("forty", 37, wrong), "utf16le"),
      });
      await page.getByLabel("Shared credential").fill("mssp");
      await page.getByRole("button", { name: "Check the list" }).click();
      await page.getByText("37 new, 0 changed, 0 unchanged, 3 wrong.").waitFor();
      await page.getByText("Configured but not in the list: 1; they stay.").waitFor();
      await page.getByText("Line 39 (forty-2) has the same name as line 3; give each customer its own name.").waitFor();
      await page.getByText("Line 40 (=cmd) has a name that a spreadsheet would run as a formula").waitFor();
      await page.getByText('Line 41 (forty-x) has a wrong tenant: "common" is not one tenant').waitFor();
      expect(posts()).toEqual([]);
      await picture(page, "import");
      expect(await accessibilityFaults(page)).toEqual([]);

      await page.getByRole("button", { name: "Import 37" }).click();
      await page
        .getByText("37 of 37 are written, 0 existed already, 0 failed, 0 are not written yet.")
        .waitFor({ timeout: SLOW_MACHINE_MS });
      await picture(page, "import-result");
      expect(posts().map(({ status }) => status)).toEqual(Array.from({ length: 37 }, () => 201));
      expect(created("forty")).toBe(37);
      expect(await accessibilityFaults(page)).toEqual([]);
      const downloading = page.waitForEvent("download");
      await page.getByRole("button", { name: "Download the result" }).click();
      expect((await downloading).suggestedFilename()).toBe("import-result.csv");
      expect(world.faults).toEqual([]);
    },
    SLOW_MACHINE_MS,
  );

  test("an import that is stopped in the middle goes on where it was, also after the page was closed", async () => {
    const page = await checked(list("stopped", 8));
    await atNth(page, 3, async (route) => {
      await page.getByRole("button", { name: "Stop" }).click();
      await route.fallback();
    });
    await page.getByRole("button", { name: "Import 8" }).click();
    await page.getByText("3 of 8 are written, 0 existed already, 0 failed, 5 are not written yet.").waitFor();
    await page.close();

    const again = await checked(list("stopped", 8));
    await again.getByText("5 new, 0 changed, 3 unchanged, 0 wrong.").waitFor();
    await again.getByRole("button", { name: "Import 5" }).click();
    await again.getByText("5 of 5 are written").waitFor();
    expect(created("stopped")).toBe(8);
    expect(posts().length).toBe(8);
    expect(world.faults).toEqual([]);
  });

  test("a session that ends in the middle says so, keeps the list, and the import goes on after a login", async () => {
    const page = await checked(list("session", 5));
    await atNth(page, 3, async (route) => {
      world.web.expireSessions();
      await route.fallback();
    });
    await page.getByRole("button", { name: "Import 5" }).click();
    await page.getByText("Your session has ended").waitFor();
    await page.getByText("2 of 5 are written, 0 existed already, 0 failed, 3 are not written yet.").waitFor();
    expect(await page.getByLabel("List", { exact: true }).inputValue()).toContain("session-5");

    const other = await world.open();
    await other.close();
    await page.getByRole("button", { name: "Go on with 3" }).click();
    await page.getByText("5 of 5 are written").waitFor();
    expect(created("session")).toBe(5);
    expect(world.faults).toEqual([]);
  });

  test("a form key that is refused in the middle says so, and the import goes on after a new login", async () => {
    const page = await checked(list("key", 3));
    await atNth(page, 2, async (route) => {
      world.web.changeFormKey();
      await route.fallback();
    });
    await page.getByRole("button", { name: "Import 3" }).click();
    await page.getByText("rejected the form key").waitFor();
    const other = await world.open({ view: "start" });
    await other.goto(world.web.url.replace("/app/TA_defender_mssp/start", "/account/login"));
    await logIn(other);
    await other.close();
    await page.getByRole("button", { name: "Go on with 2" }).click();
    await page.getByText("3 of 3 are written").waitFor();
    expect(world.faults).toEqual([]);
  });

  test.each([
    [500, "Splunk failed (500)"],
    [404, "no longer exists"],
    [400, "splunkd's own words"],
  ])(
    "a row that splunkd answers with %d is said, the others are created, and it can be tried again",
    async (status, say) => {
      const name = `refused${status}`;
      const page = await checked(list(name, 3));
      await atNth(page, 2, (route) => {
        world.web.interferences.push({ method: "POST", path: INPUTS, status, text: "splunkd's own words" });
        return route.fallback();
      });
      await page.getByRole("button", { name: "Import 3" }).click();
      await page.getByText("2 of 3 are written, 0 existed already, 1 failed, 0 are not written yet.").waitFor();
      await page.getByTestId("row").getByText(say).waitFor();
      await page.getByRole("button", { name: "Try 1 again" }).click();
      await page.getByText("3 of 3 are written").waitFor();
      expect(created(name)).toBe(3);
      expect(world.faults).toEqual([]);
    },
  );

  test("an input that another admin created meanwhile stays as it is, and the row says so", async () => {
    const page = await checked(list("two", 2));
    await atNth(page, 1, async (route) => {
      await callSplunkd(world.splunkd, "POST", "", { name: "two-2", tenant_id: tenant(7), client_id: tenant(7) });
      await route.fallback();
    });
    await page.getByRole("button", { name: "Import 2" }).click();
    await page.getByText("1 of 2 are written, 0 existed already, 1 failed, 0 are not written yet.").waitFor();
    await page.getByTestId("row").getByText("exists already, with other settings: tenant_id, credential").waitFor();
    expect(world.faults).toEqual([]);
  });

  test("a connection that is lost in the middle says so, and the import continues by itself", async () => {
    const page = await checked(list("lost", 3));
    await atNth(page, 2, (route) => route.abort());
    await page.getByRole("button", { name: "Import 3" }).click();
    await page.getByText("The import continues by itself.").waitFor();
    await picture(page, "import-lost");
    await page.getByText("3 of 3 are written, 0 existed already, 0 failed, 0 are not written yet.").waitFor();
    expect(created("lost")).toBe(3);
    expect(world.faults).toEqual([]);
  });

  test("an input whose answer is lost is found and counts as written, once", async () => {
    const page = await checked(list("unheard", 3));
    // splunkd creates the input, and its answer does not arrive.
    await atNth(page, 2, async (route) => {
      await route.fetch();
      await route.abort();
    });
    await page.getByRole("button", { name: "Import 3" }).click();
    await page.getByText("3 of 3 are written, 0 existed already, 0 failed, 0 are not written yet.").waitFor();
    expect(created("unheard")).toBe(3);
    expect(world.faults).toEqual([]);
  });

  test("a list that cannot be used says why, and the page works by keyboard alone and at 320 pixels", async () => {
    const page = await world.open({ hash: "#/import", width: 320 });
    const tabTo = async (label: string, role: "textbox" | "button") => {
      const target = page.getByRole(role, { name: label, exact: true });
      for (let presses = 0; presses < 60; presses += 1) {
        if (await target.evaluate((element) => element === element.ownerDocument.activeElement)) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`Tab does not reach ${label}`);
    };
    await tabTo("List", "textbox");
    await page.keyboard.insertText("name,phone\na,1\n");
    await tabTo("Check the list", "button");
    await page.keyboard.press("Enter");
    await page.getByText("The list has no column tenant").waitFor();
    await tabTo("List", "textbox");
    await page.keyboard.press("Control+A");
    await page.keyboard.insertText(`name,tenant,credential\nkeyboard-1,${tenant(1)},mssp\n`);
    await tabTo("Check the list", "button");
    await page.keyboard.press("Space");
    await tabTo("Import 1", "button");
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
    await page.keyboard.press("Enter");
    await page.getByText("1 of 1 are written").waitFor();
    expect(world.faults).toEqual([]);
  });
});
