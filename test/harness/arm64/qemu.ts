/** ARM64 as far as Debian's qemu is one: each program is translated, on this machine's kernel. */
import { existsSync } from "node:fs";
import { startChild } from "../splunkd/child.ts";
import type { SplunkSystem } from "../splunkd/system.ts";

const QEMU = "/usr/bin/qemu-aarch64-static";
/** glibc and the C++ runtime of ARM64. */
const LIBRARIES = "/usr/aarch64-linux-gnu";

/** What these tests need and this machine lacks, in words; undefined where nothing is missing. */
export const MISSING_FOR_ARM64: string | undefined = [
  [QEMU, "qemu-user-static"],
  [`${LIBRARIES}/lib/libc.so.6`, "libc6-arm64-cross"],
  [`${LIBRARIES}/lib/libstdc++.so.6`, "libstdc++6-arm64-cross"],
]
  .filter(([file]) => !existsSync(file as string))
  .map(([, name]) => `Debian's ${name} is not installed`)[0];

export const ARM64: SplunkSystem = {
  // Splunk has no folder for ARM64.
  programFolders: ["bin"],
  programEnding: "",
  start: (executable, args, environment) => startChild(QEMU, ["-L", LIBRARIES, executable, ...args], environment),
  path: (path) => path,
};
