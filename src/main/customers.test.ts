import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import type { Customer } from "../collect/scheduler.ts";
import { parseStanzas } from "../config/settings.ts";
import { Failure } from "../model/failure.ts";
import type { Http, RefreshTokenVault } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import { CustomerBuilder, noFacts } from "./customers.ts";

const GUID = "11111111-2222-4333-8444-555555555555";
const WRONG = {
  error: "invalid_client",
  error_description: "AADSTS7000215: Invalid client secret provided.",
  error_codes: [7000215],
};

const NOT_IN_TENANT = {
  error: "invalid_client",
  error_description: "AADSTS7000229: The client application is missing service principal in the tenant.",
  error_codes: [7000229],
};

/** Microsoft, which accepts one client secret and any refresh token, and keeps every form that it gets. */
class FakeMicrosoft implements Http {
  readonly forms: URLSearchParams[] = [];
  lifetimeS = 3600;
  /** Of the access tokens; undefined: tokens that cannot be decoded. Null: the app is not in the tenant. */
  roles: readonly string[] | null | undefined;

  async send({ url, body }: Parameters<Http["send"]>[0]) {
    if (!url.includes("/oauth2/")) return answer(200, { value: [] });
    const form = new URLSearchParams(String(body));
    this.forms.push(form);
    if (form.get("client_secret") === "wrong") return answer(401, WRONG);
    if (this.roles === null) return answer(401, NOT_IN_TENANT);
    const claims = Buffer.from(JSON.stringify({ roles: this.roles })).toString("base64url");
    const token = this.roles === undefined ? "e.y.J" : `e.${claims}.s`;
    return answer(200, { token_type: "Bearer", access_token: token, expires_in: this.lifetimeS });
  }

  async close(): Promise<void> {}

  sent(field: string): (string | null)[] {
    return this.forms.map((form) => form.get(field));
  }
}

function answer(status: number, content: unknown) {
  const text = JSON.stringify(content);
  return {
    status,
    headers: { "content-type": "application/json" },
    body: (async function* () {
      yield new TextEncoder().encode(text);
    })(),
    text: async () => text,
    discard: async () => {},
  };
}

function stanzaOf(clientSecret: string, values: Readonly<Record<string, string>> = {}): Stanza {
  const given = { tenant_id: GUID, client_id: GUID, client_secret: clientSecret, ...values };
  const { stanzas } = parseStanzas([{ name: "contoso", values: given }], { host: "splunk", nowMs: 0 });
  return stanzas[0] as Stanza;
}

function building(vaults: ReadonlyMap<string, RefreshTokenVault> = new Map()) {
  const http = new FakeMicrosoft();
  const clock = new FakeClock();
  const globals = {
    replayMib: 16,
    recordMaxMib: 16,
    concurrency: 16,
    logLevel: "info",
    consentRedirect: "",
    discoverMode: "announce",
    discoverHours: 1,
    hecAck: "auto",
    hecGzip: false,
    hecSpoolMib: 1024,
  } as const;
  const world = { http, clock, random: new FakeRandom(), log: new FakeLog(), globals };
  return { http, clock, builder: new CustomerBuilder(world, ({ name }) => vaults.get(name)) };
}

const askOnce = async ({ sources: [source] }: Customer) => {
  const page = await source?.ask({ top: 1 }, new AbortController().signal);
  for await (const _ of page?.batches ?? []);
};

