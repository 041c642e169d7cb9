import Heading from "@splunk/react-ui/Heading";
import Link from "@splunk/react-ui/Link";
import Message from "@splunk/react-ui/Message";
import { type ReactElement, useCallback, useState } from "react";
import { inheritedSettings, listInputs, RestProblem } from "../rest.ts";
import {
  type CustomerRow,
  countsOf,
  duration,
  expectsNews,
  type Input,
  rowsOf,
  type Status,
} from "../state/customers.ts";
import {
  type DifferenceRow,
  differenceRows,
  isOld,
  isUnheard,
  overviewOf,
  type Reason,
  rosterOf,
  type Throttled,
} from "../state/health.ts";
import { eventsPerHour, lagPoints } from "../state/history.ts";
import { PLOTTED_ROWS } from "../state/paging.ts";
import { STATES_PACE } from "../state/poll-pace.ts";
import { statusRows } from "../states.ts";
import { Listing } from "./listing.tsx";
import { usePolled, useTick } from "./parts.tsx";
import { EventsPlot, LagPlot } from "./plot.tsx";
import { MissingRights } from "./rights.tsx";
import { SEARCH_MS, useHistory } from "./use-history.ts";

const NAMED_MOST = 5;
const NEEDS = ["list_inputs", "search"] as const;

/** How all customers are, and who must act. */
export function HealthPage(): ReactElement {
  const [inputs, setInputs] = useState<readonly Input[]>();
  /** Undefined before they are known: nobody must be told that all is well then. */
  const [known, setStatuses] = useState<readonly Status[]>();
  const [listOfCustomers, setList] = useState<string>();
  const [failure, setFailure] = useState("");
  const load = useCallback(async () => {
    try {
      const inputsNow = await listInputs();
      setInputs(inputsNow);
      const statusesNow = await statusRows();
      setStatuses(statusesNow);
      const listNow = (await inheritedSettings())["discover"] ?? "";
      setList(listNow);
      setFailure("");
      const isExpecting = expectsNews(rowsOf(inputsNow, statusesNow, Date.now()));
      return isExpecting ? undefined : [inputsNow, statusesNow, listNow];
    } catch (error) {
      if (!(error instanceof RestProblem)) throw error;
      setFailure(`States cannot be shown. ${error.message}`);
      return undefined;
    }
  }, []);
  usePolled(load, STATES_PACE);

  const nowMs = Date.now();
  const statuses = known ?? [];
  const rows = rowsOf(inputs ?? [], statuses, nowMs);
  const overview = overviewOf(rows, statuses, nowMs);
  return (
    <>
      <Heading level={1}>Health</Heading>
      <div aria-live="polite">
        <MissingRights needs={NEEDS} />
        {failure !== "" && <Message type="error">{failure}</Message>}
        {failure === "" && inputs === undefined && <p>Loading the states from splunkd</p>}
        {inputs?.length === 0 && <Message type="info">No customer yet.</Message>}
        {known !== undefined && isUnheard(overview, rows) && (
          <Message type="warning">
            No input has reported yet. A new input reports within minutes. If none does, look into splunkd.log on the
            host of the inputs.
          </Message>
        )}
        {isOld(overview) && (
          <Message type="warning">
            No input has reported for {duration((overview.newestAgeMs ?? 0) / 1000)}. Inputs report at each change and
            hourly; what you see here is that old.
          </Message>
        )}
      </div>
      {inputs !== undefined && known !== undefined && (
        <>
          <p data-test="counts">
            {rows.length} customers
            {countsOf(rows)
              .map(([state, customers]) => ` · ${customers} ${state}`)
              .join("")}
          </p>
          <Section title="Who must act">
            <Listing
              name="reasons"
              rows={overview.reasons}
              keyOf={({ actor, failure: code }) => `${actor} ${code}`}
              none="Nobody has to act."
              columns={REASON_COLUMNS}
            />
          </Section>
          <Section title="Silent for two hours">
            <Listing
              name="silent customers"
              rows={overview.silent}
              keyOf={({ name }) => name}
              none="No enabled input has stopped reporting."
              columns={[
                ["Customer", customerLink],
                ["Last report", ({ reportedMs }) => `${duration((nowMs - (reportedMs ?? 0)) / 1000)} ago`],
                ["What to do", ({ nextStep }) => nextStep],
              ]}
            />
          </Section>
          <Section title="No report yet">
            <Listing
              name="customers without a report"
              rows={overview.unreported}
              keyOf={({ name }) => name}
              none="No enabled input is without a report while others report."
              columns={[
                ["Customer", customerLink],
                ["What is wrong", ({ say }) => say],
                ["What to do", ({ nextStep }) => nextStep],
              ]}
            />
          </Section>
          <Section title="Throttled by Microsoft">
            <Listing
              name="throttled customers"
              rows={overview.throttled}
              keyOf={({ name }) => name}
              none="No customer is throttled."
              columns={THROTTLED_COLUMNS}
            />
          </Section>
          <Section title="Secrets that end within 30 days">
            <Listing
              name="ending secrets"
              rows={overview.expiring}
              keyOf={({ name }) => name}
              none="No secret of a known date ends within 30 days."
              columns={[
                ["Customer", customerLink],
                ["Ends in", ({ daysLeft }) => `${daysLeft} days`],
              ]}
            />
          </Section>
          <Plots rows={rows} statuses={statuses} />
          <Roster rows={rows} statuses={statuses} isListed={(listOfCustomers ?? "") !== ""} nowMs={nowMs} />
        </>
      )}
    </>
  );
}

