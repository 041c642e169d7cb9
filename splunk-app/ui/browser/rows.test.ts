import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { describeWith } from "../../../test/harness/real-parts.ts";
import { SplunkWeb } from "../../../test/harness/splunkweb/splunkweb.ts";
import { STATES_PACE } from "../src/state/poll-pace.ts";
import { ANSWER_WITHIN_MS } from "../src/state/rest-answer.ts";
import {
  accessibilityFaults,
  callSplunkd,
  disabledInput,
  inputsMade,
  picture,
  startWorld,
  TENANT,
  type World,
  whatIsMissing,
} from "./world.ts";
import "./busy-machine.ts";

const INPUTS = "/data/inputs/defender_mssp";
const MARKUP = "<img src=x onerror=document.title='hacked'>";
const inBrowser = describeWith("Chromium, its packages and the executable", whatIsMissing());

inBrowser("what is done to one customer in Splunk Web", () => {
  let world: World;

  beforeAll(async () => {
    const enabled = `[defender_mssp://running]\ntenant_id = ${TENANT}\ncredential = nowhere\ntenant_name = running\n\n`;
    const model = `[defender_mssp://model]\ntenant_id = ${TENANT}\nclient_id = ${TENANT}\nclient_secret = ********\ntenant_name = Model ${MARKUP}\npoll_seconds = 120\nindex = model\ndisabled = 1\n\n`;
    const others = ["edited", "deleted", "twice", "slow"].map(disabledInput).join("");
    const lost = ["lost", "taken", "not-taken"]
      .map((name) => disabledInput(name).replace("disabled = 1", "client_secret = ********"))
      .join("");
    world = await startWorld({ tenants: ["contoso"], inputs: enabled + model + others + lost });
  });

  beforeEach(() => {
    world.faults.length = 0;
    world.web.interferences.length = 0;
    world.web.calls.length = 0;
  });

  afterEach(() => world?.closePages());

  afterAll(() => world?.close());

  /** The list with one customer in it. */
  async function found(name: string): Promise<Page> {
    const page = await world.open();
    await page.getByLabel("Find").fill(name);
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    return page;
  }

  async function edited(name: string): Promise<Page> {
    const page = await world.open({ hash: `#/customer/${name}` });
    await page.getByLabel("Start").fill("30d");
    return page;
  }

  /** The text of a stanza in inputs.conf. */
  function stanza(name: string): string {
    const conf = readFileSync(`${world.splunkd.installed.folder}/local/inputs.conf`, "utf8");
    return conf.split(/^(?=\[)/m).find((one) => one.startsWith(`[defender_mssp://${name}]`)) ?? "";
  }

  const save = (page: Page) => page.getByRole("button", { name: "Save", exact: true }).click();
  async function typedIn(name: string, secret: string): Promise<Page> {
    const page = await world.open({ hash: "#/add" });
    await page.getByRole("textbox", { name: "Name", exact: true }).fill(name);
    await page.getByLabel("Tenant ID").fill(TENANT);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(TENANT);
    await page.getByLabel("Client secret", { exact: true }).fill(secret);
    return page;
  }

  /** Edits of this input get no answer; they arrive where it is `taken`. */
  async function loseEdits(page: Page, name: string, isTaken: boolean): Promise<{ goOn(): Promise<void> }> {
    const isEdit = (url: URL): boolean => url.pathname.endsWith(`${INPUTS}/${name}`);
    await page.route(isEdit, async (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      if (isTaken) await route.fetch();
      return route.abort();
    });
    return { goOn: () => page.unroute(isEdit) };
  }

  interface Held {
    /** Resolves when the first creation waits: splunkd sees nothing of it, so `until` is not woken by it. */
    readonly first: Promise<void>;
    readonly creations: readonly (() => Promise<void>)[];
  }

  /** Creations of inputs on these pages wait for whoever calls what is returned. */
  async function holdCreations(...pages: readonly Page[]): Promise<Held> {
    const creations: (() => Promise<void>)[] = [];
    const { promise: first, resolve } = Promise.withResolvers<void>();
    for (const page of pages)
      await page.route(
        (url) => url.pathname.endsWith(INPUTS),
        async (route) => {
          if (route.request().method() !== "POST") {
            await route.fallback();
            return;
          }
          creations.push(() => route.fallback());
          resolve();
        },
      );
    return { first, creations };
  }

  /** The page Import with a list of one new customer. */
  async function listed(name: string): Promise<Page> {
    const page = await world.open({ hash: "#/import" });
    await page.getByLabel("List", { exact: true }).fill(`name,tenant\n${name},${TENANT.replaceAll("1", "8")}\n`);
    await page.getByLabel("Shared credential").fill("mssp");
    await page.getByRole("button", { name: "Check the list" }).click();
    await page.getByText("1 new, 0 changed").waitFor();
    return page;
  }

  /** The stored text of an own client secret. */
  function storedSecret(name: string): string | undefined {
    const entries = world.splunkd.rest.passwords.list();
    const chunk = entries.find((one) => one.name.startsWith(`customer.${name}.client_secret.`));
    return chunk === undefined ? undefined : (JSON.parse(chunk.password) as string);
  }

  const intake = () => world.splunkd.rest.passwords.list().filter(({ realm }) => realm === "defender_mssp:intake");

  const slotsOf = (name: string) => intake().filter((one) => one.name.startsWith(`${name}~`));

  /** The input stores a secret first, and then deletes what the page wrote, piece by piece. */
  async function takenOver(name: string, secret: string): Promise<void> {
    const isOver = (): boolean => storedSecret(name) === secret && slotsOf(name).length === 0;
    await world.splunkd.until(isOver, "the secret to be taken over");
  }

  test("a customer is tested from its row by the real binary, and Escape closes the test and gives the focus back", async () => {
    const page = await found("running");
    const button = page.getByRole("button", { name: "Test running" });
    await button.focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByText("The shared credential nowhere is not stored").first().waitFor();
    await dialog.getByText("Who must act: you.").waitFor();
    await picture(page, "customer-test");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await page.waitForFunction('document.activeElement?.getAttribute("aria-label") === "Test running"');
    expect(world.faults).toEqual([]);
  });

  test("a clone has the settings of its model, also those that no step shows, and neither its tenant nor its secret", async () => {
    const page = await found("model");
    await page.getByRole("link", { name: /^Clone Model/ }).click();
    await page.getByText("Copied beside what these steps show: Poll every (seconds).").waitFor();
    await page.getByText("Not copied, type it again: Client secret.").waitFor();
    expect(await page.getByLabel("Tenant ID").inputValue()).toBe("");
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("clone");
    await page.getByLabel("Tenant ID").fill(TENANT.replaceAll("1", "7"));
    await page.getByRole("button", { name: "Next" }).click();
    expect(await page.getByLabel("Client ID").inputValue()).toBe(TENANT);
    await page.getByLabel("Client secret", { exact: true }).fill("v~clone");
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    expect(stanza("clone")).toMatch(/^poll_seconds = 120$/m);
    expect(stanza("clone")).not.toMatch(/^(index|tenant_name) = /m);
    expect(await page.title()).not.toContain("hacked");
    expect(world.faults).toEqual([]);
  });

  test("settings of a model that arrive after the clone was saved do not go unseen with the next save", async () => {
    const page = await world.open({ hash: "#/customers" });
    const arrives = Promise.withResolvers<void>();
    await page.route(/\/defender_mssp\/model\?/, async (route) => {
      await arrives.promise;
      await route.continue();
    });
    await page.evaluate('location.hash = "#/add/model"');
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("late-clone");
    await page.getByLabel("Tenant ID").fill(TENANT.replaceAll("1", "6"));
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByLabel("Client ID").fill(TENANT);
    await page.getByLabel("Client secret", { exact: true }).fill("v~late");
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    const arrived = page.waitForResponse(/\/defender_mssp\/model\?/);
    arrives.resolve();
    await (await arrived).finished();
    await page.getByRole("button", { name: "Back" }).click();
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    expect(stanza("late-clone")).not.toMatch(/poll_seconds/);
    expect(world.faults).toEqual([]);
  });

  test("of two admins who edit one customer the second is told what the first changed, and what it typed stays", async () => {
    const page = await edited("edited");
    await page.getByLabel("Poll every (seconds)").fill("90");
    await callSplunkd(world.splunkd, "POST", "edited", { tenant_id: TENANT, start: "14d", sweep_hours: "12" });
    await save(page);
    await page.getByText(/Somebody else changed this customer meanwhile: .*Start/).waitFor();
    expect(await page.getByLabel("Start").inputValue()).toBe("30d");
    expect(await page.getByLabel("Poll every (seconds)").inputValue()).toBe("90");
    expect(stanza("edited")).toMatch(/^start = 14d$/m);
    expect(await accessibilityFaults(page)).toEqual([]);

    await save(page);
    await page.getByText("Saved.").waitFor();
    expect(stanza("edited")).toMatch(/^start = 30d$/m);
    expect(stanza("edited")).toMatch(/^poll_seconds = 90$/m);
    expect(stanza("edited")).toMatch(/^sweep_hours = 12$/m);
    expect(world.faults).toEqual([]);
  });

  test("who edits a customer that another admin deletes is told so, keeps what was typed, and makes no new one", async () => {
    const page = await edited("deleted");
    await page.getByLabel("Client secret", { exact: true }).fill("v~typed");
    expect(await callSplunkd(world.splunkd, "DELETE", "deleted")).toBe(200);
    await save(page);
    await page.getByText("deleted was deleted meanwhile. Nothing is saved. What you typed stays here").waitFor();
    expect(await page.getByLabel("Start").inputValue()).toBe("30d");
    expect(await page.getByLabel("Client secret", { exact: true }).inputValue()).toBe("v~typed");
    expect([stanza("deleted"), intake()]).toEqual(["", []]);
    expect(world.faults).toEqual([]);
  });

  test("who deletes a customer that another admin has deleted is told so, and the list is as it is", async () => {
    const page = await found("twice");
    await page.getByRole("button", { name: "Delete twice" }).click();
    await callSplunkd(world.splunkd, "DELETE", "twice");
    await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("This no longer exists in Splunk.").waitFor();
    await page.getByText(/^0 of \d+ customers$/).waitFor();
    expect(world.faults).toEqual([]);
  });

  test("of two admins who create one name at once the second is told that it is taken, and the first one's secret stays", async () => {
    const [first, second] = [await typedIn("both", "v~first"), await typedIn("both", "v~second")];
    const held = await holdCreations(first, second);
    await first.getByRole("button", { name: "Save and go on" }).click();
    await held.first;
    await second.getByRole("button", { name: "Save and go on" }).click();
    await second.getByText("This name is taken: somebody else is adding an input with it now.").waitFor();
    await picture(second, "add-name-taken");
    expect(await second.getByLabel("Client secret", { exact: true }).inputValue()).toBe("v~second");

    for (const goOn of held.creations) await goOn();
    await first.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    await takenOver("both", "v~first");
    await second.getByRole("button", { name: "Save and go on" }).click();
    await second.getByText("An input with this name already exists. Choose another name.").waitFor();
    expect(slotsOf("both")).toEqual([]);
    expect(storedSecret("both")).toBe("v~first");
    expect(world.faults).toEqual([]);
  });

  test("an import creates no input whose name another admin is adding, so it cannot take the typed secret", async () => {
    const [adding, importing] = [await typedIn("added", "v~added"), await listed("added")];
    const held = await holdCreations(adding);
    await adding.getByRole("button", { name: "Save and go on" }).click();
    await held.first;
    await importing.getByRole("button", { name: "Import 1" }).click();
    const row = importing.getByTestId("row");
    await row.getByText("This name is taken: somebody else is adding an input with it now.").waitFor();
    await row.getByText("failed", { exact: true }).waitFor();
    expect(stanza("added")).toBe("");
    expect(await accessibilityFaults(importing)).toEqual([]);

    for (const goOn of held.creations) await goOn();
    await adding.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    await takenOver("added", "v~added");
    await importing.getByRole("button", { name: "Try 1 again" }).click();
    await row.getByText("An input with this name exists already, with other settings").waitFor();
    expect(stanza("added")).toContain(`tenant_id = ${TENANT}`);
    expect(slotsOf("added")).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("while an import creates an input, nobody's secret is stored under its name, and the name is released", async () => {
    const [adding, importing] = [await typedIn("imported", "v~late"), await listed("imported")];
    const held = await holdCreations(importing);
    await importing.getByRole("button", { name: "Import 1" }).click();
    await held.first;
    await adding.getByRole("button", { name: "Save and go on" }).click();
    await adding.getByText("This name is taken: somebody else is adding an input with it now.").waitFor();
    expect(await adding.getByLabel("Client secret", { exact: true }).inputValue()).toBe("v~late");
    expect(slotsOf("imported~client_secret")).toEqual([]);

    for (const goOn of held.creations) await goOn();
    await importing.getByText("1 of 1 are written").waitFor();
    expect(slotsOf("imported")).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("a claim and a secret that the browser sends twice, because an answer was lost, are the page's own", async () => {
    const page = await typedIn("resent", "v~resent");
    let resent = 0;
    await page.route("**/storage/passwords?*", async (route) => {
      if (route.request().method() === "POST") {
        resent += 1;
        await route.fetch();
      }
      await route.fallback();
    });
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    await takenOver("resent", "v~resent");
    expect(resent).toBeGreaterThan(2);
    expect(slotsOf("resent")).toEqual([]);
    expect(world.faults).toEqual([]);
  });

  test("a page that is interrupted between a secret and its input leaves no input, and the secret typed again counts", async () => {
    const dying = await typedIn("crashed", "v~first");
    // From here on nothing of the page arrives: closing it alone would let a request that is held go on.
    await dying.route(
      (url) => url.pathname.includes("/splunkd/__raw/"),
      (route) => {
        const isSlot = route.request().method() === "POST" && route.request().url().includes("/storage/passwords");
        return isSlot || route.request().method() === "GET" ? route.fallback() : route.abort();
      },
    );
    await dying.getByRole("button", { name: "Save and go on" }).click();
    await dying.getByText("Splunk Web does not answer. What you typed stays").waitFor();
    await dying.close();
    expect([stanza("crashed"), intake().length > 0]).toEqual(["", true]);

    const page = await typedIn("crashed", "v~second");
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByText("This name is taken: somebody else is adding an input with it now.").waitFor();
    world.splunkd.rest.clockAheadMs = 120_000;
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "Step 3 of 4" }).waitFor();
    world.splunkd.rest.clockAheadMs = 0;
    await world.splunkd.until(() => slotsOf("crashed~client_secret").length === 0, "both slots to be taken over");
    const chunks = world.splunkd.rest.passwords
      .list()
      .filter(({ name }) => /^customer\.crashed\.client_secret\..*\.\d+$/.test(name));
    expect(chunks.map(({ password }) => password)).toEqual(['"v~second"']);
    expect(stanza("crashed")).toMatch(/^client_secret = \*{8}$/m);
    expect(world.faults).toEqual([]);
  });

  test("an edit that splunkd took but whose answer was lost is saved when it can be seen, and its secret counts", async () => {
    const page = await edited("lost");
    await page.getByLabel("Client secret", { exact: true }).fill("v~lost");
    await loseEdits(page, "lost", true);
    await save(page);
    await page.getByText("Saved.").waitFor();
    expect(stanza("lost")).toMatch(/^start = 30d$/m);
    await world.splunkd.until(() => storedSecret("lost") === "v~lost", "the secret to be taken over");
    expect(world.faults).toEqual([]);
  });

  test.each([
    ["taken", true],
    ["not-taken", false],
  ])(
    "a secret whose edit got no answer (%s) is kept for the input, the person is told, and the next save goes on",
    async (name, isTaken) => {
      const page = await (isTaken ? world.open({ hash: `#/customer/${name}` }) : edited(name));
      const secret = page.getByLabel("Client secret", { exact: true });
      await secret.fill(`v~${name}`);
      const connection = await loseEdits(page, name, isTaken);
      await save(page);
      await page.getByText("Splunk Web does not answer. What you typed stays").waitFor();
      await page.getByText("The secret you typed lies in Splunk's credential store").waitFor();
      expect(await secret.inputValue()).toBe(`v~${name}`);
      const isKept = (): boolean => (isTaken ? storedSecret(name) === `v~${name}` : slotsOf(name).length > 0);
      await world.splunkd.until(isKept, "the secret to be taken over, or to wait for the input");

      await connection.goOn();
      await save(page);
      await page.getByText("Saved.").waitFor();
      expect(/^start = 30d$/m.test(stanza(name))).toBe(!isTaken);
      await takenOver(name, `v~${name}`);
      expect(world.faults).toEqual([]);
    },
  );

  test("while splunkd is slow a save is sent once, and what is typed meanwhile stays", async () => {
    const page = await edited("slow");
    const held: (() => Promise<void>)[] = [];
    const { promise: isSent, resolve: sent } = Promise.withResolvers<void>();
    let posts = 0;
    await page.route(
      (url) => url.pathname.endsWith(`${INPUTS}/slow`),
      async (route) => {
        if (route.request().method() !== "POST") {
          await route.fallback();
          return;
        }
        posts += 1;
        held.push(() => route.fallback());
        sent();
      },
    );
    const button = page.getByRole("button", { name: "Save", exact: true });
    await button.click();
    await page.getByRole("button", { name: "Saving" }).waitFor();
    expect(await page.getByRole("button", { name: "Saving" }).isDisabled()).toBe(true);
    await page.getByLabel("Poll every (seconds)").fill("75");
    // The page reads the input before it saves.
    await isSent;
    for (const goOn of held) await goOn();
    await page.getByText("Saved.").waitFor();
    expect([posts, await page.getByLabel("Poll every (seconds)").inputValue()]).toEqual([1, "75"]);
    expect(stanza("slow")).not.toMatch(/poll_seconds/);
    expect(world.faults).toEqual([]);
  });

  test("a request that gets no answer is given up with a sentence, nothing typed is lost, and the list is asked for again", async () => {
    const page = await world.open({ laterMs: 1 });
    await page.getByLabel("Find").fill("running");
    await page.getByText(/^1 of \d+ customers$/).waitFor();
    await page.getByTestId("customer").getByText("Reported").waitFor();
    const isStatus = (url: URL): boolean => url.pathname.endsWith("/defender_mssp_status");
    await page.route(isStatus, () => undefined);
    const unanswered = page.waitForRequest((request) => isStatus(new URL(request.url())));
    const list = page.waitForResponse((response) => new URL(response.url()).pathname.endsWith(INPUTS));
    await page.clock.fastForward(STATES_PACE.oftenMs);
    await unanswered;
    // Else the list is given up too, and the states are waited for at the next look only.
    await (await list).finished();
    await page.clock.fastForward(ANSWER_WITHIN_MS);
    const note = page.getByText("States cannot be shown. Splunk Web has not answered for 60 seconds.");
    await note.waitFor();
    expect(await page.getByLabel("Find").inputValue()).toBe("running");
    expect(await page.getByTestId("customer").count()).toBe(1);
    await page.unroute(isStatus);
    await page.clock.fastForward(STATES_PACE.oftenMs);
    await note.waitFor({ state: "hidden" });
    expect(world.faults).toEqual([]);
  });

  test("a save that gets no answer says that it may be saved, and what was typed stays", async () => {
    const page = await world.open({ hash: "#/customer/slow", laterMs: 1 });
    const start = page.getByLabel("Start");
    await start.fill("20d");
    let posts = 0;
    const { promise: unanswered, resolve: sent } = Promise.withResolvers<void>();
    await page.route(
      (url) => url.pathname.endsWith(`${INPUTS}/slow`),
      (route) => {
        if (route.request().method() !== "POST") return route.fallback();
        posts += 1;
        sent();
        return posts === 1 ? undefined : route.fallback();
      },
    );
    await save(page);
    await unanswered;
    await page.clock.fastForward(ANSWER_WITHIN_MS);
    await page.getByText("Splunk Web has not answered for 60 seconds. What you typed stays. It is not known").waitFor();
    expect(await start.inputValue()).toBe("20d");
    await save(page);
    await page.getByText("Saved.").waitFor();
    expect(stanza("slow")).toMatch(/^start = 20d$/m);
    expect(world.faults).toEqual([]);
  });

  test("a reader without rights is told so on every page, and the pages stay whole", async () => {
    for (const hash of ["#/customers", "#/customer/model", "#/credentials", "#/add/model", "#/import"]) {
      const page = await world.open({ hash: "#/nothing" });
      await page.route(
        (url) => url.pathname.includes("/splunkd/__raw/"),
        (route) =>
          route.fulfill({ status: 403, json: { messages: [{ type: "ERROR", text: "requires capability (x)" }] } }),
      );
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      if (hash === "#/import") {
        await page.getByLabel("List", { exact: true }).fill(`name,tenant\na,${TENANT}\n`);
        await page.getByRole("button", { name: "Check the list" }).click();
      }
      await page.getByText("You are not allowed to do this. requires capability (x)").first().waitFor();
      expect([hash, await accessibilityFaults(page)]).toEqual([hash, []]);
      await page.close();
    }
    expect(world.faults).toEqual([]);
  });

  test("under another root path and locale, and in the dark, a list is checked and the credentials are shown", async () => {
    const web = await SplunkWeb.start({ splunkd: world.splunkd, root: "/splunk", locale: "de-DE", theme: "dark" });
    try {
      const page = await world.open({ web, hash: "#/import" });
      await page.getByLabel("List", { exact: true }).fill(`name,tenant\n${MARKUP},${TENANT}\n`);
      await page.getByRole("button", { name: "Check the list" }).click();
      await page.getByText(`Line 2 (${MARKUP}) has a name with <, >, [ or ]; write it without.`).waitFor();
      expect(await accessibilityFaults(page)).toEqual([]);
      const credentials = await world.open({ web, hash: "#/credentials" });
      await credentials.getByText("No shared credential is stored.").waitFor();
      await credentials.getByRole("button", { name: "Add a credential" }).click();
      await credentials.getByRole("dialog").waitFor();
      expect(await accessibilityFaults(credentials)).toEqual([]);
      expect(await page.title()).not.toContain("hacked");
      expect(world.faults).toEqual([]);
    } finally {
      await web.close();
    }
  });

  test("at 320 pixels nothing of a row, a clone or a test is cut off", async () => {
    const page = await world.open({ width: 320 });
    await page.getByTestId("customer").first().waitFor();
    await page.getByRole("button", { name: "Test running" }).click();
    await page.getByRole("dialog").getByText("The shared credential nowhere is not stored").first().waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(320);
    const clone = await world.open({ hash: "#/add/model", width: 320 });
    await clone.getByText("are copied.").waitFor();
    expect(await clone.evaluate("document.documentElement.scrollWidth")).toBe(320);
    expect(inputsMade(world.splunkd)).not.toContain("twice");
    expect(world.faults).toEqual([]);
  });
});
