import Button from "@splunk/react-ui/Button";
import ControlGroup from "@splunk/react-ui/ControlGroup";
import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import Select from "@splunk/react-ui/Select";
import Text from "@splunk/react-ui/Text";
import { createURL } from "@splunk/splunk-utils/url";
import { type ReactElement, useState } from "react";
import { type Level, LOG_EARLIEST, type LogLine, logLinesOf, logRowsSearch, logSearch } from "../state/log.ts";
import { SEARCHES } from "../state/rights.ts";
import { Listing } from "./listing.tsx";
import { MissingRights, useMayAtOnce } from "./rights.tsx";
import { useSearch } from "./use-history.ts";

const ROWS_MOST = 50;

/** What the program logged in the last 24 hours. */
export function LogPage({ about }: { readonly about: string }): ReactElement {
  return (
    <>
      <Heading level={1}>Log</Heading>
      <p>Lines of this program in splunkd.log, the last 24 hours, the newest first.</p>
      <MissingRights needs={SEARCHES} />
      {useMayAtOnce(SEARCHES) && <Lines about={about} />}
    </>
  );
}

function Lines({ about }: { readonly about: string }): ReactElement {
  const [level, setLevel] = useState<Level>("all");
  const [typed, setTyped] = useState(about);
  const [text, setText] = useState(about);
  const [attempt, setAttempt] = useState(0);
  const { rows, failure } = useSearch(logRowsSearch(level, text), LOG_EARLIEST, attempt);
  const lines = logLinesOf(rows ?? []);
  const query = { q: `search ${logSearch(level, text)}`, earliest: LOG_EARLIEST, latest: "now" };
  return (
    <>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setText(typed);
          setAttempt(attempt + 1);
        }}
        style={{ display: "flex", flexWrap: "wrap", gap: 16, alignItems: "center" }}
      >
        <ControlGroup label="Level" labelPosition="top">
          <Select value={level} onChange={(_event, { value }) => setLevel(value as Level)}>
            <Select.Option value="all" label="all" />
            <Select.Option value="warnings" label="warnings and errors" />
            <Select.Option value="errors" label="errors" />
          </Select>
        </ControlGroup>
        <ControlGroup label="Customer or word" labelPosition="top">
          <Text value={typed} autoComplete="off" onChange={(_event, { value }) => setTyped(value)} />
        </ControlGroup>
        <Button type="submit" appearance="primary" label="Show" />
        <Link to={createURL("app/TA_defender_mssp/search", query)} openInNewContext>
          Open in Search
        </Link>
      </form>
      <div aria-live="polite">
        {failure !== "" && <Message type="error">{`The log cannot be searched. ${failure}`}</Message>}
        {failure === "" && rows === undefined && <p>Searching splunkd.log</p>}
      </div>
      {rows !== undefined && (
        <Listing
          name="lines"
          rows={lines.map((line, at) => ({ ...line, key: `${line.atMs} ${at}` }))}
          keyOf={({ key }) => key}
          most={ROWS_MOST}
          none={NOTHING_FOUND}
          columns={COLUMNS}
        />
      )}
    </>
  );
}

const NOTHING_FOUND =
  "No line found. A forwarder sends its splunkd.log on: open the search where events are searched, or read var/log/splunk/splunkd.log on this host.";

const COLUMNS: readonly (readonly [string, (line: LogLine) => ReactElement | string])[] = [
  ["Time", ({ atMs }) => new Date(atMs).toLocaleString()],
  ["Level", ({ level }) => (level === "INFO" ? level : <strong style={{ whiteSpace: "nowrap" }}>{level}</strong>)],
  ["Customer", ({ customer }) => customer],
  ["Line", ({ text }) => text],
];
