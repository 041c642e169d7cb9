/** `npm run demo`: the whole job on this machine, without a tenant and without a Splunk. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { binaryPath, hostPlatform } from "./build/platforms.ts";
import { ROOT, runScript, ScriptProblem, VERSION } from "./build/project.ts";
import { Child, harness } from "./demo/children.ts";
import { type DeliveredEvent, DeliveredFile } from "./demo/delivered.ts";
import { fleetDemoSkipped, showFleet } from "./demo/fleet.ts";
import { headline, Promises, say } from "./demo/promises.ts";
import { CUSTOMERS, changeTwoAndAddOneLate, laySamples, NEWCOMER } from "./demo/records.ts";
import { customersTable, sampleEvents } from "./demo/show.ts";

const HELP = `npm run demo -- [--keep | --fleet]

Builds the binary, starts simulators of Microsoft and splunkd on loopback, installs the package into a temporary SPLUNK_HOME and collects three customers.
Then changes two alerts, adds a late one, and shows that exactly three more events arrive; then ten seconds of CEF for ArcSight.
Exit code 0 only if all of this came true.

  --keep    leaves everything running at the end, until Ctrl+C, with the pages in Splunk Web at the printed address
  --fleet   instead of all that: two collectors share customers through PostgreSQL, and one of them is killed; needs
            Debian's package postgresql, and says so without it (exit code 0, unless DEFENDER_MSSP_REAL_PARTS=1)
`;

const POLL_SECONDS = 2;
const COLLECT_WITHIN_MS = 120_000;
/** On a machine that does other things too. */
const READY_WITHIN_MS = 60_000;
const CEF_MS = 10_000;
const CEF_LINES_SHOWN = 6;

interface Microsoft {
  readonly login_url: string;
  readonly graph_url: string;
  readonly api_url: string;
  readonly siem_url: string;
  readonly ca_file: string;
  readonly control_url: string;
  readonly customers: readonly Customer[];
}

interface Customer {
  readonly tenant_id: string;
  readonly tenant_name: string;
  readonly client_id: string;
  readonly client_secret: string;
  readonly refresh_token: string;
}

function npmRun(script: string, args: readonly string[]): void {
  const { status } = spawnSync("npm", ["run", "--silent", script, "--", ...args], {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
    shell: process.platform === "win32",
  });
  if (status !== 0) throw new ScriptProblem(`npm run ${script} failed, so there is nothing to show.`);
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    say(HELP.trimEnd());
    return;
  }
  const platform = hostPlatform();
  if (platform !== "linux-x64")
    throw new ScriptProblem("The demo runs the Splunk package's executable, so it needs Linux on x64.");
  const isFleet = args.includes("--fleet");
  const skipped = isFleet ? fleetDemoSkipped() : undefined;
  if (skipped !== undefined) {
    // As with tests: where the parts are required, what was left out must not pass for what was shown.
    if (process.env["DEFENDER_MSSP_REAL_PARTS"] === "1") throw new ScriptProblem(skipped);
    say(skipped);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "defender-mssp-demo-"));
  const children: Child[] = [];
  const promises = new Promises();
  try {
    const isKept = args.includes("--keep");
    const binary = resolve(ROOT, binaryPath(platform));
    if (isFleet) npmRun("build:binaries", []);
    if (isFleet) await showFleet(folder, binary, promises);
    const pages = isFleet ? undefined : await show(folder, binary, children, promises, isKept);
    if (isKept && pages !== undefined) {
      say(
        `\nEverything goes on running (pids ${children.map(({ pid }) => pid).join(", ")}): append lines to ${join(folder, "microsoft")}/<customer>/alerts.ndjson and watch ${join(folder, "splunk-events.xml")}. Ctrl+C ends it.`,
      );
      say(`The pages in Splunk Web: ${pages.url} (user ${pages.user}, password ${pages.password})`);
      const { tenant_id, client_id, client_secret } = pages.newcomer;
      say(
        `A customer to add there: ${NEWCOMER}, tenant ID ${tenant_id}, client ID ${client_id}, client secret ${client_secret}`,
      );
      await new Promise<void>((done) => process.once("SIGINT", done));
    }
  } finally {
    // splunkd before Microsoft: the collector's last poll must still find its other side.
    for (const child of children.toReversed()) await child.stop();
  }
  if (!promises.allKept) throw new ScriptProblem(`\nNot everything came true. Logs and files: ${folder}`);
  say("\nAll of it came true.");
}

