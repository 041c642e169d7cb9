/**
 * Half a minute of what `npm run bench -- chaos` does for ten: every kind of fault, kills and clock steps at
 * once.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { expect, jest, test } from "@jest/globals";
import { binaryPath } from "../../scripts/build/platforms.ts";
import { chaos } from "./chaos.ts";

// The bound for a busy machine.
jest.setTimeout(900_000);

const BINARY = path.resolve(import.meta.dirname, "../..", binaryPath("linux-x64"));

test("faults at 5 % of requests, kills every 0.1 to 3 s and clock steps lose nothing and repeat only with equal keys", async () => {
  if (!existsSync(BINARY))
    throw new Error('dist/linux-x64 holds no binary: "npm test" builds it, or "npm run build:binaries"');

  const { faults, examples, totals, kills, faultsStruck } = await chaos({ program: [BINARY], forMs: 15_000, seed: 7 });

  expect({ faults, examples }).toEqual({ faults: [], examples: [] });
  expect(totals.shown).toBeGreaterThan(700);
  expect(kills).toBeGreaterThan(3);
  expect(faultsStruck).toBeGreaterThan(0);
});
