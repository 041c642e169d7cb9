/** The browser's timer, for what is given one. Calls back once; returns what cancels that. */
export function after(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms);
  return () => clearTimeout(timer);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void after(ms, resolve));
}
