import { resolve } from "node:path";
import { readValue } from "../../config/kinds.ts";
import { type AssertionSetting, assertionCredential, assertionFile } from "../../model/assertion.ts";
import { Failure } from "../../model/failure.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import { refuseSecretId } from "../../model/secret-id.ts";
import type { AppCredential, OnboardingServices, SecretPlace, SplunkAccess } from "../../model/sign-in.ts";
import { needsSharedCredential, type Stanza } from "../../model/stanza.ts";

export type Flags = Readonly<Record<string, unknown>>;

/**
 * Customers asked for in parallel: enough for hundreds in minutes, few enough to stay far below every limit.
 */
export const CUSTOMERS_AT_ONCE = 8;

/** Said by every command that stores a credential which a running collector may use. */
export const COUNTS_SOON = "It counts within 60 s; no restart is needed.";

export function usage(say: string, nextStep = "Run the command with --help."): Failure {
  return new Failure("usage", { actor: "operator", retry: { when: "never" }, say, nextStep });
}

export function textFlag(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** An assertion as it was typed; a relative path counts from here. Throws Failure `usage`. */
export function assertionFrom(typed: string, flag: string): AssertionSetting {
  const reading = readValue({ is: "assertion" }, typed.trim(), 0);
  if (!reading.ok) throw usage(`${flag} ${reading.say}.`);
  const file = assertionFile(reading.value);
  return file === undefined ? reading.value : `file:${resolve(file)}`;
}

/** The customer that a command is for. Throws Failure `usage` or `settings`. */
export async function oneCustomer(services: OnboardingServices, flags: Flags, needSecrets = false): Promise<Stanza> {
  const found = await services.customers(flags, { needSecrets });
  for (const warning of found.warnings) services.terminal.say(warning);
  if (found.stanzas.length > 1)
    throw usage(
      `The configuration has ${found.stanzas.length} customers, and this command needs one.`,
      "Give --customer NAME.",
    );
  const stanza = found.stanzas[0];
  if (!stanza && found.refused[0]) throw found.refused[0].failure;
  if (!stanza)
    throw usage("No customer was given.", "Give --config FILE --customer NAME, or --tenant-id and --client-id.");
  return stanza;
}

/**
 * The client secret from a file, else from the configuration or the environment, else asked for without echo.
 * Throws Failure `usage`, or `secret-id-pasted` before anything is stored or sent.
 */
export async function credentialFor(
  services: OnboardingServices,
  stanza: Stanza,
  flags: Flags,
): Promise<AppCredential> {
  const clientId = stanza.clientId;
  if (clientId === undefined) throw usage(`No client ID is set for ${stanza.tenantName}.`, "Give --client-id.");
  if (stanza.assertion !== undefined) return assertionCredential(clientId, stanza.assertion, stanza.cloud);
  if (stanza.certificate !== undefined) return { kind: "certificate", clientId, path: stanza.certificate };
  const secret =
    (await secretFrom(services, flags)) ??
    stanza.clientSecret ??
    (await services.terminal.askSecret(`Client secret of app ${clientId}:`));
  if (secret.length === 0)
    throw usage(
      "No client secret was given.",
      "Type it when asked, or give --client-secret-file FILE, or set DEFENDER_MSSP_CLIENT_SECRET.",
    );
  refuseSecretId(secret, clientId);
  return { kind: "secret", clientId, secret };
}

async function secretFrom(services: OnboardingServices, flags: Flags): Promise<Sealed | undefined> {
  const path = textFlag(flags, "client-secret-file");
  if (path === undefined) return undefined;
  const text = await services.readText(path, "utf8");
  if (text === undefined) throw usage(`${path} does not exist.`, "Name the file that contains the client secret.");
  // Editors add a line end; on Windows it has two characters.
  return sealed(text.replace(/^\uFEFF/, "").trim());
}

/** Access to splunkd: address and user from flags; the secret from the environment, or asked for. */
export async function splunkAccess(
  services: Pick<OnboardingServices, "environment" | "terminal">,
  flags: Flags,
): Promise<SplunkAccess> {
  const serverUri = textFlag(flags, "splunk-uri") ?? "https://localhost:8089";
  const token = services.environment["DEFENDER_MSSP_SPLUNK_TOKEN"];
  const user = textFlag(flags, "splunk-user");
  const caFile = textFlag(flags, "splunkd-ca-file");
  if (token && !user) return { serverUri, caFile, token: sealed(token), user: undefined, password: undefined };
  const name = user ?? (await services.terminal.ask("Splunk user:"));
  const given = services.environment["DEFENDER_MSSP_SPLUNK_PASSWORD"];
  const password = given ? sealed(given) : await services.terminal.askSecret(`Password of Splunk user ${name}:`);
  return { serverUri, caFile, token: undefined, user: name, password };
}

/** Do the settings stand in a file of Splunk's, which keeps the secrets elsewhere? */
export function belongsToSplunk(flags: Flags): boolean {
  return /\.(conf|xml)$/i.test(textFlag(flags, "config") ?? "");
}

/** Was this command given a login for Splunk, or told to store there? */
export function looksIntoSplunk(flags: Flags, environment: OnboardingServices["environment"]): boolean {
  const isGiven = textFlag(flags, "to") === "splunk" || textFlag(flags, "splunk-uri") || textFlag(flags, "splunk-user");
  return Boolean(isGiven) || (Boolean(environment["DEFENDER_MSSP_SPLUNK_TOKEN"]) && belongsToSplunk(flags));
}

export function splunkPlace(services: OnboardingServices, flags: Flags): Promise<SecretPlace> {
  return services.splunkPlace(() => splunkAccess(services, flags));
}

/** Where the secrets of this command's customers are. */
export function secretPlace(services: OnboardingServices, flags: Flags): Promise<SecretPlace> {
  return looksIntoSplunk(flags, services.environment) ? splunkPlace(services, flags) : services.filePlace(flags);
}

/**
 * The customer with the app of the shared credential that it names. A credential of inputs.conf is looked for
 * in the state folder first, because Splunk asks for a login.
 */
export async function withSharedCredential(
  services: OnboardingServices,
  stanza: Stanza,
  flags: Flags,
): Promise<Stanza> {
  if (!needsSharedCredential(stanza)) return stanza;
  const place = await secretPlace(services, flags);
  const isElsewhere =
    belongsToSplunk(flags) &&
    !looksIntoSplunk(flags, services.environment) &&
    (await place.storedCredential(stanza.credential ?? "")) === undefined;
  return (isElsewhere ? await splunkPlace(services, flags) : place).withCredential(stanza);
}
