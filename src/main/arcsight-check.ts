import { hostname } from "node:os";
import { checkClock } from "../auth/doctor-checks.ts";
import type { CheckLine } from "../hosts/arcsight/index.ts";
import {
  checkExit,
  checkTable,
  failedLine,
  goodLine,
  lint,
  realDialer,
  realSecretReader,
  settingsLines,
  testEventLine,
} from "../hosts/arcsight/index.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT, type Failure, isFailure } from "../model/failure.ts";
import { ticksFromMs } from "../model/instant.ts";
import type { Clock, Http, Log, SourceStream } from "../model/ports.ts";
import { printable } from "../model/printable.ts";
import type { Stanza } from "../model/stanza.ts";
import { createHttp } from "../net/http.ts";
import { withTimeLimit } from "../net/time-limit.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { realDisk } from "../stores/disk/disk.ts";
import type { ArcSightFlags } from "./chosen-configuration.ts";
import { choose, logOf } from "./chosen-configuration.ts";
import { readSettingsFile } from "./configuration.ts";
import { type CustomerBuilder, noFacts } from "./customers.ts";
import { checkStateFolder } from "./output-checks.ts";
import { fileCustomers } from "./real-collector.ts";
import { realClock, realFiles, stopSignal, VERSION } from "./world.ts";

const HOUR_MS = 3_600_000;
const ROWS_ASKED = 50;

/** What a check asks with. */
interface Asking {
  readonly http: Http;
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

/**
 * `arcsight check`: checks settings, then each customer's sign-in and its alerts of the last hour, then sends
 * one test event to each output. It takes no lock, so that it can run beside the helper.
 */
export async function arcSightCheck(
  flags: ArcSightFlags,
  options: { readonly json: boolean },
  clock: Clock = realClock,
): Promise<ExitCode> {
  const chosen = await choose(flags);
  const { config, stanzas, stateDir } = chosen;
  const log = logOf(chosen);
  const stop = stopSignal().signal;
  const found: CheckLine[] = [...settingsLines(config)];
  const failures: Failure[] = [];
  const http = createHttp({ userAgent: `defender-mssp/${VERSION}` });
  const builder = fileCustomers(stateDir, { http, log, globals: config.settings.globals });
  const clockFailure = await addClockLine(found, stanzas, { http, clock, stop });
  if (clockFailure !== undefined) failures.push(clockFailure);
  for (const stanza of stanzas) {
    try {
      found.push(...(await customerLines(builder, stanza, { http, clock, stop })));
    } catch (error) {
      if (!isFailure(error)) throw error;
      failures.push(error);
      found.push(failedLine(stanza.name, error.area === "sign-in" ? "sign-in" : "alerts", error));
    }
  }
  try {
    await checkStateFolder(stateDir);
  } catch (error) {
    if (!isFailure(error)) throw error;
    failures.push(error);
    found.push(failedLine("this machine", "state folder", error));
  }
  const ports = { disk: realDisk, clock: realClock, platform: process.platform };
  for (const output of config.outputs)
    found.push(
      await testEventLine(output, { ports, clock: realClock, dialer: realDialer, http, hostName: hostname(), stop }),
    );
  await http.close().catch(() => undefined);
  const { commands } = chosen;
  const lines = found.map((line) => ({
    ...line,
    say: commands.inText(line.say, line.of),
    next_step: commands.inText(line.next_step, line.of),
  }));
  process.stdout.write(options.json ? lines.map((line) => `${JSON.stringify(line)}\n`).join("") : checkTable(lines));
  return checkExit(lines, failures);
}

/**
 * The clock is this machine's, so it is compared once, with the first sign-in service that answers. Why
 * another does not answer is said by the line of its customer.
 */
async function addClockLine(
  lines: CheckLine[],
  stanzas: readonly Stanza[],
  { http, clock, stop }: Asking,
): Promise<Failure | undefined> {
  const asked = new Set<string>();
  for (const stanza of stanzas) {
    const { loginUrl } = stanza.endpoints;
    if (asked.has(loginUrl)) continue;
    asked.add(loginUrl);
    try {
      const remark = await withTimeLimit(
        clock,
        TIME_LIMITS.doctor.ms,
        (signal) => checkClock({ http, clock }, stanza, signal),
        stop,
      );
      lines.push(goodLine("this machine", "clock", remark));
      return undefined;
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (error.code !== "clock-wrong") continue;
      lines.push(failedLine("this machine", "clock", error));
      return error;
    }
  }
  return undefined;
}

async function customerLines(
  builder: CustomerBuilder,
  stanza: Stanza,
  { clock, stop }: Asking,
): Promise<readonly CheckLine[]> {
  const { sources } = await builder.build(stanza, noFacts);
  const source = sources.find(({ name }) => name === "alerts") ?? sources[0];
  if (source === undefined) return [goodLine(stanza.name, "sign-in", "nothing to sign in for: no stream is chosen")];
  const count = await withTimeLimit(clock, TIME_LIMITS.doctor.ms, (signal) => rowsOfLastHour(source, signal), stop);
  const many = count >= ROWS_ASKED ? `${count} or more` : String(count);
  return [
    goodLine(stanza.name, "sign-in", "signed in"),
    goodLine(stanza.name, "alerts", `${many} ${source.name} changed in the last hour`),
  ];
}

async function rowsOfLastHour(source: SourceStream, signal: AbortSignal): Promise<number> {
  const page = await source.ask(
    { from: ticksFromMs(realClock.nowMs() - HOUR_MS), top: Math.min(ROWS_ASKED, source.pageTop) },
    signal,
  );
  let count = 0;
  for await (const batch of page.batches) count += batch.length;
  return count;
}

/**
 * `arcsight lint`: checks CEF lines or a properties file, from a file or stdin. Findings go to stdout; exit
 * code 2 if a reader would reject something. Throws Failure `settings` when the file cannot be read.
 */
export async function arcSightLint(
  options: { readonly json: boolean; readonly file?: string | undefined },
  log: Log,
): Promise<ExitCode> {
  const report = lint(options.file === undefined ? await stdinBytes() : await readSettingsFile(options.file), {
    nowMs: realClock.nowMs(),
    secrets: realSecretReader(process.env, process.platform),
    files: realFiles,
  });
  for (const finding of report.findings) {
    process.stdout.write(
      options.json
        ? `${JSON.stringify(finding)}\n`
        : `${finding.level}${finding.line > 0 ? ` line ${finding.line}` : ""}: ${printable(finding.say)}\n`,
    );
  }
  const errors = report.findings.filter(({ level }) => level === "error").length;
  log.info("checked", { as: report.what, lines: report.lines, errors, notes: report.findings.length - errors });
  return errors > 0 ? EXIT.usage : EXIT.done;
}

async function stdinBytes(): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of process.stdin as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}
