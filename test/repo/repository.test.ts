import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(resolve(ROOT, path), "utf8");

interface PackageFile {
  readonly license: string;
  readonly config: { readonly runtime: string };
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly overrides: Readonly<Record<string, string>>;
}

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
}

const packageFile = JSON.parse(read("package.json")) as PackageFile;
const lock = JSON.parse(read("package-lock.json")) as { readonly packages: Readonly<Record<string, LockedPackage>> };

/** Files that git tracks or would track: what a clone gets. */
function ownFiles(): string[] {
  const { stdout, status } = spawnSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error("these tests need a git checkout");
  return stdout.split("\n").filter((path) => path !== "");
}

describe("the installed packages", () => {
  test("every dependency is pinned to one version, so that two installs are the same", () => {
    const ranges = [
      packageFile.dependencies,
      packageFile.devDependencies,
      packageFile.optionalDependencies,
      packageFile.overrides,
    ]
      .flatMap((group) => Object.entries(group))
      .filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));

    expect(ranges).toEqual([]);
  });

  test("the lockfile holds a hash for every package and no address, so that any registry serves it and none can change it", () => {
    const rows = Object.entries(lock.packages).filter(([path, row]) => path !== "" && row.link !== true);

    expect(
      rows.filter(([path, { integrity }]) => integrity === undefined && !isBundled(path)).map(([path]) => path),
    ).toEqual([]);
    expect(rows.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
    expect(rows.length).toBeGreaterThan(100);
  });

  test("the runtime of every platform is the one that package.json names", () => {
    expect(new Set(Object.values(packageFile.optionalDependencies))).toEqual(new Set([packageFile.config.runtime]));
    expect(process.versions.node).toBe(packageFile.config.runtime);
  });

  test("version managers are given the runtime that package.json names", () => {
    expect(read(".node-version")).toBe(`${packageFile.config.runtime}\n`);
  });

  test("no package's install script runs, and this one has none", () => {
    expect(read(".npmrc")).toContain("ignore-scripts=true");
    expect(Object.keys(packageFile.scripts).filter((name) => /^(pre|post)/.test(name))).toEqual([]);
  });
});

/** npm keeps no hash for what lies inside another package's archive. */
function isBundled(path: string): boolean {
  return (lock.packages[path] as { inBundle?: boolean } | undefined)?.inBundle === true;
}

