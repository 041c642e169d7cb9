/** One alert for each kind of Graph's evidence, with every property filled: made from the pinned schema. */
import { readFileSync } from "node:fs";
import type { Delivery } from "../../src/model/event.ts";
import { graphAlert } from "./graph-alert.ts";

interface Schema {
  readonly types: Readonly<Record<string, { readonly base?: string; readonly properties: Readonly<Record<string, string>> }>>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
}

export const GRAPH_SCHEMA = JSON.parse(
  readFileSync(new URL("../fixtures/graph-metadata/security-schema.json", import.meta.url), "utf8"),
) as Schema;

/** Names without `Evidence`. */
export const EVIDENCE_KINDS: readonly string[] = Object.entries(GRAPH_SCHEMA.types)
  .filter(([, { base }]) => base === "alertEvidence")
  .map(([type]) => type.replace(/Evidence$/, ""));

/** Evidence holds evidence that holds evidence: no rule goes further. */
const DEPTH_MAX = 3;

const BY_NAME: Readonly<Record<string, string>> = {
  macAddress: "02-00-5E-10-00-01",
  filePath: "C:\\Windows\\System32",
  fileName: "rundll32.exe",
  algorithm: "sha256",
  deviceDnsName: "pc1.corp.contoso.com",
  hostName: "pc1",
  dnsDomain: "corp.contoso.com",
  ipAddress: "203.0.113.7",
  lastIpAddress: "10.1.2.3",
  ipInterfaces: "10.1.2.3",
  lastExternalIpAddress: "198.51.100.9",
  senderIp: "198.51.100.4",
  senderIP: "198.51.100.4",
};

function valueOf(type: string, property: string, depth: number): unknown {
  const list = /^Collection\((.*)\)$/.exec(type)?.[1];
  if (list !== undefined) {
    const value = valueOf(list, property, depth);
    return value === undefined ? [] : [value];
  }
  const members = GRAPH_SCHEMA.enums[type];
  if (BY_NAME[property] !== undefined) return BY_NAME[property];
  if (members !== undefined) return members.find((member) => !member.startsWith("unknown")) ?? "unknown";
  switch (type) {
    case "Edm.Int64":
      return 4_294_967_296;
    case "Edm.Int32":
      return 443;
    case "Edm.Double":
      return 47.5;
    case "Edm.Boolean":
      return true;
    case "Edm.DateTimeOffset":
      return "2026-11-24T16:05:58.0066667Z";
    case "dictionary":
      return { app: "web" };
    default:
      return type.startsWith("Edm.") ? `the ${property}` : objectOf(type, depth + 1);
  }
}

function objectOf(type: string, depth: number): Readonly<Record<string, unknown>> | undefined {
  if (depth > DEPTH_MAX) return undefined;
  const properties = GRAPH_SCHEMA.types[type]?.properties ?? {};
  return Object.fromEntries(
    Object.entries(properties).map(([property, propertyType]) => [property, valueOf(propertyType, property, depth)]),
  );
}

/** Graph's JSON of one item of that kind. */
function evidenceSample(kind: string): Readonly<Record<string, unknown>> {
  const common = { verdict: "suspicious", remediationStatus: "active", roles: ["compromised"], createdDateTime: "2026-11-24T16:05:58Z" };
  return { "@odata.type": `#microsoft.graph.security.${kind}Evidence`, ...common, ...objectOf(`${kind}Evidence`, 1) };
}

export function evidenceDeliveries(): readonly Delivery[] {
  return EVIDENCE_KINDS.map((kind) =>
    graphAlert({ id: `alert-${kind}`, title: `An alert with ${kind}`, severity: "high", evidence: [evidenceSample(kind)] }),
  );
}
