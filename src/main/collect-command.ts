import type { CommandLines } from "../model/command-line.ts";
import { EXIT, type ExitCode } from "../model/failure.ts";
import type { Http, Log } from "../model/ports.ts";
import type { StreamName } from "../model/stream.ts";
import { STREAM_NAMES } from "../model/stream.ts";
import { createHttp } from "../net/http.ts";
import { pipeSink } from "../outputs/pipe-sink.ts";
import { PLAIN_LINES, StreamPipe } from "../outputs/stream-pipe.ts";
import { announcements } from "./announcements.ts";
import { Collector } from "./collector.ts";
import type { Configuration } from "./configuration.ts";
import { diskState, fileCustomers, realCollectorWorld } from "./real-collector.ts";
import { realClock, stopSignal, VERSION } from "./world.ts";

export interface CollectFlags {
  readonly stream?: readonly string[] | undefined;
  /** Stands between this program and the network: how an exchange is recorded. */
  readonly through?: (http: Http) => Http;
}

/**
 * `collect`: one complete walk per stream of each chosen customer to stdout as JSON lines; checkpoints are
 * saved.
 */
export async function collectOnce(
  configuration: Configuration,
  flags: CollectFlags,
  log: Log,
  commands: CommandLines,
): Promise<ExitCode> {
  const stop = stopSignal().signal;
  const { settings, stanzas, stateDir } = configuration;
  const { globals } = settings;
  const network = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const http = flags.through?.(network) ?? network;
  for (const line of announcements(stanzas)) log.warn(line);
  const collector = await Collector.open({
    customers: {
      configured: settings.stanzas,
      wanted: stanzas,
      builder: fileCustomers(stateDir, { http, log, globals }),
      only: flags.stream?.filter((name): name is StreamName => STREAM_NAMES.some((known) => known === name)),
    },
    openState: diskState(stateDir, log, { waitForLock: "10s", stop }),
    openDestination() {
      const events = new StreamPipe(process.stdout, realClock, PLAIN_LINES);
      const health = new StreamPipe(process.stderr, realClock, PLAIN_LINES);
      return {
        sink: pipeSink({ events, health, form: "lines", customers: stanzas }),
        close: async () => (await events.close()) === "closed" && !stop.aborted,
      };
    },
    limits: { finishPagesMs: 0 },
    globals,
    world: realCollectorWorld(http, log, commands),
    stop,
  });
  await collector.round();
  for (const { tenant, stream, totals } of collector.summary()) {
    const { new: added, updated, replayed, requests } = totals;
    log.info("collected", { customer: tenant.name, stream, new: added, updated, replayed, requests });
  }
  const { exitCode } = await collector.close();
  return stop.aborted && exitCode !== EXIT.host ? EXIT.ourFault : exitCode;
}
