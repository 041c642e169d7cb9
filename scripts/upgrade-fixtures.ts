/**
 * Makes `test/fixtures/upgrade/<version>`: what a release leaves on a disk when it is killed in the middle of
 * its work. `test/scenarios/upgrade.test.ts` starts the program of today on it. Run this once per release,
 * from the release's own sources and with its own executable.
 */
import { execFile, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Microsoft, startMicrosoft } from "../test/crash/microsoft.ts";
import { SHARED_APP } from "../test/harness/simulator/identity.ts";
import type { Ready } from "../test/harness/simulator/start.ts";
import { startSplunkd } from "../test/harness/splunkd/splunkd.ts";
import { keepInstallation, restoreInstallation } from "../test/harness/upgrade/fixture-files.ts";
import {
  ARCSIGHT,
  arcsightPlaceholders,
  FOREIGN_LINE,
  hasSettled,
  installCaFile,
  Service,
  SPLUNK,
  splunkPlaceholders,
} from "../test/harness/upgrade/installations.ts";
import { addVersions, olderVersions, STORY, scenarioFrom } from "../test/harness/upgrade/story.ts";
import { bundle } from "./build/bundle.ts";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";
import { technologyAddon } from "./package/contents.ts";

const HELP = `node --import ./scripts/pinned-runtime.mjs scripts/upgrade-fixtures.ts --program FILE --version X.Y.Z

Makes test/fixtures/upgrade/X.Y.Z: what the executable FILE leaves on a disk when it is killed in the middle of its work,
under Splunk and beside ArcSight. Run it from the release's own sources, and add a line to test/fixtures/PROVENANCE.md.

  --program FILE   the release's executable for linux-x64
  --version X.Y.Z  the release
`;

const MIB = 1024 * 1024;
/** How full the CEF file is when the run begins that is killed: the first events of that run fill it. */
const ROOM_BEFORE_KILL_BYTES = 3_000;
const ROOM_AT_FIRST_BYTES = 60_000;
/** The killed run has written more than this and less than half of what is new, so a walk was under way. */
const FEW_VERSIONS = 8;
const VERSIONS_BEFORE_KILL = 45;
/** The new CEF file holds no more than one event when the run is killed at the rename. */
const JUST_BEGUN_BYTES = 1_000;
/** A kill from outside can come too late. It is tried again, so often at most. */
const ATTEMPTS = 40;

const scratch = realpathSync(mkdtempSync(join(tmpdir(), "upgrade-fixtures-")));

async function withMicrosoft<T>(work: (microsoft: Microsoft) => Promise<T>): Promise<T> {
  const microsoft = await startMicrosoft(scenarioFrom(STORY.beginsAt));
  try {
    const { control } = microsoft.simulator;
    addVersions(
      control,
      olderVersions((customer) => control.customer(customer).tenant_id),
    );
    return await work(microsoft);
  } finally {
    await microsoft.stop();
  }
}

const untilKill = (microsoft: Microsoft): void =>
  microsoft.simulator.control.advance(Date.parse(STORY.killedAt) - Date.parse(STORY.beginsAt));

/** The test fills its simulator from this. Throws when a version of the story was not shown. */
function allShown(microsoft: Microsoft): string {
  const { control } = microsoft.simulator;
  const shown = control.shown();
  const wanted = olderVersions((customer) => control.customer(customer).tenant_id);
  const lines = shown.trimEnd().split("\n");
  if (lines.length !== wanted.length)
    throw new ScriptProblem(`${lines.length} versions were shown instead of ${wanted.length}.`);
  return shown;
}

async function appWith(program: string): Promise<string> {
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    if (entry.path.endsWith("/")) continue;
    const file = join(scratch, "app", entry.path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, entry.path.endsWith("/bin/defender_mssp") ? readFileSync(program) : entry.content);
    chmodSync(file, entry.mode);
  }
  return join(scratch, "app/TA_defender_mssp");
}

function inputsOf(ready: Ready): string {
  const stanzas = ready.customers.map(({ tenant_name, tenant_id, client_id, client_secret, refresh_token }) => {
    const signIn = {
      contoso: { client_id, client_secret, refresh_token },
      fabrikam: { client_id, client_secret, auth: "app" },
      tailspin: { credential: "mssp", auth: "app" },
    }[tenant_name];
    const { login_url, graph_url, api_url, siem_url, ca_file } = ready;
    const settings = {
      tenant_id,
      ...signIn,
      login_url,
      graph_url,
      api_url,
      siem_url,
      ca_file,
      start: STORY.start,
      index: "defender",
    };
    return `[defender_mssp://${tenant_name}]\n${lines(settings, " = ")}`;
  });
  return `[defender_mssp]\nreplay_mib = 16\nlog_level = info\npoll_seconds = 15\n\n${stanzas.join("\n")}`;
}

