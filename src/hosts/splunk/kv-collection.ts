import { Failure } from "../../model/failure.ts";
import type { Splunkd, SplunkdAnswer } from "./splunkd.ts";
import { APP } from "./splunkd.ts";

/** splunkd accepts up to 1,000 documents in one call (limits.conf, max_documents_per_batch_save). */
const BATCH = 500;

/** Every row has this key. */
export interface KeyedRow {
  readonly _key: string;
}

/**
 * One collection of the KV store. Each call is one try: every caller comes again soon. Throws the failures of
 * Splunkd, and `splunkd-answer` where the collection cannot be used.
 */
export class KvCollection {
  readonly #splunkd: Pick<Splunkd, "getOnce" | "postJsonOnce" | "deleteOnce">;
  readonly #path: string;
  readonly #name: string;

  constructor(splunkd: Pick<Splunkd, "getOnce" | "postJsonOnce" | "deleteOnce">, name: string) {
    this.#splunkd = splunkd;
    this.#name = name;
    this.#path = `/servicesNS/nobody/${APP}/storage/collections/data/${name}`;
  }

  /** What is stored; nothing of it can be trusted but that it is an object. */
  async rows(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { status, json } = await this.#splunkd.getOnce(this.#path);
    if (status !== 200 || !Array.isArray(json)) throw this.#unusable(status);
    return json.filter((row): row is Record<string, unknown> => typeof row === "object" && row !== null);
  }

  /** Adds or replaces rows. */
  async saveAll(rows: readonly KeyedRow[]): Promise<void> {
    for (let from = 0; from < rows.length; from += BATCH) {
      const path = `${this.#path}/batch_save`;
      this.#check(await this.#splunkd.postJsonOnce(path, rows.slice(from, from + BATCH)));
    }
  }

  /** False when the row is gone: then nothing is written. */
  async replace(row: KeyedRow): Promise<boolean> {
    const { _key: key } = row;
    const answer = await this.#splunkd.postJsonOnce(`${this.#path}/${encodeURIComponent(key)}`, row);
    if (answer.status === 404) return false;
    this.#check(answer);
    return true;
  }

  async remove(key: string): Promise<void> {
    const answer = await this.#splunkd.deleteOnce(`${this.#path}/${encodeURIComponent(key)}`);
    if (answer.status !== 404) this.#check(answer);
  }

  #check({ status }: SplunkdAnswer): void {
    if (status !== 200 && status !== 201) throw this.#unusable(status);
  }

  #unusable(status: number): Failure {
    return new Failure("splunkd-answer", {
      actor: "operator",
      retry: { when: "later" },
      status,
      say: `splunkd's KV store does not offer the collection ${this.#name} (${status}).`,
      nextStep:
        "Check that the KV store is on (`disabled` under [kvstore] of server.conf); a universal forwarder has none.",
    });
  }
}
