import * as fs from "node:fs";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { ticksFromMs } from "../../model/instant.ts";
import type { TenantId } from "../../model/tenant.ts";
import { saveCheckpoint } from "./checkpoint-file.ts";
import type { DiskPorts } from "./disk.ts";
import { folderNameOf } from "./names.ts";
import { streamProgress } from "./progress.ts";

const TENANT = "11111111-1111-4111-8111-111111111111" as TenantId;
const NAME = "Contoso é";
const HOUR_MS = 3_600_000;
const START_MS = Date.parse("2026-11-29T12:00:00Z");

let dir: string;
let ports: DiskPorts;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "progress-"));
  ports = { disk: fs, clock: new FakeClock(START_MS), platform: "linux" };
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const folder = (): string => join(dir, "tenants", TENANT, folderNameOf(NAME));
const save = (stream: string, upToMs: number, walkCompletedAtMs: number): Promise<void> =>
  saveCheckpoint(ports, join(folder(), `${stream}.mark.json`), {
    version: 1,
    upTo: ticksFromMs(upToMs),
    start: ticksFromMs(START_MS - HOUR_MS),
    nextPollAtMs: START_MS,
    nextSweepAtMs: START_MS,
    pollsSinceFullReach: 0,
    walkCompletedAtMs,
  });

test("a customer without state has no last event, no last poll and no consent", () => {
  expect(streamProgress(ports, dir, NAME, TENANT)).toEqual({});
});

test("the newest event and poll of all streams count, and a damaged checkpoint counts as none", async () => {
  await save("alerts", START_MS - 2 * HOUR_MS, START_MS + 1);
  await save("incidents", START_MS - HOUR_MS, START_MS);
  writeFileSync(join(folder(), "mde-alerts.mark.json"), "{ torn");
  const before = readdirSync(folder()).toSorted();
  expect(streamProgress(ports, dir, NAME, TENANT)).toEqual({
    consentSinceMs: Math.round(fs.statSync(folder()).birthtimeMs),
    lastEventMs: START_MS - HOUR_MS,
    lastPollMs: START_MS + 1,
  });
  expect(readdirSync(folder()).toSorted()).toEqual(before);
});
