/**
 * Parts that CI installs and a person's machine may lack: programs of Debian, and executables for other
 * platforms. Their tests are skipped without them, and say so; where real parts are required
 * (DEFENDER_MSSP_REAL_PARTS=1) their absence fails.
 */
import { describe, expect, test } from "@jest/globals";

export const REAL_PARTS_REQUIRED = process.env["DEFENDER_MSSP_REAL_PARTS"] === "1";

/**
 * `describe` where the parts are there, else `describe.skip`.
 *
 * @param parts more than one, because a sentence begins with them.
 * @param missing what this machine lacks, in words; undefined where nothing is missing.
 */
export function describeWith(parts: string, missing: string | undefined): typeof describe.skip {
  const why = missing === undefined ? "" : ` (${missing})`;
  test(`${parts} are there where real parts are required${why}`, () => {
    expect(REAL_PARTS_REQUIRED ? missing : undefined).toBe(undefined);
  });
  if (missing === undefined) return describe;
  process.stderr.write(`NOT tested with ${parts}: ${missing}\n`);
  return describe.skip;
}
