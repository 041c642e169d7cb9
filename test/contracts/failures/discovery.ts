import { judge } from "../../../src/defender/roster/discovery-rules.ts";
import { failureOf } from "../../../src/defender/roster/findings.ts";
import { type ProviderSource, readProviderList } from "../../../src/defender/roster/provider-list.ts";
import { CLOUDS } from "../../../src/model/cloud.ts";
import { type DiscoveredCustomer, NOTHING_DISCOVERED } from "../../../src/model/discovered.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { type Answer, answering, type Causes, NOW_MS, quickClock, type Raised, silent, thrownBy } from "./cause.ts";

const HOME = "99999999-2222-4333-8444-555555555555" as TenantId;
const CONTOSO = "11111111-2222-4333-8444-555555555555" as TenantId;
const FABRIKAM = "22222222-2222-4333-8444-555555555555" as TenantId;
const HOUR_MS = 3_600_000;

function listed(answer: Answer, source: ProviderSource = "gdap"): Promise<Raised> {
  return thrownBy(() =>
    readProviderList(
      {
        source,
        home: HOME,
        credential: "home",
        endpoints: CLOUDS.commercial,
        route: {},
        http: answering(answer),
        tokens: { accessToken: () => Promise.resolve(sealed("token")) },
        clock: quickClock(),
        log: silent,
      },
      new AbortController().signal,
    ),
  );
}

const tenant = (tenantId: TenantId, ends: string | null = null) => ({
  tenantId,
  name: "Contoso",
  relationships: [{ id: "r", name: "r", status: "active", roles: [], ends, auto_extend: "PT0S" }],
});

const missing: DiscoveredCustomer = {
  source: "gdap",
  name: "Contoso",
  listed_name: "Contoso",
  first_seen: new Date(NOW_MS - 9 * HOUR_MS).toISOString(),
  last_seen: new Date(NOW_MS - 2 * HOUR_MS).toISOString(),
  missing_since: new Date(NOW_MS - HOUR_MS).toISOString(),
  ended_at: null,
  relationships: [],
  decided: "enrolled",
  by: "discovery",
  excluded_by: null,
  reminded: [],
};

const present: DiscoveredCustomer = {
  ...missing,
  decided: "announced",
  last_seen: new Date(NOW_MS - HOUR_MS).toISOString(),
  missing_since: null,
};

/** Of a list so long one customer may be missing. */
const others = Array.from({ length: 9 }, (_, n) => `00000000-0000-4000-8000-00000000000${n}` as TenantId);

/** The list holds Fabrikam and others, after Contoso was missing if that is known, and this is said then. */
function said(known: DiscoveredCustomer | undefined, ends: string | null = null): Raised {
  const customers = new Map(
    known === undefined ? [] : [...others.map((id) => [id, present] as const), [CONTOSO, known] as const],
  );
  const { findings } = judge(
    { mode: "announce", exclude: [] },
    {
      nowMs: NOW_MS,
      known: { ...NOTHING_DISCOVERED, customers },
      listing: {
        source: "gdap",
        tenants: [tenant(FABRIKAM, ends), ...(known === undefined ? [] : others.map((id) => tenant(id)))],
        isComplete: true,
      },
      configured: new Map(known === undefined && ends === null ? [] : [[FABRIKAM, "Fabrikam"]]),
      refusing: new Set([CONTOSO]),
    },
  );
  const failure = findings.map((finding) => failureOf(finding, { enrolled: false })).find((one) => one !== undefined);
  if (failure === undefined) throw new Error("nothing was said");
  return failure;
}

export const DISCOVERY: Causes = {
  "customer-ended": [
    "two lists an hour apart lack a customer, and its tenant refuses this program",
    () => said(missing),
  ],
  "customer-found": ["the list holds a customer that is not configured", () => said(undefined)],
  "discovery-doubtful": ["a row of the list of customers cannot be read", () => listed({ body: { value: [null] } })],
  "discovery-forbidden": [
    "Graph answers the home app 403",
    () => listed({ status: 403, body: { error: { code: "Authorization_RequestDenied", message: "no" } } }),
  ],
  "discovery-unavailable": [
    "Graph knows no Tenant Governance",
    () => listed({ status: 404, body: { error: { code: "ResourceNotFound", message: "no" } } }, "governance"),
  ],
  "relationship-ending": [
    "a relationship ends in a week and is not extended",
    () => said(undefined, new Date(NOW_MS + 6 * 24 * HOUR_MS).toISOString()),
  ],
};
