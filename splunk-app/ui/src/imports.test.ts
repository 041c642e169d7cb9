import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";

/** The pages know words and settings of the program, and nothing that needs a host. */
const ALLOWED = /^src\/(model|config)\//;

test("the pages import nothing of the program but its vocabulary and its settings", () => {
  const root = path.resolve(import.meta.dirname, "../../..");
  const files = globSync("splunk-app/ui/src/**/*.{ts,tsx}", { cwd: root }).filter((file) => !file.includes(".test."));
  const outside = files.flatMap((file) =>
    [...readFileSync(path.join(root, file), "utf8").matchAll(/from "(\.[^"]+)"/g)]
      .map(([, to = ""]) => path.relative(root, path.resolve(root, path.dirname(file), to)).replaceAll("\\", "/"))
      .filter((to) => !to.startsWith("splunk-app/ui/src/") && !ALLOWED.test(to))
      .map((to) => `${file} imports ${to}`),
  );

  expect(files.length).toBeGreaterThan(10);
  expect(outside).toEqual([]);
});
