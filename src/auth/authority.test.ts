import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import type { Simulator } from "../../test/harness/simulator/start.ts";
import { startSimulator } from "../../test/harness/simulator/start.ts";
import type { Http } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { createHttp } from "../net/http.ts";
import { askTenantFacts, resolveTenantId } from "./authority.ts";
import { createTokenCycles } from "./token-cycle.ts";

const clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now(), pause: () => Promise.resolve() };
let simulator: Simulator;
let http: Http;
let asked: string[];

beforeAll(async () => {
  simulator = await startSimulator({ warn: () => undefined });
  const real = createHttp();
  asked = [];
  http = {
    send(request) {
      asked.push(`${request.method} ${new URL(request.url).pathname}`);
      return real.send(request);
    },
    close: () => real.close(),
  };
});
afterAll(async () => {
  await http.close();
  await simulator.stop();
});

const customer = () => simulator.ready.customers[0]!;
const route = () => ({ caFile: simulator.ready.ca_file });
const domain = () => [...simulator.control.world.customers.values()][0]!.identity.domain;

describe("a tenant's domain is resolved to its GUID once", () => {
  test("and then kept as a fact", async () => {
    const kept = new Map<string, string>();
    const facts = {
      readFact: (name: string) => Promise.resolve(kept.get(name)),
      writeFact: (name: string, value: string) => Promise.resolve(void kept.set(name, value)),
    };
    const authority = { loginUrl: simulator.ready.login_url, tenant: domain().toUpperCase() };

    const first = await resolveTenantId({ http, clock, facts }, authority, route());
    const before = asked.length;
    const second = await resolveTenantId({ http, clock, facts }, authority, route());

    expect([first, second]).toEqual([customer().tenant_id, customer().tenant_id]);
    expect(asked).toHaveLength(before);
    expect([...kept.values()]).toEqual([customer().tenant_id]);
  });

  test("a GUID is not asked for, only put in lower case", async () => {
    const facts = {
      readFact: () => Promise.reject(new Error("asked")),
      writeFact: () => Promise.reject(new Error("asked")),
    };
    const tenant = customer().tenant_id.toUpperCase();
    expect(await resolveTenantId({ http, clock, facts }, { loginUrl: "https://nowhere.invalid", tenant }, {})).toBe(
      customer().tenant_id,
    );
  });

  test("one that nobody knows says what to check", async () => {
    await expect(
      askTenantFacts({ http, clock }, { loginUrl: simulator.ready.login_url, tenant: "nobody.example" }, route()),
    ).rejects.toMatchObject({
      code: "tenant-not-found",
      actor: "operator",
      nextStep: expect.stringContaining("cloud"),
    });
  });
});

describe("against the simulator over TLS", () => {
  test("a refresh token is redeemed and rotated without a discovery request", async () => {
    let held = sealed(customer().refresh_token);
    const vault = {
      current: () => Promise.resolve(held),
      store: async (rotated: typeof held) => {
        held = rotated;
      },
    };
    asked.length = 0;
    const source = createTokenCycles({ http, clock, random: { next: () => 0 }, log: new FakeLog() }).forCustomer({
      tenant: { id: tenantIdFrom(customer().tenant_id)!, name: "c", cloud: "commercial" },
      stanza: {
        name: "c",
        endpoints: { loginUrl: simulator.ready.login_url, graphUrl: "", apiUrl: "", mdeApiUrl: "", siemUrl: "" },
        route: route(),
      },
      audience: "https://graph.microsoft.com",
      credential: { kind: "secret", clientId: customer().client_id, secret: sealed(customer().client_secret) },
      vault,
    });

    const token = await source.accessToken();

    expect(token.length).toBeGreaterThan(100);
    expect(held.open((value) => value)).not.toBe(customer().refresh_token);
    expect(asked).toEqual([`POST /${customer().tenant_id}/oauth2/v2.0/token`]);
  });
});
