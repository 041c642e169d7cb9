import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type net from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { makeAwkwardCertificate } from "../../test/harness/awkward-certificates.ts";
import type { ConnectProxy, ConnectProxyOptions } from "../../test/harness/connect-proxy.ts";
import { startConnectProxy } from "../../test/harness/connect-proxy.ts";
import { freePort } from "../../test/harness/free-port.ts";
import type { ServerCertificate } from "../../test/harness/simulator/certificates.ts";
import { makeServerCertificate } from "../../test/harness/simulator/certificates.ts";
import type { Failure } from "../model/failure.ts";
import { isFailure } from "../model/failure.ts";
import type { Http, HttpRequest } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import type { Route } from "../model/stanza.ts";
import { createHttp } from "./http.ts";
import { ConnectFailure, networkFailure } from "./network-failures.ts";

const DAY_MS = 86_400_000;
let folder: string;
let certificate: ServerCertificate;
let expired: ServerCertificate;
let trusting: Route;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "net-"));
  certificate = await makeServerCertificate(Date.now());
  expired = await makeServerCertificate(Date.now() - 100 * DAY_MS);
  writeFileSync(join(folder, "ca.pem"), certificate.caPem + expired.caPem);
  trusting = { caFile: join(folder, "ca.pem") };
});
afterAll(() => rmSync(folder, { recursive: true }));

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function client(options: Parameters<typeof createHttp>[0] = {}): Http {
  const made = createHttp({ environment: {}, ...options });
  closers.push(() => made.close());
  return made;
}

async function listening(server: net.Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  server.listen(0);
  await once(server, "listening");
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A TLS server on loopback; returns its origin. */
async function serve(answer: http.RequestListener, shown: ServerCertificate = certificate): Promise<string> {
  const server = https.createServer(
    // Weak certificates are shown as well, which this runtime would refuse to show.
    { key: shown.keyPem, cert: shown.certificatePem, ciphers: "DEFAULT@SECLEVEL=0" },
    answer,
  );
  server.on("tlsClientError", () => {});
  return `https://localhost:${await listening(server)}`;
}

const get = (url: string, route: Route = trusting, more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: "GET",
  url,
  headers: {},
  route,
  ...more,
});

async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const outcome = await work.then(
    () => new Error("nothing failed"),
    (error: unknown) => error,
  );
  if (!isFailure(outcome)) throw outcome;
  return outcome;
}

const LARGE = JSON.stringify(Array.from({ length: 40_000 }, (_, n) => ({ id: `alert-${n}`, note: "ж…" })));

describe("a body arrives as it was before it was packed", () => {
  test.each<[string, string, (text: string) => Buffer, string | undefined]>([
    ["plain", "small", (text: string) => Buffer.from(text), undefined],
    ["gzip", "small", (text: string) => gzipSync(text), "gzip"],
    ["gzip", "large", (text: string) => gzipSync(text), "gzip"],
    ["x-gzip", "small", (text: string) => gzipSync(text), "x-gzip"],
    ["deflate", "large", (text: string) => deflateSync(text), "deflate"],
    ["deflate", "small", (text: string) => deflateSync(text), "deflate"],
    ["br", "large", (text: string) => brotliCompressSync(text), "br"],
    ["br", "small", (text: string) => brotliCompressSync(text), "br"],
  ])("%s, %s, with a length and in pieces", async (_name, size, pack, coding) => {
    const text = size === "small" ? '{"value":[]}' : LARGE;
    const packed = pack(text);
    const origin = await serve((request, response) => {
      if (coding) response.setHeader("content-encoding", coding);
      if (request.url === "/length") response.setHeader("content-length", packed.length);
      response.end(packed);
    });
    const web = client();

    for (const path of ["/length", "/pieces"]) {
      const answer = await web.send(get(origin + path));
      expect(await answer.text(10_000_000)).toBe(text);
    }
  });

  test("a large packed body's memory is given back piece by piece, once the next is asked for", async () => {
    const origin = await serve((_, response) => response.setHeader("content-encoding", "gzip").end(gzipSync(LARGE)));
    const answer = await client().send(get(`${origin}/`));
    const pieces: Uint8Array[] = [];
    let text = "";
    const decoder = new TextDecoder();
    for await (const piece of answer.body) {
      text += decoder.decode(piece, { stream: true });
      pieces.push(piece);
    }
    expect(text).toBe(LARGE);
    expect(pieces.length).toBeGreaterThan(10);
    const last = pieces.at(-1)?.buffer;
    expect(pieces.filter((piece) => piece.byteLength > 0 && piece.buffer !== last)).toEqual([]);
  });

  test("an empty body of a packed answer is empty", async () => {
    const origin = await serve((_, response) => response.writeHead(204, { "content-encoding": "gzip" }).end());
    const answer = await client().send(get(origin));
    expect(await answer.text(100)).toBe("");
  });

  test("a redirect is an answer, not an order", async () => {
    const origin = await serve((_, response) =>
      response.writeHead(302, { location: "https://elsewhere.example.test/" }).end(),
    );
    const answer = await client().send(get(origin));
    await answer.discard();
    expect([answer.status, answer.headers["location"]]).toEqual([302, "https://elsewhere.example.test/"]);
  });

  test("a repeated header is one value", async () => {
    const origin = await serve((_, response) => response.setHeader("warning", ["199 - a", "199 - b"]).end());
    const answer = await client().send(get(origin));
    await answer.discard();
    expect(answer.headers["warning"]).toBe("199 - a, 199 - b");
  });
});

