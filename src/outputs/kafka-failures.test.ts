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
