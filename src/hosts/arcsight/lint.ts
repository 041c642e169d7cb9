import { isUtf8 } from "node:buffer";
import { readProperties } from "../../config/java-properties.ts";
import { problemLine } from "../../config/settings.ts";
import { isCefLine, lintCefLine } from "./cef-lint.ts";
import type { ConfigOptions } from "./configuration.ts";
import { readArcSightConfig } from "./configuration.ts";

export interface LintFinding {
  readonly line: number;
  /** `error`: a reader rejects the text or reads it differently from what was meant. */
  readonly level: "error" | "note";
  readonly say: string;
}

export interface LintReport {
  readonly what: "cef" | "properties";
  readonly lines: number;
  readonly findings: readonly LintFinding[];
}

/** Keys that identify a properties file of this program or of an old connector. */
const KNOWN_KEY = /^(?:tenants\[|outputs\[|serve\.|client_id$|client_ID$|token_url$)/;

const NEITHER =
  "the input has no CEF: line and no key of this helper or of the old connector, so it was checked as a general Java properties file";

/**
 * Checks the input: CEF lines (with or without a syslog prefix) if it has at least one, else a properties
 * file.
 */
export function lint(bytes: Uint8Array, options: ConfigOptions): LintReport {
  const text = Buffer.from(bytes).toString("utf8");
  const lines = text.split(/\r?\n/);
  if (lines.some(isCefLine)) return lintCef(lines, bytes);
  const properties = readProperties(bytes);
  if (!properties.ok)
    return { what: "properties", lines: lines.length, findings: [atLine(properties.line, properties.say)] };
  const advice = properties.advice.map(({ line, say }) => atLine(line, say));
  if (![...properties.byKey.keys()].some((key) => KNOWN_KEY.test(key))) {
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

function lintCef(lines: readonly string[], bytes: Uint8Array): LintReport {
  const broken = isUtf8(bytes) ? new Set<number>() : linesNotUtf8(bytes);
  const given = lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  const findings = given.flatMap((line, i): LintFinding[] => {
    if (line.trim() === "")
      return [{ line: i + 1, level: "error", say: "the line is empty; a connector creates an empty event from it" }];
    return lintCefLine(line, !broken.has(i)).map((say) => ({ line: i + 1, level: "error", say }));
  });
  return { what: "cef", lines: given.length, findings };
}

/** The indexes of the lines whose bytes are not UTF-8. */
function linesNotUtf8(bytes: Uint8Array): ReadonlySet<number> {
  const broken = new Set<number>();
  for (let from = 0, index = 0; from < bytes.length; index += 1) {
    const end = bytes.indexOf(0x0a, from);
    const to = end === -1 ? bytes.length : end;
    if (!isUtf8(bytes.subarray(from, to))) broken.add(index);
    from = to + 1;
  }
  return broken;
}

/** The line number is printed before the finding, so it is removed from the sentence. */
function atLine(line: number, say: string): LintFinding {
  return { line, level: "error", say: say.replace(/^Line \d+: /, "").replace(/ \(line \d+\)$/, "") };
}

function lineIn(say: string): number {
  return Number(/\(line (\d+)\)$/.exec(say)?.[1] ?? 0);
}
