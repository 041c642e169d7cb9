import { readFileSync } from "node:fs";
import { readVersion } from "../simulator/records.ts";
import type { Control } from "../simulator/start.ts";
import { STREAMS, type StreamName } from "../simulator/streams.ts";

/**
 * What the customers' lists hold while an older release runs, is killed, and a newer one takes over. The
 * simulator's clock stands still at these instants, so the result does not depend on the day of the test.
 * They are a year old, so that a machine whose own clock is behind accepts them too.
 */
export const STORY = {
  customers: ["contoso", "fabrikam", "tailspin"],
  /** The older release collects its first history and stops normally. */
  beginsAt: "2025-11-28T08:00:00Z",
  /** More has happened. The older release is killed while it collects that. */
  killedAt: "2025-11-28T08:15:00Z",
  /** The newer release starts. */
  upgradedAt: "2025-11-28T08:25:00Z",
  /** The setting `start`. It is so early that only a poll without a checkpoint looks back to it. */
  start: "2025-11-01T00:00:00Z",
  /** No record of the story was changed before this. */
  oldestRecordAt: "2025-11-24T00:00:00Z",
} as const;

/** Small pages, so that a kill finds a walk of several pages under way. */
const PAGE_MAX = 4;
const STREAM_NAMES: readonly StreamName[] = ["alerts", "incidents"];
/** So many streams complete a walk before a run has seen everything. */
export const STREAMS_IN_ALL = STORY.customers.length * STREAM_NAMES.length;

/** The simulator's scenario for a run that begins at `start`; the versions are added by `addVersions`. */
export function scenarioFrom(start: string): object {
  return {
    name: "upgrade",
    story: "Three customers while one release replaces another.",
    start,
    customers: STORY.customers.map((name) => ({ name, page_max: PAGE_MAX })),
  };
}

/** One version of one record, as Microsoft's answer holds it. */
export interface StoryVersion {
  readonly customer: string;
  readonly stream: StreamName;
  /** When a poll can see it first; undefined: from the beginning. */
  readonly visibleAt?: string;
  readonly record: string;
}

export function addVersions(control: Control, versions: readonly StoryVersion[]): void {
  for (const { customer, stream, visibleAt, record } of versions) {
    const version = readVersion(STREAMS[stream], record, visibleAt === undefined ? undefined : Date.parse(visibleAt));
    if (typeof version === "string") throw new Error(`a version of ${customer} ${version}: ${record}`);
    control.world.addVersion(control.world.addCustomer(customer), stream, version);
  }
}

/** The versions of a file in the form of the simulator's `/shown`, byte for byte. */
export function readShown(file: string, control: Control): readonly StoryVersion[] {
  const names = new Map(
    [...control.world.customers.values()].map(({ identity }) => [identity.tenantId, identity.name]),
  );
  return linesOf(readFileSync(file, "utf8")).map((line) => {
    const { tenant_id, stream } = JSON.parse(line) as { tenant_id: string; stream: StreamName };
    const record = line.slice(line.indexOf('"record":') + '"record":'.length, -1);
    return { customer: names.get(tenant_id) ?? tenant_id, stream, record };
  });
}

/** Two files of shown versions as one, each version once, in the order in which they became visible. */
export function joinedShown(...texts: readonly string[]): string {
  const versions = new Map<string, string>();
  for (const line of texts.flatMap(linesOf)) {
    const { tenant_id, stream, id, updated } = JSON.parse(line) as Record<string, string>;
    const version = [tenant_id, stream, id, updated].join(" ");
    if (!versions.has(version)) versions.set(version, line);
  }
  return [...versions.values()].map((line) => `${line}\n`).join("");
}

const linesOf = (text: string): string[] => text.split("\n").filter((line) => line !== "");

