import { isFailure } from "../../model/failure.ts";
import type { Clock, Log, Random, RefreshTokenVault } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { PasswordStore } from "./passwords.ts";
import { customerSecretId } from "./passwords.ts";

const DAY_MS = 86_400_000;

/**
 * A customer's refresh token in Splunk. Microsoft returns a new token at each use, and the old one stays
 * valid (90 days). So a token is stored only when the stored one is a day old or was rejected: otherwise
 * 2,000 customers would write 26,000 entries an hour. The day has a jitter of up to a quarter, so that
 * customers do not all write at once.
 */
export function splunkVault(options: {
  readonly stanza: string;
  readonly fingerprint: string;
  readonly first: Sealed;
  /** When the stored token was stored; undefined if none is stored. */
  readonly storedAtMs: number | undefined;
  readonly store: PasswordStore | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): RefreshTokenVault {
  const { stanza, fingerprint, store, clock, random, log } = options;
  let token = options.first;
  let dueAtMs = (options.storedAtMs ?? Number.NEGATIVE_INFINITY) + DAY_MS * (1 + random.next() / 4);
  return {
    current: async () => token,
    async store(rotated, { refused }) {
      token = rotated;
      if (!store || !(refused || clock.nowMs() >= dueAtMs)) return;
      try {
        const stored = await store.put(customerSecretId(stanza, "refresh_token"), rotated, fingerprint, "as before");
        dueAtMs = stored.storedAtMs + DAY_MS * (1 + random.next() / 4);
      } catch (error) {
        // The stored token is still valid, so collecting continues; a rejected one is not.
        if (refused || !isFailure(error)) throw error;
        dueAtMs = clock.nowMs() + 600_000;
        log.warn("a renewed refresh token could not be stored; the previous one stays valid", {
          customer: stanza,
          failure: error.code,
          say: error.say,
        });
      }
    },
  };
}
