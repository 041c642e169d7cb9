import { expect, test } from "@jest/globals";
import { LIST_ROWS, PLOTTED_ROWS, slice } from "./paging.ts";

test("a page shows 50 rows, and the last one is shown where a later one is asked for", () => {
  const rows = Array.from({ length: 120 }, (_, at) => at);

  expect(slice(rows, 1)).toEqual({ rows: rows.slice(0, 50), page: 1, pages: 3 });
  expect(slice(rows, 7)).toEqual({ rows: rows.slice(100), page: 3, pages: 3 });
  expect(slice([], 2)).toEqual({ rows: [], page: 1, pages: 1 });
});

test("the six lists of Health show at most 50 rows together", () => {
  const reasonsSilentThrottledExpiringDifferences = 5;
  expect(reasonsSilentThrottledExpiringDifferences * LIST_ROWS + PLOTTED_ROWS).toBeLessThanOrEqual(50);
});
