import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import type { Http, HttpRequest } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import type { RegistrationPlan } from "../model/sign-in.ts";
import { checkManifest, manifestOf, registration } from "./registration.ts";
import { applyRegistration } from "./registration-apply.ts";

const plan: RegistrationPlan = {
  name: "MSSP Defender collector",
  cloud: "commercial",
  streams: ["alerts", "incidents"],
  auth: "app",
  proof: "secret",
  deviceCode: false,
  redirectUris: ["http://localhost:44300/defender-mssp"],
};
const GRAPH = "00000003-0000-0000-c000-000000000000";

describe("the registration asks for exactly what the streams need", () => {
  test.each<[string, Partial<RegistrationPlan>, unknown]>([
    [
      "an app that reads alerts and incidents",
      {},
      [
        {
          resourceAppId: GRAPH,
          resourceAccess: [
            { id: "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", type: "Role" },
            { id: "45cc0394-e837-488b-a098-1918f48d186c", type: "Role" },
          ],
        },
      ],
    ],
    [
      "a user who reads alerts",
      { auth: "refresh_token", streams: ["alerts"] },
      [{ resourceAppId: GRAPH, resourceAccess: [{ id: "bc257fb8-46b4-4b15-8713-01e91bfbe4ea", type: "Scope" }] }],
    ],
    [
      "Defender for Endpoint's own API",
      { streams: ["mde-alerts"] },
      [
        {
          resourceAppId: "fc780465-2017-40d4-a0c5-307022471b92",
          resourceAccess: [{ id: "71fe6b80-7034-4028-9ed8-0f316df9c3ff", type: "Role" }],
        },
      ],
    ],
    [
      "a cloud whose ids are looked up by name",
      { cloud: "gcc-high", streams: ["alerts"] },
      [{ resourceAppId: GRAPH, resourceAccess: [{ id: "<SecurityAlert.Read.All>", type: "Role" }] }],
    ],
  ])("%s", (_, over, access) => {
    expect(manifestOf({ ...plan, ...over })).toMatchObject({
      signInAudience: "AzureADMultipleOrgs",
      requiredResourceAccess: access,
    });
  });

  test("the script quotes what was typed and looks permissions up by name", () => {
    const { script } = registration({ ...plan, name: "It's $HOME; rm -rf" });
    expect(script).toContain(`--display-name 'It'\\''s $HOME; rm -rf'`);
    expect(script).toContain("appRoles[?value=='SecurityAlert.Read.All'].id");
  });
});

describe("an exported manifest is compared", () => {
  const good = manifestOf(plan);
  const older = {
    signInAudience: "AzureADMultipleOrgs",
    replyUrlsWithType: [{ url: "http://localhost:44300/defender-mssp", type: "Web" }],
    requiredResourceAccess: good["requiredResourceAccess"],
  };
  test.each<[string, unknown, readonly string[]]>([
    ["today's form", good, []],
    ["the portal's older form", older, []],
    [
      "a redirect URI of type SPA",
      { ...good, web: {}, spa: { redirectUris: ["http://localhost:44300/defender-mssp"] } },
      ["of type SPA"],
    ],
    [
      "delegated instead of application permissions",
      manifestOf({ ...plan, auth: "refresh_token" }),
      ["is listed as delegated permission", "is listed as delegated permission", "do not need"],
    ],
    [
      "a permission too many",
      manifestOf({ ...plan, streams: ["alerts", "incidents", "hunting"] }),
      ["1 permission is listed that the streams do not need"],
    ],
    ["not a manifest", [], ["not an application manifest"]],
  ])("%s", (_, manifest, words) => {
    const problems = checkManifest(manifest, plan);
    expect(problems).toHaveLength(words.length);
    for (const [n, word] of words.entries()) expect(problems[n]).toContain(word);
  });
});

describe("register --apply", () => {
  function graph(answers: Readonly<Record<string, { status?: number; body: unknown }>>): {
    http: Http;
    asked: HttpRequest[];
  } {
    const asked: HttpRequest[] = [];
    return {
      asked,
      http: {
        send(request) {
          asked.push(request);
          const { pathname } = new URL(request.url);
          const answer = answers[`${request.method} ${pathname}`] ?? { status: 404, body: {} };
          return Promise.resolve({
            status: answer.status ?? 200,
            headers: {},
            body: (async function* () {})(),
            text: () => Promise.resolve(JSON.stringify(answer.body)),
            discard: () => Promise.resolve(),
          });
        },
        close: () => Promise.resolve(),
      },
    };
  }
  const clock = new FakeClock(Date.UTC(2026, 10, 24), { pauses: "pass" });
  const where = {
    endpoints: { loginUrl: "", graphUrl: "https://graph.example.test", apiUrl: "", mdeApiUrl: "", siemUrl: "" },
    route: {},
  };
  const principal = {
    body: {
      appRoles: [
        { value: "SecurityAlert.Read.All", id: "a" },
        { value: "SecurityIncident.Read.All", id: "i" },
      ],
    },
  };

  test("looks ids up by name, creates app and principal, and makes one key for a year", async () => {
    const { http, asked } = graph({
      [`GET /v1.0/servicePrincipals(appId='${GRAPH}')`]: principal,
      "POST /v1.0/applications": { status: 201, body: { id: "object", appId: "client" } },
      "POST /v1.0/servicePrincipals": { status: 201, body: {} },
      "POST /v1.0/applications/object/addPassword": { body: { secretText: "the key" } },
    });

    const made = await applyRegistration({ http, clock }, plan, sealed("token\n"), where);

    expect(made).toMatchObject({ clientId: "client", secretEnds: "2027-11-24T00:00:00.000Z" });
    expect(made.secret!.open((value) => value)).toBe("the key");
    expect(asked.every(({ headers }) => headers["authorization"] === "Bearer token")).toBe(true);
    expect(JSON.parse(String(asked[1]!.body)).requiredResourceAccess[0].resourceAccess).toEqual([
      { id: "a", type: "Role" },
      { id: "i", type: "Role" },
    ]);
  });

  test.each([
    [401, "graph-token-refused"],
    [403, "graph-forbidden"],
  ])("a token that Graph answers %d has its own sentence", async (status, code) => {
    const { http } = graph({ [`GET /v1.0/servicePrincipals(appId='${GRAPH}')`]: { status, body: {} } });
    await expect(applyRegistration({ http, clock }, plan, sealed("token"), where)).rejects.toMatchObject({
      code,
      actor: "operator",
    });
  });
});
