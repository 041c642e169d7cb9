import type { FileRule } from "../../config/settings.ts";
import { parseStanzas, problemLine } from "../../config/settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";
import { TABLE } from "../../model/settings-table.ts";
import { parseDocument, readDocumentText } from "./run-document.ts";

const OF_THE_PROCESS: ReadonlySet<string> = new Set(
  TABLE.filter(({ global }) => global === true).map(({ key }) => key),
);

/** What `--validate-arguments` answers: nothing and 0, or a sentence for the form and 1. */
export interface Verdict {
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

/**
 * Checks the settings of one input while the user waits in Splunk's form. Opens no socket and writes nothing:
 * it may run on a host where the input never will. The mask is no secret and is not looked at. A wrong
 * setting of the whole process refuses a new input, but no edit of one whose secret is masked: it may come
 * from `[defender_mssp]`, stops no customer, and refusing it would refuse our own masking, so that secrets
 * would stay in clear; splunkd.log names it at each start.
 */
export async function validateArguments(
  stdin: AsyncIterable<Uint8Array>,
  clock: Clock,
  files: FileRule | undefined,
): Promise<Verdict> {
  try {
    const document = parseDocument(await readDocumentText(stdin, clock));
    const parsed = parseStanzas(document.stanzas, {
      host: "splunk",
      nowMs: clock.nowMs(),
      ...(files ? { files } : {}),
    });
    const found = [...document.problems, ...parsed.problems];
    const problems = parsed.masked.size > 0 ? found.filter(({ key }) => !OF_THE_PROCESS.has(key)) : found;
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
