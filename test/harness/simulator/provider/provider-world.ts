import { afterEach } from "@jest/globals";
import { scenarioOf } from "../scenario/apply.ts";
import { type ReadyApp, type ReadyProvider, type Simulator, startSimulator } from "../start.ts";
import { type Answer, type Visitor, visit } from "../visitor.ts";

/** A running simulator with a provider, its client, and what tests of it do again and again. */
export interface ProviderWorld {
  readonly simulator: Simulator;
  readonly visitor: Visitor;
  readonly provider: ReadyProvider;
  readonly tenantId: (customer: string) => string;
  /** An app's token request in a tenant. */
  readonly asApp: (tenant: string, app: ReadyApp, scope?: string) => Promise<Answer>;
  /** Sends JSON with a bearer token. */
  readonly send: (method: string, url: string, token: string, body?: unknown) => Promise<Answer>;
}

const GRAPH = "https://graph.microsoft.com/.default";

let stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops) await stop();
  stops = [];
});

/**
 * Starts it with a frozen clock. It is stopped after the test.
 * @param provider the block `provider`, as YAML in one line.
 */
export async function startProvider(
  provider: string,
  customers = "{ name: contoso, consent: absent }, { name: fabrikam }",
  rest = "",
): Promise<ProviderWorld> {
  const text = `name: t\nstory: t\nstart: 2026-11-24T08:00:00Z\ncustomers: [${customers}]\nprovider: ${provider}\n${rest}`;
  const simulator = await startSimulator({ scenario: scenarioOf(text, "t.yaml"), frozen: true });
  const visitor = visit(simulator);
  stops.push(
    () => visitor.close(),
    () => simulator.stop(),
  );
  const ready = simulator.ready.provider;
  if (ready === undefined) throw new Error("no provider");
  return {
    simulator,
    visitor,
    provider: ready,
    tenantId: (customer) => simulator.control.customer(customer).tenant_id,
    asApp: (tenant, app, scope = GRAPH) =>
      visitor.post(`${simulator.ready.login_url}/${tenant}/oauth2/v2.0/token`, {
        grant_type: "client_credentials",
        ...app,
        scope,
      }),
    async send(method, url, token, body) {
      const response = await visitor.fetch(url, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = await response.text();
      let json: unknown;
      try {
        json = JSON.parse(answer);
      } catch {
        json = undefined;
      }
      return { status: response.status, headers: response.headers as unknown as Headers, text: answer, json };
    },
  };
}

/** The claims of a token. */
export const claimsOf = (token: unknown): Record<string, unknown> =>
  JSON.parse(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
