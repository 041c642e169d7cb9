import type { CefEvent, Delivered } from "./delivered.ts";
import { eachLine } from "./lines.ts";

const START = /CEF:[0-9.]+\|/g;
/** A key begins the extension or follows a space; an `=` inside a value is written `\=`. */
const KEY = /(?:^| )([A-Za-z0-9_.\-[\]]+)=/g;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WRITTEN_TIME = /^([A-Z][a-z]{2}) (\d{1,2})(?: (\d{4}))? (\d{2}:\d{2}:\d{2})(?:\.(\d{1,3}))?(?: (?:UTC|GMT|Z))?$/;

/**
 * CEF lines, bare or behind a syslog prefix. Without its newline a line is cut off: nothing in CEF says where
 * a line ends.
 */
export async function readCef(chunks: AsyncIterable<Uint8Array>, each: (event: Delivered) => void): Promise<void> {
  await eachLine(chunks, ({ bytes, complete, endOffset }) => {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
    const starts = [...text.matchAll(START)];
    if (starts.length === 0) {
      each(complete ? { kind: "unreadable", say: `no CEF line: ${text.slice(0, 80)}` } : { kind: "torn" });
      return;
    }
    // A second whole event behind the first beginning: half a line of a run that was killed, and the next
    // run's first line.
    const restarted = starts
      .slice(1)
      .map((start) => parseCef(text.slice(start.index)))
      .find((second) => second?.externalId !== undefined);
    if (restarted) each({ kind: "torn" });
    const event = restarted ?? parseCef(text);
    if (!complete) each({ kind: "torn" });
    else if (!event) each({ kind: "unreadable", say: `a CEF line without its seven pipes: ${text.slice(0, 80)}` });
    else if (event.classId.startsWith("health:")) each({ kind: "health" });
    else if (event.classId.split(":").includes("evidence")) each({ kind: "evidence" });
    else each({ kind: "cef", event, endOffset });
  });
}

/** Undefined when the header is not whole. */
function parseCef(line: string): CefEvent | undefined {
  const start = line.search(/CEF:[0-9.]+\|/);
  if (start === -1) return undefined;
  const header: string[] = [];
  let field = "";
  let at = start;
  for (; at < line.length && header.length < 7; at++) {
    const sign = line[at] as string;
    if (sign === "\\" && at + 1 < line.length) field += line[++at] as string;
    else if (sign === "|") {
      header.push(field);
      field = "";
    } else field += sign;
  }
  if (header.length < 7) return undefined;
  const values = extension(line.slice(at));
  return {
    classId: header[4] as string,
    externalId: values.get("externalId"),
    tenantId: values.get("deviceExternalId")?.toLowerCase(),
    updatedMs: cefTime(values.get("deviceCustomDate1")),
    replay: values.get("found") === "replay",
  };
}

function extension(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const keys = [...text.matchAll(KEY)];
  keys.forEach((key, index) => {
    const raw = text.slice(key.index + key[0].length, keys[index + 1]?.index ?? text.length);
    values.set(
      key[1] as string,
      raw.replace(/\\([\\=|nr])/g, (_all, sign: string) => (sign === "n" ? "\n" : sign === "r" ? "\r" : sign)),
    );
  });
  return values;
}

/** Epoch milliseconds, or `MMM dd yyyy HH:mm:ss[.SSS] [UTC]`: the two forms of the CEF standard. */
function cefTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  const parts = WRITTEN_TIME.exec(text);
  const month = parts ? MONTHS.indexOf(parts[1] as string) : -1;
  if (!parts || month === -1 || parts[3] === undefined) return undefined;
  const ms = Date.parse(
    `${parts[3]}-${String(month + 1).padStart(2, "0")}-${(parts[2] as string).padStart(2, "0")}T${parts[4]}.${(parts[5] ?? "0").padEnd(3, "0")}Z`,
  );
  return Number.isNaN(ms) ? undefined : ms;
}
