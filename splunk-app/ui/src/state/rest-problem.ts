/** A call to splunkd that failed: its HTTP status, 0 without an answer, and a sentence for a person. */
export class RestProblem extends Error {
  override readonly name = "RestProblem";
  readonly status: number;
  /** Of a save: splunkd may have taken it all the same. */
  readonly mayBeDone: boolean;

  constructor(status: number, message: string, mayBeDone = false) {
    super(message);
    this.status = status;
    this.mayBeDone = mayBeDone;
  }
}

/** The running input could not even be asked: a command can do what was asked for. */
export class NotAsked extends RestProblem {}

/** Without an answer of splunkd, or with one of somebody between. */
export function isLost(error: unknown): error is RestProblem {
  return error instanceof RestProblem && (error.status === 0 || error.status >= 500);
}

/**
 * What a person reads.
 *
 * @param message splunkd's own words; empty where it has none.
 */
export function sentenceFor(status: number, message: string, isSave = false): string {
  if (status === 401)
    return message.includes("CSRF")
      ? "Splunk Web rejected the form key of this page, probably after a new login. Nothing was saved. Log in to Splunk in another tab, then try again here; what you typed stays."
      : "Your session has ended. Log in to Splunk in another tab, then try again here; what you typed stays.";
  if (status === 403) return `You are not allowed to do this. ${message || "Ask for the role admin or sc_admin."}`;
  if (status === 404) return "This no longer exists in Splunk. It may have been deleted in another tab.";
  if (status === 409) return "An input with this name already exists. Choose another name.";
  if (status === 503) return `Splunk is not ready: ${message || "wait until it has started"}`;
  if (status >= 500) {
    const failed = `Splunk failed (${status}): ${message || "look for the cause in splunkd.log"}.`;
    if (!isSave) return failed;
    return `${failed} It is not known whether this was saved: look in another tab before you try again.`;
  }
  return message || `Splunk refused this (${status}).`;
}
