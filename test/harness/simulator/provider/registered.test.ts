import { createHash } from "node:crypto";
import { expect, test } from "@jest/globals";
import { claimsOf, type ProviderWorld, startProvider } from "./provider-world.ts";

const GRAPH_APP = "00000003-0000-0000-c000-000000000000";
const PARTNER_CENTER_APP = "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd";
const REDIRECT = "http://localhost:44300/signed-in";
const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";

interface Registered {
  readonly client_id: string;
  readonly client_secret: string;
}

type Wanted = Readonly<Record<string, readonly string[]>>;

/** Registers an app in the provider's tenant as `register --apply` does: ids are looked up by name. */
async function register({ simulator, visitor, provider, send }: ProviderWorld, wanted: Wanted): Promise<Registered> {
  const origin = `${simulator.ready.graph_url}/v1.0`;
  const token = await visitor.appToken({ tenant_id: provider.tenant_id, ...provider.home });
  const requiredResourceAccess = [];
  for (const [resourceAppId, names] of Object.entries(wanted)) {
    const { json } = await visitor.get(`${origin}/servicePrincipals(appId='${resourceAppId}')`, token);
    const offered = [...json.appRoles, ...json.oauth2PermissionScopes] as { id: string; value: string }[];
    const ids = names.map((name) => offered.find(({ value }) => value === name)?.id);
    requiredResourceAccess.push({ resourceAppId, resourceAccess: ids.map((id) => ({ id, type: "Role" })) });
  }
  const made = await send("POST", `${origin}/applications`, token, { displayName: "x", requiredResourceAccess });
  await send("POST", `${origin}/servicePrincipals`, token, { appId: made.json.appId as string });
  const secret = await send("POST", `${origin}/applications/${made.json.id}/addPassword`, token, {});
  return { client_id: made.json.appId as string, client_secret: secret.json.secretText as string };
}

async function consentAt({ simulator, visitor }: ProviderWorld, tenant: string, app: Registered): Promise<void> {
  const query = new URLSearchParams({ client_id: app.client_id, redirect_uri: REDIRECT, scope: "x" });
  await visitor.fetch(`${simulator.ready.login_url}/${tenant}/v2.0/adminconsent?${query.toString()}`);
}

test("a home app that was registered while the simulator runs lists the customers once its tenant consented", async () => {
  const world = await startProvider("{ tenant: mssp, relationships: [{ customer: contoso }] }");
  const { provider, simulator, visitor, asApp } = world;
  const app = await register(world, {
    [GRAPH_APP]: ["DelegatedAdminRelationship.Read.All", "TenantGovernance-Relationship.Read.All"],
  });
  const list = async (): Promise<number> => {
    const { json } = await asApp(provider.tenant_id, app);
    const url = `${simulator.ready.graph_url}/v1.0/tenantRelationships/delegatedAdminRelationships`;
    return (await visitor.get(url, json.access_token as string)).status;
  };

  expect(await list()).toBe(403);
  await consentAt(world, provider.tenant_id, app);
  expect(await list()).toBe(200);
  const shared = await asApp(provider.tenant_id, provider.reader);
  expect(claimsOf(shared.json.access_token)["roles"]).not.toContain("DelegatedAdminRelationship.Read.All");
});

test("a bridge and a reader that were registered while the simulator runs serve as the scenario's do", async () => {
  const world = await startProvider(
    "{ tenant: mssp, relationships: [{ customer: contoso, roles: [Privileged Role Administrator] }] }",
  );
  const { provider, simulator, visitor, asApp, send, tenantId } = world;
  const { login_url, graph_url, partnercenter_url } = simulator.ready;
  const scopes = ["Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"];
  const bridge = await register(world, { [PARTNER_CENTER_APP]: ["user_impersonation"], [GRAPH_APP]: scopes });
  const reader = await register(world, { [GRAPH_APP]: ["SecurityAlert.Read.All"] });
  const query = new URLSearchParams({
    client_id: bridge.client_id,
    response_type: "code",
    redirect_uri: REDIRECT,
    code_challenge: createHash("sha256").update(VERIFIER).digest("base64url"),
    code_challenge_method: "S256",
  });
  const page = await visitor.fetch(`${login_url}/organizations/oauth2/v2.0/authorize?${query.toString()}`);
  const signedIn = await visitor.post(`${login_url}/${provider.tenant_id}/oauth2/v2.0/token`, {
    grant_type: "authorization_code",
    ...bridge,
    code: new URL(page.headers.get("location") ?? "").searchParams.get("code") ?? "",
    redirect_uri: REDIRECT,
    code_verifier: VERIFIER,
    scope: "https://api.partnercenter.microsoft.com/user_impersonation offline_access",
  });
  const consents = `${partnercenter_url}/v1/customers/${tenantId("contoso")}/applicationconsents`;

  const consented = await send("POST", consents, signedIn.json.access_token as string, {
    applicationId: bridge.client_id,
    applicationGrants: [{ enterpriseApplicationId: GRAPH_APP, scope: scopes.join(",") }],
  });
  const { json } = await visitor.post(`${login_url}/${tenantId("contoso")}/oauth2/v2.0/token`, {
    grant_type: "refresh_token",
    ...bridge,
    refresh_token: signedIn.json.refresh_token as string,
    scope: "https://graph.microsoft.com/.default",
  });
  const token = json.access_token as string;
  const made = await send("POST", `${graph_url}/v1.0/servicePrincipals`, token, { appId: reader.client_id });
  const graph = await visitor.get(`${graph_url}/v1.0/servicePrincipals(appId='${GRAPH_APP}')`, token);
  const role = (graph.json.appRoles as { id: string; value: string }[]).find(
    ({ value }) => value === "SecurityAlert.Read.All",
  );
  await send("POST", `${graph_url}/v1.0/servicePrincipals/${graph.json.id}/appRoleAssignedTo`, token, {
    principalId: made.json.id as string,
    resourceId: graph.json.id as string,
    appRoleId: role?.id,
  });

  expect([consented.status, made.status]).toEqual([201, 201]);
  const asReader = await asApp(tenantId("contoso"), reader);
  expect(claimsOf(asReader.json.access_token)["roles"]).toEqual(["SecurityAlert.Read.All"]);
  expect(simulator.control.provider()).toMatchObject({ bridge_left: ["contoso"], writes: { contoso: 3 } });
});
