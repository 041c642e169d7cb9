import { readFileSync } from "node:fs";
import { decodedText } from "../config/text-encoding.ts";
import { readQueryFile } from "../defender/hunting/query-file.ts";
import { Failure } from "../model/failure.ts";
import type { HuntingQuery } from "../model/hunting.ts";

export interface HuntingQueries {
  readonly queries: readonly HuntingQuery[];
  /** What is wrong with the file; its valid queries run anyway. */
  readonly problem?: Failure;
}

/** Reads the file that `hunting_queries` names. Never throws. */
export function loadHuntingQueries(path: string): HuntingQueries {
  let text: string;
  try {
    text = decodedText(readFileSync(path));
  } catch (error) {
    const errno = (error as { code?: unknown }).code;
    return {
      queries: [],
      problem: problemOf(`The file of hunting queries ${path} cannot be read (${String(errno)}).`),
    };
  }
  const { queries, problems } = readQueryFile(text);
  return problems.length === 0
    ? { queries }
    : { queries, problem: problemOf(`The file of hunting queries ${path} has mistakes. ${problems.join(" ")}`) };
}

function problemOf(say: string): Failure {
  return new Failure("hunting-queries-wrong", {
    actor: "operator",
    retry: { when: "never" },
    say,
    nextStep: "Correct the file named in `hunting_queries` and restart. Queries without a mistake are running.",
  });
}
