/** What Splunk AppInspect said of an archive, against what we expect it to say. */

/** One check that did not simply pass. */
export interface Finding {
  readonly check: string;
  readonly result: Verdict;
  readonly messages: readonly string[];
}

type Verdict = "error" | "failure" | "future_failure" | "manual_check" | "warning" | "future_warning";
const VERDICTS: ReadonlySet<string> = new Set<Verdict>([
  "error",
  "failure",
  "future_failure",
  "manual_check",
  "warning",
  "future_warning",
]);

/** A finding that stays, with the reason why this project cannot fix it. */
export interface Expected {
  readonly check: string;
  readonly result: string;
  readonly reason: string;
}

interface Report {
  readonly reports: readonly {
    readonly groups: readonly {
      readonly checks: readonly {
        readonly name: string;
        readonly result: string;
        readonly messages?: readonly { readonly message: string }[];
      }[];
    }[];
  }[];
}

/**
 * The findings of a JSON report, in its order. Throws when the report holds no check at all: an inspection
 * that looked at nothing passes nothing.
 */
export function findingsOf(report: unknown): Finding[] {
  const checks = (report as Report).reports.flatMap(({ groups }) => groups.flatMap((group) => group.checks));
  if (checks.length === 0) throw new Error("the report holds no checks");
  return checks
    .filter((check) => VERDICTS.has(check.result))
    .map((check) => ({
      check: check.name,
      result: check.result as Verdict,
      messages: (check.messages ?? []).map(({ message }) => message),
    }));
}

/**
 * Findings that nobody expected, and expectations that did not come true: both fail the inspection, so that
 * the list stays exact.
 */
export function compare(
  findings: readonly Finding[],
  expected: readonly Expected[],
): { unexpected: Finding[]; gone: Expected[] } {
  const same = (finding: Finding, row: Expected) => finding.check === row.check && finding.result === row.result;
  return {
    unexpected: findings.filter((finding) => !expected.some((row) => same(finding, row))),
    gone: expected.filter((row) => !findings.some((finding) => same(finding, row))),
  };
}
