import type { CommandLines } from "../../model/command-line.ts";
import { inParallel } from "../../model/concurrency-limiter.ts";
import { failedLine, runChecks, SETTINGS_GOOD } from "../../model/doctor-run.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf, Failure } from "../../model/failure.ts";
import { WHO_ACTS } from "../../model/failure-codes.ts";
import {
  afterRefusal,
  afterToken,
  driftOf,
  firstWithdrawal,
  inUtc,
  isWithoutConsent,
  withdrawnSentence,
} from "../../model/granted-permissions.ts";
import { permissionsOf } from "../../model/permissions.ts";
import {
  type DoctorLine,
  type DoctorReport,
  type OnboardingServices,
  type RightsListener,
  type Terminal,
  TOKEN_APIS,
} from "../../model/sign-in.ts";
import type { SettingProblem, Stanza } from "../../model/stanza.ts";
import type { StreamName } from "../../model/stream.ts";
import { withTimeLimit } from "../../net/time-limit.ts";
import { TIME_LIMITS } from "../../net/time-limits.ts";
import type { Flags } from "./ask.ts";
import { CUSTOMERS_AT_ONCE, usage } from "./ask.ts";
import {
  ACTORS_IN_ORDER,
  type Reason,
  reasonLine,
  reasonsOf,
  reasonTable,
  type Unready,
  unneededRemarks,
} from "./doctor-reasons.ts";

interface Looked {
  readonly report: DoctorReport;
  readonly failure: Failure | undefined;
  /** Undefined where the settings are wrong. */
  readonly stanza?: Stanza;
  /** ISO time since which a permission is missing that the customer withdrew. */
  readonly withdrawnSince?: string | undefined;
}

/** `doctor`: checks every precondition in order and explains the first that fails, with the next step. */
export async function doctor(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
  if (flags["fleet"] === true) return doctorOfFleet(services, flags);
  const found = await services.customers(flags, { needSecrets: true });
  for (const warning of found.warnings) terminal.say(warning);
  const wrong = [
    ...settingsReports(found.problems),
    ...found.refused.map(({ stanza, failure }) => refusedReport(stanza, failure)),
  ];
  const total = found.stanzas.length + wrong.length;
  if (total === 0) throw usage("No customer is configured.", "Give --config FILE, or --tenant-id and --client-id.");
  if (found.stanzas.length > 1 && flags["all"] !== true && flags["customer"] === undefined) {
    throw usage(`The configuration has ${total} customers.`, "Give --customer NAME, or --all.");
  }
  const keptOf = services.roster.kept(found.stateDir);
  let looked: readonly Looked[] = [
    ...wrong,
    ...(await lookAtAll(services, found.stanzas, keptOf, (done) => terminal.progress(bar(wrong.length + done, total)))),
  ];
  // Who must act on that failure depends on whether the app works at another customer, which may have been
  // checked later.
  const judgedEarly = looked.filter(isAppNotFound).flatMap(({ stanza }) => stanza ?? []);
  if (judgedEarly.length > 0 && judgedEarly.length < found.stanzas.length) {
    const again = await lookAtAll(services, judgedEarly, keptOf, () => {});
    looked = [...looked.filter((one) => !isAppNotFound(one)), ...again];
  }
  const shown = looked.map((one) => withCommands(one, services.commands));
  show(services, shown, flags);
  return codeFor(looked);
}

/** `doctor --fleet`: the database, its schema, the members and what waits, as of one customer. */
async function doctorOfFleet(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const looking = await services.fleetChecks(flags);
  const { fleet, checks } = looking;
  const lines: DoctorLine[] = [];
  try {
    const failure = await runChecks(
      checks,
      (run) => withTimeLimit(services, TIME_LIMITS.doctor.ms, run),
      (line) => {
        lines.push(line);
      },
    );
    const report = { tenant: `fleet ${fleet}`, tenant_id: "", ok: failure === undefined, checks: lines };
    show(services, [withCommands({ report, failure }, services.commands)], flags);
    return failure === undefined ? EXIT.done : exitCodeOf(failure);
  } finally {
    await looking.close();
  }
}

function isAppNotFound({ failure }: Looked): boolean {
  return failure?.code === "app-not-found" && failure.actor === "operator";
}

/** What the collector's state folder holds of a customer. */
type KeptOf = ReturnType<OnboardingServices["roster"]["kept"]>;

