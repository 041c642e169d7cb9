import https from "node:https";
import { describe, expect, test } from "@jest/globals";
import { Agent, Pool, request, fetch as undiciFetch } from "undici";
import { StoryError, withStory } from "./story.ts";

const GRAPH = "https://graph.example.test";

async function status(path: string, options: Parameters<typeof request>[1] = {}): Promise<number> {
  const answer = await request(`${GRAPH}${path}`, options);
  await answer.body.dump();
  return answer.statusCode;
}

describe("nock answers every kind of request that our network code may make", () => {
  const ways: readonly [string, () => Promise<number>][] = [
    ["undici request with the global dispatcher", () => status("/v1.0/x")],
    [
      "undici request with an Agent that has its own CA",
      () => status("/v1.0/x", { dispatcher: new Agent({ connect: { ca: [] } }) }),
    ],
    [
      "a Pool",
      async () => {
        const answer = await new Pool(GRAPH).request({ path: "/v1.0/x", method: "GET" });
        await answer.body.dump();
        return answer.statusCode;
      },
    ],
    ["undici fetch", async () => (await undiciFetch(`${GRAPH}/v1.0/x`)).status],
    [
      "node:https",
      () =>
        new Promise<number>((resolve, reject) => {
          https.get(`${GRAPH}/v1.0/x`, (answer) => resolve(answer.resume().statusCode ?? 0)).on("error", reject);
        }),
    ],
  ];
  test.each(ways)("%s", async (_name, ask) => {
    const seen = await withStory((story) => {
      story.on(GRAPH).get("/v1.0/x").reply(204);
      return ask();
    });

    expect(seen).toBe(204);
  });

  test("two answers over one kept-alive Agent come in the order of the story", async () => {
    const dispatcher = new Agent();

    const seen = await withStory(async (story) => {
      story.on(GRAPH).get("/v1.0/x").reply(429, "", { "retry-after": "3" }).get("/v1.0/x").reply(200, "{}");
      return [await status("/v1.0/x", { dispatcher }), await status("/v1.0/x", { dispatcher }), story.answered];
    });

    expect(seen).toEqual([429, 200, [`GET ${GRAPH}/v1.0/x`, `GET ${GRAPH}/v1.0/x`]]);
  });
});

describe("a story fails on every difference and explains it", () => {
  test("an unexpected path of a host in the story fails although the code under test ignored the 501", async () => {
    const play = withStory(async (story) => {
      story.on(GRAPH).get("/v1.0/security/alerts_v2").query({ $top: "100" }).reply(200, "{}");
      await status("/v1.0/security/alerts_v2?$top=7");
    });

    const failure = await play.then(
      () => undefined,
      (error: unknown) => error,
    );

    expect(failure).toBeInstanceOf(StoryError);
    expect((failure as Error).message).toContain(`not in this story:   GET ${GRAPH}/v1.0/security/alerts_v2?$top=7`);
    expect((failure as Error).message).toContain(`the story allows:    GET ${GRAPH}/v1.0/security/alerts_v2`);
    expect((failure as Error).message).toContain(`never asked for:     GET ${GRAPH}/v1.0/security/alerts_v2`);
  });

  test("a host that is not in the story fails, with the error of the code under test as cause", async () => {
    const play = withStory(() => request("https://elsewhere.example.test/token", { method: "POST", body: "x" }));

    const failure = (await play.catch((error: unknown) => error)) as StoryError;

    expect(failure).toBeInstanceOf(StoryError);
    expect(failure.message).toContain("not in this story:   POST https://elsewhere.example.test/token");
    expect(failure.cause).toBeInstanceOf(Error);
  });

  test.each([
    ["with a zone", "ge 2026-01-02T03:04:05.1234567Z", "ge 2031-05-06T07:08:09Z"],
    ["without one", "2026-01-02T03:04:05.678", "2031-05-06T07:08:09.123"],
  ])("in a replay an instant %s stands for any other", async (_title, recorded, asked) => {
    const step = (time: string) => `/api/alerts?since=${encodeURIComponent(time)}`;

    const seen = await withStory((story) => {
      story.replay([{ scope: GRAPH, method: "GET", path: step(recorded), status: 204, response: "", headers: {} }]);
      return status(step(asked));
    });

    expect(seen).toBe(204);
  });

  test("an answer that nothing asked for fails", async () => {
    const play = withStory(async (story) => {
      story.on(GRAPH).get("/a").reply(200).get("/b").reply(200);
      await status("/a");
    });

    await expect(play).rejects.toThrow(`never asked for:     GET ${GRAPH}/b`);
  });

  test("an error of the code under test is rethrown unchanged when the story was followed", async () => {
    const play = withStory(() => {
      throw new RangeError("thrown by the code under test");
    });

    await expect(play).rejects.toThrow(RangeError);
  });
});
