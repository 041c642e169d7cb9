/**
 * Two collectors of one fleet, a real PostgreSQL and a syslog receiver that acknowledges nothing. It stops
 * reading and crashes with what had arrived for it, while one of the collectors is killed.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { consult } from "../harness/oracle/main.ts";
import { FleetStory, type MemberProcess } from "../harness/postgres/fleet-story.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { describeWith } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";
import { SyslogReceiver } from "../harness/syslog-receiver.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const CUSTOMERS = Array.from({ length: 8 }, (_, n) => `customer-${n + 1}`);
const HISTORY = 10;

let folder: string;
let server: PostgresServer;
let receiver: SyslogReceiver;
let simulator: Simulator | undefined;
let current: FleetStory | undefined;

describeWith("the programs of PostgreSQL", missingPostgresParts())("a fleet beside a syslog receiver", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-syslog-"));
    server = await PostgresServer.start();
    receiver = await SyslogReceiver.open();
  });
  afterEach(async () => {
    current?.end();
    await simulator?.stop();
  });
  afterAll(async () => {
    await receiver?.crash();
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Alerts that were read; health left out. */
  const alerts = () => receiver.messages.filter((message) => message.includes("externalId="));
  const read = () => new Set(alerts()).size;

  test("nothing is lost when the receiver crashes with events unread and a member is killed; copies are equal", async () => {
    const started = await startWithAlerts("fleet-syslog", CUSTOMERS, HISTORY, 37);
    simulator = started;
    const members = { one: server.port, two: server.port };
    const output = [
      "outputs[0].type=syslog",
      "outputs[0].host=127.0.0.1",
      `outputs[0].port=${receiver.port}`,
      "outputs[0].protocol=tcp",
    ];
    const story = new FleetStory({ folder, name: "syslog", server, ready: started.ready, members, output });
    current = story;
    await story.init();
    let all = CUSTOMERS.length * HISTORY;
    const appear = (count: number): void => {
      for (let n = 0; n < count; n += 1) started.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
      all += count * CUSTOMERS.length;
    };
    const owns = (count: number, ...names: readonly string[]) =>
      story.until(
        () => names.every((name) => story.owners()[name] === count),
        `${names.join(" and ")}: ${count} shards`,
      );
    const arrived = () => story.until(() => read() >= all, "everything so far was read");
    const running = new Map<string, MemberProcess>();
    const start = (name: string) => void running.set(name, story.start(name));
    for (const name of Object.keys(members)) start(name);
    await owns(128, "one", "two");
    await arrived();
    // What was read before "two" got its shards may be confirmed by that. This is not: nothing changes hands
    // until the break.
    appear(1);
    await arrived();

    // Both write into a receiver that reads nothing, one of them is killed, and what was not read is lost.
    receiver.stopReading();
    appear(2);
    await story.until(() => story.committed >= all, "everything was committed");
    await story.until(() => receiver.unread === 2, "both members have sent, and nobody has read it");
    expect(read()).toBeLessThan(all);
    running.get("one")?.kill("SIGKILL");
    await running.get("one")?.ended;
    await receiver.crash();
    appear(1);
    await story.until(() => story.committed >= all - CUSTOMERS.length, "collection goes on");
    await receiver.start();
    await owns(256, "two");
    await arrived();

    start("one");
    await owns(128, "one", "two");
    appear(1);
    await arrived();
    for (const member of running.values()) member.kill("SIGTERM");
    for (const member of running.values()) expect([await member.ended, story.log]).toEqual([0, expect.any(String)]);

    // The receiver has closed its side, so the database knows that it has read everything.
    expect([story.committed, story.waiting, read()]).toEqual([all, 0, all]);
    const file = join(folder, "received.log");
    // Each copy is equal to the byte, or it would count as another message.
    writeFileSync(file, [...new Set(alerts())].map((message) => `${message}\n`).join(""));
    const { totals } = await consult({ truth: started.ready.control_url, delivered: [file], format: "cef" });
    const none = { lost: 0, stale: 0, duplicated: 0, unknown: 0 };
    expect(totals).toMatchObject({ shown: all, delivered: all, ...none });
    expect(alerts().length).toBeGreaterThanOrEqual(all + CUSTOMERS.length);
  });
});
