import type { FileRule, SecretKey } from "../../config/settings.ts";
import { SECRET_KEYS } from "../../config/settings.ts";
import type { AssertionSetting } from "../../model/assertion.ts";
import { assertionSetting } from "../../model/assertion.ts";
import type { FingerprintOf } from "../../model/endpoint-binding.ts";
import { fingerprintDifferences } from "../../model/endpoint-binding.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import { sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import { authOf, hasAppProof } from "../../model/stanza.ts";
import { jsonOf } from "../../net/json-answer.ts";
import type { PasswordStore, StoredSecret } from "./passwords.ts";
import { credentialId, customerSecretId } from "./passwords.ts";
import type { ReadBytes } from "./secret-files.ts";
import { clearValue, fileNamed, hasOwnAddresses, withSecretFiles } from "./secret-files.ts";

/** A customer with its secrets. */
export interface ReadyStanza {
  readonly stanza: Stanza;
  /** Of the endpoints in force: what is stored for this customer from now on is bound to them. */
  readonly fingerprint: string;
  /** The secrets in clear text in inputs.conf, to be stored and masked. */
  readonly clear: readonly SecretKey[];
  /**
   * The path of a certificate that is not bound yet. Once it is, somebody who edits the input cannot have
   * what it signs sent elsewhere.
   */
  readonly certificateToBind?: string;
  /** Undefined unless the refresh token comes from the store or was just typed. */
  readonly storedRefreshToken?: StoredSecret;
}

export interface RefusedStanza {
  readonly stanza: Stanza;
  readonly failure: Failure;
}

/**
 * The JSON in a shared credential's entry. `certificate`: path of a PEM file; `assertion`: as the
 * setting of that name; `expires`: ISO time, for the
 * warning in health events.
 */
export interface SharedCredential {
  readonly client_id: string;
  readonly client_secret?: string;
  readonly certificate?: string;
  readonly assertion?: AssertionSetting;
  readonly expires?: string;
  readonly tenant?: string;
}

/** How secrets are looked up outside of the store. */
export interface SecretPorts {
  readonly readBytes: ReadBytes;
  readonly files: FileRule;
  readonly fingerprintOf: FingerprintOf;
}

export interface Resolution {
  readonly ready: readonly ReadyStanza[];
  readonly refused: readonly RefusedStanza[];
}

/**
 * Gives each customer its secrets: those typed in clear, else the stored ones, if they were typed for the
 * current endpoints, proxy and CA file. A customer that differs gets none, and the failure names the setting
 * (`endpoint-changed`). A customer whose file cannot be read is refused alone.
 *
 * @param store undefined if the credential store could not be read; `storeFailure` then says why. Customers
 *   that need nothing from it are not affected.
 */
export async function resolveSecrets(
  stanzas: readonly Stanza[],
  masked: ReadonlyMap<string, readonly SecretKey[]>,
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  { readBytes, files, fingerprintOf }: SecretPorts,
): Promise<Resolution> {
  const ready: ReadyStanza[] = [];
  const refused: RefusedStanza[] = [];
  for (const given of stanzas) {
    let stanza = given;
    try {
      stanza = await withSecretFiles(given, readBytes, files);
      const fingerprint = fingerprintOf(stanza);
      ready.push(resolveOne(stanza, given, masked.get(stanza.name) ?? [], store, storeFailure, fingerprint));
    } catch (error) {
      if (!isFailure(error)) throw error;
      refused.push({ stanza: given, failure: error });
    }
  }
  return { ready, refused };
}

function resolveOne(
  stanza: Stanza,
  given: Stanza,
  masked: readonly SecretKey[],
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  fingerprint: string,
): ReadyStanza {
  const stored = new Map<SecretKey, StoredSecret>();
  const clear: SecretKey[] = [];
  for (const key of SECRET_KEYS) {
    if (clearValue(stanza, key)) {
      // A reference to a file is not a secret, so it is not masked.
      if (fileNamed(given, key) === undefined) clear.push(key);
      continue;
    }
    // Nothing was cleaned up when the assertion took its place.
    if (key === "client_secret" && stanza.assertion !== undefined) continue;
    const found = store?.get(customerSecretId(stanza.name, key));
    if (found) stored.set(key, assertBinding(found, fingerprint, key));
    else if (masked.includes(key))
      throw storeFailure ?? missing(key, `has only the mask in ${key}, and no secret is stored for it.`);
  }
  if (stanza.assertion !== undefined && hasOwnAddresses(stanza)) throw assertionElsewhere();
  const certificateToBind =
    stanza.certificate === undefined
      ? undefined
      : unboundCertificate(stanza, stanza.certificate, store, storeFailure, fingerprint);
  const shared =
    stanza.credential === undefined ? undefined : sharedCredential(stanza.credential, store, storeFailure, fingerprint);
  const complete = withSecrets(stanza, stored, shared);
  const lacking = lackingSecret(complete);
  if (lacking)
    throw (
      storeFailure ??
      missing(
        lacking,
        lacking === "refresh_token"
          ? "has no refresh token."
          : "has no client secret, certificate, assertion or refresh token.",
      )
    );
  const refreshToken = stored.get("refresh_token");
  return {
    stanza: complete,
    fingerprint,
    clear,
    ...(certificateToBind === undefined ? {} : { certificateToBind }),
    ...(refreshToken ? { storedRefreshToken: refreshToken } : {}),
  };
}

/**
 * A certificate is a file that nobody types, so its path is bound to the endpoints when it is first used.
 * Where no binding can be stored it serves the cloud's own addresses only. Returns the path when it is still
 * to be bound.
 */
