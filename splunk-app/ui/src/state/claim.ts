/** Of two pages that create an input of one name at once, only one may leave a secret for it. */
import { claimEntries } from "../../../../src/config/intake-slot.ts";
import { isLost, RestProblem } from "./rest-problem.ts";

/** Calls to splunkd; each throws RestProblem. */
export interface ClaimCalls {
  /** RestProblem 409 where there is an entry of this name. */
  write(entry: { readonly name: string; readonly password: string }): Promise<void>;
  /** The text of an entry. */
  read(entry: string): Promise<string>;
  remove(entry: string): Promise<void>;
}

const NAME_TAKEN =
  "This name is taken: somebody else is adding an input with it now. Choose another name, or try again in two minutes.";

/** The claims of one page. Each entry says whose it is, as an answer that was lost says nothing. */
export class NameClaims {
  readonly #calls: ClaimCalls;
  readonly #owner: string;
  readonly #underWay = new Set<string>();

  /** @param owner a text that no other page has. */
  constructor(calls: ClaimCalls, owner: string) {
    this.#calls = calls;
    this.#owner = owner;
  }

  /**
   * Runs `create` while nobody else may create an input of this name. Where its outcome is unknown, the claim
   * stays until it ends by itself. Throws RestProblem 409 where somebody else has the name.
   *
   * @param nowMs by splunkd's clock.
   */
  async whileClaimed(input: string, nowMs: number, create: () => Promise<void>): Promise<void> {
    if (this.#underWay.has(input)) throw new RestProblem(409, NAME_TAKEN);
    this.#underWay.add(input);
    const held: string[] = [];
    try {
      for (const entry of claimEntries(input, nowMs, this.#owner)) {
        await this.#claim(entry);
        held.push(entry.name);
      }
      await create();
    } catch (error) {
      const mayBeDone = error instanceof RestProblem && error.mayBeDone;
      if (!mayBeDone) await this.#release(held);
      throw error;
    } finally {
      this.#underWay.delete(input);
    }
    await this.#release(held);
  }

  async #claim(entry: { readonly name: string; readonly password: string }): Promise<void> {
    try {
      await this.#calls.write(entry);
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      if (error.status === 409) {
        // An own request before this one may have been carried out, and only its answer lost.
        if (await this.#isOwn(entry.name)) return;
        throw new RestProblem(409, NAME_TAKEN);
      }
      const isHeld = isLost(error) && (await this.#isOwn(entry.name).catch(() => false));
      if (isHeld) await this.#release([entry.name]);
      throw error;
    }
  }

  async #isOwn(name: string): Promise<boolean> {
    try {
      return (await this.#calls.read(name)) === this.#owner;
    } catch (error) {
      if (error instanceof RestProblem && NOT_READABLE.has(error.status)) return false;
      throw error;
    }
  }

  async #release(names: readonly string[]): Promise<void> {
    for (const name of names)
      try {
        await this.#calls.remove(name);
      } catch (error) {
        // It ends by itself.
        if (!(error instanceof RestProblem)) throw error;
      }
  }
}

/** Not allowed, and deleted meanwhile. */
const NOT_READABLE: ReadonlySet<number> = new Set([403, 404]);
