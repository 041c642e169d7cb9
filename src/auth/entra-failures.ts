import type { FailureDetail, Retry } from "../model/failure.ts";
import { Failure } from "../model/failure.ts";
import type { Actor, FailureCode } from "../model/failure-codes.ts";

/**
 * What the token endpoint's `error` makes this program do. Microsoft asks programs to branch on `error`
 * alone, never on numbers or text (Microsoft identity platform docs, "Microsoft Entra authentication &
 * authorization error codes").
 */
export interface OAuthErrorRow {
  readonly error: string;
  /**
   * `again`: a temporary failure; `person`: someone must sign in or consent; `settings`: the app or its
   * settings are wrong.
   */
  readonly means: "again" | "person" | "settings";
  readonly code: FailureCode;
  readonly actor: Actor;
  readonly say: string;
  readonly nextStep: string;
}

const SIGN_IN_AGAIN = 'Sign in again: run `defender-mssp token acquire --customer "{customer}"`.';
const SEND_CONSENT =
  'Send the customer\'s administrator the link that `defender-mssp consent-url --customer "{customer}"` prints.';
/** Where the customer is known, `storingIn` puts its own place here. */
const STORE_IT = "Store it with `defender-mssp credential set NAME` or in `client_secret`.";
/** The app has no service principal in the customer's tenant: either number says so. */
const NOT_CONSENTED = "{customer} has not consented to app {app} yet, or has removed it";
const SEND_CONSENT_OR_TENANT = `${SEND_CONSENT} If the customer has consented, check \`tenant_id\`.`;
const SIGN_IN_OR_APP_ONLY =
  'Sign in again: run `defender-mssp token acquire --customer "{customer}"`, or set `auth = app` for this customer.';

export const OAUTH_ERRORS: readonly OAuthErrorRow[] = [
  row(
    "temporarily_unavailable",
    "again",
    "entra-busy",
    "microsoft",
    "Microsoft's sign-in service is temporarily unavailable for {customer}",
    "Nothing to do. This program retries.",
  ),
  row(
    "server_error",
    "again",
    "entra-busy",
    "microsoft",
    "Microsoft's sign-in service failed for {customer}",
    "Nothing to do. This program retries.",
  ),
  row(
    "invalid_grant",
    "person",
    "signed-out",
    "operator",
    "Microsoft no longer accepts the sign-in of {customer}",
    SIGN_IN_AGAIN,
  ),
  row(
    "interaction_required",
    "person",
    "interaction-required",
    "operator",
    "Microsoft requires a person to sign in for {customer}",
    SIGN_IN_OR_APP_ONLY,
  ),
  row(
    "login_required",
    "person",
    "interaction-required",
    "operator",
    "Microsoft requires a person to sign in for {customer}",
    SIGN_IN_OR_APP_ONLY,
  ),
  row(
    "consent_required",
    "person",
    "consent-missing",
    "customer",
    "{customer} has not consented to app {app}",
    SEND_CONSENT,
  ),
  row(
    "access_denied",
    "person",
    "consent-declined",
    "customer",
    "the sign-in or the consent for {customer} was declined",
    SEND_CONSENT,
  ),
  row(
    "invalid_client",
    "settings",
    "credential-refused",
    "operator",
    "Microsoft rejected the client secret or certificate of app {app}",
    "Check `client_id`, `client_secret` and `certificate` of {customer}.",
  ),
  row(
    "unauthorized_client",
    "settings",
    "app-not-allowed",
    "operator",
    "app {app} is not allowed to sign in this way in the tenant of {customer}",
    "Check `client_id` and `tenant_id`, then check the app's manifest: `defender-mssp register --check manifest.json`.",
  ),
  row(
    "invalid_resource",
    "settings",
    "audience-wrong",
    "operator",
    "the tenant of {customer} does not know the requested API",
    "Check the settings `cloud` and `resource` of {customer}.",
  ),
  row(
    "invalid_scope",
    "settings",
    "scope-wrong",
    "operator",
    "Microsoft does not know the permission requested for {customer}",
    "Check the setting `resource` of {customer}.",
  ),
  row(
    "invalid_request",
    "settings",
    "request-refused",
    "operator",
    "Microsoft rejected the sign-in request for {customer} as malformed",
    "Check that no setting of {customer} is empty or incomplete. If all are right, report a bug.",
  ),
  row(
    "unsupported_grant_type",
    "settings",
    "request-refused",
    "us",
    "Microsoft does not support the sign-in method used for {customer}",
    "Report a bug.",
  ),
  row(
    "unsupported_response_type",
    "settings",
    "request-refused",
    "operator",
    "app {app} is not registered for this sign-in method",
    "Register the redirect URI as type Web. `defender-mssp register` prints the steps.",
  ),
  row(
    "authorization_pending",
    "again",
    "authorization-pending",
    "operator",
    "the sign-in for {customer} is not complete yet",
    "Complete the sign-in in the browser.",
  ),
  row(
    "authorization_declined",
    "person",
    "consent-declined",
    "customer",
    "the sign-in for {customer} was declined",
    SIGN_IN_AGAIN,
  ),
  row(
    "expired_token",
    "person",
    "code-expired",
    "operator",
    "the device code for {customer} expired before the sign-in was complete",
    SIGN_IN_AGAIN,
  ),
];

