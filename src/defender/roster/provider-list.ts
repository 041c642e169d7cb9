import type { CustomerListing, DiscoverySource, ListedTenant, Relationship } from "../../model/discovered.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { HttpAnswer } from "../../model/ports.ts";
import { printable } from "../../model/printable.ts";
import { type TenantId, tenantIdFrom } from "../../model/tenant.ts";
import { jsonOf } from "../../net/json-answer.ts";
import { TIME_LIMITS } from "../../net/time-limits.ts";
import { ApiCaller, type ApiCallerParts } from "../api-caller.ts";
import { pageLink } from "../page-link.ts";
import { cleanedName } from "./customer-name.ts";

/** A page of 300 relationships is below 1 MiB. */
const PAGE_MOST_BYTES = 16 * 1024 * 1024;
/** 300 rows a page: more customers than any provider has. A list that never ends is not believed. */
const PAGES_MOST = 1_000;
const ID_MOST = 200;

/** Sources that Microsoft serves; the third one is a file. */
export type ProviderSource = Exclude<DiscoverySource, "file">;

interface ProviderList {
  /** What the home app needs. */
  readonly permission: string;
  readonly firstPage: (base: string, home: TenantId) => string;
  /** Undefined for a row of another provider. Throws `Torn` for a row that cannot be read. */
  readonly read: (row: Row, home: TenantId) => ListedTenant | undefined;
}

type Row = Readonly<Record<string, unknown>>;

/** Sources: Graph docs, "List delegatedAdminRelationships", "governanceRelationship resource type". */
const LISTS: Readonly<Record<ProviderSource, ProviderList>> = {
  gdap: {
    permission: "DelegatedAdminRelationship.Read.All",
    firstPage: (base) =>
      `${base}/v1.0/tenantRelationships/delegatedAdminRelationships?$filter=status%20eq%20'active'&$select=id,displayName,status,customer,accessDetails,autoExtendDuration,endDateTime&$top=300`,
    read(row) {
      const customer = objectIn(row, "customer");
      const roles = objectIn(row, "accessDetails")["unifiedRoles"];
      return {
        tenantId: tenantIn(customer, "tenantId"),
        name: cleanedName(textIn(customer, "displayName")),
        relationships: [
          {
            id: idIn(row),
            name: shown(row["displayName"]),
            status: textIn(row, "status").toLowerCase(),
            roles: (Array.isArray(roles) ? roles : []).map((role) =>
              textIn(objectOf(role), "roleDefinitionId").toLowerCase(),
            ),
            ends: timeIn(row, "endDateTime"),
            auto_extend: typeof row["autoExtendDuration"] === "string" ? shown(row["autoExtendDuration"]) : null,
          },
        ],
      };
    },
  },
  governance: {
    permission: "TenantGovernance-Relationship.Read.All",
    firstPage: (base, home) =>
      `${base}/v1.0/directory/tenantGovernance/governanceRelationships?$filter=governingTenantId%20eq%20'${home}'`,
    read(row, home) {
      if (tenantIn(row, "governingTenantId") !== home) return undefined;
      return {
        tenantId: tenantIn(row, "governedTenantId"),
        name: cleanedName(shown(row["governedTenantName"])),
        // The documents show `Active` and `active`.
        relationships: [
          {
            id: idIn(row),
            name: "",
            status: textIn(row, "status").toLowerCase(),
            roles: rolesOfPolicy(row["policySnapshot"]),
            ends: null,
            auto_extend: null,
          },
        ],
      };
    },
  },
};

/** A governance relationship has the roles of the policy that both tenants accepted. */
function rolesOfPolicy(policy: unknown): readonly string[] {
  const listIn = (value: unknown, member: string): readonly unknown[] => {
    const list = typeof value === "object" && value !== null ? (value as Row)[member] : undefined;
    return Array.isArray(list) ? list : [];
  };
  return listIn(policy, "delegatedAdministrationRoleAssignments")
    .flatMap((assignment) => listIn(assignment, "roleTemplates"))
    .map((role) => textIn(objectOf(role), "id").toLowerCase());
}

