import { expect, test } from "@jest/globals";
import { wholeAnswer } from "./rest-answer.ts";

/** Timers that a test lets run out. */
function timers() {
  const waiting = new Set<() => void>();
  const asked: number[] = [];
  return {
    asked,
    waiting,
    after: (ms: number, then: () => void): (() => void) => {
      asked.push(ms);
      waiting.add(then);
      return () => void waiting.delete(then);
    },
    runOut: (): void => {
      for (const then of waiting) then();
    },
  };
}

const READ = { withinMs: 60_000, isSave: false };

const broken = (): Response =>
  new Response(
    new ReadableStream({
      start(body) {
        body.enqueue(new TextEncoder().encode('{"entry":'));
        body.error(new TypeError("network error"));
      },
    }),
  );

/** Never answers, as `fetch` does it: until its signal ends it. */
const silence = (stop: AbortSignal): Promise<Response> =>
  new Promise((_, reject) => {
    stop.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });

/** Begins an answer and never ends it. */
const halfAnAnswer = (stop: AbortSignal): Promise<Response> =>
  Promise.resolve(
    new Response(
      new ReadableStream({
        start(body) {
          body.enqueue(new TextEncoder().encode('{"entry":'));
          stop.addEventListener("abort", () => body.error(new DOMException("aborted", "AbortError")));
        },
      }),
    ),
  );

test.each<[string, () => Promise<Response>]>([
  ["at all", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["that is whole", () => Promise.resolve(broken())],
])("a request without an answer %s is one whose outcome is unknown", async (_, request) => {
  const { after, waiting } = timers();

  await expect(wholeAnswer(request, { ...READ, after })).rejects.toMatchObject({
    name: "RestProblem",
    status: 0,
    message: expect.stringContaining("does not answer"),
  });
  expect(waiting.size).toBe(0);
});

test.each<[string, (stop: AbortSignal) => Promise<Response>]>([
  ["never comes", silence],
  ["never ends", halfAnAnswer],
])("an answer that %s is given up after the limit, with a sentence", async (_, request) => {
  const { after, runOut, asked } = timers();
  const answer = wholeAnswer(request, { ...READ, after });
  runOut();

  await expect(answer).rejects.toMatchObject({
    name: "RestProblem",
    status: 0,
    message: "Splunk Web has not answered for 60 seconds. What you typed stays; try again when Splunk is less busy.",
  });
  expect(asked).toEqual([60_000]);
});

test("a save that is given up says that it may have been carried out", async () => {
  const { after, runOut } = timers();
  const answer = wholeAnswer(silence, { ...READ, isSave: true, after });
  runOut();

  await expect(answer).rejects.toThrow("It is not known whether this was saved");
});

test("an answer is its status and its text, also that of a refusal, and nothing is left running", async () => {
  const { after, waiting } = timers();
  const refusal = await wholeAnswer(() => Promise.resolve(new Response("no", { status: 409 })), { ...READ, after });

  expect(refusal).toEqual({ ok: false, status: 409, text: "no" });
  expect(waiting.size).toBe(0);
});
