import { INDEX_NAME, type StanzaSetting, settingsFor } from "../../../../src/model/settings-table.ts";

/** What a form shows of one setting. */
export type Field = Pick<
  StanzaSetting,
  "key" | "kind" | "title" | "help" | "default" | "otherwise" | "secret" | "required"
>;

/** Splunk's own setting, which every input has. */
const INDEX: Field = {
  key: "index",
  kind: INDEX_NAME,
  title: "Index",
  help: "Splunk index of this customer's events. It must exist.",
  otherwise: "Splunk's default index",
};

/** In the order of the settings table. Settings of the whole process stand once, not in every input. */
export const FIELDS: readonly Field[] = [...settingsFor("splunk").filter(({ global }) => global !== true), INDEX];

const CUSTOMER = ["tenant_id", "tenant_name", "cloud", "streams", "start", "index"];
const SIGN_IN = ["credential", "client_id", "client_secret", "secret_expires", "auth", "refresh_token"];

function fieldsOf(keys: readonly string[]): readonly Field[] {
  return keys.flatMap((key) => FIELDS.filter((field) => field.key === key));
}

/** The steps of the wizard that have fields. Other settings keep their defaults and can be edited later. */
export const STEP_FIELDS = { customer: fieldsOf(CUSTOMER), signIn: fieldsOf(SIGN_IN) };

/** The whole form, in parts. */
export const FORM_PARTS: readonly { readonly title: string; readonly fields: readonly Field[] }[] = [
  { title: "Customer", fields: STEP_FIELDS.customer },
  { title: "Sign-in", fields: STEP_FIELDS.signIn },
  { title: "More settings", fields: FIELDS.filter(({ key }) => ![...CUSTOMER, ...SIGN_IN].includes(key)) },
];

/** The table's words, which are for a line of text: here a list has a box for each word. */
export function helpOf({ kind, help }: Field): string {
  return kind.is === "choices" ? help.replace(", separated by commas", "") : help;
}

/** A sentence about what holds when nothing is typed. */
export function defaultOf({ default: standard, otherwise }: Field): string {
  if (standard !== undefined) return `Default: ${standard}.`;
  if (otherwise?.startsWith("required")) return `${otherwise[0]?.toUpperCase()}${otherwise.slice(1)}.`;
  return otherwise === undefined || otherwise === "none" ? "" : `Default: ${otherwise}.`;
}

/** The words of a list setting that are chosen: typed, or by default. */
export function chosenWords({ default: standard = "" }: Field, value: string): readonly string[] {
  return (value === "" ? standard : value).split(/[\s,;]+/).filter((word) => word !== "");
}
