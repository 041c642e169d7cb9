/**
 * The fake splunkd: installs an app, starts its modular input as splunkd does, answers its REST calls over
 * TLS, restarts it when an input is edited, stops it as splunkd does, and says where the protocol was not
 * kept. One process for all inputs (`use_single_instance`) is the only mode it runs.
 */
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { makeCertificate, type SplunkdCertificate } from "./certificate.ts";
import { runToEnd, splunkEnvironment } from "./child.ts";
import { type Input, inputsOf } from "./conf.ts";
import { encodeDocument, type InputEncoding, runDocument, type Server, validationDocument } from "./documents.ts";
import { type Installed, installApp, installInputs, readLayered } from "./install.ts";
import { Output } from "./output.ts";
import type { Password } from "./passwords.ts";
import { type PasswordLimit, Rest } from "./rest.ts";
import { Run, type RunEnd } from "./run.ts";
import { readRefusal, readScheme, type Scheme } from "./scheme.ts";
import { ownLine, SplunkdLog } from "./splunkd-log.ts";
import { StreamCheck } from "./stream-check.ts";
import { type SplunkSystem, THIS_SYSTEM } from "./system.ts";

const STOP_LIMIT_MS = 3_000;
const SHORT_RUN_LIMIT_MS = 30_000;
const PLATFORM_FOLDERS = ["linux_x86_64", "windows_x86_64", "darwin_x86_64"];

export interface SplunkdOptions {
  /** The app: a folder or a `.tgz`. */
  readonly app: string;
  /** Becomes the app's `local/inputs.conf`; left out, the home's own is used. */
  readonly conf?: string | undefined;
  /** stdout byte for byte. Continued when `home` has been used before, else begun anew. */
  readonly out?: string | undefined;
  /** splunkd.log. Also always at `<home>/var/log/splunk/splunkd.log`. */
  readonly log?: string | undefined;
  /** SPLUNK_HOME; a new temporary folder by default. */
  readonly home?: string | undefined;
  readonly scheme?: string;
  readonly port?: number;
  /**
   * Inputs that are tried with `--validate-arguments` before the run; splunkd does that when an input is
   * saved. Default: the first 20.
   */
  readonly validate?: number;
  readonly encoding?: InputEncoding;
  /** Writes the run document in pieces of so many bytes. */
  readonly inputPieceBytes?: number;
  /** Ends stdin after the document. Default: it stays open, which is the harder case. */
  readonly closeInput?: boolean;
  /** Bytes between pipe and index that a SIGKILL of splunkd loses. */
  readonly holdBytes?: number;
  readonly passwordLimit?: PasswordLimit;
  readonly unavailableCalls?: number;
  readonly certificate?: SplunkdCertificate;
  readonly admin?: { readonly name: string; readonly password: string };
  readonly passwords?: readonly Password[];
  readonly collections?: Readonly<Record<string, readonly unknown[]>>;
  /** Between SIGTERM and SIGKILL; Splunk does not document its own. */
  readonly graceMs?: number;
  /** How long `--scheme` and `--validate-arguments` may take. */
  readonly shortRunLimitMs?: number;
  /** After a process that ended by itself or was killed; null: it is not restarted. */
  readonly restartAfterMs?: number | null;
  /**
   * Each edit stops and starts the process, also one that is answered while the process restarts. Default:
   * such edits lead to one more restart together. Which one a real splunkd does is not documented.
   */
  readonly restartPerEdit?: boolean;
  /** Awaited for each edit of an input between its validation and its write. */
  readonly beforeWrite?: (name: string) => Promise<void>;
  /** Added to the environment that splunkd gives. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Whose programs are started. Default: this machine's. */
  readonly system?: SplunkSystem;
}

export interface Outcome {
  readonly events: number;
  readonly sourcetypes: Readonly<Record<string, number>>;
  /** Of the last process; null when it was killed. */
  readonly exit_code: number | null;
  readonly stop_ms: number | null;
  readonly restarts: number;
  /** Where the protocol was not kept; empty when all is well. */
  readonly faults: readonly string[];
}

export interface Validation {
  readonly stanza: string;
  readonly ok: boolean;
  readonly message: string | undefined;
}

