import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { ServerCertificate } from "./simulator/certificates.ts";

export interface KillingFront {
  readonly origin: string;
  /** Method and path of each request since `arm`, in order. */
  readonly seen: readonly string[];
  /**
   * Calls `kill` once at the n-th request from now on (1 is the first): `before` the service gets it, or
   * `after` the service did it, whose answer is then never sent. Without a number nobody is killed.
   */
  arm(nth: number | undefined, when: "before" | "after", kill: () => void): void;
  close(): void;
}

/**
 * Stands before a service on this machine and counts its requests, so that a test can kill the program at
 * each of them.
 *
 * @param counts false for requests that are not the program's, but the test's own.
 */
export async function startKillingFront(
  shown: ServerCertificate,
  service: { readonly origin: string; readonly ca: string },
  counts: (path: string) => boolean,
): Promise<KillingFront> {
  const { hostname: host, port } = new URL(service.origin);
  // A kept connection may be closed by the service at the moment of the next request.
  const agent = new https.Agent({ ca: service.ca, keepAlive: false });
  const seen: string[] = [];
  let armed: { readonly nth: number | undefined; readonly when: "before" | "after"; readonly kill: () => void } = {
    nth: undefined,
    when: "before",
    kill: () => undefined,
  };
  const server = https.createServer({ key: shown.keyPem, cert: shown.certificatePem }, (request, response) => {
    const path = request.url ?? "/";
    if (counts(path)) seen.push(`${request.method} ${path.split("?")[0]}`);
    const isThis = counts(path) && seen.length === armed.nth;
    const { when, kill } = armed;
    response.on("error", () => undefined);
    if (isThis && when === "before") {
      kill();
      return;
    }
    const onward = https.request(
      { host, port, agent, path, method: request.method, headers: { ...request.headers, host: `${host}:${port}` } },
      (answer) => {
        if (isThis) {
          answer.resume().once("end", kill);
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    seen,
    arm(nth, when, kill) {
      seen.length = 0;
      armed = { nth, when, kill };
    },
    close() {
      server.closeAllConnections();
      server.close();
      agent.destroy();
    },
  };
}