describe("the repository's files", () => {
  test("no package registry is named, so that the sources work behind any mirror", () => {
    const hosts = [
      ["registry", "npmjs", "org"],
      ["files", "pythonhosted", "org"],
      ["pypi", "org"],
      ["registry", "yarnpkg", "com"],
      ["deb", "debian", "org"],
    ].map((labels) => labels.join("."));
    const naming = ownFiles()
      .filter((path) => !path.startsWith("test/fixtures/"))
      .filter((path) => hosts.some((host) => read(path).includes(host)));

    expect(naming).toEqual([]);
  });

  test.each([
    "node_modules/undici/index.js",
    "dist/linux-x64/defender-mssp",
    "dist/TA_defender_mssp-1.0.0.tgz",
    ".cache/runtimes/node",
    ".venv/appinspect/bin/python",
    "coverage/index.html",
    "tmp/anything",
    "npm-debug.log",
  ])("%s is generated, so git ignores it", (path) => {
    expect(spawnSync("git", ["check-ignore", "--quiet", "--no-index", path], { cwd: ROOT }).status).toBe(0);
  });

  test("text is checked out with LF on every system, samples and golden files byte for byte", () => {
    const { stdout } = spawnSync("git", ["ls-files", "--eol"], { cwd: ROOT, encoding: "utf8" });
    const rows = [...stdout.matchAll(/^i\/(\S*)\s+w\/\S*\s+attr\/(.*?)\s*\t(.+)$/gm)].map(
      ([, stored, rule, path = ""]) => ({
        path,
        stored,
        rule,
      }),
    );
    const keepsBytes = (path: string) => /^test\/fixtures\/|(^|\/)golden\/|\.(snap|png)$/.test(path);

    expect(rows.length).toBeGreaterThan(500);
    expect(rows.filter(({ path, rule }) => rule !== (keepsBytes(path) ? "-text" : "text=auto eol=lf"))).toEqual([]);
    expect(rows.filter(({ path, stored }) => !keepsBytes(path) && stored !== "lf" && stored !== "none")).toEqual([]);
  });

  test("nothing that git tracks is generated or large", () => {
    const tracked = spawnSync("git", ["ls-files", "-z"], { cwd: ROOT, encoding: "utf8" }).stdout.split("\0");

    expect(
      tracked.filter(
        (path) =>
          /(^|\/)(node_modules|dist|\.venv|coverage|tmp)\/|\.(tgz|zip|exe|log)$/.test(path) &&
          !path.startsWith("test/fixtures/"),
      ),
    ).toEqual([]);
  });

  test("the licence is the whole text of the Apache License 2.0", () => {
    const licence = read("LICENSE");

    expect(packageFile.license).toBe("Apache-2.0");
    expect(licence).toContain("Version 2.0, January 2004");
    expect(licence).toContain("END OF TERMS AND CONDITIONS");
    expect(licence.length).toBeGreaterThan(11_000);
  });

  test.each([
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/delivery.md",
    "docs/release.md",
    "docs/decisions/README.md",
    "changes/README.md",
  ])("%s is there", (page) => {
    expect(ownFiles()).toContain(page);
  });

  test("every decision page says what was weighed and what would change it", () => {
    const pages = ownFiles().filter(
      (path) => /^docs\/decisions\/[\w-]+\.md$/.test(path) && !path.endsWith("README.md"),
    );
    const lacking = ["Context", "Choice", "Alternatives", "What would change our mind"].flatMap((part) =>
      pages.filter((path) => !read(path).includes(`**${part}.**`)).map((path) => `${path}: ${part}`),
    );

    expect(pages.length).toBeGreaterThan(0);
    expect(lacking).toEqual([]);
  });

  test("no comment leaves work for later, and no test is switched off", () => {
    const leftovers = /\b(TODO|FIXME|XXX)\b/;
    const ours = ownFiles().filter(
      (path) =>
        /\.(ts|mjs|md|json|sh)$/.test(path) && !/^test\/fixtures\/|package-lock|^test\/repo\/repository/.test(path),
    );

    // Parts that only CI installs are chosen by a condition (`present ? describe : describe.skip`), which is
    // not such a call and stays allowed.
    expect(ours.filter((path) => leftovers.test(read(path)))).toEqual([]);
    expect(
      ours.filter(
        (path) =>
          path.endsWith(".test.ts") &&
          /\b(test|describe|it)\.(skip|todo|only)(\.each)?\(/.test(read(path)) &&
          path !== "test/repo/lints.test.ts",
      ),
    ).toEqual([]);
  });
});

describe("the npm scripts", () => {
  const NAMED = [
    "demo",
    "build:binaries",
    "package",
    "simulate",
    "splunkd",
    "oracle",
    "record",
    "scrub",
    "bench",
    "fuzz",
    "appinspect",
    "docs",
    "lint:words",
    "lint:commits",
  ];

  test.each(NAMED)("npm run %s answers --help, on stdout, with exit code 0 and what it does", (name) => {
    const { status, stdout } = spawnSync("npm", ["run", "--silent", name, "--", "--help"], {
      cwd: ROOT,
      encoding: "utf8",
    });

    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`npm run (-s )?${name}`));
    expect(stdout.trim().split("\n").length).toBeGreaterThan(1);
  });

  test("every npm script refuses another runtime than the pinned one", () => {
    const free = Object.entries(packageFile.scripts).filter(
      ([, command]) =>
        command.startsWith("node ") && !command.startsWith("node --import ./scripts/pinned-runtime.mjs "),
    );

    expect(free).toEqual([]);
  });
});