function row(
  error: string,
  means: OAuthErrorRow["means"],
  code: FailureCode,
  actor: Actor,
  say: string,
  nextStep: string,
): OAuthErrorRow {
  return { error, means, code, actor, say, nextStep };
}

/** Advice for an AADSTS number: it refines code, actor and words; what this program does only by `again`. */
export interface AadstsRow {
  readonly numbers: readonly number[];
  readonly code: FailureCode;
  readonly actor: Actor;
  readonly say: string;
  readonly nextStep: string;
  /** A temporary failure, although Entra sends it under an `error` that means a permanent one. */
  readonly again?: true;
}

/** Source: Microsoft identity platform docs, "Microsoft Entra authentication & authorization error codes". */
export const AADSTS: readonly AadstsRow[] = [
  advice(
    [700082, 70008],
    "signed-out",
    "operator",
    "the refresh token of {customer} expired because it was not used for too long",
    `${SIGN_IN_AGAIN} Then keep the collector running.`,
  ),
  advice(
    [700084],
    "redirect-type-spa",
    "operator",
    "the refresh token of {customer} was issued through a redirect URI of type SPA and expired after 24 hours",
    'Register the redirect URI of app {app} as type Web, then run `defender-mssp token acquire --customer "{customer}"`.',
  ),
  advice(
    [70043],
    "sign-in-frequency",
    "customer",
    "a Conditional Access policy for sign-in frequency in the tenant of {customer} ended the sign-in",
    "Ask the customer to exclude this sign-in from that policy, or set `auth = app` for this customer.",
  ),
  advice(
    [50173],
    "signed-out",
    "operator",
    "the sign-in of {customer} was revoked by a password reset or by an administrator",
    SIGN_IN_AGAIN,
  ),
  advice(
    [70000],
    "signed-out",
    "operator",
    "Microsoft does not recognise the refresh token of {customer}",
    `Check that you pasted the whole token. ${SIGN_IN_AGAIN}`,
  ),
  advice(
    [50076, 50079, 50072, 50074, 50078],
    "mfa-needed",
    "operator",
    "Microsoft requires multi-factor authentication from the user who signed in for {customer}",
    SIGN_IN_OR_APP_ONLY,
  ),
  advice(
    [50158],
    "external-challenge",
    "operator",
    "Microsoft requires the user who signed in for {customer} to pass an external security challenge",
    SIGN_IN_OR_APP_ONLY,
  ),
  advice(
    [53000, 53001, 53002],
    "device-not-compliant",
    "operator",
    "a policy of {customer} allows sign-in only from compliant devices and approved apps",
    'Sign in from an allowed device: run `defender-mssp token acquire --customer "{customer}"`, or set `auth = app` for this customer.',
  ),
  advice(
    [53003, 530032, 50131],
    "blocked-by-policy",
    "customer",
    "a Conditional Access or security policy of {customer} blocks this sign-in",
    "Ask the customer to allow app {app} from this machine's network location.",
  ),
  advice(
    [530034],
    "mssp-risk",
    "operator",
    "delegated administration for {customer} is blocked because of a risk detected in your own tenant",
    "Resolve the risk in your own tenant. This program then retries.",
  ),
  advice(
    [53011],
    "user-at-risk",
    "operator",
    "the user who signed in for {customer} is blocked because of a risk detected in the user's home tenant",
    'Resolve that user\'s risk in the home tenant, then run `defender-mssp token acquire --customer "{customer}"`.',
  ),
  advice(
    [50057],
    "user-disabled",
    "operator",
    "the user who signed in for {customer} is disabled",
    'Enable the user, or sign in as another user: run `defender-mssp token acquire --customer "{customer}"`.',
  ),
  advice(
    [50055, 50144],
    "password-expired",
    "operator",
    "the password of the user who signed in for {customer} has expired",
    'Change the password, then run `defender-mssp token acquire --customer "{customer}"`.',
  ),
  advice(
    [50034, 50020, 51004, 16000],
    "user-unknown",
    "customer",
    "the user who signed in does not exist in the tenant of {customer}",
    "Ask the customer to invite the user as a guest, or correct `tenant_id`.",
  ),
  advice(
    [50177],
    "user-unknown",
    "operator",
    "the user who signed in is a guest in the tenant of {customer}, or is in no group of the GDAP relationship",
    "Add the user to a security group of the GDAP relationship with {customer}, or correct `tenant_id`.",
  ),
  advice(
    [50105],
    "user-not-assigned",
    "customer",
    "the user who signed in is not assigned to app {app} in the tenant of {customer}",
    "Ask the customer to assign the user under Enterprise applications.",
  ),
  advice([65001], "consent-missing", "customer", "{customer} has not consented to app {app}", SEND_CONSENT),
  advice(
    [65004],
    "consent-declined",
    "customer",
    "someone at {customer} declined the consent to app {app}",
    SEND_CONSENT,
  ),
  advice(
    [90094, 90095],
    "admin-consent-needed",
    "customer",
    "only an administrator of {customer} can consent to app {app}",
    SEND_CONSENT,
  ),
  advice(
    [90099],
    "partner-access-missing",
    "customer",
    "app {app} is not authorised for delegated partner access to the tenant of {customer}",
    `${SEND_CONSENT} Or pre-consent the app through the Partner Center API.`,
  ),
  advice(
    [650057],
    "permission-not-registered",
    "operator",
    "the registration of app {app} does not list the requested API",
    "Add the permission to the registration (`defender-mssp register` prints the steps), then ask {customer} to consent again.",
  ),
  advice(
    [650052, 500011],
    "api-not-in-tenant",
    "customer",
    "the requested API does not exist in the tenant of {customer}",
    "Check that the customer has a Defender licence and opened the Defender portal once. Check `tenant_id` and `cloud`.",
  ),
  advice(
    [50001],
    "audience-wrong",
    "operator",
    "the API requested for {customer} is unknown or disabled",
    "Correct the setting `resource` of {customer}, or remove it.",
  ),
  advice([7000229], "app-not-found", "customer", NOT_CONSENTED, SEND_CONSENT_OR_TENANT),
  {
    ...advice(
      [650051],
      "entra-busy",
      "microsoft",
      "Microsoft is still adding app {app} to the tenant of {customer}",
      "Wait a minute. If the customer saw this error, it can open the consent link again. This program retries.",
    ),
    again: true,
  },
  advice(
    [700016, 700011],
    "app-not-found",
    "operator",
    "app {app} does not exist in the tenant of {customer}",
    'Check `client_id` and `tenant_id`. If both are right, make the app multi-tenant and send the customer the link that `defender-mssp consent-url --customer "{customer}"` prints.',
  ),
  advice(
    [50194],
    "app-single-tenant",
    "operator",
    "app {app} is registered for one tenant only",
    "Make the app multi-tenant (`defender-mssp register` prints the steps), or set the customer's `tenant_id`.",
  ),
  advice(
    [50011, 900971],
    "redirect-mismatch",
    "operator",
    "the redirect URI is not registered for app {app}",
    "Register exactly the URI that was used, as type Web. `defender-mssp register` prints it.",
  ),
  advice(
    [7000215],
    "secret-wrong",
    "operator",
    "Microsoft rejected the client secret of app {app}",
    `Check that you pasted the secret's value, not its ID. ${STORE_IT}`,
  ),
  advice(
    [7000222],
    "secret-expired",
    "operator",
    "the client secret of app {app} has expired",
    `Create a new client secret or certificate for the app. ${STORE_IT}`,
  ),
  advice(
    [7000218],
    "credential-missing",
    "operator",
    "no client secret or certificate was sent for app {app}, which requires one",
    'Set `client_secret`, `certificate` or `credential` of {customer}. For the device code flow, enable "Allow public client flows".',
  ),
  advice(
    [700025],
    "client-is-public",
    "operator",
    "app {app} is a public client for this sign-in, but a client secret was sent",
    'Remove `client_secret` if you used the device code flow. Otherwise disable "Allow public client flows".',
  ),
  advice(
    [700027, 50012],
    "certificate-wrong",
    "operator",
    "Microsoft rejected the certificate of app {app} or its signature",
    "Upload this certificate to the app. Check that the private key belongs to it and that this machine's clock is right.",
  ),
  advice(
    [700024],
    "clock-wrong",
    "operator",
    "Microsoft rejected the sign-in of app {app} because this machine's clock is wrong",
    "Set this machine's clock, for example by NTP. This program then retries.",
  ),
  advice(
    [700023],
    "federation-wrong",
    "operator",
    "the audience of the token that app {app} presents is not one that Microsoft accepts",
    "Remove `login_url` of {customer}, or correct the audience of the token.",
  ),
  advice([700211], "federation-wrong", "operator", unknownTo("issuer"), correctThe("issuer")),
  advice([700212], "federation-wrong", "operator", unknownTo("audience"), correctThe("audience")),
  advice([700213, 7002137, 7002138], "federation-wrong", "operator", unknownTo("subject"), correctThe("subject")),
  advice(
    [70021, 70025],
    "federation-wrong",
    "operator",
    "app {app} has no federated credential that fits the token which this machine presents",
    "Correct issuer, subject and audience under Certificates & secrets > Federated credentials of the app.",
  ),
  advice(
    [7000112, 70001],
    "app-disabled",
    "operator",
    "app {app} is disabled in the tenant of {customer}",
    "Ask the customer to enable it under Enterprise applications.",
  ),
  advice(
    [90002],
    "tenant-not-found",
    "operator",
    "the tenant of {customer} was not found; it may be in another cloud",
    "Check the settings `tenant_id` and `cloud` of {customer}.",
  ),
  advice(
    [900023],
    "tenant-not-found",
    "operator",
    "`tenant_id` of {customer} is neither a tenant's GUID nor a domain that Microsoft knows",
    "Correct the setting `tenant_id` of {customer}.",
  ),
  advice(
    [5000224],
    "tenant-gone",
    "operator",
    "the tenant of {customer} was deleted, or Microsoft has blocked it",
    "Ask the customer whether its tenant still exists. If it does not, remove {customer} from the configuration.",
  ),
  advice(
    [5000225],
    "tenant-gone",
    "customer",
    "Microsoft has blocked the tenant of {customer} because it was inactive, and deletes it after 20 days",
    "Ask an administrator of the customer to have Microsoft's support reactivate the tenant.",
  ),
  advice(
    [90038, 900382, 900432],
    "wrong-cloud",
    "operator",
    "the tenant of {customer} is in another national cloud",
    "Correct the setting `cloud`, and use an app that is registered in that cloud.",
  ),
  advice(
    [9002313, 900144, 90014],
    "request-malformed",
    "operator",
    "the sign-in request for {customer} lacks a required field",
    "Check that no setting of {customer} is empty or incomplete. If all are right, report a bug.",
  ),
  advice(
    [901002],
    "resource-sent-to-v2",
    "operator",
    "a resource was sent to the v2 sign-in endpoint, which takes a scope",
    "Omit `--resource`, or add `--v1` for an old registration.",
  ),
  advice(
    [70011, 28002, 700022],
    "scope-wrong",
    "operator",
    "the requested scope is not valid, or it names two APIs",
    "Set `resource` of {customer} to one API, without a path.",
  ),
  advice([54005], "code-used", "operator", "the sign-in code for {customer} was already used", SIGN_IN_AGAIN),
  advice(
    [50196],
    "loop-detected",
    "operator",
    "Microsoft received too many identical sign-in requests for {customer}",
    "Check that no second collector uses the same app and refresh token. This program retries with growing pauses.",
  ),
  advice(
    [90055, 90033, 90006, 90024, 50033, 50087],
    "entra-busy",
    "microsoft",
    "Microsoft's sign-in service is throttling or temporarily failing for {customer}",
    "Nothing to do. This program retries.",
  ),
  advice(
    [500021, 500022, 500212, 500213],
    "tenant-restricted",
    "customer",
    "tenant restrictions or a cross-tenant access policy block access between {customer} and your tenant",
    "Ask the administrators of both tenants to allow this access.",
  ),
];

