import { ofSplunk, openServe } from "../hosts/arcsight/index.ts";
import type { ExitCode } from "../model/failure.ts";
import { asFailure, EXIT, exitCodeOf, isFailure } from "../model/failure.ts";
import type { Http, Log } from "../model/ports.ts";
import { createHttp } from "../net/http.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { CheckedConfig } from "./arcsight-findings.ts";
import { tell, tellWhatServeLeaves } from "./arcsight-findings.ts";
import { type ArcSightFlags, type Chosen, choose, logOf } from "./chosen-configuration.ts";
import { Collector, type Destination, type Discovery } from "./collector.ts";
import { contractWatch } from "./contract.ts";
import type { VaultOf } from "./customers.ts";
import { openMonitor } from "./monitor.ts";
import { OutputRenewal } from "./output-renewal.ts";
import { outputsOf } from "./outputs-destination.ts";
import { readTextIfThere } from "./read-text.ts";
import {
  diskState,
  fileCredentialWatch,
  fileCustomers,
  realCollectorWorld,
  realSecretFiles,
} from "./real-collector.ts";
import { FileSecrets } from "./stored-secrets.ts";
import { presentFingerprint, realClock, stopSignal, VERSION, warnOfDistrusted } from "./world.ts";

/**
 * How long running pages may take after SIGTERM; then sends to receivers have their time. systemd waits 90 s
 * by default; the shipped unit sets 30 s.
 */
const FINISH_PAGES_MS = 5_000;

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
  warnOfDistrusted(distrusted, log);
  const refused = tell(startedWith(chosen), log, { needOutputs: true, again: false });
  if (refused !== undefined) return refused;
  const obstacle = chosen.config.fleet && (await fleetObstacleIn(chosen, flags, options));
  if (obstacle !== undefined) {
    log.fatal(obstacle);
    return EXIT.usage;
  }
  let reload = new AbortController();
  let next: Chosen | undefined;
  let reading = Promise.resolve();
  const reloadSoon = (): void => {
    if (!options.once) reading = reading.then(readAgain).catch(defectIn(log));
  };
  // A configuration that is refused must not disturb the customers, so it is read before anything ends.
  const readAgain = async (): Promise<void> => {
    next = (await chooseAgain(flags, log)) ?? next;
    if (next !== undefined) reload.abort();
  };
  const stop = stopSignal(reloadSoon).signal;
  log.info("started", {
    version: VERSION,
    customers: chosen.stanzas.length,
    outputs: chosen.config.outputs.length,
    state: chosen.stateDir,
  });
  for (;;) {
    reload = new AbortController();
    const until = { ...options, stop: AbortSignal.any([stop, reload.signal]), reloadSoon };
    const code = await collectInto(chosen, flags, until, log, outputsOf(chosen, log));
    if (options.once || !reload.signal.aborted || stop.aborted) {
      log.info("stopped", { exit_code: code });
      return code;
    }
    chosen = next ?? chosen;
    next = undefined;
  }
}

