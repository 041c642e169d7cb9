/**
 * A real PgBouncer (Debian package pgbouncer) in transaction mode: between two statements of a program its
 * connection to PostgreSQL may become another one. It refuses to run as root, as PostgreSQL does.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { freePort } from "../free-port.ts";
import {
  type PostgresServer,
  programPath,
  type ServerTls,
  SUPERUSER,
  SUPERUSER_PASSWORD,
  serverAccount,
} from "./server.ts";

const READY_WITHIN_MS = 240_000;
/** Debian keeps it where only root looks. */
const FOLDERS = ["/usr/sbin", ...(process.env["PATH"] ?? "").split(delimiter)];

export interface PoolerOptions {
  /** Of roles beside the superuser. */
  readonly passwords: Readonly<Record<string, string>>;
  /** Connections to the server for each role. Fewer than a member has, so that they are shared. */
  readonly size?: number;
  readonly tls?: ServerTls;
}

/** What of the real parts is missing on this machine; undefined when it is there. */
export function missingPooler(): string | undefined {
  return poolerPath() === undefined ? "pgbouncer is not installed" : undefined;
}

function poolerPath(): string | undefined {
  return FOLDERS.map((folder) => join(folder, "pgbouncer")).find((path) => existsSync(path));
}

export class Pooler {
  readonly port: number;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(port: number, folder: string, child: ChildProcess) {
    this.port = port;
    this.#folder = folder;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  /** Resolves when it takes connections. */
  static async start(server: Pick<PostgresServer, "port">, options: PoolerOptions): Promise<Pooler> {
    const { passwords, size = 1, tls } = options;
    const folder = mkdtempSync(join(tmpdir(), "pooler-"));
    const account = serverAccount();
    const port = await freePort();
    const write = (name: string, content: string): string => {
      const path = join(folder, name);
      writeFileSync(path, content, { mode: 0o600 });
      if (account !== undefined) chownSync(path, account.uid, account.gid);
      return path;
    };
    if (account !== undefined) chownSync(folder, account.uid, account.gid);
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    const users = { [SUPERUSER]: SUPERUSER_PASSWORD, ...passwords };
    const userFile = write(
      "users",
      Object.entries(users)
        .map(([user, password]) => `${quoted(user)} ${quoted(password)}\n`)
        .join(""),
    );
    const encryption =
      tls === undefined
        ? []
        : [
            "client_tls_sslmode = require",
            `client_tls_cert_file = ${write("server.crt", tls.certificatePem)}`,
            `client_tls_key_file = ${write("server.key", tls.keyPem)}`,
          ];
    const config = write(
      "pgbouncer.ini",
      [
        "[databases]",
        `* = host=127.0.0.1 port=${server.port}`,
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        `listen_port = ${port}`,
        "unix_socket_dir =",
        "auth_type = scram-sha-256",
        `auth_file = ${userFile}`,
        "pool_mode = transaction",
        `default_pool_size = ${size}`,
        `admin_users = ${SUPERUSER}`,
        `logfile = ${join(folder, "log")}`,
        // As installed it waits 15 s until it tries a server again that refused a connection.
        "server_login_retry = 1",
        ...encryption,
        "",
      ].join("\n"),
    );
    const child = spawn(poolerPath() ?? "pgbouncer", ["-q", config], { stdio: "ignore", ...account });
    const pooler = new Pooler(port, folder, child);
    const untilMs = performance.now() + READY_WITHIN_MS;
    while (pooler.#admin("show version").status !== 0) {
      if (child.exitCode !== null || performance.now() > untilMs) {
        const said = pooler.log();
        await pooler.remove();
        throw new Error(`PgBouncer does not come up: ${said}`);
      }
      await pause(50);
    }
    return pooler;
  }

  log(): string {
    const path = join(this.#folder, "log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Each connection to the server is made anew before its next statement. */
  reconnect(): void {
    const { status, stderr } = this.#admin("reconnect");
    if (status !== 0) throw new Error(stderr);
  }

  /** Ends it and deletes its folder. */
  async remove(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A question to PgBouncer itself. */
  #admin(sql: string) {
    const connection = ["-h", "127.0.0.1", "-p", String(this.port), "-U", SUPERUSER, "-d", "pgbouncer"];
    return spawnSync(programPath("psql") ?? "psql", [...connection, "-qAtXc", sql], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"] ?? "", PGPASSWORD: SUPERUSER_PASSWORD },
    });
  }
}
