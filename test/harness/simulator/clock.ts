/** The simulator's own clock: what its `Date` header, its tokens, budgets and visibility go by. */
export interface SimulatorClock {
  nowMs(): number;
  /** Jumps to an instant (ms since 1970), forwards or backwards. */
  set(ms: number): void;
  /** Moves by a number of milliseconds; a negative one moves back. */
  advance(ms: number): void;
  /** Stops time: it then moves by `set` and `advance` only. */
  freeze(): void;
  /** Lets time run again at the real pace, from where it stands. */
  run(): void;
}

/** A clock that starts at `startMs` and, unless `frozen`, runs at the pace of `real` (ms since 1970). */
export function simulatorClock(real: () => number, startMs: number = real(), frozen = false): SimulatorClock {
  let offsetMs = startMs - real();
  let stoppedAtMs: number | undefined = frozen ? startMs : undefined;
  const nowMs = (): number => stoppedAtMs ?? real() + offsetMs;
  const set = (ms: number): void => {
    if (stoppedAtMs === undefined) offsetMs = ms - real();
    else stoppedAtMs = ms;
  };
  return {
    nowMs,
    set,
    advance: (ms) => set(nowMs() + ms),
    freeze: () => {
      stoppedAtMs = nowMs();
    },
    run: () => {
      if (stoppedAtMs === undefined) return;
      offsetMs = stoppedAtMs - real();
      stoppedAtMs = undefined;
    },
  };
}
