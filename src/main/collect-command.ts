import { Scheduler } from "../collect/scheduler.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, exitCodeOf, Failure } from "../model/failure.ts";
import type { Http, Log } from "../model/ports.ts";
import type { StreamName } from "../model/stream.ts";
import { STREAM_NAMES } from "../model/stream.ts";
import { createHttp } from "../net/http.ts";
import { pipeSink } from "../outputs/pipe-sink.ts";
import { PLAIN_LINES, StreamPipe } from "../outputs/stream-pipe.ts";
import { openStateFolder } from "../stores/disk/folder.ts";
import { announcements } from "./announcements.ts";
import type { Configuration } from "./configuration.ts";
import { CustomerBuilder } from "./customers.ts";
import { fileCredentials, fileVaults } from "./file-vaults.ts";
import { realClock, realRandom, stopSignal, VERSION } from "./world.ts";

export interface CollectFlags {
  readonly stream?: readonly string[] | undefined;
  /** Stands between us and the network: how an exchange is recorded. */
  readonly through?: (http: Http) => Http;
}

/**
 * `collect`: one complete walk per stream of each chosen customer to stdout as JSON lines; checkpoints are saved.
 */
export async function collectOnce(configuration: Configuration, flags: CollectFlags, log: Log): Promise<ExitCode> {
  const stop = stopSignal();
  const { settings, stanzas } = configuration;
  const only = flags.stream?.filter((name): name is StreamName => STREAM_NAMES.some((known) => known === name));
  const network = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const http = flags.through?.(network) ?? network;
  for (const line of announcements(stanzas)) log.warn(line);
  const configured = settings.stanzas.map((stanza) => ({ stanza: stanza.name, tenantId: stanza.tenantId }));
  const state = await openStateFolder(
    configuration.stateDir,
    { clock: realClock, log },
    { waitForLock: "10s", stop: stop.signal, configured },
  );
  let orderly = false;
  try {
    const vaultOf = fileVaults(configuration.stateDir, log, realClock);
    const builder = new CustomerBuilder(
      { http, clock: realClock, random: realRandom, log, globals: settings.globals },
      vaultOf,
      fileCredentials(configuration.stateDir, log, realClock),
    );
    const failed: Failure[] = [];
    const customers = [];
    for (const stanza of stanzas) {
      try {
        customers.push(await builder.build(stanza, state, only));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        failed.push(error);
        log.error(error.say, { customer: stanza.name, failure: error.code, next_step: error.nextStep || undefined });
      }
    }
    const scheduler = await Scheduler.open({
      customers,
      state,
      sink: pipeSink({
        events: new StreamPipe(process.stdout, realClock, PLAIN_LINES),
        health: new StreamPipe(process.stderr, realClock, PLAIN_LINES),
        form: "lines",
        customers: stanzas,
      }),
      replayMib: settings.globals.replayMib,
      concurrency: settings.globals.concurrency,
      version: VERSION,
      clock: realClock,
      random: realRandom,
      log,
    });
    const results = await scheduler.runOnce(stop.signal);
    for (const { customer, failures } of results) {
      for (const { stream, failure } of failures) {
        failed.push(failure);
        log.error(failure.say, {
          customer: customer.stanza,
          stream,
          failure: failure.code,
          next_step: failure.nextStep || undefined,
        });
      }
    }
    for (const line of scheduler.summary())
      log.info("collected", {
        customer: line.tenant.name,
        stream: line.stream,
        new: line.totals.new,
        updated: line.totals.updated,
        replayed: line.totals.replayed,
        requests: line.totals.requests,
      });
    const hostGone = failed.find((f) => exitCodeOf(f) === EXIT.host);
    orderly = hostGone === undefined && !stop.signal.aborted;
    orderly = (await scheduler.close({ orderly })) && orderly;
    if (hostGone) return exitCodeOf(hostGone);
    if (stop.signal.aborted) return EXIT.ourFault;
    if (failed.length === 0) return EXIT.done;
    const healthy = results.some((r) => r.failures.length === 0);
    return healthy ? EXIT.someCustomers : exitCodeOf(failed[0] as Failure);
  } finally {
    await state.release({ orderly });
    await http.close().catch(() => undefined);
  }
}
