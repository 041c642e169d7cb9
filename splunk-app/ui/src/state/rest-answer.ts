import { RestProblem } from "./rest-problem.ts";

export interface RestAnswer {
  readonly ok: boolean;
  readonly status: number;
  readonly text: string;
}

/**
 * Waits for the whole answer. Throws RestProblem with status 0 where there is none, also when the connection
 * broke in the middle of it: a save may then have been carried out.
 */
export async function wholeAnswer(request: () => Promise<Response>): Promise<RestAnswer> {
  try {
    const answer = await request();
    return { ok: answer.ok, status: answer.status, text: await answer.text() };
  } catch {
    throw new RestProblem(
      0,
      "Splunk Web does not answer. What you typed stays; try again when the connection is back.",
    );
  }
}
