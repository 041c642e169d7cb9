const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Milliseconds of `90s`, `5m`, `1h30m`, `2d`, `0s`; with a sign in front it may be negative. Undefined when
 * it is none.
 */
export function durationOf(text: string): number | undefined {
  if (!/^[+-]?(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return undefined;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    ms += Number(count) * (UNIT_MS[unit ?? ""] ?? 0);
  return text.startsWith("-") ? -ms : ms;
}

/** Two durations, `1m..20m`, or one that stands for both. */
export function spanOf(text: string): readonly [fromMs: number, toMs: number] | undefined {
  const [first = "", second = first] = text.split("..");
  const [from, to] = [durationOf(first), durationOf(second)];
  return from === undefined || to === undefined || to < from ? undefined : [from, to];
}
