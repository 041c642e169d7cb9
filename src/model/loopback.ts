const LOOPBACK = /^(127(\.\d{1,3}){3}|\[?::1\]?|localhost)$/i;

/** Does this host name mean the machine that asks? */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.test(hostname);
}
