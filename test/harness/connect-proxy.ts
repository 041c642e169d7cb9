import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import type { ServerCertificate } from "./simulator/certificates.ts";

export interface ConnectProxyOptions {
  /** Answers every CONNECT with this status instead of a tunnel. */
  readonly refuse?: number;
  /** Closes the connection when it gets a CONNECT. */
  readonly hangUp?: true;
  /** Status and headers with which the tunnel opens; default: `200 Connection Established`. */
  readonly opensWith?: string;
  /** `user:password`; any other login is answered 407. */
  readonly login?: string;
  /** Speaks TLS to its clients. */
  readonly over?: ServerCertificate;
}

export interface ConnectProxy {
  readonly port: number;
  /** The request lines and logins that it got, in order. */
  readonly seen: { readonly lines: string[]; readonly logins: (string | undefined)[] };
  close(): void;
}

/** A real CONNECT proxy on loopback. It forwards the bytes of the tunnel unread, and nothing else. */
export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const seen: ConnectProxy["seen"] = { lines: [], logins: [] };
  const server = options.over
    ? https.createServer({ key: options.over.keyPem, cert: options.over.certificatePem })
    : http.createServer();
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => {});
  server.on("request", (request, response) => {
    seen.lines.push(`${request.method} ${request.url}`);
    response.writeHead(500).end();
  });
  server.on("connect", (request: http.IncomingMessage, socket: net.Socket, head: Buffer) => {
    socket.on("error", () => {});
    const login = request.headers["proxy-authorization"];
    seen.lines.push(`CONNECT ${request.url}`);
    seen.logins.push(login);
    if (options.hangUp) {
      socket.destroy();
      return;
    }
    const status = options.refuse ?? (isRightLogin(options.login, login) ? undefined : 407);
    if (status !== undefined) {
      socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const [host, port] = (request.url ?? "").split(":");
    const onward = net.connect(Number(port), host, () => {
      socket.write(`HTTP/1.1 ${options.opensWith ?? "200 Connection Established"}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
  });
  server.listen(0);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function isRightLogin(wanted: string | undefined, given: string | undefined): boolean {
  return wanted === undefined || given === `Basic ${Buffer.from(wanted).toString("base64")}`;
}
