import { type Child, startChild } from "./child.ts";

/** The system whose programs the fake splunkd starts: this machine's, or another one that runs on it. */
export interface SplunkSystem {
  /** The folders of an app that may hold its program, the first one that does wins. */
  readonly programFolders: readonly string[];
  readonly programEnding: "" | ".exe";
  start(executable: string, args: readonly string[], environment: Readonly<Record<string, string>>): Child;
  /** How that system writes a path of this machine. */
  path(path: string): string;
}

/** The platform's own folder wins over plain `bin/` (Splunk, "Modular inputs overview"). */
export const THIS_SYSTEM: SplunkSystem = {
  programFolders: [
    process.platform === "win32"
      ? "windows_x86_64/bin"
      : process.platform === "darwin"
        ? "darwin_x86_64/bin"
        : "linux_x86_64/bin",
    "bin",
  ],
  programEnding: process.platform === "win32" ? ".exe" : "",
  start: startChild,
  path: (path) => path,
};
