import { Failure, isFailure } from "../model/failure.ts";
import { failureOf } from "./dial.ts";
import { BrokerTooOld } from "./kafka-connection.ts";
import { codesOf, KafkaError, KafkaTooLarge, TooFewPartitions } from "./kafka-error.ts";

/** What the sentences name. */
export interface KafkaNames {
  /** `outputs[0]`. */
  readonly name: string;
  readonly topic: string;
  readonly watermarkTopic: string;
  readonly transactionalId: string;
  /** Undefined: this program signs in as nobody, or by its certificate. */
  readonly user: string | undefined;
  /** Where events wait. Absent: in the spool. */
  readonly keptIn?: string;
  /** The topic of watermarks must have at least so many partitions. */
  readonly watermarkPartitions?: number;
}

interface Reason {
  readonly code: "output-unreachable" | "output-untrusted" | "output-broken";
  readonly say: string;
  readonly nextStep: string;
}

/** Nothing is accepted before a person changes something: it is tried again less often. */
const NEEDS_A_PERSON: ReadonlySet<string> = new Set([
  "TOPIC_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
  "UNSUPPORTED_SASL_MECHANISM",
  "UNKNOWN_TOPIC_OR_PARTITION",
  "INVALID_REPLICATION_FACTOR",
  "POLICY_VIOLATION",
  "INVALID_TIMESTAMP",
  "INVALID_RECORD",
]);

/** What ends a transaction although nothing is wrong: the next writer goes on. */
const FENCED: ReadonlySet<string> = new Set([
  "INVALID_PRODUCER_EPOCH",
  "PRODUCER_FENCED",
  "INVALID_PRODUCER_ID_MAPPING",
]);

/** True when Kafka has shut this writer out: another one took over, or its transaction took too long. */
export function isFenced(error: unknown): boolean {
  return codesOf(error).some((code) => FENCED.has(code));
}

/** Another collector takes the transactional id again and again. */
export function sharedTransactionalId(names: KafkaNames): Failure {
  return broken(names, {
    code: "output-broken",
    say: `another collector uses the transactional id ${names.transactionalId}, and each shuts the other out`,
    nextStep: "Give each collector its own .transactional_id, or remove that setting, and restart them.",
  });
}

/**
 * One sentence for an error of the writer, and who must do what. `needsPerson`: to try again soon is of no
 * use.
 */
export function kafkaFailure(
  names: KafkaNames,
  error: unknown,
): { readonly failure: Failure; readonly needsPerson: boolean } {
  const own = failureIn(error);
  if (own !== undefined) return { failure: withOutput(names, own), needsPerson: true };
  if (error instanceof KafkaTooLarge) return { failure: tooLarge(names, error), needsPerson: true };
  const codes = codesOf(error);
  const reason = saidByKafka(names, error, codes);
  const tooFew = error instanceof KafkaError && error.cause instanceof TooFewPartitions;
  const needsPerson = tooFew || codes.some((code) => NEEDS_A_PERSON.has(code));
  if (reason !== undefined) return { failure: broken(names, reason, error), needsPerson };
  if (!(error instanceof KafkaError)) throw error;
  if (codes.length > 0) {
    const unknown: Reason = {
      code: "output-broken",
      // The client adds the first for each record that the broker names.
      say: `${error.target.host}:${error.target.port} refuses the request (${codes.find((code) => code !== "UNKNOWN_SERVER_ERROR") ?? codes[0]})`,
      nextStep: "Look at the log of that broker. Delivery resumes by itself.",
    };
    return { failure: broken(names, unknown, error), needsPerson };
  }
  return { failure: withOutput(names, unreachable(error)), needsPerson: false };
}

/** For an event that somebody sends again: the collector itself makes such an event smaller. */
function tooLarge({ name, topic }: KafkaNames, cause: KafkaTooLarge): Failure {
  return new Failure("output-broken", {
    actor: "operator",
    retry: { when: "later" },
    say: `${name}: Kafka does not take the event, because it is above max.message.bytes of the topic ${topic}.`,
    nextStep: `Have the Kafka administrator raise max.message.bytes of ${topic}, then run \`defender-mssp rejected resend\`.`,
    cause,
  });
}

