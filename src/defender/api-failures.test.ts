import { describe, expect, test } from "@jest/globals";
import type { Failure } from "../model/failure.ts";
import {
  API_FAILURES,
  type ApiFailureRow,
  apiFailure,
  apiFailureRow,
  bodyWaitMs,
  type RefusedAnswer,
} from "./api-failures.ts";

const NOW = Date.UTC(2026, 10, 24, 16);

const met = new Set<ApiFailureRow>();

function refused(status: number, body: string, more: Partial<RefusedAnswer> = {}): Failure {
  const rights = ["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"];
  const answer: RefusedAnswer = {
    api: "graph",
    status,
    headers: {},
    body,
    customer: "Contoso",
    stanza: "contoso",
    rights,
    nowMs: NOW,
    ...more,
  };
  met.add(apiFailureRow(answer));
  return apiFailure(answer);
}

/** As XDR and Endpoint write it; as Graph writes it; as a gateway in front of either. */
const plain = (code: string, message: string): string =>
  JSON.stringify({ error: { code, message, target: "|5f0c-quote-me" } });
const graph = (code: string, message: string): string =>
  JSON.stringify({
    error: {
      code,
      message,
      innerError: { date: "2026-11-24T16:00:00", "request-id": "req-1", "client-request-id": "c" },
    },
  });
const wrapped = (code: string, message: string): string =>
  JSON.stringify({
    error: { code: "UnknownError", message: plain(code, message), innerError: { "request-id": "req-1" } },
  });
const ROLES =
  "Missing application roles. API required roles: SecurityAlert.Read.All,SecurityAlert.ReadWrite.All, application roles: .";

interface Golden {
  readonly code: string;
  readonly actor: string;
  readonly area?: "sign-in";
  readonly retry: string;
  readonly say: string;
  readonly nextStep: string;
}

const retryText = ({ retry }: Failure): string =>
  retry.when === "at" ? `in ${(retry.atMs - NOW) / 1000} s` : retry.when;

