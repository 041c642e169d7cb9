import path from "node:path";

/**
 * The full path of a program of Windows itself. A bare name would start the program of that name in the
 * working folder, with this program's rights.
 */
export function windowsProgram(
  name: "icacls.exe" | "rundll32.exe" | "whoami.exe",
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  return path.win32.join(windowsFolder(environment), "System32", name);
}

function windowsFolder(environment: Readonly<Record<string, string | undefined>>): string {
  const named = environment["SystemRoot"] ?? "";
  // Windows sets it for every process. Anything but a folder on a local drive was set by somebody else.
  return /^[a-z]:[\\/]/i.test(named) ? named : "C:\\Windows";
}

/**
 * Source: freedesktop.org xdg-open, macOS open(1). By full path as well, because a folder of $PATH may belong
 * to anybody.
 */
const OPENERS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  linux: ["/usr/bin/xdg-open"],
  darwin: ["/usr/bin/open"],
};

/**
 * The program that opens an address in a browser, with the arguments before the address. Source for Windows:
 * rundll32 url.dll.
 */
export function browserOpener(platform: NodeJS.Platform): readonly [string, ...string[]] | undefined {
  return platform === "win32" ? [windowsProgram("rundll32.exe"), "url.dll,FileProtocolHandler"] : OPENERS[platform];
}
