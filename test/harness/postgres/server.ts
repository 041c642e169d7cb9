/**
 * A real PostgreSQL (Debian package postgresql) with a folder of its own. It refuses to run as root, so a
 * test that runs as root starts it as `nobody`. psql, which shares no code with the program, is the judge.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "pg";
import { freePort } from "../free-port.ts";

const READY_WITHIN_MS = 240_000;
/** Debian keeps the server's programs outside PATH. */
const DEBIAN = "/usr/lib/postgresql";
const NEEDED = ["initdb", "pg_basebackup", "pg_dump", "pg_restore", "postgres", "psql"] as const;
export const SUPERUSER = "postgres";
export const SUPERUSER_PASSWORD = "superuser's password";

/** PEM. */
export interface ServerTls {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** What of the real parts is missing on this machine; undefined when all are there. */
export function missingPostgresParts(): string | undefined {
  if (process.platform === "win32") return "PostgreSQL is started on Linux only";
  const missing = NEEDED.filter((name) => programPath(name) === undefined);
  if (missing.length > 0) return `${missing.join(", ")} of PostgreSQL is not installed`;
  return process.getuid?.() === 0 && nobody() === undefined ? "there is no account nobody" : undefined;
}

/** Who runs a server that refuses to run as root; undefined: who runs the test. */
export function serverAccount(): Account | undefined {
  return process.getuid?.() === 0 ? nobody() : undefined;
}

/** Where a program of PostgreSQL is. */
export function programPath(name: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  // One version for all of them: a server does not start on files of another.
  return [...versions.map((version) => join(DEBIAN, version, "bin")), ...folders]
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

function nobody(): Account | undefined {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith("nobody:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

export class PostgresServer {
  readonly port: number;
  readonly #folder: string;
  readonly #account: Account | undefined;
  readonly #settings: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  private constructor(
    folder: string,
    port: number,
    account: Account | undefined,
    settings: Readonly<Record<string, string>>,
  ) {
    this.#folder = folder;
    this.port = port;
    this.#account = account;
    this.#settings = settings;
  }

  /** Makes a cluster in a new folder and starts it. `settings` are lines of postgresql.conf. */
  static async start(settings: Readonly<Record<string, string>> = {}, tls?: ServerTls): Promise<PostgresServer> {
    const server = await PostgresServer.#inNewFolder({
      // It has to survive a kill and not a crash of the machine: the system keeps what was written.
      fsync: "off",
      full_page_writes: "off",
      shared_buffers: "16MB",
      max_connections: "60",
      autovacuum_naptime: "600",
      unix_socket_directories: "''",
      listen_addresses: "'127.0.0.1'",
      ...(tls === undefined ? {} : { ssl: "on" }),
      ...settings,
    });
    return server.#started(() => {
      server.#makeCluster();
      if (tls === undefined) return;
      server.#write("server.crt", tls.certificatePem);
      server.#write("server.key", tls.keyPem);
    });
  }

  /**
   * A copy of this server that follows it, and takes its place after `select pg_promote()`.
   *
   * @param port where nothing listens any more; else a free one.
   */
  async startStandby(port?: number): Promise<PostgresServer> {
    const standby = await PostgresServer.#inNewFolder({}, port);
    return standby.#started(() => {
      const from = ["-h", "127.0.0.1", "-p", String(this.port), "-U", SUPERUSER];
      const { status, stderr } = spawnSync(
        programPath("pg_basebackup") ?? "pg_basebackup",
        [...from, "-D", standby.#data, "-R", "-c", "fast", "--no-sync"],
        {
          encoding: "utf8",
          env: { PATH: process.env["PATH"] ?? "", PGPASSWORD: SUPERUSER_PASSWORD },
          ...this.#account,
        },
      );
      if (status !== 0) throw new Error(`no standby can be made: ${stderr}`);
    });
  }

  static async #inNewFolder(settings: Readonly<Record<string, string>>, port?: number): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), "postgres-"));
    const account = serverAccount();
    if (account !== undefined) chownSync(folder, account.uid, account.gid);
    return new PostgresServer(folder, port ?? (await freePort()), account, settings);
  }

  async #started(prepare: () => void): Promise<this> {
    try {
      prepare();
      await this.startAgain();
    } catch (error) {
      await this.remove();
      throw error;
    }
    return this;
  }

  /** Into the cluster's folder, for the server alone. */
  #write(name: string, content: string): void {
    const path = join(this.#data, name);
    writeFileSync(path, content, { mode: 0o600 });
    if (this.#account !== undefined) chownSync(path, this.#account.uid, this.#account.gid);
  }

  /** Where a fleet connects to the database that is made with every cluster. */
  get url(): string {
    return `postgres://127.0.0.1:${this.port}/postgres`;
  }

  /** After `kill`. Resolves when it takes connections. */
  async startAgain(): Promise<void> {
    const log = openSync(join(this.#folder, "log"), "a");
    const child = spawn(programPath("postgres") ?? "postgres", ["-D", this.#data, "-p", String(this.port)], {
      stdio: ["ignore", log, log],
      ...this.#account,
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
    const untilMs = performance.now() + READY_WITHIN_MS;
    while (this.#psql("select 1").status !== 0) {
      if (child.exitCode !== null || performance.now() > untilMs)
        throw new Error(`PostgreSQL does not come up: ${this.log().slice(-2_000)}`);
      await pause(50);
    }
  }

  /**
   * From now on each commit waits until a standby has it, or none does. A reload is over long before the
   * server's processes have read the setting, and one of them decides for all whether commits wait.
   */
  async waitForStandby(isSynchronous: boolean): Promise<void> {
    const names = isSynchronous ? "*" : "";
    this.query(`alter system set synchronous_standby_names = '${names}'`);
    this.query("select pg_reload_conf()");
    while (this.query("select current_setting('synchronous_standby_names') || '.'")[0] !== `${names}.`) await pause(20);
    // A new session has read it, so all processes were told. The checkpointer decides, and reads it before it
    // begins its next checkpoint.
    for (let checkpoints = 0; checkpoints < 2; checkpoints += 1) this.query("checkpoint");
  }

  /** Resolves when a reader of this standby sees all that the primary has committed before. */
  async hasAllOf(primary: PostgresServer): Promise<void> {
    const [written = ""] = primary.query("select pg_current_wal_flush_lsn()");
    while (this.query(`select pg_last_wal_replay_lsn() >= '${written}'`)[0] !== "t") await pause(20);
  }

  /** `SIGINT` ends it as its service does, `SIGQUIT` as a crash: the next start recovers. */
  async kill(signal: "SIGINT" | "SIGQUIT" = "SIGQUIT"): Promise<void> {
    this.#child?.kill("SIGCONT");
    this.#child?.kill(signal);
    await this.#ended;
    this.#child = undefined;
  }

  /**
   * From now on the table is empty and nothing fits into it: its file is one for which the system refuses
   * each write for lack of space. `truncate` gives it a new file, and ends that.
   */
  async withoutSpace(table: string): Promise<void> {
    const client = await this.session();
    try {
      // Nobody else opens the new file before it is replaced.
      await client.query("begin");
      await client.query(`truncate ${table}`);
      const { rows } = await client.query("select pg_relation_filepath($1) as path", [table]);
      const path = join(this.#data, (rows[0] as { path: string }).path);
      rmSync(path);
      symlinkSync("/dev/full", path);
      await client.query("commit");
    } finally {
      await client.end();
    }
  }

  /** As if its host had lost power: all of its processes end in one moment, and say nothing. */
  async die(): Promise<void> {
    const { pid } = this;
    // It would restart the others.
    process.kill(pid, "SIGSTOP");
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    const [, , , , , , segment = ""] = readFileSync(join(this.#data, "postmaster.pid"), "utf8").split("\n");
    for (const child of children) process.kill(Number(child), "SIGKILL");
    process.kill(pid, "SIGKILL");
    await this.#ended;
    this.#child = undefined;
    // What a normal stop would have given back: PostgreSQL's lock on its folder.
    spawnSync("ipcrm", ["-m", segment.trim().split(/\s+/)[1] ?? ""]);
  }

  /** Ends it and deletes its folder; also after a start that failed. */
  async remove(): Promise<void> {
    if (this.#child !== undefined) await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Of the process that starts all others; -1 while it does not run. */
  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** What psql prints: a line for each row, columns between `|`. Throws with what the server says. */
  query(sql: string): string[] {
    const { status, stdout, stderr } = this.#psql(sql);
    if (status !== 0) throw new Error(stderr);
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** A connection of the superuser, for a transaction of several statements. */
  async session(): Promise<Client> {
    const client = new Client({
      host: "127.0.0.1",
      port: this.port,
      user: SUPERUSER,
      password: SUPERUSER_PASSWORD,
      database: "postgres",
    });
    await client.connect();
    return client;
  }

  /** Runs a program of PostgreSQL that finds this server by itself. Throws with what it says. */
  run(program: string, args: readonly string[]): void {
    const { status, stderr } = this.#asSuperuser(program, args);
    if (status !== 0) throw new Error(stderr);
  }

  log(): string {
    const path = join(this.#folder, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  get #data(): string {
    return join(this.#folder, "data");
  }

  #makeCluster(): void {
    const passwordFile = join(this.#folder, "password");
    writeFileSync(passwordFile, SUPERUSER_PASSWORD);
    chmodSync(passwordFile, 0o644);
    const cluster = ["-D", this.#data, "-U", SUPERUSER, "-E", "UTF8", "--no-locale", "--no-sync"];
    const { status, stdout, stderr } = spawnSync(
      programPath("initdb") ?? "initdb",
      [...cluster, "-A", "scram-sha-256", `--pwfile=${passwordFile}`],
      { encoding: "utf8", ...this.#account },
    );
    if (status !== 0) throw new Error(`the cluster cannot be made: ${stdout}${stderr}`);
    const lines = Object.entries(this.#settings).map(([key, value]) => `${key} = ${value}\n`);
    writeFileSync(join(this.#data, "postgresql.auto.conf"), lines.join(""));
  }

  #psql(sql: string) {
    return this.#asSuperuser("psql", ["-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtXc", sql]);
  }

  #asSuperuser(program: string, args: readonly string[]) {
    return spawnSync(programPath(program) ?? program, args, {
      encoding: "utf8",
      env: {
        PATH: process.env["PATH"] ?? "",
        PGHOST: "127.0.0.1",
        PGPORT: String(this.port),
        PGUSER: SUPERUSER,
        PGPASSWORD: SUPERUSER_PASSWORD,
      },
    });
  }
}
