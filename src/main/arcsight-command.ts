import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { RoundResult } from "../collect/scheduler.ts";
import { Scheduler } from "../collect/scheduler.ts";
import { lineLog, timedLevel } from "../format/log-line.ts";
import type { ArcSightConfig, OutputsSink, Serving } from "../hosts/arcsight/index.ts";
import { openOutputs, openServe, readArcSightConfig, realDialer, realSecretReader } from "../hosts/arcsight/index.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, exitCodeOf, Failure, isFailure } from "../model/failure.ts";
import type { Log, Sink } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import type { StateFolder } from "../model/state.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import type { CheckedConfig } from "./arcsight-findings.ts";
import { tell } from "./arcsight-findings.ts";
import { defaultStateDir, settingsFailure } from "./configuration.ts";
import { CustomerBuilder } from "./customers.ts";
import { fileCredentials, fileVaults } from "./file-vaults.ts";
import { keepHeapSmall, ownHeap } from "./heap-keeper.ts";
import { realClock, realFiles, realRandom, VERSION } from "./world.ts";

/**
 * How long pages on their way may take after SIGTERM, and then receivers that are still being sent to.
 * systemd waits 90 s by default, our unit says 30.
 */
const FINISH_PAGES_MS = 5_000;
const DRAIN_MS = 10_000;
/** A receiver that breaks off again and again must not keep `--once` for ever. */
const ROUNDS_AFTER_BREAKS = 3;

