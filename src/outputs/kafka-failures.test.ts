import { expect, test } from "@jest/globals";
import { KafkaError, KafkaTooLarge, TooFewPartitions } from "./kafka-error.ts";
import { kafkaFailure } from "./kafka-failures.ts";

const NAMES = {
  name: "outputs[0]",
  topic: "th-cef",
  watermarkTopic: "watermarks",
  transactionalId: "collector",
  user: undefined,
};

test("an event that is still too large when it is sent again is a failure of that event alone", () => {
  const { failure } = kafkaFailure(NAMES, new KafkaTooLarge([]));
  expect(failure).toMatchObject({
    code: "output-broken",
    say: "outputs[0]: Kafka does not take the event, because it is above max.message.bytes of the topic th-cef.",
    nextStep: expect.stringContaining("raise max.message.bytes of th-cef"),
  });
});

test("the administrator is told every setting of the watermark topic that matters", () => {
  const target = { host: "kafka.example", port: 9093, protocol: "tls" } as const;
  const { failure } = kafkaFailure(NAMES, new KafkaError("create-topic", target, new Error("denied")));
  expect(failure.nextStep).toBe(
    "Have the Kafka administrator create watermarks with cleanup.policy=compact and segment.bytes=4194304.",
  );
});

test("a fleet says how many partitions its watermark topic needs, and that events wait in its database", () => {
  const target = { host: "kafka.example", port: 9093, protocol: "tls" } as const;
  const fleet = { ...NAMES, keptIn: "the fleet's database", watermarkPartitions: 256 };
  const few = kafkaFailure(fleet, new KafkaError("watermark-topic", target, new TooFewPartitions(256)));
  expect(few.needsPerson).toBe(true);
  expect(few.failure.say).toBe(
    "outputs[0]: the topic watermarks has fewer than 256 partitions, and a fleet needs one for each of its shards. " +
      "Events wait in the fleet's database.",
  );
  expect(few.failure.nextStep).toMatch(/create a topic with 256 partitions.*set \.watermark_topic to it\.$/);
  const { failure } = kafkaFailure(fleet, new KafkaError("create-topic", target, new Error("denied")));
  expect(failure.nextStep).toMatch(/create watermarks with 256 partitions, cleanup\.policy=compact/);
});

/** As the client says it: one error for each record that the broker names, and one for the partition. */
function refusedRecords(code: string): KafkaError {
  const codes = ["UNKNOWN_SERVER_ERROR", code].map((apiId) => Object.assign(new Error(apiId), { apiId }));
  const target = { host: "kafka.example", port: 9093, protocol: "tls" } as const;
  return new KafkaError("produce", target, new AggregateError(codes));
}

test("a refused time of the events is said as the machine's wrong clock, and tried again seldom", () => {
  const { failure, needsPerson } = kafkaFailure(NAMES, refusedRecords("INVALID_TIMESTAMP"));
  expect(failure).toMatchObject({
    say: "outputs[0]: Kafka refuses the time of the events, because this machine's clock differs from the broker's. Events wait in the spool.",
    nextStep: "Set the clock of this machine. Delivery then resumes by itself.",
  });
  expect(needsPerson).toBe(true);
});

test("of what a broker refuses the reason is named, not that the records have one", () => {
  const { failure } = kafkaFailure(NAMES, refusedRecords("CORRUPT_MESSAGE"));
  expect(failure.say).toContain("refuses the request (CORRUPT_MESSAGE)");
});
