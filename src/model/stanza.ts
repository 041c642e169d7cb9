import type { CloudName } from "./cloud.ts";
import type { Ticks } from "./instant.ts";
import type { Sealed } from "./sealed.ts";
import type { StreamName } from "./stream.ts";

/** How far back a first run reaches. */
export type StartPoint = { readonly kind: "ago"; readonly ms: number } | { readonly kind: "at"; readonly at: Ticks };

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

/** How we get there. `proxy` may carry a login, so it is sealed. */
export interface Route {
  readonly proxy?: Sealed;
  readonly noProxy?: string;
  /** PEM file with additional trusted certificates. */
  readonly caFile?: string;
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

export type AuthKind = "refresh_token" | "app";

/**
 * One customer's settings after parsing: checked, defaults filled in, endpoints resolved from the cloud.
 * Secrets may still be absent: hosts resolve them.
 */
export interface Stanza {
  /** The stanza's name without the scheme; with the tenant GUID and the stream it names the state. */
  readonly name: string;
  readonly tenantName: string;
  /** Lower-case GUID, or a domain that is resolved once. */
  readonly tenantId: string;
  readonly cloud: CloudName;
  readonly credential?: string;
  readonly clientId?: string;
  readonly clientSecret?: Sealed;
  /** When the app key ends, where it comes from a shared credential stored with its end. */
  readonly clientSecretEndsMs?: number;
  /** Path of a PEM with key and certificate. */
  readonly certificate?: string;
  /** Undefined: decided by what is given once secrets are resolved. */
  readonly auth?: AuthKind;
  readonly refreshToken?: Sealed;
  readonly streams: readonly StreamName[];
  readonly start: StartPoint;
  readonly pollSeconds: number;
  readonly overlapMinutes: number;
  readonly sweepHours: number;
  readonly layout: "scalars-first" | "vendor";
  readonly envelope: boolean;
  /** `split` or one sourcetype for all alerts. */
  readonly alertsSourcetype: string;
  readonly classicEntities: boolean;
  readonly cimEntityZone?: string;
  readonly endpoints: Endpoints;
  /** Overrides the audience that the cloud gives. */
  readonly resource?: string;
  readonly route: Route;
  readonly splunkdCaFile?: string;
  readonly huntingQueries?: string;
}

export interface GlobalSettings {
  readonly stateDir?: string;
  readonly replayMib: number;
  readonly recordMaxMib: number;
  readonly concurrency: number;
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

/** One thing wrong with the settings, said so that the reader can mend it; never holds a secret's value. */
export interface SettingProblem {
  readonly stanza: string;
  readonly key: string;
  readonly say: string;
}
