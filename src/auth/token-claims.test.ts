import { describe, expect, test } from "@jest/globals";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { WantedToken } from "./token-claims.ts";
import { verdictsOn } from "./token-claims.ts";

const NOW_MS = Date.UTC(2026, 10, 24, 16);
const TENANT = "11111111-2222-4333-8444-555555555555";
const CLIENT = "77777777-0000-4000-8000-000000000000";

function token(over: Record<string, unknown> = {}): Sealed {
  const claims = {
    aud: "https://graph.microsoft.com",
    tid: TENANT,
    appid: CLIENT,
    appidacr: "2",
    roles: ["SecurityAlert.Read.All", "SecurityIncident.Read.All"],
    nbf: NOW_MS / 1000 - 60,
    exp: NOW_MS / 1000 + 3540,
    ...over,
  };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return sealed(`${part({ alg: "RS256" })}.${part(claims)}.sig`);
}

const wanted: WantedToken = {
  nowMs: NOW_MS,
  customer: "Contoso",
  tenantId: TENANT,
  clientId: CLIENT,
  cloud: "commercial",
  streams: ["alerts", "incidents"],
};
const failing = (made: Sealed, more: Partial<WantedToken> = {}) =>
  verdictsOn(made, { ...wanted, ...more }).filter(({ ok }) => !ok);

describe("an access token is checked claim by claim", () => {
  test("a valid token passes every check, and a broader permission counts too", () => {
    expect(failing(token())).toEqual([]);
    expect(failing(token({ roles: ["SecurityAlert.ReadWrite.All", "SecurityIncident.ReadWrite.All"] }))).toEqual([]);
    expect(failing(token({ aud: "00000003-0000-0000-c000-000000000000" }))).toEqual([]);
    expect(
      failing(token({ roles: undefined, scp: "SecurityAlert.Read.All SecurityIncident.Read.All openid" })),
    ).toEqual([]);
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ["another tenant's", { tid: CLIENT }, "tenant", `not for Contoso (${TENANT})`],
    ["another app's", { appid: TENANT }, "app", "not to"],
    [
      "another API's",
      { aud: "https://api.securitycenter.microsoft.com" },
      "audience",
      "the expected API is Microsoft Graph",
    ],
    [
      "an API that this program does not use",
      { aud: "https://management.azure.com" },
      "audience",
      "not an API that this program reads alerts from",
    ],
    ["another cloud's", { aud: "https://graph.microsoft.us" }, "audience", "another cloud than commercial"],
    ["expired", { exp: NOW_MS / 1000 - 1 }, "times", "expired on 2026-11-24"],
    [
      "from the future: the clock is an hour off",
      { nbf: NOW_MS / 1000 + 3600, exp: NOW_MS / 1000 + 7200 },
      "times",
      "clock is behind",
    ],
    ["without any role", { roles: undefined }, "alerts", "The token has no roles"],
    [
      "without one permission",
      { roles: ["SecurityAlert.Read.All"] },
      "incidents",
      "SecurityIncident.Read.All is missing",
    ],
  ])("%s", (_, over, check, words) => {
    const found = failing(token(over));
    expect(found.find((verdict) => verdict.check === check)?.say).toContain(words);
    expect(found.every(({ nextStep }) => nextStep !== "")).toBe(true);
  });

  test.each<[string, string, string]>([
    ["a truncated token", "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRw", "truncated"],
    ["a refresh token", `1.AX${"y".repeat(300)}`, "refresh token"],
    ["nothing", "  ", "No token was given."],
    ["something else", "hunter2", "not an access token"],
  ])("%s has its own sentence, which does not repeat it", (_, text, words) => {
    const [verdict] = failing(sealed(text));
    expect(verdict!.say).toContain(words);
    expect(verdict!.say).not.toContain(text.trim() || "\u0000");
  });

  test("claims cannot write to the terminal", () => {
    expect(
      JSON.stringify(verdictsOn(token({ scp: "\u001b[31mred", roles: undefined, aud: "https://x\u0007" }), wanted)),
    ).not.toMatch(/\\u001b|\\u0007/);
  });
});
