/**
 * Loaded before every script (node --import): a skipped optional dependency leaves the machine's own Node in
 * its place without a word, and everything would then be built and tested on another runtime than the one we
 * ship.
 */
import { readFileSync } from "node:fs";

const { config } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const pinned = config.runtime;
const running = process.versions.node;
const hasPackageForThisPlatform = ["linux-x64", "linux-arm64", "win32-x64"].includes(
  `${process.platform}-${process.arch}`,
);
const acceptable = hasPackageForThisPlatform ? running === pinned : running.split(".")[0] === pinned.split(".")[0];
if (!acceptable) {
  process.stderr.write(
    `defender-mssp is developed and shipped on Node ${pinned}, but this is ${running}: run "npm ci" (it brings that runtime) and start scripts through "npm run".\n`,
  );
  process.exit(1);
}
