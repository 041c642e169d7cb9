import { Failure } from "./failure.ts";

/** That a sign-in will end by itself. `mark` names the bound that was passed: each is told once. */
export interface CredentialWarning {
  readonly mark: string;
  readonly failure: Failure;
}

/** The failure `credential-expiring`: collection still works, so the streams keep their state. */
export function credentialWarning(mark: string, say: string, nextStep: string): CredentialWarning {
  return {
    mark,
    failure: new Failure("credential-expiring", { actor: "operator", retry: { when: "never" }, say, nextStep }),
  };
}
