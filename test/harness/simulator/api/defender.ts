import { sendText } from "../answers.ts";
import type { Exchange } from "../exchange.ts";
import { STREAMS, type StreamFacts } from "../streams.ts";
import type { Customer } from "../world.ts";
import { markServed, nextLink, readOrRefuse } from "./graph.ts";
import { evaluateList, lookbackOf } from "./lists.ts";
import { type PageCache, sendPage } from "./page.ts";
import { mdeText, plainText } from "./records.ts";
import { defenderVoice } from "./voice.ts";

/** What a path names on the Defender API's hosts, or undefined. */
export function defenderStream(path: string): { facts: StreamFacts; id: string | undefined } | undefined {
  const match = /^\/api(?:\/v1\.0)?\/(alerts|incidents)(?:\/([^/]+))?$/i.exec(path);
  if (match === null) return undefined;
  const [, list = "", id] = match;
  return {
    facts: list.toLowerCase() === "incidents" ? STREAMS["xdr-incidents"] : STREAMS["mde-alerts"],
    id: id === undefined ? undefined : decodeURIComponent(id),
  };
}

const JSON_TYPE = "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8";

/** Answers a list of Defender for Endpoint alerts or Defender XDR incidents. */
export async function answerDefenderList(
  exchange: Exchange,
  customer: Customer,
  facts: StreamFacts,
  cache: PageCache,
): Promise<void> {
  const table = customer.tables[facts.name];
  const regime = customer.regimes[facts.name];
  const query = readOrRefuse(exchange, defenderVoice, facts, regime);
  if (query === undefined) return;
  table.polled(lookbackOf(facts, query.filter), exchange.nowMs);
  const answer = evaluateList(table, query, regime);
  const text = facts.name === "mde-alerts" ? mdeText(query.expand === "evidence") : plainText;
  markServed(exchange, answer.rows, table, text);
  // Reported of the alerts list: with an explicit $top there is never a link.
  const linked = answer.next !== undefined && regime.links && !exchange.url.searchParams.has("$top");
  const link = linked ? `,"@odata.nextLink":${JSON.stringify(nextLink(exchange, answer.next ?? ""))}` : "";
  const head = `{"@odata.context":${JSON.stringify(facts.context)}${query.count ? `,"@odata.count":${answer.matching}` : ""}${link},"value":[`;
  await sendPage(
    exchange,
    {
      customer,
      table,
      answer,
      head,
      status: 200,
      headers: { "content-type": JSON_TYPE, "odata-version": "4.0" },
      variant: query.expand ?? "",
      text,
    },
    cache,
  );
}

/** Answers one alert (always with its evidence) or incident, or 404. */
export function answerDefenderOne(exchange: Exchange, customer: Customer, facts: StreamFacts, id: string): void {
  const table = customer.tables[facts.name];
  const version = table.find(id);
  if (version === undefined) {
    defenderVoice.failed(
      exchange,
      404,
      "ResourceNotFound",
      `${facts.kind === "alert" ? "Alert" : "Incident"} ${id} was not found`,
    );
    return;
  }
  markServed(exchange, [version], table, plainText);
  sendText(
    exchange,
    200,
    JSON_TYPE,
    `{"@odata.context":${JSON.stringify(`${facts.context}/$entity`)},${version.text().slice(1)}`,
  );
}