/** Relationships that give access now. `expiring`: its end is near, or was asked for. */
const IN_FORCE = new Set(["active", "expiring"]);

export interface ProviderListParts extends Omit<ApiCallerParts, "stanza" | "tenant"> {
  readonly source: ProviderSource;
  /** The provider's own tenant. */
  readonly home: TenantId;
  /** The shared credential that holds the home app. */
  readonly credential: string;
  readonly endpoints: ApiCallerParts["stanza"]["endpoints"];
  readonly route: ApiCallerParts["stanza"]["route"];
}

/**
 * Reads the whole list of the provider's customers, signed in as the home app. A page that cannot be read
 * makes the whole list unusable. Throws Failure `discovery-doubtful`, `discovery-forbidden`,
 * `discovery-unavailable`, or one of the API, the network or the sign-in.
 */
export async function readProviderList(parts: ProviderListParts, signal: AbortSignal): Promise<CustomerListing> {
  const { source, home, credential } = parts;
  const list = LISTS[source];
  const caller = new ApiCaller(
    {
      ...parts,
      stanza: { name: credential, endpoints: parts.endpoints, route: parts.route },
      tenant: { id: home, name: "the home app", cloud: "commercial" },
    },
    "graph",
    [list.permission],
  );
  const tenants = new Map<TenantId, ListedTenant>();
  const asked = new Set<string>();
  let url: string | undefined = list.firstPage(caller.base, home);
  while (url !== undefined) {
    if (asked.has(url)) throw notBelieved("The list of customers leads back to a page that was read already");
    if (asked.size >= PAGES_MOST) throw notBelieved(`The list of customers has more than ${PAGES_MOST} pages`);
    asked.add(url);
    const answer = await askedOf(caller, url, signal, credential);
    if (!answer.isData) throw explained(answer, source, credential);
    const page = await pageOf(answer.answer);
    for (const row of page.rows) {
      const read = rowOf(() => list.read(objectOf(row), home));
      if (read !== undefined) add(tenants, read);
    }
    url = nextOf(page.next, caller.base);
  }
  const inForce = [...tenants.values()].flatMap((tenant): ListedTenant[] => {
    const relationships = tenant.relationships.filter(({ status }) => IN_FORCE.has(status));
    return relationships.length === 0 ? [] : [{ ...tenant, relationships }];
  });
  return { source, tenants: inForce, isComplete: true };
}

/** Rights are the union of all relationships; the first one names the customer. */
function add(tenants: Map<TenantId, ListedTenant>, read: ListedTenant): void {
  const known = tenants.get(read.tenantId);
  if (known === undefined) tenants.set(read.tenantId, read);
  else
    tenants.set(read.tenantId, {
      ...known,
      name: known.name === "" ? read.name : known.name,
      relationships: [...known.relationships, ...read.relationships],
    });
}

async function askedOf(
  caller: ApiCaller,
  url: string,
  signal: AbortSignal,
  credential: string,
): ReturnType<ApiCaller["ask"]> {
  try {
    return await caller.ask({ method: "GET", url, headersTimeoutMs: TIME_LIMITS.headers.ms, signal });
  } catch (error) {
    throw isFailure(error) ? ofHomeApp(error, credential) : error;
  }
}

/** What the sign-in service or the network says, as the reader of a list needs it. */
export function ofHomeApp(failure: Failure, credential: string): Failure {
  const { code, status, retry, area } = failure;
  const isSignIn = area === "sign-in";
  const nextStep =
    isSignIn && (failure.nextStep === "" || failure.nextStep.includes("--customer"))
      ? `Compare the app in your own tenant with what \`defender-mssp register --home-app\` prints, then store it again with its tenant: \`defender-mssp credential set ${JSON.stringify(credential)}\`.`
      : failure.nextStep;
  return new Failure(code, {
    // Nobody but the provider itself can put its own app right.
    actor: failure.actor === "customer" ? "operator" : failure.actor,
    retry,
    say: isSignIn
      ? `${failure.say} This is about the home app, so the list of customers is not read and nothing is changed.`
      : `${failure.say} The list of customers is not read and nothing is changed.`,
    nextStep,
    ...(status === undefined ? {} : { status }),
    ...(area === undefined ? {} : { area }),
    cause: failure,
  });
}

