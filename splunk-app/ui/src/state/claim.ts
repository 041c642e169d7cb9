/** Of two pages that create an input of one name at once, only one may leave a secret for it. */
import { claimEntries } from "../../../../src/config/intake-slot.ts";
import { RestProblem } from "./rest-problem.ts";

/** Calls to splunkd; each throws RestProblem. */
export interface ClaimCalls {
  /** RestProblem 409 where there is an entry of this name. */
  write(entry: { readonly name: string; readonly password: string }): Promise<void>;
  remove(entry: string): Promise<void>;
}

const NAME_TAKEN =
  "This name is taken: somebody else is adding an input with it now. Choose another name, or try again in two minutes.";

/** The claims of one page. What it could not delete stays its own: it may try again. */
export class NameClaims {
  readonly #calls: ClaimCalls;
  readonly #own = new Set<string>();

  constructor(calls: ClaimCalls) {
    this.#calls = calls;
  }

  /**
   * Runs `create` while nobody else may create an input of this name. Where its outcome is unknown, the claim
   * stays until it ends by itself. Throws RestProblem 409 where another page has the name.
   *
   * @param nowMs by splunkd's clock.
   */
  async whileClaimed(input: string, nowMs: number, create: () => Promise<void>): Promise<void> {
    const entries = claimEntries(input, nowMs);
    const names = entries.map(({ name }) => name);
    try {
      for (const entry of entries) await this.#claim(entry);
      await create();
    } catch (error) {
      const mayBeDone = error instanceof RestProblem && error.mayBeDone;
      if (!mayBeDone) await this.#release(names);
      throw error;
    }
    await this.#release(names);
  }

  async #claim(entry: { readonly name: string; readonly password: string }): Promise<void> {
    const isOwn = this.#own.has(entry.name);
    // Before it is written: its answer may be lost.
    this.#own.add(entry.name);
    try {
      await this.#calls.write(entry);
    } catch (error) {
      if (!(error instanceof RestProblem) || error.status !== 409) throw error;
      if (isOwn) return;
      this.#own.delete(entry.name);
      throw new RestProblem(409, NAME_TAKEN);
    }
  }

  async #release(names: readonly string[]): Promise<void> {
    for (const name of names.filter((one) => this.#own.has(one)))
      try {
        await this.#calls.remove(name);
        this.#own.delete(name);
      } catch (error) {
        if (!(error instanceof RestProblem)) throw error;
        if (error.status === 404) this.#own.delete(name);
      }
  }
}
