/**
 * Members of a fleet as processes: the built executable, which must be there where real parts are required,
 * a simulator as Microsoft, a real PostgreSQL, and files or a fake HEC that get the events.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "@jest/globals";
import { childEnvironment } from "../child-environment.ts";
import { collectorProgram } from "../collector-program.ts";
import type { HecServer } from "../hec/server.ts";
import { consult } from "../oracle/main.ts";
import type { Ready } from "../simulator/start.ts";
import { tenantLines } from "../simulator/tenant-lines.ts";
import { type PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "./server.ts";

const { file: PROGRAM, before: BEFORE_ARGUMENTS } = collectorProgram();
const WITHIN_MS = 240_000;
const ROLE = "collector";
const PASSWORD = "the collector's password";

/** Of every member, for whoever stands between it and the database. */
export const MEMBER_LOGIN = { [ROLE]: PASSWORD };

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
  /** Each with the port through which it reaches the database, or one for each of its hosts. */
  readonly members: Readonly<Record<string, number | readonly number[]>>;
  /** Customers sign in with refresh tokens, which the fleet shares. */
  readonly refreshTokens?: boolean;
  /** What gets the events, with the file of those that count as indexed. Absent: a file of each member. */
  readonly hec?: { readonly server: HecServer; readonly indexed: string };
  /** Customers are in the database only, and `run` gets these flags. Absent: each member's file has them. */
  readonly rosterFlags?: readonly string[];
  /** Lines of another output, the same for every member: the test itself reads what it gets. */
  readonly output?: readonly string[];
}

export class FleetStory {
  readonly schema: string;
  readonly #options: FleetStoryOptions;
  readonly #children: ChildProcess[] = [];
  #log = "";
  #server: PostgresServer;

