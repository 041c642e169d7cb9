/**
 * A day of a provider with 17 customers, against the simulator: the real list, sign-ins, configuration file,
 * state folder and engine, with a clock that the test moves. Every health event of discovery is judged.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { readArcSightConfig, realSecretReader } from "../../src/hosts/arcsight/index.ts";
import { filePlace } from "../../src/hosts/cli/roster-place.ts";
import { Collector } from "../../src/main/collector.ts";
import { CustomerBuilder } from "../../src/main/customers.ts";
import { fileCredentials, fileVaults } from "../../src/main/file-vaults.ts";
import { hostDiscovery } from "../../src/main/hosts-discovery.ts";
import { readTextIfThere } from "../../src/main/read-text.ts";
import { FileSecrets } from "../../src/main/stored-secrets.ts";
import { presentFingerprint } from "../../src/main/world.ts";
import { commandLines } from "../../src/model/command-line.ts";
import { FAILURE_CODES } from "../../src/model/failure-codes.ts";
import type { Http } from "../../src/model/ports.ts";
import { sealed } from "../../src/model/sealed.ts";
import { createHttp } from "../../src/net/http.ts";
import { readDiscovered } from "../../src/stores/disk/discovered-file.ts";
import { realDisk } from "../../src/stores/disk/disk.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { SimSink } from "../harness/collect/world.ts";
import { FakeClock, quiet } from "../harness/fakes/clock.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { FakeRandom } from "../harness/fakes/random.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

jest.setTimeout(240_000);

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START = "2026-11-24T08:00:00Z";
const EVERYBODY = [...numbered("old", 12), ...numbered("new", 5)];
/** What discovery says, and the failures of the list itself. */
const OF_DISCOVERY = new Set(
  Object.keys(FAILURE_CODES).filter((code) => /^(customer|discovery|relationship)-/.test(code)),
);
const LIST = "list of customers";
const HOSTILE = "=cmd|'/C calc'!A1\u001b[2J<img src=x>\u202e\"$(reboot)\"`id`, Ltd";

function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => `${name}-${String(n + 1).padStart(4, "0")}`);
}

/** The provider's helper, restarted as its service does when the configuration changed. */
class Day {
  readonly clock = new FakeClock(Date.parse(START));
  readonly sink = new SimSink(this.clock);
  readonly log = new FakeLog();
  readonly folder = mkdtempSync(join(tmpdir(), "discovery-day-"));
  readonly properties = join(this.folder, "defender-mssp.properties");
  readonly stateDir = join(this.folder, "state");
  readonly #web = createHttp();
  readonly simulator: Simulator;
  #inFlight = 0;
  #heapLooks = 0;
  #mustReload = false;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #collector: Collector | undefined;
  /** Tenants that were asked for a token, in this hour. */
  askedFor = new Set<string>();

  constructor(simulator: Simulator) {
    this.simulator = simulator;
  }

  readonly http: Http = {
    send: async (request) => {
      const tenant = /^https:\/\/[^/]+\/([0-9a-f-]{36})\/oauth2/.exec(request.url)?.[1];
      if (tenant !== undefined) this.askedFor.add(tenant);
      this.#inFlight += 1;
      const done = () => {
        this.#inFlight -= 1;
      };
      try {
        const answer = await this.#web.send(request);
        // Whole before anybody reads it, so that nothing is under way when the clock moves.
        const text = await answer.text(16 * 1024 * 1024);
        return {
          status: answer.status,
          headers: answer.headers,
          text: () => Promise.resolve(text),
          discard: () => Promise.resolve(),
          body: (async function* () {
            yield new TextEncoder().encode(text);
          })(),
        };
      } finally {
        done();
      }
    },
    close: () => Promise.resolve(),
  };

