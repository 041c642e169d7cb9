/**
 * Resolves when the signal fires, at once if it has fired already.
 *
 * @param until when this fires nobody waits any more: a signal that lives long must not keep each wait.
 */
export function aborted(signal: AbortSignal, until?: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  const options = { once: true, ...(until === undefined ? {} : { signal: until }) };
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), options));
}
