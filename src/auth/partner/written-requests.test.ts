/**
 * What the program sends is held against the literal requests of test/fixtures/partner/requests.json, and its
 * sentences against the literal refusals there. The simulator is held against the same file.
 */

import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { withStory } from "../../../test/harness/nock/story.ts";
import { PARTNER_REFUSALS, PARTNER_REQUESTS, type PartnerRequest } from "../../../test/harness/partner-requests.ts";
import { parseStanzas } from "../../config/settings.ts";
import { CLOUDS, PARTNERCENTER_URL } from "../../model/cloud.ts";
import type { Failure } from "../../model/failure.ts";
import type { PartnerOutcome, PartnerServices } from "../../model/partner-consent.ts";
import type { Http, HttpRequest } from "../../model/ports.ts";
import { sealed } from "../../model/sealed.ts";
import type { AppCredential } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { createHttp } from "../../net/http.ts";
import { createSignInService } from "../sign-in-service.ts";
import { createPartnerConsent } from "./partner-consent.ts";

const ORIGINS = {
  login: CLOUDS.commercial.loginUrl,
  graph: CLOUDS.commercial.graphUrl,
  partnercenter: PARTNERCENTER_URL,
  // Steps of other stories in the same file.
  imds: "http://169.254.169.254",
} as const;
const REDIRECT = "http://localhost:44300/signed-in";

function written(step: string): PartnerRequest {
  const found = PARTNER_REQUESTS.find((one) => one.step === step);
  if (found === undefined) throw new Error(`no step ${step}`);
  return found;
}

const tenantIn = ({ path }: PartnerRequest): string => path.split("/")[1] ?? "";
const form = (step: string): Readonly<Record<string, string>> => written(step).form ?? {};
const bridge: AppCredential = {
  kind: "secret",
  clientId: form("7.0b")["client_id"] ?? "",
  secret: sealed(form("7.0b")["client_secret"] ?? ""),
};
const reader = { clientId: form("7.7")["client_id"] ?? "", secret: sealed(form("7.7")["client_secret"] ?? "") };

function customer(name: string, tenantId: string): Stanza {
  const values = { tenant_id: tenantId, client_id: reader.clientId, client_secret: "x", auth: "app" };
  const stanza = parseStanzas([{ name, values }], { host: "cli", nowMs: 0 }).stanzas[0];
  if (stanza === undefined) throw new Error("the settings of this test are wrong");
  return { ...stanza, clientSecret: reader.secret, route: { direct: true } };
}

const home = customer("your own tenant", tenantIn(written("7.0b")));
const contoso = customer("contoso", tenantIn(written("7.2")));

/** What a file cannot hold: the token of an answer, with the claims that it says. */
const jwt = (claims: unknown): string =>
  `${Buffer.from("{}").toString("base64url")}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;

/** An answer of the file, with tokens where its text cannot have them. */
function answerOf(step: string): { readonly status: number; readonly body: string } {
  const { answer } = written(step);
  const { status, body = "", has, claims, code } = answer;
  if (claims !== undefined) {
    const tokens = { access_token: jwt(claims), refresh_token: "0.refresh", id_token: jwt(claims) };
    return { status, body: JSON.stringify({ token_type: "Bearer", expires_in: 3599, ...tokens }) };
  }
  if (code !== undefined) return { status, body: JSON.stringify({ error: { code } }) };
  return { status, body: body === "" ? JSON.stringify(has ?? {}) : body };
}

function refusalOf(name: string): { readonly status: number; readonly body: string } {
  const found = PARTNER_REFUSALS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no refusal ${name}`);
  const { status, body, has = {} } = found.answer;
  return { status, body: body ?? JSON.stringify(has) };
}

type Play = readonly (readonly [step: string, refusal?: string])[];