function explained(
  answer: { readonly status: number; readonly failure: Failure },
  source: ProviderSource,
  credential: string,
): Failure {
  const { status, failure } = answer;
  if (status === 403)
    return new Failure("discovery-forbidden", {
      actor: "operator",
      retry: { when: "later" },
      status,
      say: `The home app lacks ${LISTS[source].permission}, or it was not granted in your tenant. The list of customers is not read and nothing is changed.`,
      nextStep:
        "Grant it in your own tenant to the app of `discover_credential`: `defender-mssp register --home-app` prints the steps.",
    });
  if (source === "governance" && (status === 404 || status === 400))
    return new Failure("discovery-unavailable", {
      actor: "operator",
      retry: { when: "later" },
      status,
      say: "This tenant has no Tenant Governance, or not in this cloud. No list of customers is read and nothing is changed.",
      nextStep: "Set `discover` to gdap or to file:LIST.csv.",
    });
  return ofHomeApp(failure, credential);
}

/** A list that is not believed. */
export function notBelieved(what: string): Failure {
  return new Failure("discovery-doubtful", {
    actor: "operator",
    retry: { when: "later" },
    say: `${what}, so nothing was changed.`,
    nextStep: "Look at the list: run `defender-mssp customers discover`. It is read again in the next hour.",
  });
}

async function pageOf(answer: HttpAnswer): Promise<{ readonly rows: readonly unknown[]; readonly next: unknown }> {
  let text: string;
  try {
    text = await answer.text(PAGE_MOST_BYTES);
  } catch (error) {
    if (!isFailure(error)) throw error;
    throw notBelieved("The list of customers ended in the middle");
  }
  const page = jsonOf(text);
  const rows = typeof page === "object" && page !== null ? (page as Row)["value"] : undefined;
  if (!Array.isArray(rows)) throw notBelieved("The list of customers is not the JSON that Microsoft documents");
  return { rows, next: (page as Row)["@odata.nextLink"] };
}

function nextOf(next: unknown, base: string): string | undefined {
  if (next === undefined || next === null) return undefined;
  const link = pageLink(typeof next === "string" && next !== "" ? next : "-", base);
  if (link.kind === "next") return link.url;
  throw notBelieved(
    `The list of customers goes on at ${link.kind === "elsewhere" ? printable(link.origin) : "no address"}, which is not Microsoft Graph`,
  );
}

/** A row that does not hold what every row holds. */
class Torn extends Error {}

function rowOf(read: () => ListedTenant | undefined): ListedTenant | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Torn)) throw error;
    throw notBelieved(`A row of the list of customers has no usable ${error.message}`);
  }
}

function objectOf(value: unknown, what = "content"): Row {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Torn(what);
  return value as Row;
}

function objectIn(row: Row, member: string): Row {
  return objectOf(row[member], member);
}

function textIn(row: Row, member: string): string {
  const value = row[member];
  if (typeof value !== "string") throw new Torn(member);
  return value;
}

function tenantIn(row: Row, member: string): TenantId {
  const tenantId = tenantIdFrom(textIn(row, member));
  if (tenantId === undefined) throw new Torn(member);
  return tenantId;
}

function idIn(row: Row): string {
  return shown(textIn(row, "id"));
}

function timeIn(row: Row, member: string): Relationship["ends"] {
  const value = row[member];
  if (value === undefined || value === null) return null;
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms)) throw new Torn(member);
  return new Date(ms).toISOString();
}

/** Of a text that only people read. */
function shown(value: unknown): string {
  return typeof value === "string" ? printable(value).slice(0, ID_MOST).trim() : "";
}
