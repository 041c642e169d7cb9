import type { Exchange } from "../record/recorder.ts";
import { rewriteLeaves } from "./json-leaves.ts";
import { isKept } from "./kept-paths.ts";
import type { Pseudonyms } from "./pseudonyms.ts";

/** One definition as nock reads it (`nock.define`), with the moment of recording beside it. */
export interface FixtureStep {
  readonly at: string;
  readonly scope: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly response: string;
  readonly reqheaders?: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** Microsoft's own hosts say nothing about a customer; any other is replaced. */
export const PUBLIC_HOSTS = [
  /^login\.microsoftonline\.(com|us)$/,
  /^graph\.microsoft\.(com|us)$/,
  /^dod-graph\.microsoft\.us$/,
  /^([a-z0-9-]+\.)?api(-[a-z]+)?\.security(center)?\.microsoft\.(com|us)$/,
  /^api(-gcc|-gov)?\.security(center)?\.microsoft\.(com|us)$/,
  /^wdatp-alertexporter-(eu|us|uk)\.(securitycenter\.)?windows\.com$/,
];
const PATH_WORDS =
  /^(v1\.0|beta|security|alerts_v2|incidents|alerts|api|oauth2|v2\.0|token|runHuntingQuery|microsoft\.graph\.security\.runHuntingQuery|\.well-known|openid-configuration|discovery|common|organizations|)$/;
const QUERY_NAMES_KEPT = /^(\$filter|\$orderby|\$top|\$skip|\$expand|\$count|api-version|sinceTimeUtc|untilTimeUtc)$/;
const HEADERS_KEPT = new Set(["content-type", "date", "retry-after", "warning", "cache-control"]);

/**
 * Makes one step of a fixture. Bodies that are not JSON are replaced as text; secrets were left out when
 * recording.
 */
export function scrubExchange(exchange: Exchange, names: Pseudonyms): FixtureStep {
  const url = new URL(scrubUrl(exchange.request.url, names));
  return {
    at: exchange.at,
    scope: url.origin,
    method: exchange.request.method,
    path: url.pathname + url.search,
    status: exchange.answer.status,
    response: scrubBody(exchange.answer.body, names),
    headers: Object.fromEntries(Object.entries(exchange.answer.headers).filter(([name]) => HEADERS_KEPT.has(name))),
  };
}

function scrubBody(body: string, names: Pseudonyms): string {
  if (body === "") return "";
  try {
    return rewriteLeaves(body, (path, leaf) => {
      if (isKept(path)) return leaf.text;
      if (/(^|\.)@odata\.(nextLink|context)$/.test(path)) return scrubUrl(leaf.text, names);
      if (/^\[[a-z_]+\]$/.test(leaf.text)) return leaf.text;
      return leaf.kind === "number" ? names.number(leaf.text) : names.text(leaf.text);
    });
  } catch {
    return names.text(body);
  }
}

/** Keeps Microsoft's host, the words of its paths and the query options that carry no names. */
export function scrubUrl(text: string, names: Pseudonyms): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return names.text(text);
  }
  const host = PUBLIC_HOSTS.some((pattern) => pattern.test(url.hostname))
    ? url.host
    : `${names
        .text(url.hostname)
        .toLowerCase()
        .replace(/[^a-z0-9.]/g, "")}.example`;
  const path = url.pathname
    .split("/")
    .map((part) =>
      PATH_WORDS.test(decodeURIComponent(part)) || part.startsWith("$metadata")
        ? part
        : encodeURIComponent(names.text(decodeURIComponent(part))),
    );
  const query = [...url.searchParams]
    .filter(([name]) => name !== "client-request-id")
    .map(
      ([name, value]) =>
        `${encodeURIComponent(name).replaceAll("%24", "$")}=${encodeURIComponent(QUERY_NAMES_KEPT.test(name) ? value : names.text(value))}`,
    );
  const fragment = /^#Collection|^#microsoft\.graph|^#security|^#[A-Za-z]+$/.test(url.hash) ? url.hash : "";
  return `${url.protocol}//${host}${path.join("/")}${query.length > 0 ? `?${query.join("&")}` : ""}${fragment}`;
}
