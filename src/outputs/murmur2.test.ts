import { expect, test } from "@jest/globals";
import { murmur2 } from "./murmur2.ts";

// Source: Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
test.each([
  ["21", -973_932_308],
  ["foobar", -790_332_482],
  ["a-little-bit-long-string", -985_981_536],
  ["a-little-bit-longer-string", -1_486_304_829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971],
  ["abc", 479_470_107],
])("a key has the hash that Kafka's own clients give it: %s", (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});
