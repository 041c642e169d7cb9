import * as fs from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { EVENING_MS, FakeClock, settled } from "../../test/harness/fakes/clock.ts";
import { ScriptedHttp } from "../../test/harness/fakes/http.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { FakeRandom } from "../../test/harness/fakes/random.ts";
import { batchOf, newFolder, portsOf, Receiver } from "../../test/harness/fakes/receiver.ts";
import { settingsLines } from "../hosts/arcsight/check.ts";
import { readArcSightConfig } from "../hosts/arcsight/configuration.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { openOutputs, reportLeftSpools } from "./open-outputs.ts";

const CUSTOMER = [
  "tenants[0].tenant_id=11111111-2222-3333-4444-555555555555",
  "tenants[0].tenant_name=Contoso",
  "tenants[0].client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
];

function configOf(...lines: string[]) {
  const secrets = { file: () => undefined, env: () => undefined, credential: () => undefined } as const;
  return readArcSightConfig(Buffer.from([...CUSTOMER, ...lines, ""].join("\n")), "helper.properties", {
    nowMs: 0,
    secrets,
  });
}

function open(
  config: ReturnType<typeof configOf>,
  stateDir: string,
  receiver = new Receiver(),
  clock = new FakeClock(EVENING_MS),
  log = new FakeLog(),
  more: { readonly withoutSpool?: boolean } = {},
) {
  const world = {
    ports: portsOf(fs, clock),
    clock,
    random: FakeRandom.always(),
    log,
    dialer: receiver,
    http: new ScriptedHttp(),
    hostName: "collector",
    ...more,
  };
  return openOutputs(config.outputs, config.settings.stanzas, stateDir, world);
}

test("a spool gets the largest size that the settings allow, not 2 GiB at most", () => {
  const sink = open(
    configOf("outputs[0].type=syslog", "outputs[0].host=h", "outputs[0].spool_mib=102400"),
    newFolder(),
  );
  expect(sink.conditions()[0]?.condition.spoolLimitBytes).toBe(102_400 * 1024 * 1024);
});

test("an output that moves to another index keeps its spool, and a new output in its place does not get it", async () => {
  const folder = newFolder();
  const away = Object.assign(new Receiver(), { up: false });
  const first = open(configOf("outputs[0].type=syslog", "outputs[0].host=siem", "outputs[0].port=1999"), folder, away);
  await first.health({
    time: "2026-11-24T19:00:00Z",
    tenant: "Contoso",
    tenant_id: "11111111-2222-3333-4444-555555555555",
    input: "contoso",
    streams: [],
    credential: "main",
    credential_days_left: 3,
    version: "1",
  });

  const second = open(
    configOf(
      "outputs[0].type=syslog",
      "outputs[0].host=other",
      "outputs[1].type=syslog",
      "outputs[1].host=siem",
      "outputs[1].port=1999",
    ),
    folder,
    away,
  );

  expect(second.conditions().map(({ condition }) => condition.spooledBytes > 0)).toEqual([false, true]);
});

test("two outputs to one receiver have a spool each, and the queued events of both arrive, after a restart too", async () => {
  const folder = newFolder();
  const receiver = Object.assign(new Receiver(), { up: false });
  const config = configOf(
    "outputs[0].type=syslog",
    "outputs[0].host=siem",
    "outputs[1].type=syslog",
    "outputs[1].host=siem",
    "outputs[1].profile=legacy",
  );
  const first = open(config, folder, receiver);
  for (const { output } of first.conditions())
    for (const event of ["a", "b"]) await output.write(batchOf(`${event}-${output.name}`));

  receiver.up = true;
  const clock = new FakeClock(EVENING_MS);
  open(config, folder, receiver, clock);
  await clock.pass(2_000);

  expect(receiver.events.toSorted()).toEqual(["a-outputs[0]", "a-outputs[1]", "b-outputs[0]", "b-outputs[1]"]);
});

test("events queued for a receiver that is no longer configured are reported at each start, and sent once it is configured again", async () => {
  const folder = newFolder();
  const receiver = Object.assign(new Receiver(), { up: false });
  const before = configOf("outputs[0].type=syslog", "outputs[0].host=siem", "outputs[0].port=1999");
  for (const { output } of open(before, folder, receiver).conditions()) await output.write(batchOf("a"));

  const log = new FakeLog();
  open(configOf("outputs[0].type=syslog", "outputs[0].host=other"), folder, receiver, new FakeClock(EVENING_MS), log);
  expect(log.texts.filter((line) => line.includes("still queued"))).toEqual([
    expect.stringMatching(
      /^warn events are still queued for tls:\/\/siem:1999, which is no longer a configured output: .*"kib":1,.*Configure an output/,
    ),
  ]);

  receiver.up = true;
  const clock = new FakeClock(EVENING_MS);
  const again = new FakeLog();
  open(before, folder, receiver, clock, again);
  await clock.pass(2_000);
  expect(receiver.events).toEqual(["a"]);
  expect(again.texts.join("\n")).not.toContain("still queued");
});

