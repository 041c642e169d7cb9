import { escapeXml } from "./documents.ts";

/** One entry of a REST collection. */
export interface Entry {
  readonly name: string;
  readonly app: string;
  readonly sharing?: "app" | "global";
  readonly content: Readonly<Record<string, string | boolean | number | readonly string[]>>;
}

export interface Reply {
  readonly status: number;
  readonly entries?: readonly Entry[];
  readonly paging?: { readonly total: number; readonly perPage: number; readonly offset: number };
  readonly message?: { readonly type: "ERROR" | "WARN"; readonly text: string };
  /** Sent as it is, when the endpoint answers with no collection. */
  readonly body?: unknown;
}

/**
 * splunkd answers Atom XML unless `output_mode=json` is asked for. (Public source: Splunk REST API reference,
 * "Using the REST API".)
 */
export function renderReply(
  reply: Reply,
  json: boolean,
  path: string,
): { readonly type: string; readonly text: string } {
  if (reply.body !== undefined) return { type: "application/json; charset=UTF-8", text: JSON.stringify(reply.body) };
  if (json) return { type: "application/json; charset=UTF-8", text: JSON.stringify(jsonReply(reply, path)) };
  if (reply.message) {
    const { type, text } = reply.message;
    return {
      type: "text/xml; charset=UTF-8",
      text: `<?xml version="1.0" encoding="UTF-8"?>\n<response>\n  <messages>\n    <msg type="${type}">${escapeXml(text)}</msg>\n  </messages>\n</response>\n`,
    };
  }
  const entries = (reply.entries ?? []).map((entry) => {
    const keys = Object.entries(entry.content).map(
      ([key, value]) => `<s:key name="${escapeXml(key)}">${escapeXml(String(value))}</s:key>`,
    );
    return `  <entry>\n    <title>${escapeXml(entry.name)}</title>\n    <content type="text/xml"><s:dict>${keys.join("")}</s:dict></content>\n  </entry>\n`;
  });
  return {
    type: "text/xml; charset=UTF-8",
    text: `<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" xmlns:s="http://dev.splunk.com/ns/rest">\n${entries.join("")}</feed>\n`,
  };
}

function jsonReply(reply: Reply, path: string): unknown {
  if (reply.message) return { messages: [{ type: reply.message.type, text: reply.message.text }] };
  return {
    links: {},
    origin: path,
    generator: { build: "000000000000", version: "10.0.0" },
    entry: (reply.entries ?? []).map((entry) => ({
      name: entry.name,
      id: `${path.replace(/\/$/, "")}/${encodeURIComponent(entry.name)}`,
      author: "nobody",
      acl: {
        app: entry.app,
        owner: "nobody",
        sharing: entry.sharing ?? "app",
        can_write: true,
        modifiable: true,
        removable: true,
        perms: { read: ["admin"], write: ["admin"] },
      },
      content: { "eai:acl": null, ...entry.content },
    })),
    paging: reply.paging ?? { total: reply.entries?.length ?? 0, perPage: 30, offset: 0 },
    messages: [],
  };
}
