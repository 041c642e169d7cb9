import { resolve } from "node:path";
import { expect, test } from "@jest/globals";
import type { AssertionSetting } from "../../model/assertion.ts";
import type { CloudName } from "../../model/cloud.ts";
import { Failure } from "../../model/failure.ts";
import type { OnboardingServices, RegistrationPlan } from "../../model/sign-in.ts";
import { register } from "./register.ts";

const IDENTITY = "77777777-0000-4000-8000-000000000000";
const TOKEN = { issuer: "https://oidc.example/pod", subject: "pod", audience: "api://AzureADTokenExchange" };

/** Runs `register --json` where the token can be read, or not; returns the plan and what was said. */
async function registered(flags: Readonly<Record<string, unknown>>, isReadable = true) {
  const asked: [AssertionSetting, CloudName][] = [];
  const said: string[] = [];
  let plan: RegistrationPlan | undefined;
  const fake = {
    terminal: {
      say: (line: string) => said.push(line),
      out: () => undefined,
      interactive: false,
      readAll: async () => "t",
    },
    commands: { inText: (text: string) => text },
    signInService: {
      registration(given: RegistrationPlan) {
        plan = given;
        return { portalSteps: [], manifest: {}, script: "" };
      },
      async federatedCredential(assertion: AssertionSetting, cloud: CloudName) {
        asked.push([assertion, cloud]);
        if (isReadable) return TOKEN;
        throw new Failure("assertion-unusable", {
          actor: "operator",
          retry: { when: "later" },
          say: "The token file cannot be read (ENOENT).",
          nextStep: "Check what writes the file of `assertion`.",
        });
      },
    },
  };
  await register(fake as unknown as OnboardingServices, { proof: "federated", json: true, ...flags });
  return { asked, said, plan };
}

test("register --proof federated reads issuer, subject and audience from the token of this machine", async () => {
  const { asked, plan } = await registered({ identity: "file:token", cloud: "gcc-high" });
  const assertion = `file:${resolve("token")}`;
  expect(asked).toEqual([[assertion, "gcc-high"]]);
  expect(plan?.federated).toEqual({ ...TOKEN, assertion });
});

test("register --proof federated says on another machine what to fill in, and what it can know already", async () => {
  const { said, plan } = await registered({ identity: `managed-identity:${IDENTITY}`, cloud: "dod" }, false);
  expect(said).toEqual([
    "The token file cannot be read (ENOENT). Run this command on the machine that collects, or fill in what stands in angle brackets.",
  ]);
  expect(plan?.federated).toEqual({
    issuer: "https://login.microsoftonline.us/<your tenant's GUID>/v2.0",
    subject: "<object ID of the managed identity>",
    audience: "api://AzureADTokenExchangeUSGov",
    assertion: `managed-identity:${IDENTITY}`,
  });
});

test("register --proof federated without an identity prints a form to fill in and asks nobody", async () => {
  const { asked, plan } = await registered({});
  expect(asked).toEqual([]);
  expect(plan?.federated).toEqual({
    issuer: "<issuer of the token>",
    subject: "<subject of the token>",
    audience: "api://AzureADTokenExchange",
    assertion: "file:PATH",
  });
});

test.each<[Readonly<Record<string, unknown>>, string]>([
  [{ apply: true, json: false }, "usage"],
  [{ apply: true, json: false, identity: "file:/token" }, "assertion-unusable"],
  [{ proof: "secret", identity: "file:/token" }, "usage"],
  [{ identity: "eyJhbGciOiJSUzI1NiJ9.e30.x" }, "usage"],
])("register refuses to go on with %j where no app could sign in afterwards", async (flags, code) => {
  const failure = await registered(flags, false).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code });
  expect(String(failure)).not.toContain("eyJ");
});
