import {
  type API,
  addPartitionsToTxnV3,
  apiVersionsV3,
  Connection,
  createAPI,
  createTopicsV7,
  endTxnV3,
  endTxnV4,
  fetchV12,
  findCoordinatorV4,
  findCoordinatorV6,
  initProducerIdV3,
  initProducerIdV5,
  listOffsetsV7,
  metadataV9,
  metadataV12,
  produceV9,
  produceV11,
  type Reader,
  ResponseError,
  type SASLMechanismValue,
} from "@platformatic/kafka";
import type { Sealed } from "../model/sealed.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import type { Target } from "./connection.ts";
import { tlsOptions } from "./dial.ts";

/** How this program reaches and signs in to Kafka. */
export interface KafkaAccess {
  /** `host:port`. */
  readonly brokers: readonly string[];
  readonly protocol: "tls" | "tcp";
  readonly caFile?: string;
  /** PEM with our own key and certificate. */
  readonly certificate?: string;
  readonly sasl: "none" | "plain" | "scram-sha-256" | "scram-sha-512";
  readonly user?: string;
  readonly password?: Sealed;
  /** How long a broker's answer is waited for; the table's limit when absent. */
  readonly requestMs?: number;
}

/** An answer to EndTxn 5 and later: the next transaction has another epoch. */
interface TransactionEnded {
  readonly throttleTimeMs: number;
  readonly errorCode: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** The library has no EndTxn above 4; only the answer differs. */
const endTxnV5 = createAPI<Parameters<typeof endTxnV4.createRequest>, TransactionEnded>(
  endTxnV4.api.key,
  5,
  endTxnV4.createRequest,
  (_correlationId: number, apiKey: number, apiVersion: number, reader: Reader) => {
    const answer = {
      throttleTimeMs: reader.readInt32(),
      errorCode: reader.readInt16(),
      producerId: reader.readInt64(),
      producerEpoch: reader.readInt16(),
    };
    reader.readTaggedFields();
    if (answer.errorCode !== 0) throw new ResponseError(apiKey, apiVersion, { "/": [answer.errorCode, null] }, answer);
    return answer;
  },
);

/** Produce 12 is 11, and adds the partition to the transaction itself. */
const produceV12 = createAPI<Parameters<typeof produceV11.createRequest>, ReturnType<typeof produceV11.parseResponse>>(
  produceV11.api.key,
  12,
  produceV11.createRequest,
  produceV11.parseResponse,
);

export type FetchedPartition = ReturnType<typeof fetchV12.parseResponse>["responses"][number]["partitions"][number];

/** What this program asks of a broker, in the versions that it knows, newest first: Kafka 3.0 is enough. */
export const APIS = {
  addPartitions: [addPartitionsToTxnV3.api],
  createTopics: [createTopicsV7.api],
  /** Of the protocol before transactions of version 2. */
  endTransactionV1: [endTxnV4.api, endTxnV3.api],
  endTransactionV2: [endTxnV5],
  fetch: [fetchV12.api],
  findCoordinator: [findCoordinatorV6.api, findCoordinatorV4.api],
  initProducerId: [initProducerIdV5.api, initProducerIdV3.api],
  listOffsets: [listOffsetsV7.api],
  metadata: [metadataV12.api, metadataV9.api],
  produceV1: [produceV11.api, produceV9.api],
  produceV2: [produceV12],
} as const;

/** A broker that knows none of the versions of a request that this program knows. */
export class BrokerTooOld extends Error {}

/** A connection to one broker that speaks the versions that the broker knows. */
export class BrokerConnection {
  readonly target: Target;
  readonly #connection: Connection;
  /** Why the connection ended: a request that waits then is only told that it did. */
  readonly #ended: { why?: unknown };
  readonly #versions: ReadonlyMap<number, { readonly minVersion: number; readonly maxVersion: number }>;
  /** Kafka's transactions of version 2 (KIP-890): each transaction has an epoch of its own. */
  readonly hasTransactionsV2: boolean;

