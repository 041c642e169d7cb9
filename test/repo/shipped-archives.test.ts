import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { bundle } from "../../scripts/build/bundle.ts";
import { peProtections, withoutOldSignature } from "../../scripts/build/pe.ts";
import { binaryPath, PLATFORMS, type Platform } from "../../scripts/build/platforms.ts";
import { ROOT, VERSION } from "../../scripts/build/project.ts";
import type { ArchiveEntry } from "../../scripts/build/tar.ts";
import { describedAs } from "../../scripts/build/windows-resources.ts";
import { EXCEPTIONS, findingsOf, inspectFile, programFindings, readArchive } from "../../scripts/package/inspection.ts";
import { archives, inspectedArchive } from "../../scripts/package.ts";

/**
 * `npm run package` reads every archive back and inspects it before it is written. Here the same rules are
 * applied to what the archives hold, without compressing 100 MB, and each rule is broken once.
 */

const present = (Object.keys(PLATFORMS) as Platform[]).filter((platform) =>
  existsSync(resolve(ROOT, binaryPath(platform))),
);
const LINUX = "linux-x64";
/** What the executable is made of; tests run on the runtime that ships (CONTRIBUTING.md). */
const runtime = readFileSync(process.execPath);

function executableOf(entries: readonly ArchiveEntry[]): Buffer {
  return entries.find(({ path }) => path.endsWith("/defender_mssp"))?.content ?? Buffer.alloc(0);
}

describe("what was built", () => {
  let unpacked: readonly ArchiveEntry[];
  let program: Buffer;

  beforeAll(async () => {
    const { packages } = await bundle("src/main/main.ts");
    const archive = archives(VERSION).find(({ needs }) => needs.length === 1 && needs[0] === LINUX);
    unpacked = archive?.entries(packages) ?? [];
    program = executableOf(unpacked);
  });

  test("the archive for Linux keeps every rule, and holds the executable that was built", () => {
    expect(unpacked.flatMap(inspectFile)).toEqual([]);
    expect(program.equals(readFileSync(resolve(ROOT, binaryPath(LINUX))))).toBe(true);
  });

  test("each exception is needed by an executable that ships", () => {
    const findings = findingsOf(program);

    for (const { finding, reason } of EXCEPTIONS) {
      expect(findings).toContainEqual(expect.stringMatching(`^${finding}`));
      expect(reason).toMatch(/\.$/);
    }
  });

  test("every other built executable keeps every rule", () => {
    const others = present.filter((platform) => platform !== LINUX);
    const findings = others.flatMap((platform) =>
      inspectFile({ path: platform, content: readFileSync(resolve(ROOT, binaryPath(platform))) }),
    );
    expect(findings).toEqual([]);
  });
});

const windows = resolve(ROOT, binaryPath("win-x64"));
(existsSync(windows) ? test : test.skip)(
  "the Windows executable describes itself as this program, with its icon",
  () => {
    expect(describedAs(readFileSync(windows))).toEqual({ product: "defender-mssp", version: `${VERSION}.0`, icons: 2 });
  },
);

describe("of a Linux executable, the inspection refuses", () => {
  const changed = (change: (copy: Buffer) => void): string[] => {
    // The head and the tables of the loader are what the rules read.
    const copy = Buffer.from(runtime);
    change(copy);
    return programFindings(copy).filter((finding) => finding !== EXCEPTIONS[0]?.finding);
  };
  const segment = (copy: Buffer, type: number): number => {
    const at = Number(copy.readBigUInt64LE(32));
    const index = Array.from({ length: copy.readUInt16LE(56) }, (_, n) => copy.readUInt32LE(at + n * 56)).indexOf(type);
    return at + index * 56;
  };

  test.each<[string, (copy: Buffer) => void]>([
    ["has memory that is writable and executable", (copy) => copy.writeUInt32LE(7, segment(copy, 0x6474e551) + 4)],
    ["has memory that is writable and executable", (copy) => copy.writeUInt32LE(7, segment(copy, 1) + 4)],
    ["keeps the loader's tables writable (no full RELRO)", (copy) => copy.writeUInt32LE(0, segment(copy, 0x6474e552))],
    ["needs libssl.so.3", (copy) => copy.write("libssl.so.3\0", copy.indexOf("libgcc_s.so.1\0"), "latin1")],
    ["needs GLIBC_2.29", (copy) => copy.write("GLIBC_2.29", copy.indexOf("GLIBC_2.28\0"), "latin1")],
    ["needs GLIBC_3.28", (copy) => copy.write("GLIBC_3.28", copy.indexOf("GLIBC_2.28\0"), "latin1")],
    ["needs GLIBCXX_3.4.31", (copy) => copy.write("GLIBCXX_3.4.31", copy.indexOf("GLIBCXX_3.4.21"), "latin1")],
  ])("what breaks a rule: %s", (finding, change) => {
    expect(changed(change)).toEqual([finding]);
  });
});

