import { isUtf8 } from "node:buffer";

const EVENT_CLOSE = Buffer.from("</event>");
const STREAM_CLOSE = Buffer.from("</stream>");
const NONCHARACTERS = [Buffer.from([0xef, 0xbf, 0xbe]), Buffer.from([0xef, 0xbf, 0xbf])];
const HEAD = /^<event((?: [a-z]+="[^"<]*")*)>/;
const CHILD = /<(time|source|sourcetype|index|host|data)>([^<]*)<\/\1>|<done\s*\/>|<done><\/done>/y;
const ENTITY = /^&(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9a-fA-F]+);/;
/** C0 controls other than tab, line feed and carriage return. */
const FORBIDDEN = /[^\t\n\r\u0020-\uffff]/;

/**
 * Follows one run's stdout and holds it to the streaming protocol, stricter than splunkd does: one `<stream>`
 * with at least one `<event>`, each a known stanza with known children and valid text, then `</stream>` and
 * nothing more. (Public source: Splunk, "Set up streaming" for modular inputs.)
 */
export class StreamCheck {
  events = 0;
  readonly sourcetypes: Record<string, number> = {};
  /** The first few things that were wrong. */
  readonly faults: string[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private place: "before" | "inside" | "after" | "lost" = "before";
  private readonly stanzas: ReadonlySet<string>;

  constructor(stanzas: Iterable<string>) {
    this.stanzas = new Set(stanzas);
  }

  /** Something was written. */
  get hasBegun(): boolean {
    return this.place !== "before" || this.rest.length > 0;
  }

  take(chunk: Buffer): void {
    this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    let at = 0;
    for (;;) {
      at = this.skipSpace(at);
      if (at >= this.rest.length || this.place === "lost") break;
      const next = this.step(at);
      if (next === undefined) break;
      at = next;
    }
    this.rest = Buffer.from(this.place === "lost" ? Buffer.alloc(0) : this.rest.subarray(at));
  }

  /** @param wasCut the run was killed: then half an event at the end is not a fault */
  end(wasCut: boolean): void {
    if (wasCut || this.place === "lost") return;
    if (this.rest.length > 0) this.fault(`stdout ends in the middle of something: ${this.excerpt(0)}`);
    else if (this.place === "inside") this.fault("stdout ends without </stream>");
  }

  /** One past what was understood; undefined when more bytes are needed. */
  private step(at: number): number | undefined {
    if (this.place === "after") return this.lose(`bytes after </stream>: ${this.excerpt(at)}`);
    if (this.place === "before") {
      const opening = this.rest.toString("latin1", at, at + 64);
      if (opening.startsWith("<?xml")) {
        const end = this.rest.indexOf("?>", at);
        return end === -1 ? undefined : end + 2;
      }
      if (opening.startsWith("<stream>")) {
        this.place = "inside";
        return at + 8;
      }
      return "<stream>".startsWith(opening) || "<?xml".startsWith(opening)
        ? undefined
        : this.lose(`stdout does not begin with <stream>: ${this.excerpt(at)}`);
    }
    if (this.rest[at] !== 0x3c) return this.lose(`text between events: ${this.excerpt(at)}`);
    if (this.rest[at + 1] === 0x2f) {
      if (this.rest.length - at < STREAM_CLOSE.length) return undefined;
      if (!this.rest.subarray(at, at + STREAM_CLOSE.length).equals(STREAM_CLOSE))
        return this.lose(`not </stream>: ${this.excerpt(at)}`);
      if (this.events === 0) this.fault("an empty <stream>: it is to be opened when there is a first event");
      this.place = "after";
      return at + STREAM_CLOSE.length;
    }
    const close = this.rest.indexOf(EVENT_CLOSE, at);
    if (close === -1) return undefined;
    this.event(this.rest.subarray(at, close));
    return close + EVENT_CLOSE.length;
  }

  private event(bytes: Buffer): void {
    this.events++;
    if (!isUtf8(bytes)) this.fault(`an event that is not UTF-8: ${bytes.toString("latin1", 0, 100)}`);
    if (NONCHARACTERS.some((sign) => bytes.indexOf(sign) !== -1))
      this.fault("an event with U+FFFE or U+FFFF, which XML forbids");
    // One character per byte: the checks below look at ASCII only, and no event is decoded for them.
    const text = bytes.toString("latin1");
    if (FORBIDDEN.test(text)) this.fault(`an event with a control character that XML forbids: ${text.slice(0, 100)}`);
    for (let at = text.indexOf("&"); at !== -1; at = text.indexOf("&", at + 1)) {
      if (!ENTITY.test(text.slice(at, at + 12)))
        this.fault(`an ampersand that begins no entity: ${text.slice(at, at + 20)}`);
    }
    const head = HEAD.exec(text);
    if (!head) {
      this.fault(`not an <event>: ${text.slice(0, 100)}`);
      return;
    }
    const stanza = / stanza="([^"]*)"/.exec(head[1] as string)?.[1];
    const known =
      stanza !== undefined && this.stanzas.has(fromEntities(Buffer.from(stanza, "latin1").toString("utf8")));
    if (!known) this.fault(`an event of a stanza that is not in the run document: ${stanza ?? "none"}`);
    let hasData = false;
    CHILD.lastIndex = head[0].length;
    let end = CHILD.lastIndex;
    for (let child = CHILD.exec(text); child; child = CHILD.exec(text)) {
      end = CHILD.lastIndex;
      if (child[1] === "data") hasData = true;
      if (child[1] === "time" && !/^\d+(\.\d+)?$/.test(child[2] as string))
        this.fault(`<time> is not epoch seconds: ${child[2]}`);
      if (child[1] === "sourcetype")
        this.sourcetypes[child[2] as string] = (this.sourcetypes[child[2] as string] ?? 0) + 1;
    }
    if (text.slice(end).trim() !== "")
      this.fault(`an event holds what no event may hold: ${text.slice(end, end + 100)}`);
    if (!hasData) this.fault(`an event without <data>: ${text.slice(0, 100)}`);
  }

  private skipSpace(from: number): number {
    let at = from;
    while (at < this.rest.length && [0x20, 0x0a, 0x0d, 0x09].includes(this.rest[at] as number)) at++;
    return at;
  }

  private lose(fault: string): undefined {
    this.fault(fault);
    this.place = "lost";
    return undefined;
  }

  private fault(text: string): void {
    if (this.faults.length < 10) this.faults.push(text);
  }

  private excerpt(at: number): string {
    return JSON.stringify(this.rest.toString("latin1", at, at + 80));
  }
}

function fromEntities(text: string): string {
  return text.replace(
    /&(amp|lt|gt|quot|apos);/g,
    (_all, name: string) => ({ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" })[name] as string,
  );
}
