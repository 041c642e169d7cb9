import { isFailure } from "../../model/failure.ts";
import type { Clock, Log, Random, RefreshTokenVault } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { PasswordStore } from "./passwords.ts";
import { customerSecretId } from "./passwords.ts";

const DAY_MS = 86_400_000;

/**
 * A customer's refresh token in Splunk. Microsoft gives a new one at each use and leaves the old one valid
 * (90 days), so it is stored only when the stored one is a day old, or was refused: 2,000 customers would
 * otherwise write 26,000 entries an hour. The day is jittered by up to a quarter, or all would write at once.
 */
export function splunkVault(options: {
  readonly stanza: string;
  readonly fingerprint: string;
  readonly first: Sealed;
  /** When the stored one was stored; undefined when nothing is stored. */
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
        const stored = await store.put(customerSecretId(stanza, "refresh_token"), rotated, fingerprint);
        dueAtMs = stored.storedAtMs + DAY_MS * (1 + random.next() / 4);
      } catch (error) {
        // The stored one is still good, so collecting goes on; a refused one is not.
        if (refused || !isFailure(error)) throw error;
        dueAtMs = clock.nowMs() + 600_000;
        log.warn("a rotated refresh token could not be stored; the one before it stays valid", {
          customer: stanza,
          failure: error.code,
          say: error.say,
        });
      }
    },
  };
}
