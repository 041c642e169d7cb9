import { globSync } from "node:fs";

export interface FailureCall {
  readonly file: string;
  readonly line: number;
  readonly code: string;
  /** Sentence and next step as the source writes them; undefined where they come from a variable. */
  readonly text: string | undefined;
}

/** The program's own source files, tests left out, as paths from the repository's root. */
export function sourceFiles(root: string): readonly string[] {
  return globSync("src/**/*.ts", { cwd: root })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => !/\.test(-kit)?\.ts$/.test(file));
}

/** Every `new Failure("code", { … })` of a file. */
export function failureCallsIn(file: string, source: string): readonly FailureCall[] {
  return [...source.matchAll(/new Failure\(\s*"([a-z0-9-]+)",/g)].map((match) => {
    const detail = source.slice(match.index, endOfCall(source, match.index + "new Failure(".length));
    const fromVariable = /\b(say|nextStep)\s*[,}]/.test(detail);
    const line = source.slice(0, match.index).split("\n").length;
    return { file, line, code: match[1] as string, text: fromVariable ? undefined : detail };
  });
}

function endOfCall(source: string, from: number): number {
  let depth = 1;
  let at = from;
  for (; depth > 0 && at < source.length; at += 1) {
    if ("([{".includes(source[at] as string)) depth += 1;
    else if (")]}".includes(source[at] as string)) depth -= 1;
  }
  return at;
}
