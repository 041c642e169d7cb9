import { readFileSync } from "node:fs";
import { Agent, fetch, request } from "undici";
import type { ReadyCustomer, Simulator } from "./start.ts";

/** A client for tests of the simulator itself: it knows the CA and nothing else. */
export interface Visitor {
  fetch: typeof fetch;
  /** GET with a bearer token. */
  get(url: string, token?: string, headers?: Record<string, string>): Promise<Answer>;
  post(url: string, form: Record<string, string>, headers?: Record<string, string>): Promise<Answer>;
  /**
   * GET on the main origin under another Host header, as a client does that maps Microsoft's names to
   * loopback.
   */
  getAs(host: string, path: string, token?: string): Promise<{ status: number; json: Answer["json"] }>;
  /** An app-only access token. */
  appToken(
    customer: Pick<ReadyCustomer, "tenant_id" | "client_id" | "client_secret">,
    resource?: string,
  ): Promise<string>;
  /** Posts to the control API. */
  control(path: string, body: unknown): Promise<Answer>;
  close(): Promise<void>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  // oxlint-disable-next-line typescript/no-explicit-any -- foreign APIs' answers, read member by member
  readonly json: any;
}

async function answer(pending: ReturnType<typeof fetch>): Promise<Answer> {
  const response = await pending;
  const text = await response.text();
  return { status: response.status, headers: response.headers as unknown as Headers, text, json: jsonOf(text) };
}

export function visit({ ready }: Simulator): Visitor {
  const agent = new Agent({ connect: { ca: readFileSync(ready.ca_file) } });
  const ask = ((url: string, options: object = {}) =>
    fetch(url, { redirect: "manual", ...options, dispatcher: agent })) as unknown as typeof fetch;
  return {
    fetch: ask,
    get: (url, token, headers = {}) =>
      answer(
        ask(url, { headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers } }),
      ),
    post: (url, form, headers = {}) =>
      answer(
        ask(url, {
          method: "POST",
          body: new URLSearchParams(form).toString(),
          headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
        }),
      ),
    async getAs(host, path, token) {
      // fetch() may not set Host.
      const { statusCode, body } = await request(`${ready.graph_url}${path}`, {
        dispatcher: agent,
        headers: { host, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      });
      return { status: statusCode, json: jsonOf(await body.text()) };
    },
    async appToken(customer, resource = "https://graph.microsoft.com") {
      const form = {
        grant_type: "client_credentials",
        client_id: customer.client_id,
        client_secret: customer.client_secret,
      };
      const v1 = resource === "https://graph.windows.net";
      const path = `${ready.login_url}/${customer.tenant_id}/oauth2/${v1 ? "" : "v2.0/"}token`;
      const { json, text } = await this.post(path, {
        ...form,
        ...(v1 ? { resource } : { scope: `${resource}/.default` }),
      });
      if (typeof json?.access_token !== "string") throw new Error(`no token: ${text}`);
      return json.access_token as string;
    },
    control: (path, body) =>
      answer(
        ask(`${ready.control_url}${path}`, {
          method: "POST",
          body: JSON.stringify(body),
          headers: { "content-type": "application/json" },
        }),
      ),
    close: () => agent.close(),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
