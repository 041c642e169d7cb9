import type { ExitCode } from "../../model/failure.ts";
import { EXIT } from "../../model/failure.ts";
import type { MailLanguage, OnboardingServices } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";
import { credentialFor, oneCustomer, textFlag, usage } from "./ask.ts";
import { DEFAULT_REDIRECT_URI } from "./token-acquire.ts";

const ASK_EVERY_MS = 15_000;
const LONGEST_WAIT_MS = 24 * 3_600_000;

/**
 * `consent-url`: the link alone on standard output; `--mail`, `--answer` and `--wait` for what comes after
 * it.
 */
export async function consentUrl(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const stanza = await oneCustomer(services, flags);
  if (stanza.clientId === undefined) throw usage(`No app is named for ${stanza.tenantName}.`, "Give --client-id.");
  const answer = textFlag(flags, "answer");
  if (answer !== undefined) {
    const { tenantId } = signInService.readConsent(answer, stanza, stanza.clientId);
    terminal.say(
      `${stanza.tenantName} (${tenantId}) says that the consent was given. Whether it is enough, doctor shows.`,
    );
    return EXIT.done;
  }
  const link = signInService.consentLink(
    stanza,
    stanza.clientId,
    textFlag(flags, "redirect-uri") ?? DEFAULT_REDIRECT_URI,
  );
  const mail = textFlag(flags, "mail") as MailLanguage | undefined;
  terminal.out(mail === undefined ? `${link.url}\n` : signInService.consentMail(mail, stanza.tenantName, link));
  terminal.say(
    `For an administrator of ${stanza.tenantName}. It asks for ${link.permissions.join(", ")}, and for whatever else the app's registration lists.`,
  );
  terminal.say(`State: ${link.state}. To check the address that the browser ends on: consent-url --answer ADDRESS.`);
  return flags["wait"] === true ? waitForConsent(services, flags) : EXIT.done;
}

/** Asks the token endpoint every 15 seconds until the wanted permissions are there. */
async function waitForConsent(services: OnboardingServices, flags: Flags): Promise<ExitCode> {
  const { terminal, signInService } = services;
  const stanza = await oneCustomer(services, flags);
  const credential = await credentialFor(services, stanza, flags);
  const endsAtMs = services.nowMs() + LONGEST_WAIT_MS;
  let said = "";
  for (;;) {
    const state = await signInService.consentState(stanza, credential);
    if (state.missing.length === 0) {
      terminal.say(`${stanza.tenantName} has consented to everything.`);
      return EXIT.done;
    }
    const now = `Still missing: ${[...new Set(state.missing)].join(", ")}.${state.say ? ` ${state.say}` : ""}`;
    if (now !== said) terminal.say(now);
    said = now;
    if (services.nowMs() >= endsAtMs) return EXIT.signIn;
    await services.pause(ASK_EVERY_MS);
  }
}