function Section({ title, children }: { readonly title: string; readonly children: ReactElement }): ReactElement {
  return (
    <section aria-label={title} style={{ marginTop: 24 }}>
      <Heading level={2} style={{ marginBottom: 8 }}>
        {title}
      </Heading>
      {children}
    </section>
  );
}

function customerLink({ name, tenant }: { readonly name: string; readonly tenant: string }): ReactElement {
  return <Link to={`#/customer/${encodeURIComponent(name)}`}>{tenant}</Link>;
}

const REASON_COLUMNS: readonly (readonly [string, (reason: Reason) => ReactElement | string])[] = [
  ["Who must act", ({ actor }) => <strong>{actor}</strong>],
  [
    "What is wrong",
    ({ meaning, action }) => (
      <div>
        {meaning}
        <div>{action}</div>
      </div>
    ),
  ],
  [
    "Customers",
    ({ customers }) => (
      <div>
        {customers.length}:{" "}
        {customers.slice(0, NAMED_MOST).map((name, at) => (
          <span key={name}>
            {at > 0 && ", "}
            {customerLink({ name, tenant: name })}
          </span>
        ))}
        {customers.length > NAMED_MOST && ` and ${customers.length - NAMED_MOST} more`}
      </div>
    ),
  ],
];

const THROTTLED_COLUMNS: readonly (readonly [string, (row: Throttled) => ReactElement | string])[] = [
  ["Customer", customerLink],
  ["Streams", ({ streams }) => streams],
  ["Asked again at", ({ retryAt }) => (retryAt === undefined ? "soon" : new Date(retryAt).toLocaleString())],
];

interface PlotsProps {
  readonly rows: readonly CustomerRow[];
  readonly statuses: readonly Status[];
}

