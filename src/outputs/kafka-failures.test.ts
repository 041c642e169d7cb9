import { expect, test } from "@jest/globals";
import { KafkaError, KafkaTooLarge } from "./kafka-error.ts";
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
