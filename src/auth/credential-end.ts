import type { CredentialWarning } from "../model/credential-warning.ts";
import { credentialWarning } from "../model/credential-warning.ts";
import { certificateEnds, daysLeft, warnedDays } from "./credential-check.ts";
import type { TokenAge } from "./refresh-token-age.ts";
import { daysLeftOf, warningDay } from "./refresh-token-age.ts";

/** What a customer's sign-in rests on, as far as its end can be known from here. */
export interface SignInParts {
  readonly tenantName: string;
  readonly refreshToken?: { readonly age: TokenAge } | undefined;
  /** Path of the PEM; read at each look, because a rollover replaces it. */
  readonly certificate?: string | undefined;
  /** When the app key ends, as whoever stored it noted. */
  readonly secretEndsMs?: number | undefined;
}

/** Days until the sign-in ends by itself, whichever part ends first; null when nothing about it is known. */
export function credentialDaysLeft(parts: SignInParts, nowMs: number): number | null {
  const left = [
    parts.refreshToken && daysLeftOf(parts.refreshToken.age, nowMs),
    ...[certificateEnd(parts), parts.secretEndsMs].map((ends) =>
      ends === undefined ? undefined : daysLeft(ends, nowMs),
    ),
  ].filter((value) => value !== undefined);
  return left.length === 0 ? null : Math.min(...left);
}

/**
 * The warnings that hold: a refresh token at 60, 75 and 85 days without use; a certificate or an app key at
 * 60, 30 and 7 days before its end.
 */
export function credentialWarnings(parts: SignInParts, nowMs: number): readonly CredentialWarning[] {
  const warnings: CredentialWarning[] = [];
  const unused = parts.refreshToken && warningDay(parts.refreshToken.age, nowMs);
  if (parts.refreshToken && unused !== undefined) {
    const left = days(daysLeftOf(parts.refreshToken.age, nowMs));
    warnings.push(
      credentialWarning(
        `refresh-token-${unused}`,
        `The refresh token of ${parts.tenantName} has not been used for more than ${unused} days; Microsoft forgets it in ${left}.`,
        `Clear what keeps it from being used (\`defender-mssp doctor\` names it), or sign in again: defender-mssp token acquire --customer ${JSON.stringify(parts.tenantName)}.`,
      ),
    );
  }
  const certificate = ending(certificateEnd(parts), nowMs);
  if (certificate) {
    warnings.push(
      credentialWarning(
        `certificate-${certificate.threshold}`,
        `The certificate of ${parts.tenantName} ${certificate.say}.`,
        `Put a new one into ${parts.certificate} beside it and upload it to the app.`,
      ),
    );
  }
  const secret = ending(parts.secretEndsMs, nowMs);
  if (secret) {
    warnings.push(
      credentialWarning(
        `app-key-${secret.threshold}`,
        `The app key of ${parts.tenantName} ${secret.say}.`,
        "Make a new key for the app and store it: defender-mssp credential set NAME --expires DATE.",
      ),
    );
  }
  return warnings;
}

/** Undefined without a certificate. */
function certificateEnd({ certificate }: SignInParts): number | undefined {
  return certificate === undefined ? undefined : certificateEnds(certificate);
}

function ending(
  endsMs: number | undefined,
  nowMs: number,
): { readonly threshold: number; readonly say: string } | undefined {
  const threshold = endsMs === undefined ? undefined : warnedDays(endsMs, nowMs);
  if (endsMs === undefined || threshold === undefined) return undefined;
  return { threshold, say: endsMs <= nowMs ? "has ended" : `ends in ${days(daysLeft(endsMs, nowMs))}` };
}

function days(count: number): string {
  return `${count} day${count === 1 ? "" : "s"}`;
}
