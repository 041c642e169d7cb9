/** `npm run lint:commits`: the first line of every new commit is short enough for one line of a log. */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { ROOT, runScript, ScriptProblem } from "./build/project.ts";

/** The newest commit that is not looked at: many before it have longer subjects. */
const LAST_COMMIT_BEFORE_THE_RULE = "269617481cd13ff89449cee8a10e1ebb5a09073b";
const MAX_SUBJECT = 72;

const HELP = `npm run lint:commits [-- [--root DIR] [--since COMMIT]]

Names each commit after COMMIT whose subject is longer than ${MAX_SUBJECT} characters; exit code 1 when there is one. Merge commits are left out.
A shallow clone may not hold COMMIT: then only the commits that it holds are looked at.
Without git history nothing can be looked at; it says so and exits 0.

  --root DIR      another repository than this one
  --since COMMIT  the newest commit that is not looked at (default: ${LAST_COMMIT_BEFORE_THE_RULE.slice(0, 12)})
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { root: { type: "string" }, since: { type: "string" }, help: { type: "boolean" } },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const git = gitIn(values.root ?? ROOT);
  const since = values.since ?? LAST_COMMIT_BEFORE_THE_RULE;
  const isShallow = git("rev-parse", "--is-shallow-repository");
  if (isShallow === undefined || git("rev-parse", "--verify", "--quiet", "HEAD") === undefined) {
    process.stderr.write("No git history here: the subjects of commits were not looked at.\n");
    return;
  }
  const range = rangeAfter(since, git, isShallow === "true");
  const commits = (git("log", "--no-merges", "--format=%h%x09%s", ...range) ?? "")
    .split("\n")
    .filter((row) => row !== "");
  const long = commits
    .map((row) => ({ hash: row.slice(0, row.indexOf("\t")), subject: row.slice(row.indexOf("\t") + 1) }))
    .filter(({ subject }) => Array.from(subject).length > MAX_SUBJECT);

  for (const { hash, subject } of long)
    process.stdout.write(`${hash} ${Array.from(subject).length} characters: ${subject}\n`);
  if (long.length > 0)
    throw new ScriptProblem(
      `${long.length} of ${commits.length} commits have a subject above ${MAX_SUBJECT} characters. Shorten it with git commit --amend or git rebase --interactive, and put the reason into the body.`,
    );
}

/** What `git log` is asked for. Throws ScriptProblem when a full clone does not hold the commit. */
function rangeAfter(since: string, git: Git, isShallow: boolean): string[] {
  if (git("merge-base", "--is-ancestor", since, "HEAD") !== undefined) return [`${since}..HEAD`];
  if (!isShallow)
    throw new ScriptProblem(
      `${since} is not in the history of HEAD. Set LAST_COMMIT_BEFORE_THE_RULE in scripts/commit-subjects.ts to a commit that is.`,
    );
  process.stderr.write(
    `A shallow clone without ${since.slice(0, 12)}: only the commits that it holds were looked at.\n`,
  );
  return ["HEAD"];
}

type Git = (...args: readonly string[]) => string | undefined;

/** Runs git in a folder; undefined when it is missing or fails. */
function gitIn(cwd: string): Git {
  return (...args) => {
    const { status, stdout } = spawnSync("git", args, { cwd, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
    return status === 0 ? stdout.trim() : undefined;
  };
}

await runScript(main);