const bodyFailure = async (answer: http.RequestListener): Promise<Failure> => {
  const origin = await serve(answer);
  return failureOf(
    client()
      .send(get(origin))
      .then((got) => got.text(100_000_000)),
  );
};

describe("a broken body is a failure of its own kind", () => {
  test("shorter than its Content-Length", async () => {
    const failure = await bodyFailure((_, response) => {
      response.writeHead(200, { "content-length": 1000 });
      response.write("x".repeat(900));
      response.socket?.end();
    });
    expect(failure).toMatchObject({ code: "connection-reset", actor: "microsoft", retry: { when: "soon" } });
  });

  test("cut off in the middle of chunks", async () => {
    const failure = await bodyFailure((_, response) => {
      response.write("x".repeat(900));
      setImmediate(() => response.destroy());
    });
    expect(failure.code).toBe("connection-reset");
  });

  test.each([
    ["small", "{}"],
    ["large", LARGE],
  ])("gzip that ends too soon, %s", async (_, text) => {
    const packed = gzipSync(text);
    const failure = await bodyFailure((_request, response) => {
      const cut = packed.subarray(0, packed.length - 10);
      response.writeHead(200, { "content-encoding": "gzip", "content-length": cut.length }).end(cut);
    });
    expect(failure).toMatchObject({ code: "bad-answer", actor: "microsoft" });
  });

  test("gzip that is none", async () => {
    const failure = await bodyFailure((_, response) =>
      response.writeHead(200, { "content-encoding": "gzip" }).end("<html>no</html>"),
    );
    expect(failure.code).toBe("bad-answer");
  });

  test("a coding that nobody asked for", async () => {
    const failure = await bodyFailure((_, response) =>
      response.writeHead(200, { "content-encoding": "zstd" }).end("x"),
    );
    expect(failure.code).toBe("bad-answer");
  });

  test("more than the caller can take", async () => {
    const origin = await serve((_, response) => response.end("x".repeat(1001)));
    const failure = await failureOf(
      client()
        .send(get(origin))
        .then((got) => got.text(1000)),
    );
    expect(failure).toMatchObject({ code: "bad-answer", say: expect.stringContaining("1000 bytes") });
  });

  test("not HTTP at all", async () => {
    const server = tls.createServer({ key: certificate.keyPem, cert: certificate.certificatePem }, (socket) =>
      socket.end("SSH-2.0-none\r\n\r\n"),
    );
    const failure = await failureOf(client().send(get(`https://localhost:${await listening(server)}`)));
    expect(failure.code).toBe("bad-answer");
  });
});

