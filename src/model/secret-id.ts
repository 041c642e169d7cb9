import { Failure } from "./failure.ts";
import type { Sealed } from "./sealed.ts";
import { tenantIdFrom } from "./tenant.ts";

/** What to do about a secret's ID in the place of its value; the end of a sentence about a setting. */
export const PASTE_THE_VALUE =
  "create a new client secret under Certificates & secrets and paste the column Value, which the portal shows only once";

/**
 * Is this the ID of a client secret, which the portal shows beside its value? An ID is a GUID, and Entra's
 * secret values never look like one.
 */
export function isSecretId(text: string): boolean {
  return tenantIdFrom(text) !== undefined;
}

/**
 * Throws Failure `secret-id-pasted` when the ID of a client secret was given instead of its value.
 *
 * @param app the client id.
 */
export function refuseSecretId(secret: Sealed, app: string): void {
  if (!secret.open(isSecretId)) return;
  throw new Failure("secret-id-pasted", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `The client secret given for app ${app} is the secret's ID, not its value.`,
    nextStep:
      "Create a new client secret under Certificates & secrets and copy the column Value. The portal shows the value only once.",
  });
}
