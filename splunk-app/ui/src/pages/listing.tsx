import Button from "@splunk/react-ui/Button";
import Table from "@splunk/react-ui/Table";
import { type ReactElement, type ReactNode, useState } from "react";
import { roomFor } from "../state/column-room.ts";
import { LIST_ROWS } from "../state/paging.ts";

/** Narrower columns cannot be read: then the table is scrolled. */
const MIN_COLUMN_WIDTH = 90;

/** The library's own cells break every word. */
function Words({ children }: { readonly children: ReactNode }): ReactElement {
  const minWidth = typeof children === "string" ? roomFor(children) : undefined;
  return <div style={{ minWidth, overflowWrap: "anywhere", wordBreak: "normal" }}>{children}</div>;
}

interface ListingProps<Row> {
  /** For those who do not see the heading above. */
  readonly name: string;
  readonly rows: readonly Row[];
  readonly columns: readonly (readonly [label: string, cell: (row: Row) => ReactNode])[];
  readonly keyOf: (row: Row) => string;
  /** What is said instead of an empty table. */
  readonly none: string;
  readonly most?: number;
  /** The rows that are shown. */
  readonly onShown?: (page: number) => void;
}

/** A table that shows a few rows and leafs through the others. */
export function Listing<Row>({
  name,
  rows,
  columns,
  keyOf,
  none,
  most = LIST_ROWS,
  onShown,
}: ListingProps<Row>): ReactElement {
  const [wanted, setPage] = useState(1);
  const pages = Math.max(1, Math.ceil(rows.length / most));
  const page = Math.min(wanted, pages);
  const show = (to: number): void => {
    setPage(to);
    onShown?.(to);
  };
  if (rows.length === 0) return <p>{none}</p>;
  return (
    <>
      {/* What can be scrolled must be reached by keyboard, also where a table has no link. */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <section aria-label={`Table of ${name}`} tabIndex={0} style={{ overflowX: "auto" }}>
        <Table stripeRows style={{ minWidth: columns.length * MIN_COLUMN_WIDTH }} innerStyle={{ overflow: "visible" }}>
          <Table.Head>
            {columns.map(([label]) => (
              <Table.HeadCell key={label} truncate={false}>
                <Words>{label}</Words>
              </Table.HeadCell>
            ))}
          </Table.Head>
          <Table.Body>
            {rows.slice((page - 1) * most, page * most).map((row) => (
              <Table.Row key={keyOf(row)} data-test="listed">
                {columns.map(([label, cell]) => (
                  <Table.Cell key={label}>
                    <Words>{cell(row)}</Words>
                  </Table.Cell>
                ))}
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      </section>
      {pages > 1 && (
        <nav aria-label={`Pages of ${name}`} style={{ display: "flex", gap: 8, alignItems: "center", marginTop: 8 }}>
          <Button label="Previous" disabled={page === 1} onClick={() => show(page - 1)} />
          Page {page} of {pages}
          <Button label="Next" disabled={page === pages} onClick={() => show(page + 1)} />
        </nav>
      )}
    </>
  );
}
