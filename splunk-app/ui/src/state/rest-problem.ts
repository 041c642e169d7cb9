/** A call to splunkd that failed: its HTTP status, 0 without an answer, and a sentence for a person. */
export class RestProblem extends Error {
  override readonly name = "RestProblem";
  readonly status: number;
  /** Of a new input: it may have been created all the same. */
  readonly mayBeDone: boolean;

  constructor(status: number, message: string, mayBeDone = false) {
    super(message);
    this.status = status;
    this.mayBeDone = mayBeDone;
  }
}