  private constructor(
    target: Target,
    connection: Connection,
    ended: { why?: unknown },
    { apiKeys, finalizedFeatures = [] }: ReturnType<typeof apiVersionsV3.parseResponse>,
  ) {
    this.target = target;
    this.#connection = connection;
    this.#ended = ended;
    this.#versions = new Map(apiKeys.map((one) => [one.apiKey, one]));
    this.hasTransactionsV2 =
      finalizedFeatures.some(({ name, maxVersionLevel }) => name === "transaction.version" && maxVersionLevel >= 2) &&
      [APIS.endTransactionV2, APIS.produceV2].every(([api]) => this.#knows(api));
  }

  /** Throws an error of the library or of the runtime, or Failure `output-untrusted`. */
  static async open(
    target: Target,
    access: KafkaAccess,
    clientId: string,
    stop: AbortSignal,
  ): Promise<BrokerConnection> {
    const { sasl, user, password, requestMs = TIME_LIMITS.kafkaRequest.ms } = access;
    const connection = new Connection(clientId, {
      connectTimeout: TIME_LIMITS.outputConnect.ms,
      requestTimeout: requestMs,
      // Answers come in order then, and a time-out means one request.
      maxInflights: 1,
      ...(target.protocol === "tls" ? { tls: tlsOptions(target) } : {}),
      ...(sasl === "none"
        ? {}
        : {
            sasl: {
              mechanism: sasl.toUpperCase() as SASLMechanismValue,
              username: user ?? "",
              password: () => password?.open((value) => value) ?? "",
            },
          }),
    });
    // Each request rejects by itself; an event without a listener would end the process.
    const ended: { why?: unknown } = {};
    connection.on("error", (error) => {
      ended.why ??= error;
    });
    const onStop = () => closeQuietly(connection);
    stop.addEventListener("abort", onStop, { once: true });
    try {
      await connection.connect(target.host, target.port);
      const versions = await apiVersionsV3.api.async(connection, "defender-mssp", "1");
      return new BrokerConnection(target, connection, ended, versions);
    } catch (error) {
      closeQuietly(connection);
      throw ended.why ?? error;
    } finally {
      stop.removeEventListener("abort", onStop);
    }
  }

  get isOpen(): boolean {
    return this.#connection.isConnected();
  }

  /** In the newest version that both sides know. Throws an error of the library, or BrokerTooOld. */
  async ask<Arguments extends unknown[], Answer>(
    apis: readonly API<Arguments, Answer>[],
    ...request: Arguments
  ): Promise<Answer> {
    const api = apis.find((one) => this.#knows(one));
    if (api === undefined) throw new BrokerTooOld();
    try {
      return await api.async(this.#connection, ...request);
    } catch (error) {
      throw this.isOpen ? error : (this.#ended.why ?? error);
    }
  }

  close(): void {
    closeQuietly(this.#connection);
  }

  #knows({ key, version }: { readonly key: number; readonly version: number }): boolean {
    const known = this.#versions.get(key);
    return known !== undefined && known.minVersion <= version && version <= known.maxVersion;
  }
}

function closeQuietly(connection: Connection): void {
  try {
    void Promise.resolve(connection.close()).catch(() => undefined);
    // The library waits for what is not sent yet, and a broker that is gone takes nothing.
    connection.socket?.destroy();
  } catch {
    // It never had a socket.
  }
}

/** A broker as the settings name it. */
export function targetOf(broker: string, access: KafkaAccess): Target {
  const at = broker.lastIndexOf(":");
  return targetAt(broker.slice(0, at).replace(/^\[|\]$/g, ""), Number(broker.slice(at + 1)), access);
}

/** A broker as Kafka names it. */
export function targetAt(host: string, port: number, { protocol, caFile, certificate }: KafkaAccess): Target {
  return {
    host,
    port,
    protocol,
    ...(caFile === undefined ? {} : { caFile }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}
