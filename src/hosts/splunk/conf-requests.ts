import { answerSettings, REQUEST_KEYS, REQUESTS_CONF, requestIn } from "../../config/request-stanza.ts";
import { Failure } from "../../model/failure.ts";
import { entryIn } from "./input-list.ts";
import type { KeyedRow } from "./kv-collection.ts";
import type { RequestStore } from "./page-requests.ts";
import { APP, type Splunkd, type SplunkdAnswer } from "./splunkd.ts";

/** Settings before the first stanza of a file belong to it; it is not a request. */
const DEFAULT_STANZA = "default";

/**
 * The pages' requests as stanzas of a configuration file of this app, for a splunkd without KV store. Each
 * call is one try: the caller comes again soon. Throws the failures of Splunkd, and `splunkd-answer`.
 */
export class ConfRequests implements RequestStore {
  readonly #splunkd: Pick<Splunkd, "getOnce" | "postFormOnce" | "deleteOnce">;
  readonly #path = `/servicesNS/nobody/${APP}/configs/conf-${REQUESTS_CONF}`;

  constructor(splunkd: Pick<Splunkd, "getOnce" | "postFormOnce" | "deleteOnce">) {
    this.#splunkd = splunkd;
  }

  /** The requests of this app, without their answers: another app's stanzas are not under its permissions. */
  async rows(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const query = ["count=0", ...REQUEST_KEYS.map((key) => `f=${key}`)].join("&");
    const { status, json } = await this.#splunkd.getOnce(`${this.#path}?${query}`);
    const entries = (json as { readonly entry?: unknown } | undefined)?.entry;
    if (status !== 200 || !Array.isArray(entries)) throw unusable(status);
    return entries
      .flatMap(entryIn)
      .filter(({ name, app }) => app === APP && name !== DEFAULT_STANZA)
      .map(({ name, content }) => ({ ...requestIn(content), _key: name }));
  }

  /** Writes an answer. False when the request is gone: then nothing is written. */
  async replace({ _key: key, ...answer }: KeyedRow): Promise<boolean> {
    const sent = await this.#splunkd.postFormOnce(this.#pathOf(key), answerSettings(answer));
    if (sent.status === 404) return false;
    check(sent);
    return true;
  }

  async remove(key: string): Promise<void> {
    const answer = await this.#splunkd.deleteOnce(this.#pathOf(key));
    if (answer.status !== 404) check(answer);
  }

  #pathOf(key: string): string {
    return `${this.#path}/${encodeURIComponent(key)}`;
  }
}

function check({ status }: SplunkdAnswer): void {
  if (status !== 200 && status !== 201) throw unusable(status);
}

function unusable(status: number): Failure {
  return new Failure("splunkd-answer", {
    actor: "operator",
    retry: { when: "later" },
    status,
    say: `splunkd does not offer the pages' requests in ${REQUESTS_CONF}.conf (${status}).`,
    nextStep: "Look for the cause in splunkd.log, and install the add-on again if the file is missing in default/.",
  });
}
