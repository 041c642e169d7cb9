/**
 * `npm run appinspect`: Splunk's own inspector over the finished archives, compared with
 * scripts/appinspect/expected.json.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { compare, type Expected, findingsOf } from "./appinspect/findings.ts";
import { ROOT, runScript, ScriptProblem, VERSION } from "./build/project.ts";

const HELP = `npm run appinspect -- [ARCHIVE]...

Runs splunk-appinspect (from PyPI, into .venv/) over dist/TA_*.tgz and dist/SA_*.tgz, or over the archives named, with the cloud, private-cloud and
future tags. Reports: dist/appinspect/<archive>.json. A finding that scripts/appinspect/expected.json does not list fails, and so does one that it lists in vain.
`;

const TAGS = ["cloud", "private_app", "private_classic", "private_victoria", "future"];
const REQUIREMENTS = resolve(ROOT, "scripts/appinspect/requirements.txt");

const INSTALL_ATTEMPTS = 3;

/**
 * The inspector's executable, installed when it is not there or its pins have changed. Throws ScriptProblem.
 */
function inspector(): string {
  const pins = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex").slice(0, 12);
  const venv = resolve(ROOT, ".venv", `appinspect-${pins}`);
  const executable = resolve(venv, "bin/splunk-appinspect");
  if (existsSync(resolve(venv, "complete"))) return executable;
  rmSync(venv, { recursive: true, force: true });
  const python = ["python3", "/usr/bin/python3"].find(
    (candidate) => spawnSync(candidate, ["-c", "import venv, ensurepip"]).status === 0,
  );
  if (python === undefined)
    throw new ScriptProblem("splunk-appinspect needs python3 with venv (Debian: python3-venv).");
  process.stderr.write("installing splunk-appinspect\n");
  run(python, ["-m", "venv", venv], "No virtual environment could be made");
  const pip = resolve(venv, "bin/pip");
  const install = ["install", "--quiet", "--requirement", REQUIREMENTS];
  // An index that answers one question of fifty wrongly makes pip say that a version does not exist.
  for (let attempt = 1; attempt < INSTALL_ATTEMPTS; attempt += 1)
    if (spawnSync(pip, install, { stdio: "ignore" }).status === 0) break;
  run(pip, install, "splunk-appinspect could not be installed from PyPI");
  writeFileSync(resolve(venv, "complete"), "");
  return executable;
}

function run(program: string, args: readonly string[], otherwise: string): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0)
    throw new ScriptProblem(`${otherwise}: ${error?.message ?? stderr.trim().split("\n").at(-1) ?? ""}`);
}

/** The part of an archive's name that its expectations are kept under: without version and ending. */
function kindOf(archive: string): string {
  return archive.replace(`-${VERSION}`, "").replace(/[.](tgz|tar[.]gz|spl)$/, "");
}

function inspect(executable: string, archive: string): boolean {
  const report = resolve(ROOT, "dist/appinspect", `${archive}.json`);
  rmSync(report, { force: true });
  const { stderr } = spawnSync(
    executable,
    [
      "inspect",
      resolve(ROOT, "dist", archive),
      "--mode",
      "test",
      ...TAGS.flatMap((tag) => ["--included-tags", tag]),
      "--skip-trusted-libraries-update",
      "--max-messages",
      "all",
      "--data-format",
      "json",
      "--output-file",
      report,
    ],
    { encoding: "utf8", maxBuffer: 256 * 1024 * 1024 },
  );
  if (!existsSync(report))
    throw new ScriptProblem(
      `splunk-appinspect wrote no report on ${archive}: ${stderr.trim().split("\n").at(-1) ?? ""}`,
    );
  const known = JSON.parse(readFileSync(resolve(ROOT, "scripts/appinspect/expected.json"), "utf8")) as Record<
    string,
    Expected[] | undefined
  >;
  const findings = findingsOf(JSON.parse(readFileSync(report, "utf8")));
  const { unexpected, gone } = compare(findings, known[kindOf(archive)] ?? []);
  for (const { check, result, messages } of unexpected) {
    process.stderr.write(
      `  not expected: ${result} ${check}\n${messages.map((message) => `    ${message.replaceAll("\n", " ")}\n`).join("")}`,
    );
  }
  for (const { check, result } of gone)
    process.stderr.write(
      `  expected, but it did not come: ${result} ${check}; take it out of scripts/appinspect/expected.json\n`,
    );
  const holds = unexpected.length === 0 && gone.length === 0;
  process.stdout.write(
    `${holds ? "ok    " : "FAILED"} ${archive}: ${findings.length} findings, ${findings.length - unexpected.length} of them expected\n`,
  );
  return holds;
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    process.stdout.write(HELP);
    return;
  }
  const inDist = existsSync(resolve(ROOT, "dist")) ? readdirSync(resolve(ROOT, "dist")) : [];
  const archives =
    args.length > 0
      ? args.map((path) => path.replace(/^dist\//, ""))
      : inDist.filter((name) => /^[TS]A_.*[.]tgz$/.test(name) && name.includes(VERSION)).sort();
  if (archives.length === 0)
    throw new ScriptProblem("There is nothing to inspect in dist/: npm run package comes first.");
  const executable = inspector();
  mkdirSync(resolve(ROOT, "dist/appinspect"), { recursive: true });
  const failed = archives.filter((archive) => !inspect(executable, archive));
  if (failed.length > 0)
    throw new ScriptProblem(
      `Splunk AppInspect finds more, or less, than scripts/appinspect/expected.json says of ${failed.join(", ")}; reports lie in dist/appinspect/.`,
    );
}

if (import.meta.main) await runScript(main);
