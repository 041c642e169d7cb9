import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import type { ServerCertificate } from "./simulator/certificates.ts";

export interface TlsFront {
  readonly origin: string;
  close(): void;
}

/**
 * A server with a certificate of its own before a service on this machine: whoever accepts the certificate
 * talks to the service. It shows certificates that this runtime would otherwise refuse to show.
 *
 * @param service its origin, and the CA file's text that verifies it.
 */
export async function startTlsFront(
  shown: ServerCertificate,
  service: { readonly origin: string; readonly ca: string },
): Promise<TlsFront> {
  const { hostname: host, port } = new URL(service.origin);
  const sockets = new Set<tls.TLSSocket>();
  const server = tls.createServer(
    { key: shown.keyPem, cert: shown.certificatePem, ciphers: "DEFAULT@SECLEVEL=0" },
    (socket) => {
      const onward = tls.connect({ host, port: Number(port), ca: service.ca, servername: host });
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        sockets.add(one);
        one.on("error", () => other.destroy()).on("close", () => sockets.delete(one));
      }
      socket.pipe(onward).pipe(socket);
    },
  );
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
