import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { Ajv } from "ajv";
import addFormats from "ajv-formats";
import { type BundledPackage, bundle } from "../../scripts/build/bundle.ts";
import { PLATFORMS } from "../../scripts/build/platforms.ts";
import { RUNTIME, VERSION } from "../../scripts/build/project.ts";
import { thirdPartyNotices } from "../../scripts/package/notices.ts";
import { type Built, provenance } from "../../scripts/package/provenance.ts";
import { softwareBill } from "../../scripts/package/sbom.ts";

const SCHEMAS = join(import.meta.dirname, "../fixtures/cyclonedx");
const schema = (name: string) => JSON.parse(readFileSync(join(SCHEMAS, name), "utf8")) as { readonly $id: string };

let packages: readonly BundledPackage[];
beforeAll(async () => {
  packages = (await bundle("src/main/main.ts")).packages;
});

describe("the bill of materials", () => {
  /** CycloneDX' own schema. */
  function mistakes(bill: unknown): unknown {
    const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
    (addFormats as unknown as (ajv: Ajv) => void)(ajv);
    // Two formats that only texts outside ASCII need.
    for (const format of ["iri-reference", "idn-email"]) ajv.addFormat(format, true);
    for (const name of ["spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json"])
      ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}`);
    const validate = ajv.compile(schema("bom-1.6.SNAPSHOT.schema.json"));
    return validate(bill) ? [] : validate.errors;
  }

  test("is valid against CycloneDX' schema 1.6, licences included, for every platform", () => {
    const bill = JSON.parse(softwareBill(packages, ["linux-x64", "linux-arm64", "win-x64"])) as {
      readonly components: { licenses: unknown }[];
    };

    expect(mistakes(bill)).toEqual([]);
    bill.components[0]!.licenses = [{ license: { id: "No-Such-Licence" } }];
    expect(mistakes(bill)).not.toEqual([]);
  });
});

describe("the notices hold the licence of", () => {
  /** The name in Node's LICENSE for each work of `process.versions`; undefined: no text of its own. */
  const WORKS: Readonly<Record<string, string | undefined>> = {
    acorn: "Acorn",
    ada: "ada",
    amaro: "amaro",
    ares: "c-ares",
    brotli: "brotli",
    icu: "ICU",
    llhttp: "llhttp",
    merve: "merve",
    nghttp2: "nghttp2",
    nghttp3: "nghttp3",
    ngtcp2: "ngtcp2",
    openssl: "OpenSSL",
    simdjson: "simdjson",
    simdutf: "simdutf",
    undici: "undici",
    uv: "libuv",
    uvwasi: "uvwasi",
    v8: "V8",
    zlib: "zlib",
    zstd: "zstd",
    // Node's own.
    node: undefined,
    modules: undefined,
    napi: undefined,
    nbytes: undefined,
    ncrypto: undefined,
    // Data of ICU.
    cldr: undefined,
    tz: undefined,
    unicode: undefined,
    // In the public domain.
    sqlite: undefined,
  };

  test("each work that the runtime says it contains", () => {
    const notices = thirdPartyNotices(packages);
    const works = Object.keys(process.versions);

    expect(works.filter((work) => !Object.hasOwn(WORKS, work))).toEqual([]);
    for (const work of works.flatMap((name) => WORKS[name] ?? []))
      expect(notices.includes(`\n- ${work}, located at `) ? "" : work).toBe("");
  });

  test("SQLite, for which Node's own licence file has no text", () => {
    expect(thirdPartyNotices(packages)).toContain("SQLite (public domain)");
  });
});

describe("the provenance statement", () => {
  const built: Built = {
    source: { commit: "a".repeat(40), clean: true },
    lockfileSha256: "b".repeat(64),
    executables: [{ platform: "win-x64", name: "dist/win-x64/defender-mssp.exe", sha256: "c".repeat(64) }],
    archives: [{ name: "TA_defender_mssp.tgz", sha256: "d".repeat(64) }],
  };

  test("says which archives were built from which commit, lockfile and runtime", () => {
    expect(JSON.parse(provenance(built))).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      predicateType: "https://slsa.dev/provenance/v1",
      subject: [{ name: "TA_defender_mssp.tgz", digest: { sha256: "d".repeat(64) } }],
      predicate: {
        buildDefinition: {
          externalParameters: { version: VERSION, platforms: ["win-x64"] },
          internalParameters: { sourceClean: true },
          resolvedDependencies: [
            { name: "source", digest: { gitCommit: "a".repeat(40) } },
            { name: "package-lock.json", digest: { sha256: "b".repeat(64) } },
            { name: `node ${RUNTIME} win-x64`, digest: { sha256: PLATFORMS["win-x64"].executableSha256 } },
          ],
        },
        runDetails: { byproducts: [{ digest: { sha256: "c".repeat(64) } }] },
      },
    });
  });

  test("is the same for the same build, and names no commit where there is none", () => {
    expect(provenance(built)).toBe(provenance({ ...built }));
    expect(provenance({ ...built, source: { commit: undefined, clean: false } })).not.toContain("gitCommit");
  });
});
