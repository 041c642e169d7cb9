/**
 * From the package that was just installed to the first event, counted: what a person does, and how long the
 * product itself makes a person wait. No clock of this machine is in it: the browser's stands still and is
 * moved second by second, and the waits of the real binary are its looks for requests, each with its pause.
 */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Locator, Page, Request } from "playwright-core";
import { LOOK_MS } from "../../../src/hosts/splunk/page-requests.ts";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { startWorld, type World, whatIsMissing } from "./world.ts";
import "./busy-machine.ts";

const SECOND_MS = 1_000;
const REQUESTS = "/storage/collections/data/defender_mssp_requests";
const MOST_CLICKS = 5;
const MOST_FIELDS = 4;
const MOST_PAGES = 2;
const MOST_WAITS_S = 24;
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

/** A person in front of the page, who counts. */
class Walk {
  clicks = 0;
  fields = 0;
  waitedS = 0;
  /** What the pages said, to be searched for files that a person would have to open. */
  readonly read: string[] = [];
  readonly pages = new Set<string>();
  readonly #page: Page;
  #isFileChosen = false;
  readonly #open = new Set<Request>();

  constructor(page: Page) {
    this.#page = page;
    page.on("filechooser", () => {
      this.#isFileChosen = true;
    });
    page.on("request", (request) => this.#open.add(request));
    page.on("requestfinished", (request) => this.#open.delete(request));
    page.on("requestfailed", (request) => this.#open.delete(request));
    page.on("framenavigated", () => this.pages.add(page.url()));
  }

  get opensFiles(): boolean {
    return this.#isFileChosen || this.read.some((text) => /\b[\w-]+\.conf\b/.test(text));
  }

  async click(target: Locator): Promise<void> {
    await target.waitFor();
    await this.look();
    this.clicks += 1;
    await target.click();
  }

  async type(target: Locator, text: string): Promise<void> {
    this.fields += 1;
    await target.fill(text);
  }

  async look(): Promise<void> {
    this.read.push(await this.#page.locator("body").innerText());
  }

  /** Moves the browser's clock second by second until this is there. What is on its way may arrive first. */
  async waitFor(target: Locator): Promise<void> {
    for (;;) {
      while (this.#open.size > 0) await this.#page.evaluate("0");
      if ((await target.count()) > 0) return;
      if (this.waitedS > 10 * MOST_WAITS_S)
        throw new Error(
          `after ${this.waitedS} s the page shows: ${await this.#page.locator("main, body").first().innerText()}`,
        );
      this.waitedS += 1;
      await this.#page.clock.runFor(SECOND_MS);
    }
  }
}

inBrowser("the way from the installed package to the first event", () => {
  let world: World;

  beforeAll(async () => {
    world = await startWorld({ tenants: ["contoso"] });
    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "absent" });
  });

  afterAll(() => world?.close());

  /** How often the binary looked for requests since `from`. */
  const looks = (from: number): number =>
    world.splunkd.rest.calls.slice(from).filter(({ method, path }) => method === "GET" && path.endsWith(REQUESTS))
      .length;

  /** How often it looked for requests until this has come. */
  async function looksUntil(has: () => boolean, what: string): Promise<number> {
    const from = world.splunkd.rest.calls.length;
    await world.splunkd.until(has, what, 600_000);
    return looks(from);
  }

  /** The binary's looks from the page's request, or from now, to the answer. */
  async function answered(ask: string, isAnswer: (row: Readonly<Record<string, unknown>>) => boolean): Promise<number> {
    const { rest } = world.splunkd;
    const asked = rest.calls.findLastIndex(({ method, path }) => method === "POST" && path.endsWith(REQUESTS));
    const from = ask === "now" ? rest.calls.length : asked;
    const rows = () => rest.kvStore.rows("TA_defender_mssp/defender_mssp_requests");
    await world.splunkd.until(() => rows().some(isAnswer), `the answer to ${ask}`, 600_000);
    return looks(from);
  }

  test("takes five clicks and four fields on two pages, waits of less than half a minute, and no file", async () => {
    const contoso = world.simulator.control.customer("contoso");
    const page = await world.open({ view: "start", laterMs: 1 });
    const walk = new Walk(page);
    const named = (name: string) => page.getByRole("textbox", { name, exact: true });
    const button = (name: string) => page.getByRole("button", { name, exact: true });
    await page.getByText("No customer yet.").waitFor();
    walk.pages.add(page.url());
    await walk.click(page.getByText("Add a customer", { exact: true }));
    await walk.type(named("Name"), "contoso");
    await walk.type(page.getByLabel("Tenant ID"), contoso.tenant_id);
    await walk.click(button("Next"));
    await walk.type(page.getByLabel("Client ID"), contoso.client_id);
    await walk.type(page.getByLabel("Client secret", { exact: true }), contoso.client_secret);
    await page.clock.pauseAt(Date.now() + 10 * SECOND_MS);
    await walk.click(button("Save and go on"));

    await page.getByText("The input is starting and makes the consent link.").waitFor();
    let binaryLooks = await answered("consent", ({ consent }) => consent !== undefined);
    await walk.waitFor(button("Copy the mail"));
    await walk.click(button("Copy the mail"));

    // Here the customer's administrator accepts: nobody's clock but theirs.
    world.simulator.control.perform({ do: "consent", customers: ["contoso"], state: "granted" });
    binaryLooks += await answered("now", ({ ask, ok }) => ask === "consent" && ok === true);
    await walk.waitFor(button("Next: test"));
    await walk.click(button("Next: test"));
    await page.getByRole("heading", { name: "Step 4 of 4" }).waitFor();
    binaryLooks += await answered("doctor", ({ ask, state }) => ask === "doctor" && state === "done");
    await walk.waitFor(page.getByText("Every check passed."));
    const isSeen = (row: Readonly<Record<string, unknown>>) => typeof row["first_event_at"] === "string";
    const rows = () => world.splunkd.rest.kvStore.rows("TA_defender_mssp/defender_mssp_status");
    binaryLooks += await looksUntil(() => rows().some(isSeen), "the first event");
    await walk.waitFor(page.getByText("First event seen at"));
    await walk.look();

    expect([walk.clicks, walk.fields, walk.pages.size, walk.opensFiles]).toEqual([
      MOST_CLICKS,
      MOST_FIELDS,
      MOST_PAGES,
      false,
    ]);
    const waits = { page: walk.waitedS, input: (binaryLooks * LOOK_MS) / SECOND_MS };
    expect([waits, waits.page + waits.input <= MOST_WAITS_S]).toEqual([waits, true]);
    expect(world.faults).toEqual([]);
  });
});
