/**
 * `npm run advisories`: asks the registry for advisories about the locked packages, and compares them with
 * scripts/package/advisories.json. Exit 0 where the registry has no such service, and says so.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";
import { type Accepted, judgeAudit } from "./package/advisories.ts";

const HELP = `npm run advisories

Exit 1 when a locked package has an advisory that scripts/package/advisories.json does not accept with a reason.
`;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { help: { type: "boolean", default: false } } });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const accepted = JSON.parse(
    readFileSync(resolve(ROOT, "scripts/package/advisories.json"), "utf8"),
  ) as readonly Accepted[];
  const { stdout } = spawnSync("npm", ["audit", "--json"], {
    cwd: ROOT,
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  const findings = judgeAudit(stdout, accepted);
  if (findings === undefined) {
    process.stderr.write("The registry did not answer about advisories, so nothing was checked.\n");
    return;
  }
  if (findings.length > 0) throw new ScriptProblem(findings.join("\n"));
  process.stdout.write("No locked package has an advisory that is not accepted.\n");
}

if (import.meta.main) await runScript(main);
