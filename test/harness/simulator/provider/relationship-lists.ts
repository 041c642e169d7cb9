import { sendText } from "../answers.ts";
import { type Access, admit } from "../api/access.ts";
import { nextLink } from "../api/graph.ts";
import { graphVoice, type Voice } from "../api/voice.ts";
import { permissionId } from "../entra/resources.ts";
import type { TokenShop } from "../entra/tokens.ts";
import type { Exchange } from "../exchange.ts";
import { guid } from "../identity.ts";
import { textOfTicks, ticksOfMs } from "../instant.ts";
import { parseFilter, parseOrder, passes, pathsOf, QueryRefused, type Row } from "../odata.ts";
import type { Customer, World } from "../world.ts";
import { endAt, isInForce, type Provider, READER_ROLES, type Relationship, statusAt } from "./provider.ts";
import { roleName } from "./roles.ts";

/** Entra's directory words its refusals in its own way. */
const directoryVoice: Voice = {
  ...graphVoice,
  forbidden: (exchange) =>
    graphVoice.failed(
      exchange,
      403,
      "Authorization_RequestDenied",
      "Insufficient privileges to complete the operation.",
    ),
};

interface ListFacts {
  readonly target: "relationships" | "governance";
  readonly roles: readonly string[];
  /** What `$filter` and `$orderby` may name. */
  readonly members: readonly string[];
  readonly options: readonly string[];
  readonly pageMax: number;
  /** How the answer begins: Microsoft's samples have a context for GDAP and none for governance. */
  readonly head: string;
  readonly type: string;
  rows(provider: Provider, nowMs: number): Row[];
}

const GDAP_RIGHTS = ["DelegatedAdminRelationship.Read.All", "DelegatedAdminRelationship.ReadWrite.All"];
const contextOf = (list: string): string =>
  `"@odata.context":"https://graph.microsoft.com/v1.0/tenantRelationships/$metadata#${list}",`;

/**
 * The provider's three lists. Sources: Microsoft Graph docs, "List delegatedAdminRelationships", "List
 * delegatedAdminCustomers", "List governanceRelationships".
 */
const LISTS: Readonly<Record<string, ListFacts>> = {
  "tenantRelationships/delegatedAdminRelationships": {
    target: "relationships",
    roles: GDAP_RIGHTS,
    members: [
      "id",
      "displayName",
      "duration",
      "customer",
      "customer/tenantId",
      "customer/displayName",
      "accessDetails",
      "status",
      "autoExtendDuration",
      "createdDateTime",
      "lastModifiedDateTime",
      "activatedDateTime",
      "endDateTime",
    ],
    options: ["$select", "$filter", "$top", "$orderby", "$count", "$skiptoken"],
    pageMax: 300,
    head: contextOf("delegatedAdminRelationships"),
    type: "microsoft.graph.delegatedAdminRelationship",
    rows: (provider, nowMs) => listed(provider, "gdap").map((one) => gdapRow(one, nowMs)),
  },
  "tenantRelationships/delegatedAdminCustomers": {
    target: "relationships",
    roles: GDAP_RIGHTS,
    members: ["id", "tenantId", "displayName"],
    options: ["$select", "$filter", "$top", "$orderby", "$count", "$skiptoken"],
    pageMax: 300,
    head: contextOf("delegatedAdminCustomers"),
    type: "microsoft.graph.delegatedAdminCustomer",
    rows: (provider, nowMs) => {
      const active = listed(provider, "gdap").filter((one) => isInForce(one, nowMs));
      return [...new Set(active.map(({ customer }) => customer))].map(customerRow);
    },
  },
  "directory/tenantGovernance/governanceRelationships": {
    target: "governance",
    roles: ["TenantGovernance-Relationship.Read.All", "TenantGovernance-Relationship.ReadWrite.All"],
    members: [
      "createdType",
      "creationDateTime",
      "governedTenantId",
      "governedTenantName",
      "governingTenantId",
      "governingTenantName",
      "id",
      "status",
    ],
    options: ["$filter", "$orderby", "$top", "$skip", "$skiptoken"],
    pageMax: 100,
    head: "",
    type: "microsoft.graph.governanceRelationship",
    rows: (provider, nowMs) => listed(provider, "governance").map((one) => governanceRow(one, provider, nowMs)),
  },
};

