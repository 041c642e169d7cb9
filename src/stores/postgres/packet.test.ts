import { randomBytes } from "node:crypto";
import { expect, test } from "@jest/globals";
import { deliveriesOf } from "../../../test/harness/postgres/fleet.ts";
import { bodiesInList } from "../../json/record-bodies.ts";
import type { Delivery } from "../../model/event.ts";
import type { TenantId } from "../../model/tenant.ts";
import { compressed, packed, unpacked } from "./packet.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;

/** What a reader sees of a packet. */
async function contentOf(packet: Uint8Array): Promise<string> {
  const deliveries = await unpacked(packet, bodiesInList);
  return deliveries
    .map(({ key, record: { id, body } }) => {
      const text = Buffer.from(body.bytes.subarray(body.start, body.end)).toString();
      return `${key} ${id} ${text}`;
    })
    .join("\n");
}

test("a packet with one changed byte, wherever it is, cannot be read or holds what it held", async () => {
  const packet = await compressed(packed(deliveriesOf(TENANT, [1, 2])).bytes);
  const content = await contentOf(packet);
  const read: string[] = [];
  for (const change of [0x01, 0x80, 0xff])
    for (let at = 0; at < packet.length; at += 1) {
      const damaged = Buffer.from(packet);
      damaged[at] = (damaged[at] as number) ^ change;
      const found = await contentOf(damaged).catch(() => undefined);
      if (found !== undefined) read.push(found);
    }

  expect(new Set([content, ...read])).toEqual(new Set([content]));
});

test("a packet of several megabytes, and one that grows a thousand times, hold what was put in", async () => {
  const noise = randomBytes(3 << 20).toString("base64");
  const zeros = withBody(deliveriesOf(TENANT, [1]), JSON.stringify({ id: "1", title: "0".repeat(4 << 20) }));
  const dense = withBody(deliveriesOf(TENANT, [1]), JSON.stringify({ id: "1", title: noise }));
  for (const deliveries of [deliveriesOf(TENANT, [1, 2]), zeros, dense]) {
    const read = await unpacked(await compressed(packed(deliveries).bytes), bodiesInList);
    expect(read.map(bytesOf)).toEqual(deliveries.map(bytesOf));
  }
});

function bytesOf({ record: { body } }: Delivery): string {
  return Buffer.from(body.bytes.subarray(body.start, body.end)).toString();
}

function withBody(deliveries: readonly Delivery[], text: string): readonly Delivery[] {
  const [body] = bodiesInList(Buffer.from(`[${text}]`));
  return deliveries.map((one) => ({ ...one, record: { ...one.record, body: body! } }));
}