describe("of a Windows executable, the inspection refuses", () => {
  /** The smallest PE32+ head with two sections; the first fills a page and a byte. */
  function windowsProgram({ flags = 0x8160, section = 0x6000_0020, second = 0x3000 } = {}): Buffer {
    const file = Buffer.alloc(1025);
    file.write("MZ", 0, "latin1");
    file.writeUInt32LE(0x80, 0x3c);
    file.write("PE\0\0", 0x80, "latin1");
    file.writeUInt16LE(2, 0x80 + 6);
    file.writeUInt16LE(240, 0x80 + 20);
    file.writeUInt16LE(0x20b, 0x98);
    file.writeUInt16LE(flags, 0x98 + 70);
    file.writeUInt32LE(512, 0x98 + 144);
    file.writeUInt32LE(15_688, 0x98 + 148);
    file.writeUInt32LE(0x1001, 0x98 + 240 + 8);
    file.writeUInt32LE(0x1000, 0x98 + 240 + 12);
    file.writeUInt32LE(section, 0x98 + 240 + 36);
    file.writeUInt32LE(second, 0x98 + 240 + 40 + 12);
    file.fill(0xa5, 600);
    return file;
  }
  const found = (content: Buffer) => inspectFile({ path: "x", content });

  test("a signature that is not there and a wrong checksum, both of which the build puts right", () => {
    const packed = windowsProgram();

    expect(found(packed)).toEqual(["x names a signature that is not in the file", "x has a wrong checksum"]);
    expect(found(withoutOldSignature(packed))).toEqual([]);
    expect(peProtections(withoutOldSignature(packed)).signature).toBe("none");
    // Computed by hand from the layout above: 212 words of 0xa5a5 and one byte, the head, the length.
    expect(withoutOldSignature(packed).readUInt32LE(0x98 + 64)).toBe(handSum(withoutOldSignature(packed)));
  });

  test("but not one that its releaser signed: the signature is the end of the file", () => {
    const signed = Buffer.concat([withoutOldSignature(windowsProgram()), Buffer.alloc(15_688)]);
    signed.writeUInt32LE(signed.length - 15_688, 0x98 + 144);
    signed.writeUInt32LE(15_688, 0x98 + 148);
    signed.writeUInt32LE(handSum(signed), 0x98 + 64);

    expect(peProtections(signed).signature).toBe("present");
    expect(found(signed)).toEqual([]);
  });

  test.each<[string, Parameters<typeof windowsProgram>[0]]>([
    ["x is not loaded at a random 64 bit address (ASLR)", { flags: 0x8140 }],
    ["x is not loaded at a random 64 bit address (ASLR)", { flags: 0x8120 }],
    ["x allows data to be executed (no NX)", { flags: 0x8060 }],
    ["x has memory that is writable and executable", { section: 0xa000_0020 }],
    ["x has sections that are not one after another, which Windows does not load", { second: 0x2000 }],
    ["x has sections that are not one after another, which Windows does not load", { second: 0x4000 }],
  ])("what breaks a rule: %s", (finding, parts) => {
    expect(found(withoutOldSignature(windowsProgram(parts)))).toEqual([finding]);
  });

  /** The same sum in another way: one big sum, folded at the end. */
  function handSum(file: Buffer): number {
    const words = Buffer.concat([file, Buffer.alloc(file.length % 2)]);
    words.writeUInt32LE(0, 0x98 + 64);
    let sum = 0;
    for (let at = 0; at < words.length; at += 2) sum += words.readUInt16LE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
    return sum + file.length;
  }
});

test.each<[string, string]>([
  ["x contains the path /home/jane/work/", "at /home/jane/work/defender-mssp/src/main.ts"],
  ["x contains the path /Users/jane/src/", "file:///Users/jane/src/x.ts"],
  ["x contains the path C:\\Users\\jane", "C:\\Users\\jane\\src"],
  ["x contains the path /root/project", "/root/project/x.ts"],
  ["x contains a private key", `-----BEGIN PRIVATE KEY-----\n${"A".repeat(64)}\n`],
  ["x contains a private key", `"-----BEGIN RSA PRIVATE KEY-----\\n${"A".repeat(64)}"`],
  ["x contains a client secret of Entra", `abc8Q~${"x".repeat(34)}`],
  ["x contains a token (JWT)", `eyJ${"a".repeat(20)}.eyJ${"b".repeat(20)}.${"c".repeat(20)}`],
  ["x contains a refresh token of Entra", `"0.A${"x".repeat(90)}"`],
  ["x contains a key of AWS", "key AKIAABCDEFGHIJKLMNOP."],
  ["x contains a token of GitHub", `ghp_${"a".repeat(36)}`],
  ["x contains a token of npm", `npm_${"a".repeat(36)}`],
  ["x contains a login for a registry", "//registry/:_authToken=0123456789"],
])("a file that tells about its builder is refused: %s", (finding, text) => {
  expect(inspectFile({ path: "x", content: Buffer.from(text) })).toEqual([finding]);
});

test.each(["a.tgz", "a.zip"])("an archive that breaks a rule is not written: %s", async (archive) => {
  const good = { path: "app/good.txt", mode: 0o644, content: Buffer.from("good") };
  const bad = { path: "app/bad.txt", mode: 0o644, content: Buffer.from("/root/project/x.ts") };

  const bytes = await inspectedArchive(archive, [good]);

  expect(readArchive(archive, bytes)).toEqual([good]);
  expect(bytes.equals(await inspectedArchive(archive, [good]))).toBe(true);
  await expect(inspectedArchive(archive, [good, bad])).rejects.toThrow(
    `${archive} must not be shipped:\n  app/bad.txt contains the path /root/project`,
  );
});
