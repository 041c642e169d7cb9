const SEED = 0x9747_b28c;
const M = 0x5bd1_e995;
const R = 24;

/**
 * The hash by which Kafka's Java client chooses a key's partition (org.apache.kafka.common.utils.Utils). The
 * library's own counts with BigInt, which takes ten times as long.
 */
export function murmur2(bytes: Buffer): number {
  const { length } = bytes;
  let h = (SEED ^ length) | 0;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let k = Math.imul(bytes.readInt32LE(at), M);
    k ^= k >>> R;
    h = Math.imul(h, M) ^ Math.imul(k, M);
  }
  const left = length - at;
  if (left >= 3) h ^= (bytes[at + 2] as number) << 16;
  if (left >= 2) h ^= (bytes[at + 1] as number) << 8;
  if (left >= 1) h = Math.imul(h ^ (bytes[at] as number), M);
  h ^= h >>> 13;
  h = Math.imul(h, M);
  return h ^ (h >>> 15);
}
