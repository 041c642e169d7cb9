/** Of two programs that create an input of one name at once, only one may leave a secret for it. */
import { claimEntries } from "./intake-slot.ts";

/** Entries of Splunk's credential store, as a page or a command reaches them; what fails is thrown. */
export interface ClaimCalls {
  /** False where there is an entry of this name. */
  write(entry: { readonly name: string; readonly password: string }): Promise<boolean>;
  /** The text of an entry; undefined where there is none, or where it may not be read. */
  read(entry: string): Promise<string | undefined>;
  /** Throws nothing that splunkd or the network did: a claim ends by itself. */
  remove(entry: string): Promise<void>;
  /** What is thrown where somebody else has the name. */
  taken(input: string): Error;
  /** Of `write`: splunkd may have carried it out all the same. */
  isLost(error: unknown): boolean;
  /** Of what creates the input: splunkd may have carried it out all the same. */
  mayBeDone(error: unknown): boolean;
}

export const NAME_TAKEN =
  "This name is taken: somebody else is adding an input with it now. Choose another name, or try again in two minutes.";

/**
 * The claims of one page or command. Each entry says whose it is, as an answer that was lost says nothing.
 */
export class NameClaims {
  readonly #calls: ClaimCalls;
  readonly #owner: string;
  readonly #underWay = new Set<string>();

  /** @param owner a text that no other page or command has. */
  constructor(calls: ClaimCalls, owner: string) {
    this.#calls = calls;
    this.#owner = owner;
  }

  /**
   * Runs `create` while nobody else may create an input of this name. Where its outcome is unknown, the claim
   * stays until it ends by itself. Throws `taken` where somebody else has the name.
   *
   * @param nowMs by splunkd's clock.
   */
  async whileClaimed<Result>(input: string, nowMs: number, create: () => Promise<Result>): Promise<Result> {
    if (this.#underWay.has(input)) throw this.#calls.taken(input);
    this.#underWay.add(input);
    try {
      const held = await this.#claimAll(input, nowMs);
      try {
        return await create();
      } catch (error) {
        if (this.#calls.mayBeDone(error)) held.length = 0;
        throw error;
      } finally {
        await this.#release(held);
      }
    } finally {
      this.#underWay.delete(input);
    }
  }

  async #claimAll(input: string, nowMs: number): Promise<string[]> {
    const held: string[] = [];
    try {
      for (const entry of claimEntries(input, nowMs, this.#owner)) {
        await this.#claim(input, entry);
        held.push(entry.name);
      }
    } catch (error) {
      await this.#release(held);
      throw error;
    }
    return held;
  }

  async #claim(input: string, entry: { readonly name: string; readonly password: string }): Promise<void> {
    try {
      // An own request before this one may have been carried out, and only its answer lost.
      if ((await this.#calls.write(entry)) || (await this.#isOwn(entry.name))) return;
    } catch (error) {
      const isHeld = this.#calls.isLost(error) && (await this.#isOwn(entry.name).catch(() => false));
      if (isHeld) await this.#release([entry.name]);
      throw error;
    }
    throw this.#calls.taken(input);
  }

  async #isOwn(name: string): Promise<boolean> {
    return (await this.#calls.read(name)) === this.#owner;
  }

  async #release(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#calls.remove(name);
  }
}
