import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { PAGES, ROOT } from "../../scripts/docs.ts";

/** Texts are compared as texts, so that a failure shows the difference. */
function comparable(file: string, bytes: Buffer): string {
  return bytes.toString(file.endsWith(".png") ? "hex" : "utf8");
}

test.each(PAGES.map((page) => [page.file, page] as const))(
  "%s is what its source makes of it (npm run docs)",
  async (file, page) => {
    expect(comparable(file, await readFile(path.join(ROOT, file)))).toBe(comparable(file, Buffer.from(page.make())));
  },
);
