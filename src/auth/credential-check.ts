import { readFileSync } from "node:fs";
import { Failure } from "../model/failure.ts";
import { refuseSecretId } from "../model/secret-id.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { Assertion, AssertionCredential, Assertions } from "./assertion.ts";
import { certificatePairs, usablePairs } from "./certificate.ts";

/** Days before the end at which a certificate or a client secret with a known end date is warned about. */
const WARN_DAYS = [7, 30, 60] as const;
const DAY_MS = 86_400_000;

/** Whole days until a credential ends; 0 when it has ended. */
export function daysLeft(endsMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((endsMs - nowMs) / DAY_MS));
}

/**
 * When the certificate of a file that lasts longest ends, ms; undefined when the file cannot be used (the
 * sign-in then says why). The file is read each time, because a rollover replaces it.
 */
export function certificateEnds(path: string): number | undefined {
  try {
    return Math.max(...certificatePairs(readFileSync(path, "utf8"), path).map((pair) => pair.validToMs));
  } catch {
    return undefined;
  }
}

/** The last threshold (60, 30, 7 days before the end) that was passed; undefined with more time left. */
export function warnedDays(endsMs: number, nowMs: number): (typeof WARN_DAYS)[number] | undefined {
  const left = daysLeft(endsMs, nowMs);
  return WARN_DAYS.find((days) => left <= days);
}

/** The warning for the last threshold that was passed; undefined with more than 60 days left. */
export function certificateWarning(endsMs: number, nowMs: number): string | undefined {
  const left = daysLeft(endsMs, nowMs);
  return warnedDays(endsMs, nowMs) === undefined
    ? undefined
    : `ends in ${left} day${left === 1 ? "" : "s"}. Add a new certificate to the file and upload it to the app`;
}

/**
 * Checks a credential without using it. Returns a remark; throws Failure for a credential that cannot work.
 * @param readText reads the certificate file
 * @param assertions gets the token of another issuer; needed where a customer may sign in with one
 */
export async function checkCredential(
  credential: AppCredential,
  readText: (path: string) => Promise<string>,
  nowMs: number,
  assertions?: Assertions,
): Promise<{ remark: string; daysLeft: number | undefined }> {
  if (credential.kind === "public")
    return { remark: "Public client; no client secret is needed.", daysLeft: undefined };
  if (credential.kind === "secret") {
    refuseSecretId(credential.secret, credential.clientId);
    const { endsMs } = credential;
    if (endsMs === undefined)
      return { remark: "Client secret; its end date is shown only in the portal.", daysLeft: undefined };
    const left = daysLeft(endsMs, nowMs);
    const soon = warnedDays(endsMs, nowMs) !== undefined;
    const when = `${new Date(endsMs).toISOString().slice(0, 10)} (${left} day${left === 1 ? "" : "s"} left)`;
    return {
      remark: soon
        ? `The client secret ends on ${when}. Store a new one with \`defender-mssp credential set NAME\`.`
        : `Client secret, ends on ${when}.`,
      daysLeft: left,
    };
  }
  if (credential.kind === "assertion") {
    if (assertions === undefined) throw new Error("nothing was given that can get an assertion");
    return { remark: assertionRemark(await assertions.current(credential), credential, nowMs), daysLeft: undefined };
  }
  let pem: string;
  try {
    pem = await readText(credential.path);
  } catch (cause) {
    throw new Failure("certificate-unusable", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      say: `The certificate file ${credential.path} cannot be read.`,
      nextStep: "Set `certificate` to a PEM file that this program's account can read.",
      cause,
    });
  }
  const best = usablePairs(certificatePairs(pem, credential.path), nowMs, credential.path)[0]!;
  const left = daysLeft(best.validToMs, nowMs);
  const warning = certificateWarning(best.validToMs, nowMs);
  return {
    remark: warning ? `The certificate ${warning}.` : `Certificate ${best.subject}, ${left} days left.`,
    daysLeft: left,
  };
}

/** What a federated credential of the app has to have, in the words of `register --proof federated`. */
function assertionRemark(
  { issuer, subject, audience, endsMs }: Assertion,
  { audience: usual, source }: AssertionCredential,
  nowMs: number,
): string {
  const minutes = Math.max(0, Math.floor((endsMs - nowMs) / 60_000));
  const what = source.from === "file" ? `The token in ${source.path}` : `The token of identity ${source.identity}`;
  const odd =
    audience === usual
      ? ""
      : ` \`register --proof federated\` prints audience ${usual}: check that the app has this one.`;
  return `${what} is valid for ${minutes} minute${minutes === 1 ? "" : "s"}. The app needs a federated credential with Issuer: ${issuer}, Subject: ${subject}, Audience: ${audience}.${odd}`;
}