const GOLDEN: readonly (readonly [title: string, Failure, Golden])[] = [
  [
    "400 of a list",
    refused(400, graph("BadRequest", "Invalid filter clause: Could not find a property named 'x'.")),
    {
      code: "refused",
      actor: "us",
      retry: "later",
      say: "The Microsoft Graph security API rejected a request for Contoso: BadRequest: Invalid filter clause: Could not find a property named 'x'.",
      nextStep: "Report this sentence as a bug of defender-mssp.",
    },
  ],
  [
    "400 of a hunting query whose answer is too large",
    refused(
      400,
      graph(
        "BadRequest",
        "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again.",
      ),
      {
        api: "hunting",
      },
    ),
    {
      code: "query-too-large",
      actor: "operator",
      retry: "later",
      say: "The hunting query of Contoso exceeds the limits of the Microsoft Graph hunting API: BadRequest: Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again.",
      nextStep: "Narrow the query, or set a shorter `window_minutes`.",
    },
  ],
  [
    "400 of a hunting query",
    refused(400, graph("BadRequest", "'where' operator: Failed to resolve column 'Tmiestamp'"), { api: "hunting" }),
    {
      code: "query-refused",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph hunting API rejected a hunting query of Contoso: BadRequest: 'where' operator: Failed to resolve column 'Tmiestamp'.",
      nextStep: "Correct the query in the file that hunting_queries names.",
    },
  ],
  [
    "401 without licence",
    refused(401, plain("Unauthorized", "Unauthorized request - reason of failure: No Tvm license"), { api: "mde" }),
    {
      code: "licence-missing",
      actor: "customer",
      retry: "later",
      say: "Contoso has no licence for the Microsoft Defender for Endpoint API (No Tvm license).",
      nextStep: "Ask the customer to license Microsoft Defender for this tenant, or remove this stream from `streams`.",
    },
  ],
  [
    "401 with a claims challenge",
    refused(401, graph("InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge"), {
      headers: { "www-authenticate": 'Bearer error="insufficient_claims", claims="eyJ9"' },
    }),
    {
      code: "claims-challenge",
      area: "sign-in",
      actor: "customer",
      retry: "later",
      say: "A Conditional Access policy of Contoso rejects this program's sign-in to the Microsoft Graph security API.",
      nextStep: "Ask the customer to exclude the app from that policy, or set `auth = app` for this customer.",
    },
  ],
  [
    "401",
    refused(401, graph("InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")),
    {
      code: "unauthorised",
      area: "sign-in",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph security API rejected Contoso's access token, and a renewed one too: InvalidAuthenticationToken: Access token validation failure. Invalid audience.",
      nextStep: 'Run `defender-mssp doctor --customer "contoso"`. It checks audience, tenant, cloud and clock.',
    },
  ],
  [
    "403 of a tenant without Defender",
    refused(403, plain("Forbidden", "Unauthorized request - Account is not provisioned."), { api: "xdr" }),
    {
      code: "not-provisioned",
      actor: "customer",
      retry: "later",
      say: "Defender is not set up in Contoso's tenant (Account is not provisioned).",
      nextStep:
        "Ask an administrator of the customer to open the Defender portal once, or remove this stream from `streams`.",
    },
  ],
  [
    "403 without the delegated permission",
    refused(403, graph("Forbidden", ROLES.replaceAll("roles", "scopes"))),
    {
      code: "consent-missing",
      area: "sign-in",
      actor: "customer",
      retry: "later",
      say: "Contoso has not granted the delegated permission SecurityAlert.Read.All that the Microsoft Graph security API needs.",
      nextStep:
        'Send the customer\'s administrator the link that `defender-mssp consent-url --customer "contoso"` prints, then sign in again.',
    },
  ],
  [
    "403 without the application permission, wrapped by Graph",
    refused(403, wrapped("Forbidden", ROLES)),
    {
      code: "consent-missing",
      area: "sign-in",
      actor: "customer",
      retry: "later",
      say: "Contoso has not granted the application permission SecurityAlert.Read.All that the Microsoft Graph security API needs.",
      nextStep:
        'Send the customer\'s administrator the link that `defender-mssp consent-url --customer "contoso"` prints.',
    },
  ],
  [
    "403 for a feature",
    refused(403, plain("DisabledFeature", "Tenant feature is not enabled."), { api: "xdr" }),
    {
      code: "feature-disabled",
      actor: "customer",
      retry: "later",
      say: "Contoso's tenant does not allow this request to the Microsoft Defender XDR API: DisabledFeature: Tenant feature is not enabled.",
      nextStep: "Ask the customer to enable the feature in the Defender portal, or remove this stream from `streams`.",
    },
  ],
  [
    "403 of the SIEM API",
    refused(403, "", { api: "siem" }),
    {
      code: "forbidden",
      area: "sign-in",
      actor: "customer",
      retry: "later",
      say: "The retired SIEM API denied access to Contoso: the administrator does not manage one of its domains, or the tenant is deleted.",
      nextStep: "Set `streams = alerts,incidents` for this customer.",
    },
  ],
  [
    "403",
    refused(403, plain("Forbidden", "The user does not have the required role.")),
    {
      code: "forbidden",
      area: "sign-in",
      actor: "customer",
      retry: "later",
      say: "The Microsoft Graph security API denied access to Contoso: Forbidden: The user does not have the required role.",
      nextStep:
        "Ask the customer to consent to SecurityAlert.Read.All or SecurityAlert.ReadWrite.All. A signed-in user also needs the role Security Reader in the customer's tenant.",
    },
  ],
  [
    "404 of the SIEM API",
    refused(404, "<html><head><title>404 - File not found</title></head></html>", { api: "siem" }),
    {
      code: "api-gone",
      actor: "microsoft",
      retry: "later",
      say: "The retired SIEM API no longer answers at this address.",
      nextStep: "Set `streams = alerts,incidents` for this customer.",
    },
  ],
  [
    "404",
    refused(404, plain("ResourceNotFound", "Requested path does not exist."), { api: "xdr" }),
    {
      code: "refused",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Defender XDR API does not know the requested address (404): ResourceNotFound: Requested path does not exist.",
      nextStep: 'Check `cloud` of "contoso".',
    },
  ],
  [
    "400 for a path that Graph does not know, below an address of the settings",
    refused(400, graph("BadRequest", "Invalid version."), { ownAddress: "https://graph.microsoft.com/v2" }),
    {
      code: "refused",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph security API does not know the requested address below https://graph.microsoft.com/v2 (400): BadRequest: Invalid version.",
      nextStep: 'Correct `graph_url` of "contoso", or remove it to use Microsoft\'s address.',
    },
  ],
  [
    "404 of the retired API below an address of the settings",
    refused(404, "", { api: "siem", ownAddress: "https://wdatp.example/wrong" }),
    {
      code: "refused",
      actor: "operator",
      retry: "later",
      say: "The retired SIEM API does not know the requested address below https://wdatp.example/wrong (404): no explanation.",
      nextStep: 'Correct `siem_url` of "contoso", or remove it to use Microsoft\'s address.',
    },
  ],
  [
    "404 below an address of the settings",
    refused(404, plain("ResourceNotFound", "Requested path does not exist."), {
      ownAddress: "https://graph.microsoft.com/v2",
    }),
    {
      code: "refused",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph security API does not know the requested address below https://graph.microsoft.com/v2 (404): ResourceNotFound: Requested path does not exist.",
      nextStep: 'Correct `graph_url` of "contoso", or remove it to use Microsoft\'s address.',
    },
  ],
  [
    "a redirect from an address of the settings",
    refused(302, "", { api: "mde", ownAddress: "https://gateway.example" }),
    {
      code: "bad-answer",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Defender for Endpoint API answered with a redirect (302). It is not followed, because that would send the access token elsewhere.",
      nextStep: 'Check `api_url` of "contoso", and check whether a proxy or portal answers instead of Microsoft.',
    },
  ],
  [
    "410",
    refused(410, "", { api: "xdr" }),
    {
      code: "api-gone",
      actor: "microsoft",
      retry: "later",
      say: "Microsoft has switched off the Microsoft Defender XDR API.",
      nextStep: "Set `streams = alerts,incidents` for this customer.",
    },
  ],
  [
    "429 for hunting CPU",
    refused(429, graph("TooManyRequests", "You have exceeded your allocated CPU resources."), { api: "hunting" }),
    {
      code: "throttled",
      actor: "microsoft",
      retry: "in 900 s",
      say: "Contoso's quota of hunting CPU time is used up: TooManyRequests: You have exceeded your allocated CPU resources.",
      nextStep: "If this persists, simplify the queries or run them less often.",
    },
  ],
  [
    "429",
    refused(429, graph("TooManyRequests", "Too many requests."), { headers: { "retry-after": "17" } }),
    {
      code: "throttled",
      actor: "microsoft",
      retry: "in 17 s",
      say: "The Microsoft Graph security API throttles requests for Contoso.",
      nextStep: "If this persists, check whether another program uses the same app for this customer.",
    },
  ],
  [
    "a redirect",
    refused(302, ""),
    {
      code: "bad-answer",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph security API answered with a redirect (302). It is not followed, because that would send the access token elsewhere.",
      nextStep: "Check whether a proxy or portal answers instead of Microsoft.",
    },
  ],
  [
    "a web page with status 200",
    refused(200, "<!DOCTYPE html><html><head><title>\n Guest   Wi-Fi\n</title>"),
    {
      code: "bad-answer",
      actor: "operator",
      retry: "later",
      say: 'The Microsoft Graph security API answered 200 with a web page titled "Guest Wi-Fi" instead of JSON.',
      nextStep: "Check whether a proxy or portal answers instead of Microsoft, or changes the Content-Type.",
    },
  ],
  [
    "200 with JSON under another Content-Type",
    refused(200, '{"value":[{"id":"da1","title":"Mimikatz on WS-17 of jane"}]}', {
      headers: { "content-type": "text/plain; charset=utf-8" },
    }),
    {
      code: "bad-answer",
      actor: "operator",
      retry: "later",
      say: "The Microsoft Graph security API answered 200 with Content-Type text/plain; charset=utf-8 (60 bytes) instead of JSON.",
      nextStep: "Check whether a proxy or portal answers instead of Microsoft, or changes the Content-Type.",
    },
  ],
  [
    "500",
    refused(500, plain("InternalServerError", "There was an unexpected error."), { api: "mde" }),
    {
      code: "service-error",
      actor: "microsoft",
      retry: "soon",
      say: "The Microsoft Defender for Endpoint API failed for Contoso (500): InternalServerError: There was an unexpected error.",
      nextStep: "If this persists, open a case with Microsoft and quote |5f0c-quote-me.",
    },
  ],
  [
    "503 that says for how long",
    refused(503, graph("serviceNotAvailable", "Down"), {
      headers: { "retry-after": "Tue, 24 Nov 2026 16:02:00 GMT", date: "Tue, 24 Nov 2026 16:00:30 GMT" },
    }),
    {
      code: "service-error",
      actor: "microsoft",
      retry: "in 90 s",
      say: "The Microsoft Graph security API failed for Contoso (503): serviceNotAvailable: Down.",
      nextStep: "If this persists, open a case with Microsoft and quote req-1.",
    },
  ],
  [
    "another 4xx",
    refused(414, ""),
    {
      code: "refused",
      actor: "us",
      retry: "later",
      say: "The Microsoft Graph security API rejected a request for Contoso (414): no explanation.",
      nextStep: "Report this sentence as a bug of defender-mssp.",
    },
  ],
  [
    "a status that does not exist",
    refused(799, ""),
    {
      code: "bad-answer",
      actor: "microsoft",
      retry: "later",
      say: "The Microsoft Graph security API answered with the unknown status 799.",
      nextStep: "If this persists, open a case with Microsoft and quote status 799 and the time.",
    },
  ],
];

