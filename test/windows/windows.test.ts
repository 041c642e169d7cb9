/**
 * The Windows executable from the Windows package, under Debian's wine, as splunkd.exe starts it and by hand.
 * It shows that its Windows side works, not that Windows does what wine does: docs/release.md lists what only
 * a real Windows can show. Without wine these tests do nothing; where real parts are required
 * (DEFENDER_MSSP_REAL_PARTS=1) its absence fails.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import { schemeDocument } from "../../src/config/scheme.ts";
import { consult, type Format } from "../harness/oracle/main.ts";
import { describeWith } from "../harness/real-parts.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";
import { type Ended, runToEnd } from "../harness/splunkd/child.ts";
import { type Splunkd, type SplunkdOptions, startSplunkd } from "../harness/splunkd/splunkd.ts";
import { MISSING_FOR_WINE, Wine } from "../harness/windows/wine.ts";

// Processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const EXECUTABLE = path.resolve(import.meta.dirname, "../..", binaryPath("win-x64"));
const MISSING =
  MISSING_FOR_WINE ?? (existsSync(EXECUTABLE) ? undefined : "npm run build:binaries -- --platform win-x64 was not run");
/** A run by hand ends by itself; one that hangs is ended. */
const HAND_LIMIT_MS = 300_000;
/** More would only wait for the processors. */
const ASKED_AT_ONCE = 3;
const CUSTOMERS = ["contoso", "fabrikam", "tailspin"];
const SHOWN = 116;

const onWindows = describeWith("wine and the Windows executable", MISSING);

