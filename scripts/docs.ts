/**
 * `npm run docs`: writes every file that is generated from the sources; `--check` only compares and names
 * what is stale (exit 1). To add a generated page, add a row to PAGES; `test/repo/generated.test.ts` then
 * keeps it fresh.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { CEF_PROFILES } from "../src/format/arcsight/cef-mapping.ts";
import { categorizerFile, categorizerPath, fieldsPage, parserFile } from "./generate/arcsight-files.ts";
import { failuresPage } from "./generate/failures-page.ts";
import { networkPage } from "./generate/network-page.ts";
import { promisesPage } from "./generate/promises-page.ts";
import { arcsightTemplate } from "./generate/properties-template.ts";
import { outputsPage, settingsPage } from "./generate/settings-page.ts";
import { APPS } from "./generate/splunk-app/apps.ts";
import { splunkFieldsPage } from "./generate/splunk-app/fields-page.ts";
import { KNOWLEDGE } from "./generate/splunk-app/knowledge-files.ts";
import { defaultInputs, inputsSpec } from "./generate/splunk-inputs.ts";

export interface GeneratedPage {
  /** Path from the repository's root. */
  readonly file: string;
  readonly make: () => string;
}

/** Repository root: this file lies in scripts/. */
export const ROOT = path.resolve(import.meta.dirname, "..");

export const PAGES: readonly GeneratedPage[] = [
  { file: "docs/settings.md", make: settingsPage },
  { file: "docs/splunk/fields.md", make: splunkFieldsPage },
  { file: "docs/failures.md", make: failuresPage },
  { file: "docs/network.md", make: networkPage },
  { file: "docs/promises.md", make: promisesPage },
  { file: "arcsight/defender-mssp.properties.template", make: arcsightTemplate },
  { file: "docs/arcsight/outputs.md", make: outputsPage },
  { file: "docs/fields-cef.md", make: fieldsPage },
  { file: "arcsight/user/agent/flexagent/WDATP-connector.jsonparser.properties", make: () => parserFile("legacy") },
  { file: "arcsight/user/agent/flexagent/defender-mssp.jsonparser.properties", make: () => parserFile("xdr") },
  ...CEF_PROFILES.map((profile) => ({
    file: `arcsight/user/agent/${categorizerPath(profile)}`,
    make: categorizerFile,
  })),
  { file: "splunk-app/TA_defender_mssp/README/inputs.conf.spec", make: inputsSpec },
  { file: "splunk-app/TA_defender_mssp/default/inputs.conf", make: defaultInputs },
  ...APPS.flatMap((app) =>
    KNOWLEDGE.map(({ file, make }) => ({ file: `splunk-app/${app}/${file}`, make: () => make(app) })),
  ),
];

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    process.stdout.write(
      "Usage: npm run docs [-- --check]\nWrites every generated file, or with --check names those that are stale.\n",
    );
    return 0;
  }
  let stale = 0;
  for (const page of PAGES) {
    const file = path.join(ROOT, page.file);
    const wanted = Buffer.from(page.make());
    const present = await readFile(file).catch(() => undefined);
    if (present?.equals(wanted)) continue;
    stale += 1;
    process.stdout.write(`${args.includes("--check") ? "stale" : "written"}: ${page.file}\n`);
    if (args.includes("--check")) continue;
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, wanted);
  }
  return args.includes("--check") && stale > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === import.meta.filename) {
  process.exitCode = await main(process.argv.slice(2));
}
