import { describe, expect, test } from "@jest/globals";
import {
  alerts,
  EASY,
  FLAWLESS,
  HOUR,
  judge,
  MINUTE,
  type Regime,
  SimStream,
  World,
} from "../../../test/harness/collect/world.ts";
import { T0 } from "../../../test/harness/fakes/clock.ts";
import type { PageLink } from "../../model/ports.ts";

/**
 * A service that sends wrong next links: `instead` gets all correct links so far and returns the one that the
 * service sends.
 */
async function collected(order: Regime["order"], instead: (own: readonly string[]) => string) {
  const world = new World();
  const stream = new SimStream(world.clock, {
    regime: { ...EASY, order, links: true, clamp: 40, pageTop: 40, skipMax: 200 },
  });
  stream.add(...alerts(400, T0 - 3 * HOUR, T0 - MINUTE));
  const ask = stream.ask.bind(stream);
  const own: string[] = [];
  stream.ask = async (question, signal) => {
    if (!question.link) own.length = 0;
    const page = await ask(question, signal);
    const given = page.link();
    if (given.kind !== "next") return page;
    own.push(given.url);
    const link: PageLink = { kind: "next", url: instead(own) };
    return { ...page, link: () => link };
  };
  const customer = world.customer(stream);
  await world.start();
  await world.clock.advance(55_000);
  const linked = stream.questions.filter(({ link }) => link !== undefined).length;
  const reported = world.sink.healths.filter(({ streams }) => streams[0]?.failure === "link-repeats");
  return {
    verdict: judge(stream, world.sentOf(customer)),
    linked,
    reported,
    state: world.sink.healths.at(-1)?.streams[0]?.state,
  };
}

describe.each(["descending", "none"] as const)(
  "in a list that is sorted %s, nothing is lost and no link is followed twice",
  (order) => {
    test("by a link that leads to its own page again", async () => {
      const { verdict, linked, reported, state } = await collected(order, (own) => own[0]!);
      expect(verdict).toEqual(FLAWLESS);
      expect(reported).not.toEqual([]);
      expect(linked).toBe(reported.length);
      expect(state).toBe("ok");
    });

    test("by links that lead back to one followed before, A to B to A", async () => {
      const { verdict, linked, reported, state } = await collected(order, (own) => own[own.length % 2 === 1 ? 0 : 1]!);
      expect(verdict).toEqual(FLAWLESS);
      expect(reported).not.toEqual([]);
      expect(linked).toBe(2 * reported.length);
      expect(state).toBe("ok");
    });
  },
);

test("links that a sorted list gives wrongly are not followed at all", async () => {
  const { verdict, linked } = await collected("ascending", (own) => own[0]!);
  expect(verdict).toEqual(FLAWLESS);
  expect(linked).toBe(0);
});
