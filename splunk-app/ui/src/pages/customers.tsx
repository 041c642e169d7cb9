import Button from "@splunk/react-ui/Button";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Message from "@splunk/react-ui/Message";
import Select from "@splunk/react-ui/Select";
import Table from "@splunk/react-ui/Table";
import Text from "@splunk/react-ui/Text";
import { type ReactElement, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { pause } from "../after.ts";
import { customersAsked } from "../customers-asked.ts";
import { deleteInput, RestProblem, switchInput } from "../rest.ts";
import {
  type CustomerRow,
  countsOf,
  expectsNews,
  type Input,
  inOrder,
  type Order,
  pageOf,
  rowsOf,
  type Shown,
  type SortKey,
  type Status,
} from "../state/customers.ts";
import { STATES_PACE } from "../state/poll-pace.ts";
import { ADDS, CHANGES } from "../state/rights.ts";
import { DeleteDialog, TestDialog } from "./customer-dialogs.tsx";
import { CustomerRows, CustomerTableStyle, ShownRowsContext } from "./customer-rows.tsx";
import { PageSwitch, usePolled } from "./parts.tsx";
import { MissingRights, useMay } from "./rights.tsx";

const COLUMNS: readonly (readonly [SortKey, string])[] = [
  ["name", "Customer"],
  ["state", "State"],
  ["lagS", "Lag"],
  ["daysLeft", "Secret ends in"],
  ["actor", "Who must act"],
];

/** The customers without their states are shown only where these take longer. */
const STATUSES_SOON_MS = 250;
const NO_ROWS: readonly CustomerRow[] = [];

const NEEDS = ["list_inputs", ...ADDS] as const;

const TOP = (
  <p>
    <Button appearance="primary" to="#/add" label="Add a customer" /> <Button to="#/import" label="Import a list" />
  </p>
);

/** All customers: their states, and who must act. */
export function CustomersPage(): ReactElement {
  const [known, setKnown] = useState<{ readonly rows: readonly CustomerRow[]; readonly nowMs: number }>();
  const [failure, setFailure] = useState("");
  const [note, setNote] = useState("");
  const [order, setOrder] = useState<Order>({ sort: "state", isDescending: false });
  const [shown, setShown] = useState<Shown>({ filter: "", state: "", page: 1 });
  const [leaving, setLeaving] = useState<CustomerRow>();
  const [testing, setTesting] = useState<CustomerRow>();
  /** Stays until the next action: the list is loaded again by itself. */
  const [refused, setRefused] = useState("");
  const mayAdd = useMay(ADDS);
  const mayChange = useMay(CHANGES);
  const heading = useRef<HTMLHeadingElement>(null);
  const hasDeleted = useRef(false);
  const statusesBefore = useRef<readonly Status[]>([]);
  const load = useCallback(async () => {
    const { inputs: inputsAsked, statuses: statusesAsked } = customersAsked.ask();
    let inputs: readonly Input[];
    const show = (statuses: readonly Status[]): readonly CustomerRow[] => {
      const nowMs = Date.now();
      const rowsNow = rowsOf(inputs, statuses, nowMs);
      setKnown({ rows: rowsNow, nowMs });
      return rowsNow;
    };
    try {
      inputs = await inputsAsked;
      setFailure("");
    } catch (error) {
      setFailure(messageOf(error));
      return undefined;
    }
    const isSoon = await Promise.race([statusesAsked.then(() => true), pause(STATUSES_SOON_MS)]);
    if (isSoon !== true) show(statusesBefore.current);
    const statuses = await statusesAsked;
    if ("problem" in statuses) {
      show(statusesBefore.current);
      // Without an input nobody answers where there is no KV store.
      setNote(inputs.length === 0 ? "" : `States cannot be shown. ${messageOf(statuses.problem)}`);
      return undefined;
    }
    statusesBefore.current = statuses.rows;
    setNote("");
    return expectsNews(show(statuses.rows)) ? undefined : [inputs, statuses.rows];
  }, []);
  const loadAgain = usePolled(load, STATES_PACE);
  const act = useCallback(
    async (work: () => Promise<void>): Promise<void> => {
      setRefused("");
      try {
        await work();
      } catch (error) {
        setRefused(messageOf(error));
      }
      await loadAgain();
    },
    [loadAgain],
  );

  const { rows, nowMs } = known ?? { rows: NO_ROWS, nowMs: 0 };
  useEffect(() => {
    // The row is gone, and with it the button that had the focus.
    if (!hasDeleted.current || document.activeElement !== document.body) return;
    hasDeleted.current = false;
    heading.current?.focus();
  }, [rows]);
  const ordered = useMemo(() => inOrder(rows, order), [rows, order]);
  const page = useMemo(() => pageOf(ordered, shown), [ordered, shown]);
  const change = useCallback(
    (some: Partial<Shown>): void => setShown((before) => ({ ...before, page: 1, ...some })),
    [],
  );
  const shownRows = useMemo(
    () => ({
      rows: page.rows,
      nowMs,
      mayAdd,
      mayChange,
      onSwitch: (row: CustomerRow) => void act(() => switchInput(row.name, row.isDisabled)),
      onTest: setTesting,
      onDelete: setLeaving,
    }),
    [page, nowMs, mayAdd, mayChange, act],
  );
  // Of these, a key in the field Find renders only what it changes.
  const pageSwitch = useMemo(
    () => (
      <PageSwitch
        label="Pages of customers"
        page={page.page}
        pages={page.pages}
        onPage={(to) => change({ page: to })}
      />
    ),
    [page.page, page.pages, change],
  );
  const stateChoice = useMemo(
    () => (
      <ControlGroup label="State" labelPosition="top">
        <Select value={shown.state} onChange={(_event, { value }) => change({ state: String(value) })}>
          <Select.Option value="" label={`all (${rows.length})`} />
          {countsOf(rows).map(([state, customers]) => (
            <Select.Option key={state} value={state} label={`${state} (${customers})`} />
          ))}
        </Select>
      </ControlGroup>
    ),
    [rows, shown.state, change],
  );
  const table = useMemo(() => {
    const orderBy = (key: SortKey): void => {
      setOrder({ sort: key, isDescending: order.sort === key && !order.isDescending });
      change({});
    };
    return (
      <CustomerTableStyle>
        <Table stripeRows>
          <Table.Head>
            {COLUMNS.map(([key, label]) => (
              <Table.HeadCell
                key={key}
                sortKey={key}
                sortDir={order.sort !== key ? "none" : order.isDescending ? "desc" : "asc"}
                onSort={() => orderBy(key)}
                // The sign for the order needs room, too.
                style={{ minWidth: `${label.length + 6}ch` }}
              >
                {label}
              </Table.HeadCell>
            ))}
            <Table.HeadCell>On</Table.HeadCell>
            {mayChange && <Table.HeadCell>Actions</Table.HeadCell>}
          </Table.Head>
          <Table.Body>
            <CustomerRows key="rows" />
          </Table.Body>
        </Table>
      </CustomerTableStyle>
    );
  }, [order, change, mayChange]);
  return (
    <>
      <Heading level={1} elementRef={heading} tabIndex={-1}>
        Customers
      </Heading>
      {mayAdd && TOP}
      <div aria-live="polite">
        <MissingRights needs={NEEDS} />
        {failure !== "" && <Message type="error">{failure}</Message>}
        {refused !== "" && <Message type="error">{refused}</Message>}
        {note !== "" && <Message type="warning">{note}</Message>}
        {known?.rows.length === 0 && <Message type="info">No customer yet.</Message>}
      </div>
      <div style={{ display: "flex", flexWrap: "wrap", gap: 16 }}>
        <ControlGroup label="Find" labelPosition="top">
          <Text
            value={shown.filter}
            placeholder="Name, tenant or sentence"
            onChange={(_event, { value }) => change({ filter: value })}
          />
        </ControlGroup>
        {stateChoice}
      </div>
      <ShownRowsContext.Provider value={shownRows}>{table}</ShownRowsContext.Provider>
      <p>
        {page.found} of {rows.length} customers
      </p>
      {pageSwitch}
      {testing !== undefined && <TestDialog row={testing} onClose={() => setTesting(undefined)} />}
      {leaving !== undefined && (
        <DeleteDialog
          row={leaving}
          onClose={() => setLeaving(undefined)}
          onDelete={() => {
            setLeaving(undefined);
            void act(async () => {
              await deleteInput(leaving.name);
              hasDeleted.current = true;
            });
          }}
        />
      )}
    </>
  );
}

function messageOf(error: unknown): string {
  if (!(error instanceof RestProblem)) throw error;
  return error.message;
}
