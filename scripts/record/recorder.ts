import type { Http, HttpAnswer, HttpRequest } from "../../src/model/ports.ts";

/** One request and its answer, as a line of a recording. Bodies are text after decompression. */
export interface Exchange {
  readonly at: string;
  readonly request: {
    readonly method: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
  };
  readonly answer: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
  };
}

/** Form fields and members whose values are secrets: even a recording that stays at home holds none. */
const SECRET_NAMES = new Set([
  "access_token",
  "client_assertion",
  "client_info",
  "client_secret",
  "code",
  "code_verifier",
  "device_code",
  "id_token",
  "password",
  "refresh_token",
]);
/** They describe the bytes on the wire, which a recording no longer has. */
const WIRE_HEADERS = new Set(["connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"]);
const SECRET_HEADERS = new Set(["authorization", "cookie", "proxy-authorization", "set-cookie"]);

/**
 * An Http that passes everything through `inner` and hands each finished exchange to `keep`. An answer whose
 * body is not read to its end is kept as far as it was read.
 */
export function recordingHttp(inner: Http, keep: (exchange: Exchange) => void, nowMs: () => number): Http {
  return {
    async send(request) {
      const answer = await inner.send(request);
      const pieces: Uint8Array[] = [];
      let kept = false;
      const finish = (text?: string): void => {
        if (kept) return;
        kept = true;
        keep(exchangeOf(request, answer, text ?? Buffer.concat(pieces).toString("utf8"), nowMs()));
      };
      return {
        status: answer.status,
        headers: answer.headers,
        body: tee(answer.body, pieces, finish),
        async text(limitBytes) {
          const text = await answer.text(limitBytes);
          finish(text);
          return text;
        },
        async discard() {
          finish();
          await answer.discard();
        },
      };
    },
    close: () => inner.close(),
  };
}

async function* tee(
  body: AsyncIterable<Uint8Array>,
  pieces: Uint8Array[],
  finish: () => void,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) {
      // A copy: the reader may change or reuse the bytes.
      pieces.push(Uint8Array.from(piece));
      yield piece;
    }
  } finally {
    finish();
  }
}

function exchangeOf(request: HttpRequest, answer: HttpAnswer, text: string, nowMs: number): Exchange {
  const isForm = /x-www-form-urlencoded/.test(request.headers["content-type"] ?? "");
  const sent =
    typeof request.body === "string"
      ? request.body
      : request.body === undefined
        ? undefined
        : Buffer.from(request.body).toString("utf8");
  const body = sent === undefined ? undefined : isForm ? withoutFormSecrets(sent) : withoutMemberSecrets(sent);
  return {
    at: new Date(nowMs).toISOString(),
    request: {
      method: request.method,
      url: request.url,
      headers: plainHeaders(request.headers),
      ...(body === undefined ? {} : { body }),
    },
    answer: { status: answer.status, headers: plainHeaders(answer.headers), body: withoutMemberSecrets(text) },
  };
}

function plainHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !WIRE_HEADERS.has(name) && !SECRET_HEADERS.has(name)),
  );
}

function withoutFormSecrets(form: string): string {
  const fields = [...new URLSearchParams(form)].map(([name, value]): [string, string] => [
    name,
    SECRET_NAMES.has(name) ? `[${name}]` : value,
  ]);
  return new URLSearchParams(fields).toString();
}

/** By text, so that everything else of the body stays byte for byte. */
function withoutMemberSecrets(text: string): string {
  return text.replace(/"([a-z_]+)"(\s*:\s*)"(?:[^"\\]|\\.)*"/g, (all, name: string, colon: string) =>
    SECRET_NAMES.has(name) ? `"${name}"${colon}"[${name}]"` : all,
  );
}