function unknownTo(part: "issuer" | "audience" | "subject"): string {
  return `no federated credential of app {app} has the ${part} of the token that this machine presents`;
}

function correctThe(part: "issuer" | "audience" | "subject"): string {
  return `Correct the ${part} under Certificates & secrets > Federated credentials of the app. Letter case counts.`;
}

function advice(numbers: readonly number[], code: FailureCode, actor: Actor, say: string, nextStep: string): AadstsRow {
  return { numbers, code, actor, say, nextStep };
}

/** The customer and app that a sentence names. */
export interface SignInSubject {
  readonly customer: string;
  readonly clientId: string;
  /** The name of the shared credential, if the app is one. */
  readonly credential?: string | undefined;
  /** Some numbers stand for a refresh token and for a sign-in code alike. */
  readonly redeeming?: "code";
  /** The token of another issuer that was sent instead of a client secret; nothing of it is secret here. */
  readonly presented?: { readonly issuer: string; readonly subject: string; readonly audience: string };
  /** Another customer's tenant issues tokens to the app, so the app and its settings are right. */
  readonly appWorksElsewhere?: boolean;
}

/** What 700016 means of an app that works elsewhere. */
const OF_A_WORKING_APP: readonly AadstsRow[] = [
  advice([700016], "app-not-found", "customer", NOT_CONSENTED, SEND_CONSENT_OR_TENANT),
];

