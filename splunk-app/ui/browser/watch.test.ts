import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page, Request } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { SplunkWeb } from "../../../test/harness/splunkweb/splunkweb.ts";
import { STATES_PACE } from "../src/state/poll-pace.ts";
import { answerSearches } from "./searches.ts";
import {
  accessibilityFaults,
  collectedInput,
  cutOff,
  disabledInput,
  picture,
  showInstead,
  startWorld,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());
const MARKUP = "<img src=x onerror=document.title='hacked'>";
const MINUTE_MS = 60_000;
const SLOW_MACHINE_MS = 300_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A browser clock that a test sets ahead, and that no other test has stopped. */
const AHEAD_MS = 2;
const STATUS = "TA_defender_mssp/defender_mssp_status";
const STATUS_CALLS = "/defender_mssp_status";

inBrowser("the pages that watch", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({
      tenants: ["contoso", "tailspin", "northwind", "adatum"],
      inputs: (simulator) => {
        const { control } = simulator;
        control.perform({ do: "consent", customers: ["northwind"], state: "withdrawn" });
        const throttled = { status: 429, retry_after_seconds: 3_600 };
        control.perform({ do: "fault", on: ["alerts"], customers: ["tailspin"], answer: throttled });
        const soon = new Date(Date.now() + 12.5 * 86_400_000).toISOString();
        return [
          collectedInput(simulator, "contoso", `secret_expires = ${soon}\ntenant_name = ${MARKUP}\n`),
          collectedInput(simulator, "tailspin"),
          collectedInput(simulator, "northwind"),
          collectedInput(simulator, "adatum").replace(/^client_secret = .*$/m, "client_secret = not-the-secret"),
          disabledInput("litware"),
        ].join("");
      },
    });
    const states = (): readonly string[] =>
      world.splunkd.rest.kvStore
        .rows(STATUS)
        .flatMap(({ streams }) => (streams as readonly { readonly state: string }[]).map(({ state }) => state));
    const wanted = ["throttled", "awaiting-consent", "signed-out", "ok"];
    while (!wanted.every((state) => states().includes(state))) await pause(100);
  }, SLOW_MACHINE_MS);

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
    answerSearches(world);
  });

  afterEach(() => world?.endTest());

  afterAll(() => world?.close());

  async function shown(where: Parameters<World["open"]>[0] = {}): Promise<Page> {
    const page = await world.open({ hash: "#/health", ...where });
    await page.getByTestId("counts").waitFor();
    await page
      .getByTestId("counts")
      .getByText("signed-out")
      .waitFor({ timeout: 15_000 })
      .catch(async () => {
        throw new Error(await page.locator("main").innerText());
      });
    return page;
  }
  const section = (page: Page, name: string) => page.getByRole("region", { name });

  test("it says who must act, who is throttled and whose secret ends, and plots lag and events of real health events", async () => {
    answerSearches(world, 20);
    const page = await shown();
    await page.getByTestId("counts").getByText("5 customers").waitFor();
    const reasons = section(page, "Who must act");
    await reasons.getByRole("row").filter({ hasText: "the customer" }).getByText("northwind").waitFor();
    await reasons.getByRole("row").filter({ hasText: "you" }).getByText("adatum").waitFor();
    await section(page, "Throttled by Microsoft").getByText("tailspin").waitFor();
    await section(page, "Secrets that end within 30 days").getByText("12 days").waitFor();
    const plots = section(page, "Lag and events, last 24 hours");
    await plots.getByRole("img", { name: `Events of ${MARKUP} in 24 hours` }).waitFor();
    await plots.getByRole("img", { name: `Lag of ${MARKUP} in 24 hours` }).waitFor();
    await section(page, "List of customers against reality").getByText("No list of customers is read").waitFor();

    expect(await page.locator("img[src=x]").count()).toBe(0);
    expect(await page.title()).not.toContain("hacked");
    expect(await accessibilityFaults(page)).toEqual([]);
    const { home, serverUri } = world.splunkd;
    await showInstead(page, { [MARKUP]: "Contoso", [home]: "/opt/splunk", [serverUri]: "https://127.0.0.1:8089" });
    await page.reload();
    await plots.getByRole("img", { name: "Events of Contoso in 24 hours" }).waitFor();
    await picture(page, "health");
    await plots.scrollIntoViewIfNeeded();
    await picture(page, "health-plots");
    await page.getByRole("link", { name: "Customers", exact: true }).click();
    await page.getByTestId("customer").nth(4).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.setViewportSize({ width: 1280, height: 700 });
    await picture(page, "customers");
    expect(world.faults).toEqual([]);
  });

  test("a page in the background asks splunkd nothing for an hour, and once for all it shows when it is seen again", async () => {
    answerSearches(world, 20);
    const page = await world.open({ hash: "#/nothing", laterMs: 1 });
    const open = new Set<Request>();
    page.on("request", (request) => open.add(request));
    page.on("requestfinished", (request) => open.delete(request));
    page.on("requestfailed", (request) => open.delete(request));
    await page.evaluate('location.hash = "#/health"');
    await page.getByTestId("counts").getByText("signed-out").waitFor();
    await section(page, "List of customers against reality").getByText("No list of customers is read").waitFor();
    await section(page, "Lag and events, last 24 hours").getByRole("img").first().waitFor();
    const setHidden = (isHidden: boolean) =>
      page.evaluate(`(() => {
        Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
      })()`);
    await setHidden(true);
    // A load that began before may arrive after that.
    while (open.size > 0) await page.evaluate("0");
    world.web.calls.length = 0;
    // The browser's clock stands still then: no timer brings a second load.
    await page.clock.pauseAt(Date.now() + HOUR_MS);
    await setHidden(false);
    const asked = () => world.web.calls.map(({ path }) => path.split("/").at(-1) ?? "");
    const wanted = ["defender_mssp", "defender_mssp", "defender_mssp_status", "jobs"];
    while (asked().length < wanted.length || open.size > 0)
      await page.waitForResponse("**/splunkd/__raw/**", { timeout: 1_000 }).catch(() => undefined);

    expect(asked().toSorted((a, b) => a.localeCompare(b))).toEqual(wanted);
    expect(world.faults).toEqual([]);
  });

  test("where nothing can be searched, the last report is shown and why there is no more", async () => {
    world.splunkd.rest.answerSearch = () => [];
    const page = await shown();
    await page.getByText("forwarders send them on").waitFor();
    await section(page, "Lag and events, last 24 hours").getByText("in the last report").first().waitFor();
    world.splunkd.rest.answerSearch = () => {
      throw new Error("Search not executed: your role may not search.");
    };
    await page.reload();
    await page.getByText("your role may not search").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("the list of customers is compared with reality where it is read", async () => {
    const { kvStore } = world.splunkd.rest;
    const roster = {
      under_contract: 2,
      configured: 5,
      consented: 4,
      collected: 3,
      silent: 0,
      failure: "roster-difference",
      actor: "operator",
      say: "1 customer under contract is not configured (Woodgrove).",
      next_step: "Look.",
      differences: [{ tenant: MARKUP, tenant_id: "w", difference: "not-configured" }],
      more: 0,
    };
    const time = new Date().toISOString();
    const row = {
      input: "",
      time,
      streams: [],
      credential_days_left: null,
      version: "0",
      first_event_at: null,
      roster,
    };
    kvStore.answer("POST", STATUS, "batch_save", new URLSearchParams(), JSON.stringify([{ ...row, _key: "r" }]));
    try {
      const readList = async (laterMs: number): Promise<Page> => {
        const page = await world.open({ view: "start", laterMs });
        await page.route("**/configs/conf-inputs/**", (route) =>
          route.fulfill({ json: { entry: [{ name: "defender_mssp", content: { discover: "gdap" } }] } }),
        );
        await page.goto(`${world.web.viewUrl("defender_mssp")}#/health`);
        return page;
      };
      const page = await readList(0);
      const compared = section(page, "List of customers against reality");
      await compared.getByText("2 under contract · 5 configured").waitFor();
      await compared.getByRole("cell", { name: "not-configured" }).waitFor();
      expect(await page.locator("img[src=x]").count()).toBe(0);
      expect(await accessibilityFaults(page)).toEqual([]);
      // Nothing differs any more, so nothing was reported for hours.
      const later = await readList(3 * HOUR_MS);
      await later.getByText("No difference has been reported since").waitFor();
    } finally {
      kvStore.answer("DELETE", STATUS, "r", new URLSearchParams(), "");
    }
  });

  test("2,000 customers are at most 50 rows", async () => {
    const names = Array.from({ length: 2_000 }, (_, at) => `customer-${at}`);
    const stream = {
      stream: "alerts",
      state: "throttled",
      lag_s: 5,
      actor: "microsoft",
      say: "",
      next_step: "",
      failure: "throttled",
      retry_at: null,
      new: 1,
      updated: 0,
    };
    const time = (at: number) => new Date(Date.now() - (at % 2) * 3 * HOUR_MS).toISOString();
    const page = await world.open({ view: "start" });
    await page.route("**/data/inputs/**", (route) =>
      route.fulfill({ json: { entry: names.map((name) => ({ name, content: { disabled: "0", tenant_id: name } })) } }),
    );
    await page.route("**/defender_mssp_status**", (route) =>
      route.fulfill({
        json: names.map((name, at) => ({
          input: name,
          time: time(at),
          streams: [stream],
          credential_days_left: 3,
          version: "0",
          first_event_at: null,
        })),
      }),
    );
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/health`);
    await page.getByText("2000 customers").waitFor();
    await section(page, "Secrets that end within 30 days").getByText("Page 1 of 250").waitFor();
    expect(await page.getByTestId("listed").count()).toBeLessThanOrEqual(50);
    await section(page, "Lag and events, last 24 hours").getByRole("button", { name: "Next" }).click();
    await section(page, "Lag and events, last 24 hours").getByText("Page 2 of 200").waitFor();
    expect(world.faults).toEqual([]);
  });

  test.each([
    ["splunkd fails", 500, "Splunk failed (500)"],
    ["the reader has no rights", 403, "You are not allowed"],
  ])("where %s, the page says so and resumes", async (_, status, sentence) => {
    const page = await world.open({ view: "start", laterMs: AHEAD_MS });
    await page.getByText("customers are configured").waitFor();
    world.web.interferences.push({ method: "GET", path: "/inputs/defender_mssp", status, text: "no", stays: true });
    await page.goto(`${world.web.viewUrl("defender_mssp")}#/health`);
    await page.getByText(sentence).waitFor();
    world.web.interferences.length = 0;
    await page.clock.fastForward(STATES_PACE.oftenMs);
    await page.getByText(sentence).waitFor({ state: "hidden" });
    await page.getByTestId("counts").waitFor();
    expect(world.faults).toEqual([]);
  });

  test("states that cannot be asked for are said, and one of a running input without KV store is shown", async () => {
    world.splunkd.rest.kvStore.isOff = true;
    const refused = { method: "POST", path: "/configs/conf-defender_mssp_requests", status: 403, stays: true };
    try {
      await shown();
      world.web.interferences.push({ ...refused, text: "" });
      const page = await world.open({ hash: "#/health" });
      await page.getByText("States cannot be shown.").waitFor();
      expect(await page.getByText("Nobody has to act.").count()).toBe(0);
      expect(await accessibilityFaults(page)).toEqual([]);
    } finally {
      world.splunkd.rest.kvStore.isOff = false;
    }
  });

  test("a customer's page shows its streams, 24 hours of their states, and who must act", async () => {
    answerSearches(world, 20);
    const page = await world.open({ hash: "#/customer/tailspin" });
    const states = section(page, "State and last 24 hours");
    await states.getByRole("img", { name: /^States of tailspin, alerts in 24 hours: throttled/ }).waitFor();
    await states.getByRole("row").filter({ hasText: "alerts" }).getByText("Microsoft", { exact: true }).waitFor();
    await states.getByRole("row").filter({ hasText: "incidents" }).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    for (const word of ["Stream", "Updated", "incidents"]) {
      const lines = await states
        .getByText(word, { exact: true })
        .evaluate((element) => element.getClientRects().length > 0 && element.clientHeight / 20);
      expect([word, lines]).toEqual([word, 1]);
    }
    await picture(page, "customer-states");
    await states.getByRole("link", { name: "Log lines of this customer" }).click();
    await page.getByRole("cell", { name: "tailspin", exact: true }).first().waitFor();
    expect(world.faults).toEqual([]);
  });

  test("while a customer's state cannot be read, its form can be used, and no poll takes what was typed", async () => {
    const page = await world.open({ hash: "#/customer/tailspin", laterMs: AHEAD_MS });
    await section(page, "State and last 24 hours").getByRole("cell", { name: "throttled", exact: true }).waitFor();
    await page.getByLabel("Poll every (seconds)").fill("77");
    world.web.interferences.push({ method: "GET", path: STATUS_CALLS, status: 500, text: "busy", stays: true });
    await page.clock.fastForward(STATES_PACE.oftenMs);
    await page.getByText("The state cannot be shown. Splunk failed (500): busy").waitFor();
    world.web.interferences.length = 0;
    await page.clock.fastForward(STATES_PACE.oftenMs);
    await page.getByText("The state cannot be shown.").waitFor({ state: "hidden" });
    expect(await page.getByLabel("Poll every (seconds)").inputValue()).toBe("77");
    expect(world.faults).toEqual([]);
  });

  test("the log is shown by level and customer, markup as text, with a link to the same search", async () => {
    const page = await world.open({ hash: "#/log" });
    await page.getByTestId("listed").filter({ hasText: "started" }).first().waitFor();
    expect(await page.getByTestId("listed").count()).toBeLessThanOrEqual(50);
    await page.getByTestId("listed").filter({ hasText: MARKUP }).first().waitFor();
    expect(await page.locator("img[src=x]").count()).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);

    await page.getByLabel("Level").click();
    await page.getByRole("option", { name: "warnings and errors" }).click();
    await page.getByLabel("Customer or word").fill("adatum");
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByTestId("listed").filter({ hasText: "started" }).first().waitFor({ state: "hidden" });
    await page.getByRole("cell", { name: "adatum", exact: true }).first().waitFor();
    expect(await page.getByTestId("listed").filter({ hasNotText: "adatum" }).count()).toBe(0);
    expect(await page.getByTestId("listed").filter({ hasText: "INFO" }).count()).toBe(0);
    const link = new URL(
      (await page.getByRole("link", { name: "Open in Search" }).getAttribute("href")) ?? "",
      world.web.url,
    );
    expect(link.pathname).toMatch(/\/app\/TA_defender_mssp\/search$/);
    expect(link.searchParams.get("q")).toMatch(
      /^search index=_internal .*NOT log_level=INFO.* event_message="\*adatum\*"$/,
    );

    // The customers of these tests are polled each second, and the program warns of that.
    await page.getByLabel("Level").click();
    await page.getByRole("option", { name: "errors", exact: true }).click();
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByTestId("listed").filter({ hasText: "WARN" }).first().waitFor({ state: "hidden" });
    await page.getByRole("cell", { name: "adatum", exact: true }).first().waitFor();
    await picture(page, "log");
    expect(world.faults).toEqual([]);
  });

  test("a log that cannot be searched says why, and one without lines where they are", async () => {
    world.splunkd.rest.answerSearch = () => {
      throw new Error("your role may not search _internal");
    };
    const page = await world.open({ hash: '#/log/no"such*one' });
    await page.getByText("The log cannot be searched. your role may not search _internal").waitFor();
    answerSearches(world);
    await page.getByRole("button", { name: "Show" }).click();
    await page.getByText("A forwarder sends its splunkd.log on").waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("all can be read in the dark, and nothing is cut off at 320 pixels", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, theme: "dark" });
    try {
      expect(await accessibilityFaults(await shown({ web }))).toEqual([]);
      const narrow = await shown({ web, width: 320 });
      expect(await cutOff(narrow)).toEqual([]);
      for (const hash of ["#/log", "#/customer/tailspin"]) {
        const page = await world.open({ web, hash, width: 320 });
        await page.getByTestId("listed").first().waitFor();
        expect([hash, await cutOff(page), await accessibilityFaults(page)]).toEqual([hash, [], []]);
      }
    } finally {
      await web.close();
    }
  });

  test("a program that was killed is noticed: after 65 minutes without a report the page says how old the states are", async () => {
    const before = world.splunkd.pid;
    process.kill(before, "SIGKILL");
    const now = await shown();
    expect(await now.getByText("No input has reported for").count()).toBe(0);
    const page = await shown({ laterMs: 66 * MINUTE_MS });
    await page.getByText(/No input has reported for 6\d min/).waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await picture(page, "health-old");
    const muchLater = await world.open({ hash: "#/health", laterMs: 3 * HOUR_MS });
    await section(muchLater, "Silent for two hours").getByText("tailspin").waitFor();
    expect(world.faults).toEqual([]);
  });
});
