import type { OutputSettings } from "../config/arcsight-settings.ts";
import type { Clock } from "../model/ports.ts";
import { withTimeLimit } from "../net/time-limit.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { kafkaAccessOf, kafkaClientOf } from "./open-outputs.ts";

export interface CommitOnceParts {
  readonly output: OutputSettings;
  /** One record's content. */
  readonly value: Uint8Array;
  /** Names the object; undefined for what is of no object. */
  readonly key: string | undefined;
  readonly clock: Clock;
  readonly stop: AbortSignal;
}

/**
 * Commits one record in a transaction, as the collector does, and reads it back with `read_committed`.
 * `unread`: the user may not read the topic, which the collector does not need. Uses a transactional id of
 * its own, so that a running collector is not shut out. Throws Failure `output-…`.
 */
export async function commitOnce({ output, value, key, clock, stop }: CommitOnceParts): Promise<"read" | "unread"> {
  const transactionalId = `${output.transactionalId ?? "defender-mssp"}.check`;
  const client = await kafkaClientOf(output, transactionalId);
  const { topic, watermarkTopic, compression } = output;
  try {
    return await withTimeLimit(
      clock,
      TIME_LIMITS.doctor.ms,
      async (signal) => {
        const writer = await client.open({
          access: kafkaAccessOf(output),
          topic,
          watermarkTopic,
          watermarkPartition: undefined,
          transactionalId,
          watermarkKey: transactionalId,
          compression,
          clock,
          stop: signal,
        });
        try {
          const record = Buffer.from(value);
          await writer.commit([{ key, value: record }], Buffer.from("{}"), record.length);
          return (await writer.canRead(record)) ? "read" : "unread";
        } finally {
          writer.close();
        }
      },
      stop,
    );
  } catch (error) {
    throw client.failure(error).failure;
  }
}
