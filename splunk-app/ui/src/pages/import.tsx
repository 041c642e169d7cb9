import Button from "@splunk/react-ui/Button";
import Chip from "@splunk/react-ui/Chip";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Message from "@splunk/react-ui/Message";
import Select from "@splunk/react-ui/Select";
import Table from "@splunk/react-ui/Table";
import Text from "@splunk/react-ui/Text";
import TextArea from "@splunk/react-ui/TextArea";
import { type ReactElement, useEffect, useState } from "react";
import { LIST_COLUMNS } from "../../../../src/config/customer-list.ts";
import { createInput, editInput, listInputs, RestProblem, readInput } from "../rest.ts";
import {
  COMPARED_KEYS,
  type ImportWrites,
  importRows,
  type Outcome,
  type Plan,
  type PlannedRow,
  planOf,
  resultCsv,
  textOf,
  type Verdict,
} from "../state/import.ts";
import { slice } from "../state/paging.ts";
import { ADDS } from "../state/rights.ts";
import { PageSwitch, pauseUntil } from "./parts.tsx";
import { MissingRights, useMay } from "./rights.tsx";

const NEEDS = ["list_inputs", ...ADDS] as const;
const TRY_AGAIN_MS = 3_000;
/** Thousands of customers are some hundred kilobytes. */
const FILE_MAX_BYTES = 2_000_000;
const TEMPLATE = `${LIST_COLUMNS.join(",")}\r\nContoso,contoso.com,,,,mssp\r\n`;

const WRITES: ImportWrites = {
  create: createInput,
  edit: async (name, changes) => {
    const { values } = await readInput(name);
    // splunkd's own form sends the tenant with each edit, and the input checks it with the rest.
    await editInput(name, { tenant_id: values["tenant_id"] ?? "", ...changes }, values);
  },
  settingsOf: async (name) => (await readInput(name)).values,
};

type Checked = Extract<Plan, { readonly ok: true }>;

