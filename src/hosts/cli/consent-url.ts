import type { ExitCode } from "../../model/failure.ts";
import { EXIT } from "../../model/failure.ts";
import type { MailLanguage, OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { Flags } from "./ask.ts";
import { credentialFor, oneCustomer, textFlag, usage, withSharedCredential } from "./ask.ts";
import { consentForAny, consentMails, whoConsented } from "./consent-many.ts";

const ASK_EVERY_MS = 15_000;
const LONGEST_WAIT_MS = 24 * 3_600_000;

/**
 * `consent-url`: only the link on standard output; `--mail`, `--answer` and `--wait` for the steps after it.
 */
export async function consentUrl(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  if (flags["any-customer"] === true && flags["answer"] === undefined) return consentForAny(services, flags);
  if (flags["all"] === true) return consentMails(services, flags);
  if (flags["out"] !== undefined) throw usage("--out belongs to --all.", "Give --all --mail LANGUAGE --out FOLDER.");
  if (flags["answer"] !== undefined && flags["customer"] === undefined) {
    const found = await services.customers(flags, { needSecrets: false });
    if (found.stanzas.length > 1 || flags["any-customer"] === true)
      return whoConsented(services, found, await addressOf(services, flags), flags);
  }
  const stanza = await withSharedCredential(services, await oneCustomer(services, flags), flags);
  if (stanza.clientId === undefined) throw usage(`No app is named for ${stanza.tenantName}.`, "Give --client-id.");
  const customer = JSON.stringify(stanza.name);
  if (flags["answer"] !== undefined) {
    const { tenantId } = signInService.readConsent(await addressOf(services, flags), stanza, stanza.clientId);
    terminal.say(
      `The address says that ${stanza.tenantName} (${tenantId}) gave the consent. To check the permissions, run \`defender-mssp doctor --customer ${customer}\`.`,
    );
    return EXIT.done;
  }
  const link = signInService.consentLink(
    stanza,
    stanza.clientId,
    textFlag(flags, "redirect-uri") ?? (await services.customers(flags, { needSecrets: false })).consentRedirect,
  );
  const mail = textFlag(flags, "mail") as MailLanguage | undefined;
  terminal.out(mail === undefined ? `${link.url}\n` : signInService.consentMail(mail, stanza.tenantName, link));
  terminal.say(
    `This link is for an administrator of ${stanza.tenantName}. It requests ${link.permissions.join(", ")}, and all other permissions in the app's registration.`,
  );
  terminal.say(
    `State: ${link.state}. To check the address that the browser ends on, run \`defender-mssp consent-url --customer ${customer} --answer\`.`,
  );
  return flags["wait"] === true ? waitForConsent(services, stanza, flags) : EXIT.done;
}

/** In a shell an address with & must be quoted; typed at the question it need not be. */
async function addressOf({ terminal }: OnboardingServices, flags: Flags): Promise<string> {
  return textFlag(flags, "answer") ?? (await terminal.ask("Address that the browser ended on:"));
}

/** Asks the token endpoint every 15 seconds until all wanted permissions are granted. */
async function waitForConsent(services: OnboardingServices, stanza: Stanza, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const credential = await credentialFor(services, stanza, flags);
  const endsAtMs = services.nowMs() + LONGEST_WAIT_MS;
  let said = "";
  for (;;) {
    const state = await signInService.consentState(stanza, credential);
    if (state.missing.length === 0) {
      terminal.say(`${stanza.tenantName} has granted all permissions.`);
      return EXIT.done;
    }
    const now = `Still missing: ${[...new Set(state.missing)].join(", ")}.${state.say ? ` ${state.say}` : ""}`;
    if (now !== said) terminal.say(now);
    said = now;
    if (services.nowMs() >= endsAtMs) return EXIT.signIn;
    await services.pause(ASK_EVERY_MS);
  }
}
