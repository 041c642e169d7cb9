import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");
const bin = (path: string) => resolve(ROOT, "node_modules", path);

interface Case {
  readonly lint: string;
  readonly program: string;
  readonly args: readonly string[];
  /** A tree that passes, and one file that makes it fail. */
  readonly clean: Readonly<Record<string, string>>;
  readonly broken: Readonly<Record<string, string>>;
  readonly says: RegExp;
}

const TSCONFIG = {
  "package.json": JSON.stringify({ type: "module" }),

  "tsconfig.json": JSON.stringify({
    extends: resolve(ROOT, "tsconfig.json"),
    compilerOptions: { types: [] },
    include: ["src"],
  }),
};

const CASES: readonly Case[] = [
  {
    lint: "biome refuses what is not formatted",
    program: bin(".bin/biome"),
    args: [
      "check",
      "--error-on-warnings",
      "--vcs-enabled=false",
      `--config-path=${resolve(ROOT, "biome.json")}`,
      "src",
    ],
    clean: { "src/file.ts": "export const answer = 42;\n" },
    broken: { "src/file.ts": "export const answer=42\n" },
    says: /Formatter would have printed/,
  },
  {
    lint: "biome refuses a test that is skipped",
    program: bin(".bin/biome"),
    args: ["lint", "--error-on-warnings", "--vcs-enabled=false", `--config-path=${resolve(ROOT, "biome.json")}`, "src"],
    clean: { "src/file.test.ts": 'test("holds", () => {});\n' },
    broken: { "src/file.test.ts": 'test.skip("holds", () => {});\n' },
    says: /noSkippedTests/,
  },
  {
    lint: "oxlint, knowing the types, refuses a promise that nobody awaits",
    program: bin(".bin/oxlint"),
    args: ["--type-aware", "--deny-warnings", "--config", resolve(ROOT, ".oxlintrc.json"), "src"],
    clean: {
      ...TSCONFIG,
      "src/file.ts":
        "async function send(): Promise<void> {}\nexport async function main(): Promise<void> {\n  await send();\n}\n",
    },
    broken: {
      ...TSCONFIG,
      "src/file.ts": "async function send(): Promise<void> {}\nexport function main(): void {\n  send();\n}\n",
    },
    says: /no-floating-promises/,
  },
  {
    lint: "knip refuses an export that nobody uses",
    program: process.execPath,
    args: [bin("knip/bin/knip.js"), "--no-progress", "--config", "knip.json"],
    clean: {
      "package.json": "{}",
      "knip.json": JSON.stringify({ entry: ["src/main.ts"], project: ["src/**/*.ts"] }),
      "src/main.ts": 'import { used } from "./part.ts";\n\nprocess.exitCode = used;\n',
      "src/part.ts": "export const used = 1;\n",
    },
    broken: { "src/part.ts": "export const used = 1;\nexport const unused = 2;\n" },
    says: /Unused exports[\s\S]*unused/,
  },
  {
    lint: "tsc refuses an index that may be missing",
    program: process.execPath,
    args: [bin("typescript/bin/tsc"), "-p", "tsconfig.json"],
    clean: { ...TSCONFIG, "src/file.ts": "export const first = (all: string[]): string => all[0] ?? '';\n" },
    broken: { ...TSCONFIG, "src/file.ts": "export const first = (all: string[]): string => all[0];\n" },
    says: /TS2322/,
  },
  {
    lint: "tsc refuses syntax that would have to be compiled away",
    program: process.execPath,
    args: [bin("typescript/bin/tsc"), "-p", "tsconfig.json"],
    clean: { ...TSCONFIG, "src/file.ts": "export const Colour = { red: 1 } as const;\n" },
    broken: { ...TSCONFIG, "src/file.ts": "export enum Colour {\n  red = 1,\n}\n" },
    says: /TS1294/,
  },
];

test.each(CASES)("$lint", ({ program, args, clean, broken, says }) => {
  const tree = mkdtempSync(join(tmpdir(), "lints-"));
  try {
    symlinkSync(resolve(ROOT, "node_modules"), join(tree, "node_modules"));
    const run = (files: Readonly<Record<string, string>>) => {
      for (const [path, text] of Object.entries(files)) {
        mkdirSync(dirname(join(tree, path)), { recursive: true });
        writeFileSync(join(tree, path), text);
      }
      const { status, stdout, stderr } = spawnSync(program, args, { cwd: tree, encoding: "utf8" });
      return { status, text: stdout + stderr };
    };

    expect(run(clean)).toMatchObject({ status: 0 });
    const failed = run(broken);

    expect(failed.status).not.toBe(0);
    expect(failed.text).toMatch(says);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
});
