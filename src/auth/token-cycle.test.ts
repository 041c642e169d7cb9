import { describe, expect, test } from "@jest/globals";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { Failure } from "../model/failure.ts";
import type { Http, HttpAnswer, HttpRequest, RefreshTokenVault } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { TenantId } from "../model/tenant.ts";
import { createTokenCycles, renewAfterMs } from "./token-cycle.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;
const LOGIN = "https://login.example.test";
const TOKEN_URL = `${LOGIN}/${TENANT}/oauth2/v2.0/token`;

type Reply = { status?: number; headers?: Record<string, string>; body: unknown } | Failure;

/**
 * A sign-in service that answers what the test lines up, and a clock that moves when somebody pauses on it.
 */
function world(replies: Reply[]) {
  const asked: { url: string; form: URLSearchParams }[] = [];
  const log: string[] = [];
  let nowMs = 0;
  const clock = {
    nowMs: () => Date.UTC(2026, 10, 24) + nowMs,
    monotonicMs: () => nowMs,
    pause: (forMs: number) => {
      nowMs += forMs;
      return Promise.resolve();
    },
  };
  const http: Http = {
    async send(request: HttpRequest): Promise<HttpAnswer> {
      asked.push({ url: request.url.split("?")[0]!, form: new URLSearchParams(String(request.body)) });
      log.push("asked");
      const reply = replies.shift();
      if (!reply) throw new Error("the story has no answer left");
      await Promise.resolve();
      if (reply instanceof Failure) throw reply;
      const text = typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body);
      return {
        status: reply.status ?? 200,
        headers: reply.headers ?? {},
        body: (async function* () {})(),
        text: () => Promise.resolve(text),
        discard: () => Promise.resolve(),
      };
    },
    close: () => Promise.resolve(),
  };
  const stored: { token: string; refused: boolean }[] = [];
  let current = "refresh-0";
  const vault: RefreshTokenVault = {
    current: () => Promise.resolve(sealed(current)),
    store: (rotated, { refused }) => {
      current = rotated.open((value) => value);
      stored.push({ token: current, refused });
      log.push(`stored ${current}`);
      return Promise.resolve();
    },
  };
  const cycles = createTokenCycles({ http, clock, random: { next: () => 0.5 }, log: new FakeLog() });
  const secret: AppCredential = {
    kind: "secret",
    clientId: "99999999-0000-4000-8000-000000000000",
    secret: sealed("s3cret&=+%"),
  };
  const source = (
    over: { vault?: RefreshTokenVault | null; audience?: string; resource?: string; credential?: AppCredential } = {},
  ) =>
    cycles.forCustomer({
      tenant: { id: TENANT, name: "Contoso", cloud: "commercial" },
      stanza: {
        name: "contoso",
        endpoints: { loginUrl: LOGIN, graphUrl: "", apiUrl: "", mdeApiUrl: "", siemUrl: "" },
        route: {},
        ...(over.resource ? { resource: over.resource } : {}),
      },
      audience: over.audience ?? "https://graph.microsoft.com",
      credential: over.credential ?? secret,
      ...(over.vault === null ? {} : { vault: over.vault ?? vault }),
    });
  return { asked, log, stored, vault, source, clock, advance: (ms: number) => (nowMs += ms) };
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/**
 * As Entra answers for a user: with client_info and id_token, which make MSAL keep the refresh token to
 * itself.
 */
function userAnswer(n: number): Record<string, unknown> {
  return {
    token_type: "Bearer",
    scope: "https://graph.microsoft.com/SecurityAlert.Read.All",
    expires_in: 3600,
    access_token: `access-${n}`,
    refresh_token: `refresh-${n}`,
    id_token: `${base64url({ alg: "none" })}.${base64url({ tid: TENANT, oid: "o", sub: "s", aud: "99999999-0000-4000-8000-000000000000", iss: `${LOGIN}/${TENANT}/v2.0`, preferred_username: "a@b" })}.x`,
    client_info: base64url({ uid: "o", utid: TENANT }),
  };
}

const open = (token: Sealed): string => token.open((value) => value);

