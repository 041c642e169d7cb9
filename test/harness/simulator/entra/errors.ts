import { sendJson } from "../answers.ts";
import type { Exchange } from "../exchange.ts";

interface EntraError {
  readonly error: string;
  readonly status: number;
  readonly text: string;
  /** All numbers of the answer, where it carries several. */
  readonly codes?: readonly number[];
  readonly suberror?: string;
}

/**
 * Token endpoint errors by AADSTS number. Source: Microsoft Entra docs, "Microsoft Entra authentication and
 * authorization error codes", and the answers printed in Microsoft's pages. `{…}` is filled in from the
 * request.
 */
const ENTRA_ERRORS: Readonly<Record<number, EntraError>> = {
  16000: {
    error: "interaction_required",
    status: 400,
    text: "User account '{user}' from identity provider 'https://sts.windows.net/{tenant}/' does not exist in tenant '{tenant}' and cannot access the application '{client}' in that tenant. The account needs to be added as an external user in the tenant first.",
  },
  28002: {
    error: "invalid_request",
    status: 400,
    text: "Provided value for the input parameter scope '{scope}' is not valid when requesting an access token. Please specify a valid scope.",
  },
  50001: {
    error: "invalid_resource",
    status: 400,
    text: "The application named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
  },
  50011: {
    error: "invalid_request",
    status: 400,
    text: "The redirect URI '{redirect}' specified in the request does not match the redirect URIs configured for the application '{client}'.",
  },
  50012: { error: "invalid_client", status: 401, text: "Authentication failed." },
  50013: {
    error: "invalid_client",
    status: 401,
    text: "Assertion failed signature validation. [Reason - The key was not found.]",
  },
  50020: {
    error: "interaction_required",
    status: 400,
    text: "User account '{user}' from identity provider 'https://sts.windows.net/{tenant}/' does not exist in tenant '{tenant}' and cannot access the application '{client}' in that tenant.",
  },
  50033: { error: "temporarily_unavailable", status: 503, text: "A transient error occurred. Please try again." },
  50034: {
    error: "invalid_grant",
    status: 400,
    text: "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory.",
  },
  50055: { error: "invalid_grant", status: 400, text: "The password is expired." },
  50057: { error: "invalid_grant", status: 400, text: "The user account is disabled." },
  50072: {
    error: "interaction_required",
    status: 400,
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'.",
    suberror: "basic_action",
  },
  50074: {
    error: "interaction_required",
    status: 400,
    text: "Strong Authentication is required.",
    suberror: "basic_action",
  },
  50076: {
    error: "interaction_required",
    status: 400,
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{resource}'.",
    suberror: "basic_action",
  },
  50078: {
    error: "interaction_required",
    status: 400,
    text: "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '{resource}'.",
    suberror: "basic_action",
  },
  50079: {
    error: "interaction_required",
    status: 400,
    text: "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '{resource}'.",
    suberror: "basic_action",
  },
  50087: {
    error: "temporarily_unavailable",
    status: 503,
    text: "A transient error has occurred during strong authentication. Please try again.",
  },
  50105: {
    error: "interaction_required",
    status: 400,
    text: "Your administrator has configured the application ('{client}') to block users unless they are specifically granted ('assigned') access to the application. The signed in user '{user}' is blocked because they are not a direct member of a group with access, nor had access directly assigned by an administrator.",
  },
  50131: {
    error: "interaction_required",
    status: 400,
    text: "Device is not in required device state: {state}. Conditional Access policy requires a compliant device, and the device is not compliant.",
  },
  50144: {
    error: "invalid_grant",
    status: 400,
    text: "The user's Active Directory password has expired. Generate a new password for the user or have the user use the self-service reset tool.",
  },
  50158: {
    error: "interaction_required",
    status: 400,
    text: "External security challenge not satisfied. User will be redirected to another page or authentication provider to satisfy additional authentication challenges.",
  },
  50173: {
    error: "invalid_grant",
    status: 400,
    text: "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before which tokens are not valid) for this user is '{now}'.",
    suberror: "bad_token",
  },
  50177: {
    error: "interaction_required",
    status: 400,
    text: "User account '{user}' from identity provider 'https://sts.windows.net/{tenant}/' does not exist in tenant '{tenant}' and cannot access the application '{client}' in that tenant. External challenge isn't supported for passthrough users.",
  },
  50194: {
    error: "invalid_request",
    status: 400,
    text: "Application '{client}'({client}) is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant.",
  },
  50196: {
    error: "invalid_grant",
    status: 400,
    text: "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
  },
  51004: {
    error: "invalid_grant",
    status: 400,
    text: "The user account {user} does not exist in the {tenant} directory. To sign into this application, the account must be added to the directory.",
  },
  53000: {
    error: "interaction_required",
    status: 400,
    text: "Device is not in required device state: known. Conditional Access policy requires a compliant device, and the device is not compliant. The user must enroll their device with an approved MDM provider like Intune.",
    suberror: "message_only",
  },
  53001: {
    error: "interaction_required",
    status: 400,
    text: "Device is not in required device state: domain_joined.",
    suberror: "message_only",
  },
  53002: {
    error: "interaction_required",
    status: 400,
    text: "The app used is not an approved app for Conditional Access.",
    suberror: "message_only",
  },
  53003: {
    error: "interaction_required",
    status: 400,
    text: "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    suberror: "message_only",
  },
  53011: { error: "interaction_required", status: 400, text: "User blocked due to risk on home tenant." },
  54005: {
    error: "invalid_grant",
    status: 400,
    text: "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
  },
  65001: {
    error: "invalid_grant",
    status: 400,
    text: "The user or administrator has not consented to use the application with ID '{client}' named 'MSSP collector'. Send an interactive authorization request for this user and resource.",
    suberror: "consent_required",
  },
  65004: { error: "access_denied", status: 400, text: "User declined to consent to access the app." },
  70000: {
    error: "invalid_grant",
    status: 400,
    text: "The provided refresh token is not valid.",
    suberror: "bad_token",
  },
  70001: { error: "unauthorized_client", status: 400, text: "The application named {client} was disabled." },
  70008: {
    error: "invalid_grant",
    status: 400,
    text: "Error validating credentials. AADSTS70008: The provided authorization code or refresh token is expired. Send a new interactive authorization request for this user and resource.",
    codes: [70002, 70008],
  },
  70011: {
    error: "invalid_scope",
    status: 400,
    text: "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid.",
  },
  70016: {
    error: "authorization_pending",
    status: 400,
    text: "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
  },
  70020: {
    error: "expired_token",
    status: 400,
    text: "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
  },
  70025: {
    error: "invalid_client",
    status: 401,
    text: "The client '{client}' has no configured federated identity credentials.",
  },
  70021: {
    error: "invalid_request",
    status: 400,
    text: "No matching federated identity record found for presented assertion. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.",
  },
  70043: {
    error: "invalid_grant",
    status: 400,
    text: "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. The token was issued on {issued} and the maximum allowed lifetime for this request is 86400.",
    suberror: "token_expired",
  },
  90002: {
    error: "invalid_request",
    status: 400,
    text: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.",
  },
  90006: {
    error: "temporarily_unavailable",
    status: 503,
    text: "The service is temporarily unavailable. Please retry later.",
  },
  90014: {
    error: "invalid_request",
    status: 400,
    text: "The required field '{field}' is missing from the credential. Ensure that you have all the necessary parameters for the login request.",
  },
  90023: { error: "invalid_request", status: 400, text: "The request is malformed." },
  90024: {
    error: "temporarily_unavailable",
    status: 503,
    text: "RequestBudgetExceededError - A transient error has occurred. Please try again.",
  },
  90033: { error: "temporarily_unavailable", status: 503, text: "A transient error has occurred. Please try again." },
  90038: {
    error: "invalid_request",
    status: 400,
    text: "Tenant '{tenant}' request is being redirected to the National Cloud 'MicrosoftOnline.US'.",
  },
  90055: {
    error: "temporarily_unavailable",
    status: 429,
    text: "TenantThrottlingError - There are too many incoming requests. Please retry later.",
  },
  90094: {
    error: "consent_required",
    status: 400,
    text: "Admin consent is required for the permissions requested by this application.",
  },
  90095: {
    error: "consent_required",
    status: 400,
    text: "Admin consent is required for the permissions requested by this application. An admin consent request may be sent to the admin.",
  },
  90099: {
    error: "unauthorized_client",
    status: 400,
    text: "The application '{client}' ('MSSP collector') has not been authorized in the tenant '{tenant}'. Applications must be authorized to access the customer tenant before partner delegated administrators can use them.",
  },
  900023: {
    error: "invalid_request",
    status: 400,
    text: "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
  },
  900144: {
    error: "invalid_request",
    status: 400,
    text: "The request body must contain the following parameter: '{field}'.",
  },
  900382: {
    error: "invalid_request",
    status: 400,
    text: "Confidential Client is not supported in Cross Cloud request.",
  },
  900432: {
    error: "invalid_request",
    status: 400,
    text: "Confidential Client is not supported in Cross Cloud request.",
  },
  900971: { error: "invalid_request", status: 400, text: "No reply address is registered for the application." },
  901002: { error: "invalid_request", status: 400, text: "The 'resource' request parameter is not supported." },
  500011: {
    error: "invalid_resource",
    status: 400,
    text: "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.",
  },
  500021: { error: "access_denied", status: 400, text: "Access to '{tenant}' tenant is denied." },
  500022: { error: "access_denied", status: 400, text: "Access to '{tenant}' tenant is denied." },
  500212: {
    error: "access_denied",
    status: 400,
    text: "The user's administrator has set an outbound access policy that does not allow access to the resource tenant.",
  },
  500213: {
    error: "access_denied",
    status: 400,
    text: "The resource tenant's cross-tenant access policy does not allow this user to access this tenant.",
  },
  501481: {
    error: "invalid_grant",
    status: 400,
    text: "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
  },
  530032: {
    error: "interaction_required",
    status: 400,
    text: "Access has been blocked due to risk policy.",
    suberror: "message_only",
  },
  530034: {
    error: "interaction_required",
    status: 400,
    text: "A delegated administrator was blocked from accessing the tenant due to account risk in their home tenant.",
  },
  650051: {
    error: "invalid_request",
    status: 400,
    text: "The service principal name is already present for the tenant '{tenant}'.",
  },
  650052: {
    error: "invalid_client",
    status: 400,
    text: "The app is trying to access a service '{resource}' that your organization '{tenant}' lacks a service principal for. Contact your IT Admin to review the configuration of your service subscriptions or consent to the application in order to create the required service principal.",
  },
  650057: {
    error: "invalid_resource",
    status: 400,
    text: "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration. Client app ID: {client}(MSSP collector). Resource value from request: {resource}.",
  },
  700011: {
    error: "unauthorized_client",
    status: 400,
    text: "Application with identifier '{client}' was not found in the directory.",
  },
  700016: {
    error: "unauthorized_client",
    status: 400,
    text: "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.",
  },
  700022: {
    error: "invalid_scope",
    status: 400,
    text: "The provided value for the input parameter 'scope' is not valid. The scope '{scope}' contains more than one resource.",
  },
  700024: {
    error: "invalid_client",
    status: 401,
    text: "Client assertion is not within its valid time range. Current time: {now}, assertion valid from 1970-01-01T00:00:00.0000000Z, expiry time of assertion {issued}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
  },
  700027: {
    error: "invalid_client",
    status: 401,
    text: "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found.]",
  },
  700082: {
    error: "invalid_grant",
    status: 400,
    text: "The refresh token has expired due to inactivity.\u00a0The token was issued on {issued} and was inactive for 90.00:00:00.",
  },
  700084: {
    error: "invalid_grant",
    status: 400,
    text: "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which can't be extended. It is now expired and a new sign in request must be sent by the SPA to the sign in page. The token was issued on {issued}.",
  },
  700211: { error: "invalid_client", status: 401, text: federated("issuer '{issuer}'") },
  700212: { error: "invalid_client", status: 401, text: federated("audience '{audience}'") },
  700213: { error: "invalid_client", status: 401, text: federated("subject '{subject}'") },
  5000224: {
    error: "interaction_required",
    status: 400,
    text: "We are sorry, this resource is not available. If you are seeing this message by mistake, please contact Microsoft support.",
  },
  5000225: {
    error: "interaction_required",
    status: 400,
    text: "This tenant has been blocked due to inactivity. To learn more about tenant lifecycle policies, see https://aka.ms/TenantLifecycle",
  },
  7000229: {
    error: "invalid_client",
    status: 401,
    text: "The client application {client} is missing service principal in the tenant {tenant}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119",
  },
  7002137: { error: "invalid_client", status: 401, text: federated("subject '/eid1/c/pub/t/x/a/y/z'") },
  7002138: { error: "invalid_client", status: 401, text: federated("subject 'repo:Contoso/Collector:ref:main'") },
  7000112: { error: "unauthorized_client", status: 400, text: "Application '{client}'(MSSP collector) is disabled." },
  7000215: {
    error: "invalid_client",
    status: 401,
    text: "Invalid client secret is provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client}'.",
  },
  700025: {
    error: "invalid_client",
    status: 401,
    text: "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
  },
  7000218: {
    error: "invalid_client",
    status: 401,
    text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
  },
  7000222: {
    error: "invalid_client",
    status: 401,
    text: "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
  },
  9002313: { error: "invalid_request", status: 400, text: "Invalid request. Request is malformed or invalid." },
  70003: {
    error: "unsupported_grant_type",
    status: 400,
    text: "The app requested an unsupported grant type '{grant}'.",
  },
};

