import type { Confirmation, FleetStore, WaitingPacket } from "../../../src/model/fleet.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { deliveriesOf } from "../postgres/fleet.ts";

export const STREAM = 1;
const PACKET_BYTES = 100;

/** What PostgreSQL keeps of one stream of a fleet: packets, the present epoch and an output's progress. */
export class OneStream implements Pick<FleetStore, "waiting" | "confirm" | "setAside"> {
  epoch = 1n;
  progress = 0n;
  readonly packets: WaitingPacket[] = [];
  readonly #tenant: TenantId;

  constructor(tenant: TenantId) {
    this.#tenant = tenant;
  }

  /** A packet with alerts of these numbers. */
  commit(...numbers: readonly number[]): void {
    const deliveries = deliveriesOf(this.#tenant, numbers).map((one) => ({
      ...one,
      key: `${one.key}:2026-11-29T16:00:00.0000000Z`,
    }));
    this.packets.push({
      stream: STREAM,
      seq: BigInt(this.packets.length + 1),
      epoch: this.epoch,
      bytes: PACKET_BYTES,
      deliveries,
    });
  }

  async waiting(_: string, _streams: readonly number[], mostBytes: number, takenTo?: ReadonlyMap<number, bigint>) {
    const taken = takenTo?.get(STREAM) ?? 0n;
    const most = Math.max(1, Math.floor(mostBytes / PACKET_BYTES));
    return this.packets.filter(({ seq }) => seq > this.progress && seq > taken).slice(0, most);
  }

  async confirm(_: string, confirmations: readonly Confirmation[]) {
    const valid = confirmations.filter(({ epoch }) => epoch === this.epoch);
    for (const { seq } of valid) if (seq > this.progress) this.progress = seq;
    return valid.map(({ stream }) => stream);
  }

  async setAside() {}
}
