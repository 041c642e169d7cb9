import { Client, type ClientConfig, type QueryConfig } from "pg";
import type { Sealed } from "../../model/sealed.ts";
import { SerialQueue } from "../../model/serial-queue.ts";
import { databaseUnreachable, sqlStateOf, statementFailed } from "./failures.ts";

/** One host of a database. */
export interface DatabaseHost {
  readonly host: string;
  readonly port: number;
}

export interface DatabaseAddress {
  /** The primary is one of them. */
  readonly hosts: readonly DatabaseHost[];
  readonly database: string;
  readonly user: string;
  readonly password?: Sealed;
}

export interface ConnectionsOptions {
  readonly address: DatabaseAddress;
  /** How TLS verifies that host; undefined: without TLS, for a database on this machine. */
  readonly tlsFor: (host: string) => ClientConfig["ssl"] | undefined;
  /** Statements under way at once. */
  readonly count: number;
  readonly connectWithinMs?: number;
  /** A statement that takes longer may have been committed: the connection is given up. */
  readonly answerWithinMs?: number;
  /** The same for all connections of one process to one database. */
  readonly primary?: PrimaryHost;
}

/**
 * Which of the hosts is used. Two of them may say that they are the primary: connections that share this are
 * never at both.
 */
export class PrimaryHost {
  /** The one that is tried first: the one that was the primary last, while it answers. */
  first = 0;
  /** Where the newest connection is. */
  current = 0;
}

const CONNECT_WITHIN_MS = 3_000;
const ANSWER_WITHIN_MS = 10_000;
/** `read_only_sql_transaction`: the primary became a standby. */
const READ_ONLY = "25006";

const WHO_ANSWERS = { text: "select pg_is_in_recovery() as standby, pg_backend_pid() as pid" };

/** What the statements of a fleet need. One statement is one transaction; there is no session state. */
export interface Database {
  /**
   * Throws Failure: `fleet-unreachable` (nothing was sent), `fleet-refused` (the server did nothing),
   * `fleet-unsettled` (it may have been committed).
   */
  query<Row>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  /** A pooler answered the last new connection. */
  readonly isPooled?: boolean;
}

interface Connection {
  client: Client | undefined;
  /** Which of the hosts it is. */
  host: number;
  readonly queue: SerialQueue;
  waiting: number;
}

/** Connections to the primary, made when they are needed and again after they broke. */
export class Connections implements Database {
  readonly #options: ConnectionsOptions;
  readonly #all: readonly Connection[];
  readonly #primary: PrimaryHost;
  #isPooled = false;
  #closed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#primary = options.primary ?? new PrimaryHost();
    this.#all = Array.from({ length: options.count }, () => ({
      client: undefined,
      host: 0,
      queue: new SerialQueue(),
      waiting: 0,
    }));
  }

  async query<Row>(sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    // One statement at a time on each: what still waits when the connection breaks was not sent.
    const connection = this.#all.reduce((least, one) => (one.waiting < least.waiting ? one : least));
    connection.waiting += 1;
    try {
      return await connection.queue.run(() => this.#send<Row>(connection, sql, values));
    } finally {
      connection.waiting -= 1;
    }
  }

  get isPooled(): boolean {
    return this.#isPooled;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      this.#all.map(async (connection) => {
        await connection.queue.idle();
        await connection.client?.end().catch(() => undefined);
        connection.client = undefined;
      }),
    );
  }

  async #send<Row>(connection: Connection, sql: string, values: readonly unknown[]): Promise<readonly Row[]> {
    if (this.#closed) throw databaseUnreachable(this.#where, new Error("closed"));
    // A primary that was replaced still answers what changes nothing, and that a stream is another's.
    if (connection.client !== undefined && connection.host !== this.#primary.current) {
      dropped(connection.client);
      connection.client = undefined;
    }
    connection.client ??= await this.#connect(connection, (client) => {
      if (connection.client === client) connection.client = undefined;
    });
    const { client } = connection;
    try {
      return (await client.query(sql, [...values])).rows as readonly Row[];
    } catch (error) {
      const failure = statementFailed(error);
      if (failure.code !== "fleet-refused" || sqlStateOf(error) === READ_ONLY) {
        if (connection.client === client) connection.client = undefined;
        dropped(client);
        // A primary that others have replaced, and that waits for its standby, still says that it is one.
        this.#primary.first = (connection.host + 1) % this.#options.address.hosts.length;
      }
      throw failure;
    }
  }

  async #connect(connection: Connection, broken: (client: Client) => void): Promise<Client> {
    const { address, connectWithinMs = CONNECT_WITHIN_MS } = this.#options;
    const { hosts } = address;
    const { first } = this.#primary;
    let cause: unknown;
    for (let tried = 0; tried < hosts.length; tried += 1) {
      const index = (first + tried) % hosts.length;
      const client = new Client(this.#configOf(hosts[index] as DatabaseHost));
      // Without a listener a connection that breaks while nobody waits for it would end the process.
      client.on("error", () => broken(client));
      client.on("end", () => broken(client));
      try {
        await client.connect();
        // A pooler takes connections while its server is gone, and lets the first statement wait.
        const { rows } = await client.query({ ...WHO_ANSWERS, query_timeout: connectWithinMs } as QueryConfig);
        const { standby, pid } = rows[0] as { standby: boolean; pid: number };
        if (!standby) {
          this.#primary.first = index;
          this.#primary.current = index;
          connection.host = index;
          this.#isPooled = pid !== processIdOf(client);
          return client;
        }
        cause = new Error("it is a standby");
      } catch (error) {
        cause = error;
      }
      dropped(client);
    }
    throw databaseUnreachable(this.#where, cause);
  }

  #configOf({ host, port }: DatabaseHost): ClientConfig {
    const { address, tlsFor, connectWithinMs = CONNECT_WITHIN_MS, answerWithinMs = ANSWER_WITHIN_MS } = this.#options;
    const { database, user, password } = address;
    return {
      host,
      port,
      database,
      user,
      // A function, because the driver takes an empty text for none and then reads PGPASSWORD and .pgpass.
      password: () => password?.open((value) => value) ?? "",
      application_name: "defender-mssp",
      ssl: tlsFor(host) ?? false,
      keepAlive: true,
      connectionTimeoutMillis: connectWithinMs,
      query_timeout: answerWithinMs,
    };
  }

  get #where(): string {
    return this.#options.address.hosts.map(({ host, port }) => `${host}:${port}`).join(", ");
  }
}

/** As whoever took the connection named it: a pooler gives a number of its own, not that of the server. */
function processIdOf(client: Client): number | undefined {
  return (client as unknown as { processID?: number }).processID;
}

/** Not `end`, which waits for the answer of a statement that hangs. */
function dropped(client: Client): void {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}
