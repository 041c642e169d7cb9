import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import type { Http, HttpRequest } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import type { RegistrationPlan } from "../model/sign-in.ts";
import { governanceTemplate } from "./governance-template.ts";
import { checkManifest, manifestOf, registration } from "./registration.ts";
import { applyRegistration } from "./registration-apply.ts";

const plan: RegistrationPlan = {
  purpose: "reader",
  sources: [],
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

describe("an app that proves itself with a platform's token", () => {
  const federated = {
    issuer: "https://oidc.example/pod",
    subject: "system:serviceaccount:soc:it's",
    audience: "api://AzureADTokenExchange",
    assertion: "file:/var/run/my token",
  };
  const { portalSteps, script, federatedCredential } = registration({ ...plan, proof: "federated", federated });

  test("is told in portal, script and Graph which issuer, subject and audience it has to trust", () => {
    const wanted = {
      name: "defender-mssp",
      issuer: federated.issuer,
      subject: federated.subject,
      audiences: [federated.audience],
    };
    expect(federatedCredential).toEqual(wanted);
    expect(portalSteps.join("\n")).toContain(
      "Issuer: https://oidc.example/pod, Subject: system:serviceaccount:soc:it's, Audience: api://AzureADTokenExchange.",
    );
    const [, parameters = ""] = /federated-credential create --id "\$app" --parameters '(.+)' >/.exec(script) ?? [];
    expect(JSON.parse(parameters.replaceAll(`'\\''`, "'"))).toEqual(wanted);
    expect(script).not.toContain("credential reset");
  });

  test("is stored for all customers with the same setting", () => {
    expect(portalSteps.join("\n")).toContain(
      // The words are quoted for the shell when the command is printed.
      '`defender-mssp credential set mssp --assertion "file:/var/run/my token"`',
    );
  });

  test("has no federated credential printed where it signs in in another way", () => {
    expect(registration(plan).federatedCredential).toBeUndefined();
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

describe("the home app and the bridge", () => {
  const home: RegistrationPlan = {
    ...plan,
    purpose: "home",
    sources: ["gdap"],
    name: "MSSP Defender customer list",
    redirectUris: [],
  };
  const bridge: RegistrationPlan = { ...plan, purpose: "bridge", name: "MSSP Defender consent bridge" };

  test("the home app exists in one tenant, reads lists only, and no customer can be asked for it", () => {
    expect(manifestOf(home)).toEqual({
      displayName: "MSSP Defender customer list",
      signInAudience: "AzureADMyOrg",
      isFallbackPublicClient: false,
      web: {
        redirectUris: [],
        implicitGrantSettings: { enableAccessTokenIssuance: false, enableIdTokenIssuance: false },
      },
      requiredResourceAccess: [
        { resourceAppId: GRAPH, resourceAccess: [{ id: "f6e9e124-4586-492f-adc0-c6f96e4823fd", type: "Role" }] },
      ],
    });
    expect(manifestOf({ ...home, sources: ["gdap", "governance"] })["requiredResourceAccess"]).toEqual([
      {
        resourceAppId: GRAPH,
        resourceAccess: [
          { id: "f6e9e124-4586-492f-adc0-c6f96e4823fd", type: "Role" },
          { id: "<TenantGovernance-Relationship.Read.All>", type: "Role" },
        ],
      },
    ]);
  });

  test("the bridge has delegated permissions only, none of its own", () => {
    expect(manifestOf(bridge)).toMatchObject({
      signInAudience: "AzureADMultipleOrgs",
      web: { redirectUris: ["http://localhost:44300/defender-mssp"] },
      requiredResourceAccess: [
        {
          resourceAppId: "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd",
          resourceAccess: [{ id: "1cebfa2a-fb4d-419e-b5f9-839b4383e05a", type: "Scope" }],
        },
        {
          resourceAppId: GRAPH,
          resourceAccess: [
            { id: "bdfbf15f-ee85-4955-8675-146e8e5296b5", type: "Scope" },
            { id: "84bccea3-f856-4a8a-967b-dbe0a3d53a64", type: "Scope" },
          ],
        },
      ],
    });
  });

  test("scripts grant the home app in the own tenant, and leave the bridge without any grant there", () => {
    const ofHome = registration(home).script;
    expect(ofHome).toContain("--sign-in-audience AzureADMyOrg");
    expect(ofHome).not.toContain("--web-redirect-uris");
    expect(ofHome).toContain("appRoles[?value=='DelegatedAdminRelationship.Read.All'].id");
    expect(ofHome).toContain('az ad app permission admin-consent --id "$app"');
    const ofBridge = registration(bridge).script;
    expect(ofBridge).toContain("oauth2PermissionScopes[?value=='AppRoleAssignment.ReadWrite.All'].id");
    expect(ofBridge).toContain("az ad sp show --id fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd");
    expect(ofBridge).not.toContain("admin-consent");
    expect(ofBridge).toContain('--end-date "$ends"');
  });

  test("portal steps store the home app's secret, and never the bridge's", () => {
    expect(registration(home).portalSteps.join("\n")).toContain("`defender-mssp credential set home`");
    const steps = registration(bridge).portalSteps.join("\n");
    expect(steps).not.toContain("credential set");
    expect(steps).toContain("do not grant admin consent for your own tenant");
    expect(steps).toContain("APIs my organization uses > Microsoft Partner Center > Delegated permissions");
  });

  test.each<[string, RegistrationPlan, Record<string, unknown>, readonly string[]]>([
    ["a right home app", home, {}, []],
    ["a right bridge", bridge, {}, []],
    [
      "a home app that customers can be asked to consent to",
      home,
      { signInAudience: "AzureADMultipleOrgs" },
      ['needs "Single tenant"'],
    ],
    [
      "a bridge whose power is its own",
      bridge,
      {
        requiredResourceAccess: [
          {
            resourceAppId: GRAPH,
            resourceAccess: [
              { id: "bdfbf15f-ee85-4955-8675-146e8e5296b5", type: "Scope" },
              { id: "06b708a9-e830-4db3-a914-8e69da51d44f", type: "Role" },
            ],
          },
        ],
      },
      [
        "user_impersonation of Microsoft Partner Center is missing",
        "AppRoleAssignment.ReadWrite.All of Microsoft Graph is listed as application permission, but this app needs",
        "that this app does not need",
      ],
    ],
  ])("the check of a manifest tells %s", (_, wanted, change, words) => {
    const problems = checkManifest({ ...manifestOf(wanted), ...change }, wanted);
    expect(problems).toHaveLength(words.length);
    for (const [n, word] of words.entries()) expect(problems[n]).toContain(word);
  });
});

test("the governance template makes the reader with its roles, and gives the group Security Reader only", () => {
  const ids = {
    clientId: "11111111-2222-4333-8444-000000000001",
    objectId: "11111111-2222-4333-8444-000000000002",
    groupId: "11111111-2222-4333-8444-000000000003",
  };
  expect(governanceTemplate(plan, ids)).toEqual({
    displayName: "MSSP Defender collector",
    description: "Read-only access to alerts and incidents of Microsoft Defender.",
    multiTenantApplicationsToProvision: [
      {
        appId: ids.clientId,
        objectId: ids.objectId,
        displayName: "MSSP Defender collector",
        requiredResourceAccesses: [
          {
            resourceAppId: GRAPH,
            permissions: [
              { id: "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", name: "SecurityAlert.Read.All", type: "role" },
              { id: "45cc0394-e837-488b-a098-1918f48d186c", name: "SecurityIncident.Read.All", type: "role" },
            ],
          },
        ],
      },
    ],
    delegatedAdministrationRoleAssignments: [
      {
        roleTemplates: [{ id: "5d6b6bb7-de71-4623-b4af-96380a352509", name: "Security Reader" }],
        group: { id: ids.groupId },
      },
    ],
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

  test("the bridge's secret lasts a week, and an id that is not Microsoft's is not registered", async () => {
    const partner = "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd";
    const scopes = (id: string) => ({
      body: {
        appRoles: [{ value: "AppRoleAssignment.ReadWrite.All", id: "06b708a9-e830-4db3-a914-8e69da51d44f" }],
        oauth2PermissionScopes: [
          { value: "Application.ReadWrite.All", id: "bdfbf15f-ee85-4955-8675-146e8e5296b5" },
          { value: "AppRoleAssignment.ReadWrite.All", id },
        ],
      },
    });
    const answers = {
      [`GET /v1.0/servicePrincipals(appId='${partner}')`]: {
        body: { oauth2PermissionScopes: [{ value: "user_impersonation", id: "1cebfa2a-fb4d-419e-b5f9-839b4383e05a" }] },
      },
      [`GET /v1.0/servicePrincipals(appId='${GRAPH}')`]: scopes("84bccea3-f856-4a8a-967b-dbe0a3d53a64"),
      "POST /v1.0/applications": { status: 201, body: { id: "object", appId: "client" } },
      "POST /v1.0/servicePrincipals": { status: 201, body: {} },
      "POST /v1.0/applications/object/addPassword": { body: { secretText: "the key" } },
    };
    const bridge: RegistrationPlan = { ...plan, purpose: "bridge" };
    const { http, asked } = graph(answers);
    const made = await applyRegistration({ http, clock }, bridge, sealed("token"), where);
    expect(made).toMatchObject({ clientId: "client", secretEnds: "2026-12-01T00:00:00.000Z" });
    expect(JSON.parse(String(asked[2]!.body))).toEqual(manifestOf(bridge));

    const forged = graph({ ...answers, [`GET /v1.0/servicePrincipals(appId='${GRAPH}')`]: scopes("another") });
    await expect(applyRegistration({ http: forged.http, clock }, bridge, sealed("token"), where)).rejects.toMatchObject(
      { code: "permission-differs", actor: "operator" },
    );
    expect(forged.asked.map(({ method }) => method)).toEqual(["GET", "GET"]);
  });

  test("adds a federated credential and no client secret where a platform's token is the proof", async () => {
    const { http, asked } = graph({
      [`GET /v1.0/servicePrincipals(appId='${GRAPH}')`]: principal,
      "POST /v1.0/applications": { status: 201, body: { id: "object", appId: "client" } },
      "POST /v1.0/servicePrincipals": { status: 201, body: {} },
      "POST /v1.0/applications/object/federatedIdentityCredentials": { status: 201, body: {} },
    });
    const federated = { issuer: "https://i.example", subject: "s", audience: "a", assertion: "file:/t" };

    const made = await applyRegistration(
      { http, clock },
      { ...plan, proof: "federated", federated },
      sealed("t"),
      where,
    );

    expect(made).toMatchObject({ clientId: "client", secret: undefined });
    expect(JSON.parse(String(asked.at(-1)?.body))).toEqual({
      name: "defender-mssp",
      issuer: "https://i.example",
      subject: "s",
      audiences: ["a"],
    });
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
