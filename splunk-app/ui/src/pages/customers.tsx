import Button from "@splunk/react-ui/Button";
import Chip from "@splunk/react-ui/Chip";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import Modal from "@splunk/react-ui/Modal";
import Select from "@splunk/react-ui/Select";
import Switch from "@splunk/react-ui/Switch";
import Table from "@splunk/react-ui/Table";
import Text from "@splunk/react-ui/Text";
import { type ReactElement, useCallback, useMemo, useState } from "react";
import { deleteInput, listInputs, RestProblem, statusRows, switchInput } from "../rest.ts";
import {
  type CustomerRow,
  countsOf,
  duration,
  expectsNews,
  type Input,
  pageOf,
  rowsOf,
  type Shown,
  type SortKey,
  type State,
  type Status,
} from "../state/customers.ts";
import { STATES_PACE } from "../state/poll-pace.ts";
import { Checks } from "./checks.tsx";
import { Dialog, PageSwitch, usePolled } from "./parts.tsx";
import { useRequest } from "./use-request.ts";

const COLUMNS: readonly (readonly [SortKey, string])[] = [
  ["name", "Customer"],
  ["state", "State"],
  ["lagS", "Lag"],
  ["daysLeft", "Secret ends in"],
  ["actor", "Who must act"],
];

/** All customers: their states, and who must act. */
export function CustomersPage(): ReactElement {
  const [inputs, setInputs] = useState<readonly Input[]>();
  const [statuses, setStatuses] = useState<readonly Status[]>([]);
  const [failure, setFailure] = useState("");
  const [note, setNote] = useState("");
  const [shown, setShown] = useState<Shown>({ filter: "", state: "", sort: "state", isDescending: false, page: 1 });
  const [leaving, setLeaving] = useState<CustomerRow>();
  const [testing, setTesting] = useState<CustomerRow>();
  /** Stays until the next action: the list is loaded again by itself. */
  const [refused, setRefused] = useState("");
  const load = useCallback(async () => {
    let inputsNow: readonly Input[];
    try {
      inputsNow = await listInputs();
      setInputs(inputsNow);
      setFailure("");
    } catch (error) {
      setFailure(messageOf(error));
      return undefined;
    }
    try {
      const statusesNow = await statusRows();
      setStatuses(statusesNow);
      setNote("");
      const isExpecting = expectsNews(rowsOf(inputsNow, statusesNow, Date.now()));
      return isExpecting ? undefined : [inputsNow, statusesNow];
    } catch (error) {
      setNote(`States cannot be shown. ${messageOf(error)}`);
      return undefined;
    }
  }, []);
  const loadAgain = usePolled(load, STATES_PACE);

  const rows = useMemo(() => rowsOf(inputs ?? [], statuses, Date.now()), [inputs, statuses]);
  const page = useMemo(() => pageOf(rows, shown), [rows, shown]);
  const change = (some: Partial<Shown>): void => setShown((before) => ({ ...before, page: 1, ...some }));
  const act = async (work: () => Promise<void>): Promise<void> => {
    setRefused("");
    try {
      await work();
    } catch (error) {
      setRefused(messageOf(error));
    }
    await loadAgain();
  };
  return (
    <>
      <Heading level={1}>Customers</Heading>
      <p>
        <Button appearance="primary" to="#/add" label="Add a customer" /> <Button to="#/import" label="Import a list" />
      </p>
      <div aria-live="polite">
        {failure !== "" && <Message type="error">{failure}</Message>}
        {refused !== "" && <Message type="error">{refused}</Message>}
        {note !== "" && <Message type="warning">{note}</Message>}
        {inputs?.length === 0 && <Message type="info">No customer yet.</Message>}
      </div>
      <div style={{ display: "flex", flexWrap: "wrap", gap: 16 }}>
        <ControlGroup label="Find" labelPosition="top">
          <Text
            value={shown.filter}
            placeholder="Name, tenant or sentence"
            onChange={(_event, { value }) => change({ filter: value })}
          />
        </ControlGroup>
        <ControlGroup label="State" labelPosition="top">
          <Select value={shown.state} onChange={(_event, { value }) => change({ state: String(value) })}>
            <Select.Option value="" label={`all (${rows.length})`} />
            {countsOf(rows).map(([state, customers]) => (
              <Select.Option key={state} value={state} label={`${state} (${customers})`} />
            ))}
          </Select>
        </ControlGroup>
      </div>
      <div style={{ overflowX: "auto" }}>
        <Table stripeRows>
          <Table.Head>
            {COLUMNS.map(([key, label]) => (
              <Table.HeadCell
                key={key}
                sortKey={key}
                sortDir={shown.sort !== key ? "none" : shown.isDescending ? "desc" : "asc"}
                onSort={() => change({ sort: key, isDescending: shown.sort === key && !shown.isDescending })}
              >
                {label}
              </Table.HeadCell>
            ))}
            <Table.HeadCell>On</Table.HeadCell>
            <Table.HeadCell>Actions</Table.HeadCell>
          </Table.Head>
          <Table.Body>
            {page.rows.map((row) => (
              <Table.Row key={row.name} data-test="customer">
                <Table.Cell>
                  <div>
                    <Link to={`#/customer/${encodeURIComponent(row.name)}`}>{row.tenant}</Link>
                    <br />
                    {row.tenantId}
                  </div>
                </Table.Cell>
                <Table.Cell>
                  <Chip appearance={LOOKS[row.state]}>{row.state}</Chip>
                </Table.Cell>
                <Table.Cell>{row.lagS === undefined ? "–" : duration(row.lagS)}</Table.Cell>
                <Table.Cell>{row.daysLeft === undefined ? "–" : `${row.daysLeft} days`}</Table.Cell>
                <Table.Cell>
                  <div>
                    {row.actor !== "" && <strong>{row.actor}</strong>}
                    {row.say !== "" && (
                      <div>
                        {row.say} {row.nextStep}
                      </div>
                    )}
                    {row.reportedMs !== undefined && <div>Reported {ago(row.reportedMs)} ago</div>}
                  </div>
                </Table.Cell>
                <Table.Cell>
                  <Switch
                    appearance="toggle"
                    selected={!row.isDisabled}
                    selectedLabel={`Collect ${row.tenant}`}
                    unselectedLabel={`Collect ${row.tenant}`}
                    aria-label={`Collect ${row.tenant}`}
                    onClick={() => void act(() => switchInput(row.name, row.isDisabled))}
                  />
                </Table.Cell>
                <Table.Cell>
                  <div style={{ display: "flex", flexWrap: "wrap", gap: 4 }}>
                    <Button label="Test" aria-label={`Test ${row.tenant}`} onClick={() => setTesting(row)} />
                    <Button
                      label="Clone"
                      aria-label={`Clone ${row.tenant}`}
                      to={`#/add/${encodeURIComponent(row.name)}`}
                    />
                    <Button label="Delete" aria-label={`Delete ${row.tenant}`} onClick={() => setLeaving(row)} />
                  </div>
                </Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      </div>
      <p>
        {page.found} of {rows.length} customers
      </p>
      <PageSwitch
        label="Pages of customers"
        page={page.page}
        pages={page.pages}
        onPage={(to) => change({ page: to })}
      />
      {testing !== undefined && <TestDialog row={testing} onClose={() => setTesting(undefined)} />}
      {leaving !== undefined && (
        <DeleteDialog
          row={leaving}
          onClose={() => setLeaving(undefined)}
          onDelete={() => {
            setLeaving(undefined);
            void act(() => deleteInput(leaving.name));
          }}
        />
      )}
    </>
  );
}

const LOOKS: Readonly<Record<State, "success" | "info" | "warning" | "error" | "outline">> = {
  ok: "success",
  "catching-up": "info",
  new: "info",
  throttled: "warning",
  "awaiting-consent": "warning",
  silent: "error",
  "no report yet": "warning",
  failing: "error",
  "signed-out": "error",
  misconfigured: "error",
  off: "outline",
};

interface DeleteProps {
  readonly row: CustomerRow;
  readonly onClose: () => void;
  readonly onDelete: () => void;
}

function DeleteDialog({ row, onClose, onDelete }: DeleteProps): ReactElement {
  return (
    <Dialog title={`Delete ${row.tenant}?`} maxWidth={500} onClose={onClose}>
      <Modal.Body>
        <p>
          The input is deleted and nothing is collected for {row.tenant} any more. Its events stay in Splunk. Its
          checkpoint and its stored secrets stay too: an input with the same name goes on where this one ended.
        </p>
      </Modal.Body>
      <Modal.Footer>
        <Button label="Cancel" onClick={onClose} />
        <Button appearance="destructive" label="Delete" onClick={onDelete} />
      </Modal.Footer>
    </Dialog>
  );
}

interface TestProps {
  readonly row: CustomerRow;
  readonly onClose: () => void;
}

/** The running input checks every precondition of this customer. */
function TestDialog({ row, onClose }: TestProps): ReactElement {
  const [attempt, setAttempt] = useState(1);
  const { answer, note } = useRequest(row.name, "doctor", attempt);
  const isOver = answer.state === "done" || answer.state === "refused";
  return (
    <Dialog title={`Test ${row.tenant}`} maxWidth={700} onClose={onClose}>
      <Modal.Body>
        {note !== "" && <Message type="warning">{note}</Message>}
        {answer.state === undefined && <Message type="info">The input is asked to check every precondition.</Message>}
        <Checks answer={answer} />
      </Modal.Body>
      <Modal.Footer>
        <Button label="Close" onClick={onClose} />
        <Button label="Test again" disabled={!isOver} onClick={() => setAttempt(attempt + 1)} />
      </Modal.Footer>
    </Dialog>
  );
}

function ago(atMs: number): string {
  return duration(Math.max(0, (Date.now() - atMs) / 1000));
}

function messageOf(error: unknown): string {
  if (!(error instanceof RestProblem)) throw error;
  return error.message;
}