describe("a token cycle redeems, rotates and keeps", () => {
  test("an answer with client_info and id_token shows the rotated token stored before the access token is handed on", async () => {
    const w = world([{ body: userAnswer(1) }]);

    const token = await w.source().accessToken();
    w.log.push("used");

    expect(open(token)).toBe("access-1");
    expect(w.stored).toEqual([{ token: "refresh-1", refused: false }]);
    expect(w.log).toEqual(["asked", "stored refresh-1", "used"]);
  });

  test("the request names one API and offline access, and carries secret and token unharmed", async () => {
    const w = world([{ body: userAnswer(1) }]);

    await w.source().accessToken();

    expect(w.asked[0]!.url).toBe(TOKEN_URL);
    const form = w.asked[0]!.form;
    expect(form.get("grant_type")).toBe("refresh_token");
    expect(form.get("refresh_token")).toBe("refresh-0");
    expect(form.get("client_secret")).toBe("s3cret&=+%");
    expect(form.get("scope")!.split(" ")).toEqual(
      expect.arrayContaining(["https://graph.microsoft.com/.default", "offline_access"]),
    );
  });

  test("the access token is not used when the rotated token cannot be stored", async () => {
    const w = world([{ body: userAnswer(1) }]);
    const full = new Failure("state-unwritable", {
      actor: "operator",
      retry: { when: "later" },
      say: "the disk is full",
    });

    const attempt = w.source({ vault: { ...w.vault, store: () => Promise.reject(full) } }).accessToken();

    await expect(attempt).rejects.toBe(full);
  });

  test("the next redemption uses what the last one stored", async () => {
    const w = world([{ body: userAnswer(1) }, { body: userAnswer(2) }]);
    const source = w.source();

    await source.accessToken();
    w.advance(3_600_000);
    await source.accessToken();

    expect(w.asked.map(({ form }) => form.get("refresh_token"))).toEqual(["refresh-0", "refresh-1"]);
  });

  test("an app signs in for itself and asks for one API only", async () => {
    const w = world([{ body: { token_type: "Bearer", expires_in: 3599, access_token: "app-token" } }]);

    const token = await w.source({ vault: null }).accessToken();

    expect(open(token)).toBe("app-token");
    expect(w.asked[0]!.form.get("grant_type")).toBe("client_credentials");
    expect(w.asked[0]!.form.get("scope")).toContain("https://graph.microsoft.com/.default");
    expect(w.asked[0]!.form.get("scope")).not.toContain("offline_access");
  });

  test("the setting resource changes what is asked for, never where", async () => {
    const w = world([{ body: userAnswer(1) }]);

    await w.source({ resource: "https://graph.windows.net" }).accessToken();

    expect(w.asked[0]!.url).toBe(TOKEN_URL);
    expect(w.asked[0]!.form.get("scope")).toContain("https://graph.windows.net/.default");
  });

  test("a token from the device code flow is redeemed without a secret", async () => {
    const w = world([{ body: userAnswer(1) }]);

    await w.source({ credential: { kind: "public", clientId: "99999999-0000-4000-8000-000000000000" } }).accessToken();

    expect(w.asked[0]!.form.has("client_secret")).toBe(false);
    expect(w.asked[0]!.form.get("refresh_token")).toBe("refresh-0");
  });
});

test("a token from the device code flow is redeemed without the key that the customer's settings hold, and from then on at once", async () => {
  const isPublic = { status: 401, body: { error: "invalid_client", error_codes: [700025] } };
  const w = world([isPublic, { body: userAnswer(1) }, { body: userAnswer(2) }]);
  const source = w.source();

  await source.accessToken();
  w.advance(3_600_000);
  await source.accessToken();

  expect(w.asked.map(({ form }) => form.has("client_secret"))).toEqual([true, false, false]);
  expect(w.asked.map(({ form }) => form.get("refresh_token"))).toEqual(["refresh-0", "refresh-0", "refresh-1"]);
});

describe("one refresh at a time", () => {
  test("callers at the same time share one redemption", async () => {
    const w = world([{ body: userAnswer(1) }]);
    const source = w.source();

    const tokens = await Promise.all([source.accessToken(), source.accessToken(), source.accessToken()]);

    expect(tokens.map(open)).toEqual(["access-1", "access-1", "access-1"]);
    expect(w.asked).toHaveLength(1);
  });

  test("two APIs of one customer redeem one after the other, each with the newest token", async () => {
    const w = world([{ body: userAnswer(1) }, { body: userAnswer(2) }]);

    await Promise.all([
      w.source().accessToken(),
      w.source({ audience: "https://api.security.microsoft.com" }).accessToken(),
    ]);

    expect(w.log).toEqual(["asked", "stored refresh-1", "asked", "stored refresh-2"]);
    expect(w.asked.map(({ form }) => form.get("refresh_token"))).toEqual(["refresh-0", "refresh-1"]);
  });

  test("a caller that stops waiting does not stop the redemption: the rotated token is stored", async () => {
    const w = world([{ body: userAnswer(1) }]);
    const stop = new AbortController();
    const source = w.source();

    const attempt = source.accessToken({ signal: stop.signal });
    stop.abort();

    await expect(attempt).rejects.toMatchObject({ code: "stopped" });
    expect(open(await source.accessToken())).toBe("access-1");
    expect(w.asked).toHaveLength(1);
    expect(w.stored).toHaveLength(1);
  });

  test("however many customers start at once, the sign-in service is asked 100 times a second", async () => {
    const w = world(Array.from({ length: 240 }, (_, n) => ({ body: { ...userAnswer(n), access_token: `a-${n}` } })));

    await Promise.all(
      Array.from({ length: 240 }, (_, n) => w.source({ audience: `https://api-${n}.test` }).accessToken()),
    );

    // The first 100 at once, the other 140 at 100 a second.
    expect(w.clock.monotonicMs()).toBeGreaterThanOrEqual(1400);
    expect(w.clock.monotonicMs()).toBeLessThan(1600);
  });
});

