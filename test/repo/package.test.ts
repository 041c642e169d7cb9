import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { type BundledPackage, bundle } from "../../scripts/build/bundle.ts";
import { BUNDLE_PATH } from "../../scripts/build/pages.ts";
import { RUNTIME, VERSION } from "../../scripts/build/project.ts";
import { type ArchiveEntry, readTar } from "../../scripts/build/tar.ts";
import { arcsightKit, sums, supportingAddon, technologyAddon } from "../../scripts/package/contents.ts";
import { thirdPartyNotices } from "../../scripts/package/notices.ts";
import { softwareBill } from "../../scripts/package/sbom.ts";
import { archiveBytes, archives } from "../../scripts/package.ts";

let packages: readonly BundledPackage[];

beforeAll(async () => {
  packages = (await bundle("src/main/main.ts")).packages;
});

function textOf(entries: readonly ArchiveEntry[], path: string): string {
  return entries.find((entry) => entry.path === path)?.content.toString("utf8") ?? "";
}

test("the archives have the documented names", () => {
  expect(archives("1.2.3").map(({ name }) => name)).toEqual([
    "TA_defender_mssp-1.2.3-linux_x86_64.tgz",
    "TA_defender_mssp-1.2.3-linux_arm64.tgz",
    "TA_defender_mssp-1.2.3-windows_x86_64.tgz",
    "TA_defender_mssp-1.2.3.tgz",
    "SA_defender_mssp-1.2.3.tgz",
    "defender-mssp-arcsight-1.2.3-linux-x64.tar.gz",
    "defender-mssp-arcsight-1.2.3-linux-arm64.tar.gz",
    "defender-mssp-arcsight-1.2.3-win-x64.zip",
  ]);
});

describe("the add-on for Linux", () => {
  const id = "TA_defender_mssp";

  test("is one folder with the executable where Splunk looks for it, and nothing that a running Splunk writes", () => {
    const entries = technologyAddon(["linux-x64"], packages);
    const modes = new Map(entries.map(({ path, mode }) => [path, mode]));

    expect(entries.filter(({ path }) => !path.startsWith(`${id}/`))).toEqual([]);
    expect(modes.get(`${id}/linux_x86_64/bin/defender_mssp`)).toBe(0o755);
    expect(
      [...modes].filter(([path, mode]) => mode !== (path.endsWith("/") || path.includes("/bin/") ? 0o755 : 0o644)),
    ).toEqual([]);
    expect([...modes.keys()].filter((path) => /\/local\/|local\.meta|passwords\.conf|\/\.|\s/.test(path))).toEqual([]);
    expect(modes.has(`${id}/README/inputs.conf.spec`)).toBe(true);
  });

  test("says one version everywhere", () => {
    const entries = technologyAddon(["linux-x64"], packages);

    expect(new Set(textOf(entries, `${id}/default/app.conf`).match(/^version = .*$/gm))).toEqual(
      new Set([`version = ${VERSION}`]),
    );
    expect(JSON.parse(textOf(entries, `${id}/app.manifest`))).toMatchObject({
      info: { id: { name: id, version: VERSION } },
    });
    expect(JSON.parse(textOf(entries, `${id}/sbom.cdx.json`))).toMatchObject({
      metadata: { component: { version: VERSION } },
    });
  });

  test("carries the pages, the licences of what they are made of, and a build number that follows their content", () => {
    const [own = { name: "", version: "", licence: "", folder: "" }] = packages;
    const page = { ...own, name: "a-package-of-the-pages" };
    const packed = (code: string) =>
      technologyAddon(["linux-x64"], packages, { code: Buffer.from(code), packages: [page] });
    const buildOf = (entries: readonly ArchiveEntry[]) =>
      /^build = (\d+)$/m.exec(textOf(entries, `${id}/default/app.conf`))?.[1];
    const entries = packed("one");

    expect(textOf(entries, `${id}/${BUNDLE_PATH}`)).toBe("one");
    expect(textOf(entries, `${id}/THIRD-PARTY-NOTICES.txt`)).toContain(page.name);
    expect(textOf(entries, `${id}/sbom.cdx.json`)).toContain(page.name);
    expect(Number(buildOf(entries))).toBeGreaterThan(1);
    expect(buildOf(packed("one"))).toBe(buildOf(entries));
    expect(buildOf(packed("two"))).not.toBe(buildOf(entries));
  });

  test("declares its executable, which Splunk requires of every package that holds one", () => {
    expect(textOf(technologyAddon(["linux-x64"], packages), `${id}/README.md`)).toMatch(/^# Binary File Declaration$/m);
  });
});

test("the knowledge-only add-on holds nothing that runs", () => {
  const entries = supportingAddon();

  expect(entries.filter(({ path, mode }) => !path.endsWith("/") && mode !== 0o644)).toEqual([]);
  expect(entries.filter(({ path }) => /\/bin\/|inputs\.conf/.test(path))).toEqual([]);
});

test("the same contents give the same bytes, in one order, of one owner and one time", async () => {
  const [one, other] = await Promise.all([
    archiveBytes("a.tgz", supportingAddon()),
    archiveBytes("a.tgz", supportingAddon()),
  ]);
  const paths = readTar(gunzipSync(one)).map(({ path }) => path);

  expect(one.equals(other)).toBe(true);
  expect(paths).toEqual(paths.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right))));
});

