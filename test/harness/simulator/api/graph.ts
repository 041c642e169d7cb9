import type { Exchange } from "../exchange.ts";
import { sendJson } from "../exchange.ts";
import type { Grant } from "../entra/tokens.ts";
import { QueryRefused } from "../odata.ts";
import { STREAMS, type StreamFacts } from "../streams.ts";
import type { Customer } from "../world.ts";
import { evaluateList, reachOf, readListQuery, sendPage, type PageCache } from "./lists.ts";
import { graphText } from "./records.ts";

/** An error body as Graph writes it (Microsoft Graph docs, "Microsoft Graph error responses"). */
export function sendGraphError(exchange: Exchange, status: number, code: string, message: string, headers: Record<string, string> = {}): void {
  const inner = { date: new Date(exchange.nowMs).toISOString().slice(0, 19), "request-id": exchange.requestId, "client-request-id": String(exchange.request.headers["client-request-id"] ?? exchange.requestId) };
  sendJson(exchange, status, { error: { code, message, innerError: inner } }, headers);
}

const CHALLENGE = 'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"';

export function sendGraphUnauthorized(exchange: Exchange, reason: "empty" | "malformed" | "expired" | "audience"): void {
  const messages = {
    empty: "Access token is empty.",
    malformed: "IDX14100: JWT is not well formed, there are no dots (.). The token needs to be in JWS or JWE Compact Serialization Format.",
    expired: "Lifetime validation failed, the token is expired.",
    audience: "Access token validation failure. Invalid audience.",
  };
  sendGraphError(exchange, 401, "InvalidAuthenticationToken", messages[reason], { "www-authenticate": CHALLENGE });
}

export function sendGraphForbidden(exchange: Exchange, grant: Grant, facts: { readonly roles: readonly string[]; readonly scopes: readonly string[] }): void {
  const [word, wanted] = grant.appOnly ? ["roles", facts.roles] : ["scopes", facts.scopes];
  sendGraphError(exchange, 403, "Forbidden", `Missing application ${word}. API required ${word}: ${wanted.join(",")}, application ${word}: ${grant.permissions.join(",")}.`);
}

/** What a Graph path names below `/v1.0`, or undefined. */
export function graphStream(path: string): { facts: StreamFacts; id: string | undefined; children: boolean } | undefined {
  const match = /^\/(?:v1\.0|beta)\/security\/(alerts_v2|incidents)(?:\/([^/]+))?(\/alerts)?$/i.exec(path);
  if (match === null) return undefined;
  const [, list = "", id, children] = match;
  if (children !== undefined && list !== "incidents") return undefined;
  return { facts: list.toLowerCase() === "incidents" ? STREAMS.incidents : STREAMS.alerts, id: id === undefined ? undefined : decodeURIComponent(id), children: children !== undefined };
}

const JSON_TYPE = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/** Answers a list of alerts or incidents. */
export async function answerGraphList(exchange: Exchange, customer: Customer, facts: StreamFacts, cache: PageCache): Promise<void> {
  const table = customer.tables[facts.name];
  const query = refusable(exchange, () => readListQuery(facts, exchange.url.searchParams));
  if (query === undefined) return;
  table.polled(reachOf(facts, query.filter), exchange.nowMs);
  const regime = customer.regimes[facts.name];
  const answer = evaluateList(table, query, regime);
  const unmasked = /include-unknown-enum-members/i.test(String(exchange.request.headers.prefer ?? ""));
  const text = graphText(customer, facts, { unmasked, expand: query.expand !== undefined });
  for (const row of answer.rows) {
    if (!row.served) row.masked = !unmasked;
    row.served = true;
  }
  const link = answer.next === undefined || !regime.links ? undefined : nextLink(exchange, answer.next);
  const head = `{"@odata.context":${JSON.stringify(facts.context)}${query.count ? `,"@odata.count":${answer.matching}` : ""}${link === undefined ? "" : `,"@odata.nextLink":${JSON.stringify(link)}`},"value":[`;
  const headers = { "content-type": JSON_TYPE, "odata-version": "4.0", ...(unmasked ? { "preference-applied": "include-unknown-enum-members" } : {}) };
  await sendPage(exchange, { customer, table, answer, head, status: 200, headers, variant: `${unmasked} ${query.expand ?? ""}`, text }, cache);
}

/** Answers one alert or incident, or 404. */
export function answerGraphOne(exchange: Exchange, customer: Customer, facts: StreamFacts, id: string): void {
  const table = customer.tables[facts.name];
  const version = table.find(id);
  if (version === undefined) {
    sendGraphError(exchange, 404, "ResourceNotFound", `Requested resource not found: ${facts.kind} '${id}'.`);
    return;
  }
  const unmasked = /include-unknown-enum-members/i.test(String(exchange.request.headers.prefer ?? ""));
  const record = graphText(customer, facts, { unmasked, expand: exchange.url.searchParams.get("$expand") === "alerts" })(version);
  sendRaw(exchange, `{"@odata.context":${JSON.stringify(`${facts.context}/$entity`)},${record.slice(1)}`);
}

/** The alerts of one incident: those of the alerts list that name it. */
export async function answerGraphChildren(exchange: Exchange, customer: Customer, id: string): Promise<void> {
  if (customer.tables.incidents.find(id) === undefined) {
    sendGraphError(exchange, 404, "ResourceNotFound", `Requested resource not found: incident '${id}'.`);
    return;
  }
  const unmasked = /include-unknown-enum-members/i.test(String(exchange.request.headers.prefer ?? ""));
  const text = graphText(customer, STREAMS.alerts, { unmasked, expand: false });
  const alerts = customer.tables.alerts.visible().filter((version) => version.row()["incidentId"] === id);
  sendRaw(exchange, `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#security/incidents('${id}')/alerts","value":[${alerts.map(text).join(",")}]}`);
}

function sendRaw(exchange: Exchange, text: string): void {
  const raw = Buffer.from(text);
  exchange.response.writeHead(200, { "content-type": JSON_TYPE, "content-length": String(raw.length), date: new Date(exchange.nowMs).toUTCString(), "request-id": exchange.requestId, "odata-version": "4.0" });
  exchange.response.end(raw);
}

/** The link to the next page: the same request with a skip token, whatever `$skip` it had. */
function nextLink(exchange: Exchange, token: string): string {
  const options = [...exchange.url.searchParams].filter(([name]) => name !== "$skiptoken" && name !== "$skip");
  const query = [...options, ["$skiptoken", token]].map(([name = "", value = ""]) => `${name}=${encodeURIComponent(value)}`).join("&");
  return `${exchange.origin}${exchange.url.pathname}?${query}`;
}

function refusable<T>(exchange: Exchange, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof QueryRefused)) throw error;
    sendGraphError(exchange, 400, "BadRequest", error.message);
    return undefined;
  }
}