/** @param shown called with the number of customers that are done */
async function lookAtAll(
  services: OnboardingServices,
  stanzas: readonly Stanza[],
  keptOf: KeptOf,
  shown: (done: number) => void,
): Promise<readonly Looked[]> {
  const looked: Looked[] = [];
  await inParallel(stanzas, CUSTOMERS_AT_ONCE, async (stanza) => {
    looked.push(await lookAt(services, stanza, keptOf));
    shown(looked.length);
  });
  return looked;
}

/** With the commands as they run here. */
function withCommands(looked: Looked, commands: CommandLines): Looked {
  const { report } = looked;
  const text = (sentence: string) => commands.inText(sentence, report.tenant);
  return {
    ...looked,
    report: {
      ...report,
      checks: report.checks.map((line) => ({ ...line, say: text(line.say), next_step: text(line.next_step) })),
    },
  };
}

function settingsReports(problems: readonly SettingProblem[]): readonly Looked[] {
  const byStanza = new Map<string, SettingProblem>();
  for (const problem of problems)
    if (problem.stanza !== "" && !byStanza.has(problem.stanza)) byStanza.set(problem.stanza, problem);
  return [...byStanza.values()].map(({ stanza, key, say }) => {
    const failure = new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: `${key} ${say}.`,
      nextStep: "Correct the setting. docs/settings.md lists valid values.",
    });
    return { failure, report: { tenant: stanza, tenant_id: "", ok: false, checks: [failedLine("settings", failure)] } };
  });
}

function refusedReport(stanza: Stanza, failure: Failure): Looked {
  return {
    stanza,
    failure,
    report: {
      tenant: stanza.tenantName,
      tenant_id: stanza.tenantId,
      ok: false,
      checks: [SETTINGS_GOOD, failedLine("secrets", failure)],
    },
  };
}

async function lookAt(services: OnboardingServices, stanza: Stanza, keptOf: KeptOf): Promise<Looked> {
  const checks: DoctorLine[] = [SETTINGS_GOOD];
  let withdrawnSince: string | undefined;
  let { granted } = keptOf(stanza);
  const newToken: RightsListener = (api, rights) => {
    granted = { ...granted, [api]: afterToken(granted[api], rights, services.nowMs()) };
  };
  const failure = await runChecks(
    services.signInService.doctorChecks(stanza, newToken),
    (run) => withTimeLimit(services, TIME_LIMITS.doctor.ms, run),
    (line) => {
      checks.push(line);
    },
    (check, failed) => {
      if (!isWithoutConsent(failed)) return failed;
      const api = TOKEN_APIS.find((one) => check === `token ${one}`);
      const gone = api && afterRefusal(granted[api], services.nowMs());
      if (gone) granted = { ...granted, [api]: gone };
      withdrawnSince = firstWithdrawal(granted, lackedBy(failed, stanza.streams));
      return withdrawnSince === undefined ? failed : withDate(failed, withdrawnSince);
    },
  );
  const permissions = driftOf(granted, stanza.streams);
  const changedAt = permissions?.changed_at ?? undefined;
  const shown = changedAt === undefined ? checks : checks.map((line) => withChange(line, changedAt));
  return {
    stanza,
    failure,
    withdrawnSince,
    report: {
      tenant: stanza.tenantName,
      tenant_id: stanza.tenantId,
      ok: failure === undefined,
      checks: shown,
      ...(permissions === undefined ? {} : { permissions }),
    },
  };
}

/** When the customer's permissions changed, beside those that it has. @param changedAt ISO time */
function withChange(line: DoctorLine, changedAt: string): DoctorLine {
  if (!line.ok || !line.check.startsWith("consent ")) return line;
  return { ...line, say: `${line.say} What is granted changed last on ${inUtc(changedAt)}.` };
}

/** Those that the sentence names, else all that the streams need. */
function lackedBy({ say }: Failure, streams: readonly StreamName[]): readonly string[] {
  const needed = permissionsOf(streams).flatMap(({ role, scope }) => [role, scope]);
  const named = needed.filter((permission) => say.includes(permission));
  return named.length > 0 ? named : needed;
}

function withDate(failure: Failure, since: string): Failure {
  const { actor, retry, say, nextStep } = failure;
  return new Failure(failure.code, { actor, retry, say: `${say} ${withdrawnSentence(since)}`, nextStep });
}

