import * as crypto from "node:crypto";
import * as fs from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { CONTOSO, deliveriesOf, SAMPLES } from "../../../../test/golden/samples.ts";
import { EVENING_MS, FakeClock } from "../../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../../test/harness/fakes/log.ts";
import { newFolder } from "../../../../test/harness/fakes/receiver.ts";
import { makeServerCertificate } from "../../../../test/harness/simulator/certificates.ts";
import type { ServeSettings } from "../../../config/arcsight-settings.ts";
import type { Delivery } from "../../../model/event.ts";
import { parseInstant } from "../../../model/instant.ts";
import { sealed } from "../../../model/sealed.ts";
import type { Stanza } from "../../../model/stanza.ts";
import type { RunningServer } from "../../../net/http-server.ts";
import type { Serving } from "../open-serve.ts";
import { openServe } from "../open-serve.ts";

const [ALERT] = deliveriesOf(SAMPLES[0]!);
const [INCIDENT] = deliveriesOf(SAMPLES[1]!);
const FABRIKAM = "0f0f0f0f-1111-4222-8333-444444444444";
const STANZAS = [
  { name: "contoso", tenantName: CONTOSO.name, tenantId: CONTOSO.id },
  { name: "Fabrikam & Co", tenantName: "Fabrikam", tenantId: FABRIKAM },
] as unknown as readonly Stanza[];
const SECRET = "s3cret-of-the-connector";
const SETTINGS: ServeSettings = {
  host: "127.0.0.1",
  port: 0,
  clientId: "app",
  clientSecret: sealed(SECRET),
  keepDays: 7,
};

function alert(key: string, stanza = "contoso"): Delivery {
  return { ...ALERT!, key, stanza };
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

interface House {
  readonly serving: Serving;
  readonly server: RunningServer;
  readonly clock: FakeClock;
  readonly log: FakeLog;
  readonly folder: string;
  readonly send: (
    method: string,
    path: string,
    headers?: Readonly<Record<string, string>>,
    body?: string,
  ) => Promise<Answer>;
  readonly token: (path?: string) => Promise<string>;
  readonly poll: (
    path: string,
    token: string,
  ) => Promise<{ readonly status: number; readonly rows: readonly Record<string, string>[]; readonly message: string }>;
}

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function house(
  settings: Partial<ServeSettings> = {},
  stanzas = STANZAS,
  ca?: string,
  folder = newFolder(),
): Promise<House> {
  const clock = new FakeClock(EVENING_MS);
  const log = new FakeLog();
  const serving = openServe({ ...SETTINGS, ...settings }, stanzas, folder, { disk: fs, clock, log, rowsMax: 100 });
  const server = await serving.listen();
  ends.push(() => server.close());
  const send: House["send"] = (method, path, headers = {}, body) => {
    const { hostname, port, protocol } = new URL(server.address);
    return new Promise((resolve, reject) => {
      const options = {
        method,
        hostname: hostname.replace(/^\[|\]$/g, ""),
        port,
        path,
        headers,
        agent: false,
        ...(ca === undefined ? {} : { ca, servername: "localhost" }),
      };
      const request = (protocol === "https:" ? https : http).request(options, (response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(pieces).toString("utf8"),
          }),
        );
      });
      request.on("error", reject);
      request.end(body);
    });
  };
  return {
    serving,
    server,
    clock,
    log,
    folder,
    send,
    async token(path = "/oauth2/token") {
      return JSON.parse((await send("POST", path, {}, grant())).text).access_token;
    },
    async poll(path, token) {
      const answer = await send("GET", path, { authorization: `Bearer ${token}` });
      const json = JSON.parse(answer.text);
      return { status: answer.status, rows: answer.status === 200 ? json : [], message: json.error?.message ?? "" };
    },
  };
}

function grant(more: Readonly<Record<string, string>> = {}): string {
  return new URLSearchParams({
    grant_type: "refresh_token",
    client_id: "app",
    client_secret: SECRET,
    refresh_token: "old-refresh-token",
    ...more,
  }).toString();
}

