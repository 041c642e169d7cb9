/**
 * Starts the program of today on what an older release left when it was killed in the middle of its work.
 * `scripts/upgrade-fixtures.ts` made these folders with the older executable.
 * This does not prove how a real splunkd replaces an app, and says nothing about Windows.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import path, { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { technologyAddon } from "../../scripts/package/contents.ts";
import { type Microsoft, startMicrosoft } from "../crash/microsoft.ts";
import { consult } from "../harness/oracle/main.ts";
import type { Password } from "../harness/splunkd/passwords.ts";
import { type Splunkd, startSplunkd } from "../harness/splunkd/splunkd.ts";
import { restoreInstallation } from "../harness/upgrade/fixture-files.ts";
import {
  ARCSIGHT,
  arcsightPlaceholders,
  FOREIGN_LINE,
  hasSettled,
  installCaFile,
  Service,
  SPLUNK,
  splunkPlaceholders,
} from "../harness/upgrade/installations.ts";
import { addVersions, joinedShown, newerVersions, readShown, STORY, scenarioFrom } from "../harness/upgrade/story.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(600_000);

const ROOT = path.resolve(import.meta.dirname, "../..");
const BINARY = path.resolve(ROOT, binaryPath("linux-x64"));
const FIXTURES = path.resolve(ROOT, "test/fixtures/upgrade");
const RELEASES = readdirSync(FIXTURES).sort();

let folder: string;
let microsoft: Microsoft;
/** The lower bounds of the update time in all requests to an API. */
let askedFrom: number[];
let endings: (() => unknown)[];

beforeAll(() => {
  if (!existsSync(BINARY))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');
});
beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "upgrade-")));
  microsoft = await startMicrosoft(scenarioFrom(STORY.upgradedAt));
  askedFrom = [];
  endings = [() => rmSync(folder, { recursive: true, force: true }), () => microsoft.stop()];
  endings.push(
    microsoft.watch(
      {
        requested(_, { url = "" }) {
          const from = / ge (\S+Z)/.exec(decodeURIComponent(url).replaceAll("+", " "))?.[1];
          if (from !== undefined) askedFrom.push(Date.parse(from));
        },
      },
      "api",
    ),
  );
});
afterEach(async () => {
  for (const end of endings.reverse()) await end();
});

/**
 * Fills the lists with what the older release was shown and with what has happened since. Returns how to get
 * the truth.
 */
function fillLists(release: string): () => string {
  const { control } = microsoft.simulator;
  const older = join(FIXTURES, release, "shown.ndjson");
  addVersions(control, readShown(older, control));
  addVersions(
    control,
    newerVersions((customer) => control.customer(customer).tenant_id),
  );
  return () => {
    const truth = join(folder, "truth.ndjson");
    writeFileSync(truth, joinedShown(readFileSync(older, "utf8"), control.shown()));
    return truth;
  };
}

/** Polls continue at the saved checkpoints. Without them a poll would look back to `start`. */
function expectCheckpointsRead(): void {
  expect(askedFrom.length).toBeGreaterThan(5);
  expect(askedFrom.filter((from) => from < Date.parse(STORY.oldestRecordAt))).toEqual([]);
}

/** The only warning after a kill. */
const AFTER_A_KILL = expect.stringContaining("sent again");
/** Lines of a log that tell of something wrong. */
const warnings = (log: readonly string[]): readonly string[] =>
  log.filter((line) => /\b(WARN|ERROR|FATAL)\b/.test(line));

async function appOfToday(): Promise<string> {
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    if (entry.path.endsWith("/")) continue;
    const file = join(folder, "app", entry.path);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, entry.content);
    chmodSync(file, entry.mode);
  }
  return join(folder, "app/TA_defender_mssp");
}

const NOTHING_WRONG = {
  lost: 0,
  stale: 0,
  duplicated: 0,
  out_of_order: 0,
  changed_bytes: 0,
  unknown: 0,
  unidentified: 0,
};