function saidByKafka(names: KafkaNames, error: unknown, codes: readonly string[]): Reason | undefined {
  const { topic, watermarkTopic, transactionalId, watermarkPartitions } = names;
  const partitions = watermarkPartitions === undefined ? "" : `${watermarkPartitions} partitions, `;
  const step = error instanceof KafkaError ? error.step : undefined;
  const isWatermark = step === "watermark-topic" || step === "create-topic";
  const place = isWatermark ? watermarkTopic : topic;
  const user = names.user === undefined ? "this program" : `the user ${names.user}`;
  const has = (...some: readonly string[]) => some.some((code) => codes.includes(code));
  const refused = (say: string, nextStep: string): Reason => ({ code: "output-broken", say, nextStep });
  if (error instanceof KafkaError && error.cause instanceof TooFewPartitions)
    return refused(
      `the topic ${watermarkTopic} has fewer than ${error.cause.needed} partitions, and a fleet needs one for each of its shards`,
      `Have the Kafka administrator create a topic with ${error.cause.needed} partitions, cleanup.policy=compact and segment.bytes=4194304, and set .watermark_topic to it.`,
    );
  if (step === "read-back")
    return refused(
      "Kafka committed the event, and it cannot be read back",
      "Look at the log of the brokers, and whether the topic is trimmed.",
    );
  if (hasCause(error, BrokerTooOld))
    return refused("Kafka is older than 3.0", "Have the Kafka administrator update the brokers.");
  if (hasMessage(error, /requires TLS/))
    return { ...refused("that listener of Kafka wants TLS", "Set .protocol to tls."), code: "output-untrusted" };
  if (hasMessage(error, /TLS handshake failed/))
    return {
      code: "output-untrusted",
      say: "the broker ended the TLS handshake",
      nextStep: "Check the port in .brokers. If that listener has no TLS, set .protocol to tcp.",
    };
  if (has("SASL_AUTHENTICATION_FAILED"))
    return refused("Kafka rejects the user or the password", "Check .user, .password and .sasl.");
  if (has("UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"))
    return refused("Kafka does not offer this kind of sign-in", "Set .sasl to one that the listener offers.");
  if (step === "create-topic")
    return refused(
      `Kafka has no topic ${watermarkTopic}, and ${user} may not create it (${codes[0] ?? "no reason given"})`,
      `Have the Kafka administrator create ${watermarkTopic} with ${partitions}cleanup.policy=compact and segment.bytes=4194304.`,
    );
  if (has("UNKNOWN_TOPIC_OR_PARTITION"))
    return refused(
      `Kafka has no topic ${place}`,
      `Have the Kafka administrator create it, or correct ${isWatermark ? ".watermark_topic" : ".topic"}.`,
    );
  if (has("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")) {
    const [denied, rights] =
      step === "produce"
        ? [`${topic} or ${watermarkTopic}`, `Write on the topics ${topic} and ${watermarkTopic}`]
        : isWatermark
          ? [watermarkTopic, `Describe, Read and Write on the topic ${watermarkTopic}`]
          : [topic, `Describe and Write on the topic ${topic}`];
    return refused(`${user} has no right to ${denied}`, `Have the Kafka administrator grant ${user} ${rights}.`);
  }
  if (has("TRANSACTIONAL_ID_AUTHORIZATION_FAILED"))
    return refused(
      `${user} has no right to the transactional id ${transactionalId}`,
      `Have the Kafka administrator grant ${user} Describe and Write on that transactional id.`,
    );
  if (has("NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"))
    return refused(
      `${topic} or ${watermarkTopic} has fewer replicas in sync than its min.insync.replicas`,
      "Have the Kafka administrator start the missing brokers, or lower min.insync.replicas.",
    );
  if (has("INVALID_REPLICATION_FACTOR"))
    return refused("Kafka has fewer brokers than a topic needs replicas", "Have the Kafka administrator start them.");
  if (has("INVALID_TIMESTAMP"))
    return refused(
      "Kafka refuses the time of the events, because this machine's clock differs from the broker's",
      "Set the clock of this machine. Delivery then resumes by itself.",
    );
  if (has("INVALID_RECORD"))
    return refused(
      `the topic ${topic} refuses events: a topic with cleanup.policy=compact takes no health event, which has no key`,
      `Have the Kafka administrator set cleanup.policy=delete for ${topic}. Delivery then resumes by itself.`,
    );
  if (has("UNSUPPORTED_COMPRESSION_TYPE"))
    return refused("Kafka does not take this compression", "Set .compression to gzip.");
  if (step === "leader" || has("LEADER_NOT_AVAILABLE"))
    return {
      code: "output-unreachable",
      say: `a partition of ${place} has no leader`,
      nextStep: "Have the Kafka administrator start the missing brokers. Delivery resumes by itself.",
    };
  if (isFenced(error))
    return refused(
      "Kafka ended the transaction, because it took too long or another collector took over",
      "If this lasts, look for another collector with the same .transactional_id.",
    );
  return undefined;
}

