/** Random numbers, 0 ≤ n < 1, that are the same for the same seed. */
export type Random = () => number;

/**
 * Mulberry32, seeded by a hash of the texts. Each user has a source of its own, so that no user changes
 * another's numbers.
 */
export function seededRandom(...seeds: readonly (string | number)[]): Random {
  let state = 2_166_136_261;
  const text = seeds.join("\u0000");
  for (let at = 0; at < text.length; at += 1) {
    const code = text.codePointAt(at) ?? 0;
    if (code > 0xffff) at += 1;
    state = Math.imul(state ^ code, 16_777_619);
  }
  // In an array, because a captured variable would be a new heap number at every draw.
  const states = Int32Array.of(state);
  return () => {
    const drawn = ((states[0] ?? 0) + 0x6d2b79f5) | 0;
    states[0] = drawn;
    let mixed = Math.imul(drawn ^ (drawn >>> 15), 1 | drawn);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
