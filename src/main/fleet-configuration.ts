import { createHash } from "node:crypto";
import type { ParsedSettings } from "../config/settings.ts";
import type { Stanza } from "../model/stanza.ts";
import { type FleetOutput, outputNames } from "./fleet-outputs.ts";
import type { ConfiguredInFile, RosterReader } from "./fleet-roster.ts";
import { realClock } from "./world.ts";

/**
 * Of a customer's settings, those that belong to a host: files, secrets, and the way to Microsoft. All others
 * must be the same on every member, also settings that a later release adds.
 */
const OF_THE_HOST: ReadonlySet<string> = new Set<keyof Stanza>([
  "clientSecret",
  "clientSecretEndsMs",
  "secretExpires",
  "refreshToken",
  "certificate",
  "assertion",
  "huntingQueries",
  "route",
]);

export interface SharedConfiguration {
  readonly stanzas: readonly Stanza[];
  /** Also customers whose settings are wrong. */
  readonly configured: readonly Pick<Stanza, "name" | "tenantId">[];
  /** As `outputNames` calls them. */
  readonly outputs: readonly string[];
}

/** Of a configuration as a host read it. */
export interface ReadConfiguration {
  readonly config: {
    readonly settings: Pick<ParsedSettings, "stanzas" | "refused">;
    readonly outputs: readonly FleetOutput[];
  };
  readonly stanzas: readonly Stanza[];
}

/** Customers of the file, also those whose settings are wrong. */
function inFileOf({ stanzas, refused }: ReadConfiguration["config"]["settings"]): readonly ConfiguredInFile[] {
  return [
    ...stanzas.map((stanza) => ({ name: stanza.name, tenantId: stanza.tenantId, stanza })),
    ...refused.map(({ name, tenantId }) => ({ name, tenantId })),
  ];
}

/** The customers of the database are read with what this member's configuration says of all customers. */
export function readerOf({
  config,
  file,
  overrides,
}: Pick<RosterReader, "file" | "overrides"> & {
  readonly config: { readonly settings: Pick<ParsedSettings, "stanzas" | "refused" | "globals"> };
}): RosterReader {
  const { stanzas, refused, globals } = config.settings;
  return { inFile: inFileOf({ stanzas, refused }), file, overrides, globals, nowMs: realClock.nowMs() };
}

/** Customers of the database are the same on every member anyway. */
export function configHashOf({ config, stanzas }: ReadConfiguration): string {
  const configured = [...config.settings.stanzas, ...config.settings.refused];
  return sharedHash({ stanzas, configured, outputs: outputNames(config.outputs) });
}

/** Equal on members that collect and deliver the same; the order of customers and outputs does not count. */
export function sharedHash({ stanzas, configured, outputs }: SharedConfiguration): string {
  const shared = [
    stanzas.map((stanza) => Object.entries(stanza).filter(([key]) => !OF_THE_HOST.has(key))).map(textOf),
    configured.map(({ name, tenantId }) => textOf([name, tenantId])),
    outputs,
  ].map((list) => [...list].sort());
  return createHash("sha256").update(JSON.stringify(shared)).digest("hex").slice(0, 32);
}

/** Members of objects in one order. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === "bigint") return String(part);
    if (typeof part !== "object" || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