function unreachable({ target, cause }: KafkaError): Failure {
  const failure = failureOf(target, networkErrorIn(cause));
  return new Failure(failure.code, {
    actor: "operator",
    retry: { when: "later" },
    say: failure.say,
    nextStep: forBrokers(failure.nextStep, failure.code === "output-unreachable", target.protocol),
    cause,
  });
}

function forBrokers(nextStep: string, isUnreachable: boolean, protocol: string): string {
  if (isUnreachable)
    return `Start the broker, or check .brokers, the network, and whether the listener wants ${protocol === "tls" ? "" : "TLS (.protocol) or "}a sign-in (.sasl). Delivery resumes by itself.`;
  return nextStep.replaceAll("the connector", "the broker").replaceAll(/\.host|\.port/g, ".brokers");
}

/** The runtime's error below the library's. */
function networkErrorIn(error: unknown): unknown {
  for (let one = error; typeof one === "object" && one !== null; one = (one as { cause?: unknown }).cause) {
    const { code, message } = one as { code?: unknown; message?: unknown };
    if (code === "PLT_KFK_NETWORK" && typeof message === "string" && /timed out/i.test(message))
      return withCode("ETIMEDOUT");
    if (typeof code === "string" && !code.startsWith("PLT_KFK_")) return one;
  }
  return withCode("");
}

function withCode(code: string): Error {
  return Object.assign(new Error("the connection failed"), { code });
}

function failureIn(error: unknown): Failure | undefined {
  for (let one = error; typeof one === "object" && one !== null; one = (one as { cause?: unknown }).cause)
    if (isFailure(one)) return one;
  return undefined;
}

function hasCause(error: unknown, kind: new () => Error): boolean {
  for (let one = error; typeof one === "object" && one !== null; one = (one as { cause?: unknown }).cause)
    if (one instanceof kind) return true;
  return false;
}

function hasMessage(error: unknown, pattern: RegExp): boolean {
  for (let one = error; typeof one === "object" && one !== null; one = (one as { cause?: unknown }).cause)
    if (pattern.test((one as { message?: string }).message ?? "")) return true;
  return false;
}

function withOutput(names: KafkaNames, failure: Failure): Failure {
  return new Failure(failure.code, {
    actor: failure.actor,
    retry: { when: "later" },
    say: `${names.name}: ${failure.say} ${waiting(names)}`,
    nextStep: failure.nextStep,
    cause: failure,
  });
}

function broken(names: KafkaNames, { code, say, nextStep }: Reason, cause?: unknown): Failure {
  return new Failure(code, {
    actor: "operator",
    retry: { when: "later" },
    say: `${names.name}: ${say}. ${waiting(names)}`,
    nextStep,
    ...(cause === undefined ? {} : { cause }),
  });
}

function waiting({ keptIn = "the spool" }: KafkaNames): string {
  return `Events wait in ${keptIn}.`;
}
