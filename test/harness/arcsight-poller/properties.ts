/**
 * Reads a `.properties` text as java.util.Properties.load does (Java SE documentation), the last of equal
 * keys winning. Throws on a bad `\u`.
 */
export function readProperties(bytes: Uint8Array): Map<string, string> {
  const properties = new Map<string, string>();
  // Java reads ISO-8859-1 from a stream: UTF-8 text is misread there, so it is here.
  const lines = Buffer.from(bytes)
    .toString("latin1")
    .split(/\r\n|\r|\n/);
  for (let index = 0; index < lines.length; index++) {
    let line = (lines[index] as string).replace(/^[ \t\f]+/, "");
    if (line === "" || line.startsWith("#") || line.startsWith("!")) continue;
    while (/(?:^|[^\\])(?:\\\\)*\\$/.test(line) && index + 1 < lines.length) {
      line = line.slice(0, -1) + (lines[++index] as string).replace(/^[ \t\f]+/, "");
    }
    const end = keyEnd(line);
    const value = line.slice(end).replace(/^[ \t\f]*[=:]?[ \t\f]*/, "");
    properties.set(unescaped(line.slice(0, end)), unescaped(value));
  }
  return properties;
}

function keyEnd(line: string): number {
  for (let at = 0; at < line.length; at++) {
    if (line[at] === "\\") at++;
    else if (/[=: \t\f]/.test(line[at] as string)) return at;
  }
  return line.length;
}

function unescaped(text: string): string {
  return text.replace(/\\(u[\s\S]{0,4}|[\s\S]|$)/g, (_all, escaped: string) => {
    if (escaped.startsWith("u")) {
      if (!/^u[0-9a-fA-F]{4}$/.test(escaped)) throw new Error(`a bad \\u escape: \\${escaped}`);
      return String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    }
    return { t: "\t", n: "\n", r: "\r", f: "\f" }[escaped] ?? escaped;
  });
}