/** Adds and changes customers by a list: a verdict for each row first, then the writing. */
export function ImportPage(): ReactElement {
  const [text, setText] = useState("");
  const [credential, setCredential] = useState("");
  const [plan, setPlan] = useState<Checked>();
  const [failure, setFailure] = useState("");
  const [note, setNote] = useState("");
  const [outcomes, setOutcomes] = useState<ReadonlyMap<number, Outcome>>(new Map());
  const [running, setRunning] = useState<AbortController>();
  const [hasRun, setHasRun] = useState(false);
  const mayAdd = useMay(ADDS);
  useLeaving(running);

  const retype = (changed: () => void): void => {
    changed();
    setPlan(undefined);
    setOutcomes(new Map());
    setHasRun(false);
    setFailure("");
  };
  const openFile = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (file.size > FILE_MAX_BYTES)
      return setFailure(`${file.name} has more than ${FILE_MAX_BYTES / 1_000_000} MB. Choose a list of customers.`);
    const content = textOf(new Uint8Array(await file.arrayBuffer()));
    retype(() => setText(content));
  };
  const check = async (): Promise<void> => {
    setFailure("");
    try {
      const made = planOf(text, credential.trim(), await listInputs(COMPARED_KEYS), Date.now());
      setPlan(made.ok ? made : undefined);
      if (!made.ok) setFailure(`${made.say} Nothing is changed.`);
    } catch (error) {
      setFailure(messageOf(error));
    }
  };
  const todo = plan?.rows.filter(({ change }) => change !== undefined) ?? [];
  const left = todo.filter(({ line }) => outcomes.get(line)?.is === undefined);
  const failed = todo.filter(({ line }) => outcomes.get(line)?.is === "failed");
  const write = async (rows: readonly PlannedRow[]): Promise<void> => {
    const stop = new AbortController();
    setRunning(stop);
    setHasRun(true);
    setFailure("");
    try {
      const why = await importRows(rows, {
        writes: WRITES,
        stop: stop.signal,
        pause: () => pauseUntil(TRY_AGAIN_MS, stop.signal),
        report: ({ line }, outcome) => setOutcomes((before) => new Map(before).set(line, outcome)),
        note: setNote,
      });
      setFailure(why);
    } finally {
      setNote("");
      setRunning(undefined);
    }
  };
  const isRunning = running !== undefined;
  return (
    <>
      <Heading level={1}>Import customers</Heading>
      <MissingRights needs={NEEDS} />
      <form onSubmit={(event) => event.preventDefault()}>
        <p>
          A CSV list with a header: {LIST_COLUMNS.join(", ")}. Only name and tenant are required. Separate the fields
          with commas or semicolons. Write no secrets into a list. Customers that are not in the list stay.
        </p>
        <p>
          <label>
            CSV file{" "}
            <input
              type="file"
              accept=".csv,.txt,text/csv,text/plain"
              disabled={isRunning}
              onChange={({ currentTarget }) => void openFile(currentTarget.files?.[0])}
            />
          </label>{" "}
          <Button label="Download a template" onClick={() => download("customers.csv", TEMPLATE)} />
        </p>
        <ControlGroup label="List" labelPosition="top" help="Choose a file above, or paste the list here.">
          <TextArea
            value={text}
            rowsMin={4}
            rowsMax={6}
            disabled={isRunning}
            onChange={(_event, { value }) => retype(() => setText(value))}
          />
        </ControlGroup>
        <ControlGroup
          label="Shared credential"
          labelPosition="top"
          help="For new customers whose row names none. It must be stored on this Splunk."
        >
          <Text
            value={credential}
            autoComplete="off"
            disabled={isRunning}
            onChange={(_event, { value }) => retype(() => setCredential(value))}
          />
        </ControlGroup>
        <Button
          appearance={plan === undefined ? "primary" : "default"}
          label="Check the list"
          disabled={isRunning || text.trim() === ""}
          onClick={() => void check()}
        />
      </form>
      <div aria-live="polite">
        {failure !== "" && <Message type="error">{failure}</Message>}
        {note !== "" && <Message type="warning">{note}</Message>}
        {plan !== undefined && <Summary plan={plan} />}
        {hasRun && !isRunning && (
          <Message type={left.length + failed.length === 0 ? "success" : "warning"}>{resultOf(todo, outcomes)}</Message>
        )}
      </div>
      {isRunning && (
        <p>
          <progress
            aria-label="Customers written"
            value={todo.length - left.length}
            max={todo.length}
            style={{ width: "min(100%, 320px)" }}
          />{" "}
          {todo.length - left.length} of {todo.length} done{" "}
          <Button label="Stop" onClick={() => running.abort()} disabled={running.signal.aborted} />
        </p>
      )}
      {plan !== undefined && !isRunning && mayAdd && (
        <div style={{ display: "flex", flexWrap: "wrap", gap: 8, margin: "16px 0" }}>
          {left.length > 0 && (
            <Button
              appearance="primary"
              label={left.length < todo.length || hasRun ? `Go on with ${left.length}` : `Import ${left.length}`}
              onClick={() => void write(left)}
            />
          )}
          {failed.length > 0 && left.length === 0 && (
            <Button label={`Try ${failed.length} again`} onClick={() => void write(failed)} />
          )}
          {hasRun && (
            <Button
              label="Download the result"
              onClick={() => download("import-result.csv", resultCsv(plan.rows, outcomes))}
            />
          )}
        </div>
      )}
      {plan !== undefined && <Rows rows={plan.rows} outcomes={outcomes} />}
    </>
  );
}

function Summary({ plan }: { readonly plan: Checked }): ReactElement {
  const count = (verdict: Verdict): number => plan.rows.filter((row) => row.verdict === verdict).length;
  return (
    <>
      <Message type={count("wrong") === 0 ? "info" : "warning"}>
        {count("new")} new, {count("changed")} changed, {count("same")} unchanged, {count("wrong")} wrong.{" "}
        {count("wrong") > 0 && "Wrong rows are not used. "}
        {plan.notListed.length > 0 && `Configured but not in the list: ${plan.notListed.length}; they stay. `}
        Splunk restarts the program once per input, and collection goes on by itself.
      </Message>
      {plan.withoutCredential > 0 && (
        <Message type="warning">
          {plan.withoutCredential} new customers name no credential. Fill in Shared credential, or the column
          credential.
        </Message>
      )}
      {plan.warnings.map((warning) => (
        <Message key={warning} type="warning">
          {warning}
        </Message>
      ))}
    </>
  );
}

