/**
 * A real broker of Kafka, or several, from the jars that Maven brings, and kcat (Debian) as a reader that
 * shares no code with the program.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  AclOperations,
  AclPermissionTypes,
  Admin,
  FindCoordinatorKeyTypes,
  ResourcePatternTypes,
  ResourceTypes,
} from "@platformatic/kafka";
import { freePort } from "../free-port.ts";

const POM = join(import.meta.dirname, "pom.xml");
const CACHE = join(import.meta.dirname, "../../../.cache");
const READY_WITHIN_MS = 90_000;
const FETCH_WITHIN_MS = 300_000;
/** Any 16 bytes, as Kafka writes them. */
const CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg";
const JVM = ["-Xmx384m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/** What of the real parts is missing on this machine; undefined when all are there. */
export function missingKafkaParts(): string | undefined {
  for (const [program, version] of [
    ["java", "-version"],
    ["kcat", "-V"],
    ["mvn", "-v"],
  ] as const)
    if (spawnSync(program, [version]).error !== undefined) return `${program} is not installed`;
  return undefined;
}

/** The folder with the jars, fetched once for each content of the pom. Throws when Maven cannot do it. */
function jars(): string {
  const hash = createHash("sha256").update(readFileSync(POM)).digest("hex").slice(0, 16);
  const folder = join(CACHE, `kafka-${hash}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  const aside = mkdtempSync(join(CACHE, "kafka-new-"));
  const { status, stdout } = spawnSync(
    "mvn",
    ["-q", "-B", "-f", POM, "dependency:copy-dependencies", `-DoutputDirectory=${aside}`],
    { timeout: FETCH_WITHIN_MS, encoding: "utf8" },
  );
  if (status !== 0) {
    rmSync(aside, { recursive: true, force: true });
    throw new Error(`Maven brings no Kafka: ${stdout.slice(-2_000)}`);
  }
  try {
    renameSync(aside, folder);
  } catch (error) {
    // Another test was faster.
    rmSync(aside, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

export interface BrokerOptions {
  readonly folder: string;
  /** More listeners, by name: their protocols. What else they need is in `properties`. */
  readonly listeners?: Readonly<Record<string, "SSL" | "SASL_SSL" | "SASL_PLAINTEXT">>;
  readonly properties?: Properties;
  /** Arguments of the formatting tool, such as users for SCRAM or a feature's level. */
  readonly format?: readonly string[];
  /** Other ports than the listeners' are announced: those of proxies. */
  readonly announced?: readonly number[];
  readonly count?: number;
}

type Properties = Readonly<Record<string, string>>;

interface One {
  readonly id: number;
  readonly port: number;
  readonly controller: number;
  child: ChildProcess | undefined;
  ended: Promise<void>;
}

export class KafkaBroker {
  readonly #options: BrokerOptions;
  readonly #lib: string;
  readonly #all: readonly One[];
  /** A listener that is never guarded, for the judge. */
  readonly #judge: readonly number[];
  /** Of the first broker. */
  readonly #more: ReadonlyMap<string, number>;

  private constructor(options: BrokerOptions, lib: string, ports: readonly number[]) {
    this.#options = options;
    this.#lib = lib;
    const count = options.count ?? 1;
    this.#all = Array.from({ length: count }, (_, id) => ({
      id,
      port: ports[id] as number,
      controller: ports[count + id] as number,
      child: undefined,
      ended: Promise.resolve(),
    }));
    this.#judge = ports.slice(2 * count, 3 * count);
    this.#more = new Map(Object.keys(options.listeners ?? {}).map((name, i) => [name, ports[3 * count + i] as number]));
  }

  /** Formats the brokers' disks; nothing runs yet. */
  static async prepare(options: BrokerOptions): Promise<KafkaBroker> {
    const lib = jars();
    const ports: number[] = [];
    const needed = 3 * (options.count ?? 1) + Object.keys(options.listeners ?? {}).length;
    for (let i = 0; i < needed; i += 1) ports.push(await freePort());
    const broker = new KafkaBroker(options, lib, ports);
    for (const one of broker.#all) broker.#format(one);
    return broker;
  }

  /** Where clients begin. */
  get address(): string {
    return this.#all.map(({ port }) => `127.0.0.1:${port}`).join(",");
  }

  get port(): number {
    return this.#all[0]?.port ?? 0;
  }

  /** Port of one more listener. */
  portOf(listener: string): number {
    return this.#more.get(listener) ?? 0;
  }

  async start(): Promise<void> {
    await Promise.all(this.#all.map((one) => this.startOne(one.id)));
  }

  async startOne(id: number): Promise<void> {
    const one = this.#all[id] as One;
    const log = openSync(join(this.#home(one), "broker.log"), "a");
    const child = spawn("java", [...JVM, "-cp", `${this.#lib}/*`, "kafka.Kafka", this.#config(one)], {
      stdio: ["ignore", log, log],
    });
    one.child = child;
    one.ended = new Promise((resolve) => child.once("close", () => resolve()));
    const untilMs = performance.now() + READY_WITHIN_MS;
    while (!(await answers(this.#judge[id] as number))) {
      if (child.exitCode !== null || performance.now() > untilMs)
        throw new Error(
          `Kafka does not come up: ${readFileSync(join(this.#home(one), "broker.log"), "utf8").slice(-2_000)}`,
        );
      await pause(100);
    }
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await Promise.all(this.#all.map((one) => this.killOne(one.id, signal)));
  }

  async killOne(id: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const one = this.#all[id] as One;
    one.child?.kill("SIGCONT");
    one.child?.kill(signal);
    await one.ended;
  }

  signal(signal: NodeJS.Signals): void {
    for (const { child } of this.#all) child?.kill(signal);
  }

  /** Which broker leads the partition. */
  async leaderOf(topic: string, partition: number): Promise<number> {
    return this.#asAdmin(async (admin) => {
      const metadata = await admin.metadata({ topics: [topic] });
      return (metadata.topics.get(topic)?.partitions[partition]?.leader ?? 0) - 1;
    });
  }

  /** Which broker coordinates the transactions of this id. */
  async coordinatorOf(transactionalId: string): Promise<number> {
    return this.#asAdmin(async (admin) => {
      const [found] = await admin.findCoordinator({
        keyType: FindCoordinatorKeyTypes.TRANSACTION,
        keys: [transactionalId],
      });
      return (found?.nodeId ?? 0) - 1;
    });
  }

  async createTopic(topic: string, partitions: number, configs: Properties = {}): Promise<void> {
    const count = this.#all.length;
    await this.#asAdmin((admin) =>
      admin.createTopics({
        topics: [topic],
        partitions,
        replicas: Math.min(3, count),
        configs: Object.entries(configs).map(([name, value]) => ({ name, value })),
      }),
    );
  }

  /** As kcat reads it, in the order of each partition. */
  read(topic: string, isolation: "read_committed" | "read_uncommitted" = "read_committed"): readonly ReadRecord[] {
    const { stdout, stderr, status } = spawnSync(
      "kcat",
      [
        "-b",
        this.judgeAddress,
        "-C",
        "-t",
        topic,
        "-e",
        "-q",
        "-X",
        `isolation.level=${isolation}`,
        "-f",
        "%p\\t%o\\t%k\\t%h\\t%s\\n",
      ],
      { encoding: "utf8", maxBuffer: 1 << 30 },
    );
    if (status !== 0) throw new Error(`kcat: ${stderr}`);
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [partition = "", offset = "", key = "", headers = "", ...value] = line.split("\t");
        return { partition: Number(partition), offset: Number(offset), key, headers, value: value.join("\t") };
      });
  }

  /** How many records the topic has at most: what ends a transaction counts as one, too. */
  async written(topic: string, partitions: number): Promise<number> {
    const [found] = await this.#asAdmin((admin) =>
      admin.listOffsets({
        topics: [
          {
            name: topic,
            partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1n })),
          },
        ],
      }),
    );
    return (found?.partitions ?? []).reduce((sum, { offset }) => sum + Number(offset), 0);
  }

  /** How many records kcat reads with `read_committed`. */
  committed(topic: string): number {
    const { stdout } = spawnSync(
      "sh",
      ["-c", `kcat -b ${this.judgeAddress} -C -t ${topic} -e -q -X isolation.level=read_committed -f 'x\n' | wc -l`],
      { encoding: "utf8" },
    );
    return Number(stdout);
  }

  get judgeAddress(): string {
    return this.#judge.map((port) => `127.0.0.1:${port}`).join(",");
  }

  /** Grants rights to a user, as `kafka-acls.sh` does. */
  async allow(
    user: string,
    resource: { readonly type: "topic" | "transactional-id"; readonly prefix: string },
    rights: readonly ("Read" | "Write" | "Describe")[],
  ): Promise<void> {
    await this.#asAdmin((admin) =>
      admin.createAcls({
        creations: rights.map((right) => ({
          resourceType: resource.type === "topic" ? ResourceTypes.TOPIC : ResourceTypes.TRANSACTIONAL_ID,
          resourceName: resource.prefix,
          resourcePatternType: ResourcePatternTypes.PREFIXED,
          principal: `User:${user}`,
          host: "*",
          operation: AclOperations[right.toUpperCase() as "READ" | "WRITE" | "DESCRIBE"],
          permissionType: AclPermissionTypes.ALLOW,
        })),
      }),
    );
  }

  async #asAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin({ clientId: "test", bootstrapBrokers: this.judgeAddress.split(","), strict: true });
    try {
      return await use(admin);
    } finally {
      await admin.close();
    }
  }

  #home({ id }: Pick<One, "id">): string {
    return join(this.#options.folder, `broker-${id}`);
  }

  #config(one: Pick<One, "id">): string {
    return join(this.#home(one), "server.properties");
  }

  #format(one: One): void {
    mkdirSync(this.#home(one), { recursive: true });
    writeFileSync(
      this.#config(one),
      Object.entries(this.#properties(one))
        .map(([key, value]) => `${key}=${value}\n`)
        .join(""),
    );
    const { status, stdout, stderr } = spawnSync(
      "java",
      [
        ...JVM,
        "-cp",
        `${this.#lib}/*`,
        "kafka.tools.StorageTool",
        "format",
        "-t",
        CLUSTER_ID,
        "-c",
        this.#config(one),
        ...(this.#options.format ?? []),
      ],
      { encoding: "utf8" },
    );
    if (status !== 0) throw new Error(`Kafka's disk cannot be formatted: ${stdout}${stderr}`);
  }

  #properties({ id, port, controller }: One): Properties {
    const { listeners = {}, properties, announced } = this.#options;
    const more = Array.from(this.#more, ([name, at]) => `,${name}://127.0.0.1:${at}`).join("");
    const protocols = Object.entries(listeners)
      .map(([name, protocol]) => `,${name}:${protocol}`)
      .join("");
    const count = this.#all.length;
    const replicas = String(Math.min(3, count));
    const inSync = count >= 3 ? "2" : "1";
    return {
      "process.roles": "broker,controller",
      "node.id": String(id + 1),
      "controller.quorum.voters": this.#all.map((one) => `${one.id + 1}@127.0.0.1:${one.controller}`).join(","),
      listeners: `CLIENT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller},JUDGE://127.0.0.1:${this.#judge[id]}${more}`,
      "advertised.listeners": `CLIENT://127.0.0.1:${announced?.[id] ?? port},JUDGE://127.0.0.1:${this.#judge[id]}${more}`,
      "listener.security.protocol.map": `CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,JUDGE:PLAINTEXT${protocols}`,
      "inter.broker.listener.name": "JUDGE",
      "controller.listener.names": "CONTROLLER",
      "log.dirs": join(this.#home({ id }), "data"),
      "num.partitions": "4",
      "offsets.topic.num.partitions": "1",
      "transaction.state.log.num.partitions": "2",
      "offsets.topic.replication.factor": replicas,
      "transaction.state.log.replication.factor": replicas,
      "transaction.state.log.min.isr": inSync,
      "default.replication.factor": replicas,
      "min.insync.replicas": inSync,
      "share.coordinator.state.topic.num.partitions": "1",
      "share.coordinator.state.topic.replication.factor": replicas,
      "share.coordinator.state.topic.min.isr": inSync,
      "group.initial.rebalance.delay.ms": "0",
      "auto.create.topics.enable": "false",
      "controlled.shutdown.enable": "false",
      "num.network.threads": "2",
      "num.io.threads": "4",
      "background.threads": "2",
      "log.cleaner.threads": "1",
      "log.cleaner.dedupe.buffer.size": "16777216",
      ...properties,
    };
  }
}

/** As kcat prints it. */
export interface ReadRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly headers: string;
  readonly value: string;
}

/** Asks for the versions of the broker's requests, which it answers only when it is up. */
function answers(port: number): Promise<boolean> {
  const request = Buffer.alloc(14);
  request.writeInt32BE(10, 0);
  request.writeInt16BE(18, 4);
  request.writeInt32BE(7, 8);
  request.writeInt16BE(-1, 12);
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(request))
      .on("data", () => {
        socket.destroy();
        resolve(true);
      })
      .on("error", () => resolve(false))
      .on("close", () => resolve(false));
  });
}
