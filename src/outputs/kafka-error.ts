import type { Target } from "./connection.ts";

/** One event on its way. */
export interface KafkaEvent {
  /** Names the object: events of one object lie in one partition, in order. Undefined: of no object. */
  readonly key: string | undefined;
  readonly value: Buffer;
  /** Members that were left out because the broker takes no record of this size. */
  readonly leftOut?: string;
}

/** The broker does not take records of this size: the transaction was not committed. */
export class KafkaTooLarge extends Error {
  /** Each was refused in a batch of its own; empty when it was a batch of several. */
  readonly alone: readonly KafkaEvent[];

  constructor(alone: readonly KafkaEvent[]) {
    super("the broker takes no batch of this size");
    this.alone = alone;
  }
}

/** The topic of watermarks has fewer partitions than a fleet has shards. */
export class TooFewPartitions extends Error {
  readonly needed: number;

  constructor(needed: number) {
    super(`fewer than ${needed} partitions`);
    this.needed = needed;
  }
}

/** What was being done when Kafka, or the way to it, failed. */
export type KafkaStep =
  | "connect"
  | "reconnect"
  | "topic"
  | "watermark-topic"
  | "create-topic"
  | "leader"
  | "transaction"
  | "produce"
  | "commit"
  | "read-back";

/** What went wrong, and at which broker. */
export class KafkaError extends Error {
  readonly step: KafkaStep;
  readonly target: Target;

  constructor(step: KafkaStep, target: Target, cause: unknown) {
    super(`Kafka failed: ${step}`, { cause });
    this.step = step;
    this.target = target;
  }

  /** Partitions of which the broker refused what was sent. */
  get refusedPartitions(): readonly { readonly topic: string; readonly partition: number }[] {
    const { response } = (this.cause ?? {}) as { readonly response?: ProduceAnswer };
    return (response?.responses ?? []).flatMap(({ name, partitionResponses = [] }) =>
      partitionResponses.flatMap(({ index, errorCode }) =>
        errorCode === 0 || name === undefined ? [] : [{ topic: name, partition: index }],
      ),
    );
  }
}

interface ProduceAnswer {
  readonly responses?: readonly {
    readonly name?: string;
    readonly partitionResponses?: readonly { readonly index: number; readonly errorCode: number }[];
  }[];
}

/** Kafka's own names of the errors in it, such as NOT_ENOUGH_REPLICAS; empty when no broker said one. */
export function codesOf(error: unknown): readonly string[] {
  if (typeof error !== "object" || error === null) return [];
  const { apiId, errors, cause } = error as { apiId?: unknown; errors?: unknown; cause?: unknown };
  return [
    ...(typeof apiId === "string" ? [apiId] : []),
    ...(Array.isArray(errors) ? errors.flatMap(codesOf) : []),
    ...codesOf(cause),
  ];
}

/** True when every error that the broker named is this one. */
export function isOnly(error: unknown, code: string): boolean {
  const codes = codesOf(error);
  return codes.length > 0 && codes.every((one) => one === code);
}
