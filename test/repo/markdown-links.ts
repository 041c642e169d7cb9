/** Links and anchors of Markdown pages, by the rules that GitHub follows. */
import { posix } from "node:path";

/** Text of each page by its path from the repository's root. */
export type Pages = ReadonlyMap<string, string>;

/** Targets of all links that stay on this site; examples in code are none. */
export function linksOf(page: string): string[] {
  const text = withoutCodeBlocks(page).replaceAll(/`[^`\n]*`/g, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = ""]) => link).filter((link) => !/^[a-z]+:/i.test(link));
}

/** Anchors of headings, the second of equal ones with "-1", and ids that are written out. */
export function anchorsOf(page: string): ReadonlySet<string> {
  const text = withoutCodeBlocks(page);
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = ""]) => id));
  const times = new Map<string, number>();
  for (const [, heading = ""] of text.matchAll(/^#{1,6} +(.+)$/gm)) {
    const slug = heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, "")
      .replaceAll(" ", "-");
    const before = times.get(slug) ?? 0;
    times.set(slug, before + 1);
    anchors.add(before === 0 ? slug : `${slug}-${before}`);
  }
  return anchors;
}

/** `page: path` for each path in code, such as `src/main/main.ts`, that does not exist. */
export function deadPaths(pages: Pages, files: readonly string[]): string[] {
  const there = new Set(files.flatMap((file) => [file, ...foldersAbove(file)]));
  return [...pages].flatMap(([page, text]) =>
    [...withoutCodeBlocks(text).matchAll(/`((?:src|test|scripts|docs|changes|\.ci)\/[\w./-]*)`/g)]
      .map(([, path = ""]) => path.replace(/\/$/, ""))
      .filter((path) => !there.has(path))
      .map((path) => `${page}: ${path}`),
  );
}

/** `page: link` for each link that leads nowhere. `files` is everything that a clone contains. */
export function deadLinks(pages: Pages, files: readonly string[]): string[] {
  const there = new Set(files.flatMap((file) => [file, ...foldersAbove(file)]));
  return [...pages].flatMap(([path, text]) =>
    linksOf(text)
      .filter((link) => {
        const [file = "", anchor] = link.split("#");
        const target = file === "" ? path : posix.join(posix.dirname(path), decodeURI(file)).replace(/\/$/, "");
        if (!there.has(target)) return true;
        const other = pages.get(target);
        return anchor !== undefined && other !== undefined && !anchorsOf(other).has(decodeURI(anchor));
      })
      .map((link) => `${path}: ${link}`),
  );
}

function withoutCodeBlocks(page: string): string {
  return page.replaceAll(/^( *)(```|~~~)[\s\S]*?^\1\2 *$/gm, "");
}

function foldersAbove(file: string): string[] {
  const folder = posix.dirname(file);
  return folder === "." ? [] : [folder, ...foldersAbove(folder)];
}
