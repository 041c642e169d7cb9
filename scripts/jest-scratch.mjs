import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let folder;

/** One run of the tests has a temporary folder of its own, so that nothing left there outlives the run. */
export default function setup() {
  folder = mkdtempSync(join(tmpdir(), "defender-mssp-tests-"));
  // As /tmp: some tests start the program as another user, who must be able to pass through.
  chmodSync(folder, 0o1777);
  process.env["TMPDIR"] = folder;
}

export function teardown() {
  rmSync(folder, { recursive: true, force: true });
}