/**
 * Installs, checks and starts; resolves when the input's process has been started. Rejects when the app
 * cannot be installed or registered.
 */
export async function startSplunkd(options: SplunkdOptions): Promise<Splunkd> {
  const splunkd = await Splunkd.make(options);
  try {
    await splunkd.begin();
  } catch (error) {
    await splunkd.rest.close();
    throw error;
  }
  return splunkd;
}

const LOOK_AGAIN_MS = 100;

export class Splunkd {
  readonly home: string;
  readonly caFile: string;
  readonly serverUri: string;
  readonly rest: Rest;
  readonly installed: Installed;
  readonly validations: Validation[] = [];
  /** Every line of splunkd.log, in order. */
  readonly log: string[] = [];
  readonly faults: string[] = [];
  scheme: Scheme | undefined;
  restarts = 0;
  /** Edits of inputs that were written, whoever sent them. */
  edits = 0;
  /** The process is gone and is not started again. */
  hasGivenUp = false;
  private readonly options: SplunkdOptions;
  private readonly schemeName: string;
  private readonly environment: Readonly<Record<string, string>>;
  private readonly output: Output;
  private readonly past: StreamCheck[] = [];
  private run: Run | undefined;
  private sessionKey = "";
  private lastEnd: RunEnd | undefined;
  private state: "starting" | "running" | "restarting" | "stopping" | "stopped" = "starting";
  private restartsDue = 0;
  private quickEnds: number[] = [];
  private readonly watchers = new Set<() => void>();

  static async make(options: SplunkdOptions): Promise<Splunkd> {
    const home = realpathSync(
      options.home === undefined ? mkdtempSync(join(tmpdir(), "splunk-home-")) : made(path.resolve(options.home)),
    );
    const continued = existsSync(join(home, "var", "lib", "pretend-splunkd"));
    const schemeName = options.scheme ?? "defender_mssp";
    const certificate = await makeCertificate(options.certificate ?? "loopback", new Date());
    const caFile = join(home, "etc", "auth", "cacert.pem");
    made(join(home, "etc", "auth"));
    writeFileSync(caFile, certificate.ca);
    const installed = installApp(path.resolve(options.app), home, schemeName, options.system);
    if (options.conf !== undefined)
      installInputs(path.resolve(options.conf), home, installed.folder, schemeName, options.system);
    let self: Splunkd | undefined;
    const rest = new Rest({
      home,
      app: installed.app,
      folder: installed.folder,
      schemeName,
      certificate,
      port: options.port ?? 0,
      passwordLimit: options.passwordLimit ?? "truncate",
      admin: options.admin ?? { name: "admin", password: "changeme" },
      unavailableCalls: options.unavailableCalls ?? 0,
      collections: options.collections ?? {},
      scheme: () => self?.scheme,
      validate: async (name, settings) => (await self?.validate(name, settings))?.message,
      beforeWrite: options.beforeWrite,
      inputsChanged: () => {
        if (self) self.edits++;
        void self?.restart();
      },
    });
    for (const password of options.passwords ?? []) rest.passwords.put(password);
    self = new Splunkd(options, {
      home,
      caFile,
      installed,
      rest,
      schemeName,
      continued,
      serverUri: await rest.listen(),
    });
    return self;
  }

  private constructor(
    options: SplunkdOptions,
    prepared: {
      home: string;
      caFile: string;
      installed: Installed;
      rest: Rest;
      schemeName: string;
      continued: boolean;
      serverUri: string;
    },
  ) {
    this.options = options;
    this.home = prepared.home;
    this.caFile = prepared.caFile;
    this.installed = prepared.installed;
    this.rest = prepared.rest;
    this.schemeName = prepared.schemeName;
    this.serverUri = prepared.serverUri;
    this.environment = { ...splunkEnvironment(prepared.home), ...options.environment };
    this.output = new Output(options.out, { continued: prepared.continued, holdBytes: options.holdBytes ?? 0 });
    if (options.log !== undefined && !prepared.continued) writeFileSync(options.log, "");
  }

  /** The input's process. */
  get pid(): number {
    return this.run?.pid ?? -1;
  }

  get events(): number {
    return this.checks().reduce((sum, check) => sum + check.events, 0);
  }

