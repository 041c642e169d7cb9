import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import type { Page } from "playwright-core";
import { FAKETIME_LIBRARY, faketimeEnvironment, setWallClock } from "../../../test/crash/faketime.ts";
import { describeWith } from "../../../test/harness/real-parts.ts";
import {
  accessibilityFaults,
  callSplunkd,
  collectedInput,
  cutOff,
  picture,
  startWorld,
  type World,
  whatIsMissing,
} from "./world.ts";

// The bound for a busy machine: states are waited for by what the input says.
jest.setTimeout(400_000);

const missing = whatIsMissing() ?? (FAKETIME_LIBRARY === undefined ? "faketime is not installed" : undefined);
const inBrowser = describeWith("Chromium, its packages, faketime and the executable", missing);

const STATUS = "TA_defender_mssp/defender_mssp_status";
const WOODGROVE = "99999999-1111-4111-8111-111111111111";
const PROSEWARE = "88888888-1111-4111-8111-111111111111";
const LOOK_S = 300;
/** Nobody counts as silent before the input has run for so long. */
const SILENT_AFTER_S = 7_800;
const STEP_EVERY_MS = 2_000;

inBrowser("the list of customers against reality, read by the input itself", () => {
  let world: World;
  let clockFolder = "";
  let list = "";
  let aheadS = 0;

  /** The binary's clocks; Microsoft's and the browser's stay. */
  function step(seconds: number): void {
    aheadS += seconds;
    setWallClock(path.join(clockFolder, "clock"), aheadS);
  }

  const idOf = (name: string) => world.simulator.control.customer(name).tenant_id;

  const found = (): readonly (readonly [string, string])[] =>
    world.splunkd.rest.kvStore
      .rows(STATUS)
      .flatMap(
        ({ roster }) => (roster as { readonly differences: readonly Difference[] } | undefined)?.differences ?? [],
      )
      .map(({ tenant, difference }) => [tenant, difference] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1));

  /** Until the input has found these differences; each look is five minutes of its clock later. */
  async function compared(wanted: readonly (readonly [string, string])[]): Promise<void> {
    const looks = setInterval(() => step(LOOK_S), STEP_EVERY_MS);
    try {
      await world.splunkd.until(
        () => JSON.stringify(found()) === JSON.stringify(wanted),
        `the differences ${JSON.stringify(wanted)}`,
        120_000,
      );
    } finally {
      clearInterval(looks);
    }
  }

  beforeAll(async () => {
    clockFolder = mkdtempSync(path.join(tmpdir(), "roster-clock-"));
    step(0);
    const { FAKETIME_DONT_FAKE_MONOTONIC: _wallClockOnly, ...environment } = faketimeEnvironment(
      path.join(clockFolder, "clock"),
    );
    world = await startWorld({
      tenants: ["contoso", "quiet", "ended"],
      environment,
      inputs: (simulator) => {
        const fails = { status: 500 };
        simulator.control.perform({ do: "fault", on: ["alerts", "incidents"], customers: ["quiet"], answer: fails });
        return ["contoso", "quiet", "ended"].map((name) => collectedInput(simulator, name)).join("");
      },
      common(home, simulator) {
        const folder = path.join(home, "etc/auth/defender_mssp");
        mkdirSync(folder, { recursive: true });
        list = path.join(folder, "customers.csv");
        const rows = ["contoso", "quiet", "ended"].map(
          (name) => `${name},${simulator.control.customer(name).tenant_id}\n`,
        );
        writeFileSync(list, `name,tenant\n${rows.join("")}Proseware,${PROSEWARE}\nWoodgrove,${WOODGROVE}\n`);
        return `discover = file:${list}\n`;
      },
    });
    await world.splunkd.until(
      ({ log }) => log.some((line) => line.includes("the list of customers was read")),
      "the list of customers",
      120_000,
    );
    writeFileSync(
      list,
      `name,tenant\ncontoso,${idOf("contoso")}\nquiet,${idOf("quiet")}\nProseware,${PROSEWARE}\nWoodgrove,${WOODGROVE}\n`,
    );
    step(SILENT_AFTER_S);
    await compared([
      ["Proseware", "not-configured"],
      ["Woodgrove", "not-configured"],
      ["ended", "not-under-contract"],
      ["quiet", "silent"],
    ]);
  });

  afterEach(() => world?.closePages());

  afterAll(async () => {
    await world?.close();
    rmSync(clockFolder, { recursive: true, force: true });
  });

  const row = (page: Page, name: string) =>
    page.getByRole("region", { name: "List of customers against reality" }).getByRole("row").filter({ hasText: name });

  test("one under contract but not configured, one ended and one silent are shown as they are, each with who must act", async () => {
    const page = await world.open({ hash: "#/health" });
    await row(page, "Woodgrove").getByText("not-configured").waitFor();
    expect(
      await page.getByText(/4 under contract · 3 configured · \d consented · \d collected · 1 silent/).count(),
    ).toBe(1);
    expect(await row(page, "Woodgrove").innerText()).toMatch(/you[^]*Add the customer[^]*99999999/);
    expect(await row(page, idOf("ended")).innerText()).toMatch(
      /not-under-contract[^]*you[^]*whether the contract has ended/,
    );
    expect(await row(page, idOf("quiet")).innerText()).toMatch(/silent[^]*Microsoft/);
    expect(await row(page, idOf("contoso")).count()).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);
    await row(page, "Woodgrove").scrollIntoViewIfNeeded();
    await picture(page, "health-roster");
    const narrow = await world.open({ hash: "#/health", width: 320 });
    await row(narrow, "Woodgrove").waitFor();
    expect(await cutOff(narrow)).toEqual([]);
    await page.getByRole("link", { name: "quiet" }).last().click();
    await page.getByRole("heading", { level: 1, name: "quiet" }).waitFor();
    expect(world.faults).toEqual([]);
  });

  test("customers that were added are no longer shown as missing, though each save restarts the input", async () => {
    const before = world.splunkd.pid;
    for (const [name, tenant_id] of [
      ["Woodgrove", WOODGROVE],
      ["Proseware", PROSEWARE],
    ] as const)
      expect(await callSplunkd(world.splunkd, "POST", "", { name, tenant_id, credential: "nowhere" })).toBe(201);
    expect(await callSplunkd(world.splunkd, "DELETE", "ended")).toBe(200);
    await world.splunkd.until(({ pid }) => pid !== before, "the restart");
    // The run before reported differences; this one has none.
    await compared([]);
    const page = await world.open({ hash: "#/health" });
    await page.getByText("4 under contract · 4 configured").waitFor();
    await page.getByText("The customers are as the list says.").first().waitFor();
    expect(world.faults).toEqual([]);
  });
});

interface Difference {
  readonly tenant: string;
  readonly difference: string;
}
