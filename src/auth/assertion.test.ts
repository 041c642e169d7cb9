import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeEach, describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { withStory } from "../../test/harness/nock/story.ts";
import { assertionCredential } from "../model/assertion.ts";
import type { CloudName } from "../model/cloud.ts";
import { Failure } from "../model/failure.ts";
import type { Http, HttpRequest } from "../model/ports.ts";
import { createHttp } from "../net/http.ts";
import { Assertions } from "./assertion.ts";
import { type Redemption, redeem } from "./redeem.ts";

const APP = "99999999-0000-4000-8000-000000000000";
const IDENTITY = "77777777-0000-4000-8000-000000000000";
const TENANT = "11111111-2222-4333-8444-555555555555";
const LOGIN = "https://login.microsoftonline.com";
const IMDS = "http://169.254.169.254";
const IMDS_PATH = "/metadata/identity/oauth2/token";
const folder = mkdtempSync(join(tmpdir(), "assertion-"));
afterAll(() => rmSync(folder, { recursive: true }));

let clock: FakeClock;
let file: string;
let files = 0;
beforeEach(() => {
  clock = new FakeClock();
  files += 1;
  file = join(folder, `token-${files}`);
});

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const claimsOf = (more: object = {}) => ({
  iss: "https://oidc.example.com/pod",
  sub: "system:serviceaccount:soc:collector",
  aud: ["api://AzureADTokenExchange"],
  exp: clock.nowMs() / 1000 + 3600,
  ...more,
});
const tokenWith = (more: object = {}): string =>
  `${base64url({ alg: "RS256" })}.${base64url(claimsOf(more))}.signature-that-nobody-may-see`;

const fromFile = (path = file) => assertionCredential(APP, `file:${path}`, "commercial");
const fromIdentity = (cloud: CloudName = "commercial") =>
  assertionCredential(APP, `managed-identity:${IDENTITY}`, cloud);

const redemption = (credential: Redemption["credential"], more: Partial<Redemption> = {}): Redemption => ({
  authority: { loginUrl: LOGIN, tenant: TENANT },
  route: {},
  credential,
  audience: "https://graph.microsoft.com",
  grant: { kind: "app" },
  subject: { customer: "Contoso", clientId: APP },
  keep: () => Promise.resolve(),
  ...more,
});

const ACCESS = JSON.stringify({ token_type: "Bearer", expires_in: 3599, access_token: "access-1" });
const answered = (token = tokenWith()): string => JSON.stringify({ access_token: token, token_type: "Bearer" });

async function failureOf(work: () => Promise<unknown>): Promise<Failure> {
  const thrown = await work().then(
    () => new Error("nothing was thrown"),
    (error: unknown) => error,
  );
  if (thrown instanceof Failure) return thrown;
  throw thrown;
}

