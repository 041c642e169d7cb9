import type { ValuesOf } from "./setting.ts";
import type { CustomerRow, GlobalRow } from "./settings-table.ts";

/** What a customer's rows of the settings table become once they are read. */
export type CustomerSettings = ValuesOf<CustomerRow>;

/**
 * Where we connect; every value is an origin (or base address) without a trailing slash. They never change
 * the audience asked for.
 */
export interface Endpoints {
  readonly loginUrl: string;
  readonly graphUrl: string;
  readonly apiUrl: string;
  readonly mdeApiUrl: string;
  readonly siemUrl: string;
}

/** How we get there. */
export interface Route extends Partial<CustomerSettings["route"]> {
  /**
   * Straight to the address: no proxy, not even one that the environment names. Net honours it in every
   * request (splunkd, loopback).
   */
  readonly direct?: true;
  /**
   * For splunkd on this host, whose certificate carries no usable name: trust `caFile` alone (not the public
   * roots) and check no host name. Net refuses it with a defect (a plain Error) for an address that is not
   * loopback (localhost, 127.0.0.0/8, ::1).
   */
  readonly loopbackCertificate?: true;
}

export type AuthKind = NonNullable<CustomerSettings["auth"]>;

/** How a customer signs in: the setting `auth`, else what is given decides. */
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
  /** When the client secret ends, where it comes from a shared credential stored with its end. */
  readonly clientSecretEndsMs?: number;
}

export type GlobalSettings = ValuesOf<GlobalRow>;

/** One thing wrong with the settings, said so that the reader can mend it; never holds a secret's value. */
export interface SettingProblem {
  readonly stanza: string;
  readonly key: string;
  readonly say: string;
}
