import { MASK } from "../../../../src/config/splunk-keys.ts";
import type { Input } from "./customers.ts";
import { FIELDS, type Field, STEP_FIELDS } from "./fields.ts";
import { hasPassword } from "./proxy-password.ts";

/** What is one customer's own. */
const NOT_COPIED: ReadonlySet<string> = new Set(["tenant_id", "tenant_name"]);
/** Typed anew: an end date belongs to a secret, and no secret is copied. */
const OF_A_SECRET: ReadonlySet<string> = new Set(["secret_expires"]);
const ON_STEPS: ReadonlySet<string> = new Set([...STEP_FIELDS.customer, ...STEP_FIELDS.signIn].map(({ key }) => key));

export interface Copy {
  readonly values: Readonly<Record<string, string>>;
  /** What was copied and what was not: for a person. */
  readonly say: string;
}

/**
 * The settings of a new customer after the model's. No secret and no end date of one is copied; an address
 * with a password is, as the new customer would not use the proxy else, and that is said. An index that only
 * the model uses is its own.
 *
 * @param inherited what every input has that sets nothing else: it stays inherited.
 */
export function copyOf(model: Input, inputs: readonly Input[], inherited: Readonly<Record<string, string>>): Copy {
  const sharing = inputs.filter(({ name, values }) => name !== model.name && values["index"] === model.values["index"]);
  const isTypedAnew = ({ key, secret }: Field): boolean => secret === true || OF_A_SECRET.has(key);
  const typedAnew = FIELDS.filter((field) => isTypedAnew(field) && (model.values[field.key] ?? "") !== "");
  const copied = FIELDS.filter((field) => {
    const { key, default: standard } = field;
    const value = model.values[key] ?? "";
    if (value === "" || value === MASK || value === standard || isTypedAnew(field) || NOT_COPIED.has(key)) return false;
    if (value === inherited[key]) return false;
    return key !== "index" || (value !== "default" && sharing.length > 0);
  });
  const withPassword = copied.filter(({ key }) => hasPassword(model.values[key] ?? ""));
  const more = copied.filter(({ key }) => !ON_STEPS.has(key));
  return {
    values: Object.fromEntries(copied.map(({ key }) => [key, model.values[key] ?? ""])),
    say: [
      `The settings of ${model.name} are copied.`,
      more.length === 0 ? "" : `Copied beside what these steps show: ${more.map(({ title }) => title).join(", ")}.`,
      withPassword.length === 0
        ? ""
        : `Copied with the password in it, which the new customer then uses, too: ${withPassword.map(({ title }) => title).join(", ")}.`,
      typedAnew.length === 0 ? "" : `Not copied, type it again: ${typedAnew.map(({ title }) => title).join(", ")}.`,
    ]
      .filter((sentence) => sentence !== "")
      .join(" "),
  };
}
