import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { brokenDisk, errno, newFolder } from "../../test/harness/fakes/receiver.ts";
import type { Failure } from "../model/failure.ts";
import { RejectedEvents } from "./rejected.ts";

let folder: string;
beforeEach(() => {
  folder = newFolder();
});
afterEach(() => {
  fs.rmSync(folder, { recursive: true, force: true });
});

const event = { output: "outputs[0]", where: "https://a.example:8088", key: "k", reason: "400", event: "{}" };

describe("the list of rejected events", () => {
  test("is empty before there is one", () => {
    const failures: Failure[] = [];
    expect(new RejectedEvents(folder, fs, new FakeClock()).list((failure) => failures.push(failure))).toEqual([]);
    expect(failures).toEqual([]);
  });

  test.each(["readFileSync", "readdirSync"] as const)("names each place that %s cannot read", async (operation) => {
    const broken = brokenDisk();
    const rejected = new RejectedEvents(folder, broken.disk, new FakeClock());
    const path = await rejected.park("hec-1", event);
    await rejected.park("hec-2", event);
    const place = operation === "readFileSync" ? path : join(folder, "rejected", "hec-1");
    broken.failing = { [operation]: (at: unknown) => (at === place ? errno("EACCES") : undefined) };
    const failures: Failure[] = [];
    expect(rejected.list((failure) => failures.push(failure))).toHaveLength(1);
    expect(failures).toMatchObject([{ code: "state-unreadable", say: expect.stringContaining(place) }]);
  });

  test.each(["", "{", "null", '{"time":1}'])("names a file that holds %j, and has the others", async (text) => {
    const rejected = new RejectedEvents(folder, fs, new FakeClock());
    const path = await rejected.park("hec-1", event);
    const whole = await rejected.park("hec-1", event);
    fs.writeFileSync(path, text);
    const failures: Failure[] = [];
    expect(rejected.list((failure) => failures.push(failure)).map((one) => one.path)).toEqual([whole]);
    expect(failures).toMatchObject([{ code: "state-unreadable", say: expect.stringContaining(`${path} is damaged`) }]);
  });
});
