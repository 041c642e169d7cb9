import type { Endpoints, Route } from "./stanza.ts";

/** Hex SHA-256. It comes from outside because the vocabulary imports nothing. */
export type Sha256Hex = (bytes: Uint8Array) => string;

/**
 * What a stored secret is bound to, in the order in which the parts stand in a seal; the names are the
 * settings' own.
 */
const PARTS = ["login_url", "graph_url", "api_url", "siem_url", "proxy", "ca_file"] as const;
export type SealPart = (typeof PARTS)[number];

const VERSION = "v1";
const HINT_DIGITS = 6;

/**
 * The seal of a secret typed while these endpoints, this proxy and this CA file were in force: who may edit
 * the settings of a stanza, but not read its secret, must not be able to have the secret sent to a host of
 * his own. It holds nothing secret and is at most 108 characters: `v1.<SHA-256 of everything>.<six digits per
 * part>`; only the whole digest decides, the short ones tell which part changed. The proxy counts as its
 * origin: another login at the same proxy is not another destination.
 *
 * @param caFileBytes content of `route.caFile`, undefined when none is set.
 */
export function sealOf(
  endpoints: Endpoints,
  route: Route,
  caFileBytes: Uint8Array | undefined,
  sha256Hex: Sha256Hex,
): string {
  const values: Readonly<Record<SealPart, string>> = {
    login_url: address(endpoints.loginUrl),
    graph_url: address(endpoints.graphUrl),
    api_url: `${address(endpoints.apiUrl)} ${address(endpoints.mdeApiUrl)}`,
    siem_url: address(endpoints.siemUrl),
    proxy: route.proxy === undefined ? "" : route.proxy.open((proxy) => origin(proxy)),
    ca_file: caFileBytes === undefined ? "" : sha256Hex(caFileBytes),
  };
  const digest = (text: string): string => sha256Hex(new TextEncoder().encode(text));
  const lines = PARTS.map((part) => `${part}=${values[part]}\n`);
  return [VERSION, digest(lines.join("")), ...lines.map((line) => digest(line).slice(0, HINT_DIGITS))].join(".");
}

/**
 * The settings in which two seals differ; empty when they are the same. A seal that cannot be read differs in
 * everything.
 */
export function sealDifferences(stored: string, present: string): readonly SealPart[] {
  if (stored === present) return [];
  const [storedVersion, , ...storedHints] = stored.split(".");
  const [presentVersion, , ...presentHints] = present.split(".");
  if (storedVersion !== presentVersion || storedHints.length !== PARTS.length) return PARTS;
  const differing = PARTS.filter((_, i) => storedHints[i] !== presentHints[i]);
  return differing.length === 0 ? PARTS : differing;
}

/**
 * One spelling per address: lower-case host, no default port, no trailing slash; text that is no address
 * stays as it is.
 */
function address(text: string): string {
  try {
    return new URL(text).href.replace(/\/+$/, "");
  } catch {
    return text;
  }
}

function origin(text: string): string {
  try {
    const url = new URL(text.includes("://") ? text : `http://${text}`);
    return `${url.protocol}//${url.host}`;
  } catch {
    return "unreadable";
  }
}
