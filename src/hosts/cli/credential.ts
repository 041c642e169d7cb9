import { flagName, valuesFromFlags } from "../../config/flags.ts";
import { readValue } from "../../config/kinds.ts";
import { readDestination } from "../../config/settings.ts";
import type { AssertionSetting } from "../../model/assertion.ts";
import { type Destination, fingerprintDifferences } from "../../model/endpoint-binding.ts";
import type { ExitCode, Failure } from "../../model/failure.ts";
import { EXIT, exitCodeOf, isFailure } from "../../model/failure.ts";
import { sealed } from "../../model/sealed.ts";
import type { OnboardingServices, SecretPlace, StoredCredential } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { assertionFrom, COUNTS_SOON, credentialFor, splunkPlace, textFlag, usage } from "./ask.ts";

/**
 * `credential set NAME`: one app credential for many customers, bound to the endpoints given. Called again it
 * replaces the client secret.
 */
export async function setCredential(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const name = textFlag(flags, "name");
  if (name === undefined || !/^[A-Za-z0-9_.-]{1,64}$/.test(name))
    throw usage("The credential's name must have 1 to 64 letters, digits, dots, dashes or underscores.");
  const typed = textFlag(flags, "client-id");
  if (typed !== undefined) guidOf(typed);
  const where = await destinationOf(services, flags, name);
  const target = await placeOf(services, flags);
  const stored = await target.storedCredential(name);
  const clientId = guidOf(typed ?? stored?.clientId ?? (await askedClientId(services)));
  const certificate = textFlag(flags, "certificate");
  const assertion = assertionOf(flags);
  const isSecret = certificate === undefined && assertion === undefined;
  const expires = textFlag(flags, "expires") ?? (isSecret ? await askedEnd(services, stored) : undefined);
  if (expires !== undefined && Number.isNaN(Date.parse(expires)))
    throw usage("The end date of the client secret is not a valid date.", "Write the date as 2027-11-24.");
  const tenant = textFlag(flags, "tenant-id") ?? stored?.tenant;
  const home = tenant === undefined ? {} : { tenant: tenantOf(tenant) };
  const credential: StoredCredential =
    assertion !== undefined
      ? { clientId, ...home, assertion }
      : certificate !== undefined
        ? { clientId, ...home, certificate }
        : {
            clientId,
            ...home,
            ...(await keyOf(services, clientId, flags)),
            ...(expires === undefined ? {} : { expires: new Date(expires).toISOString() }),
          };
  await target.putCredential(name, credential, where);
  services.terminal.say(
    tenant === undefined
      ? `Credential ${name} is stored in ${target.name}. Customers use it with credential = ${name}.`
      : `Credential ${name} is stored in ${target.name}, for the tenant ${tenant} alone. Use it with discover_credential = ${name}.`,
  );
  services.terminal.say(COUNTS_SOON);
  return EXIT.done;
}

/** An app has one proof of what it is; a second one would be stored for nothing. */
function assertionOf(flags: Flags): AssertionSetting | undefined {
  const typed = textFlag(flags, "assertion");
  if (typed === undefined) return undefined;
  for (const other of ["certificate", "client-secret-file", "expires"])
    if (textFlag(flags, other) !== undefined)
      throw usage(`--assertion and --${other} do not go together.`, `Leave out --${other}, or --assertion.`);
  return assertionFrom(typed, "--assertion");
}

/** A GUID or a domain; which of the domain's tenants it is, the sign-in says. */
function tenantOf(typed: string): string {
  const read = readValue({ is: "tenant" }, typed.trim(), 0);
  if (!read.ok) throw usage(`--tenant-id ${read.say}.`, "Give one of your own tenant's domains, or its tenant ID.");
  return read.value;
}

function guidOf(typed: string): string {
  const clientId = tenantIdFrom(typed);
  if (clientId === undefined)
    throw usage(
      typed === "" ? "No client ID was given." : "The client ID is not a GUID.",
      "Give --client-id with the application (client) ID from the overview of the app registration.",
    );
  return clientId;
}

