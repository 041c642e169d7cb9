import { Scheduler } from "../collect/scheduler.ts";
import { lineLog } from "../format/log-line.ts";
import type { SplunkDocument, SplunkHost, SplunkRun, SplunkWorld } from "../hosts/splunk/index.ts";
import { openSplunkHost, readRun, runFrom, SCHEME, validate } from "../hosts/splunk/index.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, exitCodeOf, Failure, isFailure } from "../model/failure.ts";
import type { Log, RefreshTokenVault } from "../model/ports.ts";
import type { StateFolder } from "../model/state.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import { announcements } from "./announcements.ts";
import { CustomerBuilder } from "./customers.ts";
import { keepHeapSmall, ownHeap } from "./heap-keeper.ts";
import {
  distrustOf,
  presentFingerprint,
  readBytes,
  realClock,
  realFiles,
  realRandom,
  stopSignal,
  VERSION,
} from "./world.ts";

/**
 * How long the pages on their way may take after the signal, before the end of the stream is written: splunkd
 * kills what is not gone within a few seconds.
 */
const FINISH_PAGES_MS = 600;
/** What is left of three seconds for saving state after the end of the stream had its two. */
const SAVE_STATE_MS = 300;
/** Of which so long goes to what only spares the next start some reading. */
const SAVE_THOROUGHLY_MS = 100;

function splunkWorld(): SplunkWorld {
  return {
    http: createHttp({ userAgent: `defender-mssp/${VERSION}` }),
    clock: realClock,
    random: realRandom,
    stdin: process.stdin,
    stdout: process.stdout,
    writeLogLine: (line) => {
      process.stderr.write(line.endsWith("\n") ? line : `${line}\n`);
    },
    files: realFiles,
    readBytes,
    fingerprintOf: presentFingerprint,
    splunkHome: process.env.SPLUNK_HOME,
    version: VERSION,
  };
}

/** `--validate-arguments`: opens no socket. */
export async function validateArguments(): Promise<ExitCode> {
  const verdict = await validate(splunkWorld());
  if (verdict.stdout !== "") await write(verdict.stdout);
  return verdict.exitCode === 0 ? EXIT.done : EXIT.ourFault;
}

/**
 * The modular input: reads splunkd's document, collects until the signal, and closes the stream. Whatever
 * happens it leaves levelled single lines on stderr and nothing else.
 *
 * @param document instead of the one on stdin (`splunk run FILE`).
 * @param distrusted names of environment variables that were set and are ignored.
 */
export async function runModularInput(distrusted: readonly string[], document?: SplunkDocument): Promise<ExitCode> {
  const world = splunkWorld();
  const stop = stopSignal();
  let run: SplunkRun;
  try {
    run = document ? runFrom(document, world) : await readRun(world);
  } catch (error) {
    const failure = isFailure(error) ? error : defect(error);
    lineLog(world.writeLogLine, "info").fatal(failure.say, {
      failure: failure.code,
      next_step: failure.nextStep || undefined,
    });
    return EXIT.ourFault;
  }
  const { log } = run;
  log.info("started", { scheme: SCHEME, version: VERSION, inputs: run.document.stanzas.length });
  for (const name of distrusted) log.warn(distrustOf(name), { variable: name });
  for (const line of announcements(run.settings.stanzas)) log.warn(line);

  const host = await openSplunkHost(run, world, stop.signal);
  host.gone.addEventListener("abort", () => stop.abort("host-gone"), { once: true });
  const code =
    host.customers.length === 0 && host.refused.length === 0
      ? await idle(host, stop)
      : await collect(host, run, world, stop);
  await world.http.close().catch(() => undefined);
  log.info("stopped", { exit_code: code });
  return code;
}

/** Where the refresh token of each customer lives, by the stanza's name. */
type Vaults = Map<string, RefreshTokenVault | undefined>;

async function idle(host: SplunkHost, stop: AbortController): Promise<ExitCode> {
  await host.sayIdle(stop.signal);
  await host.close();
  return EXIT.done;
}

