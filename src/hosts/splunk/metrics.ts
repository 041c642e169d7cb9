import type { FileRule } from "../../config/files.ts";
import type { MetricsSettings } from "../../config/metrics-settings.ts";
import { metricsOfGlobals } from "../../config/metrics-settings.ts";
import { isFailure } from "../../model/failure.ts";
import type { Log } from "../../model/ports.ts";
import { sealed } from "../../model/sealed.ts";
import type { GlobalSettings } from "../../model/stanza.ts";
import { type ReadBytes, secretIn } from "./secret-files.ts";

/** Where metrics are shown; undefined when nothing is set, or something is wrong, which is then logged. */
export async function metricsSettings(
  globals: GlobalSettings,
  readBytes: ReadBytes,
  files: FileRule,
  log: Log,
): Promise<MetricsSettings | undefined> {
  const found = metricsOfGlobals(globals, ({ key, say }) => log.error("a setting is not valid", { key, say }));
  if (found === undefined) return undefined;
  const { tokenFile, ...rest } = found;
  if (tokenFile === undefined) return rest;
  try {
    const { text } = await secretIn("metrics_token", tokenFile, readBytes, files);
    return { ...rest, token: sealed(text) };
  } catch (error) {
    if (!isFailure(error)) throw error;
    log.warn("metrics are not shown; collection goes on without them", {
      failure: error.code,
      say: error.say,
      next_step: error.nextStep || undefined,
    });
    return undefined;
  }
}
