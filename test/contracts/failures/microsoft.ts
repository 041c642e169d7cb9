import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { createHuntingSource } from "../../../src/defender/hunting/hunting-source.ts";
import { createSourceStream } from "../../../src/defender/source-stream.ts";
import type { ListStreamName } from "../../../src/defender/streams/registry.ts";
import { CLOUDS } from "../../../src/model/cloud.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { Route } from "../../../src/model/stanza.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { createHttp } from "../../../src/net/http.ts";
import { makeServerCertificate } from "../../harness/simulator/certificates.ts";
import { type Answer, answering, type Cause, type Causes, quickClock, type Raised, silent, thrownBy } from "./cause.ts";

const tenant = {
  id: "11111111-2222-4333-8444-555555555555" as TenantId,
  name: "contoso",
  cloud: "commercial",
} as const;
const never = new AbortController().signal;
const tokens = { accessToken: () => Promise.resolve(sealed("token")) };
const stanza = { name: "contoso", endpoints: CLOUDS.commercial, route: {}, clientId: "app" } as const;

/** A stream asks for a page and reads it, and the API answers so. */
function asked(answer: Answer, stream: ListStreamName = "alerts"): Promise<Raised> {
  return thrownBy(async () => {
    const parts = {
      stanza,
      tenant,
      stream,
      http: answering(answer),
      tokens,
      clock: quickClock(),
      log: silent,
      recordMaxBytes: 100_000,
    };
    const page = await createSourceStream(parts).ask({ top: 100 }, never);
    for await (const batch of page.batches) void batch;
  });
}

function answers(
  status: number,
  message = "no",
  more: { headers?: Record<string, string>; stream?: ListStreamName } = {},
): Cause {
  const answer = {
    status,
    ...(more.headers ? { headers: more.headers } : {}),
    body: { error: { code: "Error", message } },
  };
  return [`the API answers ${status} "${message}"`, () => asked(answer, more.stream)];
}

function hunting(status: number, message: string): Cause {
  const query = { name: "logons", kql: "IdentityLogonEvents", everyMinutes: 60, windowMinutes: 60, delayMinutes: 5 };
  return [
    `a hunting query is answered ${status} "${message}"`,
    () =>
      thrownBy(() => {
        const service = answering({ status, body: { error: { code: "BadRequest", message } } });
        const source = createHuntingSource({
          stanza,
          tenant,
          queries: [query],
          http: service,
          tokens,
          clock: quickClock(),
          log: silent,
          recordMaxBytes: 100_000,
        });
        return source.hunt({ query, window: { from: 0n, to: 36_000_000_000n }, after: 0n, untimedAt: 0n }, never);
      }),
  ];
}

/** The real client asks for this address. */
async function requested(
  url: string,
  route: Route = {},
  options: { headersTimeoutMs?: number; signal?: AbortSignal } = {},
): Promise<Raised> {
  const client = createHttp({ environment: {} });
  try {
    return await thrownBy(async () =>
      (await client.send({ method: "GET", url, headers: {}, route, ...options })).text(1000),
    );
  } finally {
    await client.close();
  }
}

/** Runs a server on a port of this machine while `use` asks it. */
async function beside(server: net.Server, use: (port: number) => Promise<Raised>): Promise<Raised> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => sockets.add(socket.on("error", () => {})));
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

export const MICROSOFT: Causes = {
  "api-gone": answers(410, "gone"),
  "bad-answer": ["the API answers with half a page", () => asked({ body: '{"value":[{"id":"a"' })],
  "claims-challenge": answers(401, "no", {
    headers: { "www-authenticate": 'Bearer error="insufficient_claims", claims="e30="' },
  }),
  "feature-disabled": answers(403, "DisabledFeature"),
  forbidden: answers(403, "Forbidden"),
  "licence-missing": answers(401, "Unauthorized request - reason of failure: No Tvm license", { stream: "mde-alerts" }),
  "not-provisioned": answers(403, "Unauthorized request - Account is not provisioned."),
  "query-refused": hunting(400, "'where' operator: Failed to resolve column"),
  "query-too-large": hunting(400, "Query execution has exceeded the allowed result size."),
  refused: answers(400, "Invalid filter clause"),
  "service-error": answers(500, "InternalServerError"),
  throttled: answers(429, "Too many requests"),
  unauthorised: answers(401, "Lifetime validation failed, the token is expired."),

  "address-not-https": ["an address of another machine is http", () => requested("http://graph.example.test/")],
  "ca-file-unusable": [
    "the CA file is not there",
    () => requested("https://localhost/", { caFile: "/no/such/ca.pem" }),
  ],
  "connection-reset": [
    "the server drops the connection",
    () =>
      beside(
        net.createServer((socket) => void socket.once("data", () => socket.destroy())),
        (port) => requested(`http://127.0.0.1:${port}/`),
      ),
  ],
  "dns-failed": ["the host name does not exist", () => requested("https://no-such-host.invalid/")],
  "network-unreachable": ["the port is closed", () => requested("https://127.0.0.1:1/")],
  "proxy-refused": [
    "the proxy answers 407 to CONNECT",
    () => {
      const proxy = http.createServer().on("connect", (_, socket) => socket.end("HTTP/1.1 407 Login\r\n\r\n"));
      return beside(proxy, (port) =>
        requested("https://graph.example.test/", { proxy: sealed(`http://127.0.0.1:${port}`) }),
      );
    },
  ],
  "proxy-unusable": [
    "the proxy is a SOCKS address",
    () => requested("https://graph.example.test/", { proxy: sealed("socks5://proxy:1080") }),
  ],
  stopped: [
    "the program stops while a request is under way",
    () => requested("https://127.0.0.1:1/", {}, { signal: AbortSignal.abort() }),
  ],
  "timed-out": [
    "the server takes the request and stays silent",
    () => beside(http.createServer(), (port) => requested(`http://127.0.0.1:${port}/`, {}, { headersTimeoutMs: 50 })),
  ],
  "tls-failed": [
    "the server does not speak TLS",
    () =>
      beside(
        net.createServer((socket) => void socket.end("220 ready\r\n")),
        (port) => requested(`https://127.0.0.1:${port}/`),
      ),
  ],
  "tls-untrusted": [
    "an unknown authority issued the server's certificate",
    async () => {
      const { keyPem, certificatePem } = await makeServerCertificate(Date.now());
      const server = https.createServer({ key: keyPem, cert: certificatePem });
      return beside(server, (port) => requested(`https://localhost:${port}/`));
    },
  ],
};
