import { DatabaseError } from "pg";
import { Failure, isFailure } from "../../model/failure.ts";

/**
 * SQLSTATEs after which nobody knows whether the statement was committed: the server ended the connection,
 * perhaps while it waited for a standby, or says that it does not know (40003). Source: PostgreSQL
 * documentation, "PostgreSQL Error Codes".
 */
const UNKNOWN_OUTCOME = /^(?:08|57P|40003)/;
/** Something is wrong in the server itself. With severity ERROR it undid the statement and goes on. */
const INTERNAL = /^XX/;
/** `insufficient_privilege` and such: what an operator reads beside the server's own words. */
const NEXT_STEPS: Readonly<Record<string, string>> = {
  "25006": "Make the database writable, or put the primary into fleet.url.",
  "28P01": "Correct fleet.user and fleet.password.",
  "28000": "Allow fleet.user in pg_hba.conf of the database.",
  "3D000": "Create the database that fleet.url names.",
  "42501": "Run `defender-mssp fleet init --print-sql` and grant what it prints.",
  "53100": "Free disk space on the database's host. Collection resumes by itself.",
  "53300": "Raise max_connections of the database, or use a pooler. Collection resumes by itself.",
};

/** Nobody can connect, or do anything, before a person has changed a setting. */
const WRONG_SETTING = new Set(["28P01", "28000", "3D000", "3F000", "42501"]);
/** How Node names a certificate that does not verify. The driver's own error has no code. */
const TLS_REFUSED = /^(?:ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|HOSTNAME_MISMATCH)/;
const WITHOUT_TLS = /server does not support SSL/i;
/** PgBouncer says almost everything as 08P01: by the text, the SQLSTATE that PostgreSQL has for it. */
const POOLER_SAYS: readonly (readonly [text: RegExp, sqlState: string])[] = [
  [/authentication failed/i, "28P01"],
  [/no such database|database .* does not exist/i, "3D000"],
];

/** The same with `retry: never` where waiting cannot help, so that a program that starts says it and ends. */
export function asWrongSetting(error: unknown): unknown {
  if (!isFailure(error)) return error;
  const { code, actor, say, nextStep, cause } = error;
  const isWrong =
    WRONG_SETTING.has(refusalOf(cause) ?? "") ||
    TLS_REFUSED.test(textIn(cause, "code")) ||
    WITHOUT_TLS.test(textIn(cause, "message"));
  return isWrong ? new Failure(code, { actor, retry: { when: "never" }, say, nextStep, cause }) : error;
}

function textIn(error: unknown, member: "code" | "message"): string {
  const text: unknown = (error as Readonly<Record<string, unknown>> | undefined)?.[member];
  return typeof text === "string" ? text : "";
}

/** Why a connection was refused, as a SQLSTATE; undefined when nothing was said. */
function refusalOf(cause: unknown): string | undefined {
  if (!(cause instanceof DatabaseError)) return undefined;
  const { code, message } = cause;
  const meant = code === "08P01" ? POOLER_SAYS.find(([text]) => text.test(message)) : undefined;
  return meant?.[1] ?? code;
}

/** The SQLSTATE of what the server said; undefined when it said nothing. */
export function sqlStateOf(error: unknown): string | undefined {
  const found = isFailure(error) ? error.cause : error;
  return found instanceof DatabaseError ? found.code : undefined;
}

/**
 * What became of a statement that was sent. `fleet-refused`: the server says that it did nothing.
 * `fleet-unsettled`: it may have been committed.
 */
export function statementFailed(error: unknown): Failure {
  if (isFailure(error)) return error;
  if (!(error instanceof DatabaseError) || !isUndone(error)) return unsettled(error);
  return new Failure("fleet-refused", {
    actor: "operator",
    retry: { when: "later" },
    say: `The fleet's database refused a statement (${error.code}): ${oneLine(error)}. Nothing of it was committed.`,
    nextStep: NEXT_STEPS[error.code ?? ""] ?? "Check the database's log. Collection resumes by itself.",
    cause: error,
  });
}

/** A severity in the server's own language counts as unknown: a page is then read again, and never lost. */
function isUndone({ code, severity }: DatabaseError): boolean {
  if (code === undefined || UNKNOWN_OUTCOME.test(code)) return false;
  return !INTERNAL.test(code) || severity === "ERROR";
}

function unsettled(cause: unknown): Failure {
  return new Failure("fleet-unsettled", {
    actor: "us",
    retry: { when: "later" },
    say: `The fleet's database did not answer a statement (${oneLine(cause)}). What it holds is read again before anything is sent.`,
    cause,
  });
}

/** @param where hosts and ports. */
export function databaseUnreachable(where: string, cause: unknown): Failure {
  const refused = NEXT_STEPS[refusalOf(cause) ?? ""];
  return new Failure("fleet-unreachable", {
    actor: "operator",
    retry: { when: "later" },
    say: `No primary of the fleet's database can be reached at ${where} (${oneLine(cause)}). Nothing is lost.`,
    nextStep: refused ?? "Check fleet.url, the database and the firewall. Collection resumes by itself.",
    cause,
  });
}

export function fenced(): Failure {
  return new Failure("fleet-fenced", {
    actor: "us",
    retry: { when: "later" },
    say: "Another member of the fleet has taken over this customer and goes on at the same checkpoint.",
  });
}

/** @param stanza the customer whose secret cannot be opened. */
export function otherKey(stanza: string): Failure {
  return new Failure("fleet-key-differs", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "later" },
    say: `The refresh token of ${stanza} in the fleet's database was not sealed with the key in fleet.key_file of this host.`,
    nextStep: "Copy the key file of another member to this host, and restart this member.",
  });
}

export function schemaFailure(say: string, nextStep: string): Failure {
  return new Failure("fleet-schema", { actor: "operator", retry: { when: "never" }, say, nextStep });
}

/** What a driver says never holds a password, but may hold several lines. */
function oneLine(cause: unknown): string {
  const text = cause instanceof Error ? cause.message || cause.name : String(cause);
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ");
}