const listed = (provider: Provider, kind: Relationship["kind"]): Relationship[] =>
  provider.relationships.filter((one) => one.kind === kind && one.listed);

/** The list that a Graph path names, where the scenario has a provider. */
export const relationshipList = (world: World, path: string): ListFacts | undefined => {
  const name = path.replace(/^\/v1\.0\//, "");
  return world.provider !== undefined && Object.hasOwn(LISTS, name) ? LISTS[name] : undefined;
};

/** Answers one page of a list. Only the home app in the home tenant has the permission. */
export function answerRelationships(exchange: Exchange, list: ListFacts, world: World, tokens: TokenShop): void {
  const access: Access = {
    api: "graph",
    budget: "graph",
    target: list.target,
    rights: { roles: list.roles, scopes: list.roles },
    voice: directoryVoice,
  };
  const { provider } = world;
  if (provider === undefined || admit(exchange, access, world, tokens) === undefined) return;
  if (list.target === "governance" && provider.governance !== "available") {
    refuseGovernance(exchange, provider.governance);
    return;
  }
  try {
    sendRows(exchange, list, list.rows(provider, exchange.nowMs), provider.pageMax);
  } catch (error) {
    if (!(error instanceof QueryRefused)) throw error;
    graphVoice.badQuery(exchange, error.message);
  }
}

function refuseGovernance(exchange: Exchange, why: "absent" | "unlicensed"): void {
  if (why === "absent")
    graphVoice.failed(exchange, 404, "UnknownError", "Resource not found for the segment 'tenantGovernance'.");
  else
    graphVoice.failed(
      exchange,
      400,
      "BadRequest",
      "The tenant does not have the license that Tenant Governance requires.",
    );
}

function sendRows(exchange: Exchange, list: ListFacts, rows: Row[], pageMax: number | undefined): void {
  const search = exchange.url.searchParams;
  for (const name of search.keys())
    if (name.startsWith("$") && !list.options.includes(name))
      throw new QueryRefused(`The query parameter '${name}' is not supported.`);
  const matching = ordered(list, filtered(list, rows, search.get("$filter")), search.get("$orderby"));
  const start = startOf(search, matching);
  const top = Math.min(numberIn(search, "$top") ?? list.pageMax, list.pageMax, pageMax ?? list.pageMax);
  const page = matching.slice(start, start + top);
  const last = page.at(-1);
  const next =
    last === undefined || start + page.length >= matching.length
      ? ""
      : `"@odata.nextLink":${JSON.stringify(nextLink(exchange, tokenAfter(last)))},`;
  const count = search.get("$count") === "true" ? `"@odata.count":${matching.length},` : "";
  const select = selectOf(list, search.get("$select"));
  sendText(
    exchange,
    200,
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
    `{${list.head}${count}${next}"value":${JSON.stringify(page.map(select))}}`,
    { "odata-version": "4.0" },
  );
}

function known(list: ListFacts, path: string): string {
  if (list.members.includes(path)) return path;
  throw new QueryRefused(`Could not find a property named '${path}' on type '${list.type}'.`);
}

function filtered(list: ListFacts, rows: Row[], text: string | null): Row[] {
  if (text === null || text === "") return rows;
  const filter = parseFilter(text);
  for (const path of pathsOf(filter)) known(list, path);
  return rows.filter((row) => passes(filter, row));
}

function ordered(list: ListFacts, rows: Row[], text: string | null): Row[] {
  if (text === null || text === "") return rows;
  const [order] = parseOrder(text);
  if (order === undefined) return rows;
  const path = known(list, order.path);
  const way = order.descending ? -1 : 1;
  return rows.toSorted((a, b) => (String(a[path]) < String(b[path]) ? -way : way));
}

const tokenAfter = (row: Row): string => Buffer.from(JSON.stringify(["after", row["id"]])).toString("base64url");

/** A row that has gone since the last page takes the place with it, as a list that is read in parts may. */
function startOf(search: URLSearchParams, rows: readonly Row[]): number {
  const token = search.get("$skiptoken");
  if (token === null) return numberIn(search, "$skip") ?? 0;
  let id: unknown;
  try {
    [, id] = JSON.parse(Buffer.from(token, "base64url").toString()) as [string, unknown];
  } catch {
    throw new QueryRefused("Skip token is invalid.");
  }
  return rows.findIndex((row) => row["id"] === id) + 1;
}

function numberIn(search: URLSearchParams, name: string): number | undefined {
  const text = search.get(name);
  if (text === null) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new QueryRefused(`Invalid value '${text}' for ${name} query option found.`);
  return Number(text);
}

/** `$select` leaves the annotations in. */
function selectOf(list: ListFacts, text: string | null): (row: Row) => Row {
  if (text === null || text === "") return (row) => row;
  const wanted = new Set(text.split(",").map((name) => known(list, name.trim())));
  return (row) => Object.fromEntries(Object.entries(row).filter(([name]) => name.startsWith("@") || wanted.has(name)));
}

const etagOf = (label: string): string => `W/"${Buffer.from(guid("etag", label)).toString("base64")}"`;
const textOf = (ms: number): string => textOfTicks(ticksOfMs(ms));
const GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000";
const DAY_MS = 86_400_000;
/** Until the customer has approved, nobody knows who it will be, and no time runs. */
const NOT_YET = new Set(["created", "approvalPending"]);

function gdapRow(relationship: Relationship, nowMs: number): Row {
  const { id, name, customer, roles, autoExtend, createdMs, modifiedMs, endMs } = relationship;
  const status = statusAt(relationship, nowMs);
  const isOpen = NOT_YET.has(status);
  return {
    "@odata.type": "#microsoft.graph.delegatedAdminRelationship",
    "@odata.etag": etagOf(`${id} ${modifiedMs}`),
    id,
    displayName: name,
    duration: `P${Math.max(1, Math.ceil((endMs - createdMs) / DAY_MS))}D`,
    customer: isOpen ? null : { tenantId: customer.identity.tenantId, displayName: customer.displayName },
    accessDetails: { unifiedRoles: roles.map((roleDefinitionId) => ({ roleDefinitionId })) },
    status,
    autoExtendDuration: autoExtend ? "P180D" : "PT0S",
    createdDateTime: textOf(createdMs),
    lastModifiedDateTime: textOf(modifiedMs),
    activatedDateTime: isOpen ? null : textOf(createdMs),
    endDateTime: isOpen ? null : textOf(endAt(relationship, nowMs)),
  };
}

function customerRow(customer: Customer): Row {
  const { tenantId } = customer.identity;
  return {
    "@odata.type": "#microsoft.graph.delegatedAdminCustomer",
    "@odata.etag": etagOf(tenantId),
    id: tenantId,
    tenantId,
    displayName: customer.displayName,
  };
}

/** The documents name the states in lower case, and show them capitalised: `Active`. */
const capitalised = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function governanceRow(relationship: Relationship, provider: Provider, nowMs: number): Row {
  const { id, customer, governsProvider, roles, apps, createdMs, group } = relationship;
  const [governing, governed] = governsProvider ? [customer, provider.home] : [provider.home, customer];
  return {
    "@odata.type": "#microsoft.graph.governanceRelationship",
    createdType: "approvedByAdmin",
    creationDateTime: textOf(createdMs),
    id,
    status: capitalised(statusAt(relationship, nowMs)),
    governingTenantId: governing.identity.tenantId,
    governedTenantId: governed.identity.tenantId,
    governingTenantName: governing.displayName,
    governedTenantName: governed.displayName,
    policySnapshot: {
      policyId: guid("policy", id),
      multiTenantApplicationsToProvision: apps.map((name) => ({
        appId: provider.apps[name].clientId,
        objectId: guid("object", provider.apps[name].clientId),
        displayName: "MSSP collector",
        requiredResourceAccesses: [
          {
            resourceAppId: GRAPH_APP_ID,
            permissions: READER_ROLES.map((role) => ({
              id: permissionId("graph", "role", role),
              name: role,
              type: "role",
            })),
          },
        ],
      })),
      delegatedAdministrationRoleAssignments: [
        {
          roleTemplates: roles.map((role) => ({ id: role, name: roleName(role) ?? role })),
          group: { id: guid("group", group ?? "AdminAgents") },
        },
      ],
    },
  };
}
