import { VERSION } from "../build/project.ts";

/** What differs between our two Splunk apps in their manifests. */
export interface SplunkApp {
  readonly id: "TA_defender_mssp" | "SA_defender_mssp";
  readonly title: string;
  readonly description: string;
  readonly targetWorkloads: readonly string[];
}

export const TECHNOLOGY_ADDON: SplunkApp = {
  id: "TA_defender_mssp",
  title: "Add-on for Microsoft Defender of many customers (MSSP)",
  description:
    "Pulls Microsoft Defender alerts and incidents of many customers' tenants, each version once, the vendor's JSON untouched.",
  targetWorkloads: ["_search_heads", "_indexers", "_forwarders"],
};

export const SUPPORTING_ADDON: SplunkApp = {
  id: "SA_defender_mssp",
  title: "Search-time knowledge for Microsoft Defender of many customers (MSSP)",
  description:
    "Field extractions, CIM mappings and the dashboard for events of TA_defender_mssp, for search heads and Splunk Cloud; collects nothing.",
  targetWorkloads: ["_search_heads"],
};

/** app.manifest, schema 2.0.0 (Splunk developer docs, "Splunk Packaging Toolkit app.manifest schema"). */
export function appManifest(app: SplunkApp): string {
  const manifest = {
    schemaVersion: "2.0.0",
    info: {
      title: app.title,
      id: { group: null, name: app.id, version: VERSION },
      author: [{ name: "defender-mssp contributors", email: null, company: null }],
      releaseDate: null,
      description: app.description,
      classification: {
        intendedAudience: "Security Operations",
        categories: ["Security, Fraud & Compliance"],
        developmentStatus: "Production/Stable",
      },
      commonInformationModels: { Alerts: ">=4.20.0", Ticket_Management: ">=4.20.0" },
      license: { name: "Apache-2.0", text: "LICENSE", uri: "https://www.apache.org/licenses/LICENSE-2.0" },
      privacyPolicy: { name: null, text: null, uri: null },
      releaseNotes: { name: "README", text: "README.md", uri: null },
    },
    dependencies: null,
    tasks: null,
    inputGroups: null,
    incompatibleApps: null,
    platformRequirements: { splunk: { Enterprise: ">=9.0" } },
    supportedDeployments: ["_standalone", "_distributed", "_search_head_clustering"],
    targetWorkloads: app.targetWorkloads,
  };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}