function askedClientId({ terminal }: OnboardingServices): Promise<string> {
  return terminal.ask("Application (client) ID of the app registration:");
}

/** A new client secret has another end date; without one nobody would be warned any more. */
async function askedEnd(
  { terminal }: OnboardingServices,
  stored: Pick<StoredCredential, "expires"> | undefined,
): Promise<string | undefined> {
  if (stored?.expires === undefined || !terminal.interactive) return undefined;
  return (await terminal.ask("End date of the new client secret, as 2027-11-24 (Enter if not known):")) || undefined;
}

async function keyOf(
  services: OnboardingServices,
  clientId: string,
  flags: Flags,
): Promise<Pick<StoredCredential, "clientSecret">> {
  const environment = services.environment["DEFENDER_MSSP_CLIENT_SECRET"];
  const stanza = {
    tenantName: "this credential",
    clientId,
    ...(environment ? { clientSecret: sealed(environment) } : {}),
  } as Stanza;
  const credential = await credentialFor(services, stanza, flags);
  if (credential.kind !== "secret") throw new Error("a credential without a certificate has a client secret");
  return { clientSecret: credential.secret };
}

/**
 * The endpoints that a shared credential is bound to: those of its customers in `--config`, else those of
 * `--cloud`; flags override both.
 */
async function destinationOf(services: OnboardingServices, flags: Flags, name: string): Promise<Destination> {
  if (textFlag(flags, "config") === undefined) return destinationOfFlags(flags);
  const { stanzas } = await services.customers(flags, { needSecrets: false });
  const own = stanzas.filter(({ credential }) => credential === name);
  const [first, ...others] = own.length > 0 ? own : stanzas;
  if (first === undefined) return destinationOfFlags(flags);
  const fingerprint = services.fingerprintOf(first);
  for (const other of others) {
    const differing = fingerprintDifferences(fingerprint, services.fingerprintOf(other));
    if (differing.length > 0)
      throw usage(
        `${first.name} and ${other.name} differ in ${differing.join(", ")}, and a credential is bound to one value of each.`,
        "Store one credential for the customers with the same values: give --customer NAME of one of them.",
      );
  }
  return first;
}

function destinationOfFlags(flags: Flags): Destination {
  const wrong: string[] = [];
  const destination = readDestination(valuesFromFlags(flags), (key, say) => wrong.push(`--${flagName(key)} ${say}.`));
  if (destination === undefined) throw usage(wrong.join(" "));
  return destination;
}

function placeOf(services: OnboardingServices, flags: Flags): Promise<SecretPlace> {
  return textFlag(flags, "to") === "splunk" ? splunkPlace(services, flags) : services.filePlace(flags);
}

/**
 * `credential reseal`: binds the stored secrets to the current endpoints, proxy and CA file, after an
 * intended change. A customer whose file cannot be read is named and stops no other.
 */
export async function resealCredentials(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const named = flags["customer"] !== undefined;
  if (!named && flags["all"] !== true) throw usage("No customer was given.", "Give --customer NAME or --all.");
  const found = await services.customers(flags, { needSecrets: false });
  const target = await placeOf(services, flags);
  const failed: Failure[] = [];
  let count = 0;
  for (const stanza of found.stanzas) {
    try {
      for (const one of await target.reseal([stanza])) {
        services.terminal.say(`Bound to the current endpoints: ${one}.`);
        count += 1;
      }
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed.push(error);
      services.terminal.say(`${stanza.name}: ${error.say} ${error.nextStep}`.trimEnd());
    }
  }
  if (count > 0) services.terminal.say(COUNTS_SOON);
  const [first] = failed;
  if (first !== undefined) return failed.length < found.stanzas.length ? EXIT.someCustomers : exitCodeOf(first);
  if (count === 0) services.terminal.say(`No secret in ${target.name} needed a change.`);
  return EXIT.done;
}