describe("the token endpoint of arcsight serve", () => {
  test.each([
    "/oauth2/token",
    "/common/oauth2/token",
    `/${CONTOSO.id}/oauth2/token`,
    "/contoso/oauth2/v2.0/token",
    "/token",
  ])("%s gives a token of 256 bits for an hour and the same refresh token back", async (path) => {
    const { send } = await house();
    const answer = await send("POST", path, { "content-type": "application/x-www-form-urlencoded" }, grant());

    const body = JSON.parse(answer.text);
    expect(answer.status).toBe(200);
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(body).toEqual({
      token_type: "Bearer",
      expires_in: 3_600,
      access_token: expect.any(String),
      refresh_token: "old-refresh-token",
    });
    expect(Buffer.from(body.access_token, "base64url")).toHaveLength(32);
  });

  test.each([
    ["a wrong secret", grant({ client_secret: "wrong" }), 401, "invalid_client"],
    ["a wrong client id", grant({ client_id: "other" }), 401, "invalid_client"],
    ["no form at all", "{}", 401, "invalid_client"],
    ["another grant", grant({ grant_type: "password" }), 400, "unsupported_grant_type"],
    ["no refresh token", grant({ refresh_token: "" }), 400, "invalid_request"],
  ])("refuses %s", async (_what, body, status, error) => {
    const { send } = await house();
    const answer = await send("POST", "/oauth2/token", {}, body);
    expect({ status: answer.status, error: JSON.parse(answer.text).error }).toEqual({ status, error });
  });

  test("takes id and secret from a Basic header, and the client-credentials grant", async () => {
    const { send } = await house();
    const authorization = `Basic ${Buffer.from(`app:${SECRET}`).toString("base64")}`;
    const answer = await send("POST", "/oauth2/token", { authorization }, "grant_type=client_credentials");
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).not.toHaveProperty("refresh_token");
  });

  test("compares id and secret by digests of equal length, whatever is posted", async () => {
    const compared: [number, number][] = [];
    const { LocalTokens } = await import("./tokens.ts");
    const isEqual = (a: Uint8Array, b: Uint8Array) => {
      compared.push([a.length, b.length]);
      return crypto.timingSafeEqual(a, b);
    };
    const tokens = new LocalTokens({
      clientId: "app",
      clientSecret: sealed(SECRET),
      clock: new FakeClock(EVENING_MS),
      randomBytes: crypto.randomBytes,
      isEqual,
    });
    for (const [id, secret] of [
      ["", ""],
      ["app", "x"],
      ["x", SECRET],
      ["app", "y".repeat(5_000)],
    ] as const) {
      expect(
        tokens.answer(new URLSearchParams(grant({ client_id: id, client_secret: secret })), undefined, undefined)
          .status,
      ).toBe(401);
    }
    // Both, each time: a wrong id must not be told from a wrong secret by the time it takes.
    expect(compared).toEqual(Array.from({ length: 8 }, () => [32, 32]));
  });

  test("refuses a body above 64 KiB and accepts one below", async () => {
    const { send } = await house();
    expect((await send("POST", "/oauth2/token", {}, grant({ padding: "x".repeat(66_000) }))).status).toBe(413);
    expect((await send("POST", "/oauth2/token", {}, grant({ padding: "x".repeat(60_000) }))).status).toBe(200);
  });

  test("logs in one sentence what was wrong with a refused request", async () => {
    const { send, log, token, poll } = await house();
    await send("POST", "/oauth2/token", {}, grant({ client_secret: "wrong-secret-value" }));
    await poll("/api/alerts?sinceTimeUtc=nonsense", await token());

    const said = log.texts.filter((line) => line.includes("refused")).join("\n");
    expect(said).toContain("client_secret differs from serve.client_id or serve.client_secret");
    expect(said).toContain("sinceTimeUtc nonsense is not a time");
    expect(said).not.toMatch(/[{}]\\?"error/);
  });

  test("writes nothing that is posted, and no token, into the log or onto the disk", async () => {
    const { send, log, folder, serving, token, poll } = await house();
    await serving.sink.write([alert("k1")]);
    await send("POST", "/oauth2/token", {}, grant({ client_secret: "wrong-secret-value" }));
    const access = await token();
    await poll("/api/alerts", access);
    await poll("/api/alerts", "an-unknown-access-token");
    await send("POST", "/oauth2/token", {}, grant({ padding: "x".repeat(66_000) }));

    const files = fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const all = [
      ...log.texts,
      ...files.map((entry) => fs.readFileSync(join(entry.parentPath, entry.name), "utf8")),
    ].join("\n");
    expect(log.texts.length).toBeGreaterThan(2);
    for (const secret of ["wrong-secret-value", SECRET, "old-refresh-token", access, "an-unknown-access-token", "xxxx"])
      expect(all).not.toContain(secret);
  });
});

