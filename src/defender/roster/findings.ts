import type { Finding } from "../../model/discovered.ts";
import { Failure } from "../../model/failure.ts";

/**
 * What health events and people hear of a finding; undefined for one that only a person who looks at the
 * list cares about.
 *
 * @param enrolled the customer is being configured: it is told before that is done.
 */
export function failureOf(finding: Finding, { enrolled }: { readonly enrolled: boolean }): Failure | undefined {
  const { kind, customer, tenantId } = finding;
  const { name } = customer;
  if (kind === "found")
    return new Failure("customer-found", {
      actor: "operator",
      retry: { when: "never" },
      say: enrolled
        ? `${name} (${tenantId}) is new in the list of customers and is being configured.`
        : `${name} (${tenantId}) is in the list of customers, but is not configured, so it is not collected.`,
      nextStep: enrolled
        ? `If it has not consented yet, send it the link that \`defender-mssp consent-url --customer ${JSON.stringify(name)}\` prints.`
        : "Run `defender-mssp customers discover --apply` to collect it, or add it to `discover_exclude`.",
    });
  if (kind === "ended")
    return new Failure("customer-ended", {
      actor: "operator",
      retry: { when: "never" },
      say: `${name} (${tenantId}) left the list of customers and refuses this program. ${afterwards(finding)}`,
      nextStep: afterTheEnd(finding),
    });
  if (kind === "ending")
    return new Failure("relationship-ending", {
      actor: "operator",
      retry: { when: "never" },
      say: `The relationship with ${name} (${tenantId}) ends on ${(finding.ends ?? "").slice(0, 10)} and is not extended by itself. Collection continues.`,
      nextStep: "Extend or replace the relationship in Partner Center before that day.",
    });
  return undefined;
}

function afterwards({ customer, wasPolled }: Finding): string {
  if (wasPolled !== true) return "It was not collected.";
  if (customer.by === "discovery") return "It is no longer polled, and its checkpoints are kept for 90 days.";
  return "It was configured by a person, so it is still polled.";
}

function afterTheEnd({ customer: { by, name }, wasPolled }: Finding): string {
  if (by === "discovery") return "Nothing to do if the contract has ended. With a new relationship it is found again.";
  if (wasPolled === true)
    return `If the contract has ended, run \`defender-mssp customers remove ${JSON.stringify(name)}\`.`;
  return "Nothing to do: it is not configured.";
}
