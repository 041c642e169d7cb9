import { expect, test } from "@jest/globals";
import { wholeAnswer } from "./rest-answer.ts";

const broken = (): Response =>
  new Response(
    new ReadableStream({
      start(body) {
        body.enqueue(new TextEncoder().encode('{"entry":'));
        body.error(new TypeError("network error"));
      },
    }),
  );

test.each<[string, () => Promise<Response>]>([
  ["at all", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["that is whole", () => Promise.resolve(broken())],
])("a request without an answer %s is one whose outcome is unknown", async (_, request) => {
  await expect(wholeAnswer(request)).rejects.toMatchObject({
    name: "RestProblem",
    status: 0,
    message: expect.stringContaining("does not answer"),
  });
});

test("an answer is its status and its text, also that of a refusal", async () => {
  const refusal = await wholeAnswer(() => Promise.resolve(new Response("no", { status: 409 })));
  expect(refusal).toEqual({ ok: false, status: 409, text: "no" });
});
