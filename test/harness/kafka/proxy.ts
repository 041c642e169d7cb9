/** A proxy before a broker that sees each request of the protocol, and can hold one back. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Numbers of Kafka's requests. */
export const PRODUCE = 0;
export const INIT_PRODUCER_ID = 22;
export const END_TXN = 26;

export interface KafkaRequest {
  readonly api: number;
  readonly version: number;
}

/**
 * `late`: the client never gets an answer, and the broker gets the request only then, on a connection of its
 * own, as a network does that repeats a packet.
 */
export type Fate = "now" | "never" | { readonly late: Promise<void>; readonly answered: (errorCode: number) => void };

export class KafkaProxy {
  /** Decides about each request. */
  decide: (request: KafkaRequest) => Fate = () => "now";
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #to = 0;

  private constructor() {
    this.#server = createServer((client) => this.#serve(client));
  }

  /** Listens; `lead` says where to. The broker has to know the port before it starts. */
  static async open(): Promise<KafkaProxy> {
    const proxy = new KafkaProxy();
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  lead(toPort: number): void {
    this.#to = toPort;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    const broker = connect(this.#to, "127.0.0.1");
    for (const [one, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => undefined);
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    broker.pipe(client);
    let rest: Buffer = Buffer.alloc(0);
    client.on("data", (piece: Buffer) => {
      rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
        const frame = rest.subarray(0, 4 + rest.readInt32BE(0));
        rest = rest.subarray(frame.length);
        this.#pass(frame, broker);
      }
    });
  }

  #pass(frame: Buffer, broker: Socket): void {
    const fate = this.decide({ api: frame.readInt16BE(4), version: frame.readInt16BE(6) });
    if (fate === "never") return;
    if (fate === "now") {
      broker.write(frame);
      return;
    }
    void this.#passLate(Buffer.from(frame), fate);
  }

  async #passLate(copy: Buffer, fate: Exclude<Fate, string>): Promise<void> {
    await fate.late;
    const own = connect(this.#to, "127.0.0.1", () => own.write(copy));
    this.#sockets.add(own);
    own.on("error", () => undefined);
    own.on("close", () => this.#sockets.delete(own));
    own.once("data", (answer: Buffer) => {
      // Length, correlation id, tagged fields, throttle time.
      fate.answered(answer.readInt16BE(13));
      own.destroy();
    });
  }
}
