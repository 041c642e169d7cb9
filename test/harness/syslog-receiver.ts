/** A syslog receiver over TCP that can stop reading, and crash with what it had not read. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export class SyslogReceiver {
  readonly #sockets = new Set<Socket>();
  /** Of each connection, the beginning of a message that has not ended yet. */
  readonly #lines: string[] = [];
  #server: Server | undefined;
  #port = 0;
  #isDeaf = false;

  static async open(): Promise<SyslogReceiver> {
    const receiver = new SyslogReceiver();
    await receiver.start();
    return receiver;
  }

  get port(): number {
    return this.#port;
  }

  /** Messages without their syslog header, as they were read; one that was cut off is left out. */
  get messages(): readonly string[] {
    return this.#lines.map((line) => line.slice(line.indexOf("CEF:")));
  }

  /** On the same port as before. */
  async start(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#isDeaf = false;
  }

  /** From now on nothing is read: what arrives stays in buffers, as with a process that hangs. */
  stopReading(): void {
    this.#isDeaf = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** How many connections have brought something that nobody has read. */
  get unread(): number {
    return [...this.#sockets].filter(({ readableLength }) => readableLength > 0).length;
  }

  /** Nobody can connect, and what was not read is lost. */
  async crash(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    let rest = "";
    socket.setEncoding("utf8").on("data", (text: string) => {
      const lines = `${rest}${text}`.split("\n");
      rest = lines.pop() ?? "";
      this.#lines.push(...lines);
    });
    if (this.#isDeaf) socket.pause();
  }
}
