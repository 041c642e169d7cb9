/**
 * A browser, the fake Splunk Web, the real binary from the real package and the simulator: for tests of the
 * pages. Needs Debian's Chromium, and the packages of splunk-app/ui (`npm run pages` installs them).
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { bundle } from "../../../scripts/build/bundle.ts";
import { buildPages } from "../../../scripts/build/pages.ts";
import { binaryPath } from "../../../scripts/build/platforms.ts";
import { ROOT } from "../../../scripts/build/project.ts";
import { technologyAddon } from "../../../scripts/package/contents.ts";
import { type Simulator, startSimulator } from "../../../test/harness/simulator/start.ts";
import { type Splunkd, startSplunkd } from "../../../test/harness/splunkd/splunkd.ts";
import { SplunkWeb, type SplunkWebOptions } from "../../../test/harness/splunkweb/splunkweb.ts";

const CHROMIUM = "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];

/** Why the pages cannot be tested here; undefined where they can. */
export function whatIsMissing(): string | undefined {
  if (process.env["DEFENDER_MSSP_REAL_PARTS"] !== "1") return "DEFENDER_MSSP_REAL_PARTS is not 1";
  if (!existsSync(CHROMIUM)) return "Chromium is not installed (Debian: chromium)";
  if (!existsSync(path.join(ROOT, "splunk-app/ui/node_modules/playwright-core")))
    return "the packages of splunk-app/ui are not installed (npm run pages)";
  return existsSync(path.join(ROOT, binaryPath("linux-x64"))) ? undefined : "there is no binary for Linux on x64";
}

/** For a machine that is busy: it only ends what hangs. */
const SHOWN_WITHIN_MS = 240_000;

export interface World {
  readonly simulator: Simulator;
  readonly splunkd: Splunkd;
  readonly web: SplunkWeb;
  /** Where the real binary writes its events. */
  readonly out: string;
  /** A page of a browser that has logged in, at a view. What it does wrong is in `faults`. */
  open(where?: Where): Promise<Page>;
  /** Pages that stay open go on polling. */
  closePages(): Promise<void>;
  /** Closes the pages and throws what they did wrong, so that no test can forget to look. */
  endTest(): Promise<void>;
  /** Requests that left the origin, errors in the console, errors that nobody caught. */
  readonly faults: string[];
  close(): Promise<void>;
}

export interface Where {
  readonly hash?: string;
  readonly view?: string;
  readonly width?: number;
  /** Another Splunk Web over the same splunkd. */
  readonly web?: SplunkWeb;
  readonly withoutScripts?: boolean;
  /** How far ahead the browser's clock is. */
  readonly laterMs?: number;
}