/** What a federated credential has to have, letter by letter. */
const AS_PRESENTED =
  'Write issuer "{issuer}", subject "{subject}" and audience "{audience}" under Certificates & secrets > Federated credentials of the app. Letter case counts.';

/** What a number means of a token of another issuer (`assertion`), where none is a client secret's. */
const OF_AN_ASSERTION: readonly AadstsRow[] = [
  advice(
    [700211],
    "federation-wrong",
    "operator",
    'no federated credential of app {app} has the issuer "{issuer}" of the token that this machine presents',
    AS_PRESENTED,
  ),
  advice(
    [700212],
    "federation-wrong",
    "operator",
    'no federated credential of app {app} has the audience "{audience}" of the token that this machine presents',
    AS_PRESENTED,
  ),
  advice(
    [700213, 7002137, 7002138],
    "federation-wrong",
    "operator",
    'no federated credential of app {app} has the subject "{subject}" of the token that this machine presents',
    AS_PRESENTED,
  ),
  advice(
    [70021, 70025],
    "federation-wrong",
    "operator",
    "app {app} has no federated credential that fits the token which this machine presents",
    AS_PRESENTED,
  ),
  advice(
    [700023],
    "federation-wrong",
    "operator",
    'Microsoft does not exchange tokens with the audience "{audience}", which the token of app {app} has',
    "Have the platform issue the token for the audience that `defender-mssp register --proof federated` prints.",
  ),
  advice(
    [700024],
    "assertion-expired",
    "operator",
    "the token that this machine presents for app {app} is not valid now",
    "Check what renews the token of `assertion`, and set this machine's clock, for example by NTP.",
  ),
  advice(
    [700027, 50012, 50013, 50027],
    "federation-wrong",
    "operator",
    "Microsoft rejected the token that this machine presents for app {app}, or its signature",
    'Check that the file of `assertion` holds a whole token of issuer "{issuer}", and that Microsoft can reach that issuer\'s keys.',
  ),
];

