/**
 * A CEF reader as strict as the standard: seven pipes, only the escapes that exist, no bare `=` in a value,
 * no key twice. Written from the standard's text and not from our writer, so that the two can disagree.
 */
export interface ReadCef {
  readonly version: string;
  /** Vendor, product, version, class id, name, severity. */
  readonly header: readonly string[];
  readonly extension: ReadonlyMap<string, string>;
}

export function readCef(line: string): ReadCef {
  if (!line.startsWith("CEF:")) throw new Error("does not begin with CEF:");
  if (/[\r\n]/.test(line)) throw new Error("a line break");
  const header: string[] = [];
  let field = "";
  let at = 4;
  while (header.length < 7) {
    const sign = line[at];
    if (sign === undefined) throw new Error(`only ${header.length} pipes`);
    if (sign === "|") {
      header.push(field);
      field = "";
    } else if (sign === "\\") {
      at++;
      const escaped = line[at];
      if (escaped !== "\\" && escaped !== "|") throw new Error(`\\${escaped} in the header`);
      field += escaped;
    } else field += sign;
    at++;
  }
  const [version = "", ...rest] = header;
  return { version, header: rest, extension: readExtension(line.slice(at)) };
}

function readExtension(text: string): ReadonlyMap<string, string> {
  const extension = new Map<string, string>();
  let at = 0;
  while (at < text.length) {
    const key = /^[A-Za-z0-9]+/.exec(text.slice(at))?.[0];
    if (key === undefined || text[at + key.length] !== "=")
      throw new Error(`no key at ${at}: ${text.slice(at, at + 20)}`);
    at += key.length + 1;
    let value = "";
    for (; at < text.length; at++) {
      const sign = text[at]!;
      if (sign === "=") throw new Error(`a bare = in ${key}`);
      if (sign === " " && /^ [A-Za-z0-9]+=/.test(text.slice(at, at + 80))) break;
      if (sign !== "\\") {
        value += sign;
        continue;
      }
      at++;
      const escaped = text[at] ?? "";
      const meant = { "\\": "\\", "=": "=", n: "\n", r: "\r" }[escaped];
      if (meant === undefined) throw new Error(`\\${escaped} in ${key}`);
      value += meant;
    }
    if (extension.has(key)) throw new Error(`${key} twice`);
    extension.set(key, value);
    at++;
  }
  return extension;
}
