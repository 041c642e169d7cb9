import { expect, test } from "@jest/globals";
import { Failure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";

import type { OnboardingServices, TokenApi } from "../../model/sign-in.ts";
import type { TenantId } from "../../model/tenant.ts";
import { refuses } from "./customers-discover.ts";

const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;

test.each<[string, Partial<Record<TokenApi, FailureCode>>, boolean]>([
  ["not while another of its APIs gives a token", { graph: "consent-missing" }, false],
  ["not while another of its APIs cannot be asked", { graph: "consent-missing", mde: "throttled" }, false],
  ["when every API of its streams refuses", { graph: "consent-missing", mde: "forbidden" }, true],
])("a customer refuses the program %s", async (_, codes, expected) => {
  const services = {
    customers: () => Promise.resolve({ stanzas: [{ name: "Contoso", streams: ["alerts", "mde-alerts"] }] }),
    signInService: {
      accessToken: (_stanza: unknown, api: TokenApi) => {
        const code = codes[api];
        return code === undefined
          ? Promise.resolve("token")
          : Promise.reject(new Failure(code, { actor: "operator", retry: { when: "later" }, say: code }));
      },
    },
  } as unknown as OnboardingServices;
  expect(await refuses(services, { name: "Contoso", tenantId: CONTOSO }, {})).toBe(expected);
});
