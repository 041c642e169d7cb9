import { type Backoff, backoffMs } from "../../model/backoff.ts";
import type { Delivery, HealthEvent } from "../../model/event.ts";
import { isFailure } from "../../model/failure.ts";
import type { Clock, Log, Random } from "../../model/ports.ts";
import type { KeyedRow, KvCollection } from "./kv-collection.ts";

export const STATUS_COLLECTION = "defender_mssp_status";
/** The key of the comparison with the list of customers, which belongs to no input. */
const ROSTER_KEY = "defender_mssp:roster";
/** Changes that come together are one call. */
const COLLECT_MS = 500;
/** A few saves in a row come at once, because somebody may look; a rush of many inputs is slowed down. */
const SAVES_AT_ONCE = 5;
const SAVE_EVERY_MS = 15_000;
/** After so long without a save, the next ones come at once again. */
const QUIET_MS = 60_000;
const AGAIN: Backoff = { firstMs: 5_000, longestMs: 300_000 };

/** What the pages show of one input, or of the list of customers (`roster`): its last health event. */
export interface StatusRow extends KeyedRow, HealthEvent {
  /** ISO time; null until an event of Microsoft's went out. */
  readonly first_event_at: string | null;
  /** ISO time: what was before it is not known. Absent where all of it is. */
  readonly first_event_since?: string;
}

export interface StatusRowsParts {
  /** Throws Failure while splunkd cannot be asked. */
  readonly collection: () => Pick<KvCollection, "rows" | "saveAll">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * The last health event of each input in the KV store, for the pages in Splunk Web: a heavy forwarder often
 * cannot search. Nothing waits for these rows; a KV store that is off costs no event, and the pages then ask
 * for them. They are in no configuration file: splunkd would write all of it anew at each change, and log it.
 */
export class StatusRows {
  readonly #p: StatusRowsParts;
  readonly #latest = new Map<string, HealthEvent>();
  readonly #unsaved = new Set<string>();
  /** In this run. */
  readonly #firstEventAt = new Map<string, string>();
  readonly #startedAt: string;
  #isEarlierRead = false;
  /** In an earlier run: when, and of which tenant. */
  readonly #earlier = new Map<string, { readonly at: string; readonly tenantId: string }>();
  #wake: () => void = () => undefined;

  constructor(parts: StatusRowsParts) {
    this.#p = parts;
    this.#startedAt = new Date(parts.clock.nowMs()).toISOString();
  }

  /** A health event went out. */
  note(event: HealthEvent): void {
    const key = event.roster === undefined ? event.input : ROSTER_KEY;
    this.#latest.set(key, event);
    this.#unsaved.add(key);
    this.#wake();
  }

  /** Events of Microsoft's go out. Cheap, because every batch passes here. */
  delivered(batch: readonly Pick<Delivery, "stanza">[]): void {
    for (const { stanza } of batch) {
      if (this.#firstEventAt.has(stanza)) continue;
      this.#firstEventAt.set(stanza, new Date(this.#p.clock.nowMs()).toISOString());
      this.#unsaved.add(stanza);
      this.#wake();
    }
  }

  /** What this run knows of all inputs, for pages that cannot read the KV store. */
  known(): readonly StatusRow[] {
    const since = this.#isEarlierRead ? {} : { first_event_since: this.#startedAt };
    return [...this.#latest.keys()].map((key) => ({ ...this.#row(key), ...since }));
  }

  /** Saves what is noted until `stop`. Never throws a Failure. */
  async run(stop: AbortSignal): Promise<void> {
    let failures = 0;
    let atOnceLeft = 0;
    let savedAtMs = Number.NEGATIVE_INFINITY;
    // Once: listeners of each wait would pile up.
    stop.addEventListener("abort", () => this.#wake(), { once: true });
    while (!stop.aborted) {
      await this.#somethingUnsaved(stop);
      const sinceMs = this.#p.clock.monotonicMs() - savedAtMs;
      if (sinceMs >= QUIET_MS) atOnceLeft = SAVES_AT_ONCE;
      await this.#p.clock.pause(atOnceLeft > 0 ? COLLECT_MS : Math.max(COLLECT_MS, SAVE_EVERY_MS - sinceMs), stop);
      atOnceLeft = Math.max(0, atOnceLeft - 1);
      savedAtMs = this.#p.clock.monotonicMs();
      if (stop.aborted) return;
      const keys = [...this.#unsaved].filter((key) => this.#latest.has(key));
      this.#unsaved.clear();
      try {
        const collection = this.#p.collection();
        if (!this.#isEarlierRead) this.#takeEarlier(await collection.rows());
        this.#isEarlierRead = true;
        await collection.saveAll(keys.map((key) => this.#row(key)));
        failures = 0;
      } catch (error) {
        if (!isFailure(error)) throw error;
        if (stop.aborted) return;
        for (const key of keys) this.#unsaved.add(key);
        failures += 1;
        if (failures === 1)
          this.#p.log.warn(
            "states are not saved in the KV store, so the pages in Splunk Web ask this program for them",
            {
              failure: error.code,
              say: error.say,
              next_step: error.nextStep || undefined,
            },
          );
        await this.#p.clock.pause(backoffMs(AGAIN, failures, this.#p.random), stop);
      }
    }
  }

  /** Which inputs had their first event before this run. An earlier time wins. */
  #takeEarlier(rows: readonly Readonly<Record<string, unknown>>[]): void {
    for (const { input, tenant_id: tenantId, first_event_at: at } of rows)
      if (typeof input === "string" && typeof at === "string")
        this.#earlier.set(input, { at, tenantId: typeof tenantId === "string" ? tenantId : "" });
  }

  /** An input can be deleted, and its name be given to another tenant. */
  #earlierOf(key: string, tenantId: string): string | undefined {
    const earlier = this.#earlier.get(key);
    const isAnother = tenantId !== "" && earlier?.tenantId !== "" && earlier?.tenantId !== tenantId;
    return isAnother ? undefined : earlier?.at;
  }

  #row(key: string): StatusRow {
    const event = this.#latest.get(key) as HealthEvent;
    const firstEventAt = this.#earlierOf(key, event.tenant_id) ?? this.#firstEventAt.get(key);
    return { ...event, _key: key, first_event_at: firstEventAt ?? null };
  }

  #somethingUnsaved(stop: AbortSignal): Promise<void> {
    const isWaiting = [...this.#unsaved].some((key) => this.#latest.has(key));
    if (isWaiting || stop.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
