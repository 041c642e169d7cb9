import { gzipSync } from "node:zlib";
import { sendDamaged } from "./damage.ts";
import { acceptsGzip, type Exchange } from "./exchange.ts";
import { gzipBehind, type Prepared } from "./pages.ts";

/** Microsoft's front ends do not compress small answers. */
const GZIP_FROM_BYTES = 1024;

export function sendText(
  exchange: Exchange,
  status: number,
  type: string,
  text: string,
  headers: Record<string, string> = {},
): void {
  const raw = Buffer.from(text);
  if (exchange.damage !== undefined) {
    sendDamaged(exchange, status, { ...common(exchange), "content-type": type, ...headers }, raw);
    return;
  }
  const zipped = raw.length >= GZIP_FROM_BYTES && acceptsGzip(exchange.request);
  const body = zipped ? gzipSync(raw, { level: 6 }) : raw;
  exchange.response.writeHead(status, {
    ...common(exchange),
    "content-type": type,
    ...(zipped ? { "content-encoding": "gzip", vary: "Accept-Encoding" } : {}),
    "content-length": String(body.length),
    ...headers,
  });
  exchange.response.end(exchange.request.method === "HEAD" ? undefined : body);
}

export function sendJson(
  exchange: Exchange,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  sendText(exchange, status, "application/json; charset=utf-8", JSON.stringify(value), headers);
}

/** Sends a head (all before the rows) and a prepared rest, as one gzip member. */
export function sendPrepared(
  exchange: Exchange,
  status: number,
  head: string,
  rest: Prepared,
  headers: Record<string, string>,
): void {
  const parts = gzipBehind(Buffer.from(head), rest);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const { response } = exchange;
  response.writeHead(status, {
    ...common(exchange),
    ...headers,
    "content-encoding": "gzip",
    vary: "Accept-Encoding",
    "content-length": String(length),
  });
  response.cork();
  for (const part of parts) response.write(part);
  response.end();
  response.uncork();
}

/**
 * Sends the same without compression, record by record, so that a page may be longer than a string can be.
 */
export async function sendPlain(
  exchange: Exchange,
  status: number,
  chunks: Iterable<string>,
  headers: Record<string, string>,
): Promise<void> {
  const { response } = exchange;
  if (exchange.damage !== undefined)
    return sendDamaged(exchange, status, { ...common(exchange), ...headers }, Buffer.from([...chunks].join("")));
  response.writeHead(status, { ...common(exchange), ...headers });
  for (const chunk of chunks) {
    if (response.destroyed) return;
    if (!response.write(chunk)) {
      await new Promise<void>((resolve) => {
        response.once("drain", resolve);
        response.once("close", resolve);
      });
    }
  }
  response.end();
}

function common(exchange: Exchange): Record<string, string> {
  return {
    date: new Date(exchange.nowMs).toUTCString(),
    "request-id": exchange.requestId,
    "client-request-id": String(exchange.request.headers["client-request-id"] ?? exchange.requestId),
    "strict-transport-security": "max-age=31536000",
    "cache-control": "no-cache",
  };
}
