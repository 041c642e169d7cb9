/**
 * Stands between a program and PostgreSQL. It can hold back what the server answers, cut connections, and
 * cut them after the server did its part: the program then never learns what became of its statement.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export class CuttingProxy {
  readonly #server: Server;
  readonly #to: number;
  readonly #pairs = new Set<readonly [client: Socket, server: Socket]>();
  /** `pass`: both ways. `swallow-answers`: the server gets everything, and the program nothing. */
  mode: "pass" | "swallow-answers" | "refuse" = "pass";
  /** Bytes that the server answered and nobody got. */
  swallowedBytes = 0;

  private constructor(server: Server, to: number) {
    this.#server = server;
    this.#to = to;
    server.on("connection", (client) => this.#pair(client));
  }

  /** @param to the server's port. */
  static open(to: number): Promise<CuttingProxy> {
    return new Promise((resolve, reject) => {
      const server = createServer().on("error", reject);
      const proxy = new CuttingProxy(server, to);
      server.listen(0, "127.0.0.1", () => resolve(proxy));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends every connection that is open now. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pair(client: Socket): void {
    if (this.mode === "refuse") {
      client.destroy();
      return;
    }
    const server = connect(this.#to, "127.0.0.1");
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    client.on("data", (bytes) => server.write(bytes));
    server.on("data", (bytes) => {
      if (this.mode === "swallow-answers") this.swallowedBytes += bytes.length;
      else client.write(bytes);
    });
    for (const socket of pair)
      socket
        .on("error", () => undefined)
        .on("close", () => {
          this.#pairs.delete(pair);
          for (const one of pair) one.destroy();
        });
  }
}
