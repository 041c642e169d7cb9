import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { PAGES, ROOT } from "../../scripts/docs.ts";

test.each(PAGES.map((page) => [page.file, page] as const))("%s is what its source makes of it (npm run docs)", async (file, page) => {
  const [present, wanted] = [await readFile(path.join(ROOT, file)), Buffer.from(page.make())];
  // Texts are compared as texts, so that a failure shows the difference.
  if (file.endsWith(".png")) expect(present.equals(wanted)).toBe(true);
  else expect(present.toString("utf8")).toBe(wanted.toString("utf8"));
});
