import type { ValuesOf } from "./setting.ts";
import type { CustomerRow, GlobalRow } from "./settings-table.ts";
import type { TenantId } from "./tenant.ts";

/** A customer's rows of the settings table, after reading. */
export type CustomerSettings = ValuesOf<CustomerRow>;

/**
 * The addresses to connect to; each is an origin (or base address) without a trailing slash. They never
 * change the requested audience.
 */
export interface Endpoints {
  readonly loginUrl: string;
  readonly graphUrl: string;
  readonly apiUrl: string;
  readonly mdeApiUrl: string;
  readonly siemUrl: string;
  /** Partner Center's, where a setting changes it. */
  readonly partnercenterUrl?: string;
}

/** How connections are made. */
export interface Route extends Partial<CustomerSettings["route"]> {
  /**
   * Connects directly, without a proxy, even if the environment names one (splunkd, loopback).
   */
  readonly direct?: true;
  /**
   * For splunkd on this host, whose certificate has no usable name: trust only `caFile` (not the public
   * roots) and do not check the host name. `net` throws a plain Error for an address that is not loopback
   * (localhost, 127.0.0.0/8, ::1).
   */
  readonly loopbackCertificate?: true;
  /** With `loopbackCertificate`: also when a certificate of the chain has expired. */
  readonly acceptExpired?: true;
}

export type AuthKind = NonNullable<CustomerSettings["auth"]>;

/** How a customer signs in: the setting `auth`, else decided by the given secrets. */
export function authOf(stanza: Pick<Stanza, "auth" | "refreshToken">): AuthKind {
  return stanza.auth ?? (stanza.refreshToken === undefined ? "app" : "refresh_token");
}

/**
 * One customer's settings after parsing: checked, defaults filled in, endpoints resolved from the cloud.
 * Secrets may still be absent: hosts resolve them.
 */
export interface Stanza extends Omit<CustomerSettings, "endpoints" | "route" | "tenantName"> {
  /** The stanza's name without the scheme; with the tenant GUID and the stream it names the state. */
  readonly name: string;
  readonly tenantName: string;
  readonly endpoints: Endpoints;
  readonly route: Route;
  /** When the client secret ends, if it comes from a shared credential with a noted end date. */
  readonly clientSecretEndsMs?: number;
}

/**
 * When the client secret ends, if somebody noted it: in the stanza's own `secret_expires`, else where its
 * shared credential was stored.
 */
export function secretEndsMs(stanza: Pick<Stanza, "secretExpires" | "clientSecretEndsMs">): number | undefined {
  return stanza.secretExpires ?? stanza.clientSecretEndsMs;
}

/**
 * Does a stanza need its shared credential? Its own client id, client secret, certificate and assertion
 * override it.
 */
export function needsSharedCredential(stanza: Stanza): boolean {
  return stanza.credential !== undefined && (stanza.clientId === undefined || !hasAppProof(stanza));
}

/** Is there something with which the app proves who it is? */
export function hasAppProof(stanza: Pick<Stanza, "clientSecret" | "certificate" | "assertion">): boolean {
  return stanza.clientSecret !== undefined || stanza.certificate !== undefined || stanza.assertion !== undefined;
}

export type GlobalSettings = ValuesOf<GlobalRow>;

/** A customer whose settings are wrong, so that there is no stanza, as far as it is known. */
export interface RefusedSettings {
  readonly name: string;
  readonly tenantName: string;
  /** Empty if `tenant_id` is not a GUID. */
  readonly tenantId: TenantId | "";
  readonly problems: readonly SettingProblem[];
}

/** One problem in the settings, with a sentence that says how to fix it. Never contains a secret's value. */
export interface SettingProblem {
  readonly stanza: string;
  readonly key: string;
  readonly say: string;
}
