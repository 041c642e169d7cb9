/** Who must act so that a failure goes away. */
export type Actor = "microsoft" | "customer" | "operator" | "us";

/** Who must act, as commands, docs, forms and pages write it. */
export const WHO_ACTS = {
  microsoft: "Microsoft",
  customer: "the customer",
  operator: "you",
  us: "this program",
} as const satisfies Readonly<Record<Actor, string>>;

/** How a command ends; `EXIT` in failure.ts has the numbers. */
export type ExitName = "ourFault" | "usage" | "signIn" | "microsoft" | "host" | "state";

/** What one failure code means to the person who reads it. `docs/failures.md` is made of these rows. */
export interface FailureEntry {
  /** What happened, and what the program does now where that is not plain. */
  readonly meaning: string;
  /** One action, in the imperative. */
  readonly action: string;
  /** Who may have to act: more than one where the code has several causes. Each failure names one of them. */
  readonly actors: readonly Actor[];
  /**
   * Settings (or members of the file of hunting queries) of which one is wrong or missing. Each failure with
   * this code names at least one of them in its sentence or its next step.
   */
  readonly settings?: readonly string[];
  /** How a command ends that ends with this failure; by actor where that decides. */
  readonly exit: ExitName | Readonly<Partial<Record<Actor, ExitName>>>;
}

/**
 * Every failure code there is. A code is stable: it stands in health events (`failure`), in the log and in
 * `doctor --json`. The sentence beside it may change with any release, the code may not.
 */