describe("what a customer has granted", () => {
  const ALERT = "SecurityAlert.Read.All";
  const INCIDENT = "SecurityIncident.Read.All";

  test("is read from each new token, and a consent that is gone has a date after a restart too", async () => {
    const facts = new Map<string, string>();
    const kept = {
      readFact: (name: string) => Promise.resolve(facts.get(name)),
      writeFact: (name: string, value: string) => Promise.resolve(void facts.set(name, value)),
    };
    const first = building();
    first.http.roles = [ALERT, INCIDENT];
    const customer = await first.builder.build(stanzaOf("first"), kept);
    expect(customer.permissions?.drift()).toBeUndefined();
    await askOnce(customer);
    expect(customer.permissions?.drift()).toMatchObject({ granted: [ALERT, INCIDENT], missing: [], changed_at: null });
    // Tokens change only at their renewal.
    first.http.roles = [ALERT];
    await askOnce(customer);
    expect(customer.permissions?.drift()?.missing).toEqual([]);
    first.clock.now += 3600_000;
    const since = new Date(first.clock.nowMs()).toISOString();
    await askOnce(customer);
    expect(customer.permissions?.drift()).toMatchObject({
      missing: [INCIDENT],
      withdrawn: [{ permission: INCIDENT, since }],
      changed_at: since,
    });
    await first.builder.save();

    const second = building();
    second.clock.now = first.clock.now + 60_000;
    second.http.roles = null;
    const restarted = await second.builder.build(stanzaOf("first"), kept);
    await expect(askOnce(restarted)).rejects.toMatchObject({ code: "app-not-found", actor: "customer" });
    expect(restarted.permissions?.drift()?.withdrawn).toEqual([
      { permission: ALERT, since: new Date(second.clock.nowMs()).toISOString() },
      { permission: INCIDENT, since },
    ]);
  });

  test("is not known from tokens that cannot be decoded", async () => {
    const { builder } = building();
    const customer = await builder.build(stanzaOf("first"), noFacts);
    await askOnce(customer);
    expect(customer.permissions?.drift()).toBeUndefined();
  });
});

describe("a changed credential of a customer that is collected", () => {
  test("is sent with its next token, and not before", async () => {
    const { http, clock, builder } = building();
    const customer = await builder.build(stanzaOf("first"), noFacts);
    await askOnce(customer);
    await builder.renew(stanzaOf("second"));
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["first"]);
    clock.now += 3600_000;
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["first", "second"]);
  });

  test("is sent at once when Microsoft rejected the one before", async () => {
    const { http, builder } = building();
    const customer = await builder.build(stanzaOf("wrong"), noFacts);
    await expect(askOnce(customer)).rejects.toMatchObject({ code: "secret-wrong" });
    await builder.renew(stanzaOf("right"));
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["wrong", "right"]);
  });

  test("may be another way to sign in: a refresh token after a client secret", async () => {
    const vaults = new Map<string, RefreshTokenVault>();
    const { http, clock, builder } = building(vaults);
    const customer = await builder.build(stanzaOf("first"), noFacts);
    await askOnce(customer);
    vaults.set("contoso", { current: async () => sealed("of a person"), store: async () => undefined });
    await builder.renew(stanzaOf("first"));
    clock.now += 3600_000;
    await askOnce(customer);
    expect(http.sent("refresh_token")).toEqual([null, "of a person"]);
  });

  test("that is gone fails the next token with the reason, until there is one again", async () => {
    const { http, clock, builder } = building();
    const customer = await builder.build(stanzaOf("first"), noFacts);
    await askOnce(customer);
    const gone = new Failure("credential-missing", { actor: "operator", retry: { when: "never" }, say: "It is gone." });
    builder.withhold("contoso", gone);
    await askOnce(customer);
    clock.now += 3600_000;
    await expect(askOnce(customer)).rejects.toBe(gone);
    await builder.renew(stanzaOf("second"));
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["first", "second"]);
  });

  test("is named in its health events", async () => {
    const { builder } = building();
    const customer = await builder.build(stanzaOf("first", { credential: "old-app" }), noFacts);
    await builder.renew(stanzaOf("second", { credential: "new-app" }));
    expect(customer.credential?.name).toBe("new-app");
  });

  test("that cannot be used leaves the customer the one that it has", async () => {
    const { http, clock, builder } = building();
    const customer = await builder.build(stanzaOf("first"), noFacts);
    await expect(builder.renew(stanzaOf("", { auth: "app" }))).rejects.toMatchObject({ code: "credential-missing" });
    clock.now += 3600_000;
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["first"]);
  });

  test("is not replaced by an older one whose tenant was asked for meanwhile", async () => {
    const { http, builder } = building();
    const send = http.send.bind(http);
    const answers: (() => void)[] = [];
    http.send = async (request) => {
      if (!request.url.includes("openid-configuration")) return send(request);
      await new Promise<void>((resolve) => answers.push(resolve));
      return answer(200, {
        issuer: `https://login.microsoftonline.com/${GUID}/v2.0`,
        token_endpoint: `https://login.microsoftonline.com/${GUID}/oauth2/v2.0/token`,
      });
    };
    const domain = { tenant_id: "contoso.example" };
    const older = builder.build(stanzaOf("older", domain), noFacts);
    const newer = builder.build(stanzaOf("newer", domain), noFacts);
    await new Promise((resolve) => setImmediate(resolve));
    answers[1]?.();
    const customer = await newer;
    answers[0]?.();
    await older;
    await builder.renew(stanzaOf("newest", domain));
    await askOnce(customer);
    expect(http.sent("client_secret")).toEqual(["newest"]);
  });
});