  #config() {
    return readArcSightConfig(readFileSync(this.properties), this.properties, {
      nowMs: this.clock.nowMs(),
      secrets: realSecretReader({}, process.platform),
    });
  }

  #secrets(): FileSecrets {
    const { clock, log, http } = this;
    return new FileSecrets(this.stateDir, { http, clock, log, fingerprintOf: presentFingerprint });
  }

  /** One customer by hand, whose settings all others get; the home app and the reader app are stored. */
  async begin(): Promise<void> {
    const { login_url, graph_url, ca_file, provider } = this.simulator.ready;
    const { tenant_id } = this.simulator.control.customer("old-0001");
    const model = {
      tenant_name: "our first one",
      tenant_id,
      credential: "mssp",
      auth: "app",
      streams: "alerts",
      poll_seconds: "1700",
      sweep_hours: "0",
      start: "1d",
      login_url,
      graph_url,
      ca_file,
    };
    const lines = Object.entries(model).map(([key, value]) => `tenants[0].${key}=${value}\n`);
    writeFileSync(
      this.properties,
      `# a comment that stays\ndiscover=gdap\ndiscover_credential=home\ndiscover_mode=enrol\ndiscover_defaults=our first one\n${lines.join("")}outputs[0].type=json-lines\noutputs[0].path=/dev/null\n`,
      { mode: 0o600 },
    );
    const [like] = this.#config().settings.stanzas;
    if (like === undefined || provider === undefined) throw new Error("the settings of this test are wrong");
    const app = (of: { readonly client_id: string; readonly client_secret: string }) => ({
      clientId: of.client_id,
      clientSecret: sealed(of.client_secret),
    });
    const secrets = this.#secrets();
    await secrets.putCredential("mssp", app(provider.reader), like);
    await secrets.putCredential("home", { ...app(provider.home), tenant: provider.tenant_id }, like);
    await this.#open();
  }

  async #open(): Promise<void> {
    const { clock, log, http, stateDir, sink } = this;
    const { settings } = this.#config();
    expect(settings.problems).toEqual([]);
    if (settings.discovery === undefined) throw new Error("discovery is off");
    const random = FakeRandom.always(0.5);
    const discovery = hostDiscovery({
      settings: settings.discovery,
      stateDir,
      customers: settings.stanzas,
      http,
      clock,
      log,
      place: (roster) => filePlace({ readText: readTextIfThere, roster }, this.properties),
      secrets: () => Promise.resolve(this.#secrets()),
      readText: () => Promise.reject(new Error("the list is not a file")),
      changed: () => {
        this.#mustReload = true;
      },
    });
    this.#stop = new AbortController();
    const stop = this.#stop.signal;
    const collector = await Collector.open({
      customers: {
        configured: [...settings.stanzas, ...settings.refused],
        wanted: settings.stanzas,
        builder: new CustomerBuilder(
          { http, clock, random, log, globals: settings.globals },
          fileVaults(stateDir, log, clock),
          fileCredentials(stateDir, log, clock),
        ),
      },
      openState: (configured) => openStateFolder(stateDir, { clock, log }, { waitForLock: "10s", stop, configured }),
      openDestination: () => ({ sink, close: () => Promise.resolve(true) }),
      discovery,
      limits: { finishPagesMs: 600_000 },
      globals: settings.globals,
      world: {
        version: "test",
        http,
        clock,
        random,
        log,
        commands: commandLines({ program: ["defender-mssp"], shell: "posix", flags: {}, secrets: "files" }),
        heap: {
          usedBytes: () => {
            this.#heapLooks += 1;
            return 0;
          },
          collect: () => undefined,
        },
      },
      stop,
    });
    this.#collector = collector;
    this.#running = collector.run();
    // Its first requests need no time to pass.
    await this.#quiet();
  }

  #quiet(): Promise<void> {
    return quiet(() => this.#inFlight > 0);
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    const over = new AbortController();
    const ending = this.#running.then(() => this.#collector?.close()).finally(() => over.abort());
    // Time moves only for what waits for it: how slow the disk is must not change the hours of this day.
    for (await this.#quiet(); !over.signal.aborted; ) await this.#toNextPause(HOUR_MS);
    await ending;
  }

  /** Moves both clocks to where the next pause ends, at most so far, and waits for what happens then. */
  async #toNextPause(atMostMs: number): Promise<void> {
    const ms = Math.min(atMostMs, this.clock.nextPauseEndsInMs() ?? atMostMs);
    const before = { ended: this.clock.endedPauses, looks: this.#heapLooks };
    this.simulator.control.advance(ms);
    await this.clock.advance(ms);
    // Of 3,600 looks at the heap in an hour nothing follows.
    if (this.clock.endedPauses - before.ended > this.#heapLooks - before.looks) await this.#quiet();
  }

  /** An hour, and what discovery said in it, in the order of names. */
  async hour(...actions: readonly (Record<string, unknown> & { readonly do: string })[]): Promise<readonly string[]> {
    for (const action of actions) this.simulator.control.perform(action);
    const from = this.sink.healths.length;
    this.askedFor = new Set();
    const endMs = this.clock.now + HOUR_MS;
    while (this.clock.now < endMs) {
      await this.#toNextPause(endMs - this.clock.now);
      if (!this.#mustReload) continue;
      this.#mustReload = false;
      await this.#close();
      await this.#open();
    }
    return this.sink.healths
      .slice(from)
      .flatMap(({ tenant, streams }) =>
        streams.flatMap(({ stream, state, failure }) =>
          OF_DISCOVERY.has(failure ?? "") || tenant === LIST
            ? [`${tenant}: ${failure ?? state}${stream === "*" && tenant !== LIST ? " (not collected)" : ""}`]
            : [],
        ),
      )
      .toSorted();
  }

  /** What the last health event says of the customer. */
  state(tenant: string): string | undefined {
    return this.sink.healths.findLast((event) => event.tenant === tenant)?.streams[0]?.state;
  }

  configured(): readonly string[] {
    return [...readFileSync(this.properties, "utf8").matchAll(/^tenants\[\d+\]\.tenant_name=(.*)$/gm)].map(
      ([, name = ""]) => name,
    );
  }

  discovered() {
    return readDiscovered({ disk: realDisk }, this.log, this.stateDir).discovered;
  }

  tenantOf(name: string): string {
    return this.simulator.control.customer(name).tenant_id;
  }

  async end(): Promise<void> {
    await this.#close();
    await this.#web.close();
    await this.simulator.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let day: Day;

beforeAll(async () => {
  const alerts = [{ stream: "alerts", count: 2, from: "-30m", to: "-1m" }];
  const scenario = {
    name: "discovery-day",
    story: "A provider whose customers appear, end, withdraw their consent and come back.",
    start: START,
    customers: [
      { name: "old", count: 12, generate: alerts },
      { name: "new", count: 5, generate: alerts },
    ],
    provider: {
      tenant: "mssp",
      page_max: 7,
      relationships: [{ customer: ["old"], roles: ["Security Reader"], ends: "700d", auto_extend: true }],
    },
  };
  day = new Day(
    await startSimulator({ scenario: scenarioOf(JSON.stringify(scenario), "discovery-day"), frozen: true }),
  );
  await day.begin();
});
afterAll(() => day.end());

const relationship = (customers: readonly string[], change: object = {}) => ({
  do: "relationship",
  customers,
  ...change,
});
const consent = (customers: readonly string[], state: string) => ({ do: "consent", customers, state });
const listFault = (answer: object) => [{ do: "clear-faults" }, { do: "fault", on: ["relationships"], answer }];

test("a day in which 5 customers appear, 3 end, 2 withdraw consent and one returns is told event by event", async () => {
  const old = numbered("old", 12);
  // 08:00. The first list: all but the one that is configured already are enrolled, and polled from then on.
  expect(await day.hour()).toEqual(old.slice(1).map((name) => `${name}: customer-found (not collected)`));
  expect(day.configured()).toEqual(["our first one", ...old.slice(1)]);
  expect(readFileSync(day.properties, "utf8")).toContain("# a comment that stays");
  expect(statSync(day.properties).mode & 0o777).toBe(0o600);
  expect(new Set(day.sink.sent.map(({ tenantId }) => tenantId)).size).toBe(12);
  expect(await day.hour()).toEqual([]);

  // 10:00. Two appear; then three, two of them of one name and one with a hostile one.
  const active = { status: "active", roles: ["Security Reader"], ends: 700 * DAY_MS, auto_extend: true };
  expect(await day.hour(relationship(["new-0001", "new-0002"], active))).toEqual([
    "new-0001: customer-found (not collected)",
    "new-0002: customer-found (not collected)",
  ]);
  const [third = "", fourth = ""] = ["new-0003", "new-0004"].toSorted((a, b) =>
    day.tenantOf(a) < day.tenantOf(b) ? -1 : 1,
  );
  const twin = `Same ${day.tenantOf(fourth).slice(0, 8)}`;
  const cleaned = "cmd '_C calc' A1 2J img src x (reboot) id Ltd".replace("_", " ");
  expect(
    await day.hour(
      relationship(["new-0003", "new-0004"], { ...active, customer_name: "Same" }),
      relationship(["new-0005"], { ...active, customer_name: HOSTILE }),
    ),
  ).toEqual([cleaned, "Same", twin].map((name) => `${name}: customer-found (not collected)`).toSorted());
  expect(day.configured()).toHaveLength(17);
  expect(day.discovered().customers.get(day.tenantOf(third) as never)?.name).toBe("Same");
  await day.hour();
  expect(new Set(day.sink.sent.map(({ tenantId }) => tenantId))).toEqual(
    new Set(EVERYBODY.map((name) => day.tenantOf(name))),
  );

  // 13:00. Three end: the list lacks them, which alone changes nothing; an hour later they refuse the program
  // as well.
  const over = ["old-0002", "old-0003", "old-0004"];
  expect(await day.hour(relationship(over, { status: "terminated" }), consent(over, "absent"))).toEqual([]);
  expect(day.configured()).toHaveLength(17);
  expect(await day.hour()).toEqual(over.map((name) => `${name}: customer-ended`));
  expect(day.configured()).toHaveLength(14);
  await day.hour();
  for (const name of over) expect(day.askedFor.has(day.tenantOf(name))).toBe(false);
  for (const name of over) expect(statSync(join(day.stateDir, "tenants", day.tenantOf(name))).isDirectory()).toBe(true);

  // 16:00. Two withdraw their consent, and are still customers; one gives it again and is collected.
  const without = ["old-0005", "old-0006"];
  expect(await day.hour(consent(without, "absent"))).toEqual([]);
  expect(await day.hour()).toEqual([]);
  expect(without.map((name) => day.state(name))).toEqual(["awaiting-consent", "awaiting-consent"]);
  expect(await day.hour(consent(["old-0006"], "granted"))).toEqual([]);
  expect(["old-0005", "old-0006"].map((name) => day.state(name))).toEqual(["awaiting-consent", "ok"]);
  expect(day.configured()).toHaveLength(14);

  // 19:00. What is not a list changes nothing, and says so; what lasts is said hourly, until the next list.
  const before = day.discovered();
  let last = "";
  const unchanged = async (answer: object, said: string): Promise<void> => {
    const news = (await day.hour(...listFault(answer))).filter((one) => one !== last);
    last = `${LIST}: ${said}`;
    expect([answer, news]).toEqual([answer, [last]]);
    expect(day.discovered()).toEqual(before);
    expect(day.configured()).toHaveLength(14);
  };
  await unchanged({ status: 429, retry_after_seconds: 7 }, "throttled");
  await unchanged({ status: 403, code: "Authorization_RequestDenied" }, "discovery-forbidden");
  await unchanged({ body: "truncated" }, "discovery-doubtful");
  await unchanged({ status: 401, code: "InvalidAuthenticationToken" }, "unauthorised");
  await unchanged({ value: "missing" }, "discovery-doubtful");
  await unchanged({ status: 404, code: "ResourceNotFound" }, "refused");
  // A forged list that lacks more than a fifth of the customers, which all would refuse the program: however
  // often it is shown.
  const forged = numbered("old", 12).slice(6, 10);
  const forge = [relationship(forged, { listed: false }), consent(forged, "absent")];
  for (const actions of [[{ do: "clear-faults" }, ...forge], [], []])
    expect((await day.hour(...actions)).filter((one) => one !== last)).toEqual([`${LIST}: discovery-doubtful`]);
  expect(day.configured()).toHaveLength(14);
  expect(await day.hour(relationship(forged, { listed: true }), consent(forged, "granted"))).toContain(`${LIST}: ok`);

  // 03:00. One that ended comes back under another name, and is collected under its old one.
  expect(
    await day.hour(
      relationship(["old-0004"], { ...active, customer_name: "Renamed", new: true }),
      consent(["old-0004"], "granted"),
    ),
  ).toEqual(["old-0004: customer-found (not collected)"]);
  expect(day.configured()).toHaveLength(15);
  await day.hour();
  expect(day.state("old-0004")).toBe("ok");
  expect(day.discovered().customers.get(day.tenantOf("old-0004") as never)).toMatchObject({
    name: "old-0004",
    listed_name: "Renamed",
    decided: "enrolled",
    by: "discovery",
  });
  // No version was sent twice in all of it.
  const keys = day.sink.sent.map(({ key }) => key);
  expect(new Set(keys).size).toBe(keys.length);
});
