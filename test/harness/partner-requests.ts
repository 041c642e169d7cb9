import { readFileSync } from "node:fs";

/** A request of test/fixtures/partner/requests.json; the README beside it says what each member means. */
export interface PartnerRequest {
  readonly step: string;
  readonly name: string;
  readonly service: "login" | "graph" | "partnercenter" | "imds";
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

/** A request that Microsoft refuses, and what the world is like then. */
export interface PartnerRefusal {
  readonly name: string;
  /** The request that is refused; those before it are sent as usual. */
  readonly step: string;
  /** Events of the simulator that happen before the first request. */
  readonly given?: readonly { readonly do: string; readonly [member: string]: unknown }[];
  /** Steps that are left out. */
  readonly skip?: readonly string[];
  /** The request is sent twice, and the second one is refused. */
  readonly twice?: true;
  /** Instead of the request's own. */
  readonly path?: string;
  readonly answer: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly has?: Readonly<Record<string, unknown>>;
  };
}

const { requests, refusals } = JSON.parse(
  readFileSync(new URL("../fixtures/partner/requests.json", import.meta.url), "utf8"),
) as { readonly requests: readonly PartnerRequest[]; readonly refusals: readonly PartnerRefusal[] };

/** Every request of a provider, in order: the simulator and the commands are held against the same text. */
export const PARTNER_REQUESTS = requests;

/** How Microsoft refuses them, one by one. */
export const PARTNER_REFUSALS = refusals;
