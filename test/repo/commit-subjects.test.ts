import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";

const SCRIPT = resolve(import.meta.dirname, "../../scripts/commit-subjects.ts");
const LONG_BEFORE = `old: ${"a".repeat(80)}`;
const SHORT = `new: ${"é".repeat(67)}`;
const LONG = `new: ${"é".repeat(68)}`;

let folder: string;
let repository: string;
let base: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "subjects-"));
  repository = join(folder, "full");
  git(folder, "init", "--quiet", "--initial-branch=main", repository);
  commit(LONG_BEFORE);
  base = git(repository, "rev-parse", "HEAD");
  commit(SHORT);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function git(cwd: string, ...args: readonly string[]): string {
  const identity = ["-c", "user.name=A Person", "-c", "user.email=person@example.test", "-c", "commit.gpgsign=false"];
  const { status, stdout, stderr } = spawnSync("git", [...identity, ...args], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

function commit(subject: string): void {
  git(repository, "commit", "--quiet", "--allow-empty", "--message", subject);
}

function check(
  root: string,
  since = base,
): { readonly status: number | null; readonly out: string; readonly errors: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, "--root", root, "--since", since], {
    encoding: "utf8",
  });
  return { status, out: stdout, errors: stderr };
}

function shallow(name: string): string {
  const clone = join(folder, name);
  git(folder, "clone", "--quiet", "--depth=1", pathToFileURL(repository).href, clone);
  return clone;
}

test("a subject of 72 characters passes, and those before the rule are not looked at", () => {
  expect(check(repository)).toEqual({ status: 0, out: "", errors: "" });
});

test("a shallow clone without the commit of the rule says that it looked at its own commits only", () => {
  expect(check(shallow("short"))).toEqual({
    status: 0,
    out: "",
    errors: expect.stringContaining("only the commits that it holds were looked at"),
  });
});

test("without git history it says that nothing was looked at and passes", () => {
  expect(check(folder)).toEqual({ status: 0, out: "", errors: expect.stringContaining("were not looked at") });
});

test("a full clone that does not hold the commit of the rule fails and says what to do", () => {
  const { status, errors } = check(repository, "0".repeat(40));

  expect(status).toBe(1);
  expect(errors).toContain("Set LAST_COMMIT_BEFORE_THE_RULE");
});

test("a new subject of 73 characters is named and fails, in a full clone and in a shallow one", () => {
  commit(LONG);

  for (const root of [repository, shallow("long")]) {
    const { status, out, errors } = check(root);
    expect(status).toBe(1);
    expect(out).toMatch(new RegExp(`^[0-9a-f]{7,} 73 characters: ${LONG}\\n$`, "u"));
    expect(errors).toContain("git commit --amend");
  }
});
