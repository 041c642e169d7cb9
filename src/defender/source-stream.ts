import { type AnswerEnd, AnswerScanner, type HugeRecordSink } from "../json/answer-scanner.ts";
import type { Ticks } from "../model/instant.ts";
import { rolesFor } from "../model/permissions.ts";
import type { HttpAnswer, Page, Question, SourceStream } from "../model/ports.ts";
import type { RecordHead } from "../model/record.ts";
import type { Stanza } from "../model/stanza.ts";
import { serverNowMs } from "../net/retry-after.ts";
import { ApiCaller, type ApiCallerParts, budgetKeyOf, scannedRecords } from "./api-caller.ts";
import { APIS } from "./apis.ts";
import { pageLink } from "./page-link.ts";
import { type Learnt, questionUrl } from "./question.ts";
import type { StreamContract } from "./streams/contract.ts";
import { type ListStreamName, STREAMS } from "./streams/registry.ts";

export interface SourceStreamParts extends ApiCallerParts {
  readonly stanza: Pick<Stanza, "name" | "endpoints" | "route" | "clientId" | "credential">;
  /** Its tokens are for this stream's audience: see `audienceOf` in model/permissions.ts. */
  readonly stream: ListStreamName;
  /** Larger records are counted and hashed, but not kept in memory. */
  readonly recordMaxBytes: number;
}

/**
 * One list stream of one customer. `ask` throws as model/ports.ts says, with the codes of api-failures.ts.
 */
export function createSourceStream(parts: SourceStreamParts): SourceStream {
  return new ListStream(parts, STREAMS[parts.stream]);
}

class ListStream implements SourceStream {
  readonly name: SourceStream["name"];
  readonly budgetKey: string;
  readonly limits: SourceStream["limits"];
  readonly skipMax: number;
  readonly splits: SourceStream["splits"];
  readonly hasNested: boolean;
  readonly #parts: SourceStreamParts;
  readonly #contract: StreamContract;
  readonly #caller: ApiCaller;
  #learnt: Learnt = {};

  constructor(parts: SourceStreamParts, contract: StreamContract) {
    this.#parts = parts;
    this.#contract = contract;
    this.#caller = new ApiCaller(parts, contract.api, rolesFor(contract.name));
    this.name = contract.name;
    this.budgetKey = budgetKeyOf(parts.stanza, parts.tenant, contract.api);
    this.limits = APIS[contract.api].limits;
    this.skipMax = contract.skipMost;
    this.splits = contract.splits;
    this.hasNested = contract.nest !== undefined;
  }

  get pageTop(): number {
    return this.#learnt.top ?? this.#contract.topMost;
  }

  async ask(question: Question, signal: AbortSignal): Promise<Page> {
    const { headersTimeoutMs } = this.#contract;
    for (;;) {
      const url = questionUrl(this.#contract, this.#caller.base, question, this.#learnt);
      const answer = await this.#caller.ask({ method: "GET", url, headersTimeoutMs, signal });
      if (answer.isData) return this.#page(answer.answer);
      if (answer.status !== 400 || question.link !== undefined || !this.#learnsFrom(answer.message, question))
        throw answer.failure;
    }
  }

  async fetchHuge(
    wanted: { readonly id: string; readonly updated: Ticks },
    keep: (bytes: Uint8Array) => Promise<void>,
    signal: AbortSignal,
  ): Promise<RecordHead | undefined> {
    const question: Question = { from: wanted.updated, to: wanted.updated, top: this.pageTop };
    const url = questionUrl(this.#contract, this.#caller.base, question, this.#learnt);
    const answer = await this.#caller.ask({
      method: "GET",
      url,
      headersTimeoutMs: this.#contract.headersTimeoutMs,
      signal,
    });
    if (!answer.isData) throw answer.failure;
    let passing: Uint8Array[] = [];
    let head: RecordHead | undefined;
    let complete = false;
    const scanner = this.#scanner({
      wanted,
      begin(found) {
        if (head !== undefined || found.id !== wanted.id || found.updated !== wanted.updated) return false;
        head = found;
        return true;
      },
      piece: (bytes) => {
        passing.push(Uint8Array.from(bytes));
      },
      end: (whole, found) => {
        complete = whole && found?.updated === wanted.updated;
        head = found;
      },
    });
    // Piece by piece, so that only one piece of network data is in memory.
    for await (const piece of answer.answer.body) {
      scanner.push(piece);
      const ready = passing;
      passing = [];
      for (const bytes of ready) await keep(bytes);
    }
    scanner.end();
    for (const bytes of passing) await keep(bytes);
    return complete ? head : undefined;
  }

  #scanner(huge?: HugeRecordSink): AnswerScanner {
    const { shape, fields, nest } = this.#contract;
    return new AnswerScanner({
      shape,
      fields,
      recordMaxBytes: this.#parts.recordMaxBytes,
      ...(nest === undefined ? {} : { nest }),
      ...(huge === undefined ? {} : { huge }),
    });
  }

  /** True when the error names something to avoid, so that the same question can be repeated without it. */
  #learnsFrom(message: string, question: Question): boolean {
    const { log, tenant } = this.#parts;
    const top = topLimitIn(message);
    if (top !== undefined && top < Math.min(question.top, this.pageTop)) {
      log.info("the service accepts only smaller pages than documented", {
        tenant: tenant.name,
        stream: this.name,
        top,
      });
      this.#learnt = { ...this.#learnt, top };
      return true;
    }
    if (this.#contract.ordered && this.#learnt.noOrder !== true && /order/i.test(message)) {
      log.info("the service rejected $orderby; requests are now sent without it", {
        tenant: tenant.name,
        stream: this.name,
      });
      this.#learnt = { ...this.#learnt, noOrder: true };
      return true;
    }
    return false;
  }

  #page(answer: HttpAnswer): Page {
    const { base } = this.#caller;
    const scanner = this.#scanner();
    let end: AnswerEnd | undefined;
    const ended = (): AnswerEnd => {
      if (end === undefined) throw new Error("the end of a page was requested before its records were read");
      return end;
    };
    const partial = answer.status === 206 ? missingProviders(answer.headers["warning"]) : undefined;
    return {
      serverNowMs: serverNowMs(answer.headers, this.#parts.clock.nowMs()),
      ...(partial === undefined ? {} : { partial }),
      batches: scannedRecords(answer, scanner, (reached) => {
        end = reached;
      }),
      link: () => pageLink(ended().nextLink, base),
    };
  }
}

/** `The limit of '50' for Top query has been exceeded.` Seen in public issue reports (wazuh 27579). */
function topLimitIn(message: string): number | undefined {
  const found = /limit of '(\d+)' for top query/i.exec(message)?.[1];
  return found === undefined || Number(found) < 1 ? undefined : Number(found);
}

/**
 * The providers in `Warning: 199 - "vendor/provider/status/ms"`; the header can be empty. Source:
 * Graph docs, security-error-codes.
 */
function missingProviders(warning: string | undefined): string {
  const providers = [...(warning ?? "").matchAll(/199[^"]*"([^"]+)"/g)].map(([, what]) => what as string);
  return providers.length === 0 ? "an unnamed provider" : providers.join(", ");
}
