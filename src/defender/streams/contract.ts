import type { AnswerOptions } from "../../json/answer-scanner.ts";
import type { StreamName } from "../../model/stream.ts";
import type { ApiName } from "../apis.ts";

/**
 * All that tells one stream from another. A stream is one file that fills this in, and one line in the
 * registry.
 */
export interface StreamContract {
  readonly name: StreamName;
  readonly api: ApiName;
  /** Below the API's base address. */
  readonly path: string;
  /** How a question is asked: OData options, or the retired SIEM API's own parameters. */
  readonly asks: "odata" | "siem";
  readonly shape: AnswerOptions["shape"];
  readonly fields: AnswerOptions["fields"];
  /** A member whose elements become events of their own. */
  readonly nest?: NonNullable<AnswerOptions["nest"]>;
  /** The update time as `$filter` and `$orderby` spell it. */
  readonly timeName: string;
  /** `$orderby` by update time is asked for; the answer's order is looked at all the same. */
  readonly ordered: boolean;
  readonly topMost: number;
  /** Largest `$skip`; 0 where there is no paging at all. */
  readonly skipMost: number;
  /** `$expand`, left away in lean questions. */
  readonly expand?: string;
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  /** How long the first byte of an answer may take; large pages are prepared whole before they are sent. */
  readonly headersTimeoutMs: number;
  /** What Microsoft announced about this API, for docs and log. */
  readonly announced?: string;
  /** Where the facts above come from. */
  readonly source: string;
}

/** APIs that state no limit for `$skip`. */
export const NO_SKIP_LIMIT = 1_000_000;

export const MAY_END =
  "Microsoft announced that the Defender XDR and Defender for Endpoint APIs may end on 1 February 2027 (message MC1220762).";