describe.each(RELEASES)("after an upgrade from %s that was killed", (release) => {
  test("Splunk inputs, a renamed one too, lose no version, repeat only replays and use the stored secrets", async () => {
    const truthOf = fillLists(release);
    const { ready } = microsoft.simulator;
    const home = join(folder, "home");
    restoreInstallation(join(FIXTURES, release, "splunk"), folder, splunkPlaceholders(ready, home));
    installCaFile(ready, join(home, SPLUNK.caFile));
    const inputs = readFileSync(join(home, SPLUNK.inputs), "utf8");
    writeFileSync(
      join(home, SPLUNK.inputs),
      inputs.replace("[defender_mssp://tailspin]", "[defender_mssp://Tailspin Toys (EU)]"),
    );
    const passwords = JSON.parse(readFileSync(join(folder, "passwords.json"), "utf8")) as readonly Password[];
    const out = join(folder, "out.xml");

    const splunkd: Splunkd = await startSplunkd({
      app: await appOfToday(),
      home,
      out,
      passwords,
      restartAfterMs: null,
    });
    endings.push(() => splunkd.isRunning && splunkd.stop());
    await splunkd.until(({ log }) => hasSettled(log), "a walk of every stream");
    expect(await splunkd.stop()).toMatchObject({ exit_code: 0, faults: [] });

    const { totals, examples } = await consult({
      truth: truthOf(),
      delivered: [join(folder, "delivered.xml"), out],
      format: "splunk",
    });
    expect({ totals, examples }).toMatchObject({ totals: NOTHING_WRONG, examples: [] });
    expect(totals.replayed).toBeGreaterThan(10);
    expect(splunkd.validations.filter(({ ok }) => !ok)).toEqual([]);
    expect(warnings(splunkd.log)).toEqual([AFTER_A_KILL]);
    expectCheckpointsRead();
  });

  test("an ArcSight service sends what was spooled, loses no version and uses the stored secrets", async () => {
    const truthOf = fillLists(release);
    const { ready } = microsoft.simulator;
    const root = join(folder, "root");
    const received = join(folder, "received.log");
    const receiver = await listen(received);
    const { port } = receiver;
    restoreInstallation(join(FIXTURES, release, "arcsight"), root, {
      ...arcsightPlaceholders(ready, root, port),
      receiver_port: String(port),
    });
    installCaFile(ready, join(root, ARCSIGHT.caFile));
    // The refresh token in the settings is revoked. Only the rotated one in the state folder can be redeemed.
    microsoft.simulator.control.perform({ do: "refresh-token", customers: ["contoso"], state: "revoked" });

    const service = new Service(BINARY, readFileSync(join(root, ARCSIGHT.unit), "utf8"), root);
    endings.push(() => service.kill());
    await service.until(hasSettled);
    expect(await service.stop()).toBe(0);
    await receiver.receivedAll();

    const truth = truthOf();
    const overSyslog = await consult({ truth, delivered: [received], format: "cef" });
    expect(overSyslog).toMatchObject({ totals: { ...NOTHING_WRONG, changed_bytes: null }, examples: [] });
    // Some of these versions have been replaced in Microsoft's lists, so they can only come from the spool.
    const spooled = spooledLines(join(FIXTURES, release, "arcsight", ARCSIGHT.state));
    expect(spooled.length).toBeGreaterThan(10);
    const arrived = new Set(cefLinesIn(readFileSync(received, "utf8")));
    expect(spooled.filter((line) => !arrived.has(line))).toEqual([]);

    const inFiles = await consult({
      truth,
      delivered: cefFiles(root),
      format: "cef",
      examples: Number.MAX_SAFE_INTEGER,
    });
    expect(inFiles.totals).toMatchObject({ ...NOTHING_WRONG, changed_bytes: null, duplicated: expect.any(Number) });
    // The older release stopped normally first and then forgot what it had written to the file. After its
    // kill those versions are replayed for the syslog receiver, and the file gets them again. Nothing else
    // may be in the file twice. Today's release does not forget (test/arcsight/kills.test.ts).
    const updatedAt = ({ what }: { readonly what: string }): number =>
      Date.parse(/\d{4}-\d\d-\d\dT\S+$/.exec(what)?.[0] ?? "");
    expect(
      inFiles.examples.filter((one) => one.fault !== "duplicated" || !(updatedAt(one) < Date.parse(STORY.beginsAt))),
    ).toEqual([]);
    expect(warnings(service.log)).toEqual([AFTER_A_KILL]);
    expectCheckpointsRead();
  });
});

/** CEF lines that lay in the spools of an installation. */
function spooledLines(state: string): readonly string[] {
  const spools = readdirSync(state, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith(".spool"));
  return spools.sort().flatMap((name) => cefLinesIn(readFileSync(join(state, name), "utf8")));
}

const cefLinesIn = (text: string): readonly string[] => text.match(/CEF:\d\|.*$/gm) ?? [];

interface Receiver {
  readonly port: number;
  /** What a program has sent before its end may still wait in a socket after its end. */
  receivedAll(): Promise<void>;
}

/** A receiver that keeps what it is sent. */
async function listen(received: string): Promise<Receiver> {
  writeFileSync(received, "");
  const connections: Promise<void>[] = [];
  const server: Server = createServer((socket) => {
    connections.push(new Promise((done) => socket.once("close", () => done())));
    socket.on("data", (bytes) => writeFileSync(received, bytes, { flag: "a" }));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  endings.push(() => new Promise((done) => server.close(done)));
  return {
    port: (server.address() as { port: number }).port,
    receivedAll: async () => void (await Promise.all(connections)),
  };
}

/** The CEF files in the order in which they were written, without the lines of another program. */
function cefFiles(root: string): readonly string[] {
  const events = join(root, ARCSIGHT.events);
  const growing = (name: string): number => (join(ARCSIGHT.events, name) === ARCSIGHT.cefFile ? 1 : 0);
  return readdirSync(events)
    .sort((a, b) => growing(a) - growing(b) || (a < b ? -1 : 1))
    .map((name) => {
      const own = join(folder, name);
      writeFileSync(own, readFileSync(join(events, name), "utf8").replaceAll(FOREIGN_LINE, ""));
      return own;
    });
}
