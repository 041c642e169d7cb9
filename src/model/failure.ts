import { type Actor, type ActorOf, type FailureCode, failureEntry } from "./failure-codes.ts";

/**
 * When we try again: `soon` after the short pauses inside a walk, `later` after the customer's calm wait (30
 * s doubling to 15 min), `at` not before an instant that the service named, `never` until a person changes
 * something (we still look again calmly).
 */
export type Retry = { when: "soon" } | { when: "later" } | { when: "at"; atMs: number } | { when: "never" };

export interface FailureDetail<Code extends FailureCode = FailureCode> {
  readonly actor: ActorOf<Code>;
  readonly retry: Retry;
  /** One sentence an operator can follow: what happened, whose turn it is. Holds no secret. */
  readonly say: string;
  /** What to do next, one sentence or a command; empty when nothing needs doing. */
  readonly nextStep?: string;
  readonly status?: number;
  /**
   * `sign-in`: the customer cannot be signed in (token, consent, credential); the stream's state is then
   * `signed-out`.
   */
  readonly area?: "sign-in";
  readonly cause?: unknown;
}

/**
 * Everything that goes wrong at a boundary (Microsoft, splunkd, disk, settings) is one of these; anything
 * else that is thrown is a defect of ours. `code` is stable, lower case with dashes (`consent-missing`,
 * `endpoint-changed`), and is what health events carry as `failure`.
 */
export class Failure<Code extends FailureCode = FailureCode> extends Error {
  readonly code: Code;
  readonly actor: ActorOf<Code>;
  readonly retry: Retry;
  readonly say: string;
  readonly nextStep: string;
  readonly status: number | undefined;
  readonly area: "sign-in" | undefined;

  constructor(code: Code, detail: FailureDetail<Code>) {
    super(`${code}: ${detail.say}`, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = "Failure";
    this.code = code;
    this.actor = detail.actor;
    this.retry = detail.retry;
    this.say = detail.say;
    this.nextStep = detail.nextStep ?? "";
    this.status = detail.status;
    this.area = detail.area;
  }
}

export function isFailure(value: unknown): value is Failure {
  return value instanceof Failure;
}

/** Whatever was thrown, as a Failure; what is none already is a defect of this program and says so. */
export function asFailure(error: unknown): Failure {
  if (isFailure(error)) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new Failure("defect", {
    actor: "us",
    retry: { when: "later" },
    say: `Something unexpected failed in this program: ${text.replaceAll(/\s*[\r\n]+\s*/g, " ")}.`,
    nextStep: "Report this line.",
    cause: error,
  });
}

/** Exit codes of every command. */
export const EXIT = {
  done: 0,
  ourFault: 1,
  usage: 2,
  signIn: 3,
  microsoft: 4,
  host: 5,
  someCustomers: 6,
  state: 7,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** How a command ends whose failure has this code and asks this actor to act. */
export function exitCodeFor(code: FailureCode, actor: Actor): ExitCode {
  const { exit } = failureEntry(code);
  return EXIT[typeof exit === "string" ? exit : (exit[actor] ?? "ourFault")];
}

/** How a command that ends with this failure exits. */
export function exitCodeOf(failure: Failure): ExitCode {
  return exitCodeFor(failure.code, failure.actor);
}
