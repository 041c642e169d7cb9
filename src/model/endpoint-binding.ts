import { Failure } from "./failure.ts";
import { proxyAddress } from "./proxy-address.ts";
import type { Stanza } from "./stanza.ts";

/** The settings that decide where a secret is sent. */
export type Destination = Pick<Stanza, "endpoints" | "route">;

/** What the binding needs from outside, because the vocabulary imports nothing. */
export interface BindingPorts {
  /** Throws when the file cannot be read. */
  readFile(path: string): Uint8Array;
  sha256Hex(bytes: Uint8Array): string;
}

/**
 * The fingerprint of the current endpoints, proxy and CA file of these settings. Throws Failure
 * `ca-file-unusable`, never an error of the file system: one customer's file must not stop the others.
 */
export type FingerprintOf = (destination: Destination) => string;

/** The parts of every fingerprint in their order; the names are the settings' own. */
const PARTS = ["login_url", "graph_url", "api_url", "siem_url", "proxy", "ca_file"] as const;
/** Only in the fingerprint of settings that have it: the others are as they were before this setting. */
const LAST_PART = "partnercenter_url";
const ALL_PARTS = [...PARTS, LAST_PART] as const;
export type BindingPart = (typeof ALL_PARTS)[number];

const VERSION = "v1";
const HINT_DIGITS = 6;

/**
 * Binds stored secrets to the endpoints, the proxy and the CA file that were in force when they were typed.
 * Users who can edit a customer's settings but not read the secret cannot redirect it.
 *
 * A fingerprint contains nothing secret and has at most 116 characters: `v1.<SHA-256 of everything>.<six
 * digits per part>`. Only the whole digest decides; the short ones show which part changed. Of the proxy only
 * the origin counts: another login at the same proxy is not another destination.
 */
export function endpointBinding(ports: BindingPorts): FingerprintOf {
  const digest = (text: string): string => ports.sha256Hex(new TextEncoder().encode(text));
  return ({ endpoints, route }) => {
    const values: Readonly<Record<(typeof PARTS)[number], string>> = {
      login_url: address(endpoints.loginUrl),
      graph_url: address(endpoints.graphUrl),
      api_url: `${address(endpoints.apiUrl)} ${address(endpoints.mdeApiUrl)}`,
      siem_url: address(endpoints.siemUrl),
      proxy: route.proxy === undefined ? "" : route.proxy.open((proxy) => origin(proxy)),
      ca_file: route.caFile === undefined ? "" : ports.sha256Hex(readCaFile(route.caFile, ports)),
    };
    const { partnercenterUrl } = endpoints;
    const lines = [
      ...PARTS.map((part) => `${part}=${values[part]}\n`),
      ...(partnercenterUrl === undefined ? [] : [`${LAST_PART}=${address(partnercenterUrl)}\n`]),
    ];
    return [VERSION, digest(lines.join("")), ...lines.map((line) => digest(line).slice(0, HINT_DIGITS))].join(".");
  };
}

function readCaFile(path: string, ports: BindingPorts): Uint8Array {
  try {
    return ports.readFile(path);
  } catch (cause) {
    throw caFileUnusable(path, "cannot be read", cause);
  }
}

/** @param what what is wrong with the file, as the end of a sentence. */
export function caFileUnusable(path: string, what: string, cause?: unknown): Failure {
  return new Failure("ca-file-unusable", {
    actor: "operator",
    retry: { when: "never" },
    say: `The file ${path} named in ca_file ${what}.`,
    nextStep: "Name a readable file with one or more certificates in PEM form.",
    cause,
  });
}

/**
 * The settings in which two fingerprints differ; empty if they are equal. An unreadable fingerprint differs
 * in all settings.
 */
export function fingerprintDifferences(stored: string, present: string): readonly BindingPart[] {
  if (stored === present) return [];
  const [storedVersion, , ...storedHints] = stored.split(".");
  const [presentVersion, , ...presentHints] = present.split(".");
  const isReadable = storedHints.length === PARTS.length || storedHints.length === ALL_PARTS.length;
  if (storedVersion !== presentVersion || !isReadable) return PARTS;
  const differing = ALL_PARTS.filter((_, i) => storedHints[i] !== presentHints[i]);
  return differing.length === 0 ? PARTS : differing;
}

/**
 * One form per address: lower-case host, no default port, no trailing slash. Text that is not an address is
 * not changed.
 */
function address(text: string): string {
  try {
    return new URL(text).href.replace(/\/+$/, "");
  } catch {
    return text;
  }
}

function origin(text: string): string {
  const url = proxyAddress(text)?.url;
  return url === undefined ? "unreadable" : `${url.protocol}//${url.host}`;
}
