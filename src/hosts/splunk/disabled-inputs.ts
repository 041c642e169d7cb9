import { StreamReport } from "../../collect/report.ts";
import { readValue } from "../../config/kinds.ts";
import { refusedSettings } from "../../config/settings.ts";
import { ALL_STREAMS, type HealthEvent } from "../../model/event.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock, Log, Sink } from "../../model/ports.ts";
import type { HealthPlace } from "../../outputs/pipe-sink.ts";
import { type ListedInput, listInputs } from "./input-list.ts";
import type { Splunkd } from "./splunkd.ts";

const HOUR_MS = 3_600_000;
/** After a list that could not be read. */
const AGAIN_MS = 300_000;
const SETTINGS = ["disabled", "index", "tenant_id", "tenant_name", "credential"] as const;

interface Input {
  readonly name: string;
  readonly isDisabled: boolean;
  readonly index: string | undefined;
  readonly values: Readonly<Record<string, string>>;
}

export interface DisabledInputsParts {
  /** Throws Failure while splunkd cannot be asked. */
  readonly splunkd: () => Splunkd;
  /** Inputs of the run document. */
  readonly running: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly send: Sink["health"];
  /** Gets the place of an event before it is sent. */
  readonly places: Map<string, HealthPlace>;
}

/**
 * splunkd leaves disabled inputs out of the run document, so only its list tells them from deleted ones. Each
 * gets a health event with the state `off`, at once and hourly, until `stop`.
 */
export async function reportDisabledInputs(parts: DisabledInputsParts, stop: AbortSignal): Promise<void> {
  let isUnread = false;
  while (!stop.aborted) {
    try {
      const listed = await listInputs(parts.splunkd(), SETTINGS);
      await reportAll(parts, listed.map(inputFrom), stop);
      isUnread = false;
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (!isUnread && !stop.aborted)
        parts.log.warn("splunkd's list of inputs cannot be read, so disabled inputs have no health event", {
          failure: error.code,
          say: error.say,
        });
      isUnread = true;
    }
    await parts.clock.pause(isUnread ? AGAIN_MS : HOUR_MS, stop);
  }
}

async function reportAll(parts: DisabledInputsParts, inputs: readonly Input[], stop: AbortSignal): Promise<void> {
  // An input that was disabled a moment ago still runs, until splunkd restarts this program.
  const isRunning = new Set(parts.running);
  const disabled = inputs.filter(({ name, isDisabled }) => isDisabled && !isRunning.has(name));
  const enabled = inputs.filter(({ name }) => isRunning.has(name));
  for (const input of disabled) {
    if (stop.aborted) return;
    parts.places.set(input.name, placeOf(input, enabled));
    await parts.send(healthOf(input, parts));
  }
}

/**
 * Whether splunkd files an event under a disabled input is not documented, so an enabled one carries it. The
 * index stays the disabled input's own: who may read one customer's index must not find another's name there.
 */
function placeOf({ name, index }: Input, enabled: readonly Input[]): HealthPlace {
  const carrier = enabled.find((one) => one.index === index) ?? enabled[0];
  const isSame = carrier?.index === index || index === undefined;
  return { stanza: carrier?.name ?? name, ...(isSame ? {} : { index }) };
}

function healthOf({ name, values }: Input, { clock, version }: DisabledInputsParts): HealthEvent {
  const { tenantName, tenantId } = refusedSettings({ name, values }, []);
  const stream = new StreamReport(ALL_STREAMS, () => undefined);
  stream.state = "off";
  const nowMs = clock.nowMs();
  return {
    time: new Date(nowMs).toISOString(),
    tenant: tenantName,
    tenant_id: tenantId,
    input: name,
    streams: [
      {
        ...stream.health(nowMs),
        say: `The input ${name} is disabled, so ${tenantName} is not collected.`,
        next_step: `To collect it again, enable the input ${name} under Settings > Data inputs.`,
      },
    ],
    credential: values["credential"] ?? null,
    credential_days_left: null,
    version,
  };
}

function inputFrom({ name, content }: ListedInput): Input {
  const values = Object.fromEntries(
    Object.entries(content).flatMap(([key, value]) =>
      (typeof value === "string" && value !== "") || typeof value === "boolean" || typeof value === "number"
        ? [[key, String(value)] as const]
        : [],
    ),
  );
  const disabled = readValue({ is: "yes-no" }, values["disabled"] ?? "0", 0);
  return { name, isDisabled: disabled.ok && disabled.value, index: values["index"], values };
}
