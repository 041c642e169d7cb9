import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { OutputSettings } from "../../config/arcsight-settings.ts";
import { problemLine } from "../../config/settings.ts";
import { writeCefNotice } from "../../format/arcsight/cef.ts";
import { writeFlatNotice } from "../../format/arcsight/flat-json.ts";
import { writeHecOwn } from "../../format/splunk/hec-event.ts";
import { ByteWriter } from "../../json/byte-writer.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf, Failure, isFailure } from "../../model/failure.ts";
import type { Actor, FailureCode } from "../../model/failure-codes.ts";
import type { Clock, Http } from "../../model/ports.ts";
import { printable } from "../../model/printable.ts";
import type { Dialer } from "../../outputs/connection.ts";
import { FolderOutput } from "../../outputs/folder.ts";
import { GrowingFile } from "../../outputs/growing-file.ts";
import { sendOnce } from "../../outputs/hec-once.ts";
import { commitOnce } from "../../outputs/kafka-once.ts";
import { hecClientOf } from "../../outputs/open-outputs.ts";
import { accessOf } from "../../outputs/reader-access.ts";
import { writeLines } from "../../outputs/sink.ts";
import { syslogDatagrams, writeSyslogFrames } from "../../outputs/syslog-frame.ts";
import type { DiskPorts } from "../../stores/disk/disk.ts";
import type { ArcSightConfig } from "./configuration.ts";

/** One row of `arcsight check`. */
export interface CheckLine {
  /** `settings`, `this machine`, a customer's name, or `outputs[0]`. */
  readonly of: string;
  readonly check: string;
  readonly ok: boolean;
  readonly failure: FailureCode | null;
  readonly actor: Actor | null;
  readonly say: string;
  readonly next_step: string;
}

export interface TestEventWorld {
  readonly ports: DiskPorts;
  readonly clock: Clock;
  readonly dialer: Dialer;
  readonly http: Http;
  readonly hostName: string;
  readonly stop: AbortSignal;
}

/** The `check` of a line that does not fail the whole, but that somebody has to read. */
const WARNING = "warning";
const CLOSE_WITHIN_MS = 5_000;
const TEST_SAY = "Test event of `defender-mssp arcsight check`: this output works. No action is needed.";

