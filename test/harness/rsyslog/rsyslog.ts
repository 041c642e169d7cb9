/**
 * A real syslog receiver: rsyslog (Debian packages rsyslog and rsyslog-gnutls), with a folder and a
 * configuration of its own.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { freePort } from "../free-port.ts";

export interface RsyslogOptions {
  readonly folder: string;
  readonly protocol: "tls" | "tcp" | "udp";
  /** PEM files, for tls. */
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  /** Ask for a certificate of the sender's, signed by caFile. */
  readonly mutual?: boolean;
}

const READY_WITHIN_MS = 120_000;
/** Established, and closed by the sender only: the receiver has not read the end. */
const UNREAD_STATES = new Set(["01", "08"]);

export class Rsyslog {
  /** What arrived, a line per message as it came. */
  readonly out: string;
  readonly port: number;
  readonly #options: RsyslogOptions;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  static isPresent(): boolean {
    return spawnSync("rsyslogd", ["-v"]).error === undefined;
  }

  static async prepare(options: RsyslogOptions): Promise<Rsyslog> {
    return new Rsyslog(options, await freePort());
  }

  private constructor(options: RsyslogOptions, port: number) {
    this.#options = options;
    this.port = port;
    this.out = join(options.folder, "received.log");
    writeFileSync(join(options.folder, "rsyslog.conf"), this.#configuration());
  }

  async start(): Promise<void> {
    const { folder, protocol } = this.#options;
    const child = spawn("rsyslogd", ["-n", "-f", join(folder, "rsyslog.conf"), "-i", join(folder, "rsyslog.pid")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaints = "";
    child.stderr?.on("data", (piece: Buffer) => {
      complaints += piece.toString();
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once("close", () => resolve()));
    if (protocol === "udp") {
      await pause(1_000);
      return;
    }
    const untilMs = performance.now() + READY_WITHIN_MS;
    while (!(await takesConnections(this.port))) {
      if (child.exitCode !== null || performance.now() > untilMs)
        throw new Error(`rsyslog does not come up: ${complaints}`);
      await pause(50);
    }
  }

  /** Of the process that runs. */
  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  /** Stops it as an administrator does. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** Ends it as a crash does: what it had received and not written is lost. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Stops it when it has read all that ended senders have sent, so that `received` has only whole lines. */
  async stopAfterSenders(): Promise<void> {
    while (hasConnections(this.port)) await pause(50);
    await this.stop();
  }

  get received(): string {
    return existsSync(this.out) ? readFileSync(this.out, "utf8") : "";
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
  }

  #configuration(): string {
    const { folder, protocol, caFile, certificateFile, keyFile, mutual } = this.#options;
    const driver = `StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="${mutual ? "x509/certvalid" : "anon"}"`;
    const input = protocol === "udp" ? "imudp" : "imtcp";
    return [
      `global(workDirectory="${folder}"${protocol === "tls" ? ` DefaultNetstreamDriverCAFile="${caFile}" DefaultNetstreamDriverCertFile="${certificateFile}" DefaultNetstreamDriverKeyFile="${keyFile}"` : ""})`,
      `module(load="${input}"${protocol === "tls" ? ` ${driver}` : ""})`,
      'template(name="raw" type="string" string="%rawmsg%\\n")',
      `ruleset(name="keep") { action(type="omfile" file="${this.out}" template="raw" flushOnTXEnd="on" asyncWriting="off") }`,
      `input(type="${input}" port="${this.port}" ruleset="keep")`,
      "",
    ].join("\n");
  }
}

/** Whether anybody's bytes may still come to this port, as the kernel says. */
function hasConnections(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["/proc/net/tcp", "/proc/net/tcp6"]
    .filter((table) => existsSync(table))
    .flatMap((table) => readFileSync(table, "utf8").trim().split("\n").slice(1))
    .map((row) => row.trim().split(/\s+/))
    .some(([, address = "", , state = ""]) => address.endsWith(local) && UNREAD_STATES.has(state));
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