describe("an app that signs in with a token of its platform", () => {
  test("presents the token of the file to the login host instead of a client secret, and to nobody else", async () => {
    const token = tokenWith();
    writeFileSync(file, `${token}\n`);
    const forms: URLSearchParams[] = [];
    await withStory(async (story) => {
      story
        .on(LOGIN)
        .post(/./, (body: Record<string, string>) => forms.push(new URLSearchParams(body)) > 0)
        .query(true)
        .reply(200, ACCESS);
      const http = createHttp({ environment: {} });
      try {
        const { token: access } = await redeem({ http, clock }, redemption(fromFile()));
        expect(access.open((value) => value)).toBe("access-1");
      } finally {
        await http.close();
      }
      expect(story.answered).toHaveLength(1);
    });
    const [form] = forms;
    expect(form?.get("client_assertion")).toBe(token);
    expect(form?.get("client_assertion_type")).toBe("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    expect(form?.has("client_secret")).toBe(false);
    expect(form?.get("client_id")).toBe(APP);
  });

  test("reads the file at each sign-in, so that the next one presents what the platform renewed", async () => {
    const http = new ScriptedHttp({ body: ACCESS }, { body: ACCESS });
    const assertions = new Assertions({ http, clock });
    const tokens = [tokenWith({ jti: "1" }), tokenWith({ jti: "2" })];
    for (const token of tokens) {
      writeFileSync(file, token);
      await redeem({ http, clock, assertions }, redemption(fromFile()));
    }
    expect(http.asked.map(({ body }) => new URLSearchParams(String(body)).get("client_assertion"))).toEqual(tokens);
  });

  test.each<[string, () => void, string, string, "soon" | "later"]>([
    ["is missing", () => undefined, "assertion-unusable", "cannot be read (ENOENT).", "later"],
    ["is empty", () => writeFileSync(file, "\n"), "assertion-unusable", "is empty.", "soon"],
    ["is a folder", () => mkdirSync(file), "assertion-unusable", "cannot be read (ENOTSUP).", "later"],
    [
      "is torn",
      () => writeFileSync(file, tokenWith().slice(0, 60)),
      "assertion-unusable",
      "does not hold one complete token",
      "soon",
    ],
    [
      "is torn inside of its claims",
      () => writeFileSync(file, `${base64url({ alg: "RS256" })}.${base64url(claimsOf()).slice(0, 20)}.x`),
      "assertion-unusable",
      "does not hold one complete token",
      "soon",
    ],
    [
      "holds two tokens",
      () => writeFileSync(file, `${tokenWith()}\n${tokenWith()}`),
      "assertion-unusable",
      "does not hold one complete token",
      "soon",
    ],
    [
      "holds a token without an issuer",
      () => writeFileSync(file, tokenWith({ iss: undefined })),
      "assertion-unusable",
      "does not hold one complete token",
      "soon",
    ],
    [
      "is larger than any token",
      () => writeFileSync(file, "e".repeat(32 * 1024 + 1)),
      "assertion-unusable",
      "more than 32 KiB",
      "later",
    ],
    [
      "holds a token that expired ten minutes ago",
      () => writeFileSync(file, tokenWith({ exp: clock.nowMs() / 1000 - 600 })),
      "assertion-expired",
      "expired on 2026-11-24T11:50:00.000Z, and the platform has not renewed it.",
      "later",
    ],
  ])("names the operator and the file when the file %s, and looks at it again", async (_, write, code, say, when) => {
    write();
    const http = new ScriptedHttp();
    const failure = await failureOf(() => redeem({ http, clock }, redemption(fromFile())));
    expect(failure).toMatchObject({ code, actor: "operator", area: "sign-in", retry: { when } });
    expect(failure.say).toContain(say);
    expect(failure.say).toContain(file);
    expect(failure.nextStep).toContain("`assertion`");
    expect(http.asked).toEqual([]);
  });

  const hasPipes = process.platform !== "win32";
  (hasPipes ? test : test.skip)("does not wait for ever for the writer of a named pipe", async () => {
    execFileSync("mkfifo", [file]);
    const http = new ScriptedHttp();
    expect((await failureOf(() => redeem({ http, clock }, redemption(fromFile())))).code).toBe("assertion-unusable");
  });

  test("is still tried with a token that ended within the five minutes that Microsoft allows for clocks", async () => {
    writeFileSync(file, tokenWith({ exp: clock.nowMs() / 1000 - 200 }));
    const http = new ScriptedHttp({ body: ACCESS });
    await redeem({ http, clock }, redemption(fromFile()));
    expect(http.asked).toHaveLength(1);
  });

  test("never shows the token, whatever is printed of the assertion or of a failure", async () => {
    writeFileSync(file, tokenWith());
    const refusal = { status: 401, body: JSON.stringify({ error: "invalid_client", error_codes: [700213] }) };
    const http = new ScriptedHttp(refusal);
    const assertion = await new Assertions({ http, clock }).current(fromFile());
    const failure = await failureOf(() => redeem({ http, clock }, redemption(fromFile())));
    for (const shown of [inspect(assertion, { depth: 9 }), JSON.stringify(assertion), inspect(failure, { depth: 9 })])
      expect(shown).not.toMatch(/signature-that-nobody-may-see|eyJ/);
  });
});

describe("what Microsoft answers to such a token", () => {
  const presented =
    'issuer "https://oidc.example.com/pod", subject "system:serviceaccount:soc:collector" and audience "api://AzureADTokenExchange"';
  test.each([
    [700211, "federation-wrong", 'has the issuer "https://oidc.example.com/pod"', presented],
    [700212, "federation-wrong", 'has the audience "api://AzureADTokenExchange"', presented],
    [700213, "federation-wrong", 'has the subject "system:serviceaccount:soc:collector"', presented],
    [70021, "federation-wrong", "has no federated credential that fits", presented],
    [70025, "federation-wrong", "has no federated credential that fits", presented],
    [999999, "credential-refused", "rejected the token that this machine presents", "`assertion`"],
    [700023, "federation-wrong", 'the audience "api://AzureADTokenExchange"', "register --proof federated"],
    [700024, "assertion-expired", "is not valid now", "renews the token of `assertion`"],
    [700027, "federation-wrong", "rejected the token that this machine presents", "https://oidc.example.com/pod"],
  ])("says for AADSTS%i what was sent and what to configure", async (number, code, say, nextStep) => {
    writeFileSync(file, tokenWith());
    const http = new ScriptedHttp({
      status: 401,
      body: JSON.stringify({ error: "invalid_client", error_codes: [number] }),
    });
    const failure = await failureOf(() => redeem({ http, clock }, redemption(fromFile())));
    expect(failure).toMatchObject({ code, actor: "operator" });
    expect(failure.say).toContain(say);
    expect(failure.nextStep).toContain(nextStep);
  });
});

describe("an app that signs in with a managed identity", () => {
  test("asks Azure's own address, with the header that only a program sends, and past every proxy", async () => {
    await withStory(async (story) => {
      story
        .on(IMDS)
        .get(IMDS_PATH)
        .matchHeader("metadata", "true")
        .query({ "api-version": "2018-02-01", resource: "api://AzureADTokenExchange", client_id: IDENTITY })
        .reply(200, answered());
      // Nothing listens there: a request through this proxy fails.
      const http = createHttp({ environment: { HTTPS_PROXY: "http://127.0.0.1:9", HTTP_PROXY: "http://127.0.0.1:9" } });
      try {
        const assertion = await new Assertions({ http, clock, environment: {} }).current(fromIdentity());
        expect(assertion.subject).toBe("system:serviceaccount:soc:collector");
      } finally {
        await http.close();
      }
      expect(story.answered).toHaveLength(1);
    });
  });

  test.each<[CloudName, string]>([
    ["commercial", "api://AzureADTokenExchange"],
    ["gcc", "api://AzureADTokenExchange"],
    ["gcc-high", "api://AzureADTokenExchangeUSGov"],
    ["dod", "api://AzureADTokenExchangeUSGov"],
  ])("of cloud %s asks for audience %s", async (cloud, audience) => {
    const http = new ScriptedHttp({ body: answered() });
    await new Assertions({ http, clock, environment: {} }).current(fromIdentity(cloud));
    expect(new URL(http.asked[0]?.url ?? "").searchParams.get("resource")).toBe(audience);
  });

  test("asks once for all customers that share it, and again after an hour", async () => {
    const http = new ScriptedHttp(
      { body: answered(tokenWith({ jti: "1", exp: clock.nowMs() / 1000 + 86_400 })) },
      { body: answered(tokenWith({ jti: "2", exp: clock.nowMs() / 1000 + 86_400 })) },
    );
    const assertions = new Assertions({ http, clock, environment: {} });
    await Promise.all(Array.from({ length: 200 }, () => assertions.current(fromIdentity())));
    await clock.advance(3_599_000);
    await assertions.current(fromIdentity());
    expect(http.asked).toHaveLength(1);
    await clock.advance(2_000);
    await assertions.current(fromIdentity());
    expect(http.asked).toHaveLength(2);
  });

  test("never presents a token that is about to end", async () => {
    const http = new ScriptedHttp(
      { body: answered(tokenWith({ exp: clock.nowMs() / 1000 + 600 })) },
      { body: answered() },
    );
    const assertions = new Assertions({ http, clock, environment: {} });
    await assertions.current(fromIdentity());
    await clock.advance(301_000);
    await assertions.current(fromIdentity());
    expect(http.asked).toHaveLength(2);
  });

  test.each<[number, string]>([
    [700024, "assertion-expired"],
    [700213, "federation-wrong"],
  ])("asks for another token after AADSTS%d, but not after a customer's missing consent", async (rejected, code) => {
    const refused = (number: number) => ({
      status: 401,
      body: JSON.stringify({ error: "invalid_client", error_codes: [number] }),
    });
    const http = new ScriptedHttp(
      { body: answered() },
      refused(7000229),
      refused(rejected),
      { body: answered() },
      { body: ACCESS },
    );
    const assertions = new Assertions({ http, clock, environment: {} });
    const signIn = () => redeem({ http, clock, assertions }, redemption(fromIdentity()));
    expect((await failureOf(signIn)).code).toBe("app-not-found");
    expect((await failureOf(signIn)).code).toBe(code);
    await signIn();
    expect(http.asked.map(({ method }) => method).join(" ")).toBe("GET POST POST GET POST");
  });

  test.each<[number, object, Partial<Failure>]>([
    [404, {}, { code: "identity-unavailable", actor: "microsoft", retry: { when: "soon" } }],
    [410, {}, { code: "identity-unavailable", actor: "microsoft", retry: { when: "soon" } }],
    [429, {}, { code: "identity-unavailable", actor: "microsoft", retry: { when: "soon" } }],
    [500, {}, { code: "identity-unavailable", actor: "microsoft", retry: { when: "soon" } }],
    [503, {}, { code: "identity-unavailable", actor: "microsoft", retry: { when: "soon" } }],
    [400, {}, { code: "identity-refused", actor: "operator", retry: { when: "never" } }],
    [403, {}, { code: "identity-refused", actor: "operator", retry: { when: "never" } }],
    [
      302,
      { location: "https://evil.example" },
      { code: "identity-unavailable", actor: "operator", retry: { when: "later" } },
    ],
  ])("does after status %i what Azure documents", async (status, headers, wanted) => {
    const body = JSON.stringify({ error: "invalid_request", error_description: "Identity not found: s3cret" });
    const http = new ScriptedHttp({ status, headers: headers as Record<string, string>, body }, { body: answered() });
    const assertions = new Assertions({ http, clock, environment: {} });
    const failure = await failureOf(() => assertions.current(fromIdentity()));
    expect(failure).toMatchObject(wanted);
    expect(`${failure.say} ${failure.nextStep}`).toContain("assertion");
    expect(inspect(failure)).not.toContain("s3cret");
    expect(http.asked).toHaveLength(1);
    // The failure is not kept.
    await assertions.current(fromIdentity());
  });

  test.each([
    ["unauthorized_client", " (status 400, unauthorized_client)."],
    ["A word that s3cret\u001b[2J is not", " (status 400)."],
  ])("repeats of a refusal only what is an error code: %j", async (error, end) => {
    const http = new ScriptedHttp({ status: 400, body: JSON.stringify({ error }) });
    const failure = await failureOf(() => new Assertions({ http, clock, environment: {} }).current(fromIdentity()));
    expect(failure.say.endsWith(end)).toBe(true);
  });

  test("waits as long as a busy endpoint asks for", async () => {
    const http = new ScriptedHttp({
      status: 429,
      headers: { "retry-after": "20", date: new Date(clock.nowMs()).toUTCString() },
    });
    const failure = await failureOf(() => new Assertions({ http, clock, environment: {} }).current(fromIdentity()));
    expect(failure.retry).toEqual({ when: "at", atMs: clock.nowMs() + 20_000 });
  });

  test.each(["", "<html>", JSON.stringify({ access_token: "opaque" }), JSON.stringify({ access_token: 7 })])(
    "reports an answer without a whole token and shows nothing of it: %s",
    async (body) => {
      const http = new ScriptedHttp({ body });
      const failure = await failureOf(() => new Assertions({ http, clock, environment: {} }).current(fromIdentity()));
      expect(failure.code).toBe("identity-unavailable");
      expect(inspect(failure)).not.toContain("opaque");
    },
  );

  test("gives up after three seconds where no such endpoint is", async () => {
    const hanging: Http = {
      send: ({ signal }: HttpRequest) =>
        new Promise((_, reject) => {
          signal?.addEventListener("abort", () =>
            reject(new Failure("timed-out", { actor: "microsoft", retry: { when: "soon" }, say: "late" })),
          );
        }),
      close: () => Promise.resolve(),
    };
    const asking = failureOf(() => new Assertions({ http: hanging, clock, environment: {} }).current(fromIdentity()));
    await clock.advance(3_000);
    expect(await asking).toMatchObject({ code: "identity-unavailable", actor: "operator" });
  });

  test.each([
    ["http://127.0.0.1:4711", "http://127.0.0.1:4711"],
    ["http://localhost:4711/anything", "http://localhost:4711"],
    ["http://evil.example", IMDS],
    ["https://169.254.169.253", IMDS],
    ["not an address", IMDS],
  ])("takes %s from the environment of a test as %s", async (given, wanted) => {
    const http = new ScriptedHttp({ body: answered() });
    await new Assertions({ http, clock, environment: { DEFENDER_MSSP_TEST_IMDS: given } }).current(fromIdentity());
    expect(new URL(http.asked[0]?.url ?? "").origin).toBe(wanted);
  });
});
