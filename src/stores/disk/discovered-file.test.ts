import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { CONTOSO, diskPorts, diskThatFails, newFolder } from "../../../test/harness/fakes/disk.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { type Discovered, type DiscoveredCustomer, isListed, NOTHING_DISCOVERED } from "../../model/discovered.ts";
import { isFailure } from "../../model/failure.ts";
import { readDiscovered, writeDiscovered } from "./discovered-file.ts";

const CUSTOMER: DiscoveredCustomer = {
  source: "gdap",
  name: "Contoso",
  listed_name: "Contoso Ltd.",
  first_seen: "2026-11-01T00:00:00.000Z",
  last_seen: "2026-11-29T00:00:00.000Z",
  missing_since: null,
  ended_at: null,
  relationships: [
    {
      id: "r1",
      name: "CIPP_1",
      status: "active",
      roles: ["5d6b6bb7-de71-4623-b4af-96380a352509"],
      ends: "2027-02-27T00:00:00.000Z",
      auto_extend: "PT0S",
    },
  ],
  decided: "announced",
  by: "discovery",
  excluded_by: null,
  reminded: ["r1/60"],
};
const DISCOVERED: Discovered = { listed_at: "2026-11-29T00:00:00.000Z", customers: new Map([[CONTOSO, CUSTOMER]]) };

let folder: string;
const log = new FakeLog();
beforeEach(() => {
  folder = newFolder();
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const file = () => join(folder, "discovered.json");
const read = () => readDiscovered({ disk: fs }, log, folder);

describe("discovered.json", () => {
  test("what discovery remembers is read back as it was written, for its owner alone", async () => {
    await writeDiscovered(diskPorts(), folder, DISCOVERED, undefined);
    expect(read().discovered).toEqual(DISCOVERED);
    expect(fs.statSync(file()).mode & 0o777).toBe(0o600);
  });

  test("a folder without the file has discovered nothing", () => {
    expect(read()).toEqual({ discovered: NOTHING_DISCOVERED, text: undefined });
  });

  test("a file of a newer release is refused and stays as it is", () => {
    fs.writeFileSync(file(), '{"version":2,"listed_at":null,"customers":{}}\n');
    expect(read).toThrow(expect.objectContaining({ code: "state-damaged" }));
    expect(fs.readFileSync(file(), "utf8")).toContain('"version":2');
  });

  test.each([
    ["is not JSON", "{"],
    ["holds null", "null"],
    ["has no version", '{"listed_at":null,"customers":{}}'],
    ["has a list for its customers' time", '{"version":1,"listed_at":[],"customers":{}}'],
    ["names a customer by something else than a GUID", '{"version":1,"listed_at":null,"customers":{"contoso":{}}}'],
    [
      "has a decision of its own making",
      JSON.stringify({ version: 1, listed_at: null, customers: { [CONTOSO]: { ...CUSTOMER, decided: "sold" } } }),
    ],
    [
      "has a relationship without roles",
      JSON.stringify({ version: 1, listed_at: null, customers: { [CONTOSO]: { ...CUSTOMER, relationships: [{}] } } }),
    ],
  ])("a file that %s begins empty, with a warning", (_, text) => {
    fs.writeFileSync(file(), text);
    const warned = new FakeLog();
    expect(readDiscovered({ disk: fs }, warned, folder).discovered).toEqual(NOTHING_DISCOVERED);
    expect(warned.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("a damaged file is kept aside before another one takes its place", async () => {
    fs.writeFileSync(file(), "{");
    const { text, isDamaged } = read();
    expect(isDamaged).toBe(true);
    expect(fs.readdirSync(folder)).toEqual(["discovered.json"]);
    await writeDiscovered(diskPorts(), folder, DISCOVERED, text);
    expect(fs.readFileSync(`${file()}.damaged`, "utf8")).toBe("{");
    expect(fs.statSync(`${file()}.damaged`).mode & 0o777).toBe(0o600);
    expect(read()).toMatchObject({ discovered: DISCOVERED });
    expect(read().isDamaged).toBeUndefined();
  });

  test("what another program wrote meanwhile is not overwritten", async () => {
    await writeDiscovered(diskPorts(), folder, DISCOVERED, undefined);
    const { text } = read();
    await writeDiscovered(diskPorts(), folder, { ...DISCOVERED, listed_at: null }, text);
    await expect(writeDiscovered(diskPorts(), folder, NOTHING_DISCOVERED, text)).rejects.toMatchObject({
      code: "state-locked",
    });
    expect(read().discovered.customers.size).toBe(1);
  });

  test("a machine that stops at any step of a write leaves the old or the new file", async () => {
    for (let at = 1; ; at += 1) {
      await fs.promises.rm(file(), { force: true });
      await writeDiscovered(diskPorts(), folder, NOTHING_DISCOVERED, undefined);
      const { text } = read();
      const disk = diskThatFails(at, "dies");
      const failed = await writeDiscovered(diskPorts(disk), folder, DISCOVERED, text).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect([NOTHING_DISCOVERED, DISCOVERED]).toContainEqual(read().discovered);
      if (failed === undefined) return;
      expect(isFailure(failed)).toBe(true);
    }
  });
});

test("a customer is under contract while the last listing held it and it has not ended", () => {
  expect(isListed(CUSTOMER)).toBe(true);
  expect(isListed({ ...CUSTOMER, missing_since: CUSTOMER.last_seen })).toBe(false);
  expect(isListed({ ...CUSTOMER, decided: "ended" })).toBe(false);
});
