import { describe, expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import type { ConfiguredCustomer, RosterChange } from "../../model/roster.ts";
import type { TenantId } from "../../model/tenant.ts";
import { customersByTenant, enrol, remove } from "./discovered-customers.ts";
import type { RosterPlace } from "./roster-place.ts";

const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;
const FABRIKAM = "22222222-2222-4333-8444-555555555555" as TenantId;

/** Customers in memory; domains in `tenants` are known, all others cannot be looked up. */
class Place implements RosterPlace {
  readonly name = "defender-mssp.properties";
  readonly host = "arcsight";
  readonly common = {};
  readonly globals = {};
  readonly usesIndex = false;
  readonly written: RosterChange[] = [];
  readonly tenants = new Map<string, TenantId>();
  readonly customers: readonly ConfiguredCustomer[];
  readonly services: Parameters<typeof remove>[0];

  constructor(customers: Readonly<Record<string, Readonly<Record<string, string>>>>) {
    this.customers = Object.entries(customers).map(([name, values]) => ({ name, values }));
    this.services = {
      nowMs: () => 0,
      roster: {
        findTenant: ({ tenantId }: { readonly tenantId: string }) => {
          const found = this.tenants.get(tenantId) ?? (tenantId.includes(".") ? undefined : tenantId);
          return found === undefined
            ? Promise.reject(
                new Failure("tenant-not-found", {
                  actor: "operator",
                  retry: { when: "later" },
                  say: "No such tenant.",
                }),
              )
            : Promise.resolve({ tenantId: found, cloud: "commercial" });
        },
      } as unknown as Parameters<typeof remove>[0]["roster"],
    };
  }

  counts(): string {
    return "";
  }

  write(changes: readonly RosterChange[], report: Parameters<RosterPlace["write"]>[1]): Promise<void> {
    for (const change of changes) {
      this.written.push(change);
      report(change, undefined);
    }
    return Promise.resolve();
  }
}

test("configured customers whose tenant is not known now are named beside those that are known", async () => {
  const place = new Place({
    Contoso: { tenant_id: CONTOSO },
    "unknown domain": { tenant_id: "gone.example" },
    "wrong setting": { tenant_id: "contoso.example", cloud: "none such" },
  });
  place.tenants.set("contoso.example", FABRIKAM);
  expect(await customersByTenant(place.services, place)).toEqual({
    names: new Map([[CONTOSO, "Contoso"]]),
    unresolved: ["unknown domain", "wrong setting"],
  });
});

test("a customer that is configured already is not called enrolled", async () => {
  const place = new Place({ Contoso: { tenant_id: CONTOSO, credential: "main" } });
  const failures = await enrol(place.services, place, [{ tenantId: CONTOSO, name: "Contoso" }], {
    settings: {},
    credential: "main",
    rows: new Map(),
    flags: {},
  });
  expect(failures.get(CONTOSO)?.say).toContain("Contoso");
  expect(place.written).toEqual([]);
});

test("without the customer whose settings new ones get, each of them is told why it is not enrolled", async () => {
  const place = new Place({ Contoso: { tenant_id: CONTOSO, credential: "main" } });
  const failures = await enrol(place.services, place, [{ tenantId: FABRIKAM, name: "Fabrikam" }], {
    settings: { defaults: "Model" },
    credential: "main",
    rows: new Map(),
    flags: {},
  });
  expect(failures.get(FABRIKAM)?.say).toContain("`discover_defaults` names Model");
  expect(place.written).toEqual([]);
});

describe("a customer that ended is taken out of the configuration", () => {
  test("unless its name belongs to another tenant by now", async () => {
    const place = new Place({ Contoso: { tenant_id: FABRIKAM }, Fabrikam: { tenant_id: "fabrikam.example" } });
    const failures = await remove(place.services, place, [
      { tenantId: CONTOSO, name: "Contoso" },
      { tenantId: FABRIKAM, name: "Fabrikam" },
    ]);
    expect([...failures.keys()]).toEqual([CONTOSO, FABRIKAM]);
    expect(failures.get(CONTOSO)?.say).toContain(FABRIKAM);
    expect(place.written).toEqual([]);
  });

  test("also where a domain is configured, and nobody is missed who is not there", async () => {
    const place = new Place({ Contoso: { tenant_id: "contoso.example" } });
    place.tenants.set("contoso.example", CONTOSO);
    const failures = await remove(place.services, place, [
      { tenantId: CONTOSO, name: "Contoso" },
      { tenantId: FABRIKAM, name: "Fabrikam" },
    ]);
    expect(failures.size).toBe(0);
    expect(place.written).toEqual([{ kind: "remove", name: "Contoso", values: {} }]);
  });
});