/** Plays the steps in their order with the program; the requests that it sent. */
function play(
  steps: Play,
  act: (consent: Pick<PartnerServices, "beginSignIn" | "grant">) => Promise<void>,
): Promise<readonly HttpRequest[]> {
  return withStory(async (story) => {
    for (const [step, refusal] of steps) {
      const { service, method } = written(step);
      const { status, body } = refusal === undefined ? answerOf(step) : refusalOf(refusal);
      story
        .on(ORIGINS[service])
        .intercept(() => true, method)
        .reply(status, body, { "content-type": "application/json" });
    }
    const net = createHttp({ environment: {} });
    const sent: HttpRequest[] = [];
    const http: Http = {
      send(request) {
        sent.push(request);
        return net.send(request);
      },
      close: () => net.close(),
    };
    const clock = new FakeClock(Date.UTC(2026, 10, 24, 8), { pauses: "pass" });
    const signIn = createSignInService({
      http,
      clock,
      readText: () => Promise.reject(new Error("no file")),
      keep: () => Promise.resolve(),
      probe: () => Promise.resolve(),
      viaProxy: () => false,
    });
    const missing = async (stanza: Stanza): Promise<readonly string[]> =>
      (await signIn.consentState(stanza, { kind: "secret", ...reader })).missing;
    try {
      await act(createPartnerConsent({ http, clock, random: FakeRandom.always(), missing }));
    } finally {
      await http.close();
    }
    return sent;
  });
}

function addressOf({ url }: HttpRequest): string {
  const address = new URL(url);
  address.searchParams.delete("client-request-id");
  return decodeURIComponent(address.href);
}

const words = (scope = ""): readonly string[] => scope.split(" ").toSorted();
/** A library asks for these with every sign-in of a user. */
const OF_A_USER = ["openid", "profile", "offline_access"];
const withoutUsual = (scope = ""): readonly string[] => words(scope).filter((word) => !OF_A_USER.includes(word));

function expectWritten(sent: HttpRequest | undefined, step: string, bearer: string | undefined): void {
  const { service, method, path, headers, body, form: members } = written(step);
  expect([step, sent?.method, sent && addressOf(sent)]).toEqual([
    step,
    method,
    decodeURIComponent(new URL(path, ORIGINS[service]).href),
  ]);
  const { authorization, ...others } = headers;
  expect({ step, ...sent?.headers }).toMatchObject({
    step,
    ...(members === undefined ? others : {}),
    ...(authorization === undefined ? {} : { authorization: `Bearer ${bearer}` }),
  });
  expect(body === undefined ? undefined : sent?.body).toBe(body);
  if (members === undefined) return;
  const given = Object.fromEntries(new URLSearchParams(typeof sent?.body === "string" ? sent.body : ""));
  const { scope, code: _code, code_verifier: _verifier, redirect_uri: _uri, refresh_token: _token, ...rest } = members;
  expect(given).toMatchObject(rest);
  expect(withoutUsual(given["scope"])).toEqual(withoutUsual(scope));
}

async function signedIn(consent: Pick<PartnerServices, "beginSignIn">) {
  const flow = consent.beginSignIn(home, bridge, REDIRECT);
  return { flow, done: await flow.complete(`${REDIRECT}?code=c0de&state=${flow.state}`) };
}

async function granted(
  steps: Play,
): Promise<{ readonly sent: readonly HttpRequest[]; readonly outcome: PartnerOutcome }> {
  let outcomes: readonly PartnerOutcome[] = [];
  const sent = await play([["7.0b"], ["7.7", "reader-is-not-there"], ...steps], async (consent) => {
    const { done } = await signedIn(consent);
    outcomes = await consent.grant({
      session: { home, bridge, signedIn: done },
      journal: {
        path: "journal",
        unreadable: 0,
        openGrants: () => [],
        append: () => Promise.resolve(),
        close: () => Promise.resolve(),
      },
      customers: [contoso],
      keepBridge: false,
      stop: new AbortController().signal,
      progress: () => undefined,
    });
  });
  const [outcome] = outcomes;
  if (outcome === undefined) throw new Error("no outcome");
  return { sent, outcome };
}

test("the sign-in opens the written address", async () => {
  const { query = {}, path } = written("7.0a");
  await play([["7.0b"]], async (consent) => {
    const { flow } = await signedIn(consent);
    const url = new URL(flow.url);
    expect(url.origin + url.pathname).toBe(`${ORIGINS.login}${path}`);
    const given = Object.fromEntries(url.searchParams);
    const { scope, state: _state, code_challenge: _challenge, redirect_uri: _uri, ...rest } = query;
    expect(given).toMatchObject({ ...rest, redirect_uri: REDIRECT });
    expect(words(given["scope"])).toEqual(expect.arrayContaining([...words(scope)]));
    expect(withoutUsual(given["scope"])).toEqual(withoutUsual(scope));
  });
});

