/** The streams a customer can have; the order is the order in which docs and settings list them. */
export const STREAM_NAMES = ["alerts", "incidents", "xdr-incidents", "mde-alerts", "siem-alerts", "hunting"] as const;
export type StreamName = (typeof STREAM_NAMES)[number];

/** What one record is; part of its key. */
export type RecordKind = "alert" | "incident" | "row";