/** What the fake Splunk Web, or the fake splunkd alone, says when it is ready. */
interface Ready {
  readonly url?: string;
  readonly user?: string;
  readonly password?: string;
}

/** @param hasPages the fake Splunk Web stands in front of the fake splunkd. */
async function show(
  folder: string,
  binary: string,
  children: Child[],
  promises: Promises,
  hasPages: boolean,
): Promise<Ready & { readonly newcomer: Customer }> {
  headline("1. The shipped program and its Splunk package");
  npmRun("build:binaries", []);
  const archive = resolve(ROOT, `dist/TA_defender_mssp-${VERSION}-linux_x86_64.tgz`);
  npmRun("package", ["--only", "linux_x86_64"]);
  say(`  ${binary}\n  ${archive}`);

  headline("2. The simulator of Microsoft, with three customers of Microsoft's documentation samples");
  const data = join(folder, "microsoft");
  const records = laySamples(data, Date.now());
  const simulator = harness("simulator", ["--data", data, "--stop-on-stdin-end"]);
  children.push(simulator);
  const microsoft = await simulator.firstLine(
    (line) => (line.startsWith("{") ? (JSON.parse(line) as Microsoft) : undefined),
    READY_WITHIN_MS,
  );
  say(`  sign-in and Graph at ${microsoft.login_url}`);

  headline("3. Onboarding contoso: one command to sign in");
  const tokenFile = join(folder, "contoso.token");
  await acquireToken(binary, folder, microsoft, customerNamed(microsoft, "contoso"), tokenFile);
  say(`  the refresh token lies in ${tokenFile} (0600)`);

  headline("4. The package under the fake splunkd");
  const conf = join(folder, "inputs.conf");
  writeFileSync(conf, inputsConf(microsoft, readFileSync(tokenFile, "utf8").trim()));
  const [out, log] = [join(folder, "splunk-events.xml"), join(folder, "splunkd.log")];
  writeFileSync(out, "");
  const splunkd = harness(hasPages ? "splunkweb" : "splunkd", [
    "--app",
    archive,
    "--conf",
    conf,
    "--out",
    out,
    "--log",
    log,
    "--home",
    join(folder, "splunk"),
  ]);
  children.push(splunkd);
  const ready = await splunkd.firstLine(
    (line) => (line.startsWith("{") ? (JSON.parse(line) as Ready) : undefined),
    READY_WITHIN_MS,
  );
  const delivered = new DeliveredFile(out);
  const first = await waitForEvents(delivered, records);
  promises.check(
    "every alert and incident of three customers arrived, each once",
    first.length === records,
    `${first.length} of ${records}`,
  );
  say();
  say(customersTable(first, await lagsSaid(delivered)));

  headline("5. Three of the events");
  for (const text of sampleEvents(first)) say(`${text}\n`);

  headline("6. Two alerts change, and one comes ten minutes late");
  changeTwoAndAddOneLate(data, Date.now());
  const more = (await waitForEvents(delivered, records + 3)).slice(first.length);
  // A fourth would come with the next polls: one of them looks back over the whole overlap.
  await pause(POLL_SECONDS * 1000 + 500);
  const after = delivered.look().slice(first.length);
  for (const event of more) say(`  ${describe(event)}`);
  promises.check("exactly three more events arrived", after.length === 3, `${after.length}`);
  promises.check(
    "two of them as updates, the late one as new",
    ["new", "updated", "updated"].join() ===
      after
        .map((event) => String(mssp(event)["change"]))
        .sort()
        .join(),
  );

  headline("7. Ten seconds of CEF, as ArcSight would get it");
  await showCef(binary, folder, microsoft, promises);

  headline("8. Did anything get lost?");
  const oracle = harness("oracle", ["--truth", microsoft.control_url, "--delivered", out, "--format", "splunk"]);
  const verdict = await oracle.ended;
  const totals = oracle.lines.map((line) => (JSON.parse(line) as { totals: unknown }).totals).at(-1);
  promises.check(
    "the oracle, which knows what Microsoft showed, finds nothing lost, stale, doubled or altered",
    verdict === 0,
    JSON.stringify(totals) ?? oracle.complaints.at(-1),
  );

  headline("Where everything is");
  say(`  events as Splunk takes them  ${out}`);
  say(`  splunkd.log                  ${log}`);
  say(`  installed package            ${join(folder, "splunk/etc/apps/TA_defender_mssp")}`);
  say(`  CEF                          ${join(folder, "arcsight")}`);
  headline("What next");
  say(
    "  README.md: Splunk and ArcSight in five steps each. docs/architecture.md: how it works. npm test: its promises, proven.",
  );
  if (!hasPages) {
    promises.check(
      "splunkd stopped the input, and found its protocol kept",
      (await splunkd.stop()) === 0,
      splunkd.complaints.at(-1) ?? splunkd.lines.at(-1),
    );
  }
  return { ...ready, newcomer: customerNamed(microsoft, NEWCOMER) };
}

