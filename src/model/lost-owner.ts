/** A collector whose place expired while it had customers, in ms since 1970 by the clock that all share. */
export interface LostOwner {
  /** When it had claimed them. */
  readonly sinceMs: number;
  /** When it renewed its place last; 0 if that is long ago. */
  readonly untilMs: number;
}
