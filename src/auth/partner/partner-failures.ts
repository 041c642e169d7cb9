import { Failure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import type { Json, JsonReply } from "../json-request.ts";

const RUN_AGAIN = "Run the command again; it does only what is missing.";
const ADD_ROLE =
  "Give a security group with your user the role Privileged Role Administrator in the GDAP relationship, and run the command again.";

/** The number of Partner Center's refusal of a sign-in without multi-factor authentication. */
const NO_MFA = "900421";

/** What a refusal of Partner Center means. Source: Partner Center docs, "Error codes". */
export function partnerCenterRefusal({ status, body }: JsonReply, customer: string): Failure {
  if (status === 401 && codeOf(body) === NO_MFA)
    return refusal(
      "partner-mfa-missing",
      status,
      "Partner Center requires a sign-in with multi-factor authentication",
      "Require multi-factor authentication for your user, and run the command again. A federated identity provider must send the claim amr.",
    );
  if (status === 401)
    return refusal(
      "sign-in-refused",
      status,
      "Partner Center rejected your sign-in",
      "Run the command again, and sign in with a user of your partner tenant.",
    );
  if (status === 403)
    return refusal(
      "partner-role-missing",
      status,
      `Your user is not in the group AdminAgents, or has no GDAP role that may consent for ${customer}`,
      `Add your user to AdminAgents. ${ADD_ROLE}`,
    );
  if (status === 404)
    return refusal(
      "partner-customer-unknown",
      status,
      `${customer} is not a customer of this partner account`,
      "Check `tenant_id`, or send the customer the consent link instead.",
    );
  return stepRefused("Partner Center", status, customer);
}

/** A step in the customer's directory that Microsoft Graph refuses. */
export function directoryRefusal({ status }: JsonReply, customer: string): Failure {
  if (status === 403)
    return refusal(
      "partner-role-missing",
      status,
      `The GDAP relationship with ${customer} does not give your user the role Privileged Role Administrator, which Microsoft Graph's permissions need`,
      ADD_ROLE,
    );
  return stepRefused("Microsoft Graph", status, customer);
}

function stepRefused(who: string, status: number, customer: string): Failure {
  // An access token that ended or was revoked is another one in the next run.
  const passing = status === 401 || status === 429 || status >= 500;
  return new Failure("partner-step-refused", {
    actor: passing ? "microsoft" : "us",
    retry: { when: passing ? "later" : "never" },
    status,
    say: `${who} refused a step of the consent for ${customer} with status ${status}.`,
    nextStep: passing ? RUN_AGAIN : "Send the customer the consent link instead, and report a bug.",
  });
}

function refusal(
  code: "partner-mfa-missing" | "sign-in-refused" | "partner-role-missing" | "partner-customer-unknown",
  status: number,
  say: string,
  nextStep: string,
): Failure {
  return new Failure(code, {
    actor: "operator",
    retry: { when: "never" },
    area: "sign-in",
    status,
    say: `${say}.`,
    nextStep,
  });
}

/** As a number or as text. */
function codeOf(body: Json | undefined): string {
  const code = body?.["code"];
  return typeof code === "number" || typeof code === "string" ? String(code) : "";
}

/** Is this a refusal because what was asked for is there already? Partner Center and Graph say the same. */
export function isThereAlready({ status, body }: JsonReply): boolean {
  return (
    (status === 400 || status === 409) &&
    /permission (?:entry|being assigned) already exists/i.test(JSON.stringify(body ?? {}))
  );
}

export function bridgeLeft(customer: string, why: string): Failure {
  return new Failure("bridge-left", {
    actor: "operator",
    retry: { when: "later" },
    area: "sign-in",
    say: `The bridge could not be removed from ${customer}, so it can still grant permissions there. ${why}`,
    nextStep: "Run the command again. It removes the bridge first.",
  });
}

export function stoppedBefore(customer: string): Failure {
  return new Failure("stopped", {
    actor: "us",
    retry: { when: "later" },
    say: `The run was stopped before ${customer} was begun.`,
    nextStep: RUN_AGAIN,
  });
}

export function rolesPending(customer: string): Failure {
  return new Failure("roles-pending", {
    actor: "microsoft",
    retry: { when: "later" },
    say: `The permissions are granted at ${customer}, but Microsoft does not show them in access tokens yet.`,
    nextStep: "Nothing to do. A configured customer is collected by itself.",
  });
}

const AGAIN_IN_A_BROWSER = "Run the command again, and sign in with a user who may consent for the customers.";
const EXEMPT = "The customer can exempt service provider users of your tenant from its policy.";
const OF_THE_BRIDGE = new Set<FailureCode>([
  "secret-wrong",
  "secret-expired",
  "credential-refused",
  "credential-missing",
  "secret-id-pasted",
]);
/** Conditional Access of the customer. */
const POLICIES = new Set<FailureCode>([
  "blocked-by-policy",
  "external-challenge",
  "device-not-compliant",
  "mssp-risk",
  "sign-in-frequency",
]);

type Words = { readonly say?: string; readonly nextStep: string };

/** The same failure, with what this person can do. */
function reworded(failure: Failure, code: FailureCode, actor: Failure["actor"], words: Words): Failure {
  const { say, retry, status } = failure;
  return new Failure<FailureCode>(code, {
    actor,
    retry,
    area: "sign-in",
    say: words.say ?? say,
    nextStep: words.nextStep,
    cause: failure,
    ...(status === undefined ? {} : { status }),
  });
}

/**
 * A sign-in's sentences name steps of the collector. Here a person signs in as partner, with the bridge, in a
 * customer's tenant.
 */
export function asPartner(failure: Failure, customer: string): Failure {
  const { code } = failure;
  if (code === "user-unknown")
    return reworded(failure, "user-unknown", "operator", {
      say: `Your user is a guest at ${customer}, or in no security group of the GDAP relationship.`,
      nextStep:
        "Add your user to a security group of the relationship, or correct `tenant_id`, and run the command again.",
    });
  if (code === "consent-missing" || code === "app-not-found")
    return reworded(failure, "bridge-consent-pending", "microsoft", {
      say: `Microsoft does not show the bridge's consent at ${customer} yet.`,
      nextStep: RUN_AGAIN,
    });
  return asPersons(failure);
}

/** The same in the partner's own tenant. */
export function asPartnerAtHome(failure: Failure): Failure {
  const { code } = failure;
  if (code === "app-not-found")
    return reworded(failure, code, "operator", {
      say: "The bridge does not exist in your own tenant.",
      nextStep: "Check --bridge-client-id. `defender-mssp register --bridge-app` prints how to register the app.",
    });
  if (code === "consent-missing" || code === "admin-consent-needed" || code === "consent-declined")
    return reworded(failure, code, failure.actor, {
      say: "Your own tenant has not consented to the bridge's permission for Partner Center.",
      nextStep: "Run the command again, and accept the permission as a user who may consent in your own tenant.",
    });
  return asPersons(failure);
}

function asPersons(failure: Failure): Failure {
  const { code, actor, nextStep } = failure;
  if (code === "mfa-needed")
    return reworded(failure, "partner-mfa-missing", "operator", { nextStep: `${AGAIN_IN_A_BROWSER} ${EXEMPT}` });
  if (OF_THE_BRIDGE.has(code))
    return reworded(failure, code, "operator", {
      nextStep:
        "Make a new client secret for the bridge (`defender-mssp register --bridge-app` prints the step), and run the command again.",
    });
  if (POLICIES.has(code)) return reworded(failure, code, actor, { nextStep: `${withoutCommands(nextStep)} ${EXEMPT}` });
  return nextStep.includes("defender-mssp")
    ? reworded(failure, code, actor, { nextStep: AGAIN_IN_A_BROWSER })
    : failure;
}

function withoutCommands(nextStep: string): string {
  return nextStep.includes("defender-mssp") ? AGAIN_IN_A_BROWSER : nextStep;
}