test("the ArcSight kit carries sums that hold for every file beside them", () => {
  const entries = arcsightKit("linux-x64", "kit", packages);
  const files = entries
    .filter(({ path }) => !path.endsWith("/") && path !== "kit/SHA256SUMS")
    .map(({ path, content }) => [path.slice("kit/".length), content] as const);

  expect(textOf(entries, "kit/SHA256SUMS")).toBe(sums(files));
  expect(sums(files)).toContain(
    `${createHash("sha256").update(textOf(entries, "kit/LICENSE")).digest("hex")}  LICENSE\n`,
  );
});

describe("the ArcSight kit holds what it points at, and nothing else", () => {
  test("each link of its pages", () => {
    const entries = arcsightKit("linux-x64", "kit", packages);
    const paths = new Set(entries.map(({ path }) => path));
    const pages = entries.filter(({ path }) => path.endsWith(".md"));
    const dead = pages.flatMap(({ path, content }) =>
      [...content.toString("utf8").matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, link = ""]) => link)
        .filter((link) => !link.includes("://") && !paths.has(posix.join(posix.dirname(path), link)))
        .map((link) => `${path}: ${link}`),
    );

    expect(pages.map(({ path }) => path)).toContain("kit/docs/arcsight/README.md");
    expect(dead).toEqual([]);
  });

  test("no page that cannot be reached from its README.md", () => {
    const entries = arcsightKit("linux-x64", "kit", packages);
    const texts = new Map(
      entries.filter(({ path }) => path.endsWith(".md")).map(({ path, content }) => [path, content.toString("utf8")]),
    );
    const reached = new Set<string>();
    const visit = (path: string): void => {
      const text = texts.get(path);
      if (text === undefined || reached.has(path)) return;
      reached.add(path);
      // The kit's first page names files in code, because its own place in the repository is another one.
      const targets = path === "kit/README.md" ? /`([\w./-]+\.md)`/g : /\]\(([^)#\s]+)/g;
      for (const [, target = ""] of text.matchAll(targets)) visit(posix.join(posix.dirname(path), target));
    };
    visit("kit/README.md");

    expect([...texts.keys()].filter((path) => !reached.has(path))).toEqual([]);
    expect(reached.size).toBeGreaterThan(10);
  });

  test("each page that the program's sentences name", () => {
    const paths = arcsightKit("linux-x64", "kit", packages).map(({ path }) => path);
    const named = readdirSync("src", { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"))
      .flatMap(
        (path) =>
          readFileSync(`src/${path}`, "utf8")
            .replaceAll(/^\s*(?:\/\*\*|\*|\/\/).*$/gm, "")
            .match(/\bdocs\/[\w./-]*\w/g) ?? [],
      );

    expect(named).toContain("docs/settings.md");
    expect(
      [...new Set(named)].filter((page) => !paths.includes(`kit/${page}`) && !paths.includes(`kit/${page}/`)),
    ).toEqual([]);
  });
});

test("every package in the executable is in the bill of materials with its hash, and its licence text in the notices; so is the runtime", () => {
  const bill = JSON.parse(softwareBill(packages, ["linux-x64"])) as {
    components: readonly { name: string; version: string; hashes?: readonly unknown[] }[];
  };
  const notices = thirdPartyNotices(packages);

  expect(packages.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["undici", "@azure/msal-node", "fast-xml-parser", "yargs"]),
  );
  for (const { name, version } of packages) {
    expect(bill.components).toContainEqual(expect.objectContaining({ name, version, hashes: [expect.anything()] }));
    expect(notices).toContain(`${name} ${version} (`);
  }
  expect(bill.components).toContainEqual(
    expect.objectContaining({ name: "node", version: RUNTIME, hashes: [expect.anything()] }),
  );
  expect(notices).toContain(`Node.js ${RUNTIME}`);
});
