import { gzipSync } from "node:zlib";
import { acceptsGzip, type Exchange } from "./exchange.ts";
import type { FaultAnswer } from "./faults.ts";

const HTML =
  "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1><p>Our services aren't available right now.</p></body></html>";

/** Sends an answer with what its fault does to it. `raw` is the right body, not compressed. */
export function sendDamaged(exchange: Exchange, status: number, headers: Record<string, string>, raw: Buffer): void {
  const damage = exchange.damage ?? {};
  const { response, request } = exchange;
  const { delay_ms: delayMs, ...later } = damage;
  if (delayMs !== undefined) {
    exchange.damage = later;
    setTimeout(() => sendDamaged(exchange, status, headers, raw), delayMs);
    return;
  }
  if (damage.body === "hang") return;
  const changed = changedBody(exchange, damage, raw);
  const zipped = acceptsGzip(request) || damage.body === "broken-gzip";
  const body = zipped ? gzipSync(changed.body) : changed.body;
  if (damage.body === "broken-gzip")
    for (let at = Math.floor(body.length / 2); at < body.length - 1; at += 7) body[at] = (body[at] ?? 0) ^ 0x5a;
  const partial = damage.warning === undefined || status !== 200 ? {} : { warning: damage.warning };
  response.writeHead(damage.warning !== undefined && status === 200 ? 206 : status, {
    ...headers,
    ...partial,
    ...(changed.type === undefined ? {} : { "content-type": changed.type }),
    ...(damage.content_type === undefined ? {} : { "content-type": damage.content_type }),
    ...(zipped ? { "content-encoding": "gzip" } : {}),
    "content-length": String(damage.body === "wrong-length" ? body.length + 1000 : body.length),
  });
  if (damage.body === "reset" || damage.body === "wrong-length") {
    const sent = damage.body === "reset" ? body.subarray(0, Math.floor(body.length / 2)) : body;
    response.write(sent, () => response.socket?.destroy());
    return;
  }
  if (damage.bytes_per_second !== undefined) {
    trickle(exchange, body, damage.bytes_per_second);
    return;
  }
  response.end(body);
}

function changedBody(exchange: Exchange, damage: FaultAnswer, raw: Buffer): { body: Buffer; type?: string } {
  if (damage.body === "html") return { body: Buffer.from(HTML), type: "text/html; charset=utf-8" };
  if (damage.body === "bom") return { body: Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), raw]) };
  if (damage.body === "empty") return { body: Buffer.alloc(0) };
  if (damage.body === "truncated") return { body: raw.subarray(0, Math.floor(raw.length / 2)) };
  if (damage.value === undefined && damage.link === undefined) return { body: raw };
  let text = raw.toString();
  // Members are cut and put by hand: reading and writing the whole would change the records' own bytes.
  const at = text.indexOf('"value":[');
  if (damage.value !== undefined && at >= 0) {
    const head = text.slice(0, at);
    const rows = text.slice(at + '"value":'.length, -1);
    text = {
      missing: `${head.replace(/,$/, "")}}`,
      null: `${head}"value":null}`,
      object: `${head}"value":{"0":${rows}}}`,
      strings: `${head}"value":["one","two"]}`,
    }[damage.value];
  }
  if (damage.link !== undefined) {
    const bare = text.replace(/,"@odata\.nextLink":"(?:[^"\\]|\\.)*"/, "");
    const link = linkOf(exchange, damage.link);
    text =
      link === undefined
        ? bare
        : bare.replace(
            /,?"value":/,
            (value) => `,"@odata.nextLink":${JSON.stringify(link)},${value.replace(/^,/, "")}`,
          );
  }
  return { body: Buffer.from(text) };
}

function linkOf(exchange: Exchange, kind: NonNullable<FaultAnswer["link"]>): string | undefined {
  const here = `${exchange.url.pathname}${exchange.url.search}`;
  if (kind === "absent") return undefined;
  if (kind === "elsewhere") return `https://graph.contoso-collector.example${here}`;
  return kind === "plain-http" ? `http://${exchange.url.host}${here}` : `${exchange.origin}${here}`;
}

const SLICES_PER_SECOND = 10;

function trickle(exchange: Exchange, body: Buffer, bytesPerSecond: number): void {
  const slice = Math.max(1, Math.floor(bytesPerSecond / SLICES_PER_SECOND));
  let at = 0;
  const next = (): void => {
    if (exchange.response.destroyed) return;
    exchange.response.write(body.subarray(at, at + slice));
    at += slice;
    if (at >= body.length) exchange.response.end();
    else setTimeout(next, 1000 / SLICES_PER_SECOND);
  };
  next();
}