async function collect(host: SplunkHost, run: SplunkRun, world: SplunkWorld, stop: AbortController): Promise<ExitCode> {
  const { log } = run;
  let state: StateFolder;
  try {
    if (host.stateDir === undefined) throw noStateFolder();
    const configured = run.settings.stanzas.map((stanza) => ({ stanza: stanza.name, tenantId: stanza.tenantId }));
    state = await openStateFolder(
      host.stateDir,
      { clock: realClock, log },
      { waitForLock: "for-ever", stop: stop.signal, configured },
    );
  } catch (error) {
    const failure = isFailure(error) ? error : defect(error);
    if (stop.signal.aborted) {
      await host.close();
      return EXIT.done;
    }
    log.fatal(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
    await restInsteadOfSpinning(stop.signal);
    await host.close();
    return EXIT.state;
  }

  const vaults: Vaults = new Map(host.customers.map(({ stanza, vault }) => [stanza.name, vault]));
  const builder = new CustomerBuilder({ ...world, log, globals: host.globals }, ({ name }) => vaults.get(name));
  let scheduler: Scheduler;
  let built: Awaited<ReturnType<CustomerBuilder["buildAll"]>>;
  try {
    built = await builder.buildAll(
      host.customers.map(({ stanza }) => stanza),
      state,
    );
    scheduler = await Scheduler.open({
      customers: built.customers,
      state,
      sink: host.sink,
      replayMib: host.globals.replayMib,
      concurrency: host.globals.concurrency,
      version: VERSION,
      clock: realClock,
      random: realRandom,
      log,
      stop: stop.signal,
    });
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    // Nothing was written yet, so what the last stop left says the truth still.
    await host.close();
    await state.release({ orderly: false });
    return EXIT.done;
  }
  const { customers, refused, later } = built;
  const withdraw = new Map<string, () => void>();
  for (const { stanza, failure } of [...host.refused, ...refused]) {
    const id = tenantIdFrom(stanza.tenantId);
    const tenant = id && { id, name: stanza.tenantName, cloud: stanza.cloud };
    if (tenant) withdraw.set(stanza.name, scheduler.refuse({ tenant, streams: stanza.streams, failure }));
    else log.error(failure.say, { customer: stanza.name, failure: failure.code });
  }
  let fatal: Failure | undefined;
  const running = scheduler.run(stop.signal).catch((error: unknown) => {
    fatal = isFailure(error) ? error : defect(error);
    stop.abort(fatal.code);
  });
  for (const stanza of later) void builder.joinLater(stanza, scheduler, state, stop.signal);
  void admitLater(host, builder, vaults, scheduler, state, withdraw, stop.signal).catch((error: unknown) =>
    log.error("customers without secrets are no longer looked after", { failure: defect(error).say }),
  );
  void builder
    .keepTokensAlive(stop.signal)
    .catch((error: unknown) =>
      log.error("quiet refresh tokens are no longer looked after", { failure: defect(error).say }),
    );
  void host
    .settleSecrets()
    .catch((error: unknown) =>
      log.error("secrets could not be stored", { failure: isFailure(error) ? error.code : defect(error).say }),
    );
  void keepHeapSmall(ownHeap(), realClock, stop.signal);
  if (customers.length === 0 && later.length === 0) void host.sayIdle(stop.signal);

  await aborted(stop.signal);
  const finished = await Promise.race([running.then(() => true), realClock.pause(FINISH_PAGES_MS).then(() => false)]);
  const closed = await host.close();
  if (fatal && fatal.code !== "host-gone")
    log.fatal(fatal.say, { failure: fatal.code, next_step: fatal.nextStep || undefined });
  const orderly = finished && closed === "closed" && !fatal && !host.gone.aborted;
  await Promise.race([saveState(scheduler, state, orderly), realClock.pause(SAVE_STATE_MS)]);
  if (!fatal || fatal.code === "host-gone") return EXIT.done;
  return exitCodeOf(fatal) === EXIT.state ? EXIT.state : EXIT.host;
}

const STORE_AGAIN_FIRST_MS = 60_000;
const STORE_AGAIN_LONGEST_MS = 900_000;

/**
 * A credential store that was shut at start (splunkd busy, 503) must not silence customers until somebody
 * restarts us.
 */
async function admitLater(
  host: SplunkHost,
  builder: CustomerBuilder,
  vaults: Vaults,
  scheduler: Scheduler,
  state: StateFolder,
  withdraw: ReadonlyMap<string, () => void>,
  stop: AbortSignal,
): Promise<void> {
  let waiting = host.refused.filter(({ failure }) => failure.retry.when !== "never").map(({ stanza }) => stanza);
  for (let waitMs = STORE_AGAIN_FIRST_MS; waiting.length > 0; waitMs = Math.min(waitMs * 2, STORE_AGAIN_LONGEST_MS)) {
    await realClock.pause(waitMs, stop);
    if (stop.aborted) return;
    const admitted = await host.resolveAgain(waiting);
    for (const { stanza, vault } of admitted) {
      vaults.set(stanza.name, vault);
      withdraw.get(stanza.name)?.();
      void builder.joinLater(stanza, scheduler, state, stop);
    }
    waiting = waiting.filter((one) => !admitted.some(({ stanza }) => stanza.name === one.name));
  }
}

async function saveState(scheduler: Scheduler, state: StateFolder, orderly: boolean): Promise<void> {
  const saved = await scheduler.close({ orderly, thoroughForMs: SAVE_THOROUGHLY_MS });
  await state.release({ orderly: orderly && saved });
}

/**
 * splunkd restarts what exits quickly in a tight loop: a program that cannot work says so and waits for its
 * end instead.
 */
async function restInsteadOfSpinning(stop: AbortSignal): Promise<void> {
  await realClock.pause(60_000, stop);
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function write(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

function noStateFolder(): Failure {
  return new Failure("state-unwritable", {
    actor: "operator",
    retry: { when: "never" },
    say: "The run document names no checkpoint_dir and no state_dir is set, so nothing could be remembered.",
    nextStep: "Set state_dir under [defender_mssp].",
  });
}

function defect(error: unknown): Failure {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Failure("defect", {
    actor: "us",
    retry: { when: "later" },
    say: `Something unexpected failed in this program: ${text.replaceAll("\n", " ")}.`,
    nextStep: "Report this line.",
    cause: error,
  });
}

export type { Log };
