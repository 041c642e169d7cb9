import { type Actor, type ActorOf, type FailureCode, failureEntry } from "./failure-codes.ts";

/**
 * When this program retries: `soon` after the short pauses inside a walk, `later` after the customer's
 * backoff (30 s doubling to 15 min), `at` not before the instant that the service named. `never`: a retry
 * does not help until a person changes something (the customer is still retried with growing pauses).
 */
export type Retry = { when: "soon" } | { when: "later" } | { when: "at"; atMs: number } | { when: "never" };

export interface FailureDetail<Code extends FailureCode = FailureCode> {
  readonly actor: ActorOf<Code>;
  readonly retry: Retry;
  /**
   * One plain sentence: what happened, to which customer, what this program does. Never contains a secret.
   */
  readonly say: string;
  /** The next step, one sentence or a command; empty if nothing has to be done. */
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
 * Every error at a boundary (Microsoft, splunkd, disk, settings) is a Failure. Any other thrown error is a
 * defect in this program. `code` is stable, lower case with dashes (`consent-missing`, `endpoint-changed`),
 * and is what health events carry as `failure`.
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

/** The exit code of a command that ends with this failure code and actor. */
export function exitCodeFor(code: FailureCode, actor: Actor): ExitCode {
  const { exit } = failureEntry(code);
  return EXIT[typeof exit === "string" ? exit : (exit[actor] ?? "ourFault")];
}

/** The exit code of a command that ends with this failure. */
export function exitCodeOf(failure: Failure): ExitCode {
  return exitCodeFor(failure.code, failure.actor);
}