describe("a customer that signs in with a token of its platform", () => {
  const folder = mkdtempSync(join(tmpdir(), "platform-token-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "token");
  const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const tokenOf = (n: number, clock: FakeClock): string => {
    const claims = { iss: "https://oidc.example", sub: "pod", aud: "a", exp: clock.nowMs() / 1000 + 3600, jti: n };
    return `${base64url({ alg: "RS256" })}.${base64url(claims)}.x`;
  };
  const withToken = (name: string, values: Readonly<Record<string, string>> = {}): Stanza => {
    const given = { tenant_id: GUID, client_id: GUID, assertion: `file:${file}`, ...values };
    return parseStanzas([{ name, values: given }], { host: "splunk", nowMs: 0 }).stanzas[0] as Stanza;
  };

  test("presents the renewed one with its next access token, without any look for changes", async () => {
    const { http, clock, builder } = building();
    const customer = await builder.build(withToken("contoso"), noFacts);
    const tokens = [tokenOf(1, clock), tokenOf(2, clock)];
    for (const token of tokens) {
      writeFileSync(file, token);
      await askOnce(customer);
      await askOnce(customer);
      clock.now += 3_600_000;
    }
    expect(http.sent("client_assertion")).toEqual(tokens);
    expect(http.sent("client_secret")).toEqual([null, null]);
  });

  test("keeps its access token when the file vanishes, fails with its name afterwards, and stops no other customer", async () => {
    const { http, clock, builder } = building();
    writeFileSync(file, tokenOf(1, clock));
    const customer = await builder.build(withToken("contoso"), noFacts);
    const other = await builder.build({ ...stanzaOf("secret"), name: "fabrikam" }, noFacts);
    await askOnce(customer);
    rmSync(file);
    clock.now += 3_500_000;
    // Due for renewal, and not over yet.
    await askOnce(customer);
    clock.now += 100_000;
    await expect(askOnce(customer)).rejects.toMatchObject({
      code: "assertion-unusable",
      actor: "operator",
      say: `The token file ${file} cannot be read (ENOENT).`,
    });
    await askOnce(other);
    writeFileSync(file, tokenOf(2, clock));
    await askOnce(customer);
    expect(http.forms).toHaveLength(3);
  });

  test("has no end date to warn of, not even one that was noted for an earlier client secret", async () => {
    const { clock, builder } = building();
    const customer = await builder.build(withToken("contoso", { secret_expires: "2026-11-25" }), noFacts);
    expect(customer.credential?.daysLeft(clock.nowMs())).toBeNull();
    expect(customer.credential?.warnings?.(clock.nowMs())).toEqual([]);
  });

  test("shares one request for the token of a managed identity with every other customer", async () => {
    const { http, clock, builder } = building();
    const send = http.send.bind(http);
    const identities: string[] = [];
    http.send = (request) => {
      if (!request.url.startsWith("http://169.254.169.254/")) return send(request);
      identities.push(request.url);
      return Promise.resolve(answer(200, { access_token: tokenOf(1, clock) }));
    };
    const assertion = `managed-identity:${GUID}`;
    for (let n = 0; n < 50; n += 1)
      await askOnce(await builder.build(withToken(`customer-${n}`, { assertion }), noFacts));
    expect(http.forms).toHaveLength(50);
    expect(identities).toHaveLength(1);
  });
});
