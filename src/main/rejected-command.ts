import {
  commitOnce,
  hecClientOf,
  kafkaWhere,
  objectOfKey,
  RejectedEvents,
  type RejectedFile,
  sendOnce,
} from "../hosts/arcsight/index.ts";
import { EXIT, type ExitCode, Failure, isFailure } from "../model/failure.ts";
import type { Http, Log } from "../model/ports.ts";
import { createHttp } from "../net/http.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { type ArcSightFlags, type Chosen, choose } from "./chosen-configuration.ts";
import { settingsFailure } from "./configuration.ts";
import { realClock, stopSignal, VERSION } from "./world.ts";

/** `rejected list`: one line per event, oldest first. */
export async function listRejected(
  flags: ArcSightFlags,
  { json, log }: { readonly json: boolean; readonly log: Log },
): Promise<ExitCode> {
  const { events, isComplete } = allRejected(rejectedOf(await choose(flags)), log);
  const lines = events.map(({ time, output, key, reason, path }) =>
    json
      ? JSON.stringify({ time, output, key, reason, path })
      : [time, output, key === "" ? "(no version of an object)" : key, reason].join("  "),
  );
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  return isComplete ? EXIT.done : EXIT.host;
}

/** What cannot be read is logged. */
function allRejected(rejected: RejectedEvents, log: Log) {
  let isComplete = true;
  const events = rejected.list(({ say, code, nextStep }) => {
    isComplete = false;
    log.error(say, { failure: code, next_step: nextStep || undefined });
  });
  return { events, isComplete };
}

/** `rejected show KEY`: the events as they were sent. Throws Failure `settings` when there is none. */
export async function showRejected(flags: ArcSightFlags, key: string, log: Log): Promise<ExitCode> {
  const events = allRejected(rejectedOf(await choose(flags)), log).events.filter((event) => event.key === key);
  if (events.length === 0)
    throw settingsFailure("no rejected event has that key; `defender-mssp rejected list` shows the keys");
  for (const { time, output, where, reason, path, event } of events)
    process.stdout.write(`${time}  ${output}  ${where}\n${reason}\n${path}\n${event}\n`);
  return EXIT.done;
}

/**
 * `rejected resend`: sends each event to its output's HEC or topic and removes its file when Splunk or Kafka
 * has confirmed it. It takes no lock, so that it can run beside the collector.
 */
export async function resendRejected(flags: ArcSightFlags, log: Log): Promise<ExitCode> {
  const chosen = await choose(flags);
  const rejected = rejectedOf(chosen);
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const { signal: stop } = stopSignal();
  let sent = 0;
  const { events, isComplete } = allRejected(rejected, log);
  let failed = 0;
  for (const event of events) {
    try {
      await resendOne(chosen, event, http, stop);
      rejected.remove(event);
      sent += 1;
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed += 1;
      log.error(error.say, { key: event.key, next_step: error.nextStep || undefined });
    }
  }
  await http.close().catch(() => undefined);
  log.info("rejected events were sent again", { sent, failed });
  return failed > 0 || !isComplete ? EXIT.host : EXIT.done;
}

async function resendOne(
  { config }: Chosen,
  { where, key, event }: RejectedFile,
  http: Http,
  stop: AbortSignal,
): Promise<void> {
  const kafka = config.outputs.find((one) => one.type === "kafka" && kafkaWhere(one) === where);
  if (kafka !== undefined) {
    const object = key === "" ? undefined : objectOfKey(key);
    await commitOnce({ output: kafka, value: Buffer.from(event), key: object, clock: realClock, stop });
    return;
  }
  const hec = config.outputs.find(({ urls }) => urls?.includes(where));
  if (hec === undefined) throw noSuchOutput(where);
  await sendOnce({
    name: hec.name,
    url: where,
    ack: hec.ack,
    client: hecClientOf(hec, { http, clock: realClock }),
    clock: realClock,
    lines: Buffer.from(`${event}\n`),
    stop,
  });
}

function rejectedOf({ stateDir }: Chosen): RejectedEvents {
  return new RejectedEvents(stateDir, realDisk, realClock);
}

function noSuchOutput(where: string): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `No output of this configuration leads to ${where}; its rejected events are kept.`,
    nextStep: "Name the configuration of that output with --config.",
  });
}
