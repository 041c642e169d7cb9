import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");

/** One file for each rule that breaks it: [rule, importing file, what it imports]. */
const OFFENCES: readonly (readonly [rule: string, file: string, imports: string])[] = [
  ["model-imports-nothing", "src/model/bad.ts", "../config/good.ts"],
  ["model-imports-nothing", "src/model/bad-fs.ts", "node:fs"],
  ["config-knows-model-only", "src/config/bad.ts", "../format/good.ts"],
  ["json-knows-model-only", "src/json/bad.ts", "../format/good.ts"],
  ["format-knows-model-and-json", "src/format/bad.ts", "../config/good.ts"],
  ["collect-knows-model-only", "src/collect/bad.ts", "../stores/good.ts"],
  ["stores-know-model-only", "src/stores/bad.ts", "../collect/good.ts"],
  ["net-knows-model-and-undici", "src/net/bad.ts", "../auth/good.ts"],
  ["auth-knows-model-net-and-msal", "src/auth/bad.ts", "../format/good.ts"],
  ["defender-knows-model-net-and-json", "src/defender/bad.ts", "../auth/good.ts"],
  ["outputs-know-what-they-write", "src/outputs/bad.ts", "../hosts/splunk/good.ts"],
  ["monitoring-knows-model-and-net", "src/monitoring/bad.ts", "../collect/good.ts"],
  ["prom-client-in-monitoring-only", "src/collect/bad-metric.ts", "prom-client"],
  ["hosts-know-no-vendor", "src/hosts/cli/bad.ts", "../../auth/good.ts"],
  ["hosts-know-no-vendor", "src/hosts/splunk/bad.ts", "../../defender/good.ts"],
  ["hosts-know-not-each-other", "src/hosts/arcsight/bad.ts", "../splunk/good.ts"],
  ["main-is-imported-by-nobody", "src/hosts/cli/bad-main.ts", "../../main/good.ts"],
  ["undici-in-net-only", "src/defender/bad-undici.ts", "undici"],
  ["kafka-behind-its-client", "src/outputs/bad-kafka.ts", "@platformatic/kafka"],
  ["pg-in-its-store-only", "src/main/bad-pg.ts", "pg"],
  ["msal-in-auth-only", "src/main/bad-msal.ts", "@azure/msal-node"],
  ["yargs-at-the-command-line-only", "src/config/bad-yargs.ts", "yargs"],
  ["fast-xml-parser-in-one-place", "src/stores/bad-xml.ts", "fast-xml-parser"],
  ["sockets-in-net-only", "src/hosts/splunk/bad-socket.ts", "node:https"],
  ["pure-parts-stay-pure", "src/collect/bad-disk.ts", "node:fs"],
  ["simulator-and-oracle-import-nothing-from-src-or-fakes", "test/harness/oracle/bad.ts", "../../../src/model/good.ts"],
  ["simulator-and-oracle-import-nothing-from-src-or-fakes", "test/harness/simulator/bad.ts", "../fakes/good.ts"],
  ["what-ships-imports-no-test", "src/stores/bad-fake.ts", "../../test/harness/fakes/good.ts"],
  ["what-ships-imports-no-test", "src/main/bad-test.ts", "../../test/harness/simulator/good.ts"],
  ["what-ships-uses-dependencies-only", "src/main/bad-dev.ts", "fast-check"],
  ["no-cycles", "src/net/circle-a.ts", "./circle-b.ts"],
  ["every-import-resolves", "scripts/bad.ts", "./nowhere.ts"],
];

/** What is allowed, and must not be reported. */
const INNOCENT: readonly (readonly [file: string, imports: string])[] = [
  ["src/net/circle-b.ts", "./circle-a.ts"],
  ["src/defender/fine.ts", "../json/good.ts"],
  ["src/format/fine.ts", "../json/good.ts"],
  ["src/outputs/fine.ts", "../format/good.ts"],
  ["src/auth/fine.ts", "@azure/msal-node"],
  ["src/net/fine.ts", "undici"],
  ["src/monitoring/fine.ts", "prom-client"],
  ["src/outputs/kafka-fine.ts", "@platformatic/kafka"],
  ["src/stores/postgres/fine.ts", "pg"],
  ["src/main/fine.ts", "../hosts/splunk/good.ts"],
  ["src/hosts/arcsight/fine.ts", "node:tls"],
  ["src/model/fine.test.ts", "fast-check"],
  ["src/stores/fine.test.ts", "../../test/harness/fakes/good.ts"],
];

let tree: string;

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), "import-rules-"));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  };
  for (const part of [
    "model",
    "config",
    "format",
    "json",
    "outputs",
    "collect",
    "stores",
    "net",
    "auth",
    "defender",
    "main",
    "hosts/splunk",
  ]) {
    write(`src/${part}/good.ts`, "export const good = 1;\n");
  }
  for (const part of ["simulator", "fakes"]) write(`test/harness/${part}/good.ts`, "export const good = 1;\n");
  for (const [path, imported] of [...OFFENCES.map(([, file, imports]) => [file, imports] as const), ...INNOCENT]) {
    write(
      path,
      path.includes("circle")
        ? `import * as it from "${imported}";\nexport { it };\n`
        : `import type * as it from "${imported}";\nexport type It = typeof it;\n`,
    );
  }
  const packages = [
    "undici",
    "@azure/msal-node",
    "@platformatic/kafka",
    "yargs",
    "fast-xml-parser",
    "fast-check",
    "prom-client",
    "pg",
  ];
  const [developed, shipped] = [["fast-check"], packages.filter((name) => name !== "fast-check")].map((names) =>
    Object.fromEntries(names.map((name) => [name, "1.0.0"])),
  );
  write("package.json", JSON.stringify({ type: "module", dependencies: shipped, devDependencies: developed }));
  for (const name of packages) {
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, version: "1.0.0", main: "index.js" }));
    write(`node_modules/${name}/index.js`, "export {};\n");
  }
});

afterAll(() => rmSync(tree, { recursive: true, force: true }));

interface Report {
  readonly summary: {
    readonly violations: readonly { readonly rule: { readonly name: string }; readonly from: string }[];
    readonly ruleSetUsed: { readonly forbidden: readonly { readonly name: string; readonly comment: string }[] };
  };
}

function cruise(): Report["summary"] {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      resolve(ROOT, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs"),
      "--config",
      resolve(ROOT, ".dependency-cruiser.mjs"),
      "--output-type",
      "json",
      "src",
      "test",
      "scripts",
    ],
    { cwd: tree, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
  );
  if (stdout === "") throw new Error(stderr);
  return (JSON.parse(stdout) as Report).summary;
}

test("every import rule can fail, accepts what is allowed, and gives its reason", () => {
  const { violations, ruleSetUsed } = cruise();
  const found = violations.map(({ rule, from }) => ({ rule: rule.name, from }));

  for (const [rule, file] of OFFENCES) expect(found).toContainEqual({ rule, from: file });
  const innocent = INNOCENT.map(([file]) => file).filter((file) => !file.includes("circle"));
  expect(found.filter(({ from }) => innocent.includes(from))).toEqual([]);
  expect(new Set(OFFENCES.map(([rule]) => rule))).toEqual(new Set(ruleSetUsed.forbidden.map(({ name }) => name)));
  for (const { comment } of ruleSetUsed.forbidden) expect(comment.length).toBeGreaterThan(40);
});
