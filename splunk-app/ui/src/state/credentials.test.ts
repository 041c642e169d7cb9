import { expect, test } from "@jest/globals";
import type { SharedCredentialRow } from "../../../../src/model/shared-credential.ts";
import { credentialProblems, daysLeft } from "./credentials.ts";
import type { Status } from "./customers.ts";

const NOW = Date.UTC(2026, 10, 24, 12);
const GUID = "11111111-2222-3333-4444-555555555555";
const ROW: SharedCredentialRow = {
  name: "mssp",
  kind: "client secret",
  client_id: GUID,
  expires: null,
  used_by: ["a", "b"],
  is_home_app: false,
};
const status = (input: string, days: number | null) => ({ input, credential_days_left: days }) as Status;
const TYPED = { name: "mssp", client_id: GUID, client_secret: "v~secret", expires: "2027-11-24" };

test("a credential ends at its own date, else when the first of its customers reports an end", () => {
  const statuses = [status("a", 40), status("b", 12), status("c", 1), status("a", null)];

  expect(daysLeft({ ...ROW, expires: "2026-12-24T12:00:00Z" }, statuses, NOW)).toBe(30);
  expect(daysLeft({ ...ROW, expires: "2026-11-23T00:00:00Z" }, statuses, NOW)).toBe(-2);
  expect(daysLeft(ROW, statuses, NOW)).toBe(12);
  expect(daysLeft(ROW, [], NOW)).toBeUndefined();
});

test("what can be stored is accepted: a new credential whole, a new secret alone", () => {
  expect(credentialProblems(TYPED, true, ["other"])).toEqual({});
  expect(credentialProblems({ ...TYPED, client_id: "", expires: "" }, false, ["mssp"])).toEqual({});
});

test.each([
  ["name", { name: "" }, "is missing"],
  ["name", { name: "two words" }, "contains characters that are not allowed"],
  ["name", { name: "taken" }, "is used already"],
  ["client_id", { client_id: "" }, "is missing"],
  ["client_id", { client_id: "app" }, "GUID"],
  ["client_secret", { client_secret: " " }, "is missing"],
  ["client_secret", { client_secret: GUID }, "is the ID of the client secret, not its value"],
  ["expires", { expires: "soon" }, "date"],
])("a wrong %s (%j) is refused before anything is sent", (key, typed, say) => {
  expect(credentialProblems({ ...TYPED, ...typed }, true, ["taken"])).toEqual({ [key]: expect.stringContaining(say) });
});
