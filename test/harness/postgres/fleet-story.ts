/**
 * Members of a fleet as processes: the program from its sources, a simulator as Microsoft, a real PostgreSQL.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "@jest/globals";
import { childEnvironment } from "../child-environment.ts";
import { consult } from "../oracle/main.ts";
import type { Ready } from "../simulator/start.ts";
import { tenantLines } from "../simulator/tenant-lines.ts";
import { type PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "./server.ts";

const MAIN = join(import.meta.dirname, "../../../src/main/main.ts");
const WITHIN_MS = 240_000;
const ROLE = "collector";
const PASSWORD = "the collector's password";

export interface MemberProcess {
  readonly name: string;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

interface Event {
  readonly key: string;
  readonly text: string;
}

export interface FleetStoryOptions {
  readonly folder: string;
  /** The fleet's name. */
  readonly name: string;
  readonly server: PostgresServer;
  readonly ready: Ready;
  /** Each with the port through which it reaches the database. */
  readonly members: Readonly<Record<string, number>>;
}

export class FleetStory {
  readonly schema: string;
  readonly #options: FleetStoryOptions;
  readonly #children: ChildProcess[] = [];
  #log = "";

  constructor(options: FleetStoryOptions) {
    const { folder, name, server, ready, members } = options;
    this.#options = options;
    this.schema = `defender_mssp_${name}`;
    mkdirSync(this.#home, { recursive: true });
    const password = join(folder, name, "password");
    writeFileSync(password, PASSWORD, { mode: 0o600 });
    for (const [member, port] of Object.entries(members))
      writeFileSync(
        this.#config(member),
        [
          ...tenantLines(ready, { poll_seconds: "1" }),
          "outputs[0].type=json-lines",
          `outputs[0].path=${this.#out(member)}`,
          `state_dir=${join(this.#home, member)}`,
          `fleet.url=postgres://127.0.0.1:${port}/postgres`,
          `fleet.user=${ROLE}`,
          `fleet.password=file:${password}`,
          `fleet.name=${name}`,
          `fleet.member=${member}`,
          "",
        ].join("\n"),
      );
    server.query(`do $$ begin
      if not exists (select from pg_roles where rolname = '${ROLE}') then create role ${ROLE} login; end if; end $$;
      alter role ${ROLE} password '${PASSWORD.replaceAll("'", "''")}'`);
  }

  /** Makes the schema with the program, as its documentation says. */
  async init(): Promise<void> {
    const config = this.#config(Object.keys(this.#options.members)[0] as string);
    const child = spawn(process.execPath, [MAIN, "fleet", "init", "--config", config, "--owner", SUPERUSER], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment({ DEFENDER_MSSP_FLEET_OWNER_PASSWORD: SUPERUSER_PASSWORD }),
    });
    const closed = once(child, "close");
    const [rights, said] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const [code] = await closed;
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining("schema") });
    this.#options.server.query(rights);
  }

  /** What `doctor --fleet` prints, with its exit code. */
  async doctor(): Promise<string> {
    const config = this.#config(Object.keys(this.#options.members)[0] as string);
    const child = spawn(process.execPath, [MAIN, "doctor", "--fleet", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    const closed = once(child, "close");
    const [out, said] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const [code] = await closed;
    return `${out}${said}exit ${code}`;
  }

  start(member: string): MemberProcess {
    const child = spawn(process.execPath, [MAIN, "run", "--config", this.#config(member)], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    this.#children.push(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        this.#log += `${member}: ${text.toString()}`;
      });
    return {
      name: member,
      ended: new Promise((done) => child.once("close", (code) => done(code))),
      kill: (signal) => void child.kill(signal),
    };
  }

  /** What all members said. */
  get log(): string {
    return this.#log;
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    const end = performance.now() + WITHIN_MS;
    while (!holds()) {
      if (performance.now() > end)
        throw new Error(`not within ${WITHIN_MS / 1000} s: ${what}\n${this.#log.slice(-6_000)}`);
      await pause(100);
    }
  }

  /** How many shards each live member owns. */
  owners(): Readonly<Record<string, number>> {
    const rows = this.#options.server.query(
      `select m.name || '|' || count(*) from ${this.schema}.shard s join ${this.schema}.member m on m.boot = s.owner
       where m.alive_until > clock_timestamp() group by m.name`,
    );
    return Object.fromEntries(rows.map((row) => [row.split("|")[0] ?? "", Number(row.split("|")[1])]));
  }

  get files(): readonly string[] {
    return Object.keys(this.#options.members).map((member) => this.#out(member));
  }

  /** Of one member; health and such left out. */
  eventsOf(member: string): readonly Event[] {
    if (!existsSync(this.#out(member))) return [];
    return readFileSync(this.#out(member), "utf8")
      .split("\n")
      .slice(0, -1)
      .flatMap((text) => {
        const { mssp } = JSON.parse(text) as { readonly mssp?: { readonly key: string } };
        return mssp === undefined ? [] : [{ key: mssp.key, text }];
      });
  }

  /** Distinct versions in the files of all members. */
  get delivered(): number {
    const { members } = this.#options;
    return new Set(Object.keys(members).flatMap((member) => this.eventsOf(member).map(({ key }) => key))).size;
  }

  /** Versions that were committed; each counts as often as it was. */
  get committed(): number {
    const [sum = ""] = this.#options.server.query(`select coalesce(sum(records), 0) from ${this.schema}.packet`);
    return Number(sum);
  }

  /**
   * Expects what a fleet promises, once all versions were delivered and every member has stopped: the store
   * has each once, no file has one twice, and a copy in another file is the same event. Returns how many
   * copies there are.
   */
  async expectWhole(all: number): Promise<number> {
    const { server, ready, members } = this.#options;
    const texts = new Map<string, string>();
    let copies = 0;
    for (const member of Object.keys(members)) {
      const events = this.eventsOf(member);
      expect(new Set(events.map(({ key }) => key)).size).toBe(events.length);
      for (const { key, text } of events) {
        if (texts.has(key)) copies += 1;
        expect(texts.get(key) ?? text).toBe(text);
        texts.set(key, text);
      }
    }
    expect(texts.size).toBe(all);
    expect(this.committed).toBe(all);
    const delivered = this.files.filter((file) => existsSync(file));
    const { totals } = await consult({ truth: ready.control_url, delivered, format: "jsonl" });
    expect(totals).toMatchObject({ shown: all, delivered: all, lost: 0, stale: 0, changed_bytes: 0, unknown: 0 });
    // Who is gone has left nothing behind that somebody would have to clean up.
    expect(server.query(`select count(*) from ${this.schema}.shard where owner is not null`)).toEqual(["0"]);
    return copies;
  }

  /** Ends what still runs. */
  end(): void {
    for (const child of this.#children.splice(0)) {
      child.kill("SIGCONT");
      child.kill("SIGKILL");
    }
  }

  get #home(): string {
    return join(this.#options.folder, this.#options.name);
  }

  #config(member: string): string {
    return join(this.#home, `${member}.properties`);
  }

  #out(member: string): string {
    return join(this.#home, `${member}.jsonl`);
  }
}