/** Lines about the settings, with problems and ignored entries. */
export function settingsLines(config: ArcSightConfig): readonly CheckLine[] {
  const missing = config.servesAlone ? [] : config.outputProblems.filter((one) => !config.problems.includes(one));
  const wrong = [...config.problems, ...missing];
  const lines = wrong.map((problem) =>
    failedLine(
      problem.stanza || "settings",
      "settings",
      new Failure("settings", {
        actor: "operator",
        retry: { when: "never" },
        say: problemLine(problem),
        nextStep: "Correct the setting. docs/settings.md lists valid values.",
      }),
    ),
  );
  const taken = config.taken.map(({ line, key, say }) => goodLine(`line ${line}`, "old file", `${key} ${say}`));
  const warnings = config.warnings.map((say) => goodLine("settings", WARNING, say));
  return [
    ...taken,
    ...warnings,
    ...(config.servesAlone
      ? [
          goodLine(
            "outputs",
            "settings",
            "there is no output: `arcsight serve` needs none, but `arcsight run` does not start",
          ),
        ]
      : []),
    ...(lines.length > 0
      ? lines
      : [
          goodLine(
            "settings",
            "settings",
            `valid: ${counted(config.settings.stanzas.length, "customer")}, ${counted(config.outputs.length, "output")}`,
          ),
        ]),
  ];
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

export function goodLine(of: string, check: string, say: string): CheckLine {
  return { of, check, ok: true, failure: null, actor: null, say, next_step: "" };
}

export function failedLine(of: string, check: string, failure: Failure): CheckLine {
  return {
    of,
    check,
    ok: false,
    failure: failure.code,
    actor: failure.actor,
    say: failure.say,
    next_step: failure.nextStep,
  };
}

/** Sends one test event to the output, in the same way as events. Never throws a Failure. */
export async function testEventLine(output: OutputSettings, world: TestEventWorld): Promise<CheckLine> {
  try {
    return goodLine(output.name, "test event", await sendTestEvent(output, world));
  } catch (error) {
    if (!isFailure(error)) throw error;
    return failedLine(output.name, "test event", error);
  }
}

async function sendTestEvent(output: OutputSettings, world: TestEventWorld): Promise<string> {
  const { type, path = "", host = "", port, protocol } = output;
  const { ports, clock, dialer, hostName, stop } = world;
  const event = {
    time: new Date(clock.nowMs()).toISOString(),
    tenant: "defender-mssp",
    tenant_id: "00000000-0000-0000-0000-000000000000",
  };
  if (type === "json-folder" && output.profile === "legacy")
    return `nothing was written to ${path}, because profile legacy has no form for a test event`;
  const write = (out: ByteWriter) => {
    if (type === "json-folder") writeFlatNotice(out, "test", event, TEST_SAY);
    else if (type === "json-lines" || (type === "kafka" && output.recordFormat === "json"))
      out.text(
        `${JSON.stringify({ ...event, kind: "health", status: "test", description: TEST_SAY, streams: [], version: "" })}\n`,
      );
    else writeCefNotice(out, "test", event, TEST_SAY, output.profile, output.cefVersion === "1" ? 1 : 0);
  };
  if (type === "hec") return checkHec(output, { event, say: TEST_SAY }, world);
  if (type === "kafka") return checkKafka(output, write, world);
  if (type !== "syslog") {
    const stateFolder = mkdtempSync(join(tmpdir(), "defender-mssp-check-"));
    try {
      const access = accessOf(output, ports.platform);
      const rotateBytes = Number.POSITIVE_INFINITY;
      const file = type.endsWith("folder")
        ? new FolderOutput({
            name: output.name,
            path: resolve(path),
            content: type === "json-folder" ? "json-array" : "lines",
            access,
            keepDays: 0,
            stateFolder,
            ports,
            clock,
          })
        : new GrowingFile({
            name: output.name,
            path: resolve(path),
            rotateBytes,
            access,
            stateFolder,
            disk: ports.disk,
            clock,
          });
      await writeLines(file, write);
      await file.close();
    } finally {
      rmSync(stateFolder, { recursive: true, force: true });
    }
    return `one event was written to ${path}; look for health:test`;
  }
  const out = new ByteWriter(4_096);
  write(out);
  const style = { format: output.format, framing: output.framing, host: hostName };
  if (protocol === "udp") {
    const connection = dialer.datagrams({ host, port });
    for (const datagram of syslogDatagrams(out.view(), style, clock.nowMs())) {
      await connection.send(datagram).catch((error: unknown) => {
        throw new Failure("output-unreachable", {
          actor: "operator",
          retry: { when: "later" },
          say: `A datagram to ${host}:${port} could not be sent.`,
          nextStep: "Check `.host` and the network.",
          cause: error,
        });
      });
    }
    connection.close();
    return `one datagram was sent to ${host}:${port}; udp does not guarantee delivery, so look for health:test there`;
  }
  const files = {
    ...(output.caFile === undefined ? {} : { caFile: output.caFile }),
    ...(output.certificate === undefined ? {} : { certificate: output.certificate }),
  };
  const connection = await dialer.connect({ host, port, protocol, ...files }, stop);
  const frames = new ByteWriter(4096);
  writeSyslogFrames(frames, out.view(), style, clock.nowMs());
  await connection.send(frames.view());
  // A receiver that rejects the client certificate reports this only after the handshake.
  const early = await Promise.race([connection.gone, clock.pause(300).then(() => undefined)]);
  if (early !== undefined) throw early;
  await connection.close(CLOSE_WITHIN_MS);
  return `one event was sent to ${protocol}://${host}:${port}; look for health:test there`;
}

/** One event in a transaction of its own, read back as a reader of the topic does. */
async function checkKafka(
  output: OutputSettings,
  write: (out: ByteWriter) => void,
  { clock, stop }: TestEventWorld,
): Promise<string> {
  const out = new ByteWriter(1_024);
  write(out);
  // Without the line break.
  const value = out.view().subarray(0, out.length - 1);
  const delivered = await commitOnce({ output, value, key: undefined, clock, stop });
  const where = `one event was committed to the topic ${output.topic}`;
  return delivered === "read"
    ? `${where} and read back; look for health:test`
    : `${where}; it was not read back, because this user may not read the topic; look for health:test`;
}

/** One event to each address, and its acknowledgement where Splunk gives one. */
async function checkHec(
  output: OutputSettings,
  { event, say }: { readonly event: { readonly time: string; readonly tenant_id: string }; readonly say: string },
  { http, clock, hostName, stop }: TestEventWorld,
): Promise<string> {
  const { urls = [], ack, host = hostName, index } = output;
  const out = new ByteWriter(1_024);
  writeHecOwn(out, { ...event, notice: "test", say, streams: [] }, event.time, event.tenant_id, { host, index });
  const client = hecClientOf(output, { http, clock });
  const said: string[] = [];
  for (const url of urls) {
    const delivered = await sendOnce({ name: output.name, url, ack, client, clock, lines: out.view(), stop });
    said.push(`${url} ${delivered === "indexed" ? "indexed one event" : "took one event and acknowledges nothing"}`);
  }
  return `${said.join("; ")}; look for sourcetype=defender_mssp:health notice=test`;
}

/** The table for a person. */
export function checkTable(lines: readonly CheckLine[]): string {
  const widths = [Math.max(...lines.map(({ of }) => of.length)), Math.max(...lines.map(({ check }) => check.length))];
  return lines
    .map(
      ({ of, check, ok, say, next_step }) =>
        `${printable(`${ok ? (check === WARNING ? "warn  " : "ok    ") : "FAILED"}  ${of.padEnd(widths[0] ?? 0)}  ${check.padEnd(widths[1] ?? 0)}  ${say}${next_step === "" ? "" : `${say.endsWith(".") ? "" : "."} ${next_step}`}`)}\n`,
    )
    .join("");
}

/**
 * All checks passed: 0. A wrong setting: 2. An output that accepts nothing: 5. This machine's clock: its own
 * code. Only some customers failed: 6. Otherwise the exit code of the first failure.
 *
 * @param failures the customers' failures, and the clock's.
 */
export function checkExit(lines: readonly CheckLine[], failures: readonly Failure[]): ExitCode {
  const failed = lines.filter(({ ok }) => !ok);
  if (failed.length === 0) return EXIT.done;
  if (failed.some(({ failure }) => failure === "settings")) return EXIT.usage;
  if (failed.some(({ failure }) => failure?.startsWith("state-"))) return EXIT.state;
  if (failures[0] === undefined || failed.some(({ failure }) => failure?.startsWith("output-"))) return EXIT.host;
  const clock = failures.find(({ code }) => code === "clock-wrong");
  if (clock !== undefined) return exitCodeOf(clock);
  const good = new Set(lines.filter(({ ok, check }) => ok && check === "alerts").map(({ of }) => of));
  return good.size > 0 ? EXIT.someCustomers : exitCodeOf(failures[0]);
}
