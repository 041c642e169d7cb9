import { Failure } from "../model/failure.ts";
import type { Clock, Http } from "../model/ports.ts";
import type { Route } from "../model/stanza.ts";
import type { StateFolder } from "../model/state.ts";
import type { TenantId } from "../model/tenant.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { TIME_LIMITS } from "../net/time-limits.ts";
import { failureFromEntra } from "./entra-failures.ts";
import { readJsonAnswer } from "./json-answer.ts";

/** Where one tenant signs in. */
export interface Authority {
  /** Origin without a trailing slash. */
  readonly loginUrl: string;
  /** A tenant's GUID or domain, or `organizations`. */
  readonly tenant: string;
}

/**
 * The endpoints of a tenant, built here so that no discovery request is made. Source: Microsoft identity
 * platform docs, "OpenID Connect".
 */
export function endpointsOf({
  loginUrl,
  tenant,
}: Authority): Readonly<
  Record<
    | "token_endpoint"
    | "authorization_endpoint"
    | "device_authorization_endpoint"
    | "issuer"
    | "jwks_uri"
    | "end_session_endpoint",
    string
  >
> {
  const base = `${loginUrl}/${tenant}`;
  return {
    token_endpoint: `${base}/oauth2/v2.0/token`,
    authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
    device_authorization_endpoint: `${base}/oauth2/v2.0/devicecode`,
    end_session_endpoint: `${base}/oauth2/v2.0/logout`,
    issuer: `${base}/v2.0`,
    jwks_uri: `${base}/discovery/v2.0/keys`,
  };
}

/** What a tenant's public metadata says without any sign-in. */
export interface TenantFacts {
  readonly tenantId: TenantId;
  /** `microsoftonline.com` or `microsoftonline.us`. */
  readonly cloudInstance: string | undefined;
  /** `GCC`, `DODCON` (GCC High), `DOD`; absent for commercial tenants. */
  readonly regionSubScope: string | undefined;
}

/**
 * Reads the public OpenID document of a tenant. Throws Failure `tenant-not-found` (wrong id or wrong cloud),
 * `bad-answer`, or a network failure. Source: Microsoft identity platform docs, "OpenID Connect": members
 * `issuer`, `cloud_instance_name`, `tenant_region_sub_scope`.
 * @param customer how a failure names the tenant
 */
export async function askTenantFacts(
  world: { readonly http: Http; readonly clock: Clock },
  authority: Authority,
  route: Route,
  signal?: AbortSignal,
  customer: string = authority.tenant,
): Promise<TenantFacts> {
  const answer = await world.http.send({
    method: "GET",
    url: `${authority.loginUrl}/${encodeURIComponent(authority.tenant)}/v2.0/.well-known/openid-configuration`,
    addressSetting: "login_url",
    headers: { accept: "application/json" },
    route,
    ...(signal === undefined ? {} : { signal }),
    headersTimeoutMs: TIME_LIMITS.signIn.ms,
  });
  const read = await readJsonAnswer(answer, new URL(authority.loginUrl).host, world.clock.nowMs());
  if (read.status !== 200) throw failureFromEntra(read, { customer, clientId: "" });
  const issuer = read.body?.["issuer"];
  const tenantId = typeof issuer === "string" ? tenantIdFrom(/[0-9a-f-]{36}/i.exec(issuer)?.[0] ?? "") : undefined;
  if (tenantId === undefined) {
    throw new Failure("bad-answer", {
      actor: "operator",
      retry: { when: "later" },
      say: `The sign-in service at ${new URL(authority.loginUrl).host} did not return the id of tenant ${authority.tenant}.`,
      nextStep: "Check the settings `tenant_id` and `login_url`.",
    });
  }
  const word = (name: string): string | undefined => {
    const value = read.body?.[name];
    return typeof value === "string" ? value : undefined;
  };
  return { tenantId, cloudInstance: word("cloud_instance_name"), regionSubScope: word("tenant_region_sub_scope") };
}

/** The name of the fact of the state folder that keeps the GUID of a domain. */
export function tenantFact({ loginUrl, tenant }: Authority): string {
  return `tenant:${new URL(loginUrl).host}/${tenant.trim().toLowerCase()}`;
}

/**
 * The GUID of what was typed as `tenant_id`. A domain is resolved once. The GUID is then kept as
 * `tenantFact`.
 */
export async function resolveTenantId(
  world: { readonly http: Http; readonly clock: Clock; readonly facts: Pick<StateFolder, "readFact" | "writeFact"> },
  authority: Authority,
  route: Route,
  signal?: AbortSignal,
): Promise<TenantId> {
  const typed = tenantIdFrom(authority.tenant);
  if (typed) return typed;
  const domain = authority.tenant.trim().toLowerCase();
  const fact = tenantFact(authority);
  const known = tenantIdFrom((await world.facts.readFact(fact)) ?? "");
  if (known) return known;
  const { tenantId } = await askTenantFacts(world, { loginUrl: authority.loginUrl, tenant: domain }, route, signal);
  await world.facts.writeFact(fact, tenantId);
  return tenantId;
}
