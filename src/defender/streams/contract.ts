import type { AnswerOptions } from "../../json/answer-scanner.ts";
import type { StreamName } from "../../model/stream.ts";
import type { ApiName } from "../apis.ts";

/**
 * Everything in which streams differ. A stream is one file that implements this, and one line in the
 * registry.
 */
export interface StreamContract {
  readonly name: StreamName;
  readonly api: ApiName;
  /** Path below the API's base address. */
  readonly path: string;
  /** The form of a request: OData options, or the retired SIEM API's own parameters. */
  readonly asks: "odata" | "siem";
  readonly shape: AnswerOptions["shape"];
  readonly fields: AnswerOptions["fields"];
  /** A member whose elements become separate events. */
  readonly nest?: NonNullable<AnswerOptions["nest"]>;
  /** The name of the update time in `$filter` and `$orderby`. */
  readonly timeName: string;
  /** `$orderby` by update time is requested; the order of the answer is checked anyway. */
  readonly ordered: boolean;
  readonly topMost: number;
  /** Largest `$skip`; 0 if the API has no paging. */
  readonly skipMost: number;
  /** `$expand`; omitted in questions with `withoutExpand`. */
  readonly expand?: string;
  readonly splits: readonly { readonly property: string; readonly values: readonly string[] }[];
  /** How long the first byte of an answer may take. Microsoft prepares a whole page before it sends it. */
  readonly headersTimeoutMs: number;
  /** Microsoft's announcement about this API, for docs and log. */
  readonly announced?: string;
  /** Source of the facts above. */
  readonly source: string;
}

/** For APIs that document no limit for `$skip`. */
export const NO_SKIP_LIMIT = 1_000_000;

export const MAY_END =
  "Microsoft announced that the Defender XDR and Defender for Endpoint APIs may end on 1 February 2027 (message MC1220762).";
