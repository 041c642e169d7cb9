import { expect, test } from "@jest/globals";
import { deliveriesOf } from "../../../test/harness/postgres/fleet.ts";
import { bodiesInList } from "../../json/record-bodies.ts";
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
  const packet = await compressed(packed(deliveriesOf(TENANT, [1, 2])));
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