  constructor(options: FleetStoryOptions) {
    const { folder, name, server, ready, members, hec, refreshTokens = false, rosterFlags } = options;
    this.#options = options;
    this.#server = server;
    this.schema = `defender_mssp_${name.replaceAll("-", "_")}`;
    mkdirSync(this.#home, { recursive: true });
    const password = join(folder, name, "password");
    writeFileSync(password, PASSWORD, { mode: 0o600 });
    if (hec !== undefined) writeFileSync(this.#tokenFile, hec.server.ready.token, { mode: 0o600 });
    for (const [member, port] of Object.entries(members))
      writeFileSync(
        this.#config(member),
        [
          ...(rosterFlags === undefined
            ? tenantLines(ready, { poll_seconds: "1", ...(refreshTokens ? { auth: "refresh_token" } : {}) })
            : []),
          ...(refreshTokens ? [...tokenLines(ready), `fleet.key_file=${this.keyFile(member)}`] : []),
          ...this.#outputLines(member),
          `state_dir=${join(this.#home, member)}`,
          `fleet.url=postgres://${[port]
            .flat()
            .map((one) => `127.0.0.1:${one}`)
            .join(",")}/postgres`,
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

  /** From now on this one has the fleet's database. */
  failedOver(to: PostgresServer): void {
    this.#server = to;
  }

  /** Makes the schema with the program, as its documentation says. */
  async init(): Promise<void> {
    const config = this.#config(Object.keys(this.#options.members)[0] as string);
    const child = spawn(PROGRAM, [...BEFORE_ARGUMENTS, "fleet", "init", "--config", config, "--owner", SUPERUSER], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment({ DEFENDER_MSSP_FLEET_OWNER_PASSWORD: SUPERUSER_PASSWORD }),
    });
    const closed = once(child, "close");
    const [rights, said] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const [code] = await closed;
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining("schema") });
    this.#server.query(rights);
  }

  /** What `doctor --fleet` prints, with its exit code. */
  doctor(): Promise<string> {
    return this.ask(["doctor", "--fleet"], Object.keys(this.#options.members)[0] as string);
  }

  /** What a command with this member's configuration prints, with its exit code. */
  async ask(command: readonly string[], member: string, input = ""): Promise<string> {
    const child = spawn(PROGRAM, [...BEFORE_ARGUMENTS, ...command, "--config", this.#config(member)], {
      stdio: ["pipe", "pipe", "pipe"],
      env: childEnvironment(),
    });
    child.stdin.end(input);
    const closed = once(child, "close");
    const [out, said] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const [code] = await closed;
    return `${out}${said}exit ${code}`;
  }

  /** Changes a setting in the member's configuration. */
  configure(member: string, from: string | RegExp, to: string): void {
    const file = this.#config(member);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(from, to));
  }

  /** It waits for the database itself; what it ends with is its own affair. */
  start(member: string): MemberProcess {
    const child = this.#spawned(member);
    const ended = once(child, "close").then(([code]) => code as number | null);
    return { name: member, ended, kill: (signal) => void child.kill(signal) };
  }

  #spawned(member: string): ChildProcess {
    const { rosterFlags = [] } = this.#options;
    const child = spawn(PROGRAM, [...BEFORE_ARGUMENTS, "run", "--config", this.#config(member), ...rosterFlags], {
      stdio: ["ignore", "pipe", "pipe"],
      env: childEnvironment(),
    });
    this.#children.push(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        this.#log += `${member}: ${text.toString()}`;
      });
    return child;
  }

  /** Of a fleet with refresh tokens. */
  keyFile(member: string): string {
    return join(this.#home, `${member}.key`);
  }

  /** What all members said. */
  get log(): string {
    return this.#log;
  }

  async until(holds: () => boolean | Promise<boolean>, what: string | (() => string)): Promise<void> {
    const end = performance.now() + WITHIN_MS;
    while (!(await holds())) {
      if (performance.now() > end) {
        const missing = typeof what === "string" ? what : what();
        throw new Error(`not within ${WITHIN_MS / 1000} s: ${missing}\n${this.#log.slice(-6_000)}`);
      }
      await pause(100);
    }
  }

  /**
   * Resolves when a command says this. On a busy machine a member may renew late; then its shards have no
   * owner for a moment, also when they had one just before.
   */
  async said(ask: () => Promise<string>, expected: RegExp): Promise<void> {
    let text = "";
    await this.until(
      async () => {
        text = await ask();
        return expected.test(text);
      },
      () => `a command says ${expected}; it said\n${text}`,
    );
  }

  /** How many shards each live member owns. */
  owners(): Readonly<Record<string, number>> {
    const rows = this.#server.query(
      `select m.name || '|' || count(*) from ${this.schema}.shard s join ${this.schema}.member m on m.boot = s.owner
       where m.alive_until > clock_timestamp() group by m.name`,
    );
    return Object.fromEntries(rows.map((row) => [row.split("|")[0] ?? "", Number(row.split("|")[1])]));
  }

  /** What got the events: a file of each member, or all that was indexed. */
  get files(): readonly string[] {
    const { members, hec } = this.#options;
    return hec === undefined ? Object.keys(members).map((member) => this.#out(member)) : [hec.indexed];
  }

  /** Of one member; health and such left out. */
  eventsOf(member: string): readonly Event[] {
    return eventsIn(this.#out(member));
  }

  /** Health in the member's file, oldest first: a customer or the fleet, and the failure or `ok`. */
  healthOf(member: string): string[] {
    return this.#healthIn(member).map(({ tenant, failure }) => `${tenant} ${failure ?? "ok"}`);
  }

  /** The same with what it says and the next step. */
  saidOf(member: string): string[] {
    return this.#healthIn(member).map(({ tenant, say, next_step }) => `${tenant}: ${say} ${next_step}`);
  }

  #healthIn(member: string) {
    if (!existsSync(this.#out(member))) return [];
    const lines = readFileSync(this.#out(member), "utf8").split("\n").slice(0, -1);
    return lines.flatMap((text) => {
      const { tenant, streams } = JSON.parse(text) as {
        readonly tenant?: string;
        readonly streams?: readonly {
          readonly failure: string | null;
          readonly say: string | null;
          readonly next_step: string | null;
        }[];
      };
      return streams?.map((stream) => ({ tenant, ...stream })) ?? [];
    });
  }

  /** Distinct versions in the files of all members, or that were indexed. */
  get delivered(): number {
    return new Set(this.files.flatMap((file) => eventsIn(file).map(({ key }) => key))).size;
  }

  /** Packets that no output has confirmed yet. */
  get waiting(): number {
    const { schema } = this;
    const [count = ""] = this.#server.query(
      `select count(*) from ${schema}.packet p join ${schema}.delivery d on d.stream = p.stream where p.seq > d.seq`,
    );
    return Number(count);
  }

  /** Versions that were committed; each counts as often as it was. */
  get committed(): number {
    const [sum = ""] = this.#server.query(`select coalesce(sum(records), 0) from ${this.schema}.packet`);
    return Number(sum);
  }

  /**
   * Expects what a fleet promises, once all versions were delivered and every member has stopped: the store
   * has each once, no file of a member has one twice, and each copy is the same event. Returns how many
   * copies there are.
   *
   * @param options `mayRepeat`: a member may have written an event of which the database then knew nothing.
   */
  async expectWhole(all: number, { mayRepeat = false } = {}): Promise<number> {
    const { ready, hec } = this.#options;
    const server = this.#server;
    const texts = new Map<string, string>();
    let copies = 0;
    for (const file of this.files) {
      const events = eventsIn(file);
      if (hec === undefined && !mayRepeat) expect(new Set(events.map(({ key }) => key)).size).toBe(events.length);
      for (const { key, text } of events) {
        if (texts.has(key)) copies += 1;
        expect(texts.get(key) ?? text).toBe(text);
        texts.set(key, text);
      }
    }
    expect(texts.size).toBe(all);
    expect([this.committed, this.waiting]).toEqual([all, 0]);
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

  get #tokenFile(): string {
    return join(this.#home, "hec-token");
  }

  #outputLines(member: string): readonly string[] {
    const { hec, output } = this.#options;
    if (output !== undefined) return output;
    if (hec === undefined) return ["outputs[0].type=json-lines", `outputs[0].path=${this.#out(member)}`];
    const { url, ca_file } = hec.server.ready;
    return [
      "outputs[0].type=hec",
      `outputs[0].urls=${url}`,
      `outputs[0].token=file:${this.#tokenFile}`,
      `outputs[0].ca_file=${ca_file}`,
      "outputs[0].ack=on",
    ];
  }
}

/** The refresh token that each customer's administrator was given. */
function tokenLines({ customers }: Ready): readonly string[] {
  return customers.map(({ refresh_token }, n) => `tenants[${n}].refresh_token=${refresh_token}`);
}

/** Whole lines with events; health and such left out. */
function eventsIn(file: string): readonly Event[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .flatMap((text) => {
      const { mssp } = JSON.parse(text) as { readonly mssp?: { readonly key: string } };
      return mssp === undefined ? [] : [{ key: mssp.key, text }];
    });
}
