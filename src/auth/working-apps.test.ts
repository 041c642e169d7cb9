import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { isFailure } from "../model/failure.ts";
import { sealed } from "../model/sealed.ts";
import type { TenantId } from "../model/tenant.ts";
import { createTokenCycles } from "./token-cycle.ts";

const APP = "99999999-0000-4000-8000-000000000000";
const OTHER_APP = "88888888-0000-4000-8000-000000000000";

const TOKEN = {
  body: JSON.stringify({ token_type: "Bearer", expires_in: 3600, access_token: "access" }),
};
const NOT_FOUND = {
  status: 400,
  body: JSON.stringify({ error: "unauthorized_client", error_codes: [700016], error_description: "AADSTS700016: …" }),
};

type Asked = readonly [customer: "Contoso" | "Fabrikam" | "Tailspin", app?: string];
const TENANTS = {
  Contoso: "11111111-2222-4333-8444-555555555555",
  Fabrikam: "22222222-2222-4333-8444-555555555555",
  Tailspin: "33333333-2222-4333-8444-555555555555",
} as const;

/** Asks for a token per customer, one after the other, in one run; each time as if the last one had ended. */
async function run(...story: readonly (readonly [Asked, typeof TOKEN | typeof NOT_FOUND])[]): Promise<string[]> {
  const http = new ScriptedHttp(...story.map(([, answer]) => answer));
  const cycles = createTokenCycles({ http, clock: new FakeClock(), random: { next: () => 0.5 }, log: new FakeLog() });
  const seen: string[] = [];
  for (const [[customer, app = APP]] of story) {
    const source = cycles.forCustomer({
      tenant: { id: TENANTS[customer] as TenantId, name: customer, cloud: "commercial" },
      stanza: {
        name: customer,
        endpoints: { loginUrl: "https://login.example.test", graphUrl: "", apiUrl: "", mdeApiUrl: "", siemUrl: "" },
        route: {},
      },
      audience: "https://graph.microsoft.com",
      credential: { kind: "secret", clientId: app, secret: sealed("s3cret") },
    });
    try {
      await source.accessToken();
      seen.push("token");
    } catch (error) {
      if (!isFailure(error)) throw error;
      const { code, actor, say } = error;
      seen.push(`${code} ${actor}: ${say}`);
    }
  }
  return seen;
}

const OPERATOR = (customer: string): string =>
  `app-not-found operator: App ${APP} does not exist in the tenant of ${customer} (AADSTS700016).`;
const CUSTOMER = (customer: string): string =>
  `app-not-found customer: ${customer} has not consented to app ${APP} yet, or has removed it (AADSTS700016).`;

describe("AADSTS700016", () => {
  test("is the operator's to fix while no customer's tenant has issued a token to the app", async () => {
    expect(await run([["Contoso"], NOT_FOUND], [["Fabrikam"], NOT_FOUND])).toEqual([
      OPERATOR("Contoso"),
      OPERATOR("Fabrikam"),
    ]);
  });

  test("is the customer's to fix once another customer's tenant has issued a token to the app", async () => {
    expect(await run([["Contoso"], NOT_FOUND], [["Fabrikam"], TOKEN], [["Contoso"], NOT_FOUND])).toEqual([
      OPERATOR("Contoso"),
      "token",
      CUSTOMER("Contoso"),
    ]);
  });

  test("is judged by the other customers of the same app, not by those of another app", async () => {
    expect(await run([["Fabrikam", OTHER_APP], TOKEN], [["Contoso"], NOT_FOUND])).toEqual([
      "token",
      OPERATOR("Contoso"),
    ]);
  });

  test("of a customer that itself got a token before is the operator's to fix while no other customer gets one", async () => {
    expect(await run([["Contoso"], TOKEN], [["Contoso"], NOT_FOUND])).toEqual(["token", OPERATOR("Contoso")]);
  });

  test("becomes the operator's to fix when no tenant knows the app any more, because the app was deleted", async () => {
    const story = await run(
      [["Contoso"], TOKEN],
      [["Fabrikam"], TOKEN],
      [["Contoso"], NOT_FOUND],
      [["Fabrikam"], NOT_FOUND],
      [["Contoso"], NOT_FOUND],
    );
    expect(story.slice(2)).toEqual([CUSTOMER("Contoso"), OPERATOR("Fabrikam"), OPERATOR("Contoso")]);
  });
});
