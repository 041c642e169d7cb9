/** The page Credentials: what it shows of shared credentials, and what is checked before one is sent. */
import { readValue } from "../../../../src/config/kinds.ts";
import { isSecretId, PASTE_THE_VALUE } from "../../../../src/model/secret-id.ts";
import { CUSTOMER_ROWS } from "../../../../src/model/settings-table.ts";
import type { SharedCredentialRow } from "../../../../src/model/shared-credential.ts";
import type { Status } from "./customers.ts";
import type { Problems } from "./validate.ts";

const DAY_MS = 86_400_000;

/** What is typed into the form of one credential. */
export interface TypedCredential {
  readonly name: string;
  readonly client_id: string;
  readonly client_secret: string;
  readonly expires: string;
}

/**
 * Days until it ends, by its own end date, else by what its customers report (a certificate's end is in its
 * file); undefined where nobody knows. Negative when it has ended.
 */
export function daysLeft(row: SharedCredentialRow, statuses: readonly Status[], nowMs: number): number | undefined {
  const endsMs = Date.parse(row.expires ?? "");
  if (!Number.isNaN(endsMs)) return Math.floor((endsMs - nowMs) / DAY_MS);
  const users = new Set(row.used_by);
  const reported = statuses.flatMap(({ input, credential_days_left: days }) =>
    users.has(input) && days !== null ? [days] : [],
  );
  return reported.length === 0 ? undefined : Math.min(...reported);
}

/** Key to what is wrong, in the words of the settings and of `credential set`. */
export function credentialProblems(typed: TypedCredential, isNew: boolean, taken: readonly string[]): Problems {
  const problems: Record<string, string> = {};
  const check = (key: "credential" | "client_id" | "secret_expires", text: string, as: string): void => {
    const kind = CUSTOMER_ROWS.find((row) => row.key === key)?.kind;
    const reading = kind === undefined ? undefined : readValue(kind, text, 0);
    if (reading?.ok === false) problems[as] = reading.say;
  };
  if (isNew) {
    if (typed.name.trim() === "") problems["name"] = "is missing; write a short name such as mssp";
    else check("credential", typed.name.trim(), "name");
    if (taken.includes(typed.name.trim())) problems["name"] = "is used already; replace that credential's secret";
    if (typed.client_id.trim() === "")
      problems["client_id"] = "is missing; write the application (client) ID of your app registration";
  }
  if (typed.client_id.trim() !== "") check("client_id", typed.client_id.trim(), "client_id");
  if (typed.client_secret.trim() === "") problems["client_secret"] = "is missing; paste the value of the client secret";
  else if (isSecretId(typed.client_secret))
    problems["client_secret"] = `is the ID of the client secret, not its value; ${PASTE_THE_VALUE}`;
  if (typed.expires.trim() !== "") check("secret_expires", typed.expires.trim(), "expires");
  return problems;
}
