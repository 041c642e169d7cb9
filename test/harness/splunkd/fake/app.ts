import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Makes an app folder around the fake input, with `default/inputs.conf` as given; answers its path. */
export function makeFakeApp(inputsConf = "[defender_mssp]\nstart_by_shell = false\nindex = security\n"): string {
  const folder = join(mkdtempSync(join(tmpdir(), "fake-app-")), "fake_app");
  const put = (path: string, text: string): string => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  };
  put("default/app.conf", "[package]\nid = fake_app\n");
  put("default/inputs.conf", inputsConf);
  const source = readFileSync(new URL("./input.cjs", import.meta.url), "utf8");
  chmodSync(put("linux_x86_64/bin/defender_mssp", `#!${process.execPath}\n${source}`), 0o755);
  return folder;
}
