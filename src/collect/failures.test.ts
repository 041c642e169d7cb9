import { describe, expect, test } from "@jest/globals";
import { Failure } from "../model/failure.ts";
import { stateAfter } from "./failures.ts";

const refused = { retry: { when: "never" }, area: "sign-in", say: "…" } as const;

describe("the state of a customer whose tenant does not know the app", () => {
  test("is awaiting-consent where the customer must act", () => {
    expect(stateAfter(new Failure("app-not-found", { ...refused, actor: "customer" }))).toBe("awaiting-consent");
  });

  test("is signed-out where the operator must act, because the app or the tenant may be a wrong one", () => {
    expect(stateAfter(new Failure("app-not-found", { ...refused, actor: "operator" }))).toBe("signed-out");
  });
});
