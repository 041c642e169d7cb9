import type { HealthState } from "../model/event.ts";
import { Failure } from "../model/failure.ts";
import { type FailureCode, REFUSED_BY_OUTPUTS } from "../model/failure-codes.ts";

/** @param provider its name in the answer's warning. */
export function partialAnswer(provider: string): Failure {
  return new Failure("partial-answer", {
    actor: "microsoft",
    retry: { when: "later" },
    say: `Microsoft's answer lacks the data of one provider (206 with a warning: ${provider}). What arrived was delivered, and the next poll requests the same time range again.`,
  });
}

export type WalkWarning =
  | "link-repeats"
  | "link-elsewhere"
  | "link-refused"
  | "instant-overfull"
  | "instant-incomplete";

/** What a walk reports in health events although it continues. */
export const WALK_WARNINGS: Record<WalkWarning, (detail: string) => Failure> = {
  "link-repeats": () =>
    new Failure("link-repeats", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: "Microsoft sent a next link that was followed already. Paging continues by time, and nothing is lost.",
    }),
  "link-elsewhere": (origin) =>
    new Failure("link-elsewhere", {
      actor: "operator",
      retry: { when: "soon" },
      say: `A next link pointed to ${origin}, which is not the configured address. It was not followed and no token was sent there. Paging continues by time.`,
      nextStep: "Check graph_url and api_url, and that no proxy rewrites Microsoft's answers.",
    }),
  "link-refused": (say) =>
    new Failure("link-refused", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `A next link was refused (${say}). Paging continues by time.`,
    }),
  "instant-overfull": (when) =>
    new Failure("instant-overfull", {
      actor: "microsoft",
      retry: { when: "soon" },
      say: `More records share the instant ${when} than paging can reach. They were requested in parts, split by other properties, and all were collected.`,
    }),
  "instant-incomplete": (detail) =>
    new Failure("instant-incomplete", {
      actor: "operator",
      retry: { when: "soon" },
      say: `More records share one instant than paging can reach, and some of them may be missing: ${detail}. Each poll whose lookback includes this time requests them again.`,
      nextStep:
        "Compare what arrived with the Defender portal at that time, and report this sentence as a bug of defender-mssp.",
    }),
};

const AWAITING_CONSENT = new Set<FailureCode>([
  "admin-consent-needed",
  "consent-declined",
  "consent-missing",
  "partner-access-missing",
]);
const MISCONFIGURED = new Set<FailureCode>([
  "assertion-unusable",
  "ca-file-unusable",
  "certificate-unusable",
  "credential-missing",
  "endpoint-changed",
  "hunting-queries-wrong",
  "identity-refused",
  "proxy-unusable",
  "secret-damaged",
  "secret-file-refused",
  "secret-missing",
  "settings",
]);

const OF_SETTINGS_ALONE = new Set<FailureCode>(["hunting-queries-wrong", "settings"]);

/** The state of a stream that cannot go on because of this failure. */
export function stateAfter({ code, actor, area }: Failure): HealthState {
  if (AWAITING_CONSENT.has(code) || (code === "app-not-found" && actor === "customer")) return "awaiting-consent";
  if (MISCONFIGURED.has(code)) return "misconfigured";
  return area === "sign-in" ? "signed-out" : "failing";
}

/** May another credential, a file that can be read again, or a consent end this failure? */
export function concernsSignIn(failure: Failure): boolean {
  const isMissing = MISCONFIGURED.has(failure.code) || AWAITING_CONSENT.has(failure.code);
  return failure.area === "sign-in" || isMissing;
}

/** May an output that accepts events again end this failure? */
export function concernsOutput(failure: Failure): boolean {
  return REFUSED_BY_OUTPUTS.has(failure.code);
}

/** Does a credential fail here, or its file? Consent that a customer has to give does not count. */
export function isCredentialFailure(failure: Failure): boolean {
  const state = stateAfter(failure);
  return state === "signed-out" || (state === "misconfigured" && !OF_SETTINGS_ALONE.has(failure.code));
}

/** @param stream undefined: nothing of the customer could begin, because its tenant is not known yet. */
export function noAnswerYet(customer: string, stream: string | undefined, forMs: number): Failure {
  const what = stream === undefined ? "the question for its tenant" : `the first question for its ${stream}`;
  return new Failure("network-timeout", {
    actor: "microsoft",
    retry: { when: "soon" },
    say: `${customer}: no answer for ${Math.round(forMs / 1000)} s to ${what}. This program goes on waiting and asking.`,
    nextStep: `Check the firewall and the proxy. Then run \`defender-mssp doctor --customer ${JSON.stringify(customer)}\`.`,
  });
}

/**
 * The sink is gone, or the state folder is damaged beyond repair: no customer can be collected. A damaged
 * file of a stored secret concerns only those who sign in with it.
 */
export function endsTheProcess({ code, area }: Failure): boolean {
  return code === "host-gone" || (code === "state-damaged" && area !== "sign-in") || code === "state-unsettled";
}

export function stopped(): Failure {
  return new Failure("stopped", { actor: "us", retry: { when: "never" }, say: "The walk was stopped on request." });
}
