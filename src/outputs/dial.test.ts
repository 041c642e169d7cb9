import { writeFileSync } from "node:fs";
import * as net from "node:net";
import { join } from "node:path";
import * as tls from "node:tls";
import { afterEach, beforeAll, describe, expect, jest, test } from "@jest/globals";
import { makeAwkwardCertificate } from "../../test/harness/awkward-certificates.ts";
import { newFolder } from "../../test/harness/fakes/receiver.ts";
import { freePort } from "../../test/harness/free-port.ts";
import type { ServerCertificate } from "../../test/harness/simulator/certificates.ts";
import { makeServerCertificate } from "../../test/harness/simulator/certificates.ts";
import type { Target } from "./connection.ts";
import { realDialer } from "./dial.ts";

const never = new AbortController().signal;
const folder = newFolder();
const caFile = join(folder, "ca.pem");
const ownFile = join(folder, "own.pem");
let authority: ServerCertificate;
let servers: (net.Server | tls.Server)[] = [];

beforeAll(async () => {
  authority = await makeServerCertificate(Date.now());
  writeFileSync(caFile, authority.caPem);
  writeFileSync(ownFile, authority.keyPem + authority.certificatePem);
});

afterEach(async () => {
  for (const server of servers) await new Promise((done) => server.close(done));
  servers = [];
});

async function listening(server: net.Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  return (server.address() as net.AddressInfo).port;
}

function tlsServer(options: tls.TlsOptions, onSocket: (socket: tls.TLSSocket) => void): tls.Server {
  const server = tls.createServer({ cert: authority.certificatePem, key: authority.keyPem, ...options }, onSocket);
  server.on("tlsClientError", () => undefined);
  return server;
}

const target = (port: number, more: Partial<Target> = {}): Target => ({
  host: "localhost",
  port,
  protocol: "tls",
  ...more,
});

describe("over real sockets", () => {
  test.each(["tcp", "tls"] as const)(
    "over %s everything taken arrives before the connection ends",
    async (protocol) => {
      let text = "";
      let ended: () => void = () => undefined;
      const end = new Promise<void>((resolve) => {
        ended = resolve;
      });
      const onSocket = (socket: net.Socket) => {
        socket.on("data", (piece) => {
          text += piece.toString();
        });
        socket.on("end", ended);
      };
      const port = await listening(protocol === "tls" ? tlsServer({}, onSocket) : net.createServer(onSocket));

      const connection = await realDialer.connect(target(port, { protocol, caFile }), never);
      await connection.send(Buffer.from("a\n"));
      await connection.send(Buffer.from("b\n".repeat(100_000)));
      expect(await connection.close(5_000)).toBe(true);
      await end;

      expect(text.length).toBe(200_002);
    },
  );

  test("a receiver that reads nothing, or resets, has not closed the connection normally", async () => {
    const left: net.Socket[] = [];
    const silent = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      left.push(socket.on("error", () => undefined)),
    );
    const connection = await realDialer.connect(target(await listening(silent), { protocol: "tcp" }), never);
    await connection.send(Buffer.from("a\n"));
    expect(await connection.close(50)).toBe(false);
    for (const socket of left) socket.destroy();

    const resetting = net.createServer((socket) =>
      socket.on("error", () => undefined).once("data", () => socket.resetAndDestroy()),
    );
    const other = await realDialer.connect(target(await listening(resetting), { protocol: "tcp" }), never);
    await other.send(Buffer.from("a\n"));
    expect(await other.close(5_000)).toBe(false);
    expect((await other.gone).say).toContain("cannot be used: it closed the connection.");
  });

  test("the client certificate is sent to a receiver that asks for one", async () => {
    let subject: unknown;
    const port = await listening(
      tlsServer({ requestCert: true, rejectUnauthorized: false }, (socket) => {
        subject = socket.getPeerCertificate().subject.CN;
        socket.on("error", () => undefined);
        socket.end();
      }),
    );

    const connection = await realDialer.connect(target(port, { caFile, certificate: ownFile }), never);
    await connection.gone;

    expect(subject).toBe("localhost");
  });

  test("a receiver that closes is noticed, and no more bytes are accepted", async () => {
    const port = await listening(net.createServer((socket) => socket.destroy()));

    const connection = await realDialer.connect(target(port, { protocol: "tcp" }), never);
    const why = await connection.gone;

    expect(why.code).toBe("output-unreachable");
    await expect(connection.send(Buffer.from("a"))).rejects.toMatchObject({ code: "output-unreachable" });
  });
});