describe("a poll of arcsight serve", () => {
  test("without a token, with a wrong one, or with one that is an hour old is answered 401", async () => {
    const { send, token, poll, clock } = await house();
    expect((await send("GET", "/api/alerts/")).status).toBe(401);
    expect((await send("GET", "/nobody/api/alerts/")).status).toBe(401);
    expect((await poll("/api/alerts/", "A".repeat(43))).status).toBe(401);
    const access = await token();
    expect((await poll("/api/alerts/", access)).status).toBe(200);
    clock.now += 3_600_000;
    expect((await poll("/api/alerts/", access)).status).toBe(401);
  });

  test("may use its token over a restart, so that a connector need not notice it", async () => {
    const { token, server, folder, clock } = await house();
    const access = await token("/contoso/oauth2/token");
    await server.close();
    const { poll, clock: later } = await house({}, STANZAS, undefined, folder);
    later.now = clock.now;
    expect((await poll("/contoso/api/alerts", access)).status).toBe(200);
    expect((await poll(`/${FABRIKAM}/api/alerts`, access)).status).toBe(403);
    later.now += 3_600_000;
    expect((await poll("/contoso/api/alerts", access)).status).toBe(401);
  });

  test("names customers by name, tenant GUID or their token's address, gets all at the root, and 404 for unknown ones", async () => {
    const { serving, token, poll } = await house();
    await serving.sink.write([alert("k1"), alert("k2", "Fabrikam & Co")]);
    const all = await token();
    const count = async (path: string, access = all) => (await poll(path, access)).rows.length;
    const one = await count("/contoso/api/alerts/");

    expect(one).toBeGreaterThan(0);
    expect(await count(`/${CONTOSO.id.toUpperCase()}/api/alerts/`)).toBe(one);
    expect(await count("/fabrikam%20%26%20co/api/alerts/")).toBe(one);
    expect(await count("/api/alerts/")).toBe(2 * one);
    const own = await token(`/${FABRIKAM}/oauth2/token`);
    expect(await count("/api/alerts/", own)).toBe(one);
    expect((await poll("/contoso/api/alerts/", own)).status).toBe(403);
    expect((await poll("/nobody/api/alerts/", all)).status).toBe(404);
    expect((await poll("/api/elsewhere", all)).status).toBe(404);
  });

  test("may name a customer that is configured by domain by its GUID from its first event on, also with an older token", async () => {
    const byDomain = [{ ...STANZAS[0]!, tenantId: "contoso.example" }, STANZAS[1]!] as unknown as readonly Stanza[];
    const { serving, token, poll } = await house({}, byDomain);
    const own = await token(`/${CONTOSO.id}/oauth2/token`);
    await serving.sink.write([alert("k1"), alert("k2", "Fabrikam & Co")]);
    const one = (await poll("/contoso.example/api/alerts", own)).rows.length;
    expect(one).toBeGreaterThan(0);
    expect((await poll(`/${CONTOSO.id}/api/alerts`, own)).rows).toHaveLength(one);
    expect((await poll("/api/alerts", own)).rows).toHaveLength(one);
    expect((await poll(`/${FABRIKAM}/api/alerts`, own)).status).toBe(403);
  });

  test("in the old form gets a bare array of rows with the old members, and later rows at later polls", async () => {
    const { serving, token, poll, send } = await house();
    await serving.sink.write([alert("k1")]);
    const access = await token();
    const answer = await send("GET", "/api/alerts/?sinceTimeUtc=2016-09-12T00:00:00.000", {
      authorization: `Bearer ${access}`,
    });
    const rows: Record<string, string>[] = JSON.parse(answer.text);

    expect(answer.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(answer.headers["warning"]).toContain("events are kept for 7 days");
    expect(Object.keys(rows[0]!)).toHaveLength(54);
    expect(rows[0]).toMatchObject({
      AlertId: ALERT!.record.id,
      FullId: `${ALERT!.record.id}:${rows[0]!["IocUniqueId"]}`,
    });
    const last = rows.at(-1)!["LastProcessedTimeUtc"]!;
    expect((await poll(`/api/alerts/?sinceTimeUtc=${last}`, access)).rows).toEqual([]);
    await serving.sink.write([alert("k2")]);
    expect((await poll(`/api/alerts/?sinceTimeUtc=${last}`, access)).rows).toHaveLength(rows.length);
  });

  test("of flat JSON moves by arrivedAt", async () => {
    const { serving, token, poll } = await house();
    await serving.sink.write([alert("k1"), { ...INCIDENT!, stanza: "Fabrikam & Co" }]);
    const access = await token();
    const [incident] = (await poll("/v1/incidents", access)).rows;
    const [first] = (await poll("/v1/alerts", access)).rows;
    expect(incident).toMatchObject({ kind: "incident" });
    expect(first).toMatchObject({ kind: "alert", id: ALERT!.record.id, tenantName: CONTOSO.name });
    expect(parseInstant(first!["arrivedAt"]!)).toBeDefined();
    expect((await poll(`/v1/alerts?since=${first!["arrivedAt"]}`, access)).rows).toEqual([]);
    expect((await poll(`/Fabrikam%20&%20Co/v1/alerts?since=2016-01-01`, access)).rows).toEqual([]);
  });

  test("gets the newest with limit, filters by groups and tags, and is bounded by ago and untilTimeUtc", async () => {
    const { serving, token, poll, clock } = await house();
    await serving.sink.write([alert("k1")]);
    clock.now += 60_000;
    await serving.sink.write([alert("k2")]);
    const access = await token();
    const all = (await poll("/api/alerts", access)).rows;
    const half = all.length / 2;

    expect((await poll("/api/alerts?limit=1", access)).rows).toEqual(all.slice(-1));
    expect((await poll("/api/alerts?ago=PT30S", access)).rows).toEqual(all.slice(half));
    expect((await poll("/api/alerts?untilTimeUtc=2026-11-24T19:00:30Z", access)).rows).toEqual(all.slice(0, half));
    const groups = new Set(all.map((row) => row["MachineGroup"]!));
    const group = [...groups].find((name) => name !== "")!;
    expect(
      (await poll(`/api/alerts?machinegroups=nobody&machinegroups=${encodeURIComponent(group)}`, access)).rows,
    ).toEqual(all.filter((row) => row["MachineGroup"] === group));
    expect((await poll("/api/alerts?machinegroups=nobody", access)).rows).toEqual([]);
    const tag = all.flatMap((row) => row["DeviceCreatedMachineTags"]!.split(/[,;] ?/)).find((name) => name !== "")!;
    for (const name of ["DeviceCreatedMachineTags", "CloudCreatedMachineTags"]) {
      expect((await poll(`/api/alerts?${name}=${encodeURIComponent(tag)}`, access)).rows.length).toBeGreaterThan(0);
      expect((await poll(`/api/alerts?${name}=no-such-tag`, access)).rows).toEqual([]);
    }
  });

  test.each([
    ["$START_AT_TIME", "sinceTimeUtc still contains the variable $START_AT_TIME, which the connector did not replace"],
    ["2036-01-01", "is in the future"],
    ["nonsense", "sinceTimeUtc nonsense is not a time; write it as 2026-11-24T16:00:00Z"],
  ])("with sinceTimeUtc=%s is answered 400 and a sentence of its own", async (since, wanted) => {
    const { token, poll } = await house();
    const { status, message } = await poll(`/api/alerts/?sinceTimeUtc=${since}`, await token());
    expect(status).toBe(400);
    expect(message).toContain(wanted);
  });

  test("from ten years ago is answered with all rows, and that older events are not kept is logged once", async () => {
    const { token, poll, log } = await house();
    const access = await token();
    for (let i = 0; i < 3; i += 1)
      expect((await poll("/api/alerts/?sinceTimeUtc=2016-11-24", access)).status).toBe(200);
    expect(log.texts.filter((line) => line.includes("asks for events older"))).toHaveLength(1);
  });

  test.each([
    ["its rows' time", (last: string, _clock: FakeClock) => last],
    ["its own clock", (_last: string, clock: FakeClock) => String(clock.now)],
    ["whole seconds", (last: string, _clock: FakeClock) => last.slice(0, 19)],
  ])(
    "that is full ends behind a second, and a poller that moves by %s gets the rest",
    async (_how, next) => {
      const { serving, token, poll, clock, log } = await house();
      let written = 0;
      for (let second = 0; second < 5; second += 1) {
        await serving.sink.write(Array.from({ length: 25 }, () => alert(`k${written++}`)));
        clock.now += 1_000;
      }
      const access = await token();
      const seen = new Set<string>();
      let since = "2026-11-24T18:00:00Z";
      let polls = 0;
      for (; polls < 6; polls += 1) {
        const { rows } = await poll(`/api/alerts?sinceTimeUtc=${since}`, access);
        const fresh = rows.filter((row) => !seen.has(row["LastProcessedTimeUtc"]!));
        if (polls > 0 && fresh.length === 0) break;
        for (const row of rows) seen.add(row["LastProcessedTimeUtc"]!);
        since = next(rows.at(-1)!["LastProcessedTimeUtc"]!, clock);
      }
      expect(polls).toBeGreaterThan(1);
      expect(log.texts.some((line) => line.includes("an answer was full"))).toBe(true);
      let expected = 0;
      for await (const { at } of serving.sink.rows(["contoso"], "old", 0n, await serving.sink.present()))
        expected += at === "" ? 0 : 1;
      expect(seen.size).toBe(expected);
    },
    60_000,
  );
});

describe("to strangers arcsight serve", () => {
  test.each([
    ["attacker.example", 421],
    ["attacker.example:44380", 421],
    ["localhost.attacker.example", 421],
    ["127.0.0.1.attacker.example", 421],
    ["localhost:44380", 401],
    ["127.0.0.1", 401],
    ["[::1]:44380", 401],
  ])("answers the Host header %s with %s", async (host, status) => {
    const { send } = await house();
    expect((await send("GET", "/api/alerts", { host })).status).toBe(status);
  });

  test.each(["0.0.0.0", "192.0.2.1", "::"])(
    "does not listen on %s unless TLS and a client secret are set",
    async (host) => {
      const serving = (settings: Partial<ServeSettings>) => {
        const { clientSecret: _none, ...rest } = SETTINGS;
        return openServe({ ...rest, host, ...settings }, STANZAS, newFolder(), {
          disk: fs,
          clock: new FakeClock(EVENING_MS),
          log: new FakeLog(),
        }).listen();
      };
      const said = { code: "settings", say: expect.stringContaining(`does not listen on ${host}`) };
      await expect(serving({})).rejects.toMatchObject(said);
      await expect(serving({ clientSecret: sealed(SECRET) })).rejects.toMatchObject(said);
      await expect(serving({ certificate: "/nowhere.pem" })).rejects.toMatchObject(said);
    },
  );

  test("answers over TLS on every address under the certificate's names only", async () => {
    const { caPem, certificatePem, keyPem } = await makeServerCertificate(Date.now());
    const file = join(newFolder(), "serve.pem");
    fs.writeFileSync(file, keyPem + certificatePem);
    const { send, server } = await house({ host: "0.0.0.0", certificate: file }, STANZAS, caPem);
    expect(server.address).toMatch(/^https:/);
    // The name stands in this certificate.
    expect((await send("GET", "/api/alerts", { host: "graph.microsoft.com:8443" })).status).toBe(401);
    expect((await send("GET", "/api/alerts", { host: "other.mssp.example" })).status).toBe(421);
  });

  test("names the path of a certificate file that is not a certificate", async () => {
    const file = join(newFolder(), "not.pem");
    fs.writeFileSync(file, "nothing");
    await expect(house({ certificate: file })).rejects.toMatchObject({
      code: "output-broken",
      say: expect.stringContaining(file),
    });
  });

  test("names a port that is in use", async () => {
    const { server } = await house();
    const port = Number(new URL(server.address).port);
    await expect(house({ port })).rejects.toMatchObject({
      code: "output-broken",
      say: expect.stringContaining("another program uses this port"),
    });
  });

  test.each([
    ["PUT", "/api/alerts", 405],
    ["GET", "/oauth2/token", 405],
    ["GET", "/%ff/api/alerts", 404],
    ["GET", "/", 404],
    ["GET", "//evil/api/alerts", 401],
  ])("answers %s %s with %s", async (method, path, status) => {
    const { send } = await house();
    expect((await send(method, path)).status).toBe(status);
  });

  test("still answers after bytes that are not HTTP and a client that disconnects", async () => {
    const { server, send } = await house();
    const port = Number(new URL(server.address).port);
    for (const bytes of [
      "\0\0\0\r\n\r\n",
      "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\ngrant",
    ]) {
      await new Promise<void>((resolve) => {
        const socket = net.connect(port, "127.0.0.1", () => socket.end(bytes));
        socket.on("error", () => undefined).on("close", () => resolve());
        socket.resume();
      });
    }
    expect((await send("GET", "/api/alerts")).status).toBe(401);
  });
});
