export interface Loads {
  /** Loads, unless a load is on its way. */
  readonly unlessBusy: () => Promise<void>;
  /** Loads once more, after the load that is on its way: that one may have been answered before a change. */
  readonly again: () => Promise<void>;
}

/** Runs `load` one at a time, so that a slow answer cannot take the place of a newer one. */
export function oneAtATime(load: () => Promise<void>): Loads {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    next = undefined;
    running = load().finally(() => {
      running = undefined;
    });
    return running;
  };
  return {
    unlessBusy: async () => {
      if (running === undefined && next === undefined) await start();
    },
    again: () => {
      if (next !== undefined) return next;
      if (running === undefined) return start();
      next = running.catch(() => undefined).then(start);
      return next;
    },
  };
}
