import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect } from "@jest/globals";

/**
 * Compares text with the file of that name under test/golden byte for byte. `UPDATE_GOLDEN=1` writes the
 * files anew: read the diff before it is committed, because every byte of it is something that users'
 * searches and rules may rest on.
 */
export function expectGolden(name: string, text: string): void {
  const path = new URL(name, import.meta.url).pathname;
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  if (!existsSync(path)) throw new Error(`test/golden/${name} is missing: run the test once with UPDATE_GOLDEN=1 and read what it wrote`);
  expect(text).toBe(readFileSync(path, "utf8"));
}
