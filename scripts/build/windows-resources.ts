import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { ROOT, RUNTIME, VERSION } from "./project.ts";

interface Executable {
  generate(): ArrayBuffer;
}

interface Resources {
  readonly entries: readonly unknown[];
  outputResource(executable: Executable, noGrow: boolean, allowShrink: boolean): void;
}

interface Language {
  readonly lang: number;
  readonly codepage: number;
}

interface VersionInfo {
  getStringValues(language: Language): Readonly<Record<string, string>>;
  removeAllStringValues(language: Language): void;
  setStringValues(language: Language, values: Readonly<Record<string, string>>): void;
  setFileVersion(version: string, lang: number): void;
  setProductVersion(version: string, lang: number): void;
  outputToResourceEntries(entries: readonly unknown[]): void;
}

/** The used part of resedit 3.1; its own types bring those of browsers with them, which contradict Node's. */
interface ResEdit {
  readonly NtExecutable: { from(bytes: Buffer, options: { readonly ignoreCert: boolean }): Executable };
  readonly NtExecutableResource: { from(executable: Executable): Resources };
  readonly Data: { readonly RawIconItem: { from(png: Buffer, width: number, height: number, bits: number): unknown } };
  readonly Resource: {
    readonly VersionInfo: { fromEntries(entries: readonly unknown[]): readonly VersionInfo[] };
    readonly IconGroupEntry: {
      fromEntries(entries: readonly unknown[]): readonly { readonly icons: readonly unknown[] }[];
      replaceIconsForResource(
        entries: readonly unknown[],
        group: number,
        lang: number,
        icons: readonly unknown[],
      ): void;
    };
  };
}

const { Data, NtExecutable, NtExecutableResource, Resource } = createRequire(import.meta.url)("resedit") as ResEdit;

/** What Explorer, a virus scanner and an inventory show of an executable. */
export interface Description {
  readonly product: string | undefined;
  readonly version: string | undefined;
  readonly icons: number;
}

/** English (United States), UTF-16: the ones that the runtime's own resources have. */
const LANGUAGE = { lang: 1033, codepage: 1200 };
const ICON_GROUP = 1;
/** Sizes in pixels of the icons that the add-on has too. */
const ICONS = [
  ["appIcon.png", 36],
  ["appIcon_2x.png", 72],
] as const;

/**
 * The Windows runtime with this program's version resource and icon instead of Node's, and without Node's
 * signature, which is no longer true. Before the program is injected, because that adds a resource too.
 */
export function withOwnResources(runtime: Buffer): Buffer {
  const executable = NtExecutable.from(runtime, { ignoreCert: true });
  const resources = NtExecutableResource.from(executable);
  const [version] = Resource.VersionInfo.fromEntries(resources.entries);
  if (version === undefined) throw new Error("the Windows runtime has no version resource");
  version.removeAllStringValues(LANGUAGE);
  version.setStringValues(LANGUAGE, {
    CompanyName: "defender-mssp contributors",
    ProductName: "defender-mssp",
    FileDescription: "Microsoft Defender alerts of many customers for Splunk and ArcSight",
    InternalName: "defender-mssp",
    OriginalFilename: "defender-mssp.exe",
    LegalCopyright: `Apache-2.0. Contains Node.js ${RUNTIME} (MIT).`,
  });
  // Both also write the string of the same name.
  version.setFileVersion(VERSION, LANGUAGE.lang);
  version.setProductVersion(VERSION, LANGUAGE.lang);
  version.outputToResourceEntries(resources.entries);
  const icons = ICONS.map(([file, pixels]) => {
    const png = readFileSync(resolve(ROOT, "splunk-app/TA_defender_mssp/static", file));
    return Data.RawIconItem.from(png, pixels, pixels, 32);
  });
  Resource.IconGroupEntry.replaceIconsForResource(resources.entries, ICON_GROUP, LANGUAGE.lang, icons);
  // Shrunk in the file as in memory; else what is injected later takes wrong bytes for the next section.
  resources.outputResource(executable, false, true);
  return Buffer.from(executable.generate());
}

/** Throws when the bytes are not a Windows executable. */
export function describedAs(program: Buffer): Description {
  const { entries } = NtExecutableResource.from(NtExecutable.from(program, { ignoreCert: true }));
  const texts = Resource.VersionInfo.fromEntries(entries)[0]?.getStringValues(LANGUAGE);
  return {
    product: texts?.["ProductName"],
    version: texts?.["ProductVersion"],
    icons: Resource.IconGroupEntry.fromEntries(entries).flatMap(({ icons }) => icons).length,
  };
}
