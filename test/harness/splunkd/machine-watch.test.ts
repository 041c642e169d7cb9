import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { MachineWatch, slowdownOf } from "./machine-watch.ts";

const folder = mkdtempSync(join(tmpdir(), "machine-watch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("how much a machine is slowed down", () => {
  test.each([
    ["a process alone on an idle machine", 60, 50, 1],
    ["a process that waits a little for its disk", 75, 50, 1],
    ["a process that waits ten times as long as it works", 825, 50, 11],
    ["a process that did not say how much it worked", 825, 0, 1],
  ])("is told by %s", (_, tookMs, processorMs, slowdown) => {
    expect(slowdownOf(tookMs, processorMs)).toBe(slowdown);
  });

  test("is looked up at once when it is asked for, and the file of the look is deleted", async () => {
    const file = join(folder, "look");
    const watch = new MachineWatch(file);
    const slowdown = await watch.slowdown();
    expect(slowdown).toBeGreaterThanOrEqual(1);
    expect(Number.isFinite(slowdown)).toBe(true);
    expect(await watch.end()).toBeGreaterThanOrEqual(slowdown);
    expect(existsSync(file)).toBe(false);
  });
});