function unboundCertificate(
  stanza: Stanza,
  certificate: string,
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  fingerprint: string,
): string | undefined {
  if (!store) {
    if (hasOwnAddresses(stanza))
      throw (
        storeFailure ??
        missing(
          "client_secret",
          "overrides addresses, but its certificate cannot be bound to them without a credential store.",
        )
      );
    return undefined;
  }
  const found = store.get(customerSecretId(stanza.name, "certificate"));
  if (found?.value.open((path) => path === certificate) !== true) return certificate;
  assertBinding(found, fingerprint, "certificate");
  return undefined;
}

/**
 * Whoever has the token can present it to Microsoft, and nobody typed it for these addresses. So an input's
 * own assertion goes to the cloud's own addresses only: users who can edit inputs cannot redirect it.
 */
function assertionElsewhere(): Failure {
  return new Failure("endpoint-changed", {
    actor: "operator",
    retry: { when: "never" },
    say: "An input's own `assertion` is sent only to the cloud's own addresses, but this input sets other addresses, so it is not used.",
    nextStep:
      "Remove login_url, graph_url, api_url and siem_url from this input, or store the assertion for them: run `defender_mssp credential set NAME --to splunk --assertion ...` and set `credential`.",
  });
}

function assertBinding(found: StoredSecret, present: string, what: string): StoredSecret {
  const changed = fingerprintDifferences(found.fingerprint, present);
  if (changed.length === 0) return found;
  throw new Failure("endpoint-changed", {
    actor: "operator",
    retry: { when: "never" },
    say: `${changed.join(", ")} changed since ${what} was ${what === "certificate" ? "first used" : "typed"}, so ${what === "certificate" ? "it" : "the stored secret"} is not used.`,
    nextStep: `${what === "certificate" ? "Undo the change" : `Type ${what} again for this input`}, or accept the change with \`defender_mssp credential reseal --to splunk\`.`,
  });
}

function sharedCredential(
  name: string,
  store: PasswordStore | undefined,
  storeFailure: Failure | undefined,
  fingerprint: string,
): SharedCredential {
  const found = store?.get(credentialId(name));
  if (!found) {
    throw (
      storeFailure ??
      new Failure("credential-missing", {
        actor: "operator",
        retry: { when: "never" },
        say: `The shared credential ${name} is not stored, so this customer cannot be signed in.`,
        nextStep: `Store it with \`defender_mssp credential set ${name} --to splunk\`, or set another name in \`credential\`.`,
      })
    );
  }
  const parsed = assertBinding(found, fingerprint, `the shared credential ${name}`).value.open(readCredential);
  if (!parsed)
    throw new Failure("secret-damaged", {
      actor: "operator",
      retry: { when: "never" },
      say: `The stored shared credential ${name} cannot be read, so it is not used.`,
      nextStep: `Store it again with \`defender_mssp credential set ${name} --to splunk\`.`,
    });
  return parsed;
}

/** The JSON of a shared credential's entry; undefined if it is not one. */
export function readCredential(text: string): SharedCredential | undefined {
  const value = jsonOf(text) as Partial<SharedCredential> | null | undefined;
  if (typeof value?.client_id !== "string") return undefined;
  const isWhole = value.assertion === undefined || assertionSetting(value.assertion) !== undefined;
  return isWhole ? (value as SharedCredential) : undefined;
}

/** A stanza with the values of the shared credential that it names. Throws like `resolveSecrets` refuses. */
export function withStoredCredential(stanza: Stanza, store: PasswordStore, fingerprint: string): Stanza {
  const shared = sharedCredential(stanza.credential ?? "", store, undefined, fingerprint);
  return withSecrets(stanza, new Map(), shared);
}

/**
 * The stanza's own client id, client secret, certificate and assertion override those of the shared
 * credential. An own client secret, certificate or assertion replaces all of the shared credential's.
 */
function withSecrets(
  stanza: Stanza,
  stored: ReadonlyMap<SecretKey, StoredSecret>,
  shared: SharedCredential | undefined,
): Stanza {
  const ownSecret = stanza.clientSecret ?? stored.get("client_secret")?.value;
  const ownKey = ownSecret !== undefined || hasAppProof(stanza);
  const clientId = stanza.clientId ?? shared?.client_id;
  const clientSecret =
    ownSecret ?? (ownKey || shared?.client_secret === undefined ? undefined : sealed(shared.client_secret));
  const certificate = stanza.certificate ?? (ownKey ? undefined : shared?.certificate);
  const assertion = stanza.assertion ?? (ownKey ? undefined : shared?.assertion);
  const endsMs = ownKey ? Number.NaN : Date.parse(shared?.expires ?? "");
  const refreshToken = stanza.refreshToken ?? stored.get("refresh_token")?.value;
  return {
    ...stanza,
    ...(clientId === undefined ? {} : { clientId }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
    ...(Number.isNaN(endsMs) ? {} : { clientSecretEndsMs: endsMs }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(assertion === undefined ? {} : { assertion }),
    ...(refreshToken === undefined ? {} : { refreshToken }),
  };
}

/** The secret without which this stanza cannot sign in. */
function lackingSecret(stanza: Stanza): SecretKey | undefined {
  if (authOf(stanza) === "refresh_token") return stanza.refreshToken ? undefined : "refresh_token";
  return hasAppProof(stanza) ? undefined : "client_secret";
}

function missing(key: SecretKey, say: string): Failure {
  return new Failure("secret-missing", {
    actor: "operator",
    retry: { when: "never" },
    say: `This input ${say}`,
    nextStep:
      key === "refresh_token"
        ? "Run `defender_mssp token acquire --to splunk` for this customer, or type refresh_token into the input."
        : "Type client_secret into the input, or set `credential`.",
  });
}
