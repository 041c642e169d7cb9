import { readdirSync } from "node:fs";
import { join } from "node:path";

/** This many characters of a secret in a row are a leak. */
const PART = 16;

/**
 * The shapes of what Entra hands out while a test runs, whose values no test knows: access tokens, ID tokens
 * and assertions (JWT), refresh tokens. The random text in a link for the sign-in can hold `eyJ` too, but
 * neither at its beginning nor before a second part.
 */
const TOKEN_SHAPES = /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{20}|eyJ[A-Za-z0-9_-]{20,}\.eyJ|\b[01]\.A[A-Za-z0-9_-]{40}/;

const NUMBERED: Readonly<Record<string, string>> = {
  "&": "&#38;",
  "<": "&#60;",
  ">": "&#62;",
  '"': "&#34;",
  "'": "&#39;",
};
const NAMED: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/**
 * A secret as it is, and as URLs, forms, base64 (anywhere in a longer text), XML, JSON and properties files
 * write it.
 */
function formsOf(secret: string): readonly string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const base64 = [0, 1, 2].flatMap((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
    // The first characters depend on what stands before, the last ones on what follows.
    return (["base64", "base64url"] as const).map((encoding) =>
      whole
        .toString(encoding)
        .replace(/=+$/, "")
        .slice(before === 0 ? 0 : 4, -2),
    );
  });
  return [
    secret,
    encodeURIComponent(secret),
    new URLSearchParams({ s: secret }).toString().slice(2),
    ...base64,
    secret.replace(/[&<>"']/g, (rowType) => NAMED[rowType] ?? rowType),
    secret.replace(/[&<>]/g, (rowType) => NAMED[rowType] ?? rowType),
    secret.replace(/[&<>"']/g, (rowType) => NUMBERED[rowType] ?? rowType),
    json,
    JSON.stringify(json).slice(1, -1),
    json.replace(/[&<>']/g, (rowType) => `\\u00${rowType.charCodeAt(0).toString(16)}`),
    secret.replace(/[\\:=#!]/g, (rowType) => `\\${rowType}`),
  ];
}

/** Every part of 16 characters of these secrets, in every form. */
export function partsOf(secrets: readonly string[]): ReadonlySet<string> {
  const parts = new Set<string>();
  for (const form of secrets.flatMap(formsOf))
    for (let at = 0; at + PART <= form.length; at += 1) parts.add(form.slice(at, at + PART));
  return parts;
}

/**
 * What stands before the first part of a secret that a text holds; undefined when it holds none. The secret
 * itself is not returned: test reports are outputs too.
 */
export function leakIn(text: string, parts: ReadonlySet<string>): string | undefined {
  for (let at = 0; at + PART <= text.length; at += 1)
    if (parts.has(text.slice(at, at + PART))) return `leak after: ${text.slice(Math.max(0, at - 60), at)}`;
  return undefined;
}

/** The same for tokens whose values are not known beforehand. */
export function tokenIn(text: string): string | undefined {
  const found = TOKEN_SHAPES.exec(text);
  return found ? `token after: ${text.slice(Math.max(0, found.index - 60), found.index)}` : undefined;
}

export function filesUnder(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
