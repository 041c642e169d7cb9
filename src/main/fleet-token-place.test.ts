import { expect, test } from "@jest/globals";
import type { Stanza } from "../model/stanza.ts";
import { fleetTokenPlace } from "./fleet-token-place.ts";

test("a customer whose tenant is a domain is refused before anybody signs in, and before the fleet is opened", async () => {
  const customer = { name: "contoso", tenantId: "contoso.onmicrosoft.com" } as Stanza;

  await expect(fleetTokenPlace({ config: "/nowhere" }, customer, {})).rejects.toMatchObject({
    code: "settings",
    say: expect.stringContaining("tenant_id of contoso is a domain; write the tenant's GUID"),
  });
});
