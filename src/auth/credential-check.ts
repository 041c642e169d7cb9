import { readFileSync } from "node:fs";
import { Failure } from "../model/failure.ts";
import type { Sealed } from "../model/sealed.ts";
import type { AppCredential } from "../model/sign-in.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { certificatePairs, usablePairs } from "./certificate.ts";

/** A certificate, or an app key whose end is known, is warned about from each of these days on. */
const WARN_DAYS = [7, 30, 60] as const;
const DAY_MS = 86_400_000;

/**
 * Throws Failure `secret-id-pasted` when the ID of an app key stands where its value belongs: Entra's keys
 * never look like a GUID.
 */
export function refuseSecretId(secret: Sealed, app: string): void {
  if (!secret.open((value) => tenantIdFrom(value) !== undefined)) return;
  throw new Failure("secret-id-pasted", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `What is given as the key of app ${app} is the key's ID, not its value.`,
    nextStep:
      "Make a new key under Certificates & secrets and copy the column Value; the value of an old key cannot be shown again.",
  });
}

/** How much longer a credential lasts, in whole days; undefined when that cannot be known from here. */
export function daysLeft(endsMs: number, nowMs: number): number {
  return Math.max(0, Math.floor((endsMs - nowMs) / DAY_MS));
}

/**
 * When the longest-lasting certificate of a file ends, ms; undefined when the file cannot be used (signing in
 * will say why). Read each time: a rollover replaces the file.
 */
export function certificateEnds(path: string): number | undefined {
  try {
    return Math.max(...certificatePairs(readFileSync(path, "utf8"), path).map((pair) => pair.validToMs));
  } catch {
    return undefined;
  }
}

/** The sharpest bound (7, 30, 60 days before the end) that was passed; undefined with more time left. */
export function warnedDays(endsMs: number, nowMs: number): (typeof WARN_DAYS)[number] | undefined {
  const left = daysLeft(endsMs, nowMs);
  return WARN_DAYS.find((days) => left <= days);
}

/** The sharpest warning that holds, undefined with more than 60 days left. */
export function certificateWarning(endsMs: number, nowMs: number): string | undefined {
  const left = daysLeft(endsMs, nowMs);
  return warnedDays(endsMs, nowMs) === undefined
    ? undefined
    : `ends in ${left} day${left === 1 ? "" : "s"}; put a new one into the file beside it and upload it to the app`;
}

/**
 * Looks at a credential without using it. Returns a remark, throws Failure for what cannot work.
 * @param readText reads the certificate file
 */
export async function checkCredential(
  credential: AppCredential,
  readText: (path: string) => Promise<string>,
  nowMs: number,
): Promise<{ remark: string; daysLeft: number | undefined }> {
  if (credential.kind === "public") return { remark: "Public client, no secret needed.", daysLeft: undefined };
  if (credential.kind === "secret") {
    refuseSecretId(credential.secret, credential.clientId);
    const { endsMs } = credential;
    if (endsMs === undefined) return { remark: "App key; when it ends only the portal knows.", daysLeft: undefined };
    const left = daysLeft(endsMs, nowMs);
    const soon = warnedDays(endsMs, nowMs) !== undefined;
    const when = `${new Date(endsMs).toISOString().slice(0, 10)} (${left} day${left === 1 ? "" : "s"} left)`;
    return {
      remark: soon
        ? `The app key ends on ${when}; store a new one: defender-mssp credential set NAME.`
        : `App key, ends on ${when}.`,
      daysLeft: left,
    };
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
      nextStep: "Name a PEM file that this program may read in the setting certificate.",
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