function bar(done: number, total: number): string {
  const width = 30;
  const full = Math.round((done / total) * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}] ${done} of ${total} customers`;
}

function show({ terminal, commands }: OnboardingServices, looked: readonly Looked[], flags: Flags): void {
  const sorted = looked.toSorted((a, b) => rank(a) - rank(b) || a.report.tenant.localeCompare(b.report.tenant));
  if (flags["brief"] === true) return showReasons(terminal, sorted, commands, flags["json"] === true);
  if (flags["json"] === true) {
    for (const { report } of sorted) terminal.out(`${JSON.stringify(report)}\n`);
    return;
  }
  if (sorted.length === 1) {
    for (const line of sorted[0]!.report.checks)
      terminal.out(`${line.ok ? "ok" : "NO"}  ${line.check.padEnd(18)} ${line.say}\n`);
    const failure = sorted[0]!.failure;
    terminal.out(
      failure
        ? `\nWho must act: ${WHO_ACTS[failure.actor]}. ${sorted[0]!.report.checks.at(-1)?.next_step ?? ""}\n`
        : `\n${sorted[0]!.report.tenant} is ready.\n`,
    );
    return;
  }
  const width = Math.min(40, Math.max(8, ...sorted.map(({ report }) => report.tenant.length)));
  terminal.out(`${"ACTOR".padEnd(10)} ${"CUSTOMER".padEnd(width)} ${"CHECK".padEnd(18)} WHAT\n`);
  const row = (report: DoctorReport, actor: string, check: string, what: string): void =>
    terminal.out(`${actor.padEnd(10)} ${report.tenant.slice(0, width).padEnd(width)} ${check.padEnd(18)} ${what}\n`);
  for (const { actor, say, nextStep, customers } of reasonsIn(sorted, commands)) {
    for (const [n, { tenant, report }] of customers.entries()) {
      const what = n === 0 ? `${say} ${nextStep}` : `the same as ${customers[0]?.tenant ?? tenant}`;
      row(report, actor, report.checks.at(-1)?.check ?? "", what);
    }
  }
  for (const { report, failure } of sorted) if (failure === undefined) row(report, "-", "", "ready");
  terminal.out(readyLine(sorted));
}

/** One line per reason, with the customers it concerns. */
function showReasons(terminal: Terminal, sorted: readonly Looked[], commands: CommandLines, asJson: boolean): void {
  const reasons = reasonsIn(sorted, commands).map(reasonLine);
  if (asJson) {
    for (const reason of reasons) terminal.out(`${JSON.stringify(reason)}\n`);
    return;
  }
  terminal.out(reasonTable(reasons));
  terminal.out(readyLine(sorted));
}

/** With the commands as they run here, for the first customer of each. */
function reasonsIn(
  sorted: readonly Looked[],
  commands: CommandLines,
): readonly Reason<Unready & Pick<Looked, "report">>[] {
  const unready = sorted.flatMap(({ report, failure, stanza, withdrawnSince }) =>
    failure === undefined
      ? []
      : [
          {
            tenant: report.tenant,
            names: [report.tenant, stanza?.name ?? "", report.tenant_id],
            failure,
            withdrawnSince,
            report,
          },
        ],
  );
  return ACTORS_IN_ORDER.flatMap((actor) =>
    reasonsOf(unready.filter(({ failure }) => failure.actor === actor)).map((reason) => {
      const text = (sentence: string) => commands.inText(sentence, reason.customers[0]?.tenant);
      return { ...reason, say: text(reason.say), nextStep: text(reason.nextStep) };
    }),
  );
}

function readyLine(looked: readonly Looked[]): string {
  const ready = looked.filter(({ report }) => report.ok).length;
  return `\n${ready} of ${looked.length} customers are ready.\n${unneededRemarks(looked.map(({ report }) => report))}`;
}

function rank({ failure }: Looked): number {
  return failure === undefined ? ACTORS_IN_ORDER.length : ACTORS_IN_ORDER.indexOf(failure.actor);
}

function codeFor(looked: readonly Looked[]): ExitCode {
  const failures = looked.flatMap(({ failure }) => (failure ? [failure] : []));
  if (failures.length === 0) return EXIT.done;
  if (failures.length < looked.length) return EXIT.someCustomers;
  return exitCodeOf(failures[0]!);
}
