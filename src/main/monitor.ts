import { hostname } from "node:os";
import { isFailure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { ListenAddress } from "../model/setting.ts";
import type { CollectorStatus } from "../model/status.ts";
import type { MonitoringSettings } from "../monitoring/monitoring.ts";
import { realClock, VERSION } from "./world.ts";

/** Where metrics are shown, on any host. */
export interface ListeningSettings extends ListenAddress {
  readonly certificate?: string;
  readonly token?: Sealed;
}

/** `/metrics`, `/status` and the health paths of one collector. */
export interface Monitor {
  /** From now on this collector is shown; until `stop` fires it is ready as it says. */
  watch(collector: { status(): CollectorStatus; isReady?(): boolean }, stop: AbortSignal): void;
  close(): Promise<void>;
}

const NOWHERE: Monitor = { watch: () => undefined, close: () => Promise.resolve() };

/** @param form how the settings are called on this host. */
export async function openMonitor(
  settings: ListeningSettings | undefined,
  log: Log,
  form: "metrics." | "metrics_",
): Promise<Monitor> {
  if (settings === undefined) return NOWHERE;
  let shown: { status(): CollectorStatus; isReady?(): boolean } | undefined;
  // Whoever has no metrics pays nothing for them, not even their code.
  const { startMonitoring } = await import("../monitoring/monitoring.ts");
  const { token, ...rest } = settings;
  const listening: MonitoringSettings = {
    ...rest,
    ...(token === undefined ? {} : { secret: token }),
    called: { server: "metrics", listen: `${form}listen`, certificate: `${form}certificate`, secret: `${form}token` },
  };
  try {
    const server = await startMonitoring(listening, {
      name: hostname(),
      version: VERSION,
      watched: {
        isReady: () => shown !== undefined && (shown.isReady?.() ?? true),
        status: () => shown?.status(),
      },
      clock: realClock,
      log,
      process: processFacts,
    });
    log.info("metrics are shown", { address: server.address });
    return {
      watch(collector, stop) {
        shown = stop.aborted ? undefined : collector;
        stop.addEventListener(
          "abort",
          () => {
            shown = undefined;
          },
          { once: true },
        );
      },
      close: () => server.close(),
    };
  } catch (error) {
    if (!isFailure(error)) throw error;
    log.warn("metrics are not shown; collection goes on without them", {
      failure: error.code,
      say: error.say,
      next_step: error.nextStep || undefined,
    });
    return NOWHERE;
  }
}

function processFacts() {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: rss,
    heapUsedBytes: heapUsed,
    cpuS: (user + system) / 1e6,
    startedAtS: Math.round(realClock.nowMs() / 1000 - process.uptime()),
  };
}
