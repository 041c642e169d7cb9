import { assertionCredential } from "../model/assertion.ts";
import { Failure } from "../model/failure.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { AuthKind, Stanza } from "../model/stanza.ts";
import { authOf, secretEndsMs } from "../model/stanza.ts";

/**
 * The credential of a stanza whose secrets are there. A stanza that signs in with a refresh token and has
 * neither client secret, certificate nor assertion is a public client's (device code). Throws Failure
 * `credential-missing`.
 *
 * @param auth how the customer signs in, where the refresh token is not in the stanza but in a vault.
 */
export function credentialOf(stanza: Stanza, auth: AuthKind = authOf(stanza)): AppCredential {
  const { clientId, certificate, assertion, clientSecret, cloud } = stanza;
  const endsMs = secretEndsMs(stanza);
  if (clientId === undefined) throw missing(stanza, "client_id");
  if (assertion !== undefined) return assertionCredential(clientId, assertion, cloud);
  if (certificate !== undefined) return { kind: "certificate", clientId, path: certificate };
  if (clientSecret !== undefined)
    return { kind: "secret", clientId, secret: clientSecret, ...(endsMs === undefined ? {} : { endsMs }) };
  if (auth === "refresh_token") return { kind: "public", clientId };
  throw missing(stanza, "client secret, certificate, assertion or refresh token");
}

function missing(stanza: Stanza, what: string): Failure {
  return new Failure("credential-missing", {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    say: `${stanza.tenantName} has no ${what}, so nobody can sign in for it.`,
    nextStep:
      "Set client_id with client_secret, certificate or assertion, name a credential, or sign in: run `defender-mssp token acquire`.",
  });
}
