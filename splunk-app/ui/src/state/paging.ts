const PAGE_SIZE = 50;
/** The page Health has five lists of LIST_ROWS and one of PLOTTED_ROWS: at most 50 rows over all of them. */
export const LIST_ROWS = 8;
export const PLOTTED_ROWS = 10;

/** One page of rows; the last one where there are fewer. */
export function slice<Row>(
  rows: readonly Row[],
  page: number,
): { readonly rows: readonly Row[]; readonly page: number; readonly pages: number } {
  const pages = Math.max(1, Math.ceil(rows.length / PAGE_SIZE));
  const at = Math.min(page, pages);
  return { rows: rows.slice((at - 1) * PAGE_SIZE, at * PAGE_SIZE), page: at, pages };
}