export interface WorldOptions {
  /** Folders of the simulator's customers, each with the alerts of a fixture. */
  readonly tenants: readonly string[];
  /** inputs.conf behind `[defender_mssp]`, which points at the simulator. */
  readonly inputs?: string | ((simulator: Simulator) => string);
  /** More lines of `[defender_mssp]`. May write the files that they name into the home. */
  readonly common?: (home: string, simulator: Simulator) => string;
  /** Of the real binary. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly web?: Omit<SplunkWebOptions, "splunkd">;
}

export async function launchBrowser(): Promise<Browser> {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS, timeout: SHOWN_WITHIN_MS });
}

export async function startWorld({
  tenants,
  inputs = "",
  common = () => "",
  environment = {},
  web: options = {},
}: WorldOptions): Promise<World> {
  const { selectors } = await import("playwright-core");
  selectors.setTestIdAttribute("data-test");
  const scratch = mkdtempSync(path.join(tmpdir(), "pages-"));
  const data = path.join(scratch, "tenants");
  mkdirSync(data);
  for (const name of tenants)
    cpSync(path.join(ROOT, "test/fixtures/customers/fabrikam"), path.join(data, name), { recursive: true });
  const simulator = await startSimulator({ data, shiftToNow: true });
  const { login_url, graph_url, api_url, ca_file } = simulator.ready;
  const conf = path.join(scratch, "inputs.conf");
  const home = path.join(scratch, "home");
  const stanzas = typeof inputs === "string" ? inputs : inputs(simulator);
  writeFileSync(
    conf,
    `[defender_mssp]\nlogin_url = ${login_url}\ngraph_url = ${graph_url}\napi_url = ${api_url}\nca_file = ${ca_file}\n${common(home, simulator)}\n${stanzas}`,
  );
  await unpackApp(scratch);
  const out = path.join(scratch, "events.xml");
  const splunkd = await startSplunkd({
    app: path.join(scratch, "TA_defender_mssp"),
    conf,
    out,
    home,
    environment,
    validate: 0,
  });
  const web = await SplunkWeb.start({ splunkd, ...options });
  const browser = await launchBrowser();
  const faults: string[] = [];
  const contexts = new Map<string, Promise<BrowserContext>>();
  const makeContext = async (isScripted: boolean, laterMs: number): Promise<BrowserContext> => {
    const made = await browser.newContext({ locale: "en-GB", javaScriptEnabled: isScripted, reducedMotion: "reduce" });
    made.setDefaultTimeout(SHOWN_WITHIN_MS);
    if (laterMs > 0) await made.clock.install({ time: Date.now() + laterMs });
    return made;
  };
  const contextFor = (isScripted: boolean, laterMs: number): Promise<BrowserContext> => {
    const key = `${isScripted} ${laterMs}`;
    const made = contexts.get(key) ?? makeContext(isScripted, laterMs);
    contexts.set(key, made);
    return made;
  };
  const closePages = async (): Promise<void> => {
    for (const context of contexts.values()) for (const page of (await context).pages()) await page.close();
  };
  return {
    simulator,
    splunkd,
    web,
    out,
    faults,
    async open({ hash = "", view = "defender_mssp", width = 1280, web: host = web, ...how } = {}) {
      const page = await (await contextFor(how.withoutScripts !== true, how.laterMs ?? 0)).newPage();
      await page.setViewportSize({ width, height: 900 });
      watch(page, new URL(host.url).origin, faults);
      await page.goto(`${host.viewUrl(view)}${hash}`);
      if (page.url().includes("/account/login")) {
        await logIn(page);
        // The part behind # is not sent to the server, so the login cannot bring it back.
        await page.goto(`${host.viewUrl(view)}${hash}`);
      }
      return page;
    },
    closePages,
    async endTest() {
      await closePages();
      const wrong = faults.splice(0);
      if (wrong.length > 0) throw new Error(wrong.join("\n"));
    },
    async close() {
      await browser.close();
      await web.close();
      await splunkd.stop();
      await simulator.stop();
      rmSync(scratch, { recursive: true, force: true });
    },
  };
}

export const TENANT = "11111111-2222-3333-4444-555555555555";

/** A customer of the simulator that is collected for. */
export function collectedInput(simulator: Simulator, name: string, more = ""): string {
  const { tenant_id, client_id, client_secret } = simulator.control.customer(name);
  return `[defender_mssp://${name}]\ntenant_id = ${tenant_id}\nclient_id = ${client_id}\nclient_secret = ${client_secret}\nauth = app\npoll_seconds = 1\nstart = 3650d\n${more}\n`;
}

/** For what needs only an input: nothing is collected for it. */
export function disabledInput(name: string): string {
  return `[defender_mssp://${name}]\ntenant_id = ${TENANT}\nclient_id = ${TENANT}\ntenant_name = ${name}\ndisabled = 1\n\n`;
}

/** What another administrator does meanwhile, past every page. */
export function callSplunkd(
  splunkd: Splunkd,
  method: "POST" | "DELETE",
  input: string,
  form: Readonly<Record<string, string>> = {},
): Promise<number> {
  const base = `${splunkd.serverUri}/servicesNS/nobody/TA_defender_mssp/data/inputs/defender_mssp`;
  const headers = { authorization: `Basic ${Buffer.from("admin:changeme").toString("base64")}` };
  return new Promise((resolve, reject) => {
    const url = `${base}${input === "" ? "" : `/${encodeURIComponent(input)}`}`;
    const sent = httpsRequest(url, { method, headers, ca: readFileSync(splunkd.caFile) }, (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
    });
    sent.once("error", reject);
    sent.end(new URLSearchParams(form).toString());
  });
}

/** Names of the inputs that pages made, in the order of inputs.conf. */
export function inputsMade({ installed }: Splunkd): readonly string[] {
  const conf = readFileSync(path.join(installed.folder, "local/inputs.conf"), "utf8");
  return [...conf.matchAll(/^\[defender_mssp:\/\/(.*)\]$/gm)].map(([, name = ""]) => name);
}

/** On Splunk Web's login page. */
export async function logIn(page: Page): Promise<void> {
  await page.getByLabel("Username").fill("admin");
  await page.getByLabel("Password").fill("changeme");
  await page.getByRole("button", { name: "Sign In" }).click();
  await page.waitForURL((url) => !url.pathname.includes("/account/login"));
}

/** The documentation holds copies of pictures. */
const PICTURE_MAX_BYTES = 150_000;
const PICTURES_MAX_BYTES = 3_000_000;

/** Takes a picture for the documentation and for whoever reviews a change; none is ever compared. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = path.join(ROOT, "dist/pictures");
  mkdirSync(folder, { recursive: true });
  const bytes = await page.screenshot({ path: path.join(folder, `${name}.png`), animations: "disabled" });
  if (bytes.length > PICTURE_MAX_BYTES) throw new Error(`the picture ${name} has ${bytes.length} bytes`);
  const all = readdirSync(folder).reduce((sum, file) => sum + statSync(path.join(folder, file)).size, 0);
  if (all > PICTURES_MAX_BYTES) throw new Error(`the pictures in ${folder} have ${all} bytes`);
}

/** From the next load on the page shows another text: names of tests do not belong into the documentation. */
export async function showInstead(page: Page, words: Readonly<Record<string, string>>): Promise<void> {
  await page.route("**/splunkd/__raw/**", async (route) => {
    const answer = await route.fetch();
    const text = await answer.text();
    const body = Object.entries(words).reduce((all, [from, to]) => all.replaceAll(from, to), text);
    await route.fulfill({ response: answer, body });
  });
}

/** Rules of WCAG 2.1 A and AA that the page breaks, each with the first place. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  await page.evaluate(readFileSync(path.join(ROOT, "splunk-app/ui/node_modules/axe-core/axe.min.js"), "utf8"));
  const found = (await page.evaluate(
    'axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] })',
  )) as {
    readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
  };
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ""}`);
}

/** What reaches beyond the right edge, unless it can be scrolled by itself. */
export async function cutOff(page: Page): Promise<readonly string[]> {
  return (await page.evaluate(`(() => {
    const edge = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= edge) return [];
    return [...document.body.querySelectorAll("*")]
      .filter((element) => element.getBoundingClientRect().right > edge)
      .map((element) => element.outerHTML.slice(0, 200));
  })()`)) as readonly string[];
}

/** Texts that end with three dots, because their place is too narrow. */
export async function cutShort(page: Page): Promise<readonly string[]> {
  return (await page.evaluate(`[...document.body.querySelectorAll("*")]
    .filter((one) => one.scrollWidth > one.clientWidth && getComputedStyle(one).textOverflow === "ellipsis")
    .map((one) => one.textContent.slice(0, 200))`)) as readonly string[];
}

/** The add-on as it is packed, with the executable by its place. */
async function unpackApp(folder: string): Promise<void> {
  const [{ packages }, pages] = await Promise.all([bundle("src/main/main.ts"), buildPages()]);
  for (const { path: name, mode, content } of technologyAddon(["linux-x64"], packages, pages)) {
    const file = path.join(folder, name);
    if (name.endsWith("/")) mkdirSync(file, { recursive: true });
    else writeFileSync(file, content, { mode });
  }
}

function watch(page: Page, origin: string, faults: string[]): void {
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !/^(data|blob|about):/.test(url)) faults.push(`left the origin: ${url}`);
  });
  page.on("console", (message) => {
    // Chromium logs every answer of 400 and more itself; tests that cause one look at the page instead.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      faults.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`not caught: ${error.message}`));
}
