/**
 * What a reader of some output format hands to the judge, one per event. The bytes are a view, valid during
 * the call only.
 */
export type Delivered =
  /** One JSON record. */
  | { readonly kind: "record"; readonly bytes: Uint8Array; readonly endOffset: number; readonly hints?: string }
  /** One CEF line, already taken apart. */
  | { readonly kind: "cef"; readonly event: CefEvent; readonly endOffset: number }
  /** An event that is not about a record: the collector's own health. */
  | { readonly kind: "health" }
  /** A further line about a record that has its own: one per evidence item. */
  | { readonly kind: "evidence" }
  /** An event cut off by the end of a run. */
  | { readonly kind: "torn" }
  /** Bytes between events that belong to no event, or an event that is not JSON. */
  | { readonly kind: "unreadable"; readonly say: string };

export interface CefEvent {
  readonly classId: string;
  readonly externalId: string | undefined;
  readonly tenantId: string | undefined;
  /** Milliseconds since 1970: CEF carries no finer time. */
  readonly updatedMs: number | undefined;
  readonly replay: boolean;
}

export type Reader = (chunks: AsyncIterable<Uint8Array>, each: (event: Delivered) => void) => Promise<void>;
