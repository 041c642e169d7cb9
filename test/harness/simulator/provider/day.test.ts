import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Simulator, startSimulator } from "../start.ts";
import { type Visitor, visit } from "../visitor.ts";

const HOUR_MS = 3_600_000;
const LIST = "/v1.0/tenantRelationships/delegatedAdminRelationships?$filter=status eq 'active'&$top=300";

let simulator: Simulator;
let visitor: Visitor;

beforeAll(async () => {
  simulator = await startSimulator({ scenario: "test/fixtures/partner/day.yaml", frozen: true });
  visitor = visit(simulator);
});

afterAll(async () => {
  await visitor.close();
  await simulator.stop();
});

interface Row {
  readonly displayName: string;
  readonly customer: { readonly tenantId: string; readonly displayName: string };
}

/** All pages of the list, by the names of the scenario; `torn` where a page is not whole. */
async function listed(): Promise<string[] | "torn" | number> {
  const { provider, graph_url } = simulator.ready;
  if (provider === undefined) throw new Error("no provider");
  const token = await visitor.appToken({ tenant_id: provider.tenant_id, ...provider.home });
  const rows: Row[] = [];
  for (let url: string | undefined = `${graph_url}${LIST}`; url !== undefined; ) {
    const { status, json } = await visitor.get(url, token);
    if (status !== 200) return status;
    if (json === undefined) return "torn";
    rows.push(...(json.value as Row[]));
    url = json["@odata.nextLink"] as string | undefined;
  }
  const names = new Map(simulator.ready.customers.map(({ tenant_id, tenant_name }) => [tenant_id, tenant_name]));
  return rows.map(({ customer }) => names.get(customer.tenantId) ?? "nobody");
}

test("the scenario of a provider's day shows who appears, ends, returns and is left out, hour by hour", async () => {
  const START = ["adatum", "contoso", "litware", "proseware", "fabrikam", "northwind", "tailspin"];
  const seen: Record<number, unknown> = {};
  for (let hour = 0; hour < 24; hour += 1) {
    seen[hour] = await listed();
    simulator.control.advance(HOUR_MS);
  }

  const afterFive = [...START, "wingtip", "woodgrove", "fourth-coffee", "alpine"];
  const without = (names: readonly string[]): string[] => afterFive.filter((name) => !names.includes(name));
  expect(seen[0]).toEqual(START);
  expect(seen[4]).toEqual([...START, "wingtip", "woodgrove", "fourth-coffee"]);
  expect(seen[5]).toEqual(afterFive);
  expect(seen[8]).toEqual(without(["fabrikam"]));
  expect(seen[10]).toEqual(without(["fabrikam", "northwind"]));
  const evening = without(["fabrikam", "northwind", "proseware"]);
  expect(seen[14]).toEqual(evening);
  expect(seen[17]).toEqual([...evening, "fabrikam"]);
  expect(seen[18]).toEqual(["woodgrove", "fourth-coffee", "alpine", "fabrikam"]);
  expect(seen[19]).toEqual([...evening, "fabrikam"]);
  expect([seen[20], seen[21]]).toEqual([503, "torn"]);
  expect(seen[23]).toEqual(seen[19]);
});
