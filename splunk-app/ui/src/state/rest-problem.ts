/** A call to splunkd that failed: its HTTP status, 0 without an answer, and a sentence for a person. */
export class RestProblem extends Error {
  override readonly name = "RestProblem";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
