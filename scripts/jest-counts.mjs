/**
 * Closes a jest run with one plain line that any reader of a log understands: how many passed and how many
 * failed.
 */
export default class CountsReporter {
  /**
   * @param {unknown} _contexts
   * @param {{numPassedTests: number, numFailedTests: number, numPendingTests: number,
   *   numRuntimeErrorTestSuites: number}} results
   */
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests > 0 ? `, ${results.numPendingTests} skipped` : "";
    process.stdout.write(`Tests: ${results.numPassedTests} passed, ${failed} failed${skipped}\n`);
  }
}
