import { describe, expect, test } from "@jest/globals";
import type { Answer } from "../visitor.ts";
import { claimsOf, type ProviderWorld, startProvider } from "./provider-world.ts";

const GRAPH_APP = "00000003-0000-0000-c000-000000000000";
const ALERTS_ROLE = "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5";
const INCIDENTS_ROLE = "45cc0394-e837-488b-a098-1918f48d186c";

interface Directory {
  readonly world: ProviderWorld;
  readonly get: (path: string) => Promise<Answer>;
  readonly post: (path: string, body: unknown) => Promise<Answer>;
  /** The reader's roles in a token of contoso issued now; undefined where it gets no token. */
  readonly roles: () => Promise<unknown>;
}

/** The directory of contoso, seen with the token of contoso's own app. */
async function given(provider: string): Promise<Directory> {
  const started = await startProvider(provider, "{ name: contoso }, { name: fabrikam }");
  const { simulator, visitor, send } = started;
  const token = await visitor.appToken(simulator.control.customer("contoso"));
  const origin = `${simulator.ready.graph_url}/v1.0/`;
  simulator.control.perform({ do: "consent", customers: ["contoso"], state: "absent" });
  return {
    world: started,
    get: (path) => visitor.get(`${origin}${path}`, token),
    post: (path, body) => send("POST", `${origin}${path}`, token, body),
    roles: async () => {
      const { json } = await started.asApp(started.tenantId("contoso"), started.provider.reader);
      return json.access_token === undefined ? json.error_codes : (claimsOf(json.access_token)["roles"] ?? []);
    },
  };
}

/** Makes the reader's service principal and returns its id and that of Graph. */
async function withReader({ world: { provider }, get, post }: Directory): Promise<{ reader: string; graph: string }> {
  const made = await post("servicePrincipals", { appId: provider.reader.client_id });
  const graph = await get(`servicePrincipals(appId='${GRAPH_APP}')?$select=id`);
  return { reader: made.json.id as string, graph: graph.json.id as string };
}

