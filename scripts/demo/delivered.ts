import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** One event as Splunk would take it. */
export interface DeliveredEvent {
  readonly stanza: string;
  readonly sourcetype: string;
  readonly source: string;
  /** Seconds since 1970, as sent. */
  readonly time: number;
  readonly json: Readonly<Record<string, unknown>>;
}

const HEALTH = "defender_mssp:health";
const EVENT = /<event stanza="([^"]*)"[^>]*>(.*?)<\/event>/gs;
const ENTITIES: Readonly<Record<string, string>> = {
  "&lt;": "<",
  "&gt;": ">",
  "&amp;": "&",
  "&quot;": '"',
  "&apos;": "'",
};

/**
 * Follows a file that a modular input's stdout is written to, and takes events out of it as they become
 * whole.
 */
export class DeliveredFile {
  readonly events: DeliveredEvent[] = [];
  private readonly path: string;
  private readBytes = 0;
  private rest = Buffer.alloc(0);

  constructor(path: string) {
    this.path = path;
  }

  /** Reads what came since the last look; answers all events but those on our own health. */
  look(): readonly DeliveredEvent[] {
    const descriptor = openSync(this.path, "r");
    const chunk = Buffer.alloc(fstatSync(descriptor).size - this.readBytes);
    this.readBytes += readSync(descriptor, chunk, 0, chunk.length, this.readBytes);
    closeSync(descriptor);
    const bytes = Buffer.concat([this.rest, chunk]);
    const end = bytes.lastIndexOf("</event>") + "</event>".length;
    if (end < "</event>".length) {
      this.rest = bytes;
      return this.records();
    }
    this.rest = bytes.subarray(end);
    for (const [, stanza = "", body = ""] of bytes.toString("utf8", 0, end).matchAll(EVENT)) {
      this.events.push({
        stanza: unescaped(stanza),
        sourcetype: element(body, "sourcetype"),
        source: element(body, "source"),
        time: Number(element(body, "time")),
        json: JSON.parse(element(body, "data")) as Record<string, unknown>,
      });
    }
    return this.records();
  }

  /** By "tenant stream": how far behind the collector last said it is, in seconds. */
  lagSeconds(): ReadonlyMap<string, number> {
    const lags = new Map<string, number>();
    for (const { sourcetype, json } of this.events) {
      if (sourcetype !== HEALTH) continue;
      const { tenant, streams } = json as {
        tenant: string;
        streams: readonly { stream: string; lag_s?: number | null }[];
      };
      for (const { stream, lag_s } of streams) if (typeof lag_s === "number") lags.set(`${tenant} ${stream}`, lag_s);
    }
    return lags;
  }

  private records(): readonly DeliveredEvent[] {
    return this.events.filter(({ sourcetype }) => sourcetype !== HEALTH);
  }
}

function element(body: string, name: string): string {
  const from = body.indexOf(`<${name}>`);
  const to = body.lastIndexOf(`</${name}>`);
  return from === -1 || to === -1 ? "" : unescaped(body.slice(from + name.length + 2, to));
}

function unescaped(text: string): string {
  return text.replaceAll(/&(?:lt|gt|amp|quot|apos);/g, (entity) => ENTITIES[entity] ?? entity);
}
