import { problemLine } from "../config/settings.ts";
import type { ArcSightConfig } from "../hosts/arcsight/index.ts";
import type { ExitCode } from "../model/failure.ts";
import { EXIT } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";

export interface CheckedConfig {
  readonly config: Pick<ArcSightConfig, "warnings" | "taken" | "problems" | "outputProblems">;
  /** Number of customers that can be collected. */
  readonly customers: number;
  /** There may be others, in a fleet's database. */
  readonly customersElsewhere?: boolean;
}

/**
 * Logs what is wrong; returns an exit code if this configuration cannot be used.
 *
 * @param options `again`: another configuration is in use and stays in use, so collection continues even if
 *   this one is wrong.
 */
export function tell(
  { config, customers, customersElsewhere = false }: CheckedConfig,
  log: Log,
  { needOutputs, again }: { readonly needOutputs: boolean; readonly again: boolean },
): ExitCode | undefined {
  for (const warning of config.warnings) log.warn(warning);
  for (const { key, say } of config.taken.filter(({ taken }) => !taken)) log.info(`${key} ${say}`);
  for (const problem of config.problems) log.error(problemLine(problem));
  if (needOutputs && config.outputProblems.length > 0) {
    for (const problem of config.outputProblems.filter((one) => !config.problems.includes(one)))
      log.error(problemLine(problem));
    if (!again)
      log.fatal(
        "an output is wrong, and without it events would be missed for ever: nothing is collected until it is right",
      );
    return EXIT.usage;
  }
  if (customers > 0 || customersElsewhere) return undefined;
  if (!again) log.fatal("no customer can be collected: see the errors above");
  return EXIT.usage;
}

/** What only `arcsight run` does of a configuration. */
export function tellWhatServeLeaves(
  { outputs, settings }: Pick<ArcSightConfig, "outputs" | "settings">,
  log: Log,
): void {
  if (outputs.length > 0)
    log.warn("serve does not write outputs[n]; start `arcsight run` for them, with its own state_dir");
  if (settings.discovery !== undefined)
    log.warn(
      "serve does not read the list of customers (discover); run `defender-mssp customers discover --apply`, then restart it",
    );
}