function customerNamed(microsoft: Microsoft, name: string): Customer {
  const customer = microsoft.customers.find(({ tenant_name }) => tenant_name === name);
  if (customer === undefined) throw new ScriptProblem(`The simulator knows no customer ${name}.`);
  return customer;
}

/**
 * Runs `token acquire` as an administrator would: opens the link that it prints and pastes the address at
 * which the browser ended.
 */
async function acquireToken(
  binary: string,
  folder: string,
  microsoft: Microsoft,
  customer: Customer,
  tokenFile: string,
): Promise<void> {
  const conf = join(folder, "acquire.conf");
  writeFileSync(conf, stanza(microsoft, customer, [`client_secret = ${customer.client_secret}`]), { mode: 0o600 });
  const acquiring = new Child("token acquire", binary, [
    "token",
    "acquire",
    "--config",
    conf,
    "--customer",
    customer.tenant_name,
    "--to",
    "file",
    "--file",
    tokenFile,
    "--state",
    join(folder, "acquire-state"),
  ]);
  const link = await acquiring.firstLine((line) => /https:\/\/\S+\/authorize\?\S+/.exec(line)?.[0], READY_WITHIN_MS);
  say(`  the administrator opens ${link.slice(0, 100)}\u2026`);
  acquiring.type(await browserEndsAt(link, microsoft.ca_file));
  const code = await acquiring.ended;
  if (code !== 0 || !existsSync(tokenFile))
    throw new ScriptProblem(`token acquire ended with exit code ${code}: ${acquiring.complaints.at(-1) ?? ""}`);
}

function browserEndsAt(link: string, caFile: string): Promise<string> {
  return new Promise((done, fail) => {
    get(link, { agent: new Agent({ ca: readFileSync(caFile) }) }, (answer) => {
      answer.resume();
      if (answer.headers.location === undefined)
        fail(new ScriptProblem(`The sign-in page answered ${answer.statusCode} and led nowhere.`));
      else done(answer.headers.location);
    }).on("error", fail);
  });
}

function stanza(microsoft: Microsoft, customer: Customer, more: readonly string[]): string {
  return [
    `[defender_mssp://${customer.tenant_name}]`,
    `tenant_id = ${customer.tenant_id}`,
    `client_id = ${customer.client_id}`,
    `login_url = ${microsoft.login_url}`,
    `graph_url = ${microsoft.graph_url}`,
    `ca_file = ${microsoft.ca_file}`,
    `poll_seconds = ${POLL_SECONDS}`,
    ...more,
    "",
  ].join("\n");
}