/** The same where the number is not known. */
const UNKNOWN_OF_AN_ASSERTION: OAuthErrorRow = row(
  "invalid_client",
  "settings",
  "credential-refused",
  "operator",
  "Microsoft rejected the token that this machine presents for app {app}",
  "Check `client_id` and `assertion` of {customer}, and the federated credential of the app.",
);

/** What a number means when Microsoft rejected a sign-in code instead of a refresh token. */
const OF_A_CODE: readonly AadstsRow[] = [
  advice(
    [70008],
    "code-expired",
    "operator",
    "the sign-in code for {customer} is older than ten minutes",
    'Begin again: run `defender-mssp token acquire --customer "{customer}"`.',
  ),
  advice(
    [70000, 9002313],
    "code-unknown",
    "operator",
    "Microsoft does not recognise the sign-in code for {customer}",
    'Run `defender-mssp token acquire --customer "{customer}"` again and copy the whole final address of the browser.',
  ),
];

export interface TokenAnswer {
  readonly status: number;
  /** The parsed JSON body; undefined when the body was not JSON. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
  /** Until when `Retry-After` asks this program to wait, by this machine's clock. */
  readonly waitUntilMs?: number;
  /** A sentence for the failure when `Retry-After` asked for more than a day. */
  readonly waitNote?: string;
}

