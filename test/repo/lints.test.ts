import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
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
    lint: "oxlint, knowing the types, refuses a promise that is not awaited",
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
    lint: "knip refuses an unused export",
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
  ...[
    ["an enum", "export enum Colour {\n  red = 1,\n}\n"],
    ["a namespace", "export namespace Colours {\n  export const red = 1;\n}\n"],
    ["a parameter property", "export class Colour {\n  constructor(readonly red: number) {}\n}\n"],
  ].map(([what, source = ""]) => ({
    lint: `tsc refuses ${what}, which would have to be compiled away`,
    program: process.execPath,
    args: [bin("typescript/bin/tsc"), "-p", "tsconfig.json"],
    clean: { ...TSCONFIG, "src/file.ts": "export const Colour = { red: 1 } as const;\n" },
    broken: { ...TSCONFIG, "src/file.ts": source },
    says: /TS1294/,
  })),
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

/** The rules that are switched on by name, each with code that breaks it. */
const HABITS: Readonly<Record<string, string>> = {
  "array-callback-return": "export const all = [1].map((one) => {\n  if (one > 1) return 2;\n});\n",
  "default-case-last":
    "export function f(a: number): void {\n  switch (a) {\n    default:\n      break;\n    case 1:\n      break;\n  }\n}\n",
  eqeqeq: "export const same = (a: number, b: number) => a == b;\n",
  "jest/no-disabled-tests": 'test.skip("holds", () => {});\n',
  "jest/no-duplicate-hooks":
    'describe("all", () => {\n  beforeEach(() => {});\n  beforeEach(() => {});\n  test("holds", () => expect(1).toBe(1));\n});\n',
  "jest/no-focused-tests": 'test.only("holds", () => expect(1).toBe(1));\n',
  "jest/no-identical-title":
    'describe("all", () => {\n  test("holds", () => expect(1).toBe(1));\n  test("holds", () => expect(2).toBe(2));\n});\n',
  "no-array-constructor": "export const pair = new Array(0, 1);\n",
  "no-case-declarations":
    "export function f(a: number): number {\n  switch (a) {\n    case 1:\n      const b = 2;\n      return b;\n  }\n  return 0;\n}\n",
  "no-console": 'console.log("said");\n',
  "no-empty": "export function f(a: boolean): void {\n  if (a) {\n  }\n}\n",
  "no-fallthrough":
    "export function f(a: number): number {\n  let b = 0;\n  switch (a) {\n    case 1:\n      b = 1;\n    case 2:\n      b += 1;\n  }\n  return b;\n}\n",
  "no-labels": "export function f(): void {\n  outer: for (;;) {\n    for (;;) break outer;\n  }\n}\n",
  "no-lone-blocks": "export function f(): number {\n  {\n    return 1;\n  }\n}\n",
  "no-prototype-builtins": 'export const has = (a: object) => a.hasOwnProperty("b");\n',
  "no-redeclare": "export var a = 1;\nexport var a = 2;\n",
  "no-self-compare": "export const odd = (a: number) => a === a;\n",
  "no-sequences": "export const last = (a: number) => (a, 2);\n",
  "no-template-curly-in-string": `export const say = "all \${count} of them";\n`,
  "no-unused-vars": "const unused = 1;\nexport {};\n",
  "no-useless-return": "export function f(a: () => void): void {\n  a();\n  return;\n}\n",
  "no-var": "export function f(): number {\n  var a = 1;\n  return a;\n}\n",
  "prefer-arrow-callback": "export const more = [1].map(function (one) {\n  return one + 1;\n});\n",
  "prefer-const": "export function f(): number {\n  let a = 1;\n  return a;\n}\n",
  "prefer-exponentiation-operator": "export const cube = (a: number) => Math.pow(a, 3);\n",
  "prefer-regex-literals": 'export const digits = new RegExp("[0-9]", "u");\n',
  "prefer-rest-params": "export function f(): unknown {\n  return [...arguments];\n}\n",
  "typescript/array-type": "export const all: Array<string> = [];\n",
  "typescript/ban-types": "export const a: String = String(1);\n",
  "typescript/consistent-type-imports":
    'import { Other } from "./other.ts";\nexport const a: Other | undefined = undefined;\n',
  "typescript/no-empty-object-type": "export const a: {} = 1;\n",
  "typescript/no-explicit-any": "export const a = (b: any): unknown => b;\n",
  "typescript/no-floating-promises":
    "async function send(): Promise<void> {}\nexport function f(): void {\n  send();\n}\n",
  "typescript/no-import-type-side-effects":
    'import { type Other } from "./other.ts";\nexport const a: Other | undefined = undefined;\n',
  "typescript/no-inferrable-types": "export const f = (a: number = 1): number => a;\n",
  "typescript/no-misused-promises":
    "export function f(a: () => Promise<boolean>): number {\n  if (a()) return 1;\n  return 2;\n}\n",
  "typescript/no-namespace": "export namespace Colours {\n  export const red = 1;\n}\n",
  "typescript/only-throw-error": 'export function f(): void {\n  throw "words";\n}\n',
  "typescript/parameter-properties": "export class A {\n  constructor(readonly a: number) {}\n}\n",
  "typescript/switch-exhaustiveness-check":
    'export function f(a: "b" | "c"): number {\n  switch (a) {\n    case "b":\n      return 1;\n  }\n  return 2;\n}\n',
  "unicorn/no-static-only-class": "export class A {\n  static b = 1;\n}\n",
  "unicorn/no-useless-switch-case":
    "export function f(a: number): number {\n  switch (a) {\n    case 1:\n    default:\n      return 2;\n  }\n}\n",
  "unicorn/prefer-array-flat-map": "export const all = [1].map((one) => [one]).flat();\n",
  "unicorn/prefer-array-index-of": "export const at = [1, 2].findIndex((one) => one === 2);\n",
  "unicorn/prefer-date-now": "export const now = () => new Date().getTime();\n",
  "unicorn/prefer-node-protocol": 'import { join } from "path";\nexport const a = join("a", "b");\n',
  "unicorn/prefer-number-properties": 'export const a = parseInt("1", 10);\n',
};

