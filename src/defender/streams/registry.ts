import type { StreamName } from "../../model/stream.ts";
import { alerts } from "./alerts.ts";
import type { StreamContract } from "./contract.ts";
import { incidents } from "./incidents.ts";
import { mdeAlerts } from "./mde-alerts.ts";
import { siemAlerts } from "./siem-alerts.ts";
import { xdrIncidents } from "./xdr-incidents.ts";

/** Streams that are lists; `hunting` runs queries and has its own source (hunting-source.ts). */
export type ListStreamName = Exclude<StreamName, "hunting">;

export const STREAMS: Readonly<Record<ListStreamName, StreamContract>> = {
  alerts,
  incidents,
  "xdr-incidents": xdrIncidents,
  "mde-alerts": mdeAlerts,
  "siem-alerts": siemAlerts,
};
