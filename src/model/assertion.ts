import type { CloudName } from "./cloud.ts";

/** The setting `assertion` as it is kept: a file's path, or the client ID of a managed identity. */
export type AssertionSetting = `file:${string}` | `managed-identity:${string}`;

/** Where the token comes from that an app presents instead of a client secret or a certificate. */
export type AssertionSource =
  | { readonly from: "file"; readonly path: string }
  | { readonly from: "managed-identity"; readonly identity: string };

function assertionSource(setting: AssertionSetting): AssertionSource {
  const [kind, value] = [setting.slice(0, setting.indexOf(":")), setting.slice(setting.indexOf(":") + 1)];
  return kind === "file" ? { from: "file", path: value } : { from: "managed-identity", identity: value };
}

export function assertionSettingOf(source: AssertionSource): AssertionSetting {
  return source.from === "file" ? `file:${source.path}` : `managed-identity:${source.identity}`;
}

/** Undefined for a text that is not in the form in which this program keeps the setting. */
export function assertionSetting(text: string | undefined): AssertionSetting | undefined {
  return text !== undefined && /^(?:file:.|managed-identity:[0-9a-f-]{36}$)/.test(text)
    ? (text as AssertionSetting)
    : undefined;
}

/** The path of the file, which may be replaced at any time; undefined for a managed identity. */
export function assertionFile(setting: AssertionSetting | undefined): string | undefined {
  if (setting === undefined) return undefined;
  const source = assertionSource(setting);
  return source.from === "file" ? source.path : undefined;
}

/**
 * The audience of a token that Entra exchanges. Source: Microsoft Entra docs, "Configure an application to
 * trust a managed identity".
 */
export function exchangeAudience(cloud: CloudName): string {
  return cloud === "gcc-high" || cloud === "dod" ? "api://AzureADTokenExchangeUSGov" : "api://AzureADTokenExchange";
}

/** The credential of an app that presents such a token. */
export function assertionCredential(
  clientId: string,
  setting: AssertionSetting,
  cloud: CloudName,
): {
  readonly kind: "assertion";
  readonly clientId: string;
  readonly source: AssertionSource;
  /** What a managed identity's token is asked for, and what a file's token usually is for. */
  readonly audience: string;
} {
  return { kind: "assertion", clientId, source: assertionSource(setting), audience: exchangeAudience(cloud) };
}
