/**
 * How the program signs in to a real broker, and what it says when that, or a right, or a topic, is missing.
 * The writer is used as the output uses it, through its client.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { type Failure, isFailure } from "../../src/model/failure.ts";
import { sealed } from "../../src/model/sealed.ts";
import { kafkaClient } from "../../src/outputs/kafka-client.ts";
import type { KafkaAccess } from "../../src/outputs/kafka-connection.ts";
import type { KafkaEvent } from "../../src/outputs/kafka-error.ts";
import type { KafkaWriterParts } from "../../src/outputs/kafka-writer.ts";
import { makeAwkwardCertificate } from "../harness/awkward-certificates.ts";
import { KafkaBroker, missingKafkaParts } from "../harness/kafka/broker.ts";
import { describeWith } from "../harness/real-parts.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";

jest.setTimeout(600_000);

const withKafka = describeWith("Java, Maven and kcat", missingKafkaParts());
const PASSWORDS = { defender: "pass-of-defender", limited: "pass-of-limited", reader: "pass-of-reader" } as const;
const TOPIC = "th-cef";
const WATERMARKS = "watermarks";
const clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  pause: (forMs: number) => pause(forMs),
};

withKafka("a real Kafka that asks who is there", () => {
  let folder: string;
  let broker: KafkaBroker;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "kafka-access-"));
    const own = await makeServerCertificate(Date.now());
    const other = await makeServerCertificate(Date.now());
    const client = await makeAwkwardCertificate("client's purpose");
    writeFileSync(file("ca.pem"), own.caPem);
    writeFileSync(file("clients-ca.pem"), client.caPem);
    writeFileSync(file("other-ca.pem"), other.caPem);
    writeFileSync(file("broker.pem"), own.keyPem + own.certificatePem);
    writeFileSync(file("client.pem"), client.keyPem + client.certificatePem);
    writeFileSync(file("other-client.pem"), other.keyPem + other.certificatePem);
    const scram = (name: keyof typeof PASSWORDS) =>
      ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((kind) => [
        "--add-scram",
        `${kind}=[name=${name},password=${PASSWORDS[name]}]`,
      ]);
    const plain = Object.entries(PASSWORDS)
      .map(([name, password]) => `user_${name}="${password}"`)
      .join(" ");
    broker = await KafkaBroker.prepare({
      folder,
      listeners: { SIGNIN: "SASL_SSL", MUTUAL: "SSL" },
      format: [...scram("defender"), ...scram("limited"), ...scram("reader")],
      properties: {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": file("broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": file("clients-ca.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.signin.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.signin.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required ${plain};`,
        "listener.name.signin.scram-sha-256.sasl.jaas.config":
          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "listener.name.signin.scram-sha-512.sasl.jaas.config":
          "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        // The certificate's name is User:CN=…, and whoever comes without a sign-in is the judge.
        "super.users": "User:ANONYMOUS;User:defender",
        "ssl.principal.mapping.rules": "RULE:^.*$/defender/",
      },
    });
    await broker.start();
    await broker.createTopic(TOPIC, 2);
    await broker.allow("reader", { type: "topic", prefix: TOPIC }, ["Describe", "Write"]);
    await broker.allow("reader", { type: "topic", prefix: WATERMARKS }, ["Describe", "Read", "Write"]);
  });
  afterAll(async () => {
    await broker.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  const signIn = (
    sasl: KafkaAccess["sasl"],
    user: keyof typeof PASSWORDS = "defender",
    password: string = PASSWORDS[user],
  ): KafkaAccess => ({
    brokers: [`127.0.0.1:${broker.portOf("SIGNIN")}`],
    protocol: "tls",
    caFile: file("ca.pem"),
    sasl,
    user,
    password: sealed(password),
  });
  const mutual = (certificate?: string): KafkaAccess => ({
    brokers: [`127.0.0.1:${broker.portOf("MUTUAL")}`],
    protocol: "tls",
    caFile: file("ca.pem"),
    sasl: "none",
    ...(certificate === undefined ? {} : { certificate: file(certificate) }),
  });
  const plainly = (): KafkaAccess => ({ brokers: [broker.address], protocol: "tcp", sasl: "none" });

  /** Commits one event, or these, and reads it back; the failure when that fails. */
  async function attempt(
    access: KafkaAccess,
    parts: Partial<KafkaWriterParts> = {},
    events?: readonly KafkaEvent[],
  ): Promise<"read" | "unread" | Pick<Failure, "code" | "say" | "nextStep">> {
    const topic = parts.topic ?? TOPIC;
    const names = { name: "outputs[0]", topic, watermarkTopic: WATERMARKS, transactionalId: "defender-mssp.test" };
    const client = kafkaClient({ ...names, user: access.user });
    try {
      const writer = await client.open({
        access,
        topic,
        watermarkTopic: WATERMARKS,
        watermarkPartition: undefined,
        transactionalId: "defender-mssp.test",
        watermarkKey: "k",
        compression: "zstd",
        clock,
        stop: new AbortController().signal,
        ...parts,
      });
      try {
        const value = Buffer.from(`event ${performance.now()}`);
        await writer.commit(events ?? [{ key: "object", value }], Buffer.from("{}"), 900_000);
        return (await writer.canRead(value)) ? "read" : "unread";
      } finally {
        writer.close();
      }
    } catch (error) {
      const { code, say, nextStep } = isFailure(error) ? error : client.failure(error).failure;
      const isLeak = [...Object.values(PASSWORDS), "wrong-password"].some((one) => `${say}${nextStep}`.includes(one));
      if (isLeak) throw new Error("a sentence holds a password", { cause: error });
      return { code, say, nextStep };
    }
  }

  test.each(["plain", "scram-sha-256", "scram-sha-512"] as const)("%s over TLS signs in and commits", async (sasl) => {
    expect(await attempt(signIn(sasl))).toBe("read");
  });

  test("a client certificate signs in and commits", async () => {
    expect(await attempt(mutual("client.pem"))).toBe("read");
  });

  test.each(["gzip", "snappy", "lz4", "none"] as const)("Kafka takes the compression %s", async (compression) => {
    expect(await attempt(plainly(), { compression })).toBe("read");
  });

  const output = (say: string) => `outputs[0]: ${say}. Events wait in the spool.`;

  test("each of what can be missing is one sentence, with who must act", async () => {
    const said = {
      password: await attempt(signIn("scram-sha-512", "defender", "wrong-password")),
      plainPassword: await attempt(signIn("plain", "defender", "wrong-password")),
      unknownCa: await attempt({ ...signIn("plain"), caFile: file("other-ca.pem") }),
      noCertificate: await attempt(mutual()),
      otherCertificate: await attempt(mutual("other-client.pem")),
      tlsToPlain: await attempt({ ...plainly(), protocol: "tls" }),
      plainToTls: await attempt({ ...mutual(), protocol: "tcp" }),
      nobody: await attempt({ ...plainly(), brokers: ["127.0.0.1:1"] }),
      topic: await attempt(plainly(), { topic: "no-such-topic" }),
      noRight: await attempt(signIn("scram-sha-512", "limited")),
      noTransaction: await attempt(signIn("scram-sha-512", "reader")),
    };
    expect(said).toMatchObject({
      password: {
        code: "output-broken",
        say: output("Kafka rejects the user or the password"),
        nextStep: "Check .user, .password and .sasl.",
      },
      plainPassword: { say: output("Kafka rejects the user or the password") },
      unknownCa: { code: "output-untrusted", nextStep: expect.stringContaining(".ca_file") },
      noCertificate: { code: "output-untrusted", nextStep: expect.stringContaining(".certificate") },
      otherCertificate: { code: "output-untrusted", nextStep: "Have the broker trust the authority of .certificate." },
      tlsToPlain: { code: "output-untrusted", nextStep: expect.stringContaining("set .protocol to tcp") },
      plainToTls: { say: output("that listener of Kafka wants TLS"), nextStep: "Set .protocol to tls." },
      nobody: { code: "output-unreachable", say: expect.stringContaining("connection refused") },
      topic: { code: "output-broken", say: output("Kafka has no topic no-such-topic") },
      noRight: {
        code: "output-broken",
        say: output(`the user limited has no right to ${TOPIC}`),
        nextStep: `Have the Kafka administrator grant the user limited Describe and Write on the topic ${TOPIC}.`,
      },
      noTransaction: {
        code: "output-broken",
        say: output("the user reader has no right to the transactional id defender-mssp.test"),
      },
    });
  });

  test("a machine's clock that is hours ahead of Kafka's is said, and one that is behind changes nothing", async () => {
    const wrongBy = (ms: number) => ({ clock: { ...clock, nowMs: () => Date.now() + ms } });
    expect(await attempt(plainly(), wrongBy(2 * 3_600_000))).toEqual({
      code: "output-broken",
      say: output("Kafka refuses the time of the events, because this machine's clock differs from the broker's"),
      nextStep: "Set the clock of this machine. Delivery then resumes by itself.",
    });
    expect(await attempt(plainly(), wrongBy(-2 * 3_600_000))).toBe("read");
  });

  test("a topic that takes no event without a key is said, because health has none", async () => {
    await broker.createTopic("compacted", 1, { "cleanup.policy": "compact" });
    const events = [
      { key: "object", value: Buffer.from("an alert") },
      { key: undefined, value: Buffer.from("health") },
    ];
    expect(await attempt(plainly(), { topic: "compacted" }, events)).toEqual({
      code: "output-broken",
      say: output(
        "the topic compacted refuses events: a topic with cleanup.policy=compact takes no health event, which has no key",
      ),
      nextStep:
        "Have the Kafka administrator set cleanup.policy=delete for compacted. Delivery then resumes by itself.",
    });
  });

  test("a user with exactly the documented rights commits, and is told that it may not read the topic", async () => {
    await broker.allow("reader", { type: "transactional-id", prefix: "defender-mssp" }, ["Describe", "Write"]);
    expect(await attempt(signIn("scram-sha-256", "reader"))).toBe("unread");
  });
});
