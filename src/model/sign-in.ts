import type { Sealed } from "./sealed.ts";

/**
 * How the MSSP's app proves itself at the token endpoint. `public`: a token that came from the device code flow is redeemed without a secret.
 * `certificate` names a PEM file with one or more pairs of key and certificate; it is read at each redemption, so replacing the file is a rollover.
 */
export type AppCredential =
  | { readonly kind: "secret"; readonly clientId: string; readonly secret: Sealed }
  | { readonly kind: "certificate"; readonly clientId: string; readonly path: string }
  | { readonly kind: "public"; readonly clientId: string };
