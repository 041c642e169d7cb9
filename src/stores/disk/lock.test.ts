import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { newFolder } from "../../../test/harness/fakes/disk.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { type LockPorts, lockAddressOf, takeLock } from "./lock.ts";

function ports(
  clock = new FakeClock(T0, { pauses: "pass" }),
): LockPorts & { readonly log: FakeLog; readonly clock: FakeClock } {
  return { disk: fs, clock, log: new FakeLog(), platform: process.platform };
}

/** Another process that holds the folder until it is killed. */
async function holder(dir: string): Promise<ChildProcess> {
  const program = `
    import { takeLock } from ${JSON.stringify(new URL("./lock.ts", import.meta.url).href)};
    import * as fs from "node:fs";
    const clock = { nowMs: Date.now, monotonicMs: () => performance.now(), pause: (ms) => new Promise((r) => setTimeout(r, ms)) };
    const log = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
    await takeLock(${JSON.stringify(dir)}, { disk: fs, clock, log, platform: process.platform }, "10s");
    process.stdout.write("held\\n");
    setInterval(() => {}, 60_000);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--no-warnings", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return child;
}

describe("one process holds the state folder", () => {
  test("a command gives up after ten seconds and names the holder", async () => {
    const dir = newFolder();
    const first = await takeLock(dir, ports(), "10s");
    const second = ports();

    await expect(takeLock(dir, second, "10s")).rejects.toMatchObject({
      code: "state-locked",
      say: expect.stringContaining(`process ${process.pid}`),
    });

    expect(second.clock.now - new FakeClock(T0, { pauses: "pass" }).now).toBe(10_000);
    expect(second.log.lines).toEqual([]);
    await first.release();
  });

  test("another path to the same folder needs the same lock, another folder does not", async () => {
    const dir = newFolder();
    const link = join(newFolder(), "link");
    fs.symlinkSync(dir, link);
    const first = await takeLock(dir, ports(), "10s");
    await expect(takeLock(link, ports(), "10s")).rejects.toMatchObject({ code: "state-locked" });
    const other = await takeLock(newFolder(), ports(), "10s");
    await Promise.all([first.release(), other.release()]);
  });

  test("a second run waits, says so each minute, and takes over when the holder is killed", async () => {
    const dir = newFolder();
    const child = await holder(dir);
    const waiting = ports();
    const pause = waiting.clock.pause.bind(waiting.clock);
    let waited = 0;
    waiting.clock.pause = async (forMs) => {
      waited += 1;
      if (waited === 91) {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      await pause(forMs);
    };

    const taken = await takeLock(dir, waiting, "for-ever");

    // 90 pauses of 2 s are three minutes: said at once and at each of them; then one more try is enough.
    expect(waited).toBe(91);
    expect(waiting.log.lines.map((line) => line.level)).toEqual(["warn", "warn", "warn", "warn"]);
    expect(waiting.log.lines[0]!.fields.holder_pid).toBe(child.pid);
    await taken.release();
  });

  test("a stop ends the wait", async () => {
    const dir = newFolder();
    const first = await takeLock(dir, ports(), "10s");
    await expect(takeLock(dir, ports(), "for-ever", AbortSignal.abort())).rejects.toMatchObject({
      code: "state-locked",
    });
    await first.release();
  });
});

test.each<[NodeJS.Platform, RegExp]>([
  ["linux", /^\0defender-mssp-[0-9a-f]{40}$/],
  ["win32", /^\\\\\.\\pipe\\defender-mssp-[0-9a-f]{40}$/],
  ["darwin", /^\/.{1,60}\/defender-mssp-[0-9a-f]{40}\.sock$/],
])("the lock's address on %s vanishes with its holder or can be seen to be stale", (platform, shape) => {
  expect(lockAddressOf("/var/lib/x", platform)).toMatch(shape);
});

test("a socket file that a crashed holder left is taken over", async () => {
  const dir = newFolder();
  const elsewhere: LockPorts = { ...ports(), platform: "freebsd" };
  const address = lockAddressOf(fs.realpathSync(dir), "freebsd");
  const program = `require("net").createServer().listen(${JSON.stringify(address)}, () => process.kill(process.pid, "SIGKILL"))`;
  await once(spawn(process.execPath, ["-e", program]), "exit");
  expect(fs.existsSync(address)).toBe(true);

  const taken = await takeLock(dir, elsewhere, "10s");
  await expect(takeLock(dir, elsewhere, "10s")).rejects.toMatchObject({ code: "state-locked" });

  await taken.release();
  expect(fs.existsSync(address)).toBe(false);
});
