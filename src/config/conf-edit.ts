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

/** A stanza's name with its values, or those that change. */
export type StanzaValues = readonly [name: string, values: Readonly<Record<string, string>>];

/** Adds stanzas at the end. The text is read once, because a list has thousands. */
export function withStanzasAdded(text: string, stanzas: readonly StanzaValues[]): string {
  const lineEnd = lineEndOf(text);
  const parts = stanzas.map(([name, values], at) => {
    const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}${lineEnd}`);
    const isAtStart = text === "" && at === 0;
    const gap = isAtStart ? "" : at > 0 || /[\r\n]$/.test(text) ? lineEnd : `${lineEnd}${lineEnd}`;
    return `${gap}[${name}]${lineEnd}${lines.join("")}`;
  });
  return `${text}${parts.join("")}`;
}

/** Sets values of stanzas that are there: where the key was last written, else below the header. */
export function withStanzasChanged(text: string, stanzas: readonly StanzaValues[]): string {
  if (stanzas.length === 0) return text;
  const lineEnd = lineEndOf(text);
  const lines = [...linesOf(text)];
  const headers = new Map<string, number>();
  const settings = new Map<string, number>();
  for (const [at, { kind, stanza, key }] of lines.entries()) {
    if (kind === "header") headers.set(stanza, at);
    if (kind === "setting") settings.set(JSON.stringify([stanza, key]), at);
  }
  const texts = lines.map((line) => line.text);
  for (const [name, values] of stanzas)
    for (const [key, value] of Object.entries(values)) {
      const setting = `${key} = ${value}`;
      const at = settings.get(JSON.stringify([name, key]));
      const header = headers.get(name);
      if (at !== undefined) texts[at] = `${setting}${/(?:\r\n|\n|\r)?$/.exec(lines[at]?.text ?? "")?.[0] ?? ""}`;
      else if (header !== undefined) {
        const [, head = "", below = ""] = /^(.*?(?:\r\n|\n|\r|$))(.*)$/s.exec(texts[header] ?? "") ?? [];
        texts[header] = `${/[\r\n]$/.test(head) ? head : `${head}${lineEnd}`}${setting}${lineEnd}${below}`;
      }
    }
  return texts.join("");
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
