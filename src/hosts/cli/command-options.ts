import { settingFlags } from "../../config/flags.ts";
import type { ExitCode } from "../../model/failure.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Flags } from "./ask.ts";

/** One onboarding command. */
export type Run = (services: OnboardingServices, flags: Flags) => Promise<ExitCode>;

export const text = (describe: string): { type: "string"; requiresArg: true; describe: string } => ({
  type: "string",
  requiresArg: true,
  describe,
});

export const yes = (describe: string): { type: "boolean"; default: false; describe: string } => ({
  type: "boolean",
  default: false,
  describe,
});

/** All settings as flags; --help lists only those that are shown. */
export function settingsShown(shown: ReadonlySet<string>): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.entries(settingFlags("cli")).map(([name, flag]) => [
      name,
      shown.has(name) ? flag : { ...flag, hidden: true },
    ]),
  );
}
