import { metricsOfGlobals } from "../../config/metrics-settings.ts";
import type { FileRule } from "../../config/settings.ts";
import { MASK, parseStanzas, problemLine, SECRET_KEYS } from "../../config/settings.ts";
import { SPLUNK_KEYS } from "../../config/splunk-keys.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock } from "../../model/ports.ts";
import { TABLE } from "../../model/settings-table.ts";
import { openedStanzas, parseDocument, readDocumentText } from "./run-document.ts";

const SECRETS: ReadonlySet<string> = new Set(SECRET_KEYS);

const OF_THE_PROCESS: ReadonlySet<string> = new Set(
  TABLE.filter(({ global }) => global === true).map(({ key }) => key),
);

/** The answer of `--validate-arguments`: no text and 0, or a sentence for the form and 1. */
export interface Verdict {
  readonly stdout: string;
  readonly exitCode: 0 | 1;
}

/**
 * Checks the settings of one input while the user waits in Splunk's form. Opens no socket and writes nothing,
 * because it may run on a host where the input never runs. The mask is not a secret and is not checked. A
 * wrong setting of the whole process is refused in a new input, but not in an edit of an input with a masked
 * secret: the setting may come from `[defender_mssp]` and stops no customer. Refusing it would also refuse
 * this program's own masking, so secrets would stay in clear text. splunkd.log names it at each start.
 */
export async function validateArguments(
  stdin: AsyncIterable<Uint8Array>,
  clock: Clock,
  files: FileRule | undefined,
): Promise<Verdict> {
  try {
    const document = parseDocument(await readDocumentText(stdin, clock));
    const stanzas = openedStanzas(document.stanzas);
    if (document.problems.length === 0 && stanzas.length > 0 && stanzas.every(({ values }) => onlyMasks(values)))
      return { stdout: "", exitCode: 0 };
    const parsed = parseStanzas(stanzas, {
      host: "splunk",
      nowMs: clock.nowMs(),
      ...(files ? { files } : {}),
    });
    const found = [...document.problems, ...parsed.problems];
    const isFound = new Set(found.map(({ key }) => key));
    metricsOfGlobals(parsed.globals, (problem) => {
      if (!isFound.has(problem.key)) found.push({ ...problem, stanza: "" });
    });
    const problems = parsed.masked.size > 0 ? found.filter(({ key }) => !OF_THE_PROCESS.has(key)) : found;
    if (problems.length === 0) return { stdout: "", exitCode: 0 };
    return refuse([...new Set(problems.map((problem) => problemLine(problem)))].join(" · "));
  } catch (error) {
    if (isFailure(error)) return refuse(error.say);
    throw error;
  }
}

/**
 * This program's own edit, which sends the mask and nothing else. Whether splunkd adds the input's other
 * settings to the document is not documented. A form never sends this: it has `tenant_id`.
 */
function onlyMasks(values: Readonly<Record<string, string>>): boolean {
  const own = Object.entries(values).filter(([key]) => !SPLUNK_KEYS.has(key));
  return own.length > 0 && own.every(([key, value]) => SECRETS.has(key) && value.trim() === MASK);
}

function refuse(sentence: string): Verdict {
  const text = sentence.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return { stdout: `<error><message>${text}</message></error>\n`, exitCode: 1 };
}