describe("a connection that fails says why and names who must act", () => {
  test("connection refused", async () => {
    const port = await freePort();

    const failure = await failureOf(client().send(get(`https://localhost:${port}`)));
    expect(failure).toMatchObject({
      code: "network-unreachable",
      actor: "operator",
      say: `This machine could not connect to localhost:${port}.`,
      nextStep: "Check the firewall. If this machine needs a proxy, set `proxy`.",
    });
  });

  test("connection refused at an address that a setting gave", async () => {
    const failure = await failureOf(client().send(get("https://localhost:1", trusting, { addressSetting: "api_url" })));
    expect(failure).toMatchObject({
      code: "network-unreachable",
      actor: "operator",
      say: "This machine could not connect to localhost:1.",
      nextStep: "Check the address in `api_url`, then the firewall. If this machine needs a proxy, set `proxy`.",
    });
  });

  test("the name does not exist", async () => {
    const failure = await failureOf(client().send(get("https://no-such-host.invalid/")));
    expect(failure).toMatchObject({
      code: "dns-failed",
      actor: "operator",
      say: "The host name of no-such-host.invalid could not be resolved.",
      nextStep: "Check this machine's DNS. If this machine needs a proxy, set `proxy`.",
    });
  });

  test.each(["login_url", "graph_url", "api_url", "siem_url", "partnercenter_url"] as const)(
    "the name that %s gave does not exist",
    async (addressSetting) => {
      const failure = await failureOf(
        client().send(get("https://graph.micorsoft.invalid/", trusting, { addressSetting })),
      );
      expect(failure).toMatchObject({
        code: "dns-failed",
        actor: "operator",
        say: "The host name of graph.micorsoft.invalid could not be resolved.",
        nextStep: `Check the host name in \`${addressSetting}\`, then this machine's DNS. If this machine needs a proxy, set \`proxy\`.`,
      });
    },
  );

  test("the server drops the connection before it answers", async () => {
    const origin = await serve((request) => request.socket.destroy());
    expect((await failureOf(client().send(get(origin)))).code).toBe("connection-reset");
  });

  test("the server takes the request and stays silent", async () => {
    const origin = await serve(() => {});
    const failure = await failureOf(client().send(get(origin, trusting, { headersTimeoutMs: 20 })));
    expect(failure).toMatchObject({
      code: "timed-out",
      actor: "microsoft",
      nextStep: "If this persists, check the firewall and the proxy.",
    });
  });

  test("the time that a caller gives the whole request is over while the server stays silent", async () => {
    const limit = new AbortController();
    const origin = await serve(() => limit.abort(new DOMException("over", "TimeoutError")));
    const failure = await failureOf(client().send(get(origin, trusting, { signal: limit.signal })));
    expect(failure).toMatchObject({
      code: "timed-out",
      actor: "microsoft",
      say: `${origin.slice("https://".length)} did not answer in time.`,
    });
  });

  test("the time that a caller gives the whole request is over in the middle of the body", async () => {
    const limit = new AbortController();
    const origin = await serve((_, response) => void response.write("x"));
    const answer = await client().send(get(origin, trusting, { signal: limit.signal }));
    const reading = answer.text(100);
    limit.abort(new DOMException("over", "TimeoutError"));
    expect((await failureOf(reading)).code).toBe("timed-out");
  });

  test("we stop while we wait", async () => {
    const stop = new AbortController();
    const origin = await serve(() => stop.abort());
    expect((await failureOf(client().send(get(origin, trusting, { signal: stop.signal })))).code).toBe("stopped");
  });

  test("we stop in the middle of a body", async () => {
    const stop = new AbortController();
    const origin = await serve((_, response) => void response.write("x"));
    const answer = await client().send(get(origin, trusting, { signal: stop.signal }));
    const reading = answer.text(100);
    stop.abort();
    expect((await failureOf(reading)).code).toBe("stopped");
  });

  test("plain http is refused but for this machine", async () => {
    const failure = await failureOf(client().send(get("http://graph.example.test/")));
    expect(failure).toMatchObject({ code: "address-not-https", retry: { when: "never" } });

    // Azure's endpoint for managed identities is asked by one caller alone, which goes past every proxy.
    const proxied = await failureOf(client().send(get("http://169.254.169.254/metadata", {})));
    expect(proxied.code).toBe("address-not-https");

    const port = await listening(http.createServer((_, response) => response.end("here")));
    expect(await (await client().send(get(`http://127.0.0.1:${port}/`, {}))).text(10)).toBe("here");
  });
});