/** For work that nobody waits for. */
function defectIn(log: Log): (error: unknown) => void {
  return (error) => {
    const failure = asFailure(error);
    log.error(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
  };
}

/** `arcsight serve`: collects into the buffer and answers polls from it until SIGTERM. */
export async function arcSightServe(flags: ArcSightFlags, distrusted: readonly string[]): Promise<ExitCode> {
  const chosen = await choose(flags);
  const { config, stateDir } = chosen;
  if (config.form === "splunk") throw ofSplunk(flags.config);
  const log = logOf(chosen);
  warnOfDistrusted(distrusted, log);
  const refused = tell(startedWith(chosen), log, { needOutputs: false, again: false });
  if (refused !== undefined) return refused;
  if (config.fleet !== undefined) {
    log.fatal("serve works alone; remove fleet.* from its configuration");
    return EXIT.usage;
  }
  const { serve } = config;
  if (serve === undefined) {
    log.fatal("serve.* is not valid; see the errors above");
    return EXIT.usage;
  }
  tellWhatServeLeaves(config, log);
  const stop = stopSignal(() => log.warn("serve reads its configuration only at start; restart it")).signal;
  log.info("started", { version: VERSION, customers: chosen.stanzas.length, state: stateDir });
  const code = await collectInto(chosen, flags, { once: false, stop }, log, () => {
    const customers = [...config.settings.stanzas, ...config.settings.refused];
    const serving = openServe(serve, customers, stateDir, { disk: realDisk, clock: realClock, log });
    let server: Awaited<ReturnType<typeof serving.listen>> | undefined;
    return {
      sink: serving.sink,
      async begin() {
        server = await serving.listen();
        log.info("answering polls", { address: server.address });
      },
      async close() {
        await server?.close();
        await serving.sink.close();
        return true;
      },
    };
  });
  log.info("stopped", { exit_code: code });
  return code;
}

async function chooseAgain(flags: ArcSightFlags, log: Log): Promise<Chosen | undefined> {
  try {
    const again = await choose(flags);
    const obstacle = again.config.fleet && (await fleetObstacleIn(again, flags, { once: false }));
    if (obstacle !== undefined) log.error(obstacle);
    else if (tell(checkedConfigOf(again), log, { needOutputs: true, again: true }) === undefined) {
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
  log.error("the configuration was read again but is not valid; the previous one stays in use");
  return undefined;
}

interface CollectUntil {
  readonly once: boolean;
  readonly stop: AbortSignal;
  /** Reads the configuration again. Absent: it counts at the next start. */
  readonly reloadSoon?: () => void;
}

/** A single round is over before a list would be read. */
async function discoveryIn(
  { config, stateDir }: Chosen,
  file: string,
  { http, log, reloadSoon }: { readonly http: Http; readonly log: Log; readonly reloadSoon: () => void },
): Promise<Discovery | undefined> {
  const { discovery, stanzas } = config.settings;
  if (discovery === undefined) return undefined;
  const { hostDiscovery } = await import("./hosts-discovery.ts");
  const { filePlace } = await import("../hosts/cli/roster-place.ts");
  return hostDiscovery({
    settings: discovery,
    stateDir,
    customers: stanzas,
    http,
    clock: realClock,
    log,
    place: (roster) => filePlace({ readText: readTextIfThere, roster }, file),
    secrets: () =>
      Promise.resolve(new FileSecrets(stateDir, { http, clock: realClock, log, fingerprintOf: presentFingerprint })),
    readText: (path) => readTextIfThere(path, "utf8"),
    changed: reloadSoon,
  });
}

/** Whoever belongs to no fleet pays nothing for it, not even its code. */
async function fleetObstacleIn(
  chosen: Chosen,
  { customer }: ArcSightFlags,
  { once }: { readonly once: boolean },
): Promise<string | undefined> {
  const { fleetObstacle } = await import("./fleet.ts");
  return fleetObstacle(chosen, { once, customer });
}

async function collectInto(
  chosen: Chosen,
  flags: ArcSightFlags,
  { once, stop, reloadSoon }: CollectUntil,
  log: Log,
  openDestination: () => Destination,
): Promise<ExitCode> {
  const { config, stanzas, misconfigured, stateDir, commands } = chosen;
  const { globals, refused } = config.settings;
  const configured = [...config.settings.stanzas, ...refused];
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  // Nobody scrapes a program that ends after one round.
  const monitor = await openMonitor(once ? undefined : config.metrics, log, "metrics.");
  const files = realSecretFiles(stateDir, log);
  const renewal = new OutputRenewal(config.outputs, log);
  let destination: Destination | undefined;
  const readAgain = async (): Promise<Chosen> => {
    const again = await choose(flags);
    const open = destination;
    if (open?.renew !== undefined)
      renewal.take(again.config.outputs, (output, secrets) => open.renew?.(output, secrets));
    return again;
  };
  let collector: Collector;
  // Nobody waits for a single round, so it gives up instead of waiting for the holder.
  const openState = diskState(stateDir, log, {
    waitForLock: once ? "10s" : "for-ever",
    stop,
    mayBeInFleet: config.fleet !== undefined,
  });
  const stated = configured.map(({ name, tenantId }) => ({ stanza: name, tenantId }));
  const credentials = fileCredentialWatch(stateDir, chosen, readAgain, log, files);
  const host = {
    openLocal: () => openState(stated),
    files,
    credentials,
    stop,
    builderWith: (vaultOf: VaultOf) => fileCustomers(stateDir, { http, log, globals }, files, vaultOf),
  };
  try {
    const fleet =
      config.fleet === undefined ? undefined : (await import("./fleet.ts")).fleetParts(chosen, config.fleet, host, log);
    collector = await Collector.open({
      customers: {
        configured,
        wanted: stanzas,
        misconfigured,
        credentials,
        builder: fileCustomers(stateDir, { http, log, globals }, files),
        ...(chosen.config.settings.discovery === undefined ? {} : { underContract: contractWatch(stateDir, log) }),
        ...fleet?.customers,
      },
      openState: fleet?.openState ?? openState,
      openDestination: () => (destination = (fleet?.openDestination ?? openDestination)()),
      ...(fleet === undefined ? {} : { membership: fleet.membership }),
      discovery:
        reloadSoon === undefined || once
          ? undefined
          : await discoveryIn(chosen, flags.config, { http, log, reloadSoon }),
      limits: { finishPagesMs: FINISH_PAGES_MS },
      globals,
      world: realCollectorWorld(http, log, commands),
      stop,
    });
  } catch (error) {
    await monitor.close();
    if (stop.aborted) return EXIT.done;
    const failure = asFailure(error);
    log.fatal(failure.say, { failure: failure.code, next_step: failure.nextStep || undefined });
    return exitCodeOf(failure);
  }
  monitor.watch(collector, stop);
  await (once ? collector.round() : collector.run());
  const [{ exitCode }] = await Promise.all([collector.close(), monitor.close()]);
  return exitCode;
}

function checkedConfigOf({ config, stanzas }: Chosen): CheckedConfig {
  return { config, customers: stanzas.length, customersElsewhere: config.fleet !== undefined };
}

/** A customer with wrong settings is enough to start: its health events say what is wrong. */
function startedWith(chosen: Chosen): CheckedConfig {
  return { ...checkedConfigOf(chosen), customers: chosen.stanzas.length + chosen.misconfigured.length };
}
