import { printable } from "../model/printable.ts";
import { jsonOf } from "../net/json-answer.ts";

/** The readable content of an error answer of Microsoft's APIs. */
export interface ErrorBody {
  readonly kind: "json" | "html" | "other" | "empty";
  /** `error.code`; of the inner error if a gateway wrapped one. */
  readonly code: string;
  /**
   * As the other texts here one line, without control characters, at most MESSAGE_MOST characters. Of kind
   * `other` it may be the customer's data: see `quotable`.
   */
  readonly message: string;
  /** The id to quote to Microsoft's support: `target` (XDR, Endpoint), `request-id` (Graph). */
  readonly trackingId: string | undefined;
}

const MESSAGE_MOST = 300;

/**
 * Reads `{"error":{"code","message","target"}}` (XDR and Endpoint docs, common error codes) and Graph's
 * `{"error":{"code","message","innerError":{"request-id"}}}`, whose message is itself such a JSON text when a
 * service behind Graph failed. Never throws.
 */
export function readErrorBody(text: string, headers: Readonly<Record<string, string>>): ErrorBody {
  const ofHeaders = headers["request-id"] ?? headers["x-ms-request-id"];
  const trackingId = ofHeaders === undefined ? undefined : oneLine(ofHeaders);
  const trimmed = text.trim();
  if (trimmed === "") return { kind: "empty", code: "", message: "", trackingId };
  if (trimmed.startsWith("<")) return { kind: "html", code: "", message: titleOf(trimmed), trackingId };
  const error = errorOf(trimmed);
  if (error === undefined) return { kind: "other", code: "", message: oneLine(trimmed), trackingId };
  const inner = errorOf(textOf(error.message));
  const said = inner ?? error;
  return {
    kind: "json",
    code: oneLine(textOf(said.code) || textOf(error.code)),
    message: oneLine(textOf(said.message)),
    trackingId:
      oneLine(textOf(error.target) || textOf((error.innerError ?? error.innererror)?.["request-id"])) || trackingId,
  };
}

/**
 * May a log repeat the message? A JSON object or list that is not an error, or the beginning of one, may be a
 * page of alerts.
 */
export function quotable({ kind, message }: ErrorBody): boolean {
  return kind !== "other" || !/^[[{]/.test(message) || /^\{\s*"error"/i.test(message);
}

interface ErrorMembers {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly target?: unknown;
  readonly innerError?: { readonly "request-id"?: unknown };
  readonly innererror?: { readonly "request-id"?: unknown };
}

function errorOf(text: string): ErrorMembers | undefined {
  const outer = jsonOf(text) as { error?: unknown; message?: unknown } | null | undefined;
  if (typeof outer !== "object" || outer === null) return undefined;
  if (typeof outer.error === "object" && outer.error !== null) return outer.error;
  // Gateways answer `{"statusCode":429,"message":"Rate limit is exceeded. Try again in 43 seconds."}` and
  // `{"error":"text"}`.
  if (typeof outer.error === "string") return { code: outer.error, message: textOf(outer.message) };
  return typeof outer.message === "string" ? { message: outer.message } : undefined;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function titleOf(html: string): string {
  return oneLine(/<title[^>]*>([^<]*)<\/title>/i.exec(html)?.[1] ?? "");
}

/** An answer could forge log lines, or steer the terminal that shows them. */
function oneLine(text: string): string {
  const line = printable(text)
    .replace(/\p{Z}+/gu, " ")
    .trim();
  return line.length <= MESSAGE_MOST ? line : `${line.slice(0, MESSAGE_MOST - 1)}…`;
}
