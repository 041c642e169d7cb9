/**
 * One small change of the source that must make one named test fail. It proves that the test protects its
 * promise: a test that cannot fail protects nothing.
 */
export interface Mutation {
  /** The promise, as the delivery page or a test names it: `P4 equal instants …`. */
  readonly promise: string;
  /** The file that is changed, from the repository's root. */
  readonly file: string;
  /** Text that occurs in it exactly once. */
  readonly replace: string;
  readonly with: string;
  /**
   * The name of the test that must fail, or the beginning of it (its describe blocks included or left away).
   */
  readonly test: string;
  readonly testFile: string;
}

const FIELDS = ["promise", "file", "replace", "with", "test", "testFile"] as const;

/** Reads the list; throws one Error that names every mistake in it. */
export function readMutations(json: string): readonly Mutation[] {
  const list: unknown = JSON.parse(json);
  if (!Array.isArray(list)) throw new Error("a list of mutations is expected");
  const mistakes: string[] = [];
  list.forEach((entry: unknown, index) => {
    const given = typeof entry === "object" && entry !== null ? (entry as Record<string, unknown>) : {};
    const name = `entry ${index + 1} (${typeof given["promise"] === "string" ? given["promise"] : "without a promise"})`;
    for (const field of FIELDS)
      if (typeof given[field] !== "string") mistakes.push(`${name}: "${field}" must be a text`);
    for (const field of Object.keys(given))
      if (!FIELDS.some((known) => known === field)) mistakes.push(`${name}: "${field}" is not known`);
    if (given["replace"] === given["with"]) mistakes.push(`${name}: "replace" and "with" are the same`);
  });
  if (mistakes.length > 0) throw new Error(mistakes.join("\n"));
  return list as Mutation[];
}

/**
 * The changed source, or why the entry cannot be applied: a text that occurs twice would leave open which
 * place is meant.
 */
export function mutated(
  source: string,
  mutation: Mutation,
): { readonly source: string } | { readonly refused: string } {
  const at = source.indexOf(mutation.replace);
  if (at === -1) return { refused: `its text is not in ${mutation.file}` };
  if (source.indexOf(mutation.replace, at + 1) !== -1)
    return { refused: `its text is in ${mutation.file} more than once` };
  return { source: source.slice(0, at) + mutation.with + source.slice(at + mutation.replace.length) };
}

export type Verdict =
  /** The named test failed, as it must. */
  | { readonly is: "caught" }
  /** The named test still passed: it does not protect the promise. */
  | { readonly is: "missed" }
  /** Nothing was learned: the entry, the test or the changed source does not work. */
  | { readonly is: "unusable"; readonly why: string };

/** What a run of one test file says about the named test. */
export interface TestRun {
  /** Full names (describe blocks, then the test) of tests that ran, with their outcome. */
  readonly ran: readonly { readonly name: string; readonly title: string; readonly passed: boolean }[];
  /** Why the file could not run at all. */
  readonly broken: string | undefined;
}

/**
 * @param unchanged the run before,
 * @param changed the run after the mutation (undefined when it was not run).
 */
export function judge(mutation: Mutation, unchanged: TestRun, changed: TestRun | undefined): Verdict {
  const before = named(unchanged, mutation.test);
  if (unchanged.broken !== undefined)
    return { is: "unusable", why: `${mutation.testFile} does not run: ${unchanged.broken}` };
  if (before.length === 0) return { is: "unusable", why: `no test "${mutation.test}" in ${mutation.testFile}` };
  if (before.some((test) => !test.passed)) return { is: "unusable", why: "the test fails without the mutation too" };
  if (changed === undefined) return { is: "unusable", why: "not run" };
  // A source that cannot be loaded fails every test, so its failure says nothing about this test.
  if (changed.broken !== undefined)
    return { is: "unusable", why: `the changed source does not run: ${changed.broken}` };
  return named(changed, mutation.test).some((test) => !test.passed) ? { is: "caught" } : { is: "missed" };
}

function named(run: TestRun, test: string): TestRun["ran"] {
  return run.ran.filter((one) => one.name.startsWith(test) || one.title.startsWith(test));
}
