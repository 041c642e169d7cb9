import { readFileSync } from "node:fs";

/** A request of test/fixtures/partner/requests.json; the README beside it says what each member means. */
export interface PartnerRequest {
  readonly step: string;
  readonly name: string;
  readonly service: "login" | "graph" | "partnercenter";
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly form?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly answer: {
    readonly status: number;
    readonly body?: string;
    readonly has?: Readonly<Record<string, unknown>>;
    readonly code?: string;
    readonly claims?: Readonly<Record<string, unknown>>;
    readonly keeps?: Readonly<Record<string, string>>;
  };
}

/** Every request of a provider, in order: the simulator and the commands are held against the same text. */
export const PARTNER_REQUESTS = (
  JSON.parse(readFileSync(new URL("../fixtures/partner/requests.json", import.meta.url), "utf8")) as {
    readonly requests: readonly PartnerRequest[];
  }
).requests;
