import type { Delivered } from "./delivered.ts";

const EVENT_OPEN = Buffer.from("<event");
const EVENT_CLOSE = Buffer.from("</event>");
const STREAM_OPEN = Buffer.from("<stream>");
const DATA_OPEN = Buffer.from("<data>");
const DATA_CLOSE = Buffer.from("</data>");
const CDATA_OPEN = Buffer.from("<![CDATA[");
const CDATA_CLOSE = Buffer.from("]]>");
const AMPERSAND = 0x26;

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const HEALTH_SOURCETYPE = /<sourcetype>[^<]*:health<\/sourcetype>/;

/**
 * Reads what a modular input wrote in XML streaming mode: one or several `<stream>` documents one after
 * another, each ended or cut off. An event whose `unbroken` pieces end with `<done/>` is put together again.
 * A raw `<stream>` cannot stand inside an event (a `<` in text is escaped), so it ends a half event of a run
 * that was killed.
 */
export async function readSplunkStream(
  chunks: AsyncIterable<Uint8Array>,
  each: (event: Delivered) => void,
): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let consumed = 0;
  let pieces: Uint8Array[] = [];
  let searchedTo = 0;

  const tell = (event: Buffer, endOffset: number): void => {
    const from = event.indexOf(DATA_OPEN);
    const to = event.lastIndexOf(DATA_CLOSE);
    if (from === -1 || to < from) {
      each({ kind: "unreadable", say: `an <event> without <data>: ${event.toString("utf8", 0, 120)}` });
      return;
    }
    const head = event.toString("utf8", 0, from);
    const tail = event.toString("utf8", to);
    const text = unescapeXml(event.subarray(from + DATA_OPEN.length, to));
    const isPiece =
      head.slice(0, head.indexOf(">")).includes('unbroken="1"') &&
      !/<done\s*\/>/.test(head) &&
      !/<done\s*\/>/.test(tail);
    if (isPiece || pieces.length > 0) pieces.push(Buffer.from(text));
    if (isPiece) return;
    const bytes = pieces.length > 0 ? Buffer.concat(pieces) : text;
    pieces = [];
    if (HEALTH_SOURCETYPE.test(head) || HEALTH_SOURCETYPE.test(tail)) each({ kind: "health" });
    else each({ kind: "record", bytes, endOffset, hints: head });
  };
  const runEnds = (): void => {
    // Pieces without a <done/> are half an event too, unless they are whole in themselves (a collector that
    // never writes <done/>).
    for (const piece of pieces) {
      if (isWholeJson(piece)) each({ kind: "record", bytes: piece, endOffset: consumed });
      else each({ kind: "torn" });
    }
    pieces = [];
  };

  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([rest, chunk]);
    let at = 0;
    // Looked up once and kept until passed: searching to the end of the chunk for every event would be
    // quadratic.
    let restart = rest.indexOf(STREAM_OPEN);
    for (;;) {
      const open = rest.indexOf(EVENT_OPEN, at);
      if (restart !== -1 && restart < at) restart = rest.indexOf(STREAM_OPEN, at);
      if (restart !== -1 && (open === -1 || restart < open)) {
        runEnds();
        at = restart + STREAM_OPEN.length;
        continue;
      }
      if (open === -1) {
        // Keep what may be the beginning of a tag.
        at = Math.max(at, rest.length - STREAM_OPEN.length);
        break;
      }
      const close = rest.indexOf(EVENT_CLOSE, Math.max(open, searchedTo));
      if (restart !== -1 && (close === -1 || restart < close) && !insideCdata(rest, open, restart)) {
        each({ kind: "torn" });
        pieces = [];
        at = restart + STREAM_OPEN.length;
        searchedTo = 0;
        continue;
      }
      if (close === -1) {
        at = open;
        searchedTo = Math.max(0, rest.length - open - EVENT_CLOSE.length);
        break;
      }
      searchedTo = 0;
      tell(rest.subarray(open, close), consumed + close + EVENT_CLOSE.length);
      at = close + EVENT_CLOSE.length;
    }
    consumed += at;
    // A copy: the chunk's memory may be reused by its reader.
    rest = Buffer.from(rest.subarray(at));
  }
  if (rest.indexOf(EVENT_OPEN) !== -1) {
    each({ kind: "torn" });
    pieces = [];
  }
  runEnds();
}

function isWholeJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes).toString("utf8"));
    return true;
  } catch {
    return false;
  }
}

function insideCdata(text: Buffer, from: number, at: number): boolean {
  const open = text.subarray(from, at).lastIndexOf(CDATA_OPEN);
  if (open === -1) return false;
  const close = text.indexOf(CDATA_CLOSE, from + open);
  return close !== -1 && close > at;
}

/** Text of an XML element as bytes; the very view when nothing is to be replaced. */
function unescapeXml(text: Buffer): Buffer {
  if (text.indexOf(CDATA_OPEN) !== -1) return Buffer.from(unescapeParts(text.toString("utf8")));
  if (text.indexOf(AMPERSAND) === -1) return text;
  const out = Buffer.allocUnsafe(text.length);
  let written = 0;
  let from = 0;
  for (let at = text.indexOf(AMPERSAND); at !== -1; at = text.indexOf(AMPERSAND, from)) {
    written += text.copy(out, written, from, at);
    const end = text.indexOf(0x3b, at);
    const name = end === -1 || end - at > 10 ? undefined : text.toString("latin1", at + 1, end);
    const replaced = name === undefined ? undefined : entity(name);
    if (replaced === undefined || end === -1) {
      out[written++] = AMPERSAND;
      from = at + 1;
    } else {
      written += out.write(replaced, written, "utf8");
      from = end + 1;
    }
  }
  written += text.copy(out, written, from);
  return out.subarray(0, written);
}

function unescapeParts(text: string): string {
  return text
    .split(/(<!\[CDATA\[[\s\S]*?\]\]>)/)
    .map((part) => (part.startsWith("<![CDATA[") ? part.slice(9, -3) : unescapeXml(Buffer.from(part)).toString("utf8")))
    .join("");
}

function entity(name: string): string | undefined {
  if (name.startsWith("#")) {
    const code = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
    return Number.isNaN(code) || code > 0x10ffff ? undefined : String.fromCodePoint(code);
  }
  return ENTITIES[name];
}
