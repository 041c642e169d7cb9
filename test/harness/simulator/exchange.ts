import type { IncomingMessage, ServerResponse } from "node:http";
import type { FaultAnswer } from "./faults.ts";

/** One request being answered. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly nowMs: number;
  /** `https://host:port` as the client wrote it: links in answers use it. */
  readonly origin: string;
  body(): Promise<string>;
  /** A GUID that differs per request but not between two runs. */
  readonly requestId: string;
  /** How the answer is damaged before it is sent. */
  damage: FaultAnswer | undefined;
}

export function acceptsGzip(request: IncomingMessage): boolean {
  return /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
}