describe("renewal", () => {
  test.each([
    [3_600_000, 3_300_000],
    [5_400_000, 5_100_000],
    [600_000, 480_000],
    [100_000, 80_000],
  ])(
    "a token of %d ms is renewed after %d ms: at 80 %% or 5 minutes before the end, whichever is later",
    (lifetimeMs, wanted) => {
      expect(renewAfterMs(lifetimeMs)).toBe(wanted);
    },
  );

  test("a token is reused until it is due", async () => {
    const w = world([{ body: userAnswer(1) }, { body: userAnswer(2) }]);
    const source = w.source();

    await source.accessToken();
    w.advance(3_299_999);
    expect(open(await source.accessToken())).toBe("access-1");
    w.advance(1);
    expect(open(await source.accessToken())).toBe("access-2");
  });

  test("a refused token is renewed once, however many streams met the 401", async () => {
    const w = world([{ body: userAnswer(1) }, { body: userAnswer(2) }]);
    const source = w.source();
    const old = await source.accessToken();

    const first = await source.accessToken({ refused: old });
    const second = await source.accessToken({ refused: old });

    expect([open(first), open(second)]).toEqual(["access-2", "access-2"]);
    expect(w.asked).toHaveLength(2);
  });

  test("a failed renewal goes on with the present token, and is tried again before it ends", async () => {
    const w = world([{ body: userAnswer(1) }, { status: 503, body: "" }, { body: userAnswer(2) }]);
    const source = w.source();

    await source.accessToken();
    w.advance(3_300_000);
    expect(open(await source.accessToken())).toBe("access-1");
    expect(open(await source.accessToken())).toBe("access-1");
    expect(w.asked).toHaveLength(2);
    w.advance(40_000);
    expect(open(await source.accessToken())).toBe("access-2");
  });
});

describe("failures keep their own sentence through MSAL", () => {
  test.each([429, 503])(
    "a token endpoint's Retry-After of 68 years with %d is a day, and the sentence says so",
    async (status) => {
      const w = world([
        { status, headers: { "retry-after": "2147483647" }, body: { error: "temporarily_unavailable" } },
      ]);

      await expect(w.source().accessToken()).rejects.toMatchObject({
        retry: { when: "at", atMs: Date.UTC(2026, 10, 24) + 86_400_000 },
        say: expect.stringMatching(
          /\. It asked for a wait of 24855 days or more; the request is repeated after one day\.$/,
        ),
      });
    },
  );

  test("after a 503 the next redemption reaches the network", async () => {
    const w = world([
      { status: 503, headers: { "retry-after": "120" }, body: { error: "temporarily_unavailable" } },
      { body: userAnswer(1) },
    ]);
    const source = w.source();

    await expect(source.accessToken()).rejects.toMatchObject({
      code: "entra-busy",
      actor: "microsoft",
      retry: { when: "at", atMs: Date.UTC(2026, 10, 24) + 120_000 },
    });
    expect(open(await source.accessToken())).toBe("access-1");
    expect(w.asked).toHaveLength(2);
  });

  test("a TLS failure", async () => {
    const untrusted = new Failure("tls-untrusted", {
      actor: "operator",
      retry: { when: "never" },
      say: 'The certificate of login.example.test was issued by "CN=Corp", which this machine does not trust.',
    });
    const w = world([untrusted]);

    await expect(w.source().accessToken()).rejects.toBe(untrusted);
  });

  test("a web page instead of an answer", async () => {
    const w = world([{ status: 200, body: "<html><body>Please log in to the Wi-Fi</body></html>" }]);

    await expect(w.source().accessToken()).rejects.toMatchObject({
      code: "bad-answer",
      say: "login.example.test answered the sign-in with a web page (status 200).",
    });
  });

  test("a JSON body cut in half", async () => {
    const w = world([{ status: 200, body: '{"access_token":"eyJ' }]);

    await expect(w.source().accessToken()).rejects.toMatchObject({
      code: "bad-answer",
      say: "login.example.test answered the sign-in with text that is not JSON (status 200).",
    });
  });

  test("a rejected refresh token names who must act, and its replacement is stored at once", async () => {
    const w = world([
      {
        status: 400,
        body: {
          error: "invalid_grant",
          error_codes: [700082],
          error_description: "AADSTS700082: secret-name@contoso.test",
        },
      },
      { body: userAnswer(1) },
    ]);
    const source = w.source();

    const failure = await source.accessToken().catch((error: unknown) => error as Failure);
    expect(failure).toMatchObject({ code: "signed-out", actor: "operator", area: "sign-in", retry: { when: "never" } });
    expect(JSON.stringify([failure, (failure as Failure).say, (failure as Failure).message])).not.toContain(
      "secret-name",
    );

    await source.accessToken();
    expect(w.stored).toEqual([{ token: "refresh-1", refused: true }]);
  });
});
