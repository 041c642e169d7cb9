/**
 * What many clients do: transactions of the protocol before KIP-890, and an EndTxn that timed out is simply
 * sent again. The tests show what happens to it, so that they can be believed of the program.
 */

import { setTimeout as pause } from "node:timers/promises";
import {
  addPartitionsToTxnV3,
  Connection,
  endTxnV4,
  initProducerIdV5,
  NumericMap,
  produceV11,
} from "@platformatic/kafka";
import { codesOf } from "../../../src/outputs/kafka-error.ts";

/** The transaction before is being ended; the topic is new. */
const PASSING: ReadonlySet<string> = new Set(["CONCURRENT_TRANSACTIONS", "NOT_LEADER_OR_FOLLOWER"]);

export class BlindWriter {
  readonly #id: string;
  readonly #port: number;
  readonly #topic: string;
  readonly #requestMs: number;
  readonly #sequences = new Map<number, number>();
  #connection: Connection | undefined;
  #producerId = -1n;
  #epoch = -1;

  constructor(id: string, port: number, topic: string, requestMs: number) {
    this.#id = id;
    this.#port = port;
    this.#topic = topic;
    this.#requestMs = requestMs;
  }

  async open(): Promise<void> {
    const answer = await this.#again(async () =>
      initProducerIdV5.api.async(await this.#connect(), this.#id, 30_000, -1n, -1),
    );
    this.#producerId = answer.producerId;
    this.#epoch = answer.producerEpoch;
  }

  /** One record of the open transaction, which begins with the first. */
  async send(partition: number, key: string, value: string): Promise<void> {
    const connection = await this.#connect();
    const ours = { transactionalId: this.#id, producerId: this.#producerId, producerEpoch: this.#epoch };
    await this.#again(() =>
      addPartitionsToTxnV3.api.async(connection, [
        { ...ours, verifyOnly: false, topics: [{ name: this.#topic, partitions: [partition] }] },
      ]),
    );
    const sequence = this.#sequences.get(partition) ?? 0;
    this.#sequences.set(partition, sequence + 1);
    await this.#again(() =>
      produceV11.api.async(
        connection,
        -1,
        this.#requestMs,
        [{ topic: this.#topic, partition, key: Buffer.from(key), value: Buffer.from(value) }],
        { ...ours, sequences: new NumericMap([[`${this.#topic}:${partition}`, sequence]]), compression: "none" },
      ),
    );
  }

  /** Blindly again after a time-out. */
  async commit(): Promise<void> {
    const end = async () => endTxnV4.api.async(await this.#connect(), this.#id, this.#producerId, this.#epoch, true);
    try {
      await end();
    } catch {
      this.close();
      await this.#again(end);
    }
  }

  close(): void {
    void Promise.resolve(this.#connection?.close()).catch(() => undefined);
    this.#connection = undefined;
  }

  async #connect(): Promise<Connection> {
    if (this.#connection !== undefined) return this.#connection;
    const connection = new Connection("blind", { requestTimeout: this.#requestMs, maxInflights: 1 });
    connection.on("error", () => undefined);
    await connection.connect("127.0.0.1", this.#port);
    this.#connection = connection;
    return connection;
  }

  async #again<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!codesOf(error).some((code) => PASSING.has(code))) throw error;
        await pause(5);
      }
    }
  }
}
