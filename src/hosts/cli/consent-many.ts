import path from "node:path";
import { inParallel } from "../../model/concurrency-limiter.ts";
import type { ExitCode } from "../../model/failure.ts";
import { EXIT, exitCodeOf, type Failure, isFailure } from "../../model/failure.ts";
import { sealed } from "../../model/sealed.ts";
import type { FoundCustomers, MailLanguage, OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { tenantIdFrom } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { CUSTOMERS_AT_ONCE, credentialFor, secretPlace, textFlag, usage, withSharedCredential } from "./ask.ts";

/** Whose administrator opens the link decides which tenant it is for. */
const ANY_TENANT = "organizations";
/** Stands for the tenant where none is needed. */
const NO_TENANT = "00000000-0000-0000-0000-000000000000";

/** A customer with the app that it is to consent to. */
interface AppUser {
  readonly stanza: Stanza;
  readonly clientId: string;
}

/** `consent-url --any-customer`: one link that every customer of the same app can open. */
export async function consentForAny(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const found = await services.customers(withSomeTenant(flags), { needSecrets: false });
  const users = await appUsers(services, found, flags);
  const [one, ...others] = linkGroups(users);
  if (one === undefined)
    throw usage("No app is named.", "Give --client-id, or --config with customers that have a credential.");
  if (others.length > 0)
    throw usage(
      `The customers use ${others.length + 1} apps or clouds, and a link is for one: ${[one, ...others].map(([{ stanza }]) => stanza.tenantName).join(", ")} differ.`,
      "Choose the customers of one app with --customer NAME.",
    );
  const [{ stanza, clientId }] = one;
  const streams = [...new Set(one.flatMap((user) => user.stanza.streams))];
  const link = signInService.consentLink(
    { ...stanza, streams, tenantId: ANY_TENANT },
    clientId,
    redirectOf(flags, found),
  );
  const mail = textFlag(flags, "mail") as MailLanguage | undefined;
  terminal.out(mail === undefined ? `${link.url}\n` : signInService.consentMail(mail, undefined, link));
  terminal.say(
    `This link is for the administrators of all customers. It requests ${link.permissions.join(", ")}, and all other permissions in the app's registration.`,
  );
  terminal.say(
    "A customer that is configured is collected within 15 minutes after its consent. To see who has not consented yet, run `defender-mssp customers list --waiting`.",
  );
  return EXIT.done;
}

/** `consent-url --all --mail en --out DIR`: a mail for each customer that still lacks a permission. */
export async function consentMails(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const folder = textFlag(flags, "out");
  const language = textFlag(flags, "mail") as MailLanguage | undefined;
  if (folder === undefined || language === undefined)
    throw usage("--all writes one mail per customer.", "Give --mail LANGUAGE and --out FOLDER.");
  const found = await services.customers(flags, { needSecrets: false });
  const redirect = redirectOf(flags, found);
  const failed: Failure[] = [];
  const taken = new Set<string>();
  let mails = 0;
  await inParallel(found.stanzas, CUSTOMERS_AT_ONCE, async (customer) => {
    try {
      const stanza = await withSharedCredential(services, customer, flags);
      const credential = await credentialFor(services, stanza, flags);
      const { missing } = await signInService.consentState(stanza, credential);
      if (missing.length === 0) return;
      const link = signInService.consentLink(stanza, credential.clientId, redirect);
      const file = path.join(folder, `${fileNameOf(stanza.name, taken)}.txt`);
      const text = signInService.consentMail(language, stanza.tenantName, link);
      await services.writeSecretFile(file, sealed(text), "utf8");
      mails += 1;
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed.push(error);
      terminal.say(`${customer.tenantName}: ${error.say} ${error.nextStep}`.trimEnd());
    }
  });
  const rest = found.stanzas.length - mails - failed.length;
  terminal.say(`${mails} of ${found.stanzas.length} customers get a mail in ${folder}; ${rest} lack nothing.`);
  const [first] = failed;
  if (first === undefined) return EXIT.done;
  return failed.length < found.stanzas.length ? EXIT.someCustomers : exitCodeOf(first);
}

/**
 * `consent-url --answer ADDRESS` with several customers: says which of them consented, with the link of
 * `--any-customer` or its own.
 */
export async function whoConsented(
  services: OnboardingServices,
  found: FoundCustomers,
  address: string,
  flags: Flags,
): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const users = await appUsers(services, found, flags);
  const tenant = tenantIdFrom(queryOf(address).get("tenant") ?? "");
  const state = queryOf(address).get("state") ?? "";
  // An answer without a tenant, such as a refusal, belongs to the link whose state it carries.
  const known =
    (tenant && (await ofTenant(services, users, tenant))) ||
    users.find(({ stanza, clientId }) => signInService.isLinkState(state, stanza.tenantId, clientId));
  const link = known ?? users[0];
  if (link === undefined)
    throw usage("No app is named.", "Give --client-id, or --config with customers that have a credential.");
  const { stanza, clientId } = link;
  const isForAny = users.some((user) => signInService.isLinkState(state, ANY_TENANT, user.clientId));
  const asked = isForAny
    ? { ...stanza, tenantId: ANY_TENANT, tenantName: known === undefined ? "the customer" : stanza.tenantName }
    : stanza;
  const { tenantId } = signInService.readConsent(address, asked, clientId);
  if (known === undefined) {
    terminal.say(`Tenant ${tenantId} gave the consent, but no customer is configured with it.`);
    terminal.say("Add it with customers add, or with a line in the list that customers import reads.");
    return EXIT.someCustomers;
  }
  terminal.out(`${stanza.tenantName}\n`);
  terminal.say(
    `The address says that ${stanza.tenantName} (${tenantId}) gave the consent. To check the permissions, run \`defender-mssp doctor --customer ${JSON.stringify(stanza.name)}\`.`,
  );
  return EXIT.done;
}