describe("every row of the table says what happened and who must act", () => {
  test.each(GOLDEN)("%s", (_, failure, wanted) => {
    expect({
      code: failure.code,
      actor: failure.actor,
      ...(failure.area ? { area: failure.area } : {}),
      retry: retryText(failure),
      say: failure.say,
      nextStep: failure.nextStep,
    }).toEqual(wanted);
  });

  test("no row is without its golden case", () => {
    expect(API_FAILURES.filter((row) => !met.has(row))).toEqual([]);
  });

  test("every row tells where it comes from and fills its sentences", () => {
    for (const row of API_FAILURES) expect(row.seen.length).toBeGreaterThan(10);
    for (const [, failure] of GOLDEN) expect(`${failure.say}${failure.nextStep}`).not.toMatch(/[{}]/);
  });
});

describe("a 429 is waited for as long as it says (P12)", () => {
  test.each<[string, Readonly<Record<string, string>>, string, string]>([
    ["seconds", { "retry-after": "7" }, "", "in 7 s"],
    [
      "a date, by the service's own clock",
      { "retry-after": "Tue, 24 Nov 2026 17:00:43 GMT", date: "Tue, 24 Nov 2026 17:00:00 GMT" },
      "",
      "in 43 s",
    ],
    ["zero, which would be a loop", { "retry-after": "0" }, "", "in 1 s"],
    ["a date that has passed", { "retry-after": "Mon, 23 Nov 2026 17:00:43 GMT" }, "", "in 1 s"],
    ["header before body", { "retry-after": "7" }, plain("TooManyRequests", "Try again in 43 seconds."), "in 7 s"],
    ["the body", {}, '{"statusCode":429,"message":"Rate limit is exceeded. Try again in 43 seconds."}', "in 43 s"],
    ["the body of the XDR API", {}, plain("TooManyRequests", "Quota exceeded, it resets in 12 minutes"), "in 720 s"],
    ["a clock", {}, plain("TooManyRequests", "Quota resets in 00:12:30."), "in 750 s"],
    ["an instant", {}, plain("TooManyRequests", "until 2026-11-24T16:05:58.5Z"), "in 358.5 s"],
    ["nothing", {}, "", "in 60 s"],
    ["nonsense", { "retry-after": "soon" }, plain("x", "in 99999999 hours"), "in 60 s"],
  ])("%s", (_, headers, body, wanted) => expect(retryText(refused(429, body, { headers }))).toBe(wanted));

  test.each([429, 503])(
    "a Retry-After of 68 years with %d is asked again after a day, and the sentence says so",
    (status) => {
      const failure = refused(status, "", { headers: { "retry-after": "2147483647" } });

      expect(failure.retry).toEqual({ when: "at", atMs: NOW + 86_400_000 });
      expect(failure.say).toMatch(
        /\. It asked for a wait of 24855 days or more; the request is repeated after one day\.$/,
      );
    },
  );

  test("text without a time names none", () => {
    for (const text of ["", "429", "in a while", "12 monkeys", "request 5f0c 16:05"])
      expect(bodyWaitMs(text, NOW)).toBeUndefined();
  });
});