const lines = (settings: Readonly<Record<string, string>>, between: string): string =>
  Object.entries(settings)
    .map(([key, value]) => `${key}${between}${value}\n`)
    .join("");

/** `credential set`, bound to the simulator. `where` says where it is kept. */
async function storeSharedCredential(
  program: string,
  ready: Ready,
  where: {
    readonly caFile: string;
    readonly flags: readonly string[];
    readonly environment?: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const { login_url, graph_url, api_url, siem_url } = ready;
  const addresses = {
    "login-url": login_url,
    "graph-url": graph_url,
    "api-url": api_url,
    "siem-url": siem_url,
    "ca-file": where.caFile,
  };
  const flags = Object.entries(addresses).flatMap(([flag, value]) => [`--${flag}`, value]);
  const args = ["credential", "set", "mssp", "--client-id", SHARED_APP.clientId, ...flags, ...where.flags];
  await run(program, args, { DEFENDER_MSSP_CLIENT_SECRET: SHARED_APP.clientSecret, ...where.environment });
}

async function run(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  const env = { HOME: scratch, PATH: "/usr/bin:/bin", ...environment };
  await new Promise<void>((done, fail) => {
    const child = execFile(program, [...args], { env }, (error, _, said) =>
      error ? fail(new ScriptProblem(`${args.slice(0, 2).join(" ")} failed: ${said}`)) : done(),
    );
    child.stdin?.end();
  });
}

async function makeSplunk(microsoft: Microsoft, program: string, fixture: string): Promise<void> {
  const { ready } = microsoft.simulator;
  const app = await appWith(program);
  const home = join(scratch, "splunk");
  const out = join(scratch, "delivered.xml");
  const conf = join(scratch, "inputs.conf");
  writeFileSync(conf, inputsOf(ready));
  const first = await startSplunkd({ app, conf, home, out });
  const inputs = join(home, SPLUNK.inputs);
  await first.until(() => !/^client_secret = [^*]/m.test(readFileSync(inputs, "utf8")), "masked secrets");
  await storeSharedCredential(program, ready, {
    caFile: join(home, SPLUNK.caFile),
    flags: ["--to", "splunk", "--splunk-uri", first.serverUri, "--splunk-user", "admin"],
    environment: { SPLUNK_HOME: home, DEFENDER_MSSP_SPLUNK_PASSWORD: "changeme" },
  });
  const before = first.log.length;
  await first.restart();
  await first.until(({ log }) => hasSettled(log.slice(before)), "the first history of every customer");
  const end = await first.stop();
  if (end.exit_code !== 0 || end.faults.length > 0)
    throw new ScriptProblem(`the first run ended badly: ${end.faults.join("; ")}`);

  untilKill(microsoft);
  const historyBytes = statSync(out).size;
  for (let n = 1; n < ATTEMPTS; n += 1) {
    const undo = remembered(home);
    const passwords = await killedAtAnswer(n, microsoft, { app, home, out });
    const written = readFileSync(out).subarray(historyBytes).toString("utf8").split('"key":"').length - 1;
    process.stderr.write(`splunk: killed at answer ${n}: ${written} versions were written\n`);
    if (written >= FEW_VERSIONS) {
      if (written > VERSIONS_BEFORE_KILL / 2) break;
      const placeholders = splunkPlaceholders(ready, home);
      keepInstallation(join(home, SPLUNK.state), join(fixture, "home", SPLUNK.state), placeholders);
      const others = join(scratch, "others");
      mkdirSync(dirname(join(others, "home", SPLUNK.inputs)), { recursive: true });
      cpSync(inputs, join(others, "home", SPLUNK.inputs));
      writeFileSync(join(others, "passwords.json"), `${JSON.stringify(passwords, undefined, 1)}\n`);
      cpSync(out, join(others, "delivered.xml"));
      keepInstallation(others, fixture, placeholders);
      return;
    }
    undo();
    writeFileSync(out, readFileSync(out).subarray(0, historyBytes));
  }
  throw new ScriptProblem("Splunk: no attempt was killed in the middle of a walk.");
}

/**
 * Kills the input when the n-th answer to a question is half sent. Answers what the credential store holds
 * then.
 */
async function killedAtAnswer(
  n: number,
  microsoft: Microsoft,
  where: { readonly app: string; readonly home: string; readonly out: string },
): Promise<readonly object[]> {
  const splunkd = await startSplunkd({ ...where, restartAfterMs: null, validate: 0 });
  const unwatch = microsoft.watch(
    {
      async halfSent(count) {
        if (count !== n) return;
        splunkd.signal("SIGKILL");
        await new Promise(() => undefined);
      },
    },
    "api",
  );
  await splunkd.until((one) => !one.isRunning, "the end of the killed run");
  unwatch();
  await splunkd.stop();
  return splunkd.rest.passwords.list();
}

/** Remembers a folder as it is now. The function that is returned restores it, for the next attempt. */
function remembered(folder: string): () => void {
  const copy = `${folder}-before`;
  rmSync(copy, { recursive: true, force: true });
  cpSync(folder, copy, { recursive: true, preserveTimestamps: true });
  return () => {
    rmSync(folder, { recursive: true });
    cpSync(copy, folder, { recursive: true, preserveTimestamps: true });
  };
}

/**
 * The template as it is shipped, filled in: a setting that it names is set there, others follow at its end.
 */
function filledTemplate(settings: Readonly<Record<string, string>>): string {
  let text = readFileSync(resolve(ROOT, "arcsight/defender-mssp.properties.template"), "utf8");
  for (const [key, value] of Object.entries(settings)) {
    const at = new RegExp(`^#?${key.replaceAll(/[.[\]]/g, "\\$&")}=.*$`, "m");
    text = at.test(text) ? text.replace(at, () => `${key}=${value}`) : `${text}${key}=${value}\n`;
  }
  return text;
}

function propertiesOf(ready: Ready): string {
  const settings: Record<string, string> = {};
  ready.customers.forEach(({ tenant_name, tenant_id, client_id, refresh_token }, n) => {
    const signIn = {
      contoso: { client_id, client_secret: "file:{{root}}/etc/defender-mssp/secrets/contoso", refresh_token },
      fabrikam: { client_id, client_secret: "credential:fabrikam", auth: "app" },
      tailspin: { credential: "mssp", auth: "app" },
    }[tenant_name];
    const urls = {
      login_url: "{{origin}}",
      graph_url: "{{origin}}",
      api_url: "{{origin}}",
      siem_url: "{{siem_origin}}",
    };
    const all = {
      tenant_id,
      tenant_name,
      ...signIn,
      start: STORY.start,
      poll_seconds: "15",
      ...urls,
      ca_file: `{{root}}/${ARCSIGHT.caFile}`,
    };
    for (const [key, value] of Object.entries(all)) settings[`tenants[${n}].${key}`] = value;
  });
  return filledTemplate({
    ...settings,
    "outputs[0].type": "syslog",
    "outputs[0].host": "127.0.0.1",
    "outputs[0].port": "{{receiver_port}}",
    "outputs[0].protocol": "tcp",
    "outputs[1].type": "cef-file",
    "outputs[1].path": `{{root}}/${ARCSIGHT.cefFile}`,
    "outputs[1].rotate_mib": "1",
  });
}

/** The unit as it is shipped, with the line for one secret. */
function unitText(): string {
  const shipped = readFileSync(resolve(ROOT, "arcsight/systemd/defender-mssp-arcsight.service"), "utf8");
  return shipped
    .replace(
      "#LoadCredential=contoso:/etc/defender-mssp/secrets/contoso",
      "LoadCredential=fabrikam:/etc/defender-mssp/secrets/fabrikam",
    )
    .replace("#ReadWritePaths=/opt/arcsight/defender", "ReadWritePaths=/var/spool/defender");
}

/** A port where nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

/** Answers every version of the story, in the form of the simulator's `/shown`. */
async function makeArcsight(microsoft: Microsoft, program: string, fixture: string): Promise<string> {
  const { ready } = microsoft.simulator;
  const root = join(scratch, "root");
  const port = await closedPort();
  const placeholders = arcsightPlaceholders(ready, root, port);
  const settings = join(scratch, "settings");
  const secretOf = (name: string): string => microsoft.simulator.control.customer(name).client_secret;
  const written: Record<string, string> = {
    [ARCSIGHT.properties]: propertiesOf(ready),
    [ARCSIGHT.unit]: unitText(),
    [`${ARCSIGHT.settings}/secrets/contoso`]: `${secretOf("contoso")}\n`,
    [`${ARCSIGHT.settings}/secrets/fabrikam`]: `${secretOf("fabrikam")}\n`,
  };
  for (const [path, text] of Object.entries(written)) {
    mkdirSync(dirname(join(settings, path)), { recursive: true });
    writeFileSync(join(settings, path), text);
  }
  restoreInstallation(settings, root, { ...placeholders, receiver_port: String(port) });
  installCaFile(ready, join(root, ARCSIGHT.caFile));
  for (const folder of [ARCSIGHT.state, ARCSIGHT.events])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
  await storeSharedCredential(program, ready, {
    caFile: join(root, ARCSIGHT.caFile),
    flags: ["--state", join(root, ARCSIGHT.state)],
  });
  const cef = join(root, ARCSIGHT.cefFile);
  fillUpTo(cef, MIB - ROOM_AT_FIRST_BYTES);
  const first = new Service(program, unitText(), root);
  await first.until(hasSettled);
  const code = await first.stop();
  if (code !== 0) throw new ScriptProblem(`the first run ended with ${code}:\n${first.log.slice(-5).join("\n")}`);

  untilKill(microsoft);
  fillUpTo(cef, MIB - ROOM_BEFORE_KILL_BYTES);
  for (let attempt = 1; attempt < ATTEMPTS; attempt += 1) {
    const undo = remembered(root);
    const service = new Service(program, unitText(), root);
    const rotated = (): readonly string[] =>
      readdirSync(join(root, ARCSIGHT.events)).filter((name) => name !== "defender.cef");
    // The full file has been renamed, and the new one is about to begin.
    while (rotated().length === 0 && !hasSettled(service.log)) await yieldToEventLoop();
    await service.kill();
    const { size } = statSync(cef, { throwIfNoEntry: false }) ?? { size: 0 };
    const spooled = readdirSync(join(root, ARCSIGHT.state, "outputs"), { recursive: true })
      .map(String)
      .filter((name) => name.endsWith(".spool"));
    process.stderr.write(
      `arcsight: attempt ${attempt}: ${rotated().length} renamed, ${size} bytes in the new file, ${spooled.length} spool segments\n`,
    );
    const isUnderWay =
      rotated().length === 1 && size < JUST_BEGUN_BYTES && !hasSettled(service.log) && spooled.length > 0;
    if (isUnderWay) {
      keepInstallation(settings, fixture, placeholders);
      keepInstallation(join(root, ARCSIGHT.state), join(fixture, ARCSIGHT.state), placeholders);
      keepInstallation(
        join(root, ARCSIGHT.events),
        join(fixture, ARCSIGHT.events),
        placeholders,
        (name) => name !== "defender.cef",
      );
      // The killed run did not ask for everything. Another run does, so that all of it counts as shown.
      return await shownInAll(microsoft, program, root);
    }
    undo();
  }
  throw new ScriptProblem("ArcSight: no attempt was killed at the moment of a rename.");
}

async function shownInAll(microsoft: Microsoft, program: string, root: string): Promise<string> {
  const service = new Service(program, unitText(), root);
  await service.until(hasSettled);
  await service.stop();
  return allShown(microsoft);
}

function fillUpTo(file: string, bytes: number): void {
  const has = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const more = Math.floor((bytes - has) / FOREIGN_LINE.length);
  if (more > 0) appendFileSync(file, FOREIGN_LINE.repeat(more));
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { program: { type: "string" }, version: { type: "string" }, help: { type: "boolean" } },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const { program, version } = values;
  if (program === undefined || version === undefined)
    throw new ScriptProblem("--program and --version are needed; --help says more.", 2);
  const executable = resolve(program);
  const says = spawnSync(executable, ["--version"], { encoding: "utf8" }).stdout?.trim();
  if (says !== version) throw new ScriptProblem(`${executable} is version ${says || "unknown"}, not ${version}.`, 2);
  const fixture = resolve(ROOT, "test/fixtures/upgrade", version);
  rmSync(fixture, { recursive: true, force: true });
  try {
    await withMicrosoft((microsoft) => makeSplunk(microsoft, executable, join(fixture, "splunk")));
    const shown = await withMicrosoft((microsoft) => makeArcsight(microsoft, executable, join(fixture, "arcsight")));
    writeFileSync(join(fixture, "shown.ndjson"), shown);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

await runScript(main);
