/**
 * `npm run bench -- pages` starts this as a program of its own, because the packages of a browser are not
 * among those of the project. Prints one JSON line: `Measured`, or what this machine lacks.
 *
 *     node measure.ts RUNS
 */
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContextOptions, CDPSession, Page } from "playwright-core";
import { buildPages } from "../../../scripts/build/pages.ts";
import { launchBrowser, logIn, startWorld, TENANT, type World, whatIsMissing } from "./world.ts";

const CUSTOMERS = 2_000;
const ROWS_MOST = 50;
const STATUS = "TA_defender_mssp/defender_mssp_status";
const WITHIN_MS = 300_000;
/** Each finds another number of customers, so that the end of its rendering can be seen. */
const KEYS = ["9", "9", "9", "Backspace", "Backspace", "Backspace"];

interface Measured {
  /** Of each run: from the address to the first customer on the screen, with an empty cache. */
  readonly firstRowMs: readonly number[];
  /** Of each run: the slowest key in the field Find, until what it finds is on the screen. */
  readonly keystrokeMs: readonly number[];
  readonly bundleKb: number;
  /** Processor time of the page's main thread, which a busy machine does not lengthen. */
  readonly mainThreadMs: { readonly firstRow: readonly number[]; readonly keystroke: readonly number[] };
}

async function main(): Promise<Measured | { readonly missing: string }> {
  const runs = Number(process.argv[2]);
  const missing = whatIsMissing();
  if (missing !== undefined) return { missing };
  const names = Array.from({ length: CUSTOMERS }, (_, at) => `customer-${at + 1}`);
  // The real program reports each of them, with what the operator must do, and has nothing else to do.
  const input = (name: string) => `[defender_mssp://${name}]\ntenant_id = ${TENANT}\ncredential = nowhere\n\n`;
  const world = await startWorld({ tenants: ["contoso"], inputs: names.map(input).join("") });
  const browser = await launchBrowser();
  try {
    await reported(world);
    const loggedIn = await logInOnce(browser, world);
    const firstRowMs: number[] = [];
    const keystrokeMs: number[] = [];
    const mainThreadMs = { firstRow: [] as number[], keystroke: [] as number[] };
    for (let run = 0; run < runs; run += 1) {
      const context = await browser.newContext(loggedIn);
      const page = await context.newPage();
      const cdp = await context.newCDPSession(page);
      await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
      firstRowMs.push(await untilFirstRow(page, world));
      const loadedMs = await mainThread(cdp);
      keystrokeMs.push(await slowestKey(page));
      mainThreadMs.firstRow.push(loadedMs);
      mainThreadMs.keystroke.push(((await mainThread(cdp)) - loadedMs) / KEYS.length);
      await context.close();
    }
    const bundleKb = gzipSync((await buildPages()).code, { level: 9 }).length / 1000;
    return { firstRowMs, keystrokeMs, bundleKb, mainThreadMs };
  } finally {
    await browser.close();
    await world.close();
  }
}

/** Resolves once the program has reported all customers. */
async function reported({ splunkd }: World): Promise<void> {
  const endMs = performance.now() + WITHIN_MS;
  const count = () => splunkd.rest.kvStore.rows(STATUS).length;
  while (count() < CUSTOMERS) {
    if (performance.now() > endMs) throw new Error(`only ${count()} of ${CUSTOMERS} customers are reported`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function logInOnce(browser: Browser, { web }: World): Promise<BrowserContextOptions> {
  const context = await browser.newContext({ locale: "en-GB" });
  const page = await context.newPage();
  await page.goto(web.viewUrl("start"));
  await logIn(page);
  const storageState = await context.storageState();
  await context.close();
  return { locale: "en-GB", storageState };
}

async function mainThread(cdp: CDPSession): Promise<number> {
  const { metrics } = await cdp.send("Performance.getMetrics");
  return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN);
}

async function untilFirstRow(page: Page, { web }: World): Promise<number> {
  await page.addInitScript(`
    window.firstRowMs = new Promise((resolve) => {
      new MutationObserver((_, observer) => {
        if (document.querySelector('[data-test="customer"]') === null) return;
        observer.disconnect();
        requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
      }).observe(document, { childList: true, subtree: true });
    });`);
  await page.goto(web.viewUrl("defender_mssp"));
  const ms = (await page.evaluate("window.firstRowMs")) as number;
  await page.getByText(`${CUSTOMERS} of ${CUSTOMERS} customers`).waitFor();
  await page.getByText("Reported").first().waitFor();
  await atMostRows(page);
  return ms;
}

async function slowestKey(page: Page): Promise<number> {
  const field = page.getByLabel("Find");
  await field.fill("customer-1");
  await page.getByText(`1111 of ${CUSTOMERS} customers`).waitFor();
  const took: number[] = [];
  for (const key of KEYS) {
    await page.evaluate(`(() => {
      const found = () => [...document.querySelectorAll("p")].find((one) => / customers$/.test(one.textContent)).textContent;
      window.keyMs = new Promise((resolve) => addEventListener("keydown", ({ timeStamp }) => {
        const before = found();
        const look = () =>
          found() === before ? requestAnimationFrame(look) : setTimeout(() => resolve(performance.now() - timeStamp));
        requestAnimationFrame(look);
      }, { once: true, capture: true }));
    })()`);
    await field.press(key);
    took.push((await page.evaluate("window.keyMs")) as number);
    await atMostRows(page);
  }
  return Math.max(...took);
}

async function atMostRows(page: Page): Promise<void> {
  const rows = await page.getByTestId("customer").count();
  if (rows > ROWS_MOST) throw new Error(`${rows} rows are rendered, more than ${ROWS_MOST}`);
}

process.stdout.write(`${JSON.stringify(await main())}\n`);