/** Lag and events, the largest lag first. */
function Plots({ rows, statuses }: PlotsProps): ReactElement {
  const [page, setPage] = useState(1);
  // The order stays for a while: another one shows other customers, and each search costs.
  const [order, setOrder] = useState<ReadonlyMap<string, number>>(new Map());
  const [ordered, setOrdered] = useState("");
  const tick = useTick(SEARCH_MS);
  const enabled = rows.filter(({ isDisabled }) => !isDisabled);
  const due = `${tick} ${enabled.length} ${statuses.length > 0}`;
  if (due !== ordered) {
    const byLag = enabled.toSorted((a, b) => (b.lagS ?? -1) - (a.lagS ?? -1) || a.name.localeCompare(b.name));
    setOrder(new Map(byLag.map(({ name }, at) => [name, at])));
    setOrdered(due);
  }
  const sorted = enabled.toSorted((a, b) => (order.get(a.name) ?? Infinity) - (order.get(b.name) ?? Infinity));
  const shown = sorted.slice((page - 1) * PLOTTED_ROWS, page * PLOTTED_ROWS).map(({ name }) => name);
  const { moments, note } = useHistory(shown.toSorted());
  const nowMs = Date.now();
  const of = (name: string) => moments.filter(({ input }) => input === name);
  const since = new Map(
    statuses.map(({ input, streams }) => [input, streams.reduce((sum, one) => sum + one.new + one.updated, 0)]),
  );
  return (
    <Section title="Lag and events, last 24 hours">
      <>
        {note !== "" && <Message type="info">{note}</Message>}
        <Listing
          name="lag and events"
          rows={sorted}
          keyOf={({ name }) => name}
          most={PLOTTED_ROWS}
          onShown={setPage}
          none="No input is enabled."
          columns={[
            ["Customer", customerLink],
            ["Lag at the last report", ({ lagS }) => (lagS === undefined ? "–" : duration(lagS))],
            [
              "Lag",
              ({ name, tenant, lagS }) => {
                const points = lagPoints(of(name), nowMs);
                if (points.length > 0) return <LagPlot of={tenant} points={points} />;
                return lagS === undefined ? "–" : <LagPlot of={tenant} points={[{ at: 1, value: lagS }]} />;
              },
            ],
            [
              "Events",
              ({ name, tenant }) =>
                of(name).length === 0 ? (
                  `${since.get(name) ?? 0} in the last report`
                ) : (
                  <EventsPlot of={tenant} hours={eventsPerHour(of(name), nowMs)} />
                ),
            ],
          ]}
        />
      </>
    </Section>
  );
}

interface RosterProps {
  readonly rows: readonly CustomerRow[];
  readonly statuses: readonly Status[];
  readonly isListed: boolean;
  readonly nowMs: number;
}

/** The list of customers against reality. */
function Roster({ rows, statuses, isListed, nowMs }: RosterProps): ReactElement {
  const found = rosterOf(statuses, nowMs);
  return (
    <Section title="List of customers against reality">
      {!isListed ? (
        <p>
          No list of customers is read. Set it on <Link to="#/settings">Settings</Link> to see who is missing.
        </p>
      ) : found === undefined || found.isOld ? (
        <p>
          No difference has been reported
          {found === undefined ? "" : ` since ${new Date(found.comparedMs).toLocaleString()}`}. The list is compared
          every five minutes.
        </p>
      ) : (
        <>
          <p>
            {found.report.under_contract} under contract · {found.report.configured} configured ·{" "}
            {found.report.consented} consented · {found.report.collected} collected · {found.report.silent} silent
          </p>
          <p style={{ overflowWrap: "anywhere" }}>
            {found.report.say} {found.report.next_step}
          </p>
          <Listing
            name="differences"
            rows={differenceRows(found.report, rows, statuses)}
            keyOf={({ tenant, tenant_id: id, difference }) => `${id} ${tenant} ${difference}`}
            none="The customers are as the list says."
            columns={DIFFERENCE_COLUMNS}
          />
        </>
      )}
    </Section>
  );
}

const DIFFERENCE_COLUMNS: readonly (readonly [string, (row: DifferenceRow) => ReactElement | string])[] = [
  ["Customer", ({ name, tenant }) => (name === undefined ? tenant : customerLink({ name, tenant }))],
  ["Difference", ({ difference }) => difference],
  ["Who must act", ({ actor }) => <strong>{actor}</strong>],
  ["What to do", ({ action }) => action],
  ["Tenant ID", ({ tenant_id: id }) => id],
];
