import type { TenantId } from "./tenant.ts";

/** How a customer differs from what it should be. */
export type RosterGap = "not-configured" | "not-under-contract" | "not-consented" | "silent";

export interface RosterDifference {
  readonly tenant: string;
  readonly tenant_id: string;
  readonly difference: RosterGap;
}

/** The list of customers against reality; member names are those of health events and `/status`. */
export interface RosterReport {
  readonly under_contract: number;
  readonly configured: number;
  readonly consented: number;
  readonly collected: number;
  readonly silent: number;
  readonly failure: "roster-difference" | null;
  readonly actor: "operator" | null;
  readonly say: string;
  readonly next_step: string | null;
  readonly differences: readonly RosterDifference[];
  /** Differences that are counted and not in `differences`. */
  readonly more: number;
}

/** A customer of the list, by the last reading that was believed. */
export interface ContractCustomer {
  readonly tenantId: TenantId;
  readonly name: string;
  /** Settings leave it out, so nobody expects it to be configured. */
  readonly isExcluded: boolean;
}

const NAMED_MOST = 5;

/** One sentence for each kind of difference. */
export function rosterSentences(differences: readonly RosterDifference[]): string {
  const sentences = (Object.keys(SAID) as RosterGap[]).flatMap((gap) => {
    const names = differences.filter(({ difference }) => difference === gap).map(({ tenant }) => tenant);
    if (names.length === 0) return [];
    const others = names.length > NAMED_MOST ? ` and ${names.length - NAMED_MOST} more` : "";
    const what = SAID[gap][names.length === 1 ? 0 : 1];
    return [`${names.length} ${what} (${names.slice(0, NAMED_MOST).join(", ")}${others}).`];
  });
  return sentences.length === 0 ? "The customers are as the list says." : sentences.join(" ");
}

const SAID: Readonly<Record<RosterGap, readonly [one: string, many: string]>> = {
  "not-configured": ["customer under contract is not configured", "customers under contract are not configured"],
  "not-under-contract": ["configured customer is not under contract", "configured customers are not under contract"],
  "not-consented": ["customer has not consented", "customers have not consented"],
  silent: ["customer has consented and is not collected", "customers have consented and are not collected"],
};
