/**
 * Where each cloud lives. Sources: Microsoft Graph docs, "National cloud deployments"; Defender docs, gov and
 * usgov pages; includes/improve-request-performance (regional hosts); the SIEM API's old pages (alert
 * exporter hosts).
 */
export type Cloud = "commercial" | "gcc" | "gcc-high" | "dod";

export const CLOUDS: readonly Cloud[] = ["commercial", "gcc", "gcc-high", "dod"];

export type Service = "login" | "graph" | "api" | "siem" | "partnercenter";

interface Host {
  readonly pattern: RegExp;
  readonly service: Service;
  readonly clouds: readonly Cloud[];
}

const PUBLIC: readonly Cloud[] = ["commercial", "gcc"];
const SOVEREIGN: readonly Cloud[] = ["gcc-high", "dod"];

const HOSTS: readonly Host[] = [
  { pattern: /^login\.(microsoftonline\.com|windows\.net)$/, service: "login", clouds: PUBLIC },
  { pattern: /^login\.microsoftonline\.us$/, service: "login", clouds: SOVEREIGN },
  { pattern: /^graph\.microsoft\.com$/, service: "graph", clouds: PUBLIC },
  { pattern: /^graph\.microsoft\.us$/, service: "graph", clouds: ["gcc-high"] },
  { pattern: /^dod-graph\.microsoft\.us$/, service: "graph", clouds: ["dod"] },
  {
    pattern: /^((us|eu|uk|au|swa|ina|aea)\.)?api\.security(center)?\.microsoft\.com$/,
    service: "api",
    clouds: ["commercial"],
  },
  {
    pattern: /^api(-(us|eu|uk))?\.security(center)?\.(microsoft|windows)\.com$/,
    service: "api",
    clouds: ["commercial"],
  },
  { pattern: /^api-gcc\.security(center)?\.microsoft\.us$/, service: "api", clouds: ["gcc"] },
  { pattern: /^api-gov\.security(center)?\.microsoft\.us$/, service: "api", clouds: SOVEREIGN },
  {
    pattern: /^wdatp-alertexporter-(eu|us|uk)\.(securitycenter\.)?windows\.com$/,
    service: "siem",
    clouds: ["commercial"],
  },
  { pattern: /^wdatp-alertexporter-us\.gcc\.securitycenter\.windows\.us$/, service: "siem", clouds: ["gcc"] },
  { pattern: /^wdatp-alertexporter-us\.securitycenter\.windows\.us$/, service: "siem", clouds: SOVEREIGN },
  { pattern: /^api\.partnercenter\.microsoft\.com$/, service: "partnercenter", clouds: PUBLIC },
];

/**
 * What a Host header names; undefined for loopback names, behind which everything of every cloud is found.
 */
export function hostOf(header: string | undefined): { service: Service; clouds: readonly Cloud[] } | undefined {
  const name = (header ?? "").toLowerCase().replace(/:\d+$/, "");
  return HOSTS.find(({ pattern }) => pattern.test(name));
}