export interface ArcSightFlags {
  readonly config: string;
  readonly customer?: readonly string[] | undefined;
  readonly state?: string | undefined;
  /** Settings given as flags; they win. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly environment: NodeJS.ProcessEnv;
}

/** The configuration with the customers asked for. */
export interface Chosen {
  readonly config: ArcSightConfig;
  readonly stanzas: readonly Stanza[];
  readonly stateDir: string;
}

/**
 * `arcsight run`: collects into the outputs until SIGTERM; SIGHUP reads the configuration again. `--once`
 * ends after one round.
 */
export async function arcSightRun(
  flags: ArcSightFlags,
  options: { readonly once: boolean },
  distrusted: readonly string[],
): Promise<ExitCode> {
  let chosen = await choose(flags);
  const log = logOf(chosen);
  for (const name of distrusted)
    log.warn("an environment variable is ignored because it could weaken or redirect this program", { variable: name });
  const refused = tell(checkedConfigOf(chosen), log, { needOutputs: true, again: false });
  if (refused !== undefined) return refused;
  const signals = listenToSignals();
  log.info("started", {
    version: VERSION,
    customers: chosen.stanzas.length,
    outputs: chosen.config.outputs.length,
    state: chosen.stateDir,
  });
  for (;;) {
    const turn = new AbortController();
    const stop = AbortSignal.any([signals.stop, turn.signal]);
    signals.onReload(() => turn.abort());
    const code = await runWith(chosen, { ...options, stop }, log);
    if (options.once || !turn.signal.aborted || signals.stop.aborted) {
      log.info("stopped", { exit_code: code });
      return code;
    }
    chosen = (await chooseAgain(flags, log)) ?? chosen;
  }
}

/** `arcsight serve`: collects into the buffer and answers polls from it until SIGTERM. */
export async function arcSightServe(flags: ArcSightFlags, distrusted: readonly string[]): Promise<ExitCode> {
  const chosen = await choose(flags);
  const { config, stateDir } = chosen;
  const log = logOf(chosen);
  for (const name of distrusted)
    log.warn("an environment variable is ignored because it could weaken or redirect this program", { variable: name });
  const refused = tell(checkedConfigOf(chosen), log, { needOutputs: false, again: false });
  if (refused !== undefined) return refused;
  const { serve } = config;
  if (serve === undefined) {
    log.fatal("serve.* is wrong: see the errors above");
    return EXIT.usage;
  }
  if (config.outputs.length > 0)
    log.warn("outputs[n] are not written by serve: start `arcsight run` for them, with a state_dir of its own");
  const signals = listenToSignals();
  signals.onReload(() => log.warn("serve reads its configuration at its start only: restart it"));
  log.info("started", { version: VERSION, customers: chosen.stanzas.length, state: stateDir });
  let serving: Serving | undefined;
  const code = await collecting(chosen, { once: false, stop: signals.stop }, log, {
    open() {
      serving = openServe(serve, config.settings.stanzas, stateDir, { disk: realDisk, clock: realClock, log });
      return serving.sink;
    },
    async begin() {
      const server = await (serving as Serving).listen();
      log.info("answering polls", { address: server.address });
      return () => server.close();
    },
  });
  log.info("stopped", { exit_code: code });
  return code;
}

async function chooseAgain(flags: ArcSightFlags, log: Log): Promise<Chosen | undefined> {
  try {
    const again = await choose(flags);
    if (tell(checkedConfigOf(again), log, { needOutputs: true, again: true }) === undefined) {
      log.info("the configuration was read again", {
        customers: again.stanzas.length,
        outputs: again.config.outputs.length,
      });
      return again;
    }
  } catch (error) {
    if (!isFailure(error)) throw error;
    log.error(error.say, { next_step: error.nextStep || undefined });
  }
  log.error("the configuration was read again but is wrong: the one before stays in force");
  return undefined;
}

async function runWith(
  chosen: Chosen,
  options: { readonly once: boolean; readonly stop: AbortSignal },
  log: Log,
): Promise<ExitCode> {
  const { config, stateDir } = chosen;
  const ports = { disk: realDisk, clock: realClock, platform: process.platform };
  const world = { ports, clock: realClock, random: realRandom, log, dialer: realDialer, hostName: hostname() };
  return collecting(chosen, options, log, {
    open: () => openOutputs(config.outputs, config.settings.stanzas, stateDir, world),
  });
}

/** What a scheduler writes to, with an end. */
type Destination = Sink & Pick<OutputsSink, "onBroken" | "close">;

interface Purpose {
  /** Called when the state folder is ours. */
  open(): Destination;
  /** Called when the scheduler is ready; returns how to end it. */
  begin?(): Promise<() => Promise<void>>;
}

/** State folder, customers and fleet around a sink, taken down in order. */
async function collecting(
  { config, stanzas, stateDir }: Chosen,
  options: { readonly once: boolean; readonly stop: AbortSignal },
  log: Log,
  purpose: Purpose,
): Promise<ExitCode> {
  const { stop } = options;
  const { globals } = config.settings;
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  let state: StateFolder | undefined;
  let orderly = false;
  try {
    const configured = config.settings.stanzas.map((stanza) => ({ stanza: stanza.name, tenantId: stanza.tenantId }));
    state = await openStateFolder(stateDir, { clock: realClock, log }, { waitForLock: "for-ever", stop, configured });
    const sink = purpose.open();
    const builder = new CustomerBuilder(
      { http, clock: realClock, random: realRandom, log, globals },
      fileVaults(stateDir, log, realClock),
      fileCredentials(stateDir, log, realClock),
    );
    const { customers, refused, later } = await builder.buildAll(stanzas, state);
    const scheduler = await Scheduler.open({
      customers,
      state,
      sink,
      replayMib: globals.replayMib,
      concurrency: globals.concurrency,
      version: VERSION,
      clock: realClock,
      random: realRandom,
      log,
    });
    const end = await purpose.begin?.();
    let breaks = 0;
    sink.onBroken(() => {
      breaks += 1;
      scheduler.replayProvisional();
    });
    for (const { stanza, failure } of refused) {
      const id = tenantIdFrom(stanza.tenantId);
      if (id)
        scheduler.refuse({
          tenant: { id, name: stanza.tenantName, cloud: stanza.cloud },
          streams: stanza.streams,
          failure,
        });
      log.error(failure.say, {
        customer: stanza.name,
        failure: failure.code,
        next_step: failure.nextStep || undefined,
      });
    }
    const failed: Failure[] = refused.map(({ failure }) => failure);
    let healthy = 0;
    let fatal: Failure | undefined;
    let finished = true;
    if (options.once) {
      for (const stanza of later) {
        try {
          await scheduler.add(await builder.build(stanza, state));
        } catch (error) {
          failed.push(asFailure(error));
          log.error(asFailure(error).say, { customer: stanza.name });
        }
      }
      for (let round = 0, told = -1; round <= ROUNDS_AFTER_BREAKS && told !== breaks && !stop.aborted; round += 1) {
        told = breaks;
        const results = await scheduler.runOnce(stop);
        if (round === 0) healthy = results.filter(({ failures }) => failures.length === 0).length;
        for (const { customer, stream, failure } of failuresOf(results)) {
          failed.push(failure);
          log.error(failure.say, { customer, stream, failure: failure.code, next_step: failure.nextStep || undefined });
        }
      }
    } else {
      for (const stanza of later) void builder.joinLater(stanza, scheduler, state, stop);
      void builder
        .keepTokensAlive(stop)
        .catch((error: unknown) =>
          log.error("quiet refresh tokens are no longer looked after", { failure: asFailure(error).say }),
        );
      const ended = new AbortController();
      void keepHeapSmall(ownHeap(), realClock, stop);
      const running = scheduler.run(stop).catch((error: unknown) => {
        fatal = asFailure(error);
        ended.abort();
      });
      await aborted(AbortSignal.any([stop, ended.signal]));
      finished = await Promise.race([running.then(() => true), realClock.pause(FINISH_PAGES_MS).then(() => false)]);
    }
    if (fatal) log.fatal(fatal.say, { failure: fatal.code, next_step: fatal.nextStep || undefined });
    let closed = true;
    await end?.();
    await sink.close(DRAIN_MS).catch((error: unknown) => {
      closed = false;
      log.error(asFailure(error).say, { failure: asFailure(error).code });
    });
    orderly = finished && closed && fatal === undefined;
    orderly = (await scheduler.close({ orderly })) && orderly;
    if (fatal) return exitCodeOf(fatal);
    if (failed.length === 0 || !options.once) return EXIT.done;
    const output = failed.find(({ code }) => code.startsWith("output-"));
    return output ? exitCodeOf(output) : healthy > 0 ? EXIT.someCustomers : exitCodeOf(failed[0] as Failure);
  } catch (error) {
    if (stop.aborted && isFailure(error) && error.code === "state-locked") return EXIT.done;
    const failure = asFailure(error);
    log.fatal(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
    return exitCodeOf(failure);
  } finally {
    await state?.release({ orderly });
    await http.close().catch(() => undefined);
  }
}

function failuresOf(
  results: readonly RoundResult[],
): readonly { readonly customer: string; readonly stream: string; readonly failure: Failure }[] {
  return results.flatMap(({ customer, failures }) =>
    failures.map(({ stream, failure }) => ({ customer: customer.stanza, stream, failure })),
  );
}

/** Reads the configuration. Throws Failure `settings` when the file cannot be read. */
export async function choose(flags: ArcSightFlags): Promise<Chosen> {
  const bytes = await readFile(flags.config).catch((error: NodeJS.ErrnoException) => {
    throw settingsFailure(`${flags.config} cannot be read (${error.code ?? "unknown reason"})`);
  });
  const config = readArcSightConfig(bytes, flags.config, {
    nowMs: realClock.nowMs(),
    secrets: realSecretReader(flags.environment, process.platform),
    files: realFiles,
    overrides: flags.overrides,
  });
  const { customer } = flags;
  const isWanted = (stanza: Stanza) =>
    !customer?.length ||
    customer.some((name) =>
      [stanza.name, stanza.tenantName, stanza.tenantId].some((one) => one.toLowerCase() === name.toLowerCase()),
    );
  const stanzas = config.settings.stanzas.filter(isWanted);
  return {
    config,
    stanzas,
    stateDir: flags.state ?? config.settings.globals.stateDir ?? defaultStateDir(flags.environment),
  };
}

function checkedConfigOf({ config, stanzas }: Chosen): CheckedConfig {
  return { config, customers: stanzas.length };
}

/** On stderr, with the level that the configuration asks for. */
export function logOf({ config }: Chosen): Log {
  const begin = timedLevel(() => realClock.nowMs());
  return lineLog((line) => process.stderr.write(line), config.settings.globals.logLevel, begin);
}

interface Signals {
  readonly stop: AbortSignal;
  /** The last listener counts. */
  onReload(listener: () => void): void;
}

/** SIGTERM and its like stop; SIGHUP reads the configuration again. */
function listenToSignals(): Signals {
  const stop = new AbortController();
  let reload: () => void = () => undefined;
  for (const name of ["SIGTERM", "SIGINT", "SIGBREAK"] as const) process.on(name, () => stop.abort(name));
  if (process.platform !== "win32") process.on("SIGHUP", () => reload());
  return {
    stop: stop.signal,
    onReload(listener) {
      reload = listener;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function asFailure(error: unknown): Failure {
  if (isFailure(error)) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Failure("defect", {
    actor: "us",
    retry: { when: "later" },
    say: `Something unexpected failed in this program: ${text.replaceAll("\n", " ")}.`,
    nextStep: "Report this line.",
    cause: error,
  });
}