  get sourcetypes(): Record<string, number> {
    const sum: Record<string, number> = {};
    for (const check of this.checks())
      for (const [name, count] of Object.entries(check.sourcetypes)) sum[name] = (sum[name] ?? 0) + count;
    return sum;
  }

  async begin(): Promise<void> {
    this.scheme = await this.introspect();
    const enabled = this.enabledInputs();
    const chosen = enabled.slice(0, this.options.validate ?? 20);
    for (const input of chosen) this.validations.push(await this.validate(input.name, input.settings));
    if (chosen.length < enabled.length)
      this.say(
        "INFO",
        "ModularInputs",
        `${enabled.length - chosen.length} further inputs are not validated before the run`,
      );
    this.launch();
  }

  private async introspect(): Promise<Scheme> {
    const { executable } = this.installed;
    const end = await runToEnd(
      this.system.start(executable, ["--scheme"], this.environment),
      undefined,
      this.shortRunLimitMs,
    );
    this.takeShortLog(end.stderr);
    if (end.code !== 0)
      throw new Error(
        `${executable} --scheme ended with ${end.code ?? end.signal} instead of 0, so splunkd does not register it: ${end.stderr.slice(0, 500)}`,
      );
    const scheme = readScheme(end.stdout);
    if (!scheme.useSingleInstance)
      throw new Error(
        "the scheme asks for one process per input; the fake splunkd runs one for all (use_single_instance)",
      );
    if (scheme.streamingMode !== "xml") throw new Error("the scheme does not ask for streaming_mode xml");
    if (scheme.args.length === 0) this.fault("the scheme lists no arguments");
    const shown = ownLine(
      new Date(),
      "INFO",
      "ModularInputs",
      `Introspection of scheme "${this.schemeName}" succeeded, ${scheme.args.length} arguments`,
    );
    this.writeLog(shown);
    return scheme;
  }

  /** Runs `--validate-arguments` for one input, as splunkd does when it is saved. */
  async validate(name: string, settings: ReadonlyMap<string, string>): Promise<Validation> {
    const stanza = `${this.schemeName}://${name}`;
    const sessionKey = this.rest.newSessionKey();
    const document = validationDocument(this.server(sessionKey), name, settings);
    const child = this.system.start(this.installed.executable, ["--validate-arguments"], this.environment);
    const end = await runToEnd(child, encodeDocument(document, this.options.encoding ?? "utf-8"), this.shortRunLimitMs);
    this.rest.revoke(sessionKey);
    this.takeShortLog(end.stderr);
    if (end.signal !== null) this.fault(`--validate-arguments for ${stanza} did not end by itself`);
    const ok = end.code === 0;
    const message = ok ? undefined : readRefusal(end.stdout);
    if (ok && end.stdout.trim() !== "") this.fault(`--validate-arguments accepted ${stanza} but printed on stdout`);
    if (!ok && message === undefined) this.fault(`--validate-arguments refused ${stanza} without <error><message>`);
    if (!ok)
      this.say(
        "ERROR",
        "ModularInputs",
        `Validation for scheme=${this.schemeName} failed: ${stanza}: ${message ?? "no message"}`,
      );
    return { stanza, ok, message: ok ? undefined : (message ?? "refused without a message") };
  }

  private launch(): void {
    const inputs = this.enabledInputs();
    this.sessionKey = this.rest.newSessionKey();
    const { executable, app } = this.installed;
    const log = new SplunkdLog(
      executable,
      (line) => this.writeLog(line),
      () => new Date(),
    );
    const document = runDocument(this.server(this.sessionKey), app, inputs);
    const run = new Run(this.system.start(executable, [], this.environment), {
      document: encodeDocument(document, this.options.encoding ?? "utf-8"),
      pieceBytes: this.options.inputPieceBytes,
      closeInput: this.options.closeInput ?? false,
      output: this.output,
      check: new StreamCheck(inputs.map((input) => input.stanza)),
      log,
      progressed: () => this.progressed(),
    });
    this.run = run;
    this.state = "running";
    this.say("INFO", "ExecProcessor", `New scheduled exec process: ${executable} (pid ${run.pid})`);
    const pids = made(join(this.home, "var", "run", "splunk"));
    writeFileSync(join(pids, `${this.schemeName}.pid`), `${run.pid}\n`);
    writeFileSync(join(pids, "splunkd.pid"), `${process.pid}\n`);
    void run.ended.then(
      (end) => this.ended(run, end, log, inputs),
      (error: unknown) =>
        this.fault(`${executable} cannot be started: ${error instanceof Error ? error.message : String(error)}`),
    );
  }

