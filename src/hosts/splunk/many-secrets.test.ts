/**
 * Sixty inputs whose secrets were all typed in clear, against a splunkd that restarts the program for each
 * edit. Each start of the program is one `openSplunkHost`; time is a fake clock's.
 */
import { describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { FakeSplunkd, FakeStdout, splunkdAt } from "../../../test/harness/fakes/splunkd-rest.ts";
import { MASK } from "../../config/settings.ts";
import type { SplunkHost, SplunkWorld } from "./index.ts";
import { customerSecretId, openSplunkHost, PasswordStore, readRun } from "./index.ts";

const INPUTS = 60;
/** From the start of the process to its first request. */
const START_MS = 300;
const NAMES = Array.from({ length: INPUTS }, (_, i) => `customer ${i + 1}`);
const typedOf = (name: string) => `secret of ${name}`;
const settingsOf = (name: string) => ({
  tenant_id: `11111111-2222-3333-4444-${String(NAMES.indexOf(name)).padStart(12, "0")}`,
  client_id: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
  client_secret: typedOf(name),
});

interface Edits {
  readonly takeMs: number;
  /** splunkd works on one edit after the other. */
  readonly oneByOne: boolean;
  /** Edits during a restart lead to one restart each, or to one together. */
  readonly restart: "each" | "together";
}

/** splunkd and the starts of the program under it. */
class Host {
  readonly clock = new FakeClock();
  readonly fake = new FakeSplunkd();
  readonly log: string[] = [];
  starts = 0;
  /** Answered edits for which splunkd has not restarted the program yet. */
  #restartsDue = 0;
  #stop = new AbortController();
  readonly #stepMs: number;
  #lastEdit: Promise<void> = Promise.resolve();

  constructor(edits: Edits) {
    this.#stepMs = Math.min(200, Math.max(20, edits.takeMs / 10));
    this.fake.validating = () => {
      const before = edits.oneByOne ? this.#lastEdit : Promise.resolve();
      const work = before.then(() => this.clock.pause(edits.takeMs));
      this.#lastEdit = work;
      return work;
    };
    this.fake.edited = () => {
      this.#restartsDue = edits.restart === "each" ? this.#restartsDue + 1 : 1;
      // After the answer, which the program may still take.
      setImmediate(() => this.#stop.abort());
    };
  }

  /** All inputs are in a file that was there before splunkd started. */
  deployed(): this {
    for (const name of NAMES) this.fake.inputs.set(name, settingsOf(name));
    return this;
  }

  /** All inputs are saved at once, over REST. */
  saved(): this {
    for (const name of NAMES)
      void this.fake.send({
        method: "POST",
        url: "https://127.0.0.1:8089/servicesNS/nobody/search/data/inputs/defender_mssp",
        headers: {},
        body: new URLSearchParams({ name, ...settingsOf(name) }).toString(),
        route: { direct: true },
        headersTimeoutMs: 1,
      });
    return this;
  }

  isMasked(): boolean {
    return NAMES.every((name) => this.fake.inputs.get(name)?.["client_secret"] === MASK);
  }

  /** Lets the program collect between restarts until all inputs are there and masked. */
  async untilAllCollecting(): Promise<void> {
    for (;;) {
      const running = await this.untilCollecting();
      while (!this.#stop.signal.aborted && !this.isMasked()) await this.clock.advance(this.#stepMs);
      if (this.isMasked() && running.customers.length === INPUTS) return;
      await this.#passTime(running.close());
    }
  }

  /** Starts the program again and again until it would begin to collect. */
  async untilCollecting(): Promise<SplunkHost> {
    for (;;) {
      this.starts += 1;
      this.#stop = new AbortController();
      if (this.#restartsDue > 0) {
        this.#restartsDue -= 1;
        if (this.#restartsDue > 0) this.#stop.abort();
      }
      const stop = this.#stop.signal;
      await this.clock.advance(START_MS);
      const world = this.#world();
      const host = await this.#passTime(openSplunkHost(await readRun(world), world, stop));
      const beganAtMs = this.clock.monotonicMs();
      await this.#passTime(host.settleSecrets());
      if (!stop.aborted) return host;
      expect(await this.#passTime(host.close())).toBe("closed");
      expect(this.clock.monotonicMs() - beganAtMs).toBeLessThan(15_000);
    }
  }

  async #passTime<T>(work: Promise<T>): Promise<T> {
    const state = { isDone: false };
    const done = work.finally(() => {
      state.isDone = true;
    });
    while (!state.isDone) await this.clock.advance(this.#stepMs);
    return done;
  }

  #world(): SplunkWorld {
    const stanzas = [...this.fake.inputs].map(
      ([name, values]) =>
        `<stanza name="defender_mssp://${name}" app="search">${Object.entries(values)
          .map(([key, value]) => `<param name="${key}">${value}</param>`)
          .join("")}</stanza>`,
    );
    const document = `<input><server_host>h</server_host><server_uri>https://127.0.0.1:8089</server_uri><session_key>k</session_key><checkpoint_dir>/m</checkpoint_dir><configuration>${stanzas.join("")}</configuration></input>`;
    return {
      http: this.fake,
      clock: this.clock,
      random: FakeRandom.always(),
      stdin: (async function* () {
        yield new TextEncoder().encode(document);
      })(),
      stdout: new FakeStdout(),
      writeLogLine: (line) => this.log.push(line),
      files: { look: () => ({ kind: "missing" }) },
      readBytes: async () => undefined,
      stampOf: () => "",
      fingerprintOf: () => "v1",
      program: { program: ["/opt/splunk/bin/splunk", "cmd", "/opt/splunk/defender_mssp"], shell: "posix" },
      splunkHome: "/opt/splunk",
      version: "1.0.0",
    };
  }

  async stored(): Promise<(string | undefined)[]> {
    const { fake: http, clock } = this;
    const splunkd = splunkdAt(http, clock);
    const store = await PasswordStore.read(splunkd, clock, FakeRandom.always());
    return NAMES.map((name) => store.get(customerSecretId(name, "client_secret"))?.value.open((text) => text));
  }
}

const QUICK: readonly Edits[] = [
  { takeMs: 20, oneByOne: true, restart: "each" },
  { takeMs: 300, oneByOne: true, restart: "each" },
  { takeMs: 300, oneByOne: true, restart: "together" },
  { takeMs: 300, oneByOne: false, restart: "together" },
  { takeMs: 2000, oneByOne: true, restart: "each" },
];
const SLOW: readonly Edits[] = [
  { takeMs: 6000, oneByOne: true, restart: "together" },
  { takeMs: 6000, oneByOne: false, restart: "each" },
];

describe("sixty inputs with secrets in clear", () => {
  test.each([...QUICK, ...SLOW])(
    "are all masked before collecting begins, with one edit each: $takeMs ms, one by one: $oneByOne, restart: $restart",
    async (edits) => {
      const host = new Host(edits).deployed();

      const running = await host.untilCollecting();

      expect(running.customers).toHaveLength(INPUTS);
      expect([...host.fake.inputs.values()].map((input) => input["client_secret"])).toEqual(NAMES.map(() => MASK));
      expect(await host.stored()).toEqual(NAMES.map(typedOf));
      expect(host.fake.edits).toHaveLength(INPUTS);
      expect(host.starts).toBeLessThanOrEqual(INPUTS + 5);
      expect(host.log.filter((line) => line.startsWith("ERROR"))).toEqual([]);
      expect(host.log.join("")).not.toContain("secret of customer");
    },
  );

  test.each(QUICK)(
    "that are saved at once while the program runs cost one edit each to mask: $takeMs ms, one by one: $oneByOne, restart: $restart",
    async (edits) => {
      const host = new Host(edits).saved();

      await host.untilAllCollecting();

      expect(await host.stored()).toEqual(NAMES.map(typedOf));
      expect(host.fake.edits.filter(({ form }) => form["name"] === undefined).length).toBeLessThanOrEqual(INPUTS + 5);
      expect(host.starts).toBeLessThanOrEqual(host.fake.edits.length + 1);
      expect(host.log.filter((line) => line.startsWith("ERROR"))).toEqual([]);
    },
  );

  test("are few restarts where splunkd takes quick edits together", async () => {
    const host = new Host({ takeMs: 100, oneByOne: false, restart: "together" }).deployed();
    await host.untilCollecting();
    expect(host.starts).toBeLessThanOrEqual(3);
  });

  test("do not keep collecting from beginning for more than 10 s when splunkd does not answer", async () => {
    const host = new Host({ takeMs: 600_000, oneByOne: true, restart: "each" }).deployed();
    const running = await host.untilCollecting();
    expect(host.starts).toBe(1);
    expect(host.clock.now - T0).toBeLessThan(11_000 + START_MS);
    expect(running.customers).toHaveLength(INPUTS);
  });
});
