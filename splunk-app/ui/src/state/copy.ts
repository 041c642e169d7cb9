import { MASK } from "../../../../src/config/splunk-keys.ts";
import type { Input } from "./customers.ts";
import { FIELDS, STEP_FIELDS } from "./fields.ts";

/** What is one customer's own. */
const NOT_COPIED: ReadonlySet<string> = new Set(["tenant_id", "tenant_name"]);
const ON_STEPS: ReadonlySet<string> = new Set([...STEP_FIELDS.customer, ...STEP_FIELDS.signIn].map(({ key }) => key));

export interface Copy {
  readonly values: Readonly<Record<string, string>>;
  /** What was copied and what was not: for a person. */
  readonly say: string;
}

/**
 * The settings of a new customer after the model's. No secret is copied: a page cannot read one. An index
 * that only the model uses is its own.
 *
 * @param inherited what every input has that sets nothing else: it stays inherited.
 */
export function copyOf(model: Input, inputs: readonly Input[], inherited: Readonly<Record<string, string>>): Copy {
  const sharing = inputs.filter(({ name, values }) => name !== model.name && values["index"] === model.values["index"]);
  const secrets = FIELDS.filter(({ key, secret }) => secret === true && (model.values[key] ?? "") !== "");
  const copied = FIELDS.filter(({ key, secret, default: standard }) => {
    const value = model.values[key] ?? "";
    if (value === "" || value === MASK || value === standard || secret === true || NOT_COPIED.has(key)) return false;
    if (value === inherited[key]) return false;
    return key !== "index" || (value !== "default" && sharing.length > 0);
  });
  const more = copied.filter(({ key }) => !ON_STEPS.has(key));
  return {
    values: Object.fromEntries(copied.map(({ key }) => [key, model.values[key] ?? ""])),
    say: [
      `The settings of ${model.name} are copied.`,
      more.length === 0 ? "" : `Copied beside what these steps show: ${more.map(({ title }) => title).join(", ")}.`,
      secrets.length === 0 ? "" : `Not copied, type it again: ${secrets.map(({ title }) => title).join(", ")}.`,
    ]
      .filter((sentence) => sentence !== "")
      .join(" "),
  };
}
