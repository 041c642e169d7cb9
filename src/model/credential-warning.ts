import { Failure } from "./failure.ts";

/**
 * A warning that a sign-in will expire. `threshold` names the limit that was passed; each is reported once.
 */
export interface CredentialWarning {
  readonly threshold: string;
  readonly failure: Failure;
}

/** The failure `credential-expiring`: collection still works, so the streams keep their state. */
export function credentialWarning(threshold: string, say: string, nextStep: string): CredentialWarning {
  return {
    threshold,
    failure: new Failure("credential-expiring", { actor: "operator", retry: { when: "never" }, say, nextStep }),
  };
}
