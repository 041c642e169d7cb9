import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { PAGES, ROOT } from "../../scripts/docs.ts";

test.each(PAGES.map((page) => [page.file, page] as const))(
  "%s is what its source makes of it (npm run docs)",
  async (file, page) => {
    expect(await readFile(path.join(ROOT, file), "utf8")).toBe(page.make());
  },
);
