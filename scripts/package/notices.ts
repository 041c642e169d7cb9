import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { BundledPackage } from "../build/bundle.ts";
import { ROOT, RUNTIME, ScriptProblem } from "../build/project.ts";
import { runtimeLicence } from "../build/runtime.ts";

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/**
 * The licence texts of everything inside the binary, each once. Throws ScriptProblem for a package that
 * brings no text and does not say MIT with an author: shipping it would break its licence.
 */
export function thirdPartyNotices(packages: readonly BundledPackage[]): string {
  const byText = new Map<string, string[]>();
  for (const bundled of packages) {
    const text = licenceText(bundled);
    const title = `${bundled.name} ${bundled.version} (${bundled.licence})`;
    const titles = byText.get(text);
    if (titles === undefined) byText.set(text, [title]);
    else if (!titles.includes(title)) titles.push(title);
  }
  const rule = "=".repeat(100);
  const parts = [
    `defender-mssp is licensed under the Apache License 2.0 (LICENSE). It contains the following works of others.\n`,
  ];
  parts.push(`${rule}\nNode.js ${RUNTIME} and what it contains\n${rule}\n\n${runtimeLicence().trim()}\n`);
  // The one work inside the runtime that its licence file leaves out.
  parts.push(`${rule}\nSQLite (public domain), inside Node.js ${RUNTIME}\n${rule}\n\n${SQLITE}\n`);
  for (const [text, titles] of byText) parts.push(`${rule}\n${titles.join("\n")}\n${rule}\n\n${text}\n`);
  return parts.join("\n");
}

/** sqlite.org/copyright.html */
const SQLITE =
  "All of the code and documentation in SQLite has been dedicated to the public domain by the authors. Anyone is free to copy, modify, publish, use, compile, sell, or distribute the original SQLite code, either in source code form or as a compiled binary, for any purpose, commercial or non-commercial, and by any means.";

function licenceText({ name, version, folder }: BundledPackage): string {
  const texts = readdirSync(resolve(ROOT, folder))
    .filter((file) => LICENCE_FILE.test(file))
    .sort()
    .map((file) =>
      readFileSync(resolve(ROOT, folder, file), "utf8")
        .replaceAll("\r\n", "\n")
        .trim(),
    );
  if (texts.length > 0) return texts.join("\n\n");
  const { license, author } = JSON.parse(readFileSync(resolve(ROOT, folder, "package.json"), "utf8")) as {
    license?: string;
    author?: string | { name: string };
  };
  const holder = typeof author === "object" ? author.name : author;
  if (license !== "MIT" || holder === undefined)
    throw new ScriptProblem(
      `${name} ${version} brings no licence text, so it cannot be shipped: ask its keeper for one.`,
    );
  return MIT.replace("HOLDER", holder.replace(/\s*[<(].*/, ""));
}

/**
 * For a package that says MIT in its package.json and brings no file: the text as published by the Open
 * Source Initiative.
 */
const MIT = `The MIT License

Copyright (c) HOLDER

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;
