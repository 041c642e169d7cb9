import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { newFolder } from "../../test/harness/fakes/disk.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { contractWatch } from "./contract.ts";

let stateDir: string;
beforeEach(() => {
  stateDir = newFolder();
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

test("a collector that looks again and again says once that the list of customers is damaged", async () => {
  writeFileSync(join(stateDir, "discovered.json"), "{");
  const log = new FakeLog();
  const underContract = contractWatch(stateDir, log);
  for (let look = 0; look < 3; look += 1) expect(await underContract()).toBeUndefined();
  expect(log.texts.filter((text) => text.includes("discovered.json is damaged"))).toHaveLength(1);
});

test("a list of a newer release rejects, so that the watch can say so", async () => {
  writeFileSync(join(stateDir, "discovered.json"), '{"version":2,"listed_at":null,"customers":{}}');
  await expect(contractWatch(stateDir, new FakeLog())()).rejects.toMatchObject({ code: "state-damaged" });
});
