import { readFile } from "node:fs/promises";
import { decodedText, encodingOf } from "../config/text-encoding.ts";
import { Failure } from "../model/failure.ts";

/** Undefined when there is no such file. Throws Failure `settings` when it cannot be read. */
export async function readTextIfThere(path: string, encoding: "utf8" | "latin1"): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    if (encoding === "utf8") return decodedText(bytes);
    if (encodingOf(bytes) === "utf-8") return bytes.toString(encoding);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: `${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? "unknown reason"}).`,
      nextStep: "Give a readable file.",
      cause,
    });
  }
  throw new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: `${path} is saved as UTF-16, which ArcSight's connectors cannot read.`,
    nextStep: "Save it as UTF-8, then run the command again.",
  });
}
