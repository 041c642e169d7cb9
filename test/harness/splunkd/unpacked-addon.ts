import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { bundle } from "../../../scripts/build/bundle.ts";
import { technologyAddon } from "../../../scripts/package/contents.ts";

/** The add-on as it is shipped, with the executable of Linux x64. Returns the app's own folder. */
export async function unpackedAddon(into: string): Promise<string> {
  const { packages } = await bundle("src/main/main.ts");
  for (const entry of technologyAddon(["linux-x64"], packages)) {
    const file = path.join(into, entry.path);
    mkdirSync(entry.path.endsWith("/") ? file : path.dirname(file), { recursive: true });
    if (entry.path.endsWith("/")) continue;
    writeFileSync(file, entry.content);
    chmodSync(file, entry.mode);
  }
  return path.join(into, "TA_defender_mssp");
}