describe("the simulator's service principals", () => {
  test("are found by app id or by their own id, per tenant, and 404 where the tenant has none", async () => {
    const directory = await given("{ tenant: mssp }");
    const { provider } = directory.world;
    const byAppId = `servicePrincipals(appId='${provider.reader.client_id}')`;

    const absent = await directory.get(byAppId);
    const { reader } = await withReader(directory);
    const found = await directory.get(`${byAppId}?$select=id`);
    const byId = await directory.get(`servicePrincipals/${reader}`);
    const listed = await directory.get(`servicePrincipals?$filter=appId eq '${provider.reader.client_id}'`);

    expect([absent.status, absent.json.error.code]).toEqual([404, "Request_ResourceNotFound"]);
    expect(found.json).toEqual({
      "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#servicePrincipals(id)/$entity",
      id: reader,
    });
    expect(byId.json).toMatchObject({ id: reader, appId: provider.reader.client_id });
    expect(listed.json.value).toMatchObject([{ id: reader }]);
  });

  test("cannot be made twice, nor for an app that nobody registered, and have no other members", async () => {
    const directory = await given("{ tenant: mssp }");
    const { provider } = directory.world;
    await withReader(directory);

    const again = await directory.post("servicePrincipals", { appId: provider.reader.client_id });
    const unknown = await directory.post("servicePrincipals", { appId: "00000000-0000-4000-8000-000000000000" });
    const member = await directory.get(`servicePrincipals(appId='${GRAPH_APP}')?$select=color`);

    expect([again.status, again.json.error.code]).toEqual([409, "Request_MultipleObjectsWithSameKeyValue"]);
    expect([unknown.status, unknown.json.error.code]).toEqual([400, "Request_BadRequest"]);
    expect(member.status).toBe(400);
  });

  test("get roles one by one, which then stand in the app's tokens and in the list of assignments", async () => {
    const directory = await given("{ tenant: mssp }");
    const before = await directory.roles();
    const { reader, graph } = await withReader(directory);
    const withoutRoles = await directory.roles();
    const body = { principalId: reader, resourceId: graph, appRoleId: ALERTS_ROLE };

    const made = await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, body);
    const again = await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, body);
    const other = await directory.post(`servicePrincipals/${reader}/appRoleAssignments`, {
      ...body,
      appRoleId: INCIDENTS_ROLE,
    });
    const list = await directory.get(`servicePrincipals/${reader}/appRoleAssignments`);

    expect([before, withoutRoles]).toEqual([[7000229], []]);
    expect([made.status, other.status]).toEqual([201, 201]);
    expect(made.json).toMatchObject({
      ...body,
      principalType: "ServicePrincipal",
      resourceDisplayName: "Microsoft Graph",
    });
    expect([again.status, again.json.error.message]).toEqual([
      400,
      "Permission being assigned already exists on the object",
    ]);
    expect((list.json.value as { appRoleId: string }[]).map(({ appRoleId }) => appRoleId)).toEqual([
      ALERTS_ROLE,
      INCIDENTS_ROLE,
    ]);
    expect(list.json.value[0].id).toBe(made.json.id);
    expect(await directory.roles()).toEqual(["SecurityAlert.Read.All", "SecurityIncident.Read.All"]);
  });

  test.each([
    ["a role that the API does not have", { appRoleId: "00000000-0000-4000-8000-000000000000" }, 400],
    ["an app that is not in the tenant", { principalId: "00000000-0000-4000-8000-000000000000" }, 404],
    ["an API that is not in the tenant", { resourceId: "00000000-0000-4000-8000-000000000000" }, 404],
  ])("get no assignment of %s", async (_, wrong, status) => {
    const directory = await given("{ tenant: mssp }");
    const { reader, graph } = await withReader(directory);
    const body = { principalId: reader, resourceId: graph, appRoleId: ALERTS_ROLE, ...wrong };

    expect((await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, body)).status).toBe(status);
    expect(await directory.roles()).toEqual([]);
  });

  test("are known by their id, and take roles, only after the scenario's delay", async () => {
    const directory = await given("{ tenant: mssp, principal_delay: 5s }");
    const { reader, graph } = await withReader(directory);
    const body = { principalId: reader, resourceId: graph, appRoleId: ALERTS_ROLE };
    const assign = async (): Promise<number> =>
      (await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, body)).status;

    expect([(await directory.get(`servicePrincipals/${reader}/appRoleAssignments`)).status, await assign()]).toEqual([
      404, 404,
    ]);
    directory.world.simulator.control.advance(5000);
    expect([(await directory.get(`servicePrincipals/${reader}/appRoleAssignments`)).status, await assign()]).toEqual([
      200, 201,
    ]);
  });

  test("show a role in tokens after the scenario's delay, and in the list at once", async () => {
    const directory = await given("{ tenant: mssp, role_delay: 60s }");
    const { reader, graph } = await withReader(directory);
    const body = { principalId: reader, resourceId: graph, appRoleId: ALERTS_ROLE };

    await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, body);

    expect((await directory.get(`servicePrincipals/${reader}/appRoleAssignments`)).json.value).toHaveLength(1);
    expect(await directory.roles()).toEqual([]);
    directory.world.simulator.control.advance(60_000);
    expect(await directory.roles()).toEqual(["SecurityAlert.Read.All"]);
  });

  test("lose their roles when the consent is withdrawn, and single roles that the customer removes", async () => {
    const directory = await given("{ tenant: mssp }");
    const { reader, graph } = await withReader(directory);
    for (const appRoleId of [ALERTS_ROLE, INCIDENTS_ROLE])
      await directory.post(`servicePrincipals/${graph}/appRoleAssignedTo`, {
        principalId: reader,
        resourceId: graph,
        appRoleId,
      });
    const { control } = directory.world.simulator;

    control.perform({ do: "permissions", customers: ["contoso"], roles: ["SecurityAlert.Read.All"] });
    expect(await directory.roles()).toEqual(["SecurityAlert.Read.All"]);
    control.perform({ do: "consent", customers: ["contoso"], state: "withdrawn" });
    expect(await directory.roles()).toEqual([]);
  });
});

describe("the simulator's governance", () => {
  test("gives the reader its roles while the relationship lasts, and takes it out of the tenant with it", async () => {
    const directory = await given("{ tenant: mssp, relationships: [{ customer: fabrikam }] }");
    const { control } = directory.world.simulator;
    const relate = (status: string): unknown =>
      control.perform({ do: "relationship", customers: ["contoso"], kind: "governance", apps: ["reader"], status });

    expect(await directory.roles()).toEqual([7000229]);
    relate("active");
    expect(await directory.roles()).toEqual(["SecurityAlert.Read.All", "SecurityIncident.Read.All"]);
    relate("terminationRequestedByGoverningTenant");
    expect(await directory.roles()).toEqual(["SecurityAlert.Read.All", "SecurityIncident.Read.All"]);
    relate("terminated");
    expect(await directory.roles()).toEqual([7000229]);
  });
});