  private ended(run: Run, end: RunEnd, log: SplunkdLog, inputs: readonly Input[]): void {
    this.lastEnd = end;
    this.past.push(run.check);
    if (this.run === run) this.run = undefined;
    this.rest.revoke(this.sessionKey);
    const killed = end.signal === "SIGKILL";
    run.check.end(killed || run.interfered);
    for (const fault of run.check.faults) this.fault(fault);
    for (const line of log.unlevelled) this.fault(`a line on stderr without a level: ${line.slice(0, 200)}`);
    if (end.forced) {
      this.say(
        "WARN",
        "ProcessRunner",
        `Process with pid ${run.pid} did not exit within a given grace period after being signaled to exit. Will have to forcibly terminate.`,
      );
      this.fault(`the process had to be killed ${end.stopMs} ms after SIGTERM`);
    } else if (end.stopMs !== undefined && end.stopMs > STOP_LIMIT_MS)
      this.fault(`the process took ${end.stopMs} ms to stop, more than ${STOP_LIMIT_MS}`);
    // A SIGTERM before the process has set its handler ends it; that is not a fault when it had written
    // nothing.
    const wasStarting = end.signal === "SIGTERM" && !run.check.hasBegun;
    if (end.signal !== null && !killed && !wasStarting) this.fault(`the process ended by ${end.signal}`);
    // A process may fail because its reader is gone, but not because it was asked to stop.
    if (end.code !== null && end.code !== 0 && !(run.interfered && this.state !== "stopping"))
      this.fault(`the process ended with exit code ${end.code}`);
    if (this.state === "running") this.revive(inputs.length);
    this.progressed();
  }

  /**
   * A single instance is started once and left running; one that ends is started again after a while, and
   * left stopped when it keeps ending.
   */
  private revive(inputCount: number): void {
    const afterMs = this.options.restartAfterMs === undefined ? 1_000 : this.options.restartAfterMs;
    if (afterMs === null || inputCount === 0) {
      this.hasGivenUp = true;
      return;
    }
    const now = performance.now();
    this.quickEnds = [...this.quickEnds.filter((at) => now - at < 60_000), now];
    if (this.quickEnds.length > 5) {
      this.hasGivenUp = true;
      this.fault("the process ended more than five times within a minute");
      return;
    }
    setTimeout(() => {
      if (this.state !== "running" || this.run) return;
      this.restarts++;
      this.launch();
    }, afterMs);
  }

  /**
   * Stops and starts the process with the inputs as they are now, as after every edit; see `restartPerEdit`
   * for edits made meanwhile.
   */
  async restart(): Promise<void> {
    if (this.state !== "running" && this.state !== "restarting") return;
    this.restartsDue = this.options.restartPerEdit === true ? this.restartsDue + 1 : 1;
    if (this.state === "restarting") return;
    this.state = "restarting";
    while (this.restartsDue > 0) {
      this.restartsDue--;
      await this.run?.stop(this.graceMs);
      if (this.isStopping()) return;
      this.restarts++;
      this.launch();
      this.state = this.restartsDue > 0 ? "restarting" : "running";
    }
  }

  private isStopping(): boolean {
    return this.state === "stopping" || this.state === "stopped";
  }

  /** An orderly stop. */
  async stop(): Promise<Outcome> {
    this.state = "stopping";
    await this.run?.stop(this.graceMs);
    return this.finish({ orderly: true });
  }

  /**
   * splunkd is killed: every pipe closes, what it held is lost, nobody sends a signal. Resolves when the
   * input's process is gone or `deadlineMs` have passed; `orphan` says that it was still there.
   */
  async crash(deadlineMs = 10_000): Promise<Outcome & { readonly orphan: boolean }> {
    this.state = "stopping";
    const run = this.run;
    run?.abandon();
    const gone =
      run === undefined ||
      (await Promise.race([
        run.ended.then(() => true),
        new Promise<false>((resolve) => setTimeout(() => resolve(false), deadlineMs).unref()),
      ]));
    if (!gone) run.signal("SIGKILL");
    await run?.ended;
    return { ...(await this.finish({ orderly: false })), orphan: !gone };
  }

