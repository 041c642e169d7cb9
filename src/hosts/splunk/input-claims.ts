import { INTAKE_REALM } from "../../config/intake-slot.ts";
import { NameClaims } from "../../config/name-claims.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import type { Clock, Random } from "../../model/ports.ts";
import { entryIn, PASSWORDS, passwordPath } from "./passwords.ts";
import { APP, type Splunkd } from "./splunkd.ts";

const TIME = `/servicesNS/nobody/${APP}/search/timeparser?time=now&output_time_format=%25s`;

/** The pages' rule for a new input's name, for a command and for the running input. */
export class InputClaims {
  readonly #splunkd: Splunkd;
  readonly #clock: Clock;
  readonly #claims: NameClaims;
  /** splunkd's clock minus this one. */
  #aheadMs: Promise<number> | undefined;

  constructor(splunkd: Splunkd, clock: Clock, random: Random) {
    this.#splunkd = splunkd;
    this.#clock = clock;
    const owner = `command-${[0, 1].map(() => random.next().toString(36).slice(2)).join("")}`;
    this.#claims = new NameClaims(
      {
        async write({ name, password }) {
          const { status } = await splunkd.post(PASSWORDS, { name, password, realm: INTAKE_REALM });
          if (status !== 200 && status !== 201 && status !== 409) throw notClaimed(status);
          return status !== 409;
        },
        async read(entry) {
          const { status, json } = await splunkd.get(passwordPath(entry, INTAKE_REALM)).catch(forbiddenIs404);
          if (status !== 200 && status !== 404) throw notClaimed(status);
          return status === 404 ? undefined : entryIn(json, entry)?.open((text) => text);
        },
        async remove(entry) {
          await splunkd.delete(passwordPath(entry, INTAKE_REALM)).catch((error: unknown) => {
            if (!isFailure(error)) throw error;
          });
        },
        taken,
        isLost: hasNoAnswer,
        mayBeDone: hasNoAnswer,
      },
      owner,
    );
  }

  /**
   * Runs what creates an input while nobody else creates one of this name. Throws Failure where somebody
   * does, and those of Splunkd.
   */
  async whileClaimed<Result>(input: string, create: () => Promise<Result>): Promise<Result> {
    this.#aheadMs ??= this.#splunkdAheadMs();
    return this.#claims.whileClaimed(input, this.#clock.nowMs() + (await this.#aheadMs), create);
  }

  /** 0 where splunkd does not say it: then this machine's clock has to do. */
  async #splunkdAheadMs(): Promise<number> {
    try {
      const { status, json } = await this.#splunkd.get(TIME);
      const seconds = Number((json as { readonly now?: unknown } | undefined)?.now ?? Number.NaN);
      return status === 200 && seconds > 0 ? seconds * 1_000 - this.#clock.nowMs() : 0;
    } catch (error) {
      if (!isFailure(error)) throw error;
      return 0;
    }
  }
}

const WITHOUT_ANSWER: ReadonlySet<FailureCode> = new Set(["splunkd-unreachable", "splunkd-busy"]);

function hasNoAnswer(error: unknown): boolean {
  return isFailure(error) && WITHOUT_ANSWER.has(error.code);
}

function forbiddenIs404(error: unknown): { readonly status: number; readonly json: unknown } {
  if (isFailure(error) && error.code === "splunkd-forbidden") return { status: 404, json: undefined };
  throw error;
}

function taken(input: string): Failure {
  return new Failure("splunkd-answer", {
    actor: "operator",
    retry: { when: "later" },
    status: 409,
    say: `${input} is not written: somebody else is adding an input with this name to Splunk now.`,
    nextStep: "Run the command again in two minutes; what is written already stays.",
  });
}

function notClaimed(status: number): Failure {
  return new Failure("splunkd-answer", {
    actor: "operator",
    retry: { when: "later" },
    status,
    say: `splunkd answered a request to its credential store in an unknown form (${status}), so no input is added.`,
    nextStep: "Look for the cause in splunkd.log.",
  });
}