const VERDICT_LOOKS: Readonly<Record<Verdict | Outcome["is"], "success" | "info" | "warning" | "error" | "outline">> = {
  new: "info",
  changed: "info",
  same: "outline",
  wrong: "error",
  written: "success",
  exists: "success",
  failed: "error",
};

interface RowsProps {
  readonly rows: readonly PlannedRow[];
  readonly outcomes: ReadonlyMap<number, Outcome>;
}

function Rows({ rows, outcomes }: RowsProps): ReactElement {
  const [shown, setShown] = useState("");
  const [page, setPage] = useState(1);
  const stateOf = (row: PlannedRow): Verdict | Outcome["is"] => outcomes.get(row.line)?.is ?? row.verdict;
  const counts = [...Map.groupBy(rows, stateOf)];
  const mustBeSeen = (row: PlannedRow): number => (stateOf(row) === "wrong" || stateOf(row) === "failed" ? 0 : 1);
  const part = slice(
    rows.filter((row) => shown === "" || stateOf(row) === shown).toSorted((a, b) => mustBeSeen(a) - mustBeSeen(b)),
    page,
  );
  return (
    <>
      <ControlGroup label="Rows" labelPosition="top">
        <Select
          value={shown}
          onChange={(_event, { value }) => {
            setShown(String(value));
            setPage(1);
          }}
        >
          <Select.Option value="" label={`all (${rows.length})`} />
          {counts.map(([state, those]) => (
            <Select.Option key={state} value={state} label={`${state} (${those.length})`} />
          ))}
        </Select>
      </ControlGroup>
      <div style={{ overflowX: "auto" }}>
        <Table stripeRows>
          <Table.Head>
            <Table.HeadCell>Line</Table.HeadCell>
            <Table.HeadCell>Customer</Table.HeadCell>
            <Table.HeadCell>Verdict</Table.HeadCell>
            <Table.HeadCell>What</Table.HeadCell>
          </Table.Head>
          <Table.Body>
            {part.rows.map((row) => (
              <Table.Row key={row.line} data-test="row">
                <Table.Cell>{row.line}</Table.Cell>
                <Table.Cell>{row.name || "–"}</Table.Cell>
                <Table.Cell>
                  <Chip appearance={VERDICT_LOOKS[stateOf(row)]}>{stateOf(row)}</Chip>
                </Table.Cell>
                <Table.Cell>{outcomes.get(row.line)?.say ?? row.say}</Table.Cell>
              </Table.Row>
            ))}
          </Table.Body>
        </Table>
      </div>
      <PageSwitch label="Pages of rows" page={part.page} pages={part.pages} onPage={setPage} />
    </>
  );
}

function resultOf(todo: readonly PlannedRow[], outcomes: ReadonlyMap<number, Outcome>): string {
  const found = todo.map(({ line }) => outcomes.get(line)?.is);
  const count = (is: Outcome["is"]): number => found.filter((one) => one === is).length;
  const left = found.filter((one) => one === undefined).length;
  return `${count("written")} of ${todo.length} are written, ${count("exists")} existed already, ${count("failed")} failed, ${left} are not written yet.`;
}

/** An import that nobody sees must not go on, and a closed tab ends one in the middle. */
function useLeaving(running: AbortController | undefined): void {
  useEffect(() => {
    if (running === undefined) return undefined;
    const warn = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", warn);
    return () => {
      removeEventListener("beforeunload", warn);
      running.abort();
    };
  }, [running]);
}

function download(name: string, content: string): void {
  const link = document.createElement("a");
  // Without this byte order mark, spreadsheets read the file in the local code page.
  link.href = URL.createObjectURL(new Blob([`\uFEFF${content}`], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function messageOf(error: unknown): string {
  if (!(error instanceof RestProblem)) throw error;
  return error.message;
}