  private async finish(how: { readonly orderly: boolean }): Promise<Outcome> {
    this.state = "stopped";
    this.output.close(how);
    await this.rest.close();
    // A home of our own making stays to be looked at, without the hundred megabytes of executables that each
    // would leave behind.
    if (this.options.home === undefined)
      for (const platform of PLATFORM_FOLDERS)
        rmSync(join(this.installed.folder, platform), { recursive: true, force: true });
    return {
      events: this.events,
      sourcetypes: this.sourcetypes,
      exit_code: this.lastEnd?.code ?? null,
      stop_ms: this.lastEnd?.stopMs ?? null,
      restarts: this.restarts,
      faults: [...this.faults],
    };
  }

  pauseReading(): void {
    this.run?.pauseReading();
  }

  resumeReading(): void {
    this.run?.resumeReading();
  }

  cutReader(): void {
    this.run?.cutReader();
  }

  signal(signal: NodeJS.Signals): void {
    this.run?.signal(signal);
  }

  /** The present process's key is refused from now on, as after a long time. */
  expireSessionKey(): void {
    this.rest.revoke(this.sessionKey);
  }

  /**
   * Resolves when `holds` does; it is asked again whenever bytes, log lines or an end arrive. Rejects after
   * `deadlineMs` with the log's end.
   */
  async until(holds: (splunkd: this) => boolean, what: string, deadlineMs = 240_000): Promise<void> {
    if (holds(this)) return;
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        clearInterval(again);
        this.watchers.delete(look);
      };
      const look = (): void => {
        if (!holds(this)) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(
          new Error(
            `waited ${deadlineMs} ms in vain for ${what}; ${this.events} events so far; splunkd.log ends:\n${this.log.slice(-15).join("\n")}`,
          ),
        );
      }, deadlineMs);
      this.watchers.add(look);
      // What a browser did makes neither an event nor a log line.
      const again = setInterval(look, LOOK_AGAIN_MS);
    });
  }

  get isRunning(): boolean {
    return this.run !== undefined;
  }

  private get system(): SplunkSystem {
    return this.options.system ?? THIS_SYSTEM;
  }

  private get shortRunLimitMs(): number {
    return this.options.shortRunLimitMs ?? SHORT_RUN_LIMIT_MS;
  }

  private get graceMs(): number {
    return this.options.graceMs ?? 5_000;
  }

  private checks(): readonly StreamCheck[] {
    return this.run ? [...this.past, this.run.check] : this.past;
  }

  private enabledInputs(): Input[] {
    return inputsOf(readLayered(this.installed.folder, "inputs"), this.schemeName).filter((input) => !input.disabled);
  }

  private server(sessionKey: string): Server {
    return {
      host: "pretend-splunk",
      uri: this.serverUri,
      sessionKey,
      checkpointDir: this.system.path(made(join(this.home, "var", "lib", "splunk", "modinputs", this.schemeName))),
    };
  }

  private takeShortLog(stderr: string): void {
    const log = new SplunkdLog(
      this.installed.executable,
      (line) => this.writeLog(line),
      () => new Date(),
    );
    log.take(stderr);
    log.end();
    for (const line of log.unlevelled) this.fault(`a line on stderr without a level: ${line.slice(0, 200)}`);
  }

  private say(level: "INFO" | "WARN" | "ERROR", component: string, text: string): void {
    this.writeLog(ownLine(new Date(), level, component, text));
  }

  private writeLog(line: string): void {
    this.log.push(line);
    appendFileSync(join(made(join(this.home, "var", "log", "splunk")), "splunkd.log"), `${line}\n`);
    if (this.options.log !== undefined) appendFileSync(this.options.log, `${line}\n`);
    this.progressed();
  }

  private fault(text: string): void {
    if (this.faults.length < 50) this.faults.push(text);
    this.say("ERROR", "FakeSplunkd", text);
  }

  private progressed(): void {
    for (const look of this.watchers) look();
  }
}

function made(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return folder;
}
