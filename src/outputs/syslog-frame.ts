import type { ByteWriter } from "../json/byte-writer.ts";

/** Facility local0, severity notice (RFC 5424, 6.2.1): CEF carries the severity that counts. */
const PRI = "<133>";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const;
const HOST_MAX = 200;
const LINE_END = 0x0a;

export interface FrameStyle {
  readonly format: "rfc3164" | "rfc5424";
  readonly framing: "newline" | "octet";
  /** This machine's name. */
  readonly host: string;
}

/**
 * Puts a syslog header before each line. RFC 3164 has this machine's local time and no year; what an event's
 * own time is stands in CEF. `newline` framing ends each message with a line break, `octet` puts its length
 * before it (RFC 6587, 3.4.1; RFC 5425, 4.3).
 *
 * @param lines whole lines, each ended by a line break.
 */
export function writeSyslogFrames(out: ByteWriter, lines: Uint8Array, style: FrameStyle, nowMs: number): void {
  const header = Buffer.from(syslogHeader(style, nowMs), "utf8");
  for (let from = 0; from < lines.length; ) {
    const to = endOfLine(lines, from);
    if (style.framing === "octet") out.ascii(`${header.length + to - from} `);
    out.copy(header, 0, header.length);
    out.copy(lines, from, to);
    if (style.framing === "newline") out.byte(LINE_END);
    from = to + 1;
  }
}

/** The same as separate datagrams, without framing (RFC 5426). */
export function syslogDatagrams(
  lines: Uint8Array,
  style: Omit<FrameStyle, "framing">,
  nowMs: number,
): readonly Uint8Array[] {
  const header = Buffer.from(syslogHeader(style, nowMs), "utf8");
  const datagrams: Uint8Array[] = [];
  for (let from = 0; from < lines.length; ) {
    const to = endOfLine(lines, from);
    datagrams.push(Buffer.concat([header, lines.subarray(from, to)]));
    from = to + 1;
  }
  return datagrams;
}

function endOfLine(lines: Uint8Array, from: number): number {
  const end = lines.indexOf(LINE_END, from);
  return end === -1 ? lines.length : end;
}

function syslogHeader({ format, host }: Pick<FrameStyle, "format" | "host">, nowMs: number): string {
  const name = host.replaceAll(/[^\x21-\x7e]/g, "-").slice(0, HOST_MAX) || "-";
  const now = new Date(nowMs);
  if (format === "rfc5424") return `${PRI}1 ${now.toISOString()} ${name} defender-mssp - - - `;
  const two = (n: number) => String(n).padStart(2, "0");
  return `${PRI}${MONTHS[now.getMonth()]} ${String(now.getDate()).padStart(2, " ")} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())} ${name} `;
}
