/**
 * The modular input with `hec_*`: Microsoft's records go to HEC and their spool, and splunkd's pipe gets
 * health only.
 */
import { hostname } from "node:os";
import type { Outage } from "../collect/outage-watch.ts";
import type { HecReference } from "../config/hec-settings.ts";
import { hecWithoutToken, withSplunksKeys } from "../config/hec-settings.ts";
import type { OutputSettings } from "../config/output-settings.ts";
import { openOutputs, realDialer } from "../hosts/arcsight/index.ts";
import type { SplunkHost } from "../hosts/splunk/index.ts";
import { healthWithCommands, logWithCommands } from "../model/command-line.ts";
import { asFailure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import type { OutputStatus } from "../model/status.ts";
import { createHttp } from "../net/http.ts";
import type { Notice } from "../outputs/line-format.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { Destination } from "./collector.ts";
import type { FleetDestination } from "./fleet.ts";
import { OutputRenewal } from "./output-renewal.ts";
import { outagesOf, outputStatuses } from "./output-status.ts";
import { realClock, realRandom, VERSION } from "./world.ts";

/** splunkd kills what does not end soon; what is not confirmed by then lies in the spool. */
const DRAIN_MS = 1_000;

export interface SplunkHecParts {
  readonly host: Pick<SplunkHost, "withEventsTo" | "notice" | "close" | "gone">;
  readonly hec: HecReference;
  /** The output with its token as it is now. Throws Failure `secret-file-refused`. */
  readonly readOutput: () => Promise<OutputSettings>;
  readonly customers: readonly Stanza[];
  readonly stateDir: string;
  /** splunkd's pipe. */
  readonly pipe: OutputStatus;
  readonly log: Log;
}

/** One output of type hec beside splunkd's pipe. */
export class SplunkHec {
  readonly #p: SplunkHecParts;
  readonly #log: Log;
  readonly #settings: OutputSettings;
  readonly #renewal: OutputRenewal;
  /** Why the token could not be read at the last look. */
  #said: string | undefined;
  #open: Destination | undefined;

  private constructor(parts: SplunkHecParts, settings: OutputSettings, said: string | undefined) {
    this.#p = parts;
    this.#log = logWithCommands(parts.log, { inText: withSplunksKeys });
    this.#settings = settings;
    this.#said = said;
    this.#renewal = new OutputRenewal([settings], this.#log);
  }

  /** A token that cannot be read is logged: events wait in the spool for it. */
  static async of(parts: SplunkHecParts): Promise<SplunkHec> {
    const now = await outputNow(parts, undefined);
    const settings = now.output ?? hecWithoutToken(parts.hec);
    if (settings === undefined) throw new Error("hec_* were checked with the other settings");
    return new SplunkHec(parts, settings, now.said);
  }

  /** Call it once the state is held. */
  open(): Destination {
    const { host, customers, stateDir, pipe } = this.#p;
    const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
    const sink = openOutputs([this.#settings], customers, stateDir, {
      ports: { disk: realDisk, clock: realClock, platform: process.platform },
      clock: realClock,
      random: realRandom,
      log: this.#log,
      dialer: realDialer,
      http,
      hostName: hostname(),
      takeNotice: this.takeNotice,
    });
    const destination: Destination = {
      sink: host.withEventsTo(sink),
      onBroken: (listener) => sink.onBroken(listener),
      onAccepting: (listener) => sink.onAccepting(listener),
      renew: (output, secrets) => sink.renew(output, secrets),
      outages: () => inSplunksWords(outagesOf(sink.conditions(), [this.#settings])),
      outputs: () => [pipe, ...outputStatuses(sink.conditions(), [this.#settings], realClock.nowMs())],
      async close() {
        try {
          const [closed] = await Promise.all([host.close(), sink.close(DRAIN_MS)]);
          return closed === "closed" && !host.gone.aborted;
        } finally {
          await http.close().catch(() => undefined);
        }
      },
    };
    this.#open = destination;
    return destination;
  }

  /** The output as a member of a fleet opens it. */
  get output(): OutputSettings {
    return this.#settings;
  }

  /** Names Splunk's keys. */
  get log(): Log {
    return this.#log;
  }

  /** What an output or a fleet says where no single customer is meant goes into splunkd's pipe. */
  readonly takeNotice = (notice: Notice): void => {
    void this.#p.host.notice({ ...notice, say: withSplunksKeys(notice.say) });
  };

  /** As `open`, where a fleet's database takes the place of the spool. */
  openInFleet(fleet: FleetDestination): Destination {
    const { host, pipe } = this.#p;
    const sink = host.withEventsTo(fleet.sink);
    const words = { inText: withSplunksKeys };
    const destination: Destination = {
      ...fleet,
      sink: { ...sink, health: (event) => sink.health(healthWithCommands(event, words)) },
      outages: () => inSplunksWords(fleet.outages?.() ?? []),
      outputs: () => [pipe, ...(fleet.outputs?.() ?? [])],
      async close() {
        const [closed, isClosed] = await Promise.all([host.close(), fleet.close()]);
        return isClosed && closed === "closed" && !host.gone.aborted;
      },
    };
    this.#open = destination;
    return destination;
  }

  /** Takes a token that was changed since the last look. Never throws a Failure. */
  async look(): Promise<void> {
    const { output: again, said } = await outputNow(this.#p, this.#said);
    this.#said = said;
    if (again === undefined) return;
    this.#renewal.take([again], (output, secrets) => this.#open?.renew?.(output, secrets));
  }
}

function inSplunksWords(outages: readonly Outage[]): readonly Outage[] {
  return outages.map(({ say, nextStep, ...rest }) => ({
    ...rest,
    say: withSplunksKeys(say),
    nextStep: withSplunksKeys(nextStep),
  }));
}

/** @param before what was said of the last look: the same is not logged again. */
async function outputNow(
  { readOutput, log }: Pick<SplunkHecParts, "readOutput" | "log">,
  before: string | undefined,
): Promise<{ readonly output?: OutputSettings; readonly said?: string }> {
  try {
    return { output: await readOutput() };
  } catch (error) {
    const { code, say, nextStep } = asFailure(error);
    if (say !== before) log.error(say, { failure: code, next_step: nextStep || undefined });
    return { said: say };
  }
}
