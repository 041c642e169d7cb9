import { spawnSync } from "node:child_process";
import { PLATFORMS, type Platform } from "../build/platforms.ts";
import { ROOT, RUNTIME, VERSION } from "../build/project.ts";

/** Which sources were built. */
export interface SourceState {
  /** The commit's full hash; undefined outside a git checkout. */
  readonly commit: string | undefined;
  /** False when tracked files differ from that commit. */
  readonly clean: boolean;
}

export interface Hashed {
  readonly name: string;
  readonly sha256: string;
}

export interface Built {
  readonly source: SourceState;
  readonly lockfileSha256: string;
  readonly executables: readonly (Hashed & { readonly platform: Platform })[];
  readonly archives: readonly Hashed[];
}

/**
 * What was built from what, as an in-toto statement with SLSA's provenance 1.0 as its predicate
 * (slsa.dev/spec/v1.0/provenance): the form that `cosign attest-blob` signs. No time and no machine, so the
 * same build gives the same bytes.
 */
export function provenance(built: Built): string {
  const digest = (sha256: string) => ({ sha256 });
  const { source, executables } = built;
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: built.archives.map(({ name, sha256 }) => ({ name, digest: digest(sha256) })),
    predicateType: "https://slsa.dev/provenance/v1",
    predicate: {
      buildDefinition: {
        buildType: "urn:defender-mssp:build:1",
        externalParameters: { version: VERSION, platforms: executables.map(({ platform }) => platform) },
        internalParameters: { sourceClean: source.clean },
        resolvedDependencies: [
          ...(source.commit === undefined ? [] : [{ name: "source", digest: { gitCommit: source.commit } }]),
          { name: "package-lock.json", digest: digest(built.lockfileSha256) },
          ...executables.map(({ platform }) => ({
            name: `node ${RUNTIME} ${platform}`,
            uri: `pkg:npm/${PLATFORMS[platform].runtimePackage}@${RUNTIME}`,
            digest: digest(PLATFORMS[platform].executableSha256),
          })),
        ],
      },
      runDetails: {
        builder: { id: "urn:defender-mssp:npm-run-package" },
        byproducts: executables.map(({ name, sha256 }) => ({ name, digest: digest(sha256) })),
      },
    },
  };
  return `${JSON.stringify(statement, undefined, 2)}\n`;
}

/** The commit of this checkout, and whether its tracked files are unchanged. */
export function sourceState(): SourceState {
  const git = (...args: string[]) => spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  const head = git("rev-parse", "HEAD");
  if (head.status !== 0) return { commit: undefined, clean: false };
  const changes = git("status", "--porcelain", "--untracked-files=no");
  return { commit: head.stdout.trim(), clean: changes.status === 0 && changes.stdout === "" };
}
