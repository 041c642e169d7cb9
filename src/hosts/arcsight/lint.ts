import { readProperties } from "../../config/java-properties.ts";
import { problemLine } from "../../config/settings.ts";
import { isCefLine, lintCefLine } from "./cef-lint.ts";
import type { ConfigOptions } from "./configuration.ts";
import { readArcSightConfig } from "./configuration.ts";

export interface LintFinding {
  readonly line: number;
  /** `error`: a reader refuses it or takes it otherwise than meant. */
  readonly level: "error" | "note";
  readonly say: string;
}

export interface LintReport {
  readonly what: "cef" | "properties";
  readonly lines: number;
  readonly findings: readonly LintFinding[];
}

/** Keys by which a properties file is ours, or an old connector's, rather than any other. */
const OURS = /^(?:tenants\[|outputs\[|serve\.|client_id$|client_ID$|token_url$)/;

const NEITHER =
  "there is neither a line with CEF: nor a key of this helper or of the old connector in it: it was looked through as any Java properties file";

/**
 * Looks at what came on stdin: CEF lines (with or without a syslog prefix) if there is one among them, else a
 * properties file.
 */
export function lint(bytes: Uint8Array, options: ConfigOptions): LintReport {
  const text = Buffer.from(bytes).toString("utf8");
  const lines = text.split(/\r?\n/);
  if (lines.some(isCefLine)) return lintCef(lines);
  const properties = readProperties(bytes);
  if (!properties.ok)
    return { what: "properties", lines: lines.length, findings: [atLine(properties.line, properties.say)] };
  const advice = properties.advice.map(({ line, say }) => atLine(line, say));
  if (![...properties.byKey.keys()].some((key) => OURS.test(key))) {
    const other: LintFinding = { line: 0, level: "note", say: NEITHER };
    return { what: "properties", lines: lines.length, findings: [...advice, other] };
  }
  const config = readArcSightConfig(bytes, "the file", options);
  const said = new Set(properties.advice.map(({ say }) => say));
  const problems = config.problems.map((problem) => atLine(lineIn(problem.say), problemLine(problem)));
  const missing = config.servesAlone ? [] : config.outputProblems.filter((one) => !config.problems.includes(one));
  const notes = [...config.warnings.filter((say) => !said.has(say)), ...missing.map(problemLine)];
  const taken = config.taken.map(({ line, key, say }): LintFinding => ({ line, level: "note", say: `${key} ${say}` }));
  return {
    what: "properties",
    lines: lines.length,
    findings: [...advice, ...problems, ...notes.map((say): LintFinding => ({ line: 0, level: "note", say })), ...taken],
  };
}

function lintCef(lines: readonly string[]): LintReport {
  const given = lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  const findings = given.flatMap((line, i): LintFinding[] => {
    if (line.trim() === "")
      return [{ line: i + 1, level: "error", say: "the line is empty; a connector makes an empty event of it" }];
    return lintCefLine(line).map((say) => ({ line: i + 1, level: "error", say }));
  });
  return { what: "cef", lines: given.length, findings };
}

/** The line stands in front of a finding, so it leaves the sentence. */
function atLine(line: number, say: string): LintFinding {
  return { line, level: "error", say: say.replace(/^Line \d+: /, "").replace(/ \(line \d+\)$/, "") };
}

function lineIn(say: string): number {
  return Number(/\(line (\d+)\)$/.exec(say)?.[1] ?? 0);
}