describe("one sentence says why a connection cannot be made to", () => {
  test("a port on which no process listens", async () => {
    const port = await freePort();
    await expect(realDialer.connect(target(port, { protocol: "tcp" }), never)).rejects.toMatchObject({
      code: "output-unreachable",
      say: `tcp://localhost:${port} cannot be used: connection refused.`,
    });
  });

  test("a receiver whose certificate authority is not trusted", async () => {
    const port = await listening(tlsServer({}, (socket) => socket.on("error", () => undefined)));
    await expect(realDialer.connect(target(port), never)).rejects.toMatchObject({
      code: "output-untrusted",
      say: expect.stringContaining("authority is not trusted"),
      nextStep: expect.stringContaining(".ca_file"),
    });
  });

  test.each(["1024-bit key", "SHA-1 signature", "1024-bit authority"] as const)(
    "a receiver whose certificate has a %s",
    async (what) => {
      const weak = await makeAwkwardCertificate(what);
      const file = join(folder, "weak.pem");
      writeFileSync(file, weak.caPem);
      const port = await listening(
        tlsServer({ key: weak.keyPem, cert: weak.certificatePem, ciphers: "DEFAULT@SECLEVEL=0" }, () => undefined),
      );
      await expect(realDialer.connect(target(port, { caFile: file }), never)).rejects.toMatchObject({
        code: "output-untrusted",
        say: expect.stringContaining("certificate is too weak"),
        nextStep: expect.stringContaining("2048 bits"),
      });
    },
  );

  test("a receiver is not blamed when the client certificate is too weak", async () => {
    const weak = await makeAwkwardCertificate("1024-bit key");
    const file = join(folder, "weak-own.pem");
    writeFileSync(file, weak.keyPem + weak.certificatePem);
    await expect(realDialer.connect(target(1, { caFile, certificate: file }), never)).rejects.toMatchObject({
      say: expect.stringMatching(/weak-own\.pem of \.certificate holds a certificate that is too weak/),
    });
  });

  test("a receiver is trusted through its issuing authority alone, without that one's root", async () => {
    const issued = await makeAwkwardCertificate("intermediate authority");
    const file = join(folder, "issuer.pem");
    writeFileSync(file, issued.caPem);
    const port = await listening(
      tlsServer({ key: issued.keyPem, cert: issued.certificatePem }, (socket) =>
        socket.on("error", () => undefined).resume(),
      ),
    );
    const connection = await realDialer.connect(target(port, { caFile: file }), never);
    await expect(connection.send(Buffer.from("line\n"))).resolves.toBeUndefined();
    await connection.close(5_000);
  });

  /** How the connection to a receiver ends, whether the handshake fails or the first line. */
  async function endOf(port: number): Promise<unknown> {
    try {
      const connection = await realDialer.connect(target(port, { caFile }), never);
      await connection.send(Buffer.from("line\n")).catch(() => undefined);
      return await connection.gone;
    } catch (error) {
      return error;
    }
  }

  test.each([
    ["TLSv1.3", "requires a client certificate"],
    ["TLSv1.2", "ended the TLS handshake"],
  ] as const)("a receiver that requires a client certificate, over %s", async (maxVersion, say) => {
    const port = await listening(
      tlsServer({ requestCert: true, rejectUnauthorized: true, ca: authority.caPem, maxVersion }, () => undefined),
    );
    expect(await endOf(port)).toMatchObject({
      code: "output-untrusted",
      say: expect.stringContaining(say),
      nextStep: expect.stringContaining(".certificate"),
    });
  });

  test.each([
    [true, "output-untrusted", "asked for a client certificate, got none, and closed"],
    [false, "output-unreachable", "the connection was closed"],
  ])("a receiver that closes without a word, having asked for a client certificate: %s", async (asks, code, say) => {
    const port = await listening(
      tlsServer({ requestCert: asks, rejectUnauthorized: false }, (socket) =>
        socket.on("error", () => undefined).once("data", () => socket.destroy()),
      ),
    );
    expect(await endOf(port)).toMatchObject({ code, say: expect.stringContaining(say) });
  });

  test("a receiver with a certificate for another name", async () => {
    const port = await listening(tlsServer({}, (socket) => socket.on("error", () => undefined)));
    await expect(realDialer.connect(target(port, { host: "127.0.0.2", caFile }), never)).rejects.toMatchObject({
      say: expect.stringContaining("another name"),
    });
  });

  test("a port that does not speak TLS", async () => {
    const port = await listening(
      net.createServer((socket) =>
        socket
          .on("error", () => undefined)
          .resume()
          .end("hello\n"),
      ),
    );
    await expect(realDialer.connect(target(port, { caFile }), never)).rejects.toMatchObject({
      say: expect.stringContaining("does not speak TLS"),
    });
  });

  test("a receiver without TLS that takes the handshake for the beginning of a line and does not answer", async () => {
    jest.useFakeTimers({ doNotFake: ["setImmediate", "nextTick", "queueMicrotask"] });
    try {
      let reached: () => void = () => undefined;
      const greeted = new Promise<void>((resolve) => {
        reached = resolve;
      });
      const port = await listening(
        net.createServer((socket) => socket.on("error", () => undefined).once("data", reached)),
      );
      const failing = realDialer.connect(target(port, { caFile }), never).catch((error: unknown) => error);
      await greeted;
      jest.advanceTimersByTime(10_000);
      expect(await failing).toMatchObject({
        say: `tls://localhost:${port} cannot be used: it accepts the connection but does not answer in TLS.`,
        nextStep: expect.stringContaining(".protocol"),
      });
    } finally {
      jest.useRealTimers();
    }
  });

  test.each([
    ["caFile", "nothing", /useless\.pem of \.ca_file holds no certificate/],
    ["certificate", "nothing", /useless\.pem of \.certificate does not hold a certificate and the key/],
    ["certificate", "another key", /useless\.pem of \.certificate does not hold a certificate and the key/],
  ] as const)("a receiver whose %s cannot be used (%s)", async (key, content, say) => {
    const file = join(folder, "useless.pem");
    const other = await makeServerCertificate(Date.now());
    writeFileSync(file, content === "another key" ? other.keyPem + authority.certificatePem : content);
    await expect(realDialer.connect(target(1, { caFile, [key]: file }), never)).rejects.toMatchObject({
      code: "output-untrusted",
      say: expect.stringMatching(say),
    });
  });

  test("a receiver whose certificate file is missing", async () => {
    await expect(realDialer.connect(target(1, { caFile: join(folder, "none.pem") }), never)).rejects.toMatchObject({
      code: "output-untrusted",
      say: expect.stringContaining("none.pem"),
    });
  });
});