test("each request from the sign-in to the reader's first token is the written one, in the written order", async () => {
  const steps = ["7.1", "7.2", "7.3a", "7.3b", "7.4", "7.5a", "7.5b", "7.5c", "7.6", "7.7"];
  const { sent, outcome } = await granted(steps.map((step) => [step] as const));
  expect(outcome).toEqual({ stanza: contoso, result: "granted" });
  const all = ["7.0b", "7.7", ...steps];
  expect(sent).toHaveLength(all.length);
  for (const [n, step] of all.entries()) {
    const bearer = written(step).headers["authorization"] === "Bearer {user_token}" ? "7.0b" : "7.2";
    expectWritten(sent[n], step, jwt(written(bearer).answer.claims));
  }
});

describe("a written refusal has its sentence, and the bridge does not stay:", () => {
  const REMOVED: Play = [["7.6"]];
  const UP_TO_GRANT: Play = [["7.1"], ["7.2"], ["7.3a"], ["7.3b"], ["7.4"], ["7.5a"]];
  test.each<[string, Play, Failure["code"], string]>([
    ["sign-in-without-mfa", [["7.1", "sign-in-without-mfa"]], "partner-mfa-missing", "multi-factor"],
    ["user-is-no-admin-agent", [["7.1", "user-is-no-admin-agent"]], "partner-role-missing", "AdminAgents"],
    ["no-role-that-may-consent", [["7.1", "no-role-that-may-consent"]], "partner-role-missing", "GDAP role"],
    ["nobodys-customer", [["7.1", "nobodys-customer"]], "partner-customer-unknown", "not a customer of this partner"],
    [
      "relationship-ended",
      [["7.1"], ["7.2", "relationship-ended"], ...REMOVED],
      "user-unknown",
      "a guest at contoso, or in no security group",
    ],
    ["user-in-no-group", [["7.1"], ["7.2", "user-in-no-group"], ...REMOVED], "user-unknown", "in no security group"],
    [
      "consent-does-not-show",
      [["7.1"], ...Array.from({ length: 5 }, () => ["7.2", "consent-does-not-show"] as const), ...REMOVED],
      "bridge-consent-pending",
      "does not show the bridge's consent",
    ],
    [
      "customer-blocks-sign-in",
      [["7.1"], ["7.2", "customer-blocks-sign-in"], ...REMOVED],
      "blocked-by-policy",
      "Conditional Access",
    ],
    [
      "no-privileged-role-administrator",
      [...UP_TO_GRANT, ["7.5b", "no-privileged-role-administrator"], ...REMOVED],
      "partner-role-missing",
      "Privileged Role Administrator",
    ],
  ])("%s", async (_, steps, code, text) => {
    const { outcome } = await granted(steps);
    expect(outcome).toMatchObject({ result: "failed", failure: { code } });
    expect(outcome.failure?.say).toContain(text);
  });
});

describe("a written refusal that means `done already` counts as done:", () => {
  test.each<[string, Play]>([
    [
      // Somebody else's, because no journal names it: it is not removed.
      "consent-is-there",
      [["7.1", "consent-is-there"], ["7.2"], ["7.3a"], ["7.3b"], ["7.4"], ["7.5a"], ["7.5b"], ["7.5c"], ["7.7"]],
    ],
    [
      "role-is-there",
      [["7.1"], ["7.2"], ["7.3a"], ["7.3b"], ["7.4"], ["7.5a"], ["7.5b", "role-is-there"], ["7.5c"], ["7.6"], ["7.7"]],
    ],
    [
      "bridge-is-not-there",
      [
        ["7.1"],
        ["7.2"],
        ["7.3a"],
        ["7.3b"],
        ["7.4"],
        ["7.5a"],
        ["7.5b"],
        ["7.5c"],
        ["7.6", "bridge-is-not-there"],
        ["7.7"],
      ],
    ],
    [
      "partner-center-throttled",
      [
        ["7.1", "partner-center-throttled"],
        ["7.1"],
        ["7.2"],
        ["7.3a"],
        ["7.3b"],
        ["7.4"],
        ["7.5a"],
        ["7.5b"],
        ["7.5c"],
        ["7.6"],
        ["7.7"],
      ],
    ],
  ])("%s", async (name, steps) => {
    const stays = name === "consent-is-there" ? { bridgeStays: true } : {};
    expect((await granted(steps)).outcome).toEqual({ stanza: contoso, result: "granted", ...stays });
  });
});
