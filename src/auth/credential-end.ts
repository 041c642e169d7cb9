import type { CredentialWarning } from "../model/credential-warning.ts";
import { credentialWarning } from "../model/credential-warning.ts";
import { certificateEnds, daysLeft, warnedDays } from "./credential-check.ts";
import type { TokenAge } from "./refresh-token-age.ts";
import { daysLeftOf, warningDay } from "./refresh-token-age.ts";

/** The parts of a customer's sign-in whose end date can be known on this machine. */
export interface SignInParts {
  readonly tenantName: string;
  readonly refreshToken?: { readonly age: TokenAge } | undefined;
  /** Path of the PEM file; read at each check, because a rollover replaces it. */
  readonly certificate?: string | undefined;
  /** The name of the shared credential, if the client secret is one's. */
  readonly credential?: string | undefined;
  /** When the client secret ends, as noted when it was stored. */
  readonly secretEndsMs?: number | undefined;
  /** The secret stands in the customer's own settings, not in a shared credential. */
  readonly isOwnSecret?: boolean;
}

/** Days until the first part of the sign-in ends; null when no end date is known. */
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
 * The warnings due now: a refresh token after 60, 75 and 85 days without use; a certificate or a client
 * secret 60, 30 and 7 days before its end.
 */
export function credentialWarnings(parts: SignInParts, nowMs: number): readonly CredentialWarning[] {
  const warnings: CredentialWarning[] = [];
  const unused = parts.refreshToken && warningDay(parts.refreshToken.age, nowMs);
  if (parts.refreshToken && unused !== undefined) {
    const left = days(daysLeftOf(parts.refreshToken.age, nowMs));
    warnings.push(
      credentialWarning(
        `refresh-token-${unused}`,
        `The refresh token of ${parts.tenantName} has not been used for more than ${unused} days. It expires in ${left}.`,
        `Fix what \`defender-mssp doctor --customer ${JSON.stringify(parts.tenantName)}\` reports, or sign in again: run \`defender-mssp token acquire --customer ${JSON.stringify(parts.tenantName)}\`.`,
      ),
    );
  }
  const certificate = ending(certificateEnd(parts), nowMs);
  if (certificate) {
    warnings.push(
      credentialWarning(
        `certificate-${certificate.threshold}`,
        `The certificate of ${parts.tenantName} ${certificate.say}.`,
        `Add a new certificate to ${parts.certificate} and upload it to the app.`,
      ),
    );
  }
  const secret = ending(parts.secretEndsMs, nowMs);
  if (secret) {
    warnings.push(
      credentialWarning(
        `client-secret-${secret.threshold}`,
        `The client secret of ${parts.tenantName} ${secret.say}.`,
        parts.isOwnSecret === true
          ? "Create a new client secret for the app. Write it into `client_secret` and its end into `secret_expires`."
          : `Create a new client secret for the app and store it: \`defender-mssp credential set ${parts.credential ?? "NAME"}\`. It asks for the new end date.`,
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
