import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { BundledPackage } from "../build/bundle.ts";
import { PLATFORMS, type Platform } from "../build/platforms.ts";
import { ROOT, RUNTIME, VERSION } from "../build/project.ts";

/**
 * What is inside the binaries, as CycloneDX 1.6 JSON: the runtime with the hash of its executable for each
 * platform, and each bundled package with the lockfile's hash of its archive. The same contents give the same
 * bytes (no time, no random serial number).
 */
export function softwareBill(packages: readonly BundledPackage[], platforms: readonly Platform[]): string {
  const root = `pkg:npm/defender-mssp@${VERSION}`;
  const runtimes = platforms.map((platform) => ({
    type: "platform",
    "bom-ref": packageUrl(PLATFORMS[platform].runtimePackage, RUNTIME),
    name: "node",
    version: RUNTIME,
    description: `Node.js runtime inside the ${platform} executable`,
    hashes: [{ alg: "SHA-256", content: PLATFORMS[platform].executableSha256 }],
    licenses: [{ license: { id: "MIT" } }],
    purl: packageUrl(PLATFORMS[platform].runtimePackage, RUNTIME),
  }));
  const locks = new Map<string, Lock>();
  const libraries = packages.map(({ name, version, licence, folder }) => {
    const integrity = integrityOf(folder, locks);
    return {
      type: "library",
      "bom-ref": `${packageUrl(name, version)}#${folder}`,
      name,
      version,
      ...(integrity === undefined
        ? {}
        : {
            hashes: [
              { alg: "SHA-512", content: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex") },
            ],
          }),
      licenses: [licenceEntry(licence)],
      purl: packageUrl(name, version),
    };
  });
  const components = [...runtimes, ...libraries];
  const body = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": root,
        name: "defender-mssp",
        version: VERSION,
        licenses: [{ license: { id: "Apache-2.0" } }],
        purl: root,
      },
    },
    components,
    dependencies: [{ ref: root, dependsOn: components.map((component) => component["bom-ref"]) }],
  };
  const digest = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  const serial = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
  const { bomFormat, specVersion, ...rest } = body;
  return `${JSON.stringify({ bomFormat, specVersion, serialNumber: `urn:uuid:${serial}`, ...rest }, undefined, 2)}\n`;
}

function packageUrl(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function licenceEntry(licence: string): { license: { id: string } } | { expression: string } {
  return /^[\w.+-]+$/.test(licence) ? { license: { id: licence } } : { expression: licence };
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly integrity?: string } | undefined>>;
}

/**
 * The hash of a package's archive, by the lockfile beside the node_modules/ in which it lies.
 *
 * @param locks those that were read already, by the folder in which they lie.
 */
function integrityOf(folder: string, locks: Map<string, Lock>): string | undefined {
  const at = folder.indexOf("node_modules/");
  const place = folder.slice(0, at);
  const lock =
    locks.get(place) ?? (JSON.parse(readFileSync(resolve(ROOT, place, "package-lock.json"), "utf8")) as Lock);
  locks.set(place, lock);
  return lock.packages[folder.slice(at)]?.integrity;
}
