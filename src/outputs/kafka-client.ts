import type { KafkaClient } from "./kafka.ts";
import { isFenced, type KafkaNames, kafkaFailure, sharedTransactionalId } from "./kafka-failures.ts";
import { KafkaWriter } from "./kafka-writer.ts";

/**
 * All of the output that needs the library of Kafka. It is loaded when an output of this type runs: the
 * library takes memory and time that no other output should pay.
 */
export function kafkaClient(names: KafkaNames): KafkaClient {
  return {
    open: (parts) => KafkaWriter.open(parts),
    isFenced,
    failure: (error) => kafkaFailure(names, error),
    sharedId: () => sharedTransactionalId(names),
  };
}
