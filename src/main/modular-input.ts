import { join } from "node:path";
import { withSplunksKeys } from "../config/hec-settings.ts";
import { lineLog } from "../format/log-line.ts";
import { realSecretReader, reportLeftSpools } from "../hosts/arcsight/index.ts";
import type { SplunkDocument, SplunkHost, SplunkRun, SplunkWorld } from "../hosts/splunk/index.ts";
import {
  fleetOf,
  hecOf,
  LOOK_EVERY_MS,
  metricsOf,
  openSplunkHost,
  readRun,
  runFrom,
  SCHEME,
  SplunkInputs,
  validate,
} from "../hosts/splunk/index.ts";
import { commandLines, logWithCommands } from "../model/command-line.ts";
import type { ExitCode } from "../model/failure.ts";
import { asFailure, EXIT, exitCodeOf, Failure, isFailure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import type { SettingProblem } from "../model/stanza.ts";
import type { OutputStatus } from "../model/status.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { realStampOf } from "../stores/disk/file-stamps.ts";
import { announcements } from "./announcements.ts";
import { Collector, type Destination, type Discovery, type StopLimits } from "./collector.ts";
import { placeOf } from "./command-place.ts";
import { contractWatch } from "./contract.ts";
import type { CredentialWatch } from "./credential-watch.ts";
import { CustomerBuilder } from "./customers.ts";
import type { FleetHost, FleetParts } from "./fleet.ts";
import { FLEET_STOP_IN_SPLUNK } from "./fleet-outputs.ts";
import { hostGone, realHostSigns } from "./host-watch.ts";
import { openMonitor } from "./monitor.ts";
import { diskState, realCollectorWorld } from "./real-collector.ts";
import type { SplunkHec } from "./splunk-hec.ts";
import { customersWithoutDestination } from "./splunk-without-destination.ts";
import { SplunkSecrets } from "./stored-secrets.ts";
import {
  presentFingerprint,
  readBytes,
  realClock,
  realFiles,
  realRandom,
  stopSignal,
  VERSION,
  warnOfDistrusted,
} from "./world.ts";

/**
 * splunkd kills what is not gone within a few seconds. Before the end of the stream is written, pages on
 * their way get a little; the end of the stream has 1.75 seconds, and saving state what is left of three,
 * less what a busy machine needs to end a process. The stream usually ends at once, so a busy disk has most
 * of the three seconds.
 */
const LIMITS: StopLimits = {
  finishPagesMs: 600,
  saveState: { atLeastMs: 300, untilAfterStopMs: 2_650 },
  saveThoroughlyMs: 100,
};

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
    stampOf: realStampOf,
    splunkHome: process.env.SPLUNK_HOME,
    credential: (name) => realSecretReader(process.env, process.platform).credential(name),
    program: placeOf({}, { typed: false }),
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
 * The modular input: reads splunkd's document, collects until the signal, and closes the stream. It writes
 * only single lines with a level to stderr, whatever happens.
 *
 * @param document instead of the one on stdin (`splunk run FILE`).
 * @param distrusted names of environment variables that were set and are ignored.
 */
export async function runModularInput(distrusted: readonly string[], document?: SplunkDocument): Promise<ExitCode> {
  const world = splunkWorld();
  const startedAtMs = world.clock.monotonicMs();
  const stop = stopSignal();
  let run: SplunkRun;
  try {
    run = document ? runFrom(document, world) : await readRun(world);
  } catch (error) {
    const failure = asFailure(error);
    logWithCommands(lineLog(world.writeLogLine, "info"), commandLines(placeOf({}, { typed: false }))).fatal(
      failure.say,
      {
        failure: failure.code,
        next_step: failure.nextStep || undefined,
      },
    );
    return EXIT.ourFault;
  }
  const { log } = run;
  log.info("started", { scheme: SCHEME, version: VERSION, inputs: run.document.stanzas.length });
  warnOfDistrusted(distrusted, log);
  for (const line of announcements(run.settings.stanzas)) log.warn(line);

  const host = await openSplunkHost(run, world, stop.signal);
  host.gone.addEventListener("abort", () => stop.abort("host-gone"), { once: true });
  // Pages are answered before there is a collector.
  let collector: Collector | undefined;
  void servePages(host, run, world, (input) => collector?.tryAgain(input), stop.signal).catch((error: unknown) =>
    log.error("the pages in Splunk Web get no answers", { failure: asFailure(error).say }),
  );
  if (document === undefined) void stopWithHost(world, stop);
  const code =
    host.customers.length + host.refused.length + host.misconfigured.length === 0
      ? await idle(host, world, stop.signal)
      : await collect(host, run, world, { stop: stop.signal, startedAtMs, opened: (one) => void (collector = one) });
  log.info("stopped", { exit_code: code });
  return code;
}

/** For the pages in Splunk Web. What it needs is loaded beside the collecting. */
async function servePages(
  host: SplunkHost,
  run: SplunkRun,
  world: SplunkWorld,
  mayCollect: (input: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const { pageAnswers } = await import("./page-answers.ts");
  await host.servePages(pageAnswers(host, run, world, mayCollect), stop);
}

async function stopWithHost({ clock }: SplunkWorld, stop: AbortController): Promise<void> {
  if (await hostGone(realHostSigns, clock, stop.signal)) stop.abort("host-gone");
}

async function idle(host: SplunkHost, world: SplunkWorld, stop: AbortSignal): Promise<ExitCode> {
  await host.sayIdle(stop);
  await host.close();
  await world.http.close().catch(() => undefined);
  return EXIT.done;
}

/** Splunk restarts this program after each input that is written, so nothing else makes a change count. */
async function discoveryIn(host: SplunkHost, run: SplunkRun, world: SplunkWorld): Promise<Discovery | undefined> {
  const { log, settings } = run;
  const { stateDir } = host;
  if (settings.discovery === undefined || stateDir === undefined) return undefined;
  const { hostDiscovery } = await import("./hosts-discovery.ts");
  const { placeOfInputs } = await import("../hosts/cli/roster-place.ts");
  return hostDiscovery({
    settings: settings.discovery,
    stateDir,
    customers: settings.stanzas,
    http: world.http,
    clock: world.clock,
    log,
    place() {
      const { splunkd, failure } = host.access();
      if (splunkd === undefined) throw failure ?? noSplunkd();
      return placeOfInputs(new SplunkInputs(splunkd, world.clock, world.random));
    },
    secrets() {
      const { store, failure } = host.access();
      if (store === undefined) throw failure ?? noSplunkd();
      return Promise.resolve(SplunkSecrets.of(store, presentFingerprint));
    },
    readText: (file) => host.readListFile(file),
    changed: () => undefined,
  });
}

/** The output that `hec_*` names; undefined when events go into splunkd's pipe. */
async function hecIn(host: SplunkHost, run: SplunkRun, world: SplunkWorld) {
  const { hec, stanzas } = run.settings;
  const { stateDir } = host;
  if (hec?.is !== "reference" || stateDir === undefined) return undefined;
  // Whoever has no HEC pays nothing for it, not even its code.
  const { SplunkHec } = await import("./splunk-hec.ts");
  const readOutput = () => hecOf(hec.hec, world);
  return SplunkHec.of({ host, hec: hec.hec, readOutput, customers: stanzas, stateDir, pipe: PIPE, log: run.log });
}

/** What this process is of a fleet. `wrong`: nobody is collected, because another host may do it. */
type FleetPlace =
  | { readonly is: "alone" }
  | { readonly is: "wrong"; readonly problems: readonly SettingProblem[] }
  | { readonly is: "member"; readonly parts: FleetParts };

/** A password or a key file that cannot be used is a wrong setting. */
async function fleetIn(
  host: SplunkHost,
  run: SplunkRun,
  world: SplunkWorld,
  {
    hec,
    openLocal,
    credentials,
    stop,
  }: Pick<FleetHost, "openLocal" | "credentials" | "stop"> & { readonly hec: SplunkHec | undefined },
): Promise<FleetPlace> {
  const { log, settings } = run;
  const { stateDir, globals } = host;
  const problems: SettingProblem[] = [];
  const complain = (key: string, say: string) => {
    problems.push({ stanza: "", key, say });
    log.error("a setting is not valid", { key, say });
  };
  if (settings.fleet === undefined || hec === undefined || stateDir === undefined) return { is: "alone" };
  const fleet = await fleetOf(settings.fleet, world, complain);
  if (fleet === undefined) return { is: "wrong", problems };
  const refused = host.refused.map(({ stanza: { name, tenantName, tenantId }, failure }) => ({
    name,
    tenantName,
    tenantId: tenantIdFrom(tenantId) ?? ("" as const),
    failure,
  }));
  // Whoever belongs to no fleet pays nothing for it, not even its code.
  const { fleetParts } = await import("./fleet.ts");
  try {
    const parts = fleetParts(
      {
        config: { settings, outputs: [hec.output], fleet },
        stateDir,
        stanzas: host.customers.map(({ stanza }) => stanza),
        misconfigured: [...host.misconfigured, ...refused],
        file: "inputs.conf",
        overrides: {},
        credentials: new Map(),
      },
      fleet,
      {
        openLocal,
        credentials,
        // What Splunk's store holds is in the customers' settings already.
        files: { read: () => undefined },
        builderWith: (vaultOf) => new CustomerBuilder({ ...world, log, globals }, vaultOf),
        takeNotice: hec.takeNotice,
        delivered: (batch) => host.noteDelivered(batch),
        stop,
        stopLimits: FLEET_STOP_IN_SPLUNK,
      },
      hec.log,
    );
    return { is: "member", parts };
  } catch (error) {
    if (!isFailure(error)) throw error;
    complain("fleet_key_file", `cannot be used: ${withSplunksKeys(error.say)}`);
    return { is: "wrong", problems };
  }
}

function noSplunkd(): Failure {
  return new Failure("splunkd-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: "splunkd's REST interface cannot be used, so the list of customers is not read.",
    nextStep: "Look for the cause in splunkd.log.",
  });
}

async function collect(
  host: SplunkHost,
  run: SplunkRun,
  world: SplunkWorld,
  {
    stop,
    startedAtMs,
    opened,
  }: { readonly stop: AbortSignal; readonly startedAtMs: number; readonly opened: (collector: Collector) => void },
): Promise<ExitCode> {
  const { log, settings } = run;
  const { globals, stateDir } = host;
  const vaults = new Map(host.customers.map(({ stanza, vault }) => [stanza.name, vault]));
  // Each masked secret can make splunkd restart this program. Nothing is written before all are masked, so
  // nothing has to be sent again after those restarts.
  await host.settleSecrets();
  if (stop.aborted) {
    await host.close();
    await world.http.close().catch(() => undefined);
    return EXIT.done;
  }
  const monitor = await openMonitor(await metricsOf(run, world), log, "metrics_");
  const hec = await hecIn(host, run, world);
  const configured = [...settings.stanzas, ...settings.refused];
  const openState =
    stateDir === undefined
      ? () => Promise.reject(noStateFolder())
      : diskState(stateDir, log, { waitForLock: "for-ever", stop });
  const credentials: CredentialWatch = {
    everyMs: LOOK_EVERY_MS,
    async look(failing) {
      await hec?.look();
      const { customers, refused } = await host.look(failing);
      for (const { stanza, vault } of customers) vaults.set(stanza.name, vault);
      return { ready: customers.map(({ stanza }) => stanza), refused };
    },
  };
  const openLocal = () => openState(configured.map(({ name, tenantId }) => ({ stanza: name, tenantId })));
  const fleet = await fleetIn(host, run, world, { hec, openLocal, credentials, stop });
  const isWrong = settings.hec?.is === "wrong" || fleet.is === "wrong";
  const openDestination = (): Destination => {
    if (hec === undefined || isWrong) return pipeOf(host, log, isWrong);
    return fleet.is === "member" ? hec.openInFleet(fleet.parts.openDestination()) : hec.open();
  };
  let collector: Collector;
  try {
    collector = await Collector.open({
      customers: {
        configured,
        ...(isWrong
          ? customersWithoutDestination(host, [...settings.problems, ...(fleet.is === "wrong" ? fleet.problems : [])])
          : {
              wanted: host.customers.map(({ stanza }) => stanza),
              refused: fleet.is === "member" ? [] : host.refused,
              misconfigured: host.misconfigured,
              credentials,
            }),
        builder: new CustomerBuilder({ ...world, log, globals }, ({ name }) => vaults.get(name)),
        ...(stateDir === undefined || settings.discovery === undefined
          ? {}
          : { underContract: contractWatch(stateDir, log) }),
        ...(fleet.is === "member" ? fleet.parts.customers : {}),
      },
      openState: fleet.is === "member" ? fleet.parts.openState : openState,
      openDestination,
      ...(fleet.is === "member" ? { membership: fleet.parts.membership } : {}),
      discovery: await discoveryIn(host, run, world),
      limits: LIMITS,
      globals,
      world: realCollectorWorld(world.http, log, run.commands),
      stop,
      // splunkd's store and the masking may have taken most of the time that is promised.
      startedAtMs,
    });
  } catch (error) {
    const failure = asFailure(error);
    const stopped = stop.aborted;
    if (!stopped) {
      log.fatal(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
      await restInsteadOfSpinning(stop);
    }
    await Promise.all([host.close(), monitor.close()]);
    return stopped ? EXIT.done : exitCodeOf(failure);
  }
  opened(collector);
  monitor.watch(collector, stop);
  const running = collector.run();
  void host
    .reportDisabledInputs()
    .catch((error: unknown) => log.error("disabled inputs are not reported", { failure: asFailure(error).say }));
  void host.sayIdle(stop, () => !collector.hasCustomers);
  await running;
  const [{ exitCode, fatal }] = await Promise.all([collector.close(), monitor.close()]);
  return fatal?.code === "host-gone" ? EXIT.done : exitCode;
}

/** @param isHecWrong `hec_*` is set, and was refused. */
function pipeOf(host: SplunkHost, log: Log, isHecWrong: boolean): Destination {
  // Whoever removes `hec_*` must hear of events that HEC did not take yet.
  if (host.stateDir !== undefined)
    reportLeftSpools(join(host.stateDir, "outputs"), new Set(), {
      ports: { disk: realDisk },
      log,
      refusedTypes: new Set(isHecWrong ? ["hec"] : []),
    });
  return {
    sink: host.sink,
    outputs: () => [PIPE],
    close: async () => (await host.close()) === "closed" && !host.gone.aborted,
  };
}

/** splunkd's pipe: what waits for it is still with Microsoft, and this program ends when it closes. */
const PIPE: OutputStatus = {
  name: "stdout",
  type: "pipe",
  state: "up",
  spoolBytes: 0,
  oldestS: null,
  unconfirmed: null,
  rejected: 0,
};

/**
 * splunkd restarts a program that exits quickly in a tight loop. So a program that cannot work logs this and
 * waits for the stop signal.
 */
async function restInsteadOfSpinning(stop: AbortSignal): Promise<void> {
  await realClock.pause(60_000, stop);
}

function write(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}

function noStateFolder(): Failure {
  return new Failure("state-unwritable", {
    actor: "operator",
    retry: { when: "never" },
    say: "The run document contains no checkpoint_dir and state_dir is not set, so checkpoints cannot be saved and nothing is collected.",
    nextStep: "Set `state_dir` under [defender_mssp].",
  });
}
