/**
 * The OAuth 2 client file of the retired FlexConnector REST (`WDATP-connector.properties`). Keys as
 * Microsoft's pages had them: MicrosoftDocs/microsoft-365-docs, defender-endpoint/configure-arcsight.md, and
 * windows-itpro-docs, first editions of the ArcSight page (which printed `client_ID`).
 */
import { ownEntry } from "../model/own-entry.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { PropertiesFile } from "./java-properties.ts";

/** How one line of the old file was used. */
export interface TakenLine {
  readonly line: number;
  readonly key: string;
  readonly taken: boolean;
  /** One sentence for the administrator. */
  readonly say: string;
}

/** Keys of the old file and their meaning today. */
const OLD_KEYS: Readonly<Record<string, { readonly taken: boolean; readonly say: string }>> = {
  client_id: { taken: true, say: "taken over as client_id" },
  client_ID: {
    taken: true,
    say: "taken over as client_id (Java distinguishes client_ID and client_id; both are accepted here)",
  },
  client_secret: { taken: true, say: "taken over as client_secret" },
  token_url: {
    taken: true,
    say: "taken over: it names the customer's tenant and cloud. Tokens now come from the v2 endpoint of the same address",
  },
  refresh_token: {
    taken: true,
    say: "taken over for the first sign-in. Renewed tokens are kept in the state folder, and this file is not changed",
  },
  auth_url: { taken: false, say: "no longer used: the sign-in page follows from the tenant" },
  redirect_uri: { taken: false, say: "no longer used: sign in once with 'token acquire'" },
  scope: { taken: false, say: "no longer used: the scope follows from streams" },
  reauthenticate: { taken: false, say: "no longer used: sign in again with 'token acquire'" },
};

/**
 * Sign-in hosts (Microsoft Entra docs, "National clouds"; login.windows.net is the commercial host's old
 * name) and the cloud each belongs to.
 */
const LOGIN_HOSTS: Readonly<Record<string, { readonly cloud?: string; readonly say?: string }>> = {
  "login.microsoftonline.com": {},
  "login.windows.net": {},
  "login.microsoft.com": {},
  "sts.windows.net": {},
  "login.microsoftonline.us": {
    cloud: "gcc-high",
    say: "is a US Government sign-in host, so cloud gcc-high is used; write cloud=dod for a DoD tenant",
  },
};

/** The cloud of a Microsoft sign-in host; undefined for any other host. */
export function cloudOfLoginHost(host: string): string | undefined {
  const known = ownEntry(LOGIN_HOSTS, host);
  return known && (known.cloud ?? "commercial");
}

export function isOldKey(key: string): boolean {
  return Object.hasOwn(OLD_KEYS, key);
}

export interface OldConnector {
  /** The customer's settings that the old keys contain. */
  readonly values: Readonly<Record<string, string>>;
  readonly lines: readonly TakenLine[];
  readonly warnings: readonly string[];
  /** What is wrong with token_url; printed after the key. */
  readonly problem?: string;
}

/** Takes over the keys that are still used. Keys that the old file did not have are left to the caller. */
export function readOldConnector(file: PropertiesFile): OldConnector {
  const value = (key: string) => file.byKey.get(key)?.value.trim() || undefined;
  const warnings: string[] = [];
  const lines = file.entries.flatMap(({ key, line }): TakenLine[] =>
    OLD_KEYS[key] && isOldKey(key) ? [{ line, key, ...OLD_KEYS[key] }] : [],
  );
  const small = value("client_id");
  const capital = value("client_ID");
  if (small !== undefined && capital !== undefined && small !== capital)
    warnings.push("client_id and client_ID differ; client_id is used");
  const tokenUrl = readTokenUrl(value("token_url"));
  if (tokenUrl.say !== undefined) warnings.push(`token_url ${tokenUrl.say}`);
  const authTenant = readTokenUrl(value("auth_url")).tenant;
  if (authTenant !== undefined && tokenUrl.tenant !== undefined && authTenant !== tokenUrl.tenant)
    warnings.push("auth_url names another tenant than token_url; token_url is used");
  const clientId = small ?? capital;
  return {
    values: {
      ...(tokenUrl.tenant === undefined ? {} : { tenant_id: tokenUrl.tenant }),
      ...(tokenUrl.cloud === undefined ? {} : { cloud: tokenUrl.cloud }),
      ...(tokenUrl.loginUrl === undefined ? {} : { login_url: tokenUrl.loginUrl }),
      ...(clientId === undefined ? {} : { client_id: clientId }),
      ...raw(file, "client_secret"),
      ...raw(file, "refresh_token"),
    },
    lines,
    warnings,
    ...(tokenUrl.problem === undefined ? {} : { problem: tokenUrl.problem }),
  };
}

/** Spaces in secrets are kept. */
function raw(file: PropertiesFile, key: string): Readonly<Record<string, string>> {
  const value = file.byKey.get(key)?.value;
  return value === undefined || value.trim() === "" ? {} : { [key]: value };
}

interface TokenUrl {
  readonly tenant?: string;
  readonly cloud?: string;
  readonly loginUrl?: string;
  readonly say?: string;
  readonly problem?: string;
}

const INSTEAD = "write https://login.microsoftonline.com/<tenant GUID>/oauth2/token";

/** Empty if the percent encoding is invalid. */
function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    return "";
  }
}

function readTokenUrl(text: string | undefined): TokenUrl {
  if (text === undefined) return { problem: `is missing, so the tenant is unknown; ${INSTEAD}` };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { problem: `is not a valid address; ${INSTEAD}` };
  }
  const first = decoded(url.pathname.split("/")[1] ?? "");
  const tenant = tenantIdFrom(first) ?? first.toLowerCase();
  if (tenant === "" || tenant === "oauth2") return { problem: `names no tenant; ${INSTEAD}` };
  if (["common", "organizations", "consumers"].includes(tenant))
    return { problem: `names "${tenant}", which is not one customer's tenant; ${INSTEAD}` };
  const known = ownEntry(LOGIN_HOSTS, url.hostname);
  if (known === undefined)
    return {
      tenant,
      loginUrl: url.origin,
      say: `names ${url.host}, which is not a known sign-in host of Microsoft; it is used as login_url`,
    };
  return { tenant, ...known };
}
