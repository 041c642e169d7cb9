import { sendText } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { unreadable } from "../faults.ts";
import { QueryRefused } from "../odata.ts";
import type { Table, Version } from "../records.ts";
import { STREAMS, type StreamFacts } from "../streams.ts";
import type { Customer, Regime } from "../world.ts";
import { evaluateList, type ListQuery, lookbackOf, readListQuery } from "./lists.ts";
import { type PageCache, sendPage } from "./page.ts";
import { alertCount, graphText } from "./records.ts";
import { graphVoice, type Voice } from "./voice.ts";

/** What a Graph path names below `/v1.0`, or undefined. */
export function graphStream(
  path: string,
): { facts: StreamFacts; id: string | undefined; children: boolean } | undefined {
  const match = /^\/(?:v1\.0|beta)\/security\/(alerts_v2|incidents)(?:\/([^/]+))?(\/alerts)?$/i.exec(path);
  if (match === null) return undefined;
  const [, list = "", id, children] = match;
  if (children !== undefined && (list.toLowerCase() !== "incidents" || id === undefined)) return undefined;
  return {
    facts: list.toLowerCase() === "incidents" ? STREAMS.incidents : STREAMS.alerts,
    id: id === undefined ? undefined : decodeURIComponent(id),
    children: children !== undefined,
  };
}

const JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

const isUnmasked = (exchange: Exchange): boolean =>
  /include-unknown-enum-members/i.test(String(exchange.request.headers.prefer ?? ""));

/** Answers a list of alerts or incidents. */
export async function answerGraphList(
  exchange: Exchange,
  customer: Customer,
  facts: StreamFacts,
  cache: PageCache,
): Promise<void> {
  const table = customer.tables[facts.name];
  const regime = customer.regimes[facts.name];
  const query = readOrRefuse(exchange, graphVoice, facts, regime);
  if (query === undefined) return;
  table.polled(lookbackOf(facts, query.filter), exchange.nowMs);
  const answer = evaluateList(table, query, regime);
  const expand = query.expand === "alerts";
  if (expand && answer.rows.some((row) => alertCount(customer, row) > customer.expandMaxAlerts)) {
    // Reported by other connectors: it fails for as long as such an incident is on the page, whatever $top
    // is.
    return graphVoice.failed(exchange, 500, undefined, undefined);
  }
  const unmasked = isUnmasked(exchange);
  const text = graphText(customer, facts, { unmasked, expand });
  markServed(exchange, answer.rows, table, text);
  const link = answer.next === undefined || !regime.links ? undefined : nextLink(exchange, answer.next);
  const head = `{"@odata.context":${JSON.stringify(facts.context)}${query.count ? `,"@odata.count":${answer.matching}` : ""}${link === undefined ? "" : `,"@odata.nextLink":${JSON.stringify(link)}`},"value":[`;
  const headers = {
    "content-type": JSON_TYPE,
    "odata-version": "4.0",
    ...(unmasked ? { "preference-applied": "include-unknown-enum-members" } : {}),
  };
  await sendPage(
    exchange,
    { customer, table, answer, head, status: 200, headers, variant: `${unmasked} ${query.expand ?? ""}`, text },
    cache,
  );
}

/** Reads the query, or answers 400 in the API's voice. */
export function readOrRefuse(
  exchange: Exchange,
  voice: Voice,
  facts: StreamFacts,
  regime: Regime,
): ListQuery | undefined {
  try {
    return readListQuery(facts, exchange.url.searchParams, regime.unknown_members);
  } catch (error) {
    if (!(error instanceof QueryRefused)) throw error;
    voice.badQuery(exchange, error.message);
    return undefined;
  }
}

/** Notes that rows went out, unless a fault makes the answer unreadable. */
export function markServed(
  exchange: Exchange,
  rows: readonly Version[],
  table: Table,
  sentAs: (version: Version) => string,
): void {
  if (unreadable(exchange.damage)) return;
  for (const row of rows) table.served(row, exchange.nowMs, sentAs);
}

/** Answers one alert or incident, or 404. */
export function answerGraphOne(exchange: Exchange, customer: Customer, facts: StreamFacts, id: string): void {
  const table = customer.tables[facts.name];
  const version = table.find(id);
  if (version === undefined) {
    graphVoice.failed(exchange, 404, undefined, `Requested resource not found: ${facts.kind} '${id}'.`);
    return;
  }
  const text = graphText(customer, facts, {
    unmasked: isUnmasked(exchange),
    expand: exchange.url.searchParams.get("$expand") === "alerts",
  });
  markServed(exchange, [version], table, text);
  const record = text(version);
  sendText(
    exchange,
    200,
    JSON_TYPE,
    `{"@odata.context":${JSON.stringify(`${facts.context}/$entity`)},${record.slice(1)}`,
    {
      "odata-version": "4.0",
    },
  );
}

/** The alerts of one incident: those of the alerts list that name it. */
export function answerGraphChildren(exchange: Exchange, customer: Customer, id: string): void {
  if (customer.tables.incidents.find(id) === undefined) {
    graphVoice.failed(exchange, 404, undefined, `Requested resource not found: incident '${id}'.`);
    return;
  }
  const text = graphText(customer, STREAMS.alerts, { unmasked: isUnmasked(exchange), expand: false });
  const alerts = customer.tables.alerts.visible().filter((version) => version.row()["incidentId"] === id);
  const body = `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#security/incidents('${id}')/alerts","value":[${alerts.map(text).join(",")}]}`;
  sendText(exchange, 200, JSON_TYPE, body, { "odata-version": "4.0" });
}

/** The tenant itself, as far as a check of "which tenant is this" needs it. */
export function answerOrganization(exchange: Exchange, { identity, displayName }: Customer): void {
  const organization = {
    id: identity.tenantId,
    displayName,
    verifiedDomains: [{ name: identity.domain, isDefault: true, isInitial: true }],
  };
  sendText(
    exchange,
    200,
    JSON_TYPE,
    JSON.stringify({
      "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#organization",
      value: [organization],
    }),
  );
}

/** The link to the next page: the same request with a skip token, whatever `$skip` it had. */
export function nextLink(exchange: Exchange, token: string): string {
  const options = [...exchange.url.searchParams].filter(([name]) => name !== "$skiptoken" && name !== "$skip");
  const query = [...options, ["$skiptoken", token]]
    .map(([name = "", value = ""]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
  return `${exchange.origin}${exchange.url.pathname}?${query}`;
}