/**
 * What an error answer of the token (or metadata) endpoint means. `error` decides what this program does;
 * the first known AADSTS number chooses the words. Never repeats `error_description`: it names users.
 */
export function failureFromEntra(answer: TokenAnswer, subject: SignInSubject): Failure {
  const error = text(answer.body?.["error"]);
  const numbers = aadstsNumbers(answer.body);
  const errors = subject.presented === undefined ? OAUTH_ERRORS : [UNKNOWN_OF_AN_ASSERTION, ...OAUTH_ERRORS];
  const byError = errors.find((candidate) => candidate.error === error);
  const rows = [
    ...(subject.redeeming === "code" ? OF_A_CODE : []),
    ...(subject.presented === undefined ? [] : OF_AN_ASSERTION),
    ...(subject.appWorksElsewhere === true ? OF_A_WORKING_APP : []),
    ...AADSTS,
  ];
  const byNumber = rows.find((candidate) => numbers.some((number) => candidate.numbers.includes(number)));
  const number = byNumber ? numbers.find((candidate) => byNumber.numbers.includes(candidate)) : numbers[0];

  const passing =
    answer.status === 429 || answer.status >= 500 || byError?.means === "again" || byNumber?.again === true;
  const retry: Retry =
    answer.waitUntilMs !== undefined && passing
      ? { when: "at", atMs: answer.waitUntilMs }
      : passing
        ? { when: "soon" }
        : { when: "never" };
  const chosen = byNumber ?? byError ?? unknownError(answer.status, error);
  const detail: FailureDetail = {
    actor: chosen.actor,
    retry,
    say: `${capital(chosen.say, subject)}${number === undefined ? "" : ` (AADSTS${number})`}.${passing && answer.waitNote ? ` ${answer.waitNote}` : ""}`,
    nextStep: filled(storingIn(chosen.nextStep, subject), subject),
    status: answer.status,
    ...(passing ? {} : { area: "sign-in" }),
    cause: new Error(support(answer)),
  };
  return new Failure(chosen.code, detail);
}