export const FAILURE_CODES = {
  // The sign-in service refuses.
  "admin-consent-needed": {
    meaning: "Only an administrator of the customer can consent to the app.",
    action: "Send the customer's administrator the link: `defender-mssp consent-url --customer CUSTOMER`.",
    actors: ["customer"],
    exit: "signIn",
  },
  "api-not-in-tenant": {
    meaning: "The API does not exist in the customer's tenant.",
    action: "Check that the customer has a Defender licence and opened its portal once. Check `tenant_id` and `cloud`.",
    actors: ["customer"],
    settings: ["tenant_id", "cloud"],
    exit: "signIn",
  },
  "app-disabled": {
    meaning: "The app is disabled in the customer's tenant.",
    action: "Ask the customer to enable the app under Enterprise applications.",
    actors: ["operator"],
    exit: "signIn",
  },
  "app-not-allowed": {
    meaning: "The app may not sign in this way in the customer's tenant.",
    action: "Check `client_id`, `tenant_id` and the app registration: `defender-mssp register --check manifest.json`.",
    actors: ["operator"],
    settings: ["client_id", "tenant_id"],
    exit: "signIn",
  },
  "app-not-found": {
    meaning: "The app does not exist in the customer's tenant: usually the customer has not consented yet.",
    action:
      "Send the customer's administrator the link: `defender-mssp consent-url --customer CUSTOMER`. If it has consented, check `client_id` and `tenant_id`.",
    actors: ["customer", "operator"],
    settings: ["client_id", "tenant_id"],
    exit: "signIn",
  },
  "app-single-tenant": {
    meaning: "The app is registered for one tenant only.",
    action: "Make the app multi-tenant, or write the customer's `tenant_id`.",
    actors: ["operator"],
    settings: ["tenant_id"],
    exit: "signIn",
  },
  "audience-wrong": {
    meaning: "The customer's tenant does not know the API that was asked for.",
    action: "Correct `resource`, or remove it. Check `cloud`.",
    actors: ["operator"],
    settings: ["resource", "cloud"],
    exit: "signIn",
  },
  "authorization-pending": {
    meaning: "Nobody completed the sign-in with the device code yet.",
    action: "Complete the sign-in in the browser.",
    actors: ["operator"],
    exit: "signIn",
  },
  "blocked-by-policy": {
    meaning: "A Conditional Access or security policy of the customer blocks the sign-in.",
    action: "Ask the customer to allow the app from this machine's network location.",
    actors: ["customer"],
    exit: "signIn",
  },
  "bridge-consent-pending": {
    meaning: "Microsoft does not show the consent of the bridge at a customer yet.",
    action: "Run `partner consent` again; it does only what is missing.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "bridge-left": {
    meaning: "The bridge could not be removed from a customer, so it can still grant permissions there.",
    action: "Run `partner consent` again. It removes the bridge first.",
    actors: ["operator"],
    exit: "signIn",
  },
  "certificate-wrong": {
    meaning: "Microsoft does not accept the app's certificate or its signature.",
    action:
      "Upload the file of `certificate` to the app. Check that its key belongs to it, and check this machine's clock.",
    actors: ["operator"],
    settings: ["certificate"],
    exit: "signIn",
  },
  "client-is-public": {
    meaning: "The app signs in as a public client, but a client secret was sent.",
    action: 'Switch off "Allow public client flows" in the app registration.',
    actors: ["operator"],
    exit: "signIn",
  },
  "code-expired": {
    meaning: "The device code or the sign-in code was not used in time.",
    action: "Sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "code-unknown": {
    meaning: "Microsoft does not know the sign-in code.",
    action: "Sign in again, and copy the whole address that the browser ends on.",
    actors: ["operator"],
    exit: "signIn",
  },
  "code-used": {
    meaning: "The sign-in code was used before.",
    action: "Sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "consent-declined": {
    meaning: "Somebody declined the sign-in or the consent.",
    action: "Send the customer's administrator the link: `defender-mssp consent-url --customer CUSTOMER`.",
    actors: ["customer"],
    exit: "signIn",
  },
  "consent-missing": {
    meaning: "The customer has not consented to the app, or not to a permission that a stream needs.",
    action: "Send the customer's administrator the link: `defender-mssp consent-url --customer CUSTOMER`.",
    actors: ["customer"],
    exit: "signIn",
  },
  "credential-refused": {
    meaning: "Microsoft rejected the client secret, the certificate or the assertion of the app.",
    action: "Check `client_id` and `client_secret`, `certificate` or `assertion`.",
    actors: ["operator"],
    settings: ["client_id", "client_secret", "certificate", "assertion"],
    exit: "signIn",
  },
  "device-not-compliant": {
    meaning: "A policy of the customer allows only compliant devices and approved apps to sign in.",
    action: "Sign in from an allowed device, or set `auth = app` for this customer.",
    actors: ["operator"],
    settings: ["auth"],
    exit: "signIn",
  },
  "entra-busy": {
    meaning: "Microsoft's sign-in service is busy or failing.",
    action: "Wait. The sign-in is retried.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "external-challenge": {
    meaning: "Microsoft wants the signed-in user to pass an external security challenge.",
    action: "Sign in again in a browser, or set `auth = app` for this customer.",
    actors: ["operator"],
    settings: ["auth"],
    exit: "signIn",
  },
  "federation-wrong": {
    meaning: "No federated credential of the app fits the token that this machine presents.",
    action: "Correct issuer, subject and audience under Certificates & secrets > Federated credentials of the app.",
    actors: ["operator"],
    exit: "signIn",
  },
  "interaction-required": {
    meaning: "Microsoft wants a person to sign in.",
    action: "Sign in again: `defender-mssp token acquire --customer CUSTOMER`. Or set `auth = app` for this customer.",
    actors: ["operator"],
    settings: ["auth"],
    exit: "signIn",
  },
  "loop-detected": {
    meaning: "Microsoft saw too many identical sign-in requests.",
    action: "Check that no second collector uses the same app and refresh token.",
    actors: ["operator"],
    exit: "signIn",
  },
  "mfa-needed": {
    meaning: "Microsoft wants multi-factor authentication from the signed-in user.",
    action: "Sign in again in a browser, or set `auth = app` for this customer.",
    actors: ["operator"],
    settings: ["auth"],
    exit: "signIn",
  },
  "mssp-risk": {
    meaning: "Delegated administration is blocked because of a risk found in your own tenant.",
    action: "Clear the risk in your own tenant. The sign-in is retried.",
    actors: ["operator"],
    exit: "signIn",
  },
  "partner-access-missing": {
    meaning: "The app is not authorised for delegated partner access to the customer's tenant.",
    action:
      "Send the customer's administrator the link: `defender-mssp consent-url --customer CUSTOMER`. Or consent for the customer as partner.",
    actors: ["customer"],
    exit: "signIn",
  },
  "partner-customer-unknown": {
    meaning: "Partner Center does not list the customer among those of your partner account.",
    action: "Check `tenant_id`, or send the customer the consent link.",
    actors: ["operator"],
    settings: ["tenant_id"],
    exit: "signIn",
  },
  "partner-mfa-missing": {
    meaning: "Partner Center, or a customer's policy, requires multi-factor authentication from the partner's user.",
    action: "Require multi-factor authentication for your user, and run `partner consent` again.",
    actors: ["operator"],
    exit: "signIn",
  },
  "partner-role-missing": {
    meaning: "Your user may not grant permissions at the customer.",
    action:
      "Add your user to AdminAgents, and to a security group with the role Privileged Role Administrator in the GDAP relationship.",
    actors: ["operator"],
    exit: "signIn",
  },
  "partner-step-refused": {
    meaning: "Partner Center or Microsoft Graph refused a step of `partner consent`.",
    action: "Run the command again; it does only what is missing. Or send the customer the consent link.",
    actors: ["microsoft", "us"],
    exit: { microsoft: "microsoft", us: "ourFault" },
  },
  "password-expired": {
    meaning: "The password of the signed-in user has expired.",
    action: "Change the password, then sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "permission-not-registered": {
    meaning: "The app registration does not list the API among its permissions.",
    action: "Add the permission that `defender-mssp register` names, then ask the customer to consent again.",
    actors: ["operator"],
    exit: "signIn",
  },
  "redirect-mismatch": {
    meaning: "The redirect URI is not registered for the app.",
    action: "Register exactly the URI that was used, as type Web. `defender-mssp register` prints it.",
    actors: ["operator"],
    exit: "signIn",
  },
  "redirect-type-spa": {
    meaning: "The refresh token came through a redirect URI of type SPA. Such tokens end after 24 hours.",
    action:
      "Register the redirect URI as type Web, then sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "request-malformed": {
    meaning: "Microsoft misses a field in the sign-in request.",
    action: "Check that no setting of the customer is empty or cut off. If all are right, report a bug.",
    actors: ["operator"],
    exit: "signIn",
  },
  "request-refused": {
    meaning: "Microsoft calls the sign-in request malformed, or does not know this way of signing in.",
    action: "Check the customer's settings and the app registration. If they are right, report a bug.",
    actors: ["operator", "us"],
    exit: "signIn",
  },
  "resource-sent-to-v2": {
    meaning: "The v2 sign-in endpoint received a resource instead of a scope.",
    action: "Remove `--resource`, or add `--v1` for an old app registration.",
    actors: ["operator"],
    exit: "signIn",
  },
  "roles-pending": {
    meaning: "The permissions are granted, but Microsoft does not show them in access tokens yet.",
    action: "Nothing to do. A configured customer is collected by itself.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "scope-wrong": {
    meaning: "The permission that was asked for is not valid, or names two APIs.",
    action: "Correct `resource`: one API, without a path.",
    actors: ["operator"],
    settings: ["resource"],
    exit: "signIn",
  },
  "secret-expired": {
    meaning: "The client secret of the app has expired.",
    action: "Make a new client secret and store it: `defender-mssp credential set NAME`, or `client_secret`.",
    actors: ["operator"],
    settings: ["client_secret"],
    exit: "signIn",
  },
  "secret-wrong": {
    meaning: "Microsoft rejected the client secret of the app. Often its ID was pasted instead of its value.",
    action: "Paste the value of the client secret: `defender-mssp credential set NAME`, or `client_secret`.",
    actors: ["operator"],
    settings: ["client_secret"],
    exit: "signIn",
  },
  "sign-in-frequency": {
    meaning: "A Conditional Access sign-in frequency of the customer ended the sign-in.",
    action: "Ask the customer to exclude this sign-in from that policy, or set `auth = app` for this customer.",
    actors: ["customer"],
    settings: ["auth"],
    exit: "signIn",
  },
  "sign-in-refused": {
    meaning: "Microsoft's sign-in service refused the customer for a reason that this program does not know.",
    action: "Run `defender-mssp doctor --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "signed-out": {
    meaning: "Microsoft no longer accepts the customer's refresh token: it has expired, was revoked, or is unknown.",
    action: "Sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "tenant-gone": {
    meaning: "The customer's tenant was deleted, or Microsoft has blocked it because nobody used it.",
    action: "Ask the customer. If the tenant is gone, remove the customer from the configuration.",
    actors: ["customer", "operator"],
    exit: "signIn",
  },
  "tenant-not-found": {
    meaning: "Microsoft does not know the customer's tenant. Often it is in another cloud.",
    action: "Check `tenant_id` and `cloud`.",
    actors: ["operator"],
    settings: ["tenant_id", "cloud"],
    exit: "signIn",
  },
  "tenant-restricted": {
    meaning: "Tenant restrictions or a cross-tenant access policy separate the customer's tenant and yours.",
    action: "Ask the administrators of both tenants to allow this access.",
    actors: ["customer"],
    exit: "signIn",
  },
  "user-at-risk": {
    meaning: "The signed-in user is blocked because of a risk found in the user's home tenant.",
    action: "Clear that user's risk there, then sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "user-disabled": {
    meaning: "The signed-in user is disabled.",
    action: "Enable the user, or sign in with another one: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "user-not-assigned": {
    meaning: "The signed-in user is not assigned to the app in the customer's tenant.",
    action: "Ask the customer to assign the user under Enterprise applications.",
    actors: ["customer"],
    exit: "signIn",
  },
  "user-unknown": {
    meaning: "The signed-in user has no access to the customer's tenant.",
    action:
      "Ask the customer to invite the user, add the user to a group of the GDAP relationship, or correct `tenant_id`.",
    actors: ["customer", "operator"],
    settings: ["tenant_id"],
    exit: "signIn",
  },
  "wrong-cloud": {
    meaning: "The customer's tenant is in another cloud than the setting says.",
    action: "Correct `cloud`, and use an app that is registered in that cloud.",
    actors: ["operator"],
    settings: ["cloud"],
    exit: "signIn",
  },

  // Signing in, on our side of it.
  "assertion-expired": {
    meaning: "The token that the app presents instead of a client secret is not valid any more, or not yet.",
    action: "Check what renews the file of `assertion`, and this machine's clock. The file is read at each sign-in.",
    actors: ["operator"],
    settings: ["assertion"],
    exit: "signIn",
  },
  "assertion-unusable": {
    meaning: "The file of the token that the app presents cannot be read, is empty, or holds no complete token.",
    action: "Check what writes the file of `assertion`. It is read at each sign-in.",
    actors: ["operator"],
    settings: ["assertion"],
    exit: "signIn",
  },
  "certificate-expired": {
    meaning: "The certificate of the app has expired.",
    action: "Make a new certificate, upload it to the app, and put it into the file of `certificate`.",
    actors: ["operator"],
    settings: ["certificate"],
    exit: "signIn",
  },
  "certificate-not-yet-valid": {
    meaning: "The certificate of the app is not valid yet.",
    action: "Check this machine's clock and the file of `certificate`.",
    actors: ["operator"],
    settings: ["certificate"],
    exit: "signIn",
  },
  "certificate-unusable": {
    meaning:
      "The certificate file cannot be read, lacks the certificate or the key, or holds a key of another certificate.",
    action: "Put the certificate and its private key, not encrypted, into the PEM file of `certificate`.",
    actors: ["operator"],
    settings: ["certificate"],
    exit: "signIn",
  },
  "clock-wrong": {
    meaning: "This machine's clock is more than five minutes wrong, so tokens and certificates are refused.",
    action: "Set this machine's clock (NTP).",
    actors: ["operator"],
    exit: "microsoft",
  },
  "consent-other-link": {
    meaning: "The answer belongs to a consent link of another customer or app.",
    action: "Send the link that `defender-mssp consent-url --customer CUSTOMER` prints.",
    actors: ["operator"],
    exit: "signIn",
  },
  "consent-other-tenant": {
    meaning: "Another tenant gave the consent, not the customer's.",
    action: "Ask the customer to open the link with an administrator of the customer's tenant.",
    actors: ["operator"],
    exit: "signIn",
  },
  "consent-unreadable": {
    meaning: "The pasted address is not the answer to a consent, or the consent was not given.",
    action: "Open the link again, accept, and paste the whole address that the browser ends on.",
    actors: ["operator"],
    exit: "signIn",
  },
  "credential-expiring": {
    meaning: "A refresh token was not used for 60 days, or a certificate or client secret ends within 60 days.",
    action:
      "Sign in again: `defender-mssp token acquire --customer CUSTOMER`. For an app, store a new one: `defender-mssp credential set NAME`.",
    actors: ["operator"],
    exit: "usage",
  },
  "credential-missing": {
    meaning: "The customer has no client secret, certificate or assertion, or the shared credential is not stored.",
    action:
      "Set `client_secret`, `certificate` or `assertion`, or store the `credential`: `defender-mssp credential set NAME`.",
    actors: ["operator"],
    settings: ["credential", "client_secret", "certificate", "assertion"],
    exit: "signIn",
  },
  "endpoint-changed": {
    meaning:
      "An address, the proxy or the CA file is another one than the secret was stored for, so the secret is not sent there.",
    action:
      "If you made the change, run `defender-mssp credential reseal --customer CUSTOMER`. If not, find out who edited the settings.",
    actors: ["operator"],
    settings: ["login_url", "graph_url", "api_url", "siem_url", "partnercenter_url", "proxy", "ca_file"],
    exit: "signIn",
  },
  "identity-refused": {
    meaning: "Azure gives this machine no token for the managed identity.",
    action: "Assign the user-assigned identity to this machine, or correct its client ID in `assertion`.",
    actors: ["operator"],
    settings: ["assertion"],
    exit: "signIn",
  },
  "identity-unavailable": {
    meaning: "Azure's managed identity endpoint cannot be reached, is busy, or gives no complete token.",
    action:
      "Run this program on an Azure machine that has the identity of `assertion`. A busy endpoint is asked again.",
    actors: ["microsoft", "operator"],
    settings: ["assertion"],
    exit: { microsoft: "microsoft", operator: "signIn" },
  },
  "graph-forbidden": {
    meaning: "The token on standard input may not register applications.",
    action: "Sign in with a user who has the role Application Administrator.",
    actors: ["operator"],
    exit: "signIn",
  },
  "graph-refused": {
    meaning: "Microsoft Graph refused a step of `register --apply`.",
    action: "Run it again, or follow the portal steps that `defender-mssp register` prints.",
    actors: ["microsoft", "us"],
    exit: { microsoft: "microsoft", us: "ourFault" },
  },
  "graph-token-refused": {
    meaning: "Microsoft Graph rejected the token on standard input.",
    action: "Get a new one: `az account get-access-token --resource-type ms-graph --query accessToken --output tsv`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "not-signed-in": {
    meaning: "The customer signs in with a refresh token, but none is stored.",
    action: "Sign in: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "other-tenant": {
    meaning: "The sign-in was at another tenant than the customer's.",
    action: "Sign in again with an account that is a member or guest of the customer's tenant.",
    actors: ["operator"],
    exit: "signIn",
  },
  "permission-differs": {
    meaning: "An API offers a permission under another id than Microsoft publishes, so it is not requested or granted.",
    action: "Check `graph_url`, and check that no proxy answers instead of Microsoft.",
    actors: ["operator"],
    settings: ["graph_url"],
    exit: "signIn",
  },
  "permission-unknown": {
    meaning: "The API in your tenant does not offer a permission that the streams need.",
    action: "Check `--cloud`. Your own tenant may lack a Defender licence.",
    actors: ["operator"],
    exit: "usage",
  },
  "permissions-unneeded": {
    meaning:
      "The customer granted permissions that none of its streams needs. It is reported once; collection goes on.",
    action:
      "Remove them from the app registration if nothing else needs them: `defender-mssp register --check manifest.json`.",
    actors: ["operator"],
    exit: "usage",
  },
  "port-taken": {
    meaning: "Another program uses the port that the browser returns to after the sign-in.",
    action: "Stop that program, or paste the address: `defender-mssp token acquire --customer CUSTOMER --way paste`.",
    actors: ["operator"],
    exit: "usage",
  },
  "public-client-off": {
    meaning: "The app registration does not allow the device code flow.",
    action: 'Switch on "Allow public client flows" in the app registration, or sign in without `--device-code`.',
    actors: ["operator"],
    exit: "signIn",
  },
  "redirect-other": {
    meaning: "The pasted address is not the redirect URI.",
    action: "Wait until the browser has left Microsoft's pages, then copy the address.",
    actors: ["operator"],
    exit: "signIn",
  },
  "redirect-other-sign-in": {
    meaning: "The pasted address belongs to another sign-in.",
    action: "Open the printed link in a new tab, and copy the address that the browser ends on.",
    actors: ["operator"],
    exit: "signIn",
  },
  "redirect-unreadable": {
    meaning: "The pasted text is not an address, or it holds no sign-in code.",
    action: "Copy the whole address from the browser's address bar. It ends in `code=…` and `state=…`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "refresh-token-missing": {
    meaning: "Microsoft signed the user in but sent no refresh token.",
    action: "Check that the app has the permission offline_access, then sign in again.",
    actors: ["operator"],
    exit: "signIn",
  },
  "roster-difference": {
    meaning:
      "The list of customers and reality differ: somebody under contract is not configured, not consented or silent, or somebody configured is not under contract.",
    action: "Run `defender-mssp customers list --against` to see all of them.",
    actors: ["operator"],
    exit: "usage",
  },
  "secret-id-pasted": {
    meaning: "The ID of a client secret was given instead of its value.",
    action: "Make a new client secret under Certificates & secrets, and copy the column Value.",
    actors: ["operator"],
    exit: "signIn",
  },
  "sign-in-timed-out": {
    meaning: "Nobody completed the sign-in within five minutes.",
    action: "Sign in again: `defender-mssp token acquire --customer CUSTOMER`.",
    actors: ["operator"],
    exit: "signIn",
  },
  "token-unfit": {
    meaning: "The access token is for another tenant, app or API, or is not valid now.",
    action: "Do what the failure names; `defender-mssp doctor --customer CUSTOMER` prints it.",
    actors: ["operator"],
    exit: "signIn",
  },
  "v1-needs-key": {
    meaning: "The v1 sign-in works with a client secret only, and the app has a certificate.",
    action: "Give the client secret, or remove `--v1`.",
    actors: ["operator"],
    exit: "signIn",
  },

  // The APIs' answers.
  "api-gone": {
    meaning: "Microsoft has switched this API off.",
    action: "Move the customer to the streams `alerts` and `incidents`.",
    actors: ["microsoft"],
    settings: ["streams"],
    exit: "microsoft",
  },
  "bad-answer": {
    meaning: "An answer was not what was asked for: not JSON, cut off, too long, or a redirect.",
    action:
      "Check whether a proxy or firewall answers in Microsoft's place. If it stays, run `defender-mssp doctor --customer CUSTOMER`.",
    actors: ["microsoft", "operator", "us"],
    exit: "microsoft",
  },
  "claims-challenge": {
    meaning: "The customer's Conditional Access asks for more than this sign-in can give.",
    action: "Ask the customer to exclude the app from that policy, or set `auth = app` for this customer.",
    actors: ["customer"],
    settings: ["auth"],
    exit: "signIn",
  },
  "feature-disabled": {
    meaning: "The customer's tenant does not allow this call.",
    action: "Ask the customer to enable the feature in the Defender portal, or remove the stream from `streams`.",
    actors: ["customer"],
    settings: ["streams"],
    exit: "signIn",
  },
  forbidden: {
    meaning: "The API gives this sign-in no access to the customer.",
    action: "Ask the customer to consent to the named permissions. A user also needs the role Security Reader.",
    actors: ["customer"],
    exit: "signIn",
  },
  "licence-missing": {
    meaning: "The customer has no licence for the API.",
    action: "Ask the customer to license Microsoft Defender, or remove the stream from `streams`.",
    actors: ["customer"],
    settings: ["streams"],
    exit: "signIn",
  },
  "not-provisioned": {
    meaning: "Defender is not set up in the customer's tenant.",
    action:
      "Ask an administrator of the customer to open the Defender portal once, or remove the stream from `streams`.",
    actors: ["customer"],
    settings: ["streams"],
    exit: "signIn",
  },
  refused: {
    meaning: "The API rejected our request, or does not know its address.",
    action: "With status 404 or 405, check `cloud`, `graph_url` and `api_url`. Otherwise report the sentence as a bug.",
    actors: ["us", "operator"],
    exit: { us: "ourFault", operator: "usage" },
  },
  "service-error": {
    meaning: "The API failed.",
    action: "Wait. The request is retried. If it stays, open a case with Microsoft and quote the tracking id.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  throttled: {
    meaning: "The API asks this program to slow down for this customer.",
    action: "Wait. If it stays, find the other program that uses the same app for this customer.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  unauthorised: {
    meaning: "The API rejected the access token, and a renewed one too.",
    action: "Run `defender-mssp doctor --customer CUSTOMER`. It checks audience, tenant, cloud and clock.",
    actors: ["operator"],
    exit: "signIn",
  },

  // The network.
  "address-not-https": {
    meaning: "An address is not https. Tokens travel over https only.",
    action: "Write an https address in `login_url`, `graph_url`, `api_url`, `siem_url` or `partnercenter_url`.",
    actors: ["operator"],
    settings: ["login_url", "graph_url", "api_url", "siem_url", "partnercenter_url"],
    exit: "usage",
  },
  "ca-file-unusable": {
    meaning: "The CA file cannot be read, or holds no valid certificate.",
    action: "Name a readable PEM file in `ca_file`.",
    actors: ["operator"],
    settings: ["ca_file"],
    exit: "usage",
  },
  "connection-reset": {
    meaning: "The connection to a host or to the proxy broke before the answer was complete.",
    action: "Wait. The request is retried. If it stays, check the firewall and the proxy.",
    actors: ["microsoft", "operator"],
    exit: "microsoft",
  },
  "dns-failed": {
    meaning: "A host name could not be resolved.",
    action: "Check the address settings and this machine's DNS, and set `proxy` if this network needs one.",
    actors: ["operator"],
    settings: ["proxy"],
    exit: "microsoft",
  },
  "network-timeout": {
    meaning: "A customer's first answer has not come within 60 seconds of the start. The program goes on asking.",
    action: "Check the firewall and the proxy. Then run `defender-mssp doctor --customer CUSTOMER`.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "network-unreachable": {
    meaning: "A host could not be reached from this machine.",
    action: "Check the firewall, and set `proxy` if this network needs one.",
    actors: ["operator"],
    settings: ["proxy"],
    exit: "microsoft",
  },
  "proxy-refused": {
    meaning: "The proxy requires a login, rejected the login, or refused to connect.",
    action:
      "Write the login in `proxy` as http://user:password@host:port, or have the proxy allow CONNECT to the host.",
    actors: ["operator"],
    settings: ["proxy"],
    exit: "microsoft",
  },
  "proxy-unusable": {
    meaning: "The proxy is not an http or https address.",
    action: "Write `proxy` as http://host:port.",
    actors: ["operator"],
    settings: ["proxy"],
    exit: "usage",
  },
  stopped: {
    meaning: "The program was stopped while this was under way.",
    action: "Nothing to do. The next start continues.",
    actors: ["us"],
    exit: "ourFault",
  },
  "timed-out": {
    meaning: "A host or the proxy did not answer in time.",
    action: "Wait. The request is retried. If it stays, check the firewall and the proxy.",
    actors: ["microsoft", "operator"],
    exit: "microsoft",
  },
  "tls-failed": {
    meaning: "This machine and a host could not agree on TLS.",
    action: "Check that the address and port speak https and that no proxy intercepts the connection.",
    actors: ["operator"],
    exit: "microsoft",
  },
  "tls-untrusted": {
    meaning: "The certificate of a host is not trusted, not valid now, too weak, or for another name.",
    action: "If your own proxy inspects TLS, put its CA certificate into a PEM file and name the file in `ca_file`.",
    actors: ["operator"],
    settings: ["ca_file"],
    exit: "microsoft",
  },

  // Collecting.
  defect: {
    meaning: "Something unexpected failed in this program.",
    action: "Report the log line as a bug. The customer is retried.",
    actors: ["us"],
    exit: "ourFault",
  },
  "instant-incomplete": {
    meaning:
      "More records share one instant than paging can reach, and splitting the instant by other properties did not reach all of them.",
    action:
      "Compare what arrived with the Defender portal at the time that the sentence names, and report it as a bug.",
    actors: ["operator"],
    exit: "microsoft",
  },
  "instant-overfull": {
    meaning:
      "More records share one instant than paging can reach. The program split the instant by other properties, and collected all of them.",
    action: "Nothing to do. Collection continues.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "link-elsewhere": {
    meaning:
      "A next link pointed to another host. It was not followed, and no token was sent. Paging continues by time.",
    action: "Check whether a proxy rewrites answers. If none does, check `graph_url` and `api_url`.",
    actors: ["operator"],
    settings: ["graph_url", "api_url"],
    exit: "usage",
  },
  "link-refused": {
    meaning: "Microsoft refused its own next link. Paging continues by time.",
    action: "Nothing to do. Collection continues.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "link-repeats": {
    meaning: "Microsoft sent a next link that was followed already. Paging continues by time.",
    action: "Nothing to do. Nothing is lost.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "partial-answer": {
    meaning: "Microsoft answered without one of its providers. What came is delivered, and the next poll asks again.",
    action: "Nothing to do unless it stays. Then open a case with Microsoft.",
    actors: ["microsoft"],
    exit: "microsoft",
  },
  "record-quarantined": {
    meaning: "One record could not be fetched, read or delivered. Everything else is delivered.",
    action: "Where the record is too large, raise `record_max_mib`. Otherwise report its id and hash to Microsoft.",
    actors: ["operator", "microsoft"],
    exit: { operator: "usage", microsoft: "microsoft" },
  },
  "tenant-mismatch": {
    meaning: "Records carry another tenant id than the customer's. They are delivered under the configured one.",
    action: "Check the customer's `tenant_id`.",
    actors: ["operator"],
    settings: ["tenant_id"],
    exit: "usage",
  },

  // Hunting.
  "hunting-cut": {
    meaning: "The answer to a query was cut off; later rows are missing.",
    action: "Narrow the query, or give it a shorter window_minutes in the file of `hunting_queries`.",
    actors: ["operator"],
    settings: ["window_minutes"],
    exit: "usage",
  },
  "hunting-gap": {
    meaning: "A query was not run in time for some period. Hunting keeps 30 days, so those rows are gone.",
    action: "Keep the collector running. The gap cannot be closed.",
    actors: ["operator"],
    exit: "usage",
  },
  "hunting-queries-wrong": {
    meaning: "The file of hunting queries has a mistake. Queries without a mistake run.",
    action: "Correct the file of `hunting_queries`, then restart.",
    actors: ["operator"],
    settings: ["hunting_queries"],
    exit: "usage",
  },
  "hunting-split": {
    meaning: "A window holds more rows than one answer can, so it is asked for in two halves. Nothing is lost.",
    action: "To save calls, narrow the query or give it a shorter window_minutes in the file of `hunting_queries`.",
    actors: ["operator"],
    settings: ["window_minutes"],
    exit: "usage",
  },
  "query-refused": {
    meaning: "Microsoft rejected a hunting query.",
    action: "Correct the query in the file of `hunting_queries`.",
    actors: ["operator"],
    settings: ["hunting_queries"],
    exit: "usage",
  },
  "query-too-large": {
    meaning: "A hunting query asks for more than one answer can hold.",
    action: "Narrow the query, or give it a shorter window_minutes in the file of `hunting_queries`.",
    actors: ["operator"],
    settings: ["window_minutes"],
    exit: "usage",
  },

  // The fleet's database.
  "fleet-behind": {
    meaning: "Most streams of the fleet's customers had no complete walk for too long.",
    action: "Read the log and the health events of the members. Add a member if they have no processor time.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-clock-differs": {
    meaning: "The clock of a member's host and that of the fleet's database differ by more than a minute.",
    action: "Synchronize the clocks of both hosts.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-configuration-differs": {
    meaning:
      "Members of a fleet run with different configurations. Members with the applied one collect; the others wait.",
    action: "Use one configuration on every member. `fleet apply` makes that of this host the fleet's.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-fenced": {
    meaning: "Another member of the fleet took over this customer. Nothing of the page counts here.",
    action: "Nothing. The other member goes on at the same checkpoint.",
    actors: ["us"],
    exit: "state",
  },
  "fleet-key-differs": {
    meaning: "A member of a fleet has another key file than the others, so it cannot open the fleet's refresh tokens.",
    action: "Use one key file on every member. The member with another one takes no customers until it is restarted.",
    actors: ["operator"],
    settings: ["fleet.key_file"],
    exit: "state",
  },
  "fleet-moved": {
    meaning:
      "The newest checkpoints are elsewhere: they were moved from the state folder into a fleet, or from the fleet into a state folder. Nothing is collected here.",
    action: "Run `fleet export-state` or `fleet import-state` to move them to where you collect.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-not-durable": {
    meaning: "A crash of the fleet's database loses pages that it has committed.",
    action: "Set synchronous_commit = on in the database.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-output-hangs": {
    meaning:
      "An output of a fleet's member hangs, and the member takes no customers. A part of the customers may have no owner.",
    action: "Check the output, for example its network disk, or stop the member, so that others take its part.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-refused": {
    meaning:
      "The fleet's database refuses a statement: it is full, read-only, or the role lacks a right. Nothing of the page counts.",
    action: "Correct what the sentence says about the database. Collection resumes by itself.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-schema": {
    meaning: "The fleet's schema is missing in the database, or belongs to another release or another fleet.",
    action: "Run `fleet init` of the newest release, with the configuration of this collector.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-set-aside": {
    meaning:
      "The fleet's database holds packets of events that are damaged. They are kept there and were not delivered.",
    action:
      "Run `defender-mssp doctor --fleet`, check the database's disk, and follow docs/fleet to send them again or give them up.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-standby-missing": {
    meaning: "The fleet's database waits with each commit for a standby that is not there.",
    action: "Start the standby, or correct synchronous_standby_names.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-starved": {
    meaning: "A member of a fleet had no processor time again and again, so its place in the fleet expired.",
    action: "Give its host more processor time, or add a member. The others collect its customers meanwhile.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-unconfirmed": {
    meaning:
      "The fleet's database has not confirmed this member for half a minute, so it collects nothing. Another member may have taken the customer over.",
    action: "Check the database, and the network between it and this host. Collection resumes by itself.",
    actors: ["operator", "us"],
    exit: "state",
  },
  "fleet-undelivered": {
    meaning: "This program fails to deliver events of one customer of a fleet. They wait in the database.",
    action: "Report the log's line. The events are tried again each minute and by every newer release.",
    actors: ["us"],
    exit: "state",
  },
  "fleet-unowned": {
    meaning: "No live member of the fleet collects a part of the customers.",
    action: "Start the members. Wait ten seconds after a member has stopped.",
    actors: ["operator"],
    exit: "state",
  },
  "fleet-unreachable": {
    meaning: "No primary of the fleet's database can be reached. Nothing was committed, and nothing is lost.",
    action: "Check `fleet.url`, the database and the firewall. Collection resumes by itself.",
    actors: ["operator"],
    settings: ["fleet.url"],
    exit: "state",
  },
  "fleet-unsettled": {
    meaning:
      "The connection to the fleet's database broke before a commit was answered, or Kafka did not confirm a transaction of a fleet. The member reads what the database and Kafka hold, and goes on from there.",
    action: "Nothing. Collection resumes by itself.",
    actors: ["us"],
    exit: "state",
  },

  // The state folder.
  "state-damaged": {
    meaning: "A state file cannot be understood: it is damaged, or a newer release wrote it.",
    action: "Do what the failure names: install the newer release again, move the file away, or sign in again.",
    actors: ["operator"],
    exit: "state",
  },
  "state-locked": {
    meaning: "Another process uses the state folder.",
    action: "Stop that process, or give this command another `--state` folder.",
    actors: ["operator"],
    exit: "state",
  },
  "state-unreadable": {
    meaning: "A state file cannot be read.",
    action: "Give the account that runs this program read access to the file.",
    actors: ["operator"],
    exit: "state",
  },
  "state-unsettled": {
    meaning:
      "An output rejected events, and the journal could not be corrected. The next start sends the events again.",
    action: "Free disk space for the state folder and the output, then start again.",
    actors: ["operator"],
    exit: "state",
  },
  "state-unwritable": {
    meaning: "A state file cannot be written. What was stored before is intact.",
    action: "Free disk space or grant write access. Collection resumes by itself.",
    actors: ["operator"],
    exit: "state",
  },

  // Splunk.
  "document-empty": {
    meaning: "splunkd sent nothing on standard input.",
    action: "Let splunkd start the input, or use a command: `defender-mssp --help`.",
    actors: ["operator"],
    exit: "usage",
  },
  "document-late": {
    meaning: "splunkd sent no complete run document within 30 seconds.",
    action: "Disable and enable the input in Splunk. If it happens again, report it with splunkd.log.",
    actors: ["operator"],
    exit: "usage",
  },
  "document-malformed": {
    meaning: "The run document is not the XML that splunkd sends.",
    action: "Disable and enable the input in Splunk. If it happens again, report it with splunkd.log.",
    actors: ["operator"],
    exit: "usage",
  },
  "document-too-large": {
    meaning: "The run document is larger than 64 MiB.",
    action: "Disable and enable the input in Splunk. If it happens again, report it with splunkd.log.",
    actors: ["operator"],
    exit: "usage",
  },
  "secret-damaged": {
    meaning: "Splunk's credential store holds an incomplete or unreadable secret.",
    action: "Type the secret again into the input, or store it again: `defender-mssp credential set NAME`.",
    actors: ["operator"],
    exit: "usage",
  },
  "secret-file-refused": {
    meaning: "A secret's file cannot be used: it is missing, empty, open to others, or the input changes an address.",
    action: "Correct the file that `client_secret` or `refresh_token` names.",
    actors: ["operator"],
    settings: ["client_secret", "refresh_token"],
    exit: "usage",
  },
  "secret-missing": {
    meaning: "The input has no client secret, certificate, assertion or refresh token.",
    action:
      "Run `defender-mssp token acquire --customer CUSTOMER --to splunk`, or type `client_secret` into the input.",
    actors: ["operator"],
    settings: ["client_secret", "refresh_token"],
    exit: "usage",
  },
  "session-key-missing": {
    meaning: "The run document holds no session key, so Splunk's credential store cannot be read.",
    action: "Start the input from Splunk, or use a document of `splunk cmd splunkd print-modinput-config`.",
    actors: ["operator"],
    exit: "usage",
  },
  "splunkd-answer": {
    meaning: "splunkd sent an answer that this program does not understand.",
    action: "Look for the cause in splunkd.log.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-busy": {
    meaning: "splunkd is not ready.",
    action: "Wait until splunkd has started. If it stays, look for the cause in splunkd.log.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-forbidden": {
    meaning: "splunkd does not allow access to its credential store or to an input.",
    action: "Give the user that owns the input the capability that the failure names.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-login-refused": {
    meaning: "Splunk rejected this user and password.",
    action: "Check both, or set DEFENDER_MSSP_SPLUNK_TOKEN.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-session-refused": {
    meaning: "splunkd rejected the session key, which has probably expired.",
    action: "Disable and enable one of the inputs, so that splunkd sends a new session key.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-unnamed": {
    meaning: "The run document has no usable server_uri, so Splunk's credential store cannot be read.",
    action: "Disable and enable the input in Splunk. If it happens again, report it with splunkd.log.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-unreachable": {
    meaning: "splunkd's management port does not answer.",
    action: "Check that the port is open on this host. On a universal forwarder, give the secrets by file.",
    actors: ["operator"],
    exit: "host",
  },
  "splunkd-untrusted": {
    meaning: "splunkd's certificate cannot be verified or, on another machine, has expired, so no session key is sent.",
    action: "Set `splunkd_ca_file` under `[defender_mssp]` to the PEM file of splunkd's CA.",
    actors: ["operator"],
    settings: ["splunkd_ca_file"],
    exit: "host",
  },

  // The list of customers (`discover`).
  "customer-ended": {
    meaning:
      "A customer left the list of customers, and its tenant gives this program no token. A customer that discovery enrolled is no longer polled; its checkpoints stay for 90 days.",
    action: "Nothing to do if the contract has ended. Otherwise renew the relationship; collection then continues.",
    actors: ["operator"],
    exit: "signIn",
  },
  "customer-found": {
    meaning: "The list of customers holds a customer that is not configured.",
    action:
      "Add the customer: `defender-mssp customers discover --apply`. Or leave it out: add it to `discover_exclude`.",
    actors: ["operator"],
    exit: "usage",
  },
  "discovery-doubtful": {
    meaning:
      "The list of customers is empty, cut off, or lost more than a fifth of the customers at once. Nothing was changed.",
    action: "Look at the list: `defender-mssp customers discover`. If it is right, add --apply.",
    actors: ["operator"],
    exit: "microsoft",
  },
  "discovery-forbidden": {
    meaning: "The home app may not read the list of customers. Nothing was changed.",
    action:
      "Grant the permission in your own tenant: `defender-mssp register --home-app` prints the steps. Check `discover_credential`.",
    actors: ["operator"],
    settings: ["discover_credential"],
    exit: "signIn",
  },
  "discovery-unavailable": {
    meaning: "Your tenant has no Tenant Governance, or its cloud has none. Nothing was changed.",
    action: "Set `discover` to gdap or to file:LIST.csv.",
    actors: ["operator"],
    settings: ["discover"],
    exit: "microsoft",
  },
  "relationship-ending": {
    meaning: "A relationship with a customer ends soon and is not extended by itself. Collection continues meanwhile.",
    action: "Extend or replace the relationship in Partner Center before it ends.",
    actors: ["operator"],
    exit: "signIn",
  },

  // Where events go.
  "host-gone": {
    meaning: "The reader of our output has closed it. After the next start, events that may be lost are sent again.",
    action: "Look for the cause at the reader; in Splunk, in splunkd.log.",
    actors: ["operator"],
    exit: "host",
  },
  "output-broken": {
    meaning: "An output cannot be written. Events are kept or collected again; nothing is lost.",
    action: "Check the output's path or address and its permissions. Delivery resumes by itself.",
    actors: ["operator"],
    exit: "host",
  },
  "output-full": {
    meaning: "The disk, its quota or the output's spool is full, so collection waits. Nothing is lost.",
    action: "Free disk space, or start the receiver again. Raise `.spool_mib` for longer outages.",
    actors: ["operator"],
    exit: "host",
  },
  "output-unconfirmed": {
    meaning: "HEC takes events and acknowledges none of them. Events wait, and are sent again with the same keys.",
    action: "Check Splunk's indexing queues, and that a load balancer keeps each client at one indexer.",
    actors: ["operator"],
    exit: "host",
  },
  "output-unreachable": {
    meaning: "The receiver of an output cannot be reached. Events wait in the spool.",
    action: "Start the receiver, or check `.host`, `.port` and the network.",
    actors: ["operator"],
    exit: "host",
  },
  "output-untrusted": {
    meaning: "The receiver's certificate, or our own CA or certificate file, cannot be used for TLS.",
    action: "Check `.ca_file`, `.certificate`, `.protocol` and `.host`.",
    actors: ["operator"],
    exit: "host",
  },

  // What was typed.
  settings: {
    meaning: "A setting is missing or wrong.",
    action: "Correct the setting that the failure names. docs/settings.md lists all settings.",
    actors: ["operator"],
    exit: "usage",
  },
  usage: {
    meaning: "A command was called in a way that it does not understand, or was cancelled.",
    action: "Do what the failure names, or read `defender-mssp --help`.",
    actors: ["operator"],
    exit: "usage",
  },
} as const satisfies Readonly<Record<string, FailureEntry>>;

/** A code of the table; nothing else can be raised. */
export type FailureCode = keyof typeof FAILURE_CODES;

/** Who may have to act when this code is raised. */
export type ActorOf<Code extends FailureCode> = (typeof FAILURE_CODES)[Code]["actors"][number];

/** The row of a code, as wide as every row. */
export function failureEntry(code: FailureCode): FailureEntry {
  return FAILURE_CODES[code];
}

/**
 * What an output rejects events with; the last three where a fleet keeps what waits for it. Customers that
 * wait for another reason of these three are polled early then, which does no harm.
 */
export const REFUSED_BY_OUTPUTS: ReadonlySet<FailureCode> = new Set([
  "output-full",
  "output-broken",
  "fleet-unsettled",
  "fleet-refused",
  "defect",
]);
