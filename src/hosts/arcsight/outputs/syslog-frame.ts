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
 * Puts a syslog header before each line. RFC 3164 has this machine's local time and no year; what an event's own time is stands in CEF. `newline` framing ends each message
 * with a line break, `octet` puts its length before it (RFC 6587, 3.4.1; RFC 5425, 4.3).
 *
 * @param lines whole lines, each ended by a line break.
 */
export function syslogFrames(lines: Uint8Array, style: FrameStyle, nowMs: number): Uint8Array {
  const header = Buffer.from(syslogHeader(style, nowMs), "utf8");
  const pieces: Uint8Array[] = [];
  for (const line of eachLine(lines)) {
    if (style.framing === "octet") pieces.push(Buffer.from(`${header.length + line.length} `, "latin1"), header, line);
    else pieces.push(header, line, NEWLINE);
  }
  return Buffer.concat(pieces);
}

/** The same as separate datagrams, without framing (RFC 5426). */
export function syslogDatagrams(lines: Uint8Array, style: Omit<FrameStyle, "framing">, nowMs: number): readonly Uint8Array[] {
  const header = Buffer.from(syslogHeader(style, nowMs), "utf8");
  return [...eachLine(lines)].map((line) => Buffer.concat([header, line]));
}

const NEWLINE = Buffer.from("\n", "latin1");

function* eachLine(bytes: Uint8Array): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(LINE_END, from);
    const to = end === -1 ? bytes.length : end;
    yield bytes.subarray(from, to);
    from = to + 1;
  }
}

function syslogHeader({ format, host }: Pick<FrameStyle, "format" | "host">, nowMs: number): string {
  const name = host.replaceAll(/[^\x21-\x7e]/g, "-").slice(0, HOST_MAX) || "-";
  const now = new Date(nowMs);
  if (format === "rfc5424") return `${PRI}1 ${now.toISOString()} ${name} defender-mssp - - - `;
  const two = (n: number) => String(n).padStart(2, "0");
  return `${PRI}${MONTHS[now.getMonth()]} ${String(now.getDate()).padStart(2, " ")} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())} ${name} `;
}