onWindows("the Windows executable", () => {
  const scratch = MISSING === undefined ? mkdtempSync(join(tmpdir(), "windows-")) : "";
  const app = join(scratch, "TA_defender_mssp");
  /** Spaces and letters that no code page of one byte holds together, as in a folder that a person named. */
  const home = join(scratch, "Splunk (Köln, 東京)");
  const out = join(scratch, "out.xml");
  let wine: Wine;
  let simulator: Simulator;
  let splunkd: Splunkd | undefined;

  beforeAll(async () => {
    mkdirSync(join(scratch, "wine"));
    wine = new Wine(join(scratch, "wine"));
    const { packages } = await bundle("src/main/main.ts");
    for (const entry of technologyAddon(["win-x64"], packages))
      if (entry.path.endsWith("/")) mkdirSync(join(scratch, entry.path));
      else writeFileSync(join(scratch, entry.path), entry.content, { mode: entry.mode });
    simulator = await startSimulator({ shiftToNow: true });
  });
  afterAll(async () => {
    if (splunkd?.isRunning) await splunkd.stop();
    await simulator.stop();
    wine.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  const settings = (name: string): Record<string, string> => {
    const { tenant_id, client_id, client_secret, refresh_token } = simulator.control.customer(name);
    const { login_url, graph_url, api_url, ca_file } = simulator.ready;
    return { tenant_id, client_id, client_secret, refresh_token, login_url, graph_url, api_url, ca_file };
  };

  function inputs(): string {
    const file = join(scratch, "inputs.conf");
    const stanzas = CUSTOMERS.map((name) => {
      const lines = Object.entries({ ...settings(name), poll_seconds: "1", start: "3650d" });
      return `[defender_mssp://${name}]\n${lines.map(([key, value]) => `${key} = ${value}\n`).join("")}`;
    });
    writeFileSync(file, stanzas.join("\n"));
    return file;
  }

  async function start(options: Partial<SplunkdOptions> = {}): Promise<Splunkd> {
    splunkd = await startSplunkd({ app, home, out, system: wine, ...options });
    return splunkd;
  }

  /** The one that runs, or a new one: a start takes wine seconds. Its inputs were validated before. */
  const started = async (): Promise<Splunkd> => (splunkd?.isRunning ? splunkd : start({ validate: 0 }));

  const isOk = (line: string, name: string, stream: string) =>
    line.includes(`stream state changed tenant=${name} stream=${stream} state=ok`);
  /** Every stream of every customer was polled to the end by the process that runs now. */
  const allOk = ({ log }: Splunkd): boolean => {
    const own = log.slice(log.findLastIndex((line) => line.includes("New scheduled exec process")));
    return CUSTOMERS.every((name) =>
      ["alerts", "incidents"].every((stream) => own.some((line) => isOk(line, name, stream))),
    );
  };

  async function judged(delivered: readonly string[], format: Format) {
    return (await consult({ truth: simulator.ready.control_url, delivered, format })).totals;
  }

  /** What was written on stderr and stdout so far, and the end, of a program that a person starts. */
  function byHand(...args: readonly string[]) {
    const child = wine.start(EXECUTABLE, args);
    const said = { text: "" };
    const ended: Promise<Ended> = runToEnd(child, undefined, HAND_LIMIT_MS);
    let look: () => void = () => undefined;
    child.stderr.on("data", (piece: Buffer) => {
      said.text += piece.toString();
      look();
    });
    const until = (part: RegExp) =>
      new Promise<RegExpExecArray>((resolve, reject) => {
        look = () => {
          const found = part.exec(said.text);
          if (found !== null) resolve(found);
        };
        look();
        void ended.then(({ code }) => reject(new Error(`ended with ${code} before ${part}: ${said.text}`)));
      });
    return { child, ended, until };
  }

  function properties(name: string, more: readonly string[], customers: readonly string[] = CUSTOMERS): string {
    const file = join(scratch, name);
    const lines = customers.flatMap((customer, index) =>
      Object.entries({ ...settings(customer), tenant_name: customer }).map(
        ([key, value]) =>
          `tenants[${index}].${key}=${key === "ca_file" ? wine.path(value).replaceAll("\\", "\\\\") : value}`,
      ),
    );
    writeFileSync(file, [...lines, "start=3650d", ...more, ""].join("\n"));
    return wine.path(file);
  }

  test("prints the scheme that the Linux executable prints, and nothing on stderr", async () => {
    const { code, stdout, stderr } = await byHand("--scheme").ended;

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout.trim()).toBe(schemeDocument().trim());
  });

  test("is registered, validated and started by splunkd, masks the secrets, delivers every record once, and stops at CTRL_BREAK", async () => {
    const first = await start({ conf: inputs() });
    expect(first.validations).toEqual(
      CUSTOMERS.map((name) => ({ stanza: `defender_mssp://${name}`, ok: true, message: undefined })),
    );
    await first.until(allOk, "all customers collected");

    expect(await first.stop()).toMatchObject({ exit_code: 0, faults: [] });
    expect(await judged([out], "splunk")).toMatchObject({
      shown: SHOWN,
      delivered: SHOWN,
      lost: 0,
      duplicated: 0,
      replayed: 0,
    });
    expect(readFileSync(join(home, "etc/apps/TA_defender_mssp/local/inputs.conf"), "utf8")).not.toContain(
      settings("contoso")["client_secret"],
    );
  });

  test("reads a run document in UTF-16, repeats nothing after a restart, and delivers a late row and an update", async () => {
    const second = await start({ encoding: "utf-16le", validate: 1 });
    expect(second.validations).toEqual([{ stanza: "defender_mssp://contoso", ok: true, message: undefined }]);
    await second.until(allOk, "all customers polled again");
    expect(second.events).toBe(second.sourcetypes["defender_mssp:health"]);

    const record = { do: "record", customers: ["contoso"], stream: "alerts", id: "late-on-windows" };
    simulator.control.perform({ ...record, at: -600_000, visible: 0 });
    await second.until(() => readFileSync(out, "utf8").includes("late-on-windows"), "the late row");
    simulator.control.perform({ ...record, at: 0, set: { severity: "high" } });
    await second.until(() => /late-on-windows[^\n]*"change":"updated"/.test(readFileSync(out, "utf8")), "the update");

    expect(await second.stop()).toMatchObject({ exit_code: 0, faults: [], restarts: 0 });
    expect(await judged([out], "splunk")).toMatchObject({
      shown: SHOWN + 2,
      lost: 0,
      stale: 0,
      duplicated: 0,
      replayed: 0,
    });
  });

  test("takes a file only from the folder for it, whatever way the path is written", async () => {
    const third = await started();
    const allowed = join(home, "etc/auth/defender_mssp");
    const inside = `${wine.path(allowed)}\\ca.pem`;
    writeFileSync(join(home, "etc/auth/outside.pem"), readFileSync(join(allowed, "ca.pem")));
    const verdict = async (file: string) =>
      (await third.validate("paths", new Map(Object.entries({ ...settings("contoso"), ca_file: file })))).message;

    const taken = [inside, inside.toUpperCase().replace("CA.PEM", "ca.pem"), inside.replaceAll("\\", "/")];
    const outside = [
      `${wine.path(allowed)}\\..\\outside.pem`,
      `\\\\?\\${wine.path(home)}\\etc\\auth\\outside.pem`,
      "\\\\127.0.0.1\\share\\ca.pem",
      `\\\\?\\UNC\\127.0.0.1\\share\\ca.pem`,
      "\\\\.\\pipe\\ca.pem",
      "C:ca.pem",
      `${wine.path(allowed)}\\..\\outside.pem:ca.pem`,
    ];
    const streams = [`${inside}::$DATA`, `${inside}:other`];
    const expected = new Map<string, unknown>([
      ...taken.map((file) => [file, undefined] as const),
      ...outside.map((file) => [file, expect.stringMatching(/outside the allowed|absolute/)] as const),
      ...streams.map((file) => [file, expect.stringContaining("ca_file")] as const),
    ]);
    const left = [...expected.keys()];
    const verdicts = new Map<string, string | undefined>();
    // Each verdict is a start of the executable, so that some run beside each other.
    const ask = async () => {
      for (let file = left.shift(); file !== undefined; file = left.shift()) verdicts.set(file, await verdict(file));
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
    expect(Object.fromEntries(verdicts)).toEqual(Object.fromEntries(expected));
  });

  test("loses nothing when it is terminated, and sends again only what it marks as replayed", async () => {
    const third = await started();
    await third.until(allOk, "all customers polled again");
    simulator.control.perform({
      do: "generate",
      customers: CUSTOMERS,
      stream: "alerts",
      count: 30,
      from: -1000,
      to: 0,
    });
    const before = third.events;
    await third.until((s) => s.events > before, "the first of the new rows");
    third.signal("SIGKILL");
    await third.until((s) => s.restarts === 1 && allOk(s), "it collects again after its end");

    expect(await third.stop()).toMatchObject({ exit_code: 0, faults: [], restarts: 1 });
    expect(await judged([out], "splunk")).toMatchObject({ shown: SHOWN + 2 + 90, lost: 0, stale: 0, duplicated: 0 });
  });

  test("ends by itself when splunkd is killed, although it has nothing to write", async () => {
    const document = `<?xml version="1.0"?><input><configuration></configuration></input>`;
    const executable = join(app, "windows_x86_64/bin/defender_mssp.exe");
    const input = wine.start(executable, []);
    input.stdin.write(document);
    await new Promise<void>((resolve) => {
      let log = "";
      input.stderr.on("data", (piece: Buffer) => {
        log += piece.toString();
        if (log.includes("no input is enabled")) resolve();
      });
    });
    expect(wine.pidsOf(executable)).toHaveLength(1);

    process.kill(input.pid ?? 0, "SIGKILL");
    const until = performance.now() + HAND_LIMIT_MS;
    while (wine.pidsOf(executable).length > 0 && performance.now() < until) await pause(50);
    expect(wine.pidsOf(executable)).toEqual([]);
  });

  test("collects every record once when a person starts it, its standard input closed", async () => {
    const config = properties("collect.properties", []);
    const run = byHand("collect", "--config", config, "--state", wine.path(join(scratch, "état")));
    run.child.stdin.end();
    const { code, stdout } = await run.ended;

    expect(code).toBe(0);
    writeFileSync(join(scratch, "collected.jsonl"), stdout);
    expect(await judged([join(scratch, "collected.jsonl")], "jsonl")).toMatchObject({
      lost: 0,
      duplicated: 0,
      changed_bytes: 0,
    });
  });

  test("writes a CEF file and a CEF folder until CTRL_C, also while a scanner holds a file that it renames", async () => {
    const results = join(scratch, "CEF Ausgabe");
    const at = (name: string) => wine.path(join(results, name)).replaceAll("\\", "\\\\");
    const outputs = [
      `outputs[0].type=cef-file`,
      `outputs[0].path=${at("events.log")}`,
      "outputs[1].type=cef-folder",
      `outputs[1].path=${at("folder")}`,
    ];
    const config = properties("run.properties", ["poll_seconds=1", ...outputs]);
    const state = join(scratch, "run state");
    const run = byHand("run", "--config", config, "--state", wine.path(state));
    for (const name of CUSTOMERS) await run.until(new RegExp(`tenant=${name} stream=alerts state=ok[\\s\\S]*`));
    const checkpoints = readdirSync(state, { recursive: true, encoding: "utf8" });
    const checkpoint = join(
      state,
      checkpoints.find((name) => name.includes("alerts") && name.endsWith(".mark.json")) ?? "no checkpoint",
    );
    const letGo = await wine.hold(checkpoint);
    const file = join(results, "events.log");
    simulator.control.perform({ do: "record", customers: CUSTOMERS, stream: "alerts", id: "while-held" });
    // What replaces the held file stays beside it as long as Windows refuses the rename.
    await lasting(() => existsSync(`${checkpoint}.new`));
    await letGo();
    await lasting(() => !existsSync(`${checkpoint}.new`));
    // What was shown and not yet written at the stop is the next start's.
    await lasting(() => (readFileSync(file, "utf8").match(/^CEF:.*while-held/gm) ?? []).length >= CUSTOMERS.length);
    run.child.kill("SIGINT");
    const { code, stderr } = await run.ended;

    expect({ code, stderr: stderr.match(/^(ERROR|FATAL).*$/gm) }).toEqual({ code: 0, stderr: null });
    expect(await judged([file], "cef")).toMatchObject({ lost: 0, duplicated: 0 });
    expect(readdirSync(join(results, "folder")).length).toBeGreaterThan(0);
  });

  test("signs in by a pasted address, and stores the refresh token so that it can collect with it", async () => {
    const { refresh_token: _, ...others } = settings("contoso");
    const file = join(scratch, "token.properties");
    const run = byHand(
      "token",
      "acquire",
      "--config",
      properties("paste.properties", [], ["contoso"]),
      "--way",
      "paste",
      "--to",
      "file",
      "--file",
      wine.path(file),
    );
    const [url] = await run.until(/https:\S+authorize\S+/);
    run.child.stdin.write(`${await browsed(url)}\n`);
    const { code, stderr } = await run.ended;

    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("Signed in for contoso") });
    expect(stderr).not.toContain(others["client_secret"]);
    expect(existsSync(file)).toBe(true);
  });

  /** Resolves when this was so at ten looks one after another. */
  async function lasting(holds: () => boolean): Promise<void> {
    for (let looks = 0; looks < 10; looks = holds() ? looks + 1 : 0) await pause(20);
  }

  /** What the person's browser does: opens the address and ends where it is sent. */
  function browsed(url: string): Promise<string> {
    return new Promise((resolve, reject) => {
      https
        .get(url, { ca: readFileSync(simulator.ready.ca_file) }, (answer) => {
          answer.resume();
          resolve(answer.headers.location ?? "");
        })
        .on("error", reject);
    });
  }
});
