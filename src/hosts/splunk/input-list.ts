import { Failure } from "../../model/failure.ts";
import { APP, inputsPath, type Splunkd } from "./splunkd.ts";

const ALL_APPS = "-";

/** An input of this program, enabled or not, as splunkd lists it. */
export interface ListedInput {
  readonly name: string;
  /** The app that holds it. */
  readonly app: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/**
 * One request for all inputs of all apps: a form may have saved them in any. `f` keeps secrets in clear text
 * and most of the bytes out of the answer (Splunk REST API Reference, "Pagination and filtering parameters").
 * Throws the failures of Splunkd, and `splunkd-answer`: an answer without a list does not mean "no inputs".
 *
 * @param settings only these of each input; all if undefined.
 */
export async function listInputs(
  splunkd: Pick<Splunkd, "getUntilStop">,
  settings: readonly string[] = [],
): Promise<readonly ListedInput[]> {
  const query = ["count=-1", ...settings.map((key) => `f=${key}`)].join("&");
  const { status, json } = await splunkd.getUntilStop(`${inputsPath(ALL_APPS)}?${query}`);
  const entries = (json as { readonly entry?: unknown } | undefined)?.entry;
  if (status !== 200 || !Array.isArray(entries))
    throw new Failure("splunkd-answer", {
      actor: "operator",
      retry: { when: "later" },
      status,
      say: `splunkd answered a request for its list of inputs in an unknown form (${status}).`,
      nextStep: "Look for the cause in splunkd.log.",
    });
  return entries.flatMap(entryIn);
}

/** What splunkd lists, with the app that holds it. */
export function entryIn(entry: unknown): readonly ListedInput[] {
  const { name, acl, content } = (entry ?? {}) as {
    readonly name?: unknown;
    readonly acl?: { readonly app?: unknown };
    readonly content?: Readonly<Record<string, unknown>>;
  };
  if (typeof name !== "string") return [];
  return [{ name, app: typeof acl?.app === "string" ? acl.app : APP, content: content ?? {} }];
}