describe("a customer's data never reaches a sentence, whatever the status and the Content-Type", () => {
  const ALERT = '{"value":[{"id":"da1","title":"Mimikatz on WS-17","evidence":[{"userName":"jane"}]}]}';
  const TYPES = ["application/json", "text/plain", "text/html", "application/octet-stream", "", undefined];
  test.each([200, 201, 206, 302, 400, 401, 403, 404, 413, 429, 500, 503, 700])("%i", (status) => {
    for (const type of TYPES)
      for (const body of [
        ALERT,
        `\uFEFF${ALERT}`,
        ` \r\n${ALERT.slice(9)}`,
        ALERT.slice(0, 70),
        `${ALERT}\n${ALERT}`,
      ]) {
        const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
        const { say, nextStep, message } = refused(status, body, { headers });
        expect([say, nextStep, message].join()).not.toMatch(/Mimikatz|WS-17|jane|da1/);
      }
  });

  test("a Content-Type cannot forge a log line, and an answer that could not be read has no size", () => {
    const headers = { "content-type": `text/x\r\nERROR forged${"y".repeat(500)}` };
    const { say } = refused(200, "", { headers });
    expect(say).toMatch(/with Content-Type text\/x ERROR forgedy+ \(no readable body\) instead of JSON\.$/);
    expect(say.length).toBeLessThan(250);
  });
});

describe("what Microsoft wrote is quoted without harm", () => {
  test.each<[string, string, RegExp]>([
    ["line breaks cannot forge a log line", plain("A", "x\r\nERROR forged\u2028y"), /A: x ERROR forged y\.$/],
    ["a long text is truncated", plain("A", "x".repeat(5_000)), /: A: x{299}…$/],
    ["a text that is not JSON", "upstream connect error", /: upstream connect error\.$/],
    ["an error that is a text", '{"error":"nope","message":"really"}', /: nope: really\.$/],
    ["null", "null", /: null\.$/],
    ["an error without members", '{"error":{}}', /: no explanation\.$/],
    ["a message that is not a text", '{"error":{"code":5,"message":{"a":1}}}', /: no explanation\.$/],
    ["half a JSON", '{"error":{"code":"X","mess', /: \{"error":\{"code":"X","mess\.$/],
  ])("%s", (_, body, wanted) => expect(refused(500, body).say).toMatch(wanted));
});
