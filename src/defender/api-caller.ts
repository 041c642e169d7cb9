import type { AnswerEnd, AnswerScanner } from "../json/answer-scanner.ts";
import { isMicrosoftsAddress } from "../model/cloud.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock, Http, HttpAnswer, HttpRequest, Log, TokenSource } from "../model/ports.ts";
import type { PageRecord } from "../model/record.ts";
import type { Sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Tenant } from "../model/tenant.ts";
import { apiFailure, ERROR_BODY_MOST } from "./api-failures.ts";
import { APIS, type ApiName } from "./apis.ts";
import { readErrorBody } from "./error-body.ts";
import { pageLink } from "./page-link.ts";

export interface ApiCallerParts {
  readonly stanza: Pick<Stanza, "name" | "endpoints" | "route">;
  readonly tenant: Tenant;
  readonly http: Http;
  /** Access tokens for the API's audience. */
  readonly tokens: TokenSource;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ApiCall {
  readonly method: "GET" | "POST";
  readonly url: string;
  /** In addition to those of every call. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly headersTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** Data whose body is not read yet, or an error answer whose body was read. */
export type ApiAnswer =
  | { readonly isData: true; readonly answer: HttpAnswer }
  | { readonly isData: false; readonly status: number; readonly message: string; readonly failure: Failure };

/**
 * Sends one customer's requests to one of Microsoft's APIs: signed in, only to its origin, errors explained.
 */
export class ApiCaller {
  readonly base: string;
  readonly #parts: ApiCallerParts;
  readonly #api: ApiName;
  readonly #rights: readonly string[];

  /** @param rights the calls need one of these permissions. */
  constructor(parts: ApiCallerParts, api: ApiName, rights: readonly string[]) {
    this.#parts = parts;
    this.#api = api;
    this.#rights = rights;
    this.base = APIS[api].base(parts.stanza.endpoints);
  }

  /**
   * Sends the request, and once more with a renewed token if the service rejected the access token. Throws a
   * Failure of the network or the sign-in.
   */
  async ask(call: ApiCall): Promise<ApiAnswer> {
    const token = await this.#parts.tokens.accessToken({ signal: call.signal });
    const answer = await this.#send(call, token);
    if (answer.status !== 401) return this.#judged(answer);
    const refused = await this.#judged(answer);
    // A missing licence is also answered with 401. A new token would not help.
    if (refused.isData || refused.failure.code === "licence-missing") return refused;
    const renewed = await this.#parts.tokens.accessToken({ refused: token, signal: call.signal });
    return this.#judged(await this.#send(call, renewed));
  }

  #send(call: ApiCall, token: Sealed): Promise<HttpAnswer> {
    // The token is sent only to the configured origin over https, even if the caller got another address as a
    // link.
    if (pageLink(call.url, this.base).kind !== "next")
      throw new Error(`a request to ${new URL(call.url).origin}, which is not ${this.base}`);
    const { prefer } = APIS[this.#api];
    return token.open((bearer) => {
      const request: HttpRequest = {
        method: call.method,
        url: call.url,
        addressSetting: APIS[this.#api].setting,
        headers: {
          accept: "application/json",
          "accept-encoding": "gzip",
          authorization: `Bearer ${bearer}`,
          ...(prefer === undefined ? {} : { prefer }),
          ...call.headers,
        },
        ...(call.body === undefined ? {} : { body: call.body }),
        route: this.#parts.stanza.route,
        signal: call.signal,
        headersTimeoutMs: call.headersTimeoutMs,
      };
      return this.#parts.http.send(request);
    });
  }

  async #judged(answer: HttpAnswer): Promise<ApiAnswer> {
    if (isData(answer)) return { isData: true, answer };
    const { stanza, tenant, clock } = this.#parts;
    const body = await errorText(answer);
    const failure = apiFailure({
      api: this.#api,
      ownAddress: isMicrosoftsAddress(this.base) ? undefined : this.base,
      status: answer.status,
      headers: answer.headers,
      body,
      customer: tenant.name,
      stanza: stanza.name,
      rights: this.#rights,
      nowMs: clock.nowMs(),
    });
    return { isData: false, status: answer.status, message: readErrorBody(body, {}).message, failure };
  }
}

/**
 * Requests of the same app to the same service of a tenant share one budget, even from different stanzas.
 */
export function budgetKeyOf(
  stanza: Pick<Stanza, "clientId" | "credential" | "name">,
  tenant: Tenant,
  api: ApiName,
): string {
  const app =
    stanza.clientId ?? (stanza.credential === undefined ? `stanza ${stanza.name}` : `credential ${stanza.credential}`);
  return `${app.toLowerCase()} ${tenant.id} ${api}`;
}

/**
 * The whole answer as batches of records, one batch per piece of network data. The reader may stop early.
 * `ended` is called before the last `next` resolves.
 */
export async function* scannedRecords(
  answer: HttpAnswer,
  scanner: AnswerScanner,
  ended: (end: AnswerEnd) => void,
): AsyncGenerator<readonly PageRecord[]> {
  let whole = false;
  try {
    for await (const piece of answer.body) {
      const batch = scanner.push(piece);
      if (batch.length > 0) yield batch;
    }
    whole = true;
    const end = scanner.end();
    const error = end.members.get("error");
    // A service that fails after it began to answer can report this only at the end (OData 4.01 part 1,
    // section 11.4).
    if (error !== undefined && error !== "null") throw failedMidAnswer(error);
    ended(end);
  } finally {
    if (!whole) await answer.discard();
  }
}

function failedMidAnswer(error: string): Failure {
  const { code, message } = readErrorBody(`{"error":${error}}`, {});
  return new Failure("service-error", {
    actor: "microsoft",
    retry: { when: "soon" },
    say: `Microsoft's answer ended with an error: ${[code, message].filter((part) => part !== "").join(": ") || "no explanation"}`,
    nextStep: "Nothing to do. This program retries.",
  });
}

/**
 * JSON with status 200 or 206. An HTML page, as proxies and portals answer, is not data, whatever its status.
 */
function isData(answer: HttpAnswer): boolean {
  if (answer.status !== 200 && answer.status !== 206) return false;
  const type = answer.headers["content-type"];
  return type === undefined || /json/i.test(type);
}

async function errorText(answer: HttpAnswer): Promise<string> {
  try {
    return await answer.text(ERROR_BODY_MOST);
  } catch (error) {
    // The status alone decides what to do. An incomplete or oversized body adds nothing.
    if (!isFailure(error)) throw error;
    return "";
  }
}
