/**
 * Edits Splunk's conf syntax (see conf-file.ts) and leaves every other byte as it is: comments, order, blank
 * lines and line ends.
 */

interface ConfLine {
  readonly text: string;
  /** Header of a stanza, setting (with the lines that it goes on in), or anything else. */
  readonly kind: "header" | "setting" | "other";
  /** The stanza that the line belongs to. */
  readonly stanza: string;
  readonly key: string;
}

/** Adds a stanza at the end. */
export function withStanzaAdded(text: string, name: string, values: Readonly<Record<string, string>>): string {
  const lineEnd = lineEndOf(text);
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}${lineEnd}`);
  const gap = text === "" ? "" : /[\r\n]$/.test(text) ? lineEnd : `${lineEnd}${lineEnd}`;
  return `${text}${gap}[${name}]${lineEnd}${lines.join("")}`;
}

/** Sets values of a stanza that is there: where the key was last written, else below the header. */
export function withStanzaChanged(text: string, name: string, values: Readonly<Record<string, string>>): string {
  const lineEnd = lineEndOf(text);
  const lines = [...linesOf(text)];
  for (const [key, value] of Object.entries(values)) {
    const setting = `${key} = ${value}`;
    const at = lines.findLastIndex((line) => line.kind === "setting" && line.stanza === name && line.key === key);
    const present = lines[at];
    const header = lines.findLastIndex((line) => line.kind === "header" && line.stanza === name);
    if (present !== undefined) {
      const ending = /(?:\r\n|\n|\r)?$/.exec(present.text)?.[0] ?? "";
      lines[at] = { ...present, text: `${setting}${ending}` };
    } else if (header >= 0) {
      const above = lines[header] as ConfLine;
      if (!/[\r\n]$/.test(above.text)) lines[header] = { ...above, text: `${above.text}${lineEnd}` };
      lines.splice(header + 1, 0, { text: `${setting}${lineEnd}`, kind: "setting", stanza: name, key });
    }
  }
  return lines.map((line) => line.text).join("");
}

/** Takes a stanza out: from its header to its last setting. Comments below that stay. */
export function withoutStanza(text: string, name: string): string {
  const lines = [...linesOf(text)];
  const gone = new Set<number>();
  for (const [at, line] of lines.entries()) {
    if (line.kind !== "header" || line.stanza !== name) continue;
    const next = lines.findIndex((other, place) => place > at && other.kind === "header");
    const end = next < 0 ? lines.length : next;
    const last = lines.findLastIndex((other, place) => place >= at && place < end && other.kind !== "other");
    for (let place = at; place <= last; place += 1) gone.add(place);
    // One of the two blank lines around it is enough.
    if (lines[last + 1]?.text.trim() === "" && (at === 0 || lines[at - 1]?.text.trim() === "")) gone.add(last + 1);
  }
  return lines
    .filter((_, at) => !gone.has(at))
    .map((line) => line.text)
    .join("");
}

function lineEndOf(text: string): string {
  return text.includes("\r\n") ? "\r\n" : "\n";
}

function* linesOf(text: string): Generator<ConfLine> {
  const physical = text.match(/[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$/g) ?? [];
  let stanza = "default";
  for (let at = 0; at < physical.length; at += 1) {
    let whole = physical[at] as string;
    while (/\\(?:\r\n|\n|\r)$/.test(whole) && at + 1 < physical.length) {
      at += 1;
      whole += physical[at] as string;
    }
    const trimmed = whole.replace(/^\uFEFF/, "").trim();
    const isComment = trimmed === "" || trimmed.startsWith("#") || trimmed.startsWith(";");
    const header = isComment ? null : /^\[(.*)\]\s*$/s.exec(trimmed);
    if (header) stanza = header[1] as string;
    const equals = whole.indexOf("=");
    const kind = header ? "header" : isComment || equals < 0 ? "other" : "setting";
    yield { text: whole, kind, stanza, key: kind === "setting" ? whole.slice(0, equals).trim() : "" };
  }
}
