import { createHash } from "node:crypto";
import { sendJson } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { refreshToken } from "../identity.ts";
import { BRIDGE_SCOPES, isBridge } from "../provider/provider.ts";
import type { Customer, World } from "../world.ts";
import { appRoles, principalId } from "./principals.ts";
import { PERMISSIONS, type TokenApi } from "./resources.ts";
import type { Grant, TokenShop } from "./tokens.ts";

/** The API a token is for. */
export interface Target {
  readonly api: TokenApi;
  readonly resource: string;
}

/** A user's token brings a refresh token (with `offline`), an id_token and client_info; an app's does not. */
export interface SignedIn {
  readonly nonce: string | undefined;
  readonly offline: boolean;
  /** By device code, or with what came of one. */
  readonly isPublic?: boolean;
}

/** What is to be issued. */
export interface Issue {
  readonly v2: boolean;
  readonly customer: Customer;
  readonly clientId: string;
  readonly target: Target;
  readonly user: SignedIn | undefined;
  readonly byCertificate: boolean;
}

const NO_STORE = { "cache-control": "no-store, no-cache", pragma: "no-cache" };

/** What stands in the token: an app's roles, or a user's scopes. */
function permissionsIn(
  { customer, clientId, target: { api }, user }: Issue,
  world: World,
  nowMs: number,
): readonly string[] {
  const { provider } = world;
  if (provider?.apps.home.clientId === clientId) return user === undefined && api === "graph" ? provider.homeRoles : [];
  if (provider !== undefined && user !== undefined && isBridge(world, clientId)) {
    if (api === "partner") return PERMISSIONS.partner.scopes;
    if (customer === provider.home) return api === "graph" ? BRIDGE_SCOPES : [];
    return api === "graph" ? (customer.servicePrincipals.get(clientId)?.delegated?.scopes ?? []) : [];
  }
  if (user === undefined) return appRoles(world, customer, clientId, api, nowMs);
  if (customer.consent !== "granted") return [];
  const registered = world.directory.find(clientId)?.permissions;
  return PERMISSIONS[api].scopes.filter(
    (one) => one === "user_impersonation" || (customer.permissions.has(one) && registered?.has(one) !== false),
  );
}

/**
 * Answers a token request that passed every check: the access token, and for a user the refresh token,
 * id_token and client_info.
 */
export function sendToken(
  exchange: Exchange,
  issue: Issue,
  { world, tokens }: { world: World; tokens: TokenShop },
): void {
  const { v2, customer, clientId, target, user, byCertificate } = issue;
  const { api, resource } = target;
  const { identity } = customer;
  const { provider } = world;
  // The provider's user keeps its account, and its refresh token, in the provider's tenant.
  const isProvidersUser = user !== undefined && provider !== undefined && isBridge(world, clientId);
  const account = isProvidersUser ? provider.home : customer;
  const userName = isProvidersUser ? provider.user.name : identity.userName;
  const nowS = Math.floor(exchange.nowMs / 1000);
  const lifetimeS = customer.accessTokenLifetimeS;
  const permissions = permissionsIn(issue, world, exchange.nowMs);
  const grant: Grant = {
    customer,
    api,
    resource,
    clientId,
    appOnly: user === undefined,
    permissions,
    ...(isProvidersUser ? { isProvidersUser: account !== customer, hasMfa: provider.user.mfa } : {}),
    expiresMs: exchange.nowMs + lifetimeS * 1000,
  };
  const servicePrincipal = principalId(identity.name, clientId);
  const times = { iat: nowS, nbf: nowS, exp: nowS + lifetimeS };
  const issuer = `https://sts.windows.net/${identity.tenantId}/`;
  const accessToken = tokens.access(grant, {
    aud: resource,
    iss: issuer,
    ...times,
    app_displayname: "MSSP collector",
    appid: clientId,
    appidacr: byCertificate ? "2" : "1",
    idp: `https://sts.windows.net/${account.identity.tenantId}/`,
    ...(user === undefined
      ? {
          idtyp: "app",
          oid: servicePrincipal,
          sub: servicePrincipal,
          ...(permissions.length > 0 ? { roles: permissions } : {}),
        }
      : {
          idtyp: "user",
          oid: account.identity.userId,
          sub: account.identity.userId,
          scp: permissions.join(" "),
          upn: userName,
          unique_name: userName,
          ...(isProvidersUser ? { amr: provider.user.mfa ? ["pwd", "mfa"] : ["pwd"] } : {}),
        }),
    tid: identity.tenantId,
    ver: "1.0",
  });
  customer.counters.tokensIssued += 1;
  const scope =
    user === undefined
      ? {}
      : { scope: permissions.map((one) => (api === "graph" ? one : `${resource}/${one}`)).join(" ") };
  const numbers = v2
    ? { expires_in: lifetimeS, ext_expires_in: lifetimeS }
    : // The v1 endpoint writes its numbers as strings.
      {
        expires_in: String(lifetimeS),
        ext_expires_in: String(lifetimeS),
        expires_on: String(nowS + lifetimeS),
        not_before: String(nowS),
        resource,
      };
  const body: Record<string, unknown> = { token_type: "Bearer", ...scope, ...numbers, access_token: accessToken };
  if (user !== undefined) {
    const { credentials } = account;
    if (user.offline) {
      credentials.lastGeneration += 1;
      credentials.touchedMs.set(credentials.lastGeneration, exchange.nowMs);
      body["refresh_token"] = refreshToken({
        name: account.identity.name,
        generation: credentials.lastGeneration,
        clientId,
        isPublic: user.isPublic === true,
      });
    }
    body["id_token"] = tokens.sign({
      aud: clientId,
      iss: v2 ? `${exchange.origin}/${identity.tenantId}/v2.0` : issuer,
      ...times,
      name: "MSSP Reader",
      ...(user.nonce === undefined ? {} : { nonce: user.nonce }),
      oid: account.identity.userId,
      preferred_username: userName,
      sub: createHash("sha256")
        .update(account.identity.userId + clientId)
        .digest("base64url"),
      tid: identity.tenantId,
      ver: v2 ? "2.0" : "1.0",
    });
    body["client_info"] = Buffer.from(
      JSON.stringify({ uid: account.identity.userId, utid: account.identity.tenantId }),
    ).toString("base64url");
  }
  sendJson(exchange, 200, body, NO_STORE);
}