/** contoso by the documented flow with the token just acquired, the others as the app itself. */
function inputsConf(microsoft: Microsoft, refreshToken: string): string {
  const { login_url, graph_url, api_url, ca_file } = microsoft;
  // Inputs that are added in Splunk Web need the simulator's addresses too.
  const shared = `[defender_mssp]\nlogin_url = ${login_url}\ngraph_url = ${graph_url}\napi_url = ${api_url}\nca_file = ${ca_file}\n`;
  const stanzas = CUSTOMERS.map((name) => {
    const customer = customerNamed(microsoft, name);
    const secrets = [
      `client_secret = ${customer.client_secret}`,
      ...(name === "contoso" ? [`refresh_token = ${refreshToken}`] : ["auth = app"]),
    ];
    return stanza(microsoft, customer, secrets);
  });
  return [shared, ...stanzas].join("\n");
}

/**
 * The collector says how far behind it is in a health event per customer, which comes right after the events.
 */
async function lagsSaid(delivered: DeliveredFile): Promise<ReadonlyMap<string, number>> {
  const deadlineMs = performance.now() + 3 * POLL_SECONDS * 1000;
  while (delivered.lagSeconds().size < CUSTOMERS.length * 2 && performance.now() < deadlineMs) {
    await pause(200);
    delivered.look();
  }
  return delivered.lagSeconds();
}

async function waitForEvents(delivered: DeliveredFile, wanted: number): Promise<readonly DeliveredEvent[]> {
  const deadlineMs = performance.now() + COLLECT_WITHIN_MS;
  let last = -1;
  for (;;) {
    const events = delivered.look();
    if (events.length !== last) say(`  ${events.length} of ${wanted} events`);
    last = events.length;
    if (events.length >= wanted || performance.now() > deadlineMs) return [...events];
    await pause(500);
  }
}

async function showCef(binary: string, folder: string, microsoft: Microsoft, promises: Promises): Promise<void> {
  const customer = customerNamed(microsoft, "tailspin");
  const file = join(folder, "arcsight/defender.cef");
  const properties = join(folder, "defender-mssp.properties");
  const settings = {
    "tenants[0].tenant_id": customer.tenant_id,
    "tenants[0].tenant_name": customer.tenant_name,
    "tenants[0].client_id": customer.client_id,
    "tenants[0].client_secret": customer.client_secret,
    "tenants[0].refresh_token": customer.refresh_token,
    "tenants[0].login_url": microsoft.login_url,
    "tenants[0].graph_url": microsoft.graph_url,
    "tenants[0].ca_file": microsoft.ca_file,
    "tenants[0].poll_seconds": String(POLL_SECONDS),
    state_dir: join(folder, "arcsight-state"),
    "outputs[0].type": "cef-file",
    "outputs[0].path": file,
    "outputs[0].profile": "legacy",
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value.replaceAll("\\", "\\\\")}\n`);
  writeFileSync(properties, lines.join(""), { mode: 0o600 });
  const running = new Child("arcsight run", binary, ["arcsight", "run", "--config", properties]);
  const startedMs = performance.now();
  let shownLines = 0;
  while (performance.now() - startedMs < CEF_MS) {
    await pause(250);
    const cef = cefLines(file);
    for (const line of cef.slice(shownLines, CEF_LINES_SHOWN))
      say(`  ${line.slice(0, 220)}${line.length > 220 ? "\u2026" : ""}`);
    shownLines = Math.max(shownLines, cef.length);
  }
  const code = await running.stop();
  const cef = cefLines(file);
  if (cef.length > CEF_LINES_SHOWN) say(`  \u2026 and ${cef.length - CEF_LINES_SHOWN} more`);
  promises.check(
    "CEF lines were written, and the helper stopped when asked",
    cef.length > 0 && cef.every((line) => line.startsWith("CEF:0|")) && code === 0,
    code === 0 ? `${cef.length} lines` : `exit code ${code}: ${running.complaints.at(-1) ?? ""}`,
  );
}

function cefLines(file: string): string[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

function mssp(event: DeliveredEvent): Readonly<Record<string, unknown>> {
  return (event.json["mssp"] ?? {}) as Readonly<Record<string, unknown>>;
}

function describe(event: DeliveredEvent): string {
  const { tenant, change, found, key } = mssp(event);
  return `${String(tenant)}  ${String(change)} (found by ${String(found)})  ${String(event.json["title"] ?? event.json["displayName"])}\n    key ${String(key)}`;
}

await runScript(main);
