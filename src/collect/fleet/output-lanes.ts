import { DeliveryLane, type DeliveryLaneParts } from "./delivery-lane.ts";

export interface OutputLanesParts extends DeliveryLaneParts {
  /** Deliveries under way at once. */
  readonly lanes: number;
}

/**
 * All lanes to one output. A stream belongs to one of them for ever, so that its packets are delivered in
 * their order; while a receiver takes its time to confirm what one lane delivered, the others go on.
 */
export class OutputLanes {
  readonly output: string;
  readonly #lanes: readonly DeliveryLane[];

  constructor({ lanes, backlogMostBytes, ...parts }: OutputLanesParts) {
    this.output = parts.output;
    this.#lanes = Array.from(
      { length: lanes },
      () => new DeliveryLane({ ...parts, backlogMostBytes: backlogMostBytes / lanes }),
    );
  }

  /** As of each lane. */
  get held(): readonly string[] {
    return this.#lanes.flatMap(({ held }) => held);
  }

  add(...[stream, ...more]: Parameters<DeliveryLane["add"]>): void {
    this.#of(stream).add(stream, ...more);
  }

  committed(stream: number, bytes: number): void {
    this.#of(stream).committed(stream, bytes);
  }

  /** As of each lane. */
  async remove(streams: readonly number[]): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.remove(streams.filter((stream) => this.#of(stream) === lane))));
  }

  /** Waits while too much waits on the stream's lane. Throws as that does. */
  room(stream: number): Promise<void> {
    return this.#of(stream).room(stream);
  }

  /** As of each lane. */
  async close(withinMs: number): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close(withinMs)));
  }

  /** As of each lane. */
  async ended(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.ended()));
  }

  #of(stream: number): DeliveryLane {
    return this.#lanes[stream % this.#lanes.length] as DeliveryLane;
  }
}
