import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../free-port.ts";
import { makeServerCertificate } from "../simulator/certificates.ts";
import { type AckMode, FakeIndexer } from "./indexer.ts";

export interface HecServerOptions {
  readonly ack: AckMode;
  readonly token: string;
  /** 0: any. */
  readonly port: number;
  /** Gets the `event` values that count as indexed, one a line. */
  readonly out?: string;
  /** As in `IndexerOptions`. */
  readonly unchecked?: (piece: Uint8Array) => void;
}

export interface HecServer {
  readonly ready: { readonly url: string; readonly token: string; readonly ca_file: string };
  readonly indexer: FakeIndexer;
  /** Closes the port and every connection; `resume` opens the same port again. */
  suspend(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

const TICK_MS = 50;

/** The fake HEC over TLS on loopback. */
export async function startHec({ ack, token, port, out, unchecked }: HecServerOptions): Promise<HecServer> {
  const folder = mkdtempSync(join(tmpdir(), "fake-hec-"));
  const certificate = await makeServerCertificate(Date.now());
  const caFile = join(folder, "ca.pem");
  writeFileSync(caFile, certificate.caPem);
  const indexer = new FakeIndexer({
    token,
    ack,
    nowMs: () => performance.now(),
    random: Math.random,
    ...(unchecked === undefined ? {} : { unchecked }),
    indexed: (events) => {
      if (out !== undefined) appendFileSync(out, events.map((event) => `${event}\n`).join(""));
    },
  });
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  async function listen(on: number): Promise<number> {
    server = createServer({ cert: certificate.certificatePem, key: certificate.keyPem }, (request, response) => {
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const reply = indexer.handle({ path: request.url ?? "/", headers: request.headers, body: pieces });
        response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers });
        response.end(reply.body);
      });
    });
    const opened = server;
    opened.on("secureConnection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined).once("close", () => sockets.delete(socket));
    });
    opened.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve, reject) => opened.once("error", reject).listen(on, "127.0.0.1", resolve));
    return (opened.address() as AddressInfo).port;
  }
  async function close(): Promise<void> {
    const closing = server;
    server = undefined;
    if (closing === undefined) return;
    const closed = new Promise<void>((resolve) => closing.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  }
  let bound: number;
  try {
    bound = await listen(port === 0 ? await freePort() : port);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  const ticking = setInterval(() => indexer.tick(), TICK_MS);
  return {
    ready: { url: `https://127.0.0.1:${bound}`, token, ca_file: caFile },
    indexer,
    suspend: close,
    resume: async () => void (await listen(bound)),
    async stop() {
      clearInterval(ticking);
      await close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
