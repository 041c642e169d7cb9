import { hostname } from "node:os";
import { withSplunksKeys } from "../config/hec-settings.ts";
import { openOutputs, realDialer } from "../hosts/arcsight/index.ts";
import { logWithCommands } from "../model/command-line.ts";
import type { Log } from "../model/ports.ts";
import { createHttp } from "../net/http.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { Chosen } from "./chosen-configuration.ts";
import type { Destination } from "./collector.ts";
import { outagesOf, outputStatuses } from "./output-status.ts";
import { realClock, realRandom, VERSION } from "./world.ts";

/** How long sends to receivers may take after the last page. */
const DRAIN_MS = 10_000;

/** Opens the outputs of a configuration file as the destination of one process. */
export function outputsOf({ config, stateDir }: Pick<Chosen, "config" | "stateDir">, runLog: Log): () => Destination {
  const log = config.form === "splunk" ? logWithCommands(runLog, { inText: withSplunksKeys }) : runLog;
  const ports = { disk: realDisk, clock: realClock, platform: process.platform };
  return () => {
    const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
    const world = { ports, clock: realClock, random: realRandom, log, dialer: realDialer, http, hostName: hostname() };
    const sink = openOutputs(config.outputs, config.settings.stanzas, stateDir, world);
    return {
      sink,
      onBroken: (listener) => sink.onBroken(listener),
      onAccepting: (listener) => sink.onAccepting(listener),
      renew: (output, secrets) => sink.renew(output, secrets),
      outages: () => outagesOf(sink.conditions(), config.outputs),
      outputs: () => outputStatuses(sink.conditions(), config.outputs, realClock.nowMs()),
      async close() {
        try {
          await sink.close(DRAIN_MS);
        } finally {
          await http.close().catch(() => undefined);
        }
        return true;
      },
    };
  };
}
