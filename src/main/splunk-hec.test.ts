import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { deliveriesOf, SAMPLES } from "../../test/golden/samples.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { type HecServer, startHec } from "../../test/harness/hec/server.ts";
import { hecOutput } from "../config/hec-settings.ts";
import type { OutputSettings } from "../config/output-settings.ts";
import { Failure } from "../model/failure.ts";
import type { Sink } from "../model/ports.ts";
import type { Stanza } from "../model/stanza.ts";
import { SplunkHec } from "./splunk-hec.ts";

const TOKEN = "5b0b8f6e-3a51-4e3c-9d0a-e9d2f0c1a777";
const ALERTS = deliveriesOf(SAMPLES[0]!);
const CONTOSO = { name: "contoso", layout: "scalars-first", envelope: true, alertsSourcetype: "split" } as Stanza;

let folder: string;
let hec: HecServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "splunk-hec-"));
  hec = await startHec({ ack: "on", token: TOKEN, port: 0, out: join(folder, "indexed.jsonl") });
});
afterEach(async () => {
  await hec.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** @param readToken what the token's file holds at each look. */
async function opened(readToken: () => string) {
  const values = { type: "hec", urls: hec.ready.url, ca_file: hec.ready.ca_file };
  const reference = { values, token: "file:/opt/splunk/etc/auth/defender_mssp/hec-token" };
  const log = new FakeLog();
  const notices: string[] = [];
  const one = await SplunkHec.of({
    host: {
      withEventsTo: (events): Sink => ({
        kind: events.kind,
        write: (batch) => events.write(batch),
        health: async () => {},
      }),
      notice: async ({ say }) => void notices.push(say),
      close: async () => "closed",
      gone: new AbortController().signal,
    },
    hec: reference,
    readOutput: async (): Promise<OutputSettings> => hecOutput(reference, readToken(), () => undefined)!,
    customers: [CONTOSO],
    stateDir: folder,
    pipe: { name: "stdout", type: "pipe", state: "up", spoolBytes: 0, oldestS: null, unconfirmed: null, rejected: 0 },
    log,
  });
  return { one, destination: one.open(), log, notices };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await pause(10);
}

test("a token that appears in its file counts at the next look, and the events that waited for it are delivered", async () => {
  let token: string | undefined;
  const { one, destination, log } = await opened(() => {
    if (token !== undefined) return token;
    const say = "The setting hec_token names a file that is missing.";
    throw new Failure("secret-file-refused", { actor: "operator", retry: { when: "never" }, say });
  });
  await destination.sink.write(ALERTS);
  await one.look();
  await until(() => destination.outputs?.()[1]?.state === "down");
  expect(log.texts.filter((line) => line.includes("names a file that is missing"))).toHaveLength(1);
  expect(log.texts.join()).toContain("Put the token where hec_token says.");

  token = TOKEN;
  await one.look();
  await until(() => destination.outputs?.()[1]?.spoolBytes === 0);
  expect(destination.outputs?.()).toMatchObject([{ name: "stdout" }, { name: "hec", type: "hec", state: "up" }]);
  expect(await destination.close()).toBe(true);
  expect(log.texts.join()).not.toContain(TOKEN);
});

test("an outage says why HEC takes nothing in the words of Splunk's settings, until HEC takes events again", async () => {
  let token = "another-token";
  const { one, destination } = await opened(() => token);
  expect(destination.outages?.()).toEqual([]);
  await destination.sink.write(ALERTS);
  await until(() => destination.outages?.().length === 1);
  expect(destination.outages?.()).toEqual([
    {
      output: "hec",
      code: "output-broken",
      actor: "operator",
      say: expect.stringMatching(
        new RegExp(`^hec: HEC at ${hec.ready.url} refuses events .* Events wait since 20[0-9TZ:.-]+\\.$`),
      ),
      nextStep: expect.stringContaining("Check hec_token"),
    },
  ]);
  token = TOKEN;
  await one.look();
  await until(() => destination.outages?.().length === 0);
  expect(destination.outputs?.()).toMatchObject([{ name: "stdout" }, { name: "hec", state: "up" }]);
  await destination.close();
});

test("in a fleet an outage is said in the words of Splunk's settings too, and the host hears that it is over", async () => {
  const { one, destination } = await opened(() => TOKEN);
  await destination.close();
  const unused = () => Promise.reject(new Error("nothing is written here"));
  let accepts: (stanzas: ReadonlySet<string>) => void = () => undefined;
  const inFleet = one.openInFleet({
    sink: { kind: "durable", write: unused, writeHuge: unused, health: unused },
    outages: () => [
      {
        output: "hec",
        code: "output-broken",
        actor: "operator",
        say: "hec: outputs[0].token is refused.",
        nextStep: "Check .token.",
      },
    ],
    onAccepting: (listener) => void (accepts = listener),
    close: async () => true,
  });
  const heard: unknown[] = [];
  inFleet.onAccepting?.((stanzas) => heard.push(stanzas));
  accepts(new Set(["Contoso"]));
  expect(heard).toEqual([new Set(["Contoso"])]);
  expect(inFleet.outages?.()).toMatchObject([{ output: "hec", nextStep: "Check hec_token." }]);
});

test("a token that Splunk refuses is said with the name of Splunk's setting", async () => {
  const { destination, log } = await opened(() => "another-token");
  await destination.sink.write(ALERTS);
  await until(() => log.texts.join().includes("refuses events"));
  expect(log.texts.join()).toContain("Check hec_token");
  await destination.close();
});
