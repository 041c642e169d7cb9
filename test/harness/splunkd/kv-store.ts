import { randomBytes } from "node:crypto";
import type { Reply } from "./atom.ts";

type Row = Record<string, unknown> & { readonly _key: string };

/**
 * The KV store of one fake splunkd, in memory. (Public source: Splunk REST API reference, "KV store endpoint
 * descriptions".)
 */
export class KvStore {
  /** As on a universal forwarder, or while it starts. */
  isOff = false;
  private readonly collections = new Map<string, Map<string, Row>>();

  /** @param collections `<app>/<collection>` to its documents. */
  constructor(collections: Readonly<Record<string, readonly unknown[]>>) {
    for (const [name, documents] of Object.entries(collections)) {
      const rows = new Map<string, Row>();
      this.collections.set(name, rows);
      for (const document of documents) save(rows, document);
    }
  }

  rows(collection: string): readonly Row[] {
    return [...(this.collections.get(collection)?.values() ?? [])];
  }

  /** @param body the request's text: JSON. */
  answer(method: string, collection: string, key: string | undefined, query: URLSearchParams, body: string): Reply {
    if (this.isOff) return refuse(503, "KV Store is not ready.");
    const rows = this.collections.get(collection);
    if (rows === undefined) return refuse(404, `Could not find object id=${collection.split("/").at(-1)}`);
    if (key === "batch_save" && method === "POST")
      return { status: 200, body: (JSON.parse(body) as unknown[]).map((document) => save(rows, document)) };
    if (key === undefined) {
      if (method === "GET") return { status: 200, body: page([...rows.values()], query) };
      if (method === "POST") return this.create(rows, JSON.parse(body));
      for (const one of matching([...rows.values()], query)) rows.delete(one["_key"]);
      return { status: 200, body: {} };
    }
    const found = rows.get(key);
    if (found === undefined) return refuse(404, "Could not find object.");
    if (method === "GET") return { status: 200, body: found };
    if (method === "DELETE") {
      rows.delete(key);
      return { status: 200, body: {} };
    }
    return { status: 200, body: { _key: save(rows, { ...(JSON.parse(body) as object), _key: key }) } };
  }

  private create(rows: Map<string, Row>, document: unknown): Reply {
    const key = (document as { readonly _key?: string })["_key"];
    if (key !== undefined && rows.has(key)) return refuse(409, "A document with the same key and user already exists.");
    return { status: 201, body: { _key: save(rows, document) } };
  }
}

function save(rows: Map<string, Row>, document: unknown): string {
  const given = document as { readonly _key?: string };
  const key = given["_key"] ?? randomBytes(12).toString("hex");
  rows.set(key, { ...given, _user: "nobody", _key: key });
  return key;
}

function page(all: readonly Row[], query: URLSearchParams): readonly Row[] {
  const skip = Number(query.get("skip") ?? 0);
  const limit = Number(query.get("limit") ?? 0);
  const found = matching(all, query);
  return found.slice(skip, limit === 0 ? undefined : skip + limit);
}

/** Queries by equality only. */
function matching(all: readonly Row[], query: URLSearchParams): readonly Row[] {
  const wanted = Object.entries(JSON.parse(query.get("query") || "{}") as Record<string, unknown>);
  return all.filter((row) => wanted.every(([name, value]) => row[name] === value));
}

function refuse(status: number, text: string): Reply {
  return { status, message: { type: "ERROR", text } };
}