function queryOf(address: string): URLSearchParams {
  try {
    const url = new URL(address.trim());
    return url.searchParams.size > 0 ? url.searchParams : new URLSearchParams(url.hash.slice(1));
  } catch {
    return new URLSearchParams();
  }
}

async function ofTenant(
  { roster }: OnboardingServices,
  users: readonly AppUser[],
  tenantId: string,
): Promise<AppUser | undefined> {
  const byId = users.find(({ stanza }) => tenantIdFrom(stanza.tenantId) === tenantId);
  if (byId !== undefined) return byId;
  for (const user of users) {
    if (tenantIdFrom(user.stanza.tenantId) !== undefined) continue;
    const found = await roster.findTenant(user.stanza, undefined).catch((error: unknown) => {
      if (!isFailure(error)) throw error;
      return undefined;
    });
    if (found?.tenantId === tenantId) return user;
  }
  return undefined;
}

/** Customers without an app are left out. Throws the first failure if none has one. */
async function appUsers(
  services: OnboardingServices,
  found: FoundCustomers,
  flags: Flags,
): Promise<readonly AppUser[]> {
  const users: AppUser[] = [];
  const failed: Failure[] = [];
  for (const stanza of found.stanzas) {
    try {
      const clientId = await clientIdOf(services, stanza, flags);
      if (clientId !== undefined) users.push({ stanza, clientId });
    } catch (error) {
      if (!isFailure(error)) throw error;
      failed.push(error);
    }
  }
  if (users.length === 0 && failed[0] !== undefined) throw failed[0];
  return users;
}

/** A link needs no secret, so it does not matter what the shared credential is bound to. */
async function clientIdOf(services: OnboardingServices, stanza: Stanza, flags: Flags): Promise<string | undefined> {
  if (stanza.clientId !== undefined || stanza.credential === undefined) return stanza.clientId;
  const stored = await (await secretPlace(services, flags)).storedCredential(stanza.credential);
  return stored?.clientId ?? (await withSharedCredential(services, stanza, flags)).clientId;
}

/** A link of an app is for no customer, so --client-id is enough for it. */
function withSomeTenant(flags: Flags): Flags {
  const isGiven = ["config", "tenant-id", "customer"].some((name) => flags[name] !== undefined);
  return isGiven ? flags : { ...flags, "tenant-id": NO_TENANT, "tenant-name": "all customers" };
}

/** Customers that one link serves: the same app in the same cloud. Its registration lists the permissions. */
function linkGroups(users: readonly AppUser[]): readonly [AppUser, ...AppUser[]][] {
  const groups = Map.groupBy(users, ({ stanza, clientId }) =>
    JSON.stringify([clientId.toLowerCase(), stanza.endpoints.loginUrl, stanza.cloud]),
  );
  return [...groups.values()] as [AppUser, ...AppUser[]][];
}

function redirectOf(flags: Flags, found: FoundCustomers): string {
  return textFlag(flags, "redirect-uri") ?? found.consentRedirect;
}

/** Letters and digits of the name, and a number where two names come to the same. */
function fileNameOf(name: string, taken: Set<string>): string {
  const plain =
    name
      .replaceAll(/[^\p{L}\p{N}_-]+/gu, "-")
      .replaceAll(/^-+|-+$/g, "")
      .slice(0, 80) || "customer";
  let file = plain;
  for (let n = 2; taken.has(file.toLowerCase()); n += 1) file = `${plain}-${n}`;
  taken.add(file.toLowerCase());
  return file;
}