/** For faults, which name a number only. */
const EXAMPLES: Readonly<Record<string, string>> = {
  issuer: "https://issuer.example/",
  audience: "api://other",
  subject: "system:serviceaccount:siem:collector",
};

/** Federated credentials are compared with the assertion's issuer, audience and subject. */
function federated(what: string): string {
  return `No matching federated identity record found for presented assertion ${what}. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation`;
}

/**
 * The body and status of an error, texts filled in. Exported for the faults of a scenario, which name a
 * number only.
 */
function entraError(
  number: number,
  exchange: Exchange,
  values: Readonly<Record<string, string>> = {},
): { status: number; body: Record<string, unknown> } {
  const known = ENTRA_ERRORS[number] ?? { error: "invalid_request", status: 400, text: "Request failed." };
  const timestamp = `${new Date(exchange.nowMs).toISOString().slice(0, 19).replace("T", " ")}Z`;
  const correlation = String(
    exchange.request.headers["client-request-id"] ??
      exchange.url.searchParams.get("client-request-id") ??
      exchange.requestId,
  );
  const text = known.text.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? EXAMPLES[name] ?? "");
  const codes = known.codes ?? [number];
  return {
    status: known.status,
    body: {
      error: known.error,
      error_description: `AADSTS${codes[0]}: ${text}\r\nTrace ID: ${exchange.requestId}\r\nCorrelation ID: ${correlation}\r\nTimestamp: ${timestamp}`,
      error_codes: codes,
      timestamp,
      trace_id: exchange.requestId,
      correlation_id: correlation,
      error_uri: `https://login.microsoftonline.com/error?code=${number}`,
      ...(known.suberror === undefined ? {} : { suberror: known.suberror }),
    },
  };
}

export function sendEntraError(
  exchange: Exchange,
  number: number,
  values: Readonly<Record<string, string>> = {},
  retryAfterSeconds?: number,
): void {
  const { status, body } = entraError(number, exchange, values);
  sendJson(exchange, status, body, {
    "cache-control": "no-store, no-cache",
    pragma: "no-cache",
    "x-ms-request-id": exchange.requestId,
    ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) }),
  });
}
