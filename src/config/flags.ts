import type { SettingsHost } from "../model/setting.ts";
import type { StanzaSetting } from "../model/settings-table.ts";
import { settingsFor, TABLE } from "../model/settings-table.ts";

/** One command-line flag, in yargs' words. */
export interface Flag {
  readonly type: "string";
  readonly describe: string;
  readonly requiresArg: true;
  readonly group: string;
}

/**
 * Flags for every setting but secrets and those of the running collector: `tenant_id` is `--tenant-id`.
 * Values stay text; `parseStanzas` reads them like everywhere else.
 */
export function settingFlags(host: SettingsHost = "cli"): Readonly<Record<string, Flag>> {
  const rows = settingsFor(host).filter(isFlag);
  return Object.fromEntries(
    rows.map(
      (row) =>
        [
          flagName(row.key),
          { type: "string", describe: helpOf(row, host), requiresArg: true, group: "Settings" },
        ] as const,
    ),
  );
}

function isFlag({ secret, isFlag: may }: StanzaSetting): boolean {
  return secret !== true && may !== false;
}

function helpOf(row: StanzaSetting, host: SettingsHost): string {
  return (host === "arcsight" ? row.inProperties?.help : undefined) ?? row.help;
}

export function flagName(key: string): string {
  return key.replaceAll("_", "-");
}

/** Takes parsed flags back into values by key; what was not given is left out. */
export function valuesFromFlags(argv: Readonly<Record<string, unknown>>): Record<string, string> {
  const values: Record<string, string> = {};
  for (const row of TABLE) {
    const given = argv[flagName(row.key)];
    if (typeof given === "string" && isFlag(row)) values[row.key] = given;
  }
  return values;
}
