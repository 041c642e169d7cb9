import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import { type ReactElement, useCallback, useEffect, useState } from "react";
import { WHO_ACTS } from "../../../../src/model/failure-codes.ts";
import { RestProblem } from "../rest.ts";
import { duration, expectsNews, type Status, type StreamStatus } from "../state/customers.ts";
import { spansOf } from "../state/history.ts";
import { STATES_PACE } from "../state/poll-pace.ts";
import { statusRow } from "../states.ts";
import { Listing } from "./listing.tsx";
import { usePolled } from "./parts.tsx";
import { STATE_COLOURS, StateStrip } from "./plot.tsx";
import { useHistory } from "./use-history.ts";

interface CustomerHealthProps {
  readonly name: string;
  /** How often its settings were saved here: the input restarts and reports anew. */
  readonly saves: number;
}

/** How one customer is now, and its last 24 hours. */
export function CustomerHealth({ name, saves }: CustomerHealthProps): ReactElement {
  const [status, setStatus] = useState<Status>();
  const [failure, setFailure] = useState("");
  const [isRead, setRead] = useState(false);
  const load = useCallback(async () => {
    try {
      const statusNow = await statusRow(name);
      setStatus(statusNow);
      setFailure("");
      setRead(true);
      return statusNow !== undefined && expectsNews(statusNow.streams) ? undefined : statusNow;
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      setFailure(`The state cannot be shown. ${error.message}`);
      return undefined;
    }
  }, [name]);
  const loadAgain = usePolled(load, STATES_PACE);
  useEffect(() => {
    if (saves > 0) void loadAgain();
  }, [saves, loadAgain]);
  const { moments, note } = useHistory([name]);
  const nowMs = Date.now();
  const streams = status?.streams ?? [];
  const states = [...new Set([...moments, ...streams].map(({ state }) => state))];
  return (
    <section aria-label="State and last 24 hours" style={{ marginBottom: 24 }}>
      <Heading level={2}>State and last 24 hours</Heading>
      <div aria-live="polite">
        {failure !== "" && <Message type="warning">{failure}</Message>}
        {note !== "" && <Message type="info">{note}</Message>}
      </div>
      {status !== undefined && (
        <p>
          Reported {duration(Math.max(0, nowMs - Date.parse(status.time)) / 1000)} ago by version {status.version}.{" "}
          {firstEventSentence(status)}{" "}
          {status.credential_days_left !== null && `Its secret ends in ${status.credential_days_left} days.`}
        </p>
      )}
      {isRead && (
        <Listing
          name="streams"
          rows={streams}
          keyOf={({ stream }) => stream}
          none="This input has not reported yet."
          columns={[
            ["Stream", ({ stream }) => (stream === "*" ? "all" : stream)],
            ["State", ({ state }) => state],
            [
              "Last 24 hours",
              ({ stream }) => <StateStrip of={`${name}, ${stream}`} spans={spansOf(moments, stream, nowMs)} />,
            ],
            ["Lag", ({ lag_s: lagS }) => (lagS === null ? "–" : duration(lagS))],
            ["New", ({ new: count }) => String(count)],
            ["Updated", ({ updated }) => String(updated)],
            ["Who must act", whoActs],
          ]}
        />
      )}
      {moments.length > 0 && (
        <p>
          Colours:{" "}
          {states.map((state) => (
            <span key={state} style={{ marginRight: 12 }}>
              <svg aria-hidden width={12} height={12} style={{ verticalAlign: "-1px", marginRight: 4 }}>
                <rect width={12} height={12} fill={STATE_COLOURS[state] ?? "#8a8f98"} />
              </svg>
              {state}
            </span>
          ))}
        </p>
      )}
      <p>
        <Link to={`#/log/${encodeURIComponent(name)}`}>Log lines of this customer</Link>
      </p>
    </section>
  );
}

function firstEventSentence({ first_event_at: at, first_event_since: since }: Status): string {
  const when = at === null ? "" : new Date(at).toLocaleString();
  if (since === undefined) return at === null ? "No event of this customer yet." : `First event seen at ${when}.`;
  const started = `since the program started at ${new Date(since).toLocaleString()}`;
  return at === null ? `No event of this customer ${started}.` : `First event ${started}: seen at ${when}.`;
}

function whoActs({ actor, say, next_step: nextStep }: StreamStatus): ReactElement | string {
  if (actor === null) return "";
  return (
    <div>
      <strong>{WHO_ACTS[actor]}</strong>
      <div>
        {say} {nextStep}
      </div>
    </div>
  );
}
