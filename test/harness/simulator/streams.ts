/**
 * Facts of each list the simulator serves. Sources: Microsoft Graph docs (security-list-alerts_v2,
 * security-list-incidents), Microsoft Defender docs (get-alerts, api-list-incidents,
 * pull-alerts-using-rest-api); limits that no page states come from public reports of other connectors.
 */
export type StreamName = "alerts" | "incidents" | "xdr-incidents" | "mde-alerts" | "siem-alerts";

export type ApiName = "graph" | "xdr" | "mde" | "siem";

export interface StreamFacts {
  readonly name: StreamName;
  readonly file: string;
  readonly api: ApiName;
  readonly kind: "alert" | "incident";
  /** Members of a record that hold its id, its update time and its creation time. */
  readonly id: string;
  readonly updated: string;
  readonly created: string;
  /** What `$filter` may name; anything else is answered 400. */
  readonly filterable: readonly string[];
  readonly orderable: readonly string[];
  readonly pageMax: number;
  /** A `$top` above the maximum is silently clamped, or refused with 400. */
  readonly aboveMax: "clamp" | "refuse";
  readonly skipMax: number | undefined;
  readonly context: string;
  /** Any one of these opens the list: application roles or delegated scopes. */
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
}

const ALERT_ROLES = [
  "SecurityAlert.Read.All",
  "SecurityAlert.ReadWrite.All",
  "SecurityIncident.Read.All",
  "SecurityIncident.ReadWrite.All",
];
const INCIDENT_ROLES = ["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"];

export const STREAMS: Readonly<Record<StreamName, StreamFacts>> = {
  alerts: {
    name: "alerts",
    file: "alerts.ndjson",
    api: "graph",
    kind: "alert",
    id: "id",
    updated: "lastUpdateDateTime",
    created: "createdDateTime",
    filterable: [
      "assignedTo",
      "classification",
      "determination",
      "createdDateTime",
      "lastUpdateDateTime",
      "severity",
      "serviceSource",
      "status",
    ],
    orderable: ["createdDateTime", "lastUpdateDateTime"],
    pageMax: 1000,
    aboveMax: "clamp",
    skipMax: 500,
    context: "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2",
    roles: ALERT_ROLES,
    scopes: ALERT_ROLES,
  },
  incidents: {
    name: "incidents",
    file: "incidents.ndjson",
    api: "graph",
    kind: "incident",
    id: "id",
    updated: "lastUpdateDateTime",
    created: "createdDateTime",
    filterable: [
      "assignedTo",
      "classification",
      "createdDateTime",
      "determination",
      "lastUpdateDateTime",
      "severity",
      "status",
    ],
    orderable: ["createdDateTime", "lastUpdateDateTime"],
    pageMax: 50,
    aboveMax: "refuse",
    skipMax: 500,
    context: "https://graph.microsoft.com/v1.0/$metadata#security/incidents",
    roles: INCIDENT_ROLES,
    scopes: INCIDENT_ROLES,
  },
  "xdr-incidents": {
    name: "xdr-incidents",
    file: "xdr-incidents.ndjson",
    api: "xdr",
    kind: "incident",
    id: "incidentId",
    updated: "lastUpdateTime",
    created: "createdTime",
    filterable: ["lastUpdateTime", "createdTime", "status", "assignedTo"],
    orderable: ["lastUpdateTime", "createdTime"],
    pageMax: 100,
    aboveMax: "refuse",
    skipMax: undefined,
    context: "https://api.security.microsoft.com/api/$metadata#Incidents",
    roles: ["Incident.Read.All", "Incident.ReadWrite.All"],
    scopes: ["Incident.Read", "Incident.ReadWrite"],
  },
  "mde-alerts": {
    name: "mde-alerts",
    file: "mde-alerts.ndjson",
    api: "mde",
    kind: "alert",
    id: "id",
    updated: "lastUpdateTime",
    created: "alertCreationTime",
    filterable: [
      "alertCreationTime",
      "lastUpdateTime",
      "incidentId",
      "InvestigationId",
      "id",
      "assignedTo",
      "detectionSource",
      "lastEventTime",
      "status",
      "severity",
      "category",
    ],
    orderable: ["alertCreationTime", "lastUpdateTime", "lastEventTime"],
    pageMax: 10_000,
    aboveMax: "refuse",
    skipMax: undefined,
    context: "https://api.securitycenter.microsoft.com/api/$metadata#Alerts",
    roles: ["Alert.Read.All", "Alert.ReadWrite.All"],
    scopes: ["Alert.Read", "Alert.ReadWrite"],
  },
  "siem-alerts": {
    name: "siem-alerts",
    file: "siem-alerts.ndjson",
    api: "siem",
    kind: "alert",
    id: "FullId",
    updated: "LastProcessedTimeUtc",
    created: "AlertTime",
    filterable: [],
    orderable: [],
    pageMax: Number.MAX_SAFE_INTEGER,
    aboveMax: "clamp",
    skipMax: undefined,
    context: "",
    roles: [],
    scopes: [],
  },
};

export const STREAM_NAMES = Object.keys(STREAMS) as StreamName[];