test.each(["syslog", "hec", "kafka"])(
  "events queued for an output of type %s whose settings are refused wait for the settings, and are not said to be without one",
  (type) => {
    const folder = newFolder();
    const names = [`${type}-0123456789abcdef`, "other-0123456789abcdef"];
    for (const name of names) {
      realDisk.mkdirSync(join(folder, name, "spool"), { recursive: true });
      realDisk.writeFileSync(join(folder, name, "spool", "1.spool"), "an event");
      realDisk.writeFileSync(join(folder, name, "leads-to"), "https://siem:8088\n");
    }
    const log = new FakeLog();
    reportLeftSpools(folder, new Set(), { ports: { disk: realDisk }, log, refusedTypes: new Set([type]) });
    expect(log.texts).toEqual([
      expect.stringMatching(
        /^warn events are still queued for https:\/\/siem:8088, whose settings are wrong: they are kept and not sent .*"next_step":"Correct the settings that the errors of this start name/,
      ),
    ]);
    const others = new FakeLog();
    reportLeftSpools(folder, new Set(), {
      ports: { disk: realDisk },
      log: others,
      refusedTypes: new Set(["none of these"]),
    });
    expect(others.texts).toEqual([expect.stringContaining("which is no longer a configured output")]);
  },
);

test("a member of a fleet names events that HEC was to get before, and keeps them for a start without fleet.url", async () => {
  const folder = newFolder();
  const receiver = new Receiver();
  const config = configOf("outputs[0].type=hec", "outputs[0].urls=https://hec.example:8088", "outputs[0].token=hush");
  for (const { output } of open(config, folder, receiver).conditions()) await output.write(batchOf("a"));
  const log = new FakeLog();
  open(config, folder, receiver, new FakeClock(EVENING_MS), log, { withoutSpool: true });

  expect(log.texts.filter((line) => line.includes("still queued"))).toEqual([
    expect.stringMatching(
      /^warn events are still queued on this machine for https:\/\/hec\.example:8088: a member of a fleet keeps them and does not send them .*without fleet\.url/,
    ),
  ]);
});

test("everything that an output keeps is in the state folder", async () => {
  const folder = newFolder();
  open(
    configOf(
      "outputs[0].type=cef-file",
      `outputs[0].path=${join(folder, "out", "a.cef")}`,
      "outputs[1].type=json-folder",
      `outputs[1].path=${join(folder, "json")}`,
    ),
    join(folder, "state"),
  );
  await settled();
  expect(fs.readdirSync(join(folder, "state", "outputs")).map((name) => name.replace(/-[0-9a-f]{16}$/, ""))).toEqual([
    "cef-file",
    "json-folder",
  ]);
});

test("a file that Java could not read is refused in one sentence that names it", () => {
  expect(() => configOf("outputs[0].path=C:\\users")).toThrow(
    /helper\.properties: Line 4: outputs\[0\]\.path contains \\u without four hex digits/,
  );
});

test("a wrong output keeps the helper from starting, but a wrong customer does not", () => {
  const config = configOf("tenants[1].tenant_id=nonsense", "outputs[0].type=csv");
  expect(config.settings.stanzas.map(({ name }) => name)).toEqual(["Contoso"]);
  expect(config.outputProblems).toEqual([
    { stanza: "outputs[0]", key: "type", say: expect.stringMatching(/"csv" is not a known value; .* \(line 5\)$/) },
  ]);
  expect(configOf().outputProblems).toEqual([
    { stanza: "outputs[0]", key: "type", say: expect.stringContaining("so there is no output for events") },
  ]);
});

test("check accepts a file that is made for serve alone, and says each thing once", () => {
  const serving = settingsLines(configOf("serve.client_secret=hush"));
  expect(serving.filter(({ ok }) => !ok)).toEqual([]);
  expect(serving.map(({ say }) => say).join("\n")).toContain("`arcsight run` does not start");
  expect(settingsLines(configOf()).filter(({ ok }) => !ok)).toHaveLength(1);
  expect(settingsLines(configOf("outputs[0].type=csv")).filter(({ ok }) => !ok)).toHaveLength(1);
});
