import { isFailure } from "../../../src/model/failure.ts";
import type { FailureCode } from "../../../src/model/failure-codes.ts";
import type { Http, HttpAnswer, HttpRequest } from "../../../src/model/ports.ts";
import { FakeClock } from "../../harness/fakes/clock.ts";
import { FakeLog } from "../../harness/fakes/log.ts";

/** A failure as its reader sees it: thrown, or in a health event. */
export interface Raised {
  readonly code: string;
  readonly actor: string;
  readonly say: string;
  readonly nextStep: string;
}

/** What went wrong outside of the program, in words that follow "when", and the function that meets it. */
export type Cause = readonly [when: string, meet: () => Raised | Promise<Raised>];

export type Causes = Partial<Readonly<Record<FailureCode, Cause>>>;

/** The failure that `run` throws. Whatever else it throws is thrown on. */
export async function thrownBy(run: () => unknown): Promise<Raised> {
  try {
    await run();
  } catch (error) {
    if (isFailure(error)) return error;
    throw error;
  }
  throw new Error("no failure was thrown");
}

export const NOW_MS = Date.UTC(2026, 10, 24, 16);

/** Pauses end at once and move the time. */
export const quickClock = (): FakeClock => new FakeClock(NOW_MS, { pauses: "pass" });

export const silent = new FakeLog();

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** A service that answers in this order, and goes on with its last answer. */
export function answering(...answers: readonly (Answer | ((request: HttpRequest) => Answer))[]): Http {
  let at = 0;
  return {
    send(request: HttpRequest): Promise<HttpAnswer> {
      const next = answers[Math.min(at++, answers.length - 1)];
      const given = typeof next === "function" ? next(request) : next;
      const text = typeof given?.body === "string" ? given.body : JSON.stringify(given?.body ?? {});
      return Promise.resolve({
        status: given?.status ?? 200,
        headers: { "content-type": "application/json", date: new Date(NOW_MS).toUTCString(), ...given?.headers },
        body: (async function* () {
          yield new TextEncoder().encode(text);
        })(),
        text: () => Promise.resolve(text),
        discard: () => Promise.resolve(),
      });
    },
    close: () => Promise.resolve(),
  };
}
