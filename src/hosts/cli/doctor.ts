import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf, Failure, isFailure } from "../../model/failure.ts";
import type { Actor } from "../../model/failure-codes.ts";
import type { DoctorLine, DoctorReport, OnboardingServices } from "../../model/sign-in.ts";
import type { SettingProblem, Stanza } from "../../model/stanza.ts";
import type { Flags } from "./ask.ts";
import { usage } from "./ask.ts";

/**
 * Customers checked in parallel: enough for hundreds in minutes, few enough to stay far below every limit.
 */
const AT_ONCE = 8;
const ONE_CHECK_MS = 90_000;

/** Who must act, in the order of the table. */
const ACTORS_IN_ORDER: readonly Actor[] = ["operator", "customer", "microsoft", "us"];

const WHO: Readonly<Record<Actor, string>> = {
  operator: "you",
  customer: "the customer",
  microsoft: "Microsoft",
  us: "this program",
};

interface Looked {
  readonly report: DoctorReport;
  readonly failure: Failure | undefined;
}

/** `doctor`: checks every precondition in order and explains the first that fails, with the next step. */
export async function doctor(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal } = services;
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
  const looked: Looked[] = [...wrong];
  const queue = [...found.stanzas];
  const worker = async (): Promise<void> => {
    for (let stanza = queue.shift(); stanza; stanza = queue.shift()) {
      looked.push(await lookAt(services, stanza));
      terminal.progress(bar(looked.length, total));
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, worker));
  show(services, looked, flags);
  return codeFor(looked);
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
    return { failure, report: { tenant: stanza, tenant_id: "", ok: false, checks: [lineOf("settings", failure)] } };
  });
}

const SETTINGS_GOOD: DoctorLine = {
  check: "settings",
  ok: true,
  failure: null,
  actor: null,
  say: "The settings are valid.",
  next_step: "",
};

function refusedReport(stanza: Stanza, failure: Failure): Looked {
  return {
    failure,
    report: {
      tenant: stanza.tenantName,
      tenant_id: stanza.tenantId,
      ok: false,
      checks: [SETTINGS_GOOD, lineOf("secrets", failure)],
    },
  };
}

async function lookAt(services: OnboardingServices, stanza: Stanza): Promise<Looked> {
  const checks: DoctorLine[] = [SETTINGS_GOOD];
  let failure: Failure | undefined;
  for (const check of services.signInService.doctorChecks(stanza)) {
    try {
      const say = await check.run(AbortSignal.timeout(ONE_CHECK_MS));
      checks.push({ check: check.name, ok: true, failure: null, actor: null, say, next_step: "" });
    } catch (error) {
      if (!isFailure(error)) throw error;
      failure = error;
      checks.push(lineOf(check.name, error));
      break;
    }
  }
  return {
    failure,
    report: { tenant: stanza.tenantName, tenant_id: stanza.tenantId, ok: failure === undefined, checks },
  };
}

function lineOf(check: string, failure: Failure): DoctorLine {
  return {
    check,
    ok: false,
    failure: failure.code,
    actor: failure.actor,
    say: failure.say,
    next_step: failure.nextStep,
  };
}

function bar(done: number, total: number): string {
  const width = 30;
  const full = Math.round((done / total) * width);
  return `[${"#".repeat(full)}${".".repeat(width - full)}] ${done} of ${total} customers`;
}

function show({ terminal }: OnboardingServices, looked: readonly Looked[], flags: Flags): void {
  const sorted = looked.toSorted((a, b) => rank(a) - rank(b) || a.report.tenant.localeCompare(b.report.tenant));
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
        ? `\nWho must act: ${WHO[failure.actor]}. ${failure.nextStep}\n`
        : `\n${sorted[0]!.report.tenant} is ready.\n`,
    );
    return;
  }
  const width = Math.min(40, Math.max(8, ...sorted.map(({ report }) => report.tenant.length)));
  terminal.out(`${"ACTOR".padEnd(10)} ${"CUSTOMER".padEnd(width)} ${"CHECK".padEnd(18)} WHAT\n`);
  for (const { report, failure } of sorted) {
    const last = report.checks.at(-1);
    const what = failure ? `${failure.say} ${failure.nextStep}` : "ready";
    terminal.out(
      `${(failure?.actor ?? "-").padEnd(10)} ${report.tenant.slice(0, width).padEnd(width)} ${(failure ? (last?.check ?? "") : "").padEnd(18)} ${what}\n`,
    );
  }
  const ready = sorted.filter(({ report }) => report.ok).length;
  terminal.out(`\n${ready} of ${sorted.length} customers are ready.\n`);
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
