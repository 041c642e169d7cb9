/** A source of chance that gives the same numbers for the same seed: 0 ≤ n < 1. */
export type Chance = () => number;

/**
 * Mulberry32, seeded by a hash of the texts. Each user of chance has its own, so that none disturbs another's
 * numbers.
 */
export function chanceOf(...seeds: readonly (string | number)[]): Chance {
  let state = 2_166_136_261;
  for (const char of seeds.join("\u0000")) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 16_777_619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
