import type { FileRule } from "../../config/settings.ts";
import { parseStanzas, problemLine } from "../../config/settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock } from "../../model/kit.ts";
import { parseDocument, readDocumentText } from "./run-document.ts";

/** What `--validate-arguments` answers: nothing and 0, or a sentence for the form and 1. */
export interface Verdict {
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

/**
 * Checks the settings of one input while the user waits in Splunk's form. Opens no socket and writes nothing: it may run on a host where the input never will.
 * The mask is no secret and is not looked at.
 */
export async function validateArguments(stdin: AsyncIterable<Uint8Array>, clock: Clock, files: FileRule | undefined): Promise<Verdict> {
  try {
    const document = parseDocument(await readDocumentText(stdin, clock));
    const parsed = parseStanzas(document.stanzas, { host: "splunk", nowMs: clock.nowMs(), ...(files ? { files } : {}) });
    const problems = [...document.problems, ...parsed.problems];
    if (problems.length === 0) return { stdout: "", exitCode: 0 };
    return refuse(problems.map((problem) => problemLine(problem)).join(" · "));
  } catch (error) {
    if (isFailure(error)) return refuse(error.say);
    throw error;
  }
}

function refuse(sentence: string): Verdict {
  const text = sentence.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return { stdout: `<error><message>${text}</message></error>\n`, exitCode: 1 };
}
