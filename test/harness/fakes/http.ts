import type { Failure } from "../../../src/model/failure.ts";
import type { Http, HttpAnswer, HttpRequest, TokenSource } from "../../../src/model/ports.ts";
import { type Sealed, sealed } from "../../../src/model/sealed.ts";

export interface Scripted {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A string is sent in pieces of `pieceBytes`. */
  readonly body?: string;
  readonly pieceBytes?: number;
  /** Thrown after the body's pieces. */
  readonly breaks?: Failure;
}

/** Answers in the order of its script; a request beyond it fails the test. */
export class ScriptedHttp implements Http {
  readonly asked: HttpRequest[] = [];
  discarded = 0;
  readonly #script: Scripted[];

  constructor(...script: Scripted[]) {
    this.#script = script;
  }

  send(request: HttpRequest): Promise<HttpAnswer> {
    this.asked.push(request);
    const next = this.#script.shift();
    if (next === undefined) return Promise.reject(new Error(`not in this script: ${request.method} ${request.url}`));
    const status = next.status ?? 200;
    const text = next.body ?? "";
    const whole = new TextEncoder().encode(text);
    async function* body(): AsyncGenerator<Uint8Array> {
      const step = next?.pieceBytes ?? 100;
      for (let at = 0; at < whole.length; at += step) yield whole.slice(at, at + step);
      if (next?.breaks) throw next.breaks;
    }
    return Promise.resolve({
      status,
      headers: { "content-type": "application/json", date: "Tue, 24 Nov 2026 16:00:00 GMT", ...next.headers },
      body: body(),
      text: (limitBytes: number) =>
        next.breaks ? Promise.reject(next.breaks) : Promise.resolve(text.slice(0, limitBytes)),
      discard: () => {
        this.discarded += 1;
        return Promise.resolve();
      },
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Tokens `token-1`, `token-2`, …: a refused one is followed by the next. */
export class CountingTokens implements TokenSource {
  issued = 1;
  readonly refused: string[] = [];
  accessToken(options: { readonly refused?: Sealed } = {}): Promise<Sealed> {
    if (options.refused !== undefined) {
      this.refused.push(options.refused.open((text) => text));
      this.issued += 1;
    }
    return Promise.resolve(sealed(`token-${this.issued}`));
  }
}

/** Five seconds after the answers of the script were made. */
export const AFTER_THE_ANSWER_MS = Date.UTC(2026, 10, 24, 16, 0, 5);
