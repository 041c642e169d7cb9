import { isDeepStrictEqual } from "node:util";
import type { OutputSettings } from "../config/output-settings.ts";
import type { Log } from "../model/ports.ts";
import { isSameSecret } from "../model/sealed.ts";
import type { OutputSecrets } from "../outputs/output.ts";

/** Passes on secrets of outputs that were edited while the outputs are open. */
export class OutputRenewal {
  readonly #inUse: Map<string, OutputSettings>;
  readonly #log: Log;

  constructor(inUse: readonly OutputSettings[], log: Log) {
    this.#inUse = new Map(inUse.map((settings) => [settings.name, settings]));
    this.#log = log;
  }

  /**
   * Takes the outputs of an edited configuration. A new secret counts only for an output that is otherwise
   * the same: it must not go to the old address. Everything else waits for a reload, and the log says so.
   */
  take(again: readonly OutputSettings[], renew: (name: string, secrets: OutputSecrets) => void): void {
    let isMore = again.some(({ name }) => !this.#inUse.has(name));
    for (const before of this.#inUse.values()) {
      const { name } = before;
      const now = again.find((one) => one.name === name);
      if (now === undefined) {
        this.#log.warn("an output's changed settings are missing or not valid; the previous ones stay in use", {
          output: name,
        });
      } else if (!isDeepStrictEqual(withoutSecrets(before), withoutSecrets(now))) isMore = true;
      else if (!isSameSecret(before.token, now.token) || !isSameSecret(before.password, now.password)) {
        this.#inUse.set(name, now);
        this.#log.info("a changed secret is in use from now on", { output: name });
        renew(name, secretsOf(now));
      }
    }
    if (isMore) this.#log.warn(MORE_THAN_SECRETS);
  }
}

/** Said of customers and of outputs. */
export const MORE_THAN_SECRETS =
  "the configuration changed in more than its secrets; the rest counts after a restart, or a SIGHUP to `arcsight run`";

function withoutSecrets(settings: OutputSettings): object {
  return { ...settings, token: undefined, password: undefined };
}

function secretsOf({ token, password }: OutputSettings): OutputSecrets {
  return { ...(token === undefined ? {} : { token }), ...(password === undefined ? {} : { password }) };
}
