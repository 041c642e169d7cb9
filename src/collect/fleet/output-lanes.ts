import { DeliveryLane, type DeliveryLaneParts } from "./delivery-lane.ts";

export interface OutputLanesParts extends DeliveryLaneParts {
  /** Deliveries under way at once. */
  readonly lanes: number;
  /** What decides on a stream's lane. Absent: `stream`. With `shard`, a lane for each shard is needed. */
  readonly laneBy?: "stream" | "shard";
}

/**
 * All lanes to one output. A stream belongs to one of them for ever, so that its packets are delivered in
 * their order; while a receiver takes its time to confirm what one lane delivered, the others go on.
 */
export class OutputLanes {
  readonly output: string;
  readonly #lanes: readonly DeliveryLane[];
  readonly #laneBy: "stream" | "shard";
  readonly #laneOf = new Map<number, DeliveryLane>();

  constructor({ lanes, laneBy = "stream", backlogMostBytes, ...parts }: OutputLanesParts) {
    this.output = parts.output;
    this.#laneBy = laneBy;
    this.#lanes = Array.from(
      { length: lanes },
      () => new DeliveryLane({ ...parts, backlogMostBytes: backlogMostBytes / lanes }),
    );
  }

  /** As of each lane. */
  get held(): readonly string[] {
    return this.#lanes.flatMap(({ held }) => held);
  }

  /** Of all lanes. */
  get waiting(): { readonly packets: number; readonly bytes: number } {
    const each = this.#lanes.map((lane) => lane.waiting);
    return {
      packets: each.reduce((sum, { packets }) => sum + packets, 0),
      bytes: each.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  add(...[stream, lease, stanza]: Parameters<DeliveryLane["add"]>): void {
    const place = this.#laneBy === "shard" ? lease.shard : stream;
    const lane = this.#lanes[place % this.#lanes.length] as DeliveryLane;
    this.#laneOf.set(stream, lane);
    lane.add(stream, lease, stanza);
  }

  committed(stream: number, bytes: number): void {
    this.#laneOf.get(stream)?.committed(stream, bytes);
  }

  /** As of each lane. */
  async remove(streams: readonly number[], options?: Parameters<DeliveryLane["remove"]>[1]): Promise<void> {
    const of = (lane: DeliveryLane) => streams.filter((stream) => this.#laneOf.get(stream) === lane);
    const lanes = new Set(streams.flatMap((stream) => this.#laneOf.get(stream) ?? []));
    await Promise.all([...lanes].map((lane) => lane.remove(of(lane), options)));
  }

  /** Waits while too much waits on the stream's lane. Throws as that does. */
  async room(stream: number): Promise<void> {
    await this.#laneOf.get(stream)?.room(stream);
  }

  /** As of each lane. */
  async close(withinMs: number): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close(withinMs)));
  }

  /** As of each lane. */
  async ended(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.ended()));
  }
}
