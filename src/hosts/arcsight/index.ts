/**
 * The only way into the ArcSight host. `main` builds the real world (disk, clock, state folder, engine) and
 * calls:
 *
 * - every `arcsight` command: `config = readArcSightConfig(bytes, file, { nowMs, secrets:
 *   realSecretReader(environment, platform), files, overrides })`, then logs `config.warnings` and
 *   `config.problems` through a `lineLog` with `timedLevel`.
 * - `arcsight run`: refuses to start (exit 2) with `config.outputProblems`; otherwise
 *   `openOutputs(config.outputs, config.settings.stanzas, stateDir, world)` makes the collector's destination,
 *   once the state folder is held.
 */

export { realDialer } from "../../outputs/dial.ts";
export { sendOnce } from "../../outputs/hec-once.ts";
export { commitOnce } from "../../outputs/kafka-once.ts";
export {
  hecClientOf,
  kafkaWhere,
  openEachOutput,
  openOutputs,
  reportLeftSpools,
  spoolsIn,
} from "../../outputs/open-outputs.ts";
export { RejectedEvents, type RejectedFile } from "../../outputs/rejected.ts";
export type { OutputsSink } from "../../outputs/sink.ts";
export { objectOfKey } from "../../outputs/version-key.ts";
export type { CheckLine } from "./check.ts";
export { checkExit, checkTable, failedLine, goodLine, settingsLines, testEventLine } from "./check.ts";
export type { ArcSightConfig } from "./configuration.ts";
export { ofSplunk, rawFromProperties, readArcSightConfig } from "./configuration.ts";
export { lint } from "./lint.ts";
export { openServe } from "./open-serve.ts";
export { realSecretReader } from "./secret-reader.ts";
export { readSplunksInputs } from "./splunks-inputs.ts";