function unknownError(
  status: number,
  error: string,
): { code: FailureCode; actor: Actor; say: string; nextStep: string } {
  if (status === 429 || status >= 500) {
    return {
      code: "entra-busy",
      actor: "microsoft",
      say: `Microsoft's sign-in service answered ${status} for {customer}`,
      nextStep: "Nothing to do. This program retries.",
    };
  }
  const named = /^[a-z_]{1,40}$/.test(error) ? ` (${error})` : "";
  return {
    code: "sign-in-refused",
    actor: "operator",
    say: `Microsoft's sign-in service refused {customer} with status ${status}${named}`,
    nextStep: 'Run `defender-mssp doctor --customer "{customer}"`.',
  };
}

/** A client secret is stored where the customer has it: in the shared credential, or in its own setting. */
function storingIn(nextStep: string, { credential }: SignInSubject): string {
  return nextStep.replace(STORE_IT, () =>
    credential === undefined
      ? "Store it in `client_secret` of {customer}."
      : `Store it: run \`defender-mssp credential set ${JSON.stringify(credential)}\`.`,
  );
}

function filled(template: string, subject: SignInSubject): string {
  return template
    .replaceAll('"{customer}"', () => JSON.stringify(subject.customer))
    .replaceAll("{customer}", () => subject.customer)
    .replaceAll("{app}", () => subject.clientId)
    .replaceAll(/\{(issuer|subject|audience)\}/g, (_, part: "issuer" | "subject" | "audience") =>
      subject.presented === undefined ? part : subject.presented[part],
    );
}

/** Capitalises the first letter, unless the sentence begins with the customer's name. */
function capital(template: string, subject: SignInSubject): string {
  return filled(template.charAt(0).toUpperCase() + template.slice(1), subject);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** From `error_codes`, which may hold several; else from the text, whose first word is the number. */
function aadstsNumbers(body: Readonly<Record<string, unknown>> | undefined): readonly number[] {
  const listed = body?.["error_codes"];
  if (Array.isArray(listed)) {
    const numbers = listed.map(Number).filter((value) => Number.isInteger(value) && value > 0);
    if (numbers.length > 0) return numbers;
  }
  const named = /AADSTS(\d{4,8})/.exec(text(body?.["error_description"]));
  return named ? [Number(named[1])] : [];
}

/** The identifiers that Microsoft's support asks for; contains no personal data. */
function support(answer: TokenAnswer): string {
  const id = (name: string): string => (/^[0-9a-f-]{36}$/i.exec(text(answer.body?.[name])) ?? ["none"])[0];
  return `token endpoint: status ${answer.status}, error ${/^[a-z_]{1,40}$/.exec(text(answer.body?.["error"]))?.[0] ?? "none"}, codes ${aadstsNumbers(answer.body).join(" ") || "none"}, trace ${id("trace_id")}, correlation ${id("correlation_id")}`;
}
