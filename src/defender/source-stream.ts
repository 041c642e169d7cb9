import { type AnswerEnd, AnswerScanner } from "../format/answer-scanner.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { Clock, Http, HttpAnswer, Log, Page, Question, SourceStream, TokenSource } from "../model/kit.ts";
import type { PageRecord } from "../model/record.ts";
import type { Sealed } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Tenant } from "../model/tenant.ts";
import { nextMove, serverNowMs } from "../net/retry.ts";
import { apiFailure, ERROR_BODY_MOST } from "./api-failures.ts";
import { APIS } from "./apis.ts";
import { readErrorBody } from "./error-body.ts";
import { pageLink } from "./page-link.ts";
import { type Learnt, questionUrl } from "./question.ts";
import type { StreamContract } from "./streams/contract.ts";
import { type ListStreamName, STREAMS } from "./streams/registry.ts";

export interface SourceStreamParts {
  readonly stanza: Pick<Stanza, "name" | "endpoints" | "route" | "clientId" | "credential">;
  readonly tenant: Tenant;
  readonly stream: ListStreamName;
  readonly http: Http;
  /** For this stream's audience: see `audienceOf`. */
  readonly tokens: TokenSource;
  readonly clock: Clock;
  readonly log: Log;
  /** Larger records are counted and hashed, not held. */
  readonly recordMaxBytes: number;
}

/** One list stream of one customer. Throws (in `ask`) as model/kit.ts says, and the codes of api-failures.ts. */
export function createSourceStream(parts: SourceStreamParts): SourceStream {
  return new ListStream(parts, STREAMS[parts.stream]);
}

class ListStream implements SourceStream {
  readonly name: SourceStream["name"];
  readonly budgetKey: string;
  readonly limits: SourceStream["limits"];
  readonly skipMax: number;
  readonly splits: SourceStream["splits"];
  readonly lifts: boolean;
  readonly #parts: SourceStreamParts;
  readonly #contract: StreamContract;
  readonly #base: string;
  #learnt: Learnt = {};

  constructor(parts: SourceStreamParts, contract: StreamContract) {
    this.#parts = parts;
    this.#contract = contract;
    const api = APIS[contract.api];
    this.#base = api.base(parts.stanza.endpoints);
    this.name = contract.name;
    this.budgetKey = budgetKeyOf(parts.stanza, parts.tenant, contract.api);
    this.limits = api.limits;
    this.skipMax = contract.skipMost;
    this.splits = contract.splits;
    this.lifts = contract.lift !== undefined;
  }

  get pageTop(): number {
    return this.#learnt.top ?? this.#contract.topMost;
  }

