/** The streams that a customer can have, in the order of docs and settings. */
export const STREAM_NAMES = ["alerts", "incidents", "xdr-incidents", "mde-alerts", "siem-alerts", "hunting"] as const;
export type StreamName = (typeof STREAM_NAMES)[number];

/** What one record is; part of its key. */
export type RecordKind = "alert" | "incident" | "row";
