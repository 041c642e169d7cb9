import { expect, test } from "@jest/globals";
import { EASY, HOUR, MINUTE, SimStream, World } from "../../../test/harness/collect/world.ts";
import { scanAnswer } from "../../json/answer-scanner.ts";
import type { PageRecord } from "../../model/record.ts";

/** Two alerts as Microsoft's bytes; the text of the first is not valid UTF-8 in two places. */
function scanned(): readonly PageRecord[] {
  const row = (id: string, text: string) => `{"id":"${id}","lastUpdateDateTime":"2026-11-24T11:50:00Z","t":"${text}"}`;
  const answer = Buffer.from(`{"value":[${row("odd", "a\xffb\xfe")},${row("fine", "ab")}]}`, "latin1");
  return scanAnswer(answer, {
    shape: "value-object",
    fields: { kind: "alert", id: "id", updated: "lastUpdateDateTime" },
    recordMaxBytes: 1 << 20,
  }).records;
}

test("a health event counts each event with invalid UTF-8 once, however often polls read it again", async () => {
  const world = new World();
  const stream = new SimStream(world.clock, { regime: EASY });
  const records = scanned();
  const ask = stream.ask.bind(stream);
  stream.ask = async (question, signal) => ({
    ...(await ask(question, signal)),
    batches: (async function* () {
      yield records;
    })(),
  });
  const customer = world.customer(stream);
  const scheduler = await world.start();
  await world.clock.advance(2 * HOUR + MINUTE);
  await world.stop();

  expect(world.sentOf(customer).map(({ id }) => id)).toEqual(["odd", "fine"]);
  expect(scheduler.summary()[0]?.totals).toMatchObject({ new: 2, invalid_utf8: 1 });
  const reported = world.sink.healths.flatMap(({ streams }) => streams);
  expect(reported.map((one) => one.invalid_utf8).filter((count) => count !== 0)).toEqual([1]);
});