/** What the older release meets: a history, and what happens between its two runs. */
export function olderVersions(tenantIdOf: (customer: string) => string): readonly StoryVersion[] {
  return STORY.customers.flatMap((customer, n) => {
    const tenantId = tenantIdOf(customer);
    const alert = (i: number, updated: string, status = "new", visibleAt?: string): StoryVersion => ({
      customer,
      stream: "alerts",
      ...(visibleAt === undefined ? {} : { visibleAt }),
      record: alertRecord(tenantId, n, i, updated, status),
    });
    const incident = (i: number, updated: string, status = "active", visibleAt?: string): StoryVersion => ({
      customer,
      stream: "incidents",
      ...(visibleAt === undefined ? {} : { visibleAt }),
      record: incidentRecord(tenantId, n, i, updated, status),
    });
    const later = (minute: number): string =>
      `2025-11-28T08:${String(minute).padStart(2, "0")}:07.${n}133${minute % 10}1Z`;
    const meanwhile = STORY.killedAt;
    return [
      ...range(0, 10).map((i) => alert(i, `2025-11-2${5 + (i % 3)}T0${i}:1${n}:29.${i}66666${n}Z`)),
      ...range(0, 4).map((i) => incident(i, `2025-11-27T1${i}:4${n}:01.${i}5Z`)),
      ...range(10, 19).map((i) => alert(i, later(i - 9), "new", meanwhile)),
      ...range(0, 3).map((i) => alert(i, later(i + 10), "inProgress", meanwhile)),
      ...range(4, 6).map((i) => incident(i, later(i), "active", meanwhile)),
      incident(0, later(12), "resolved", meanwhile),
    ];
  });
}

/**
 * What has happened when the newer release starts: objects that the older one knows have changed, one is new.
 */
export function newerVersions(tenantIdOf: (customer: string) => string): readonly StoryVersion[] {
  return STORY.customers.flatMap((customer, n) => {
    const tenantId = tenantIdOf(customer);
    const updated = (minute: number): string => `2025-11-28T08:${minute}:31.${n}4Z`;
    return [
      { customer, stream: "alerts", record: alertRecord(tenantId, n, 1, updated(18), "resolved") },
      { customer, stream: "alerts", record: alertRecord(tenantId, n, 12, updated(19), "inProgress") },
      { customer, stream: "alerts", record: alertRecord(tenantId, n, 30, updated(20), "new") },
      { customer, stream: "incidents", record: incidentRecord(tenantId, n, 1, updated(21), "resolved") },
    ] satisfies readonly StoryVersion[];
  });
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** It holds what JSON readers get wrong: digits that a double cannot hold, escapes, letters beyond ASCII. */
function alertRecord(tenantId: string, customer: number, i: number, updated: string, status: string): string {
  const id = `da63799${customer}${String(i).padStart(4, "0")}_-10${i}`;
  return (
    `{"@odata.type":"#microsoft.graph.security.alert","id":"${id}","incidentId":"${customer}${i % 4}",` +
    `"status":"${status}","severity":"${["low", "medium", "high"][i % 3]}",` +
    `"serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","tenantId":"${tenantId}",` +
    `"title":"Suspicious \\"Größe\\" ${i} \\u2014 caf\\u00e9","category":"Malware","rank":1234567890123456789.${i}0,` +
    `"createdDateTime":"${i === 30 ? updated : createdOf(i)}","lastUpdateDateTime":"${updated}",` +
    `"evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence",` +
    `"deviceDnsName":"host-${i}.example.com","roles":[]}]}`
  );
}

const createdOf = (i: number): string => (i < 10 ? `2025-11-24T0${i}:00:00Z` : `2025-11-28T08:00:${i}Z`);

function incidentRecord(tenantId: string, customer: number, i: number, updated: string, status: string): string {
  return (
    `{"id":"${customer}${i}","tenantId":"${tenantId}","status":"${status}","severity":"medium",` +
    `"displayName":"Incident ${i} of several stages",` +
    `"createdDateTime":"2025-11-${i < 4 ? "26" : "28"}T08:00:0${i}Z","lastUpdateDateTime":"${updated}",` +
    `"incidentWebUrl":"https://security.microsoft.com/incidents/${customer}${i}?tid=${tenantId}"}`
  );
}