  async ask(question: Question, signal: AbortSignal): Promise<Page> {
    for (;;) {
      const answer = await this.#askSignedIn(question, signal);
      if (isData(answer)) return this.#page(answer);
      const body = await errorText(answer);
      if (!this.#learnsFrom(answer.status, body, question)) throw this.#failure(answer, body);
    }
  }

  /** Sends once, and once more with a renewed token when the service no longer takes the one we had. */
  async #askSignedIn(question: Question, signal: AbortSignal): Promise<HttpAnswer> {
    const token = await this.#parts.tokens.accessToken({ signal });
    const answer = await this.#send(question, token, signal);
    if (nextMove(answer, this.#parts.clock.nowMs()).do !== "renew-token") return answer;
    const body = await errorText(answer);
    const failure = this.#failure(answer, body);
    // A missing licence is answered 401 as well; no token changes that.
    if (failure.code === "licence-missing") throw failure;
    const renewed = await this.#parts.tokens.accessToken({ refused: token, signal });
    return this.#send(question, renewed, signal);
  }

  #send(question: Question, token: Sealed, signal: AbortSignal): Promise<HttpAnswer> {
    const url = questionUrl(this.#contract, this.#base, question, this.#learnt);
    // The engine only gives back links that `link()` allowed; a token must not depend on that.
    if (pageLink(url, this.#base).kind !== "next") throw new Error(`a question to ${new URL(url).origin}, which is not ${this.#base}`);
    const { prefer } = APIS[this.#contract.api];
    return token.open((bearer) =>
      this.#parts.http.send({
        method: "GET",
        url,
        headers: {
          accept: "application/json",
          "accept-encoding": "gzip",
          authorization: `Bearer ${bearer}`,
          ...(prefer === undefined ? {} : { prefer }),
        },
        route: this.#parts.stanza.route,
        signal,
        headersTimeoutMs: this.#contract.headersTimeoutMs,
      }),
    );
  }

  /** True when the refusal taught us something and the same question is worth asking again in other words. */
  #learnsFrom(status: number, body: string, question: Question): boolean {
    if (status !== 400 || question.link !== undefined) return false;
    const { message } = readErrorBody(body, {});
    const top = topLimitIn(message);
    if (top !== undefined && top < Math.min(question.top, this.pageTop)) {
      this.#parts.log.info("the service takes smaller pages than documented", { tenant: this.#parts.tenant.name, stream: this.name, top });
      this.#learnt = { ...this.#learnt, top };
      return true;
    }
    if (this.#contract.ordered && this.#learnt.noOrder !== true && /order/i.test(message)) {
      this.#parts.log.info("the service refuses $orderby; asking without it", { tenant: this.#parts.tenant.name, stream: this.name });
      this.#learnt = { ...this.#learnt, noOrder: true };
      return true;
    }
    return false;
  }

  #failure(answer: HttpAnswer, body: string): Failure {
    const { stanza, tenant, clock } = this.#parts;
    return apiFailure({
      api: this.#contract.api,
      status: answer.status,
      headers: answer.headers,
      body,
      customer: tenant.name,
      stanza: stanza.name,
      rights: this.#contract.rights.application,
      nowMs: clock.nowMs(),
    });
  }

  #page(answer: HttpAnswer): Page {
    const { shape, fields, lift } = this.#contract;
    const scanner = new AnswerScanner({
      shape,
      fields,
      recordMaxBytes: this.#parts.recordMaxBytes,
      ...(lift === undefined ? {} : { lift }),
    });
    let end: AnswerEnd | undefined;
    const ended = (): AnswerEnd => {
      if (end === undefined) throw new Error("a page was asked for its end before its records were read");
      return end;
    };
    const partial = answer.status === 206 ? missingProviders(answer.headers["warning"]) : undefined;
    return {
      serverNowMs: serverNowMs(answer.headers, this.#parts.clock.nowMs()),
      ...(partial === undefined ? {} : { partial }),
      batches: records(answer, scanner, (reached) => {
        end = reached;
      }),
      link: () => pageLink(ended().nextLink, this.#base),
      invalidUtf8Count: () => ended().invalidUtf8Count,
    };
  }
}

/** The audience that a stream's token is made for; the setting `resource` goes before it. */
export function audienceOf(stream: ListStreamName | "hunting", cloud: Tenant["cloud"]): string {
  return APIS[stream === "hunting" ? "hunting" : STREAMS[stream].api].audience(cloud);
}

/** Requests of the same app to the same tenant's service share one budget, whichever stanza they come from. */
export function budgetKeyOf(stanza: Pick<Stanza, "clientId" | "credential" | "name">, tenant: Tenant, api: string): string {
  const app = stanza.clientId ?? (stanza.credential === undefined ? `stanza ${stanza.name}` : `credential ${stanza.credential}`);
  return `${app.toLowerCase()} ${tenant.id} ${api}`;
}

/** The whole answer as batches of records, one per piece that the network gave; the caller may stop early. */
async function* records(
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
    // A service that fails after it has begun to answer can only say so at the end (OData 4.01 part 1, section 11.4).
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
    nextStep: "Nothing to do if it passes.",
  });
}

/** JSON with status 200 or 206. A page of HTML, as proxies and portals answer, is not data, whatever its status. */
function isData(answer: HttpAnswer): boolean {
  if (answer.status !== 200 && answer.status !== 206) return false;
  const type = answer.headers["content-type"];
  return type === undefined || /json/i.test(type);
}

async function errorText(answer: HttpAnswer): Promise<string> {
  try {
    return await answer.text(ERROR_BODY_MOST);
  } catch (error) {
    // The status alone already says what to do; a body that breaks off or is too long adds nothing.
    if (!isFailure(error)) throw error;
    return "";
  }
}

/** `The limit of '50' for Top query has been exceeded.` Seen in public issue reports (wazuh 27579). */
function topLimitIn(message: string): number | undefined {
  const found = /limit of '(\d+)' for top query/i.exec(message)?.[1];
  return found === undefined || Number(found) < 1 ? undefined : Number(found);
}

/** The providers in `Warning: 199 - "vendor/provider/status/ms"`; the header was also seen empty. Source: Graph docs, security-error-codes. */
function missingProviders(warning: string | undefined): string {
  const providers = [...(warning ?? "").matchAll(/199[^"]*"([^"]+)"/g)].map(([, what]) => what as string);
  return providers.length === 0 ? "a provider that is not named" : providers.join(", ");
}