test("every rule of oxlint that is switched on by name refuses what breaks it", () => {
  const { rules } = JSON.parse(readFileSync(resolve(ROOT, ".oxlintrc.json"), "utf8")) as {
    readonly rules: Readonly<Record<string, string | readonly unknown[]>>;
  };
  const named = Object.keys(rules).filter((rule) => rules[rule] !== "off");
  const fileOf = (rule: string) => `src/${rule.replace("/", "-")}.test.ts`;
  const tree = mkdtempSync(join(tmpdir(), "habits-"));
  try {
    symlinkSync(resolve(ROOT, "node_modules"), join(tree, "node_modules"));
    mkdirSync(join(tree, "src"));
    for (const [path, text] of Object.entries(TSCONFIG)) writeFileSync(join(tree, path), text);
    writeFileSync(join(tree, "src/other.ts"), "export interface Other {\n  readonly a: number;\n}\n");
    for (const [rule, text] of Object.entries(HABITS)) writeFileSync(join(tree, fileOf(rule)), text);
    const { stdout } = spawnSync(
      bin(".bin/oxlint"),
      ["--type-aware", "--config", resolve(ROOT, ".oxlintrc.json"), "--format", "json", "src"],
      { cwd: tree, encoding: "utf8" },
    );
    const { diagnostics } = JSON.parse(stdout) as {
      readonly diagnostics: readonly { readonly code: string; readonly filename: string }[];
    };
    const refused = (rule: string) =>
      diagnostics.some(
        ({ code, filename }) => code.endsWith(`(${rule.replace(/^.*\//, "")})`) && filename.endsWith(fileOf(rule)),
      );

    expect(Object.keys(HABITS).filter((rule) => !refused(rule))).toEqual([]);
    expect(named.filter((rule) => HABITS[rule] === undefined)).toEqual([]);
    expect(diagnostics.filter(({ filename }) => filename.endsWith("other.ts"))).toEqual([]);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
});
