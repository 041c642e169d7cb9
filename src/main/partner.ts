import { credentialOf } from "../auth/app-credential.ts";
import { createPartnerConsent } from "../auth/partner/partner-consent.ts";
import { exclusionOf } from "../defender/roster/discovery-rules.ts";
import type { PartnerServices } from "../model/partner-consent.ts";
import type { Clock, Http, Log } from "../model/ports.ts";
import type { SignInService } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import { openConsentJournal } from "../stores/disk/consent-journal.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { listOf } from "./discovery.ts";
import { realRandom, stopSignal } from "./world.ts";

export interface PartnerParts {
  readonly http: Http;
  readonly clock: Clock;
  readonly log: Log;
  readonly signInService: Pick<SignInService, "consentState">;
}

/** Creates what `partner consent` needs. */
export function partnerServices({ http, clock, log, signInService }: PartnerParts): PartnerServices {
  const missing = async (customer: Stanza): Promise<readonly string[]> =>
    (await signInService.consentState(customer, credentialOf(customer))).missing;
  return {
    ...createPartnerConsent({ http, clock, random: realRandom, missing }),
    missing,
    stopSignal: () => stopSignal().signal,
    openJournal: (stateDir) => openConsentJournal({ disk: realDisk, clock, platform: process.platform, log }, stateDir),
    async gdapCustomers(homeApp, settings) {
      const { tenants } = await listOf({ http, clock, log, random: realRandom }, "gdap", homeApp);
      return tenants.filter((tenant) => exclusionOf(settings, tenant, tenant.name) === undefined);
    },
  };
}
