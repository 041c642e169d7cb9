/**
 * Called with each string and number of a JSON value and its path (`value[].id`). What it returns replaces
 * the value. A number is passed and returned as its digits.
 */
export type AtLeaf = (path: string, leaf: { readonly kind: "text" | "number"; readonly text: string }) => string;

/**
 * Rewrites the strings and numbers of a JSON text and nothing else: order, duplicate names, white space and
 * number forms stay as they were, because a fixture is to show what Microsoft really sends. Throws when the
 * text is not JSON.
 */
export function rewriteLeaves(text: string, at: AtLeaf): string {
  JSON.parse(text);
  const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}[\],:]|true|false|null|\s+/g;
  const levels: { readonly isArray: boolean; name: string }[] = [];
  let expectsName = false;
  let out = "";
  const path = (): string =>
    levels
      .map((level) => (level.isArray ? "[]" : `.${level.name}`))
      .join("")
      .replace(/^\./, "");
  for (const [token] of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === "{" || token === "[") {
      levels.push({ isArray: token === "[", name: "" });
      expectsName = token === "{";
    } else if (token === "}" || token === "]") {
      levels.pop();
      expectsName = false;
    } else if (token === ",") expectsName = level !== undefined && !level.isArray;
    else if (token === ":") expectsName = false;
    else if (token.startsWith('"') && expectsName && level) level.name = JSON.parse(token) as string;
    else if (token.startsWith('"')) {
      const value = JSON.parse(token) as string;
      const replaced = at(path(), { kind: "text", text: value });
      out += replaced === value ? token : JSON.stringify(replaced);
      continue;
    } else if (/^-?\d/.test(token)) {
      out += at(path(), { kind: "number", text: token });
      continue;
    }
    out += token;
  }
  return out;
}