describe("trust", () => {
  test("an unknown issuer is refused by name, with the setting that would trust it", async () => {
    const origin = await serve((_, response) => response.end("never"));
    const failure = await failureOf(client().send(get(origin, {})));
    expect(failure).toMatchObject({ code: "tls-untrusted", actor: "operator", retry: { when: "never" } });
    expect(failure.say).toContain('issued by "CN=defender-mssp simulator CA"');
    expect(failure.nextStep).toContain("ca_file");
  });

  test("NODE_TLS_REJECT_UNAUTHORIZED=0 set by somebody else weakens nothing", async () => {
    const origin = await serve((_, response) => response.end("never"));
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      expect((await failureOf(client().send(get(origin, {})))).code).toBe("tls-untrusted");
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  });

  test("a certificate that is over says its dates, and that ca_file does not help", async () => {
    const origin = await serve((_, response) => response.end("never"), expired);
    const failure = await failureOf(client().send(get(origin)));
    expect(failure.code).toBe("tls-untrusted");
    expect(failure.say).toMatch(/valid from \d{4}-.* to \d{4}-/);
    expect(failure.nextStep).toContain("clock");
  });

  test.each(["1024-bit key", "SHA-1 signature", "1024-bit authority"] as const)(
    "a certificate with a %s is named as too weak",
    async (what) => {
      const weak = await makeAwkwardCertificate(what);
      writeFileSync(join(folder, "weak.pem"), weak.caPem);
      const origin = await serve((_, response) => response.end("never"), weak);
      const failure = await failureOf(client().send(get(origin, { caFile: join(folder, "weak.pem") })));
      expect(failure).toMatchObject({ code: "tls-untrusted", actor: "operator", retry: { when: "never" } });
      expect(failure.say).toContain("is too weak");
      expect(failure.nextStep).toContain("2048 bits");
    },
  );

  test("a ca_file that holds only the issuing authority, without its root, is trusted", async () => {
    const issued = await makeAwkwardCertificate("intermediate authority");
    writeFileSync(join(folder, "issuer.pem"), issued.caPem);
    const origin = await serve((_, response) => response.end("trusted"), issued);
    expect(await (await client().send(get(origin, { caFile: join(folder, "issuer.pem") }))).text(10)).toBe("trusted");
  });

  test("a ca_file that holds only the root names the authority that is missing", async () => {
    const issued = await makeAwkwardCertificate("intermediate authority");
    writeFileSync(join(folder, "root.pem"), issued.rootPem);
    const origin = await serve((_, response) => response.end("never"), issued);
    const failure = await failureOf(client().send(get(origin, { caFile: join(folder, "root.pem") })));
    expect(failure.code).toBe("tls-untrusted");
    expect(failure.say).toContain("CN=test intermediate");
  });

  test("a certificate for another host name", async () => {
    const origin = await serve((_, response) => response.end("never"));
    const failure = await failureOf(client().send(get(origin.replace("localhost", "127.0.0.2"))));
    expect(failure).toMatchObject({
      code: "tls-untrusted",
      say: expect.stringContaining("certificate for another host name"),
    });
    const named = get(origin.replace("localhost", "127.0.0.2"), trusting, { addressSetting: "graph_url" });
    expect((await failureOf(client().send(named))).nextStep).toBe(
      "Check the host name in `graph_url` and in `proxy`; `ca_file` does not help when the host name differs.",
    );
  });

  test("a server that speaks no TLS", async () => {
    const port = await listening(http.createServer((_, response) => response.end("plain")));
    expect((await failureOf(client().send(get(`https://localhost:${port}`)))).code).toBe("tls-failed");
  });

  test.each([
    ["is not there", "no-such.pem", undefined],
    ["holds no certificate", "empty.pem", "hello"],
    ["holds a damaged one", "damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
  ])("a ca_file that %s is named by its path, and looked at again later", async (_, name, content) => {
    const origin = await serve((_request, response) => response.end("here"));
    const caFile = join(folder, name);
    if (content !== undefined) writeFileSync(caFile, content);
    const web = client();
    // Two customers that name the same file.
    const routes = [{ caFile }, { caFile }];

    const failures = await Promise.all(routes.map((route) => failureOf(web.send(get(origin, route)))));
    for (const failure of failures)
      expect(failure).toMatchObject({ code: "ca-file-unusable", say: expect.stringContaining(caFile) });

    writeFileSync(caFile, certificate.caPem);
    for (const route of routes) expect(await (await web.send(get(origin, route))).text(10)).toBe("here");
  });

  test("a ca_file that was replaced, because the issuer changed, counts for every customer that names it", async () => {
    const origin = await serve((_request, response) => response.end("here"));
    const caFile = join(folder, "renewed.pem");
    writeFileSync(caFile, (await makeAwkwardCertificate("intermediate authority")).rootPem);
    const web = client();
    const routes = [{ caFile }, { caFile }];
    for (const route of routes) expect((await failureOf(web.send(get(origin, route)))).code).toBe("tls-untrusted");

    writeFileSync(caFile, certificate.caPem);
    for (const route of routes) {
      // The failure that finds out, at the latest; then the new authority counts.
      await web.send(get(origin, route)).catch(() => undefined);
      expect(await (await web.send(get(origin, route))).text(10)).toBe("here");
    }
  });

  test("splunkd's own certificate is trusted through its CA alone, whatever its name, and only on loopback", async () => {
    const origin = (await serve((_, response) => response.end("splunkd"))).replace("localhost", "127.0.0.2");
    const web = client();
    const own: Route = { ...trusting, loopbackCertificate: true, direct: true };

    expect(await (await web.send(get(origin, own))).text(10)).toBe("splunkd");
    expect((await failureOf(web.send(get(origin, { loopbackCertificate: true, direct: true })))).code).toBe(
      "tls-untrusted",
    );
    await expect(web.send(get("https://splunk.example.test:8089/", own))).rejects.not.toHaveProperty("code");
  });
});

describe("connections", () => {
  test("are used again, also after a discarded answer", async () => {
    const ports = new Set<number | undefined>();
    const origin = await serve((request, response) => {
      ports.add(request.socket.remotePort);
      response.end("x".repeat(2000));
    });
    const web = client();

    for (let n = 0; n < 20; n += 1) {
      const answer = await web.send(get(origin, { ...trusting }));
      if (n % 2 === 0) await answer.discard();
      else await answer.text(10_000);
    }

    // Two, because a discarded answer frees its connection a moment after the next request looks for one.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  test("are limited per origin; further requests wait for a free one", async () => {
    let most = 0;
    const open: http.ServerResponse[] = [];
    const origin = await serve((_, response) => {
      open.push(response);
      most = Math.max(most, open.length);
      // Answer only when three are open at once: fewer connections would wait for ever.
      if (open.length === 3) {
        setImmediate(() => {
          for (const held of open.splice(0)) held.end("ok");
        });
      }
    });
    const web = client({ connectionsPerOrigin: 3 });

    await Promise.all(Array.from({ length: 30 }, async () => (await web.send(get(origin))).text(10)));

    expect(most).toBe(3);
  });
});

describe("a proxy", () => {
  async function proxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
    const started = await startConnectProxy(options);
    closers.push(() => started.close());
    return started;
  }

  test("sees only CONNECT and its own login", async () => {
    const origin = await serve((_, response) => response.end("through"));
    const { port, seen } = await proxy();
    const web = client();
    const route: Route = { ...trusting, proxy: sealed(`http://mssp:p%40ss%3Aword@localhost:${port}`) };

    const answers = await Promise.all(
      [1, 2, 3].map(async () =>
        (await web.send(get(origin, route, { headers: { authorization: "Bearer t" } }))).text(10),
      ),
    );

    expect(answers).toEqual(["through", "through", "through"]);
    expect(new Set(seen.lines)).toEqual(new Set([`CONNECT ${origin.slice("https://".length)}`]));
    expect(new Set(seen.logins)).toEqual(new Set([`Basic ${Buffer.from("mssp:p@ss:word").toString("base64")}`]));
  });

  test.each([
    "200 OK\r\nContent-Length: 17",
    "200 OK\r\nTransfer-Encoding: chunked",
    "200 OK\r\nConnection: close",
    "201 Created",
    "204 No Content",
    "299 Fine\r\nContent-Length: 0",
  ])("opens the tunnel with any 2xx, whatever its headers say: %j", async (opensWith) => {
    const origin = await serve((_, response) => response.end("through"));
    const { port } = await proxy({ opensWith });

    const answer = await client().send(get(origin, { ...trusting, proxy: sealed(`localhost:${port}`) }));

    expect(await answer.text(10)).toBe("through");
  });

  test.each([
    ["50%off", "50%off"],
    ["p%40ss%", "p@ss%"],
    ["%ff%fe", "%ff%fe"],
    ["a#b", "a#b"],
    ["12/3", "12/3"],
    ["a?b=c", "a?b=c"],
    ["a@b:c", "a@b:c"],
    ["a%2Fb%3Fc%23d", "a/b?c#d"],
    ["pä ss\\", "pä ss\\"],
  ])("gets the password %j as it stands, with %%XX decoded", async (written, password) => {
    const origin = await serve((_, response) => response.end("through"));
    const { port, seen } = await proxy();
    const route: Route = { ...trusting, proxy: sealed(`http://mssp:${written}@localhost:${port}`) };

    expect(await (await client().send(get(origin, route))).text(10)).toBe("through");
    expect(Buffer.from(seen.logins[0]!.slice("Basic ".length), "base64").toString()).toBe(`mssp:${password}`);
  });

  test("is left out for a host in no_proxy, and for a direct route", async () => {
    const origin = await serve((_, response) => response.end("straight"));
    const { port, seen } = await proxy();
    const web = client();
    const set = { ...trusting, proxy: sealed(`localhost:${port}`) };

    expect(await (await web.send(get(origin, { ...set, noProxy: "example.test,localhost" }))).text(10)).toBe(
      "straight",
    );
    expect(await (await web.send(get(origin, { ...set, direct: true }))).text(10)).toBe("straight");
    expect(seen.lines).toEqual([]);
  });

  test.each([
    [407, "never", "requires a login"],
    [403, "never", "refused to connect"],
    [502, "soon", "refused to connect"],
  ])("that answers %d is named, without its login", async (refuse, when, words) => {
    const { port } = await proxy({ refuse });
    const route = { ...trusting, proxy: sealed(`http://mssp:hunter2@localhost:${port}`) };

    const failure = await failureOf(client().send(get("https://graph.example.test/", route)));

    expect(failure).toMatchObject({ code: "proxy-refused", actor: "operator", retry: { when }, status: refuse });
    expect(failure.say).toContain(words);
    expect(failure.say).toContain(`localhost:${port}`);
    expect(`${failure.stack}${failure.nextStep}`).not.toContain("hunter2");
  });

  test("that only the environment names is used for the outside, not for this machine, and not where no_proxy or a direct route says otherwise", async () => {
    const origin = await serve((_, response) => response.end("straight"));
    const { port, seen } = await proxy({ refuse: 403 });
    const web = client({ environment: { HTTPS_PROXY: `http://localhost:${port}`, NO_PROXY: "exempt.invalid" } });

    expect((await failureOf(web.send(get("https://graph.invalid/")))).code).toBe("proxy-refused");
    expect(await (await web.send(get(origin))).text(10)).toBe("straight");
    expect((await failureOf(web.send(get("https://exempt.invalid/")))).code).toBe("dns-failed");
    expect((await failureOf(web.send(get("https://graph.invalid/", { ...trusting, direct: true })))).code).toBe(
      "dns-failed",
    );
    expect(seen.lines).toEqual(["CONNECT graph.invalid:443"]);
  });

  test("that hangs up fails once instead of trying for ever", async () => {
    const { port, seen } = await proxy({ hangUp: true });
    const failure = await failureOf(
      client().send(get("https://graph.example.test/", { ...trusting, proxy: sealed(`localhost:${port}`) })),
    );
    expect(failure).toMatchObject({
      code: "connection-reset",
      say: expect.stringContaining(`proxy localhost:${port}`),
    });
    expect(seen.lines).toEqual(["CONNECT graph.example.test:443"]);
  });

  test("that is not there is named, not the destination", async () => {
    const failure = await failureOf(
      client().send(get("https://graph.example.test/", { ...trusting, proxy: sealed("http://localhost:1") })),
    );
    expect(failure).toMatchObject({
      code: "network-unreachable",
      actor: "operator",
      say: "This machine could not connect to proxy localhost:1.",
      nextStep: "Start the proxy, or correct its address in `proxy`.",
    });
  });

  test("that has no address in DNS is named with its setting", async () => {
    const route = { ...trusting, proxy: sealed("http://proxy.invalid:8080") };
    expect(await failureOf(client().send(get("https://graph.example.test/", route)))).toMatchObject({
      code: "dns-failed",
      actor: "operator",
      say: "The host name of proxy proxy.invalid:8080 could not be resolved.",
      nextStep: "Check the host name in `proxy`, then this machine's DNS.",
    });
  });

  test("that the environment names is named with its variable, with and without a login", async () => {
    const down = client({ environment: { https_proxy: "http://localhost:1" } });
    expect((await failureOf(down.send(get("https://graph.invalid/")))).nextStep).toBe(
      "Start the proxy, or correct its address in the environment variable https_proxy.",
    );
    const { port } = await proxy({ refuse: 407 });
    const closed = client({ environment: { HTTPS_PROXY: `http://localhost:${port}` } });
    expect(await failureOf(closed.send(get("https://graph.invalid/")))).toMatchObject({
      say: `The proxy localhost:${port} requires a login, or rejected the login in the environment variable HTTPS_PROXY (407).`,
      nextStep: "Set the environment variable HTTPS_PROXY with user and password: http://user:password@host:port.",
    });
  });

  test("that does not speak TLS is named with the address to write", async () => {
    const { port } = await proxy();
    const route = { ...trusting, proxy: sealed(`https://localhost:${port}`) };
    expect(await failureOf(client().send(get("https://graph.example.test/", route)))).toMatchObject({
      code: "tls-failed",
      actor: "operator",
      nextStep: "Check the port in `proxy`. If the proxy does not speak TLS, write its address with http://.",
    });
  });

  test("that does not answer CONNECT in time is the operator's to look at, not Microsoft's", () => {
    const silent = Object.assign(new Error("silent"), { code: "UND_ERR_HEADERS_TIMEOUT" });
    const failed = new ConnectFailure(silent, { proxy: { host: "proxy:8080", namedIn: "`proxy`" } });
    expect(networkFailure(failed, { host: "graph.microsoft.com" })).toMatchObject({
      code: "timed-out",
      actor: "operator",
      say: "proxy proxy:8080 did not answer in time.",
      nextStep: "Check that the proxy runs, and its address in `proxy`.",
    });
  });

  test("through which nothing comes in time is named beside the destination", async () => {
    const limit = new AbortController();
    const origin = await serve(() => limit.abort(new DOMException("over", "TimeoutError")));
    const { port } = await proxy();
    const set = { ...trusting, proxy: sealed(`http://mssp:hunter2@localhost:${port}`) };
    expect(await failureOf(client().send(get(origin, set, { signal: limit.signal })))).toMatchObject({
      code: "timed-out",
      actor: "microsoft",
      say: `${origin.slice("https://".length)} did not answer in time through the proxy localhost:${port}.`,
      nextStep: "If this persists, check the firewall and the proxy in `proxy`.",
    });
  });

  test("spoken to over https is verified as well", async () => {
    const origin = await serve((_, response) => response.end("through"));
    const { port } = await proxy({ over: certificate });
    const set = { proxy: sealed(`https://localhost:${port}`) };

    expect(await (await client().send(get(origin, { ...trusting, ...set }))).text(10)).toBe("through");
    const failure = await failureOf(client().send(get(origin, set)));
    expect(failure.code).toBe("tls-untrusted");
    expect(failure.say).toContain(`proxy localhost:${port}`);
  });

  test("that intercepts TLS is recognised by the issuer of its certificate", async () => {
    const origin = await serve((_, response) => response.end("never"));
    const { port } = await proxy();
    const failure = await failureOf(client().send(get(origin, { proxy: sealed(`localhost:${port}`) })));
    expect(failure.say).toContain('issued by "CN=defender-mssp simulator CA"');
  });

  test("whose address is nonsense is refused without repeating it", async () => {
    const failure = await failureOf(
      client().send(get("https://graph.example.test/", { proxy: sealed("socks5://mssp:hunter2@proxy:1080") })),
    );
    expect(failure.code).toBe("proxy-unusable");
    expect(`${failure.stack}`).not.toContain("hunter2");
  });
});
