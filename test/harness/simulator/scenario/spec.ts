import { CLOUDS } from "../clouds.ts";
import { BODY_FAULTS, FAULT_TARGETS, LINK_FAULTS, VALUE_FAULTS } from "../faults.ts";
import { GDAP_STATES, GOVERNANCE_STATES, HOME_ROLES } from "../provider/provider.ts";
import { STREAM_NAMES } from "../streams.ts";

/** What a scenario may say: read by the checker, and written out as test/scenarios/scenario.schema.json. */
export type Spec = { readonly help: string; readonly required?: true } & (
  | { readonly kind: "text" | "flag" | "duration" | "span" | "time" }
  /** Anything. */
  | { readonly kind: "json" }
  | { readonly kind: "number"; readonly min: number; readonly max: number; readonly integer: boolean }
  | { readonly kind: "choice"; readonly of: readonly string[] }
  /** A single value stands for a list of one. */
  | { readonly kind: "list"; readonly of: Spec }
  | { readonly kind: "object"; readonly fields: Readonly<Record<string, Spec>> }
  | { readonly kind: "map"; readonly keys: readonly string[]; readonly of: Spec }
);

const text = (help: string): Spec => ({ kind: "text", help });
const flag = (help: string): Spec => ({ kind: "flag", help });
const whole = (help: string, min: number, max = 10_000_000): Spec => ({
  kind: "number",
  min,
  max,
  integer: true,
  help,
});
const share = (help: string): Spec => ({ kind: "number", min: 0, max: 1, integer: false, help });
const duration = (help: string): Spec => ({ kind: "duration", help });
const span = (help: string): Spec => ({ kind: "span", help });
const choice = (of: readonly string[], help: string): Spec => ({ kind: "choice", of, help });
const list = (of: Spec, help: string): Spec => ({ kind: "list", of, help });
const object = (fields: Readonly<Record<string, Spec>>, help: string): Spec => ({ kind: "object", fields, help });
const must = (spec: Spec): Spec => ({ ...spec, required: true });

const REGIME = {
  links: flag("whether pages carry a next link"),
  order: choice(["honoured", "ignored", "newest-first"], "what becomes of $orderby"),
  token: choice(["place", "count"], "what a skip token stands for: a place in the order, or a count of rows"),
  page_max: whole("pages never hold more rows than this, whatever $top asks for", 1),
  unknown_members: list(
    text("a member of an enumeration"),
    "members that this tenant's cloud does not know: a $filter that names one is answered 400",
  ),
};

export const GENERATE = object(
  {
    stream: must(choice(STREAM_NAMES, "the list the records belong to")),
    count: must(whole("how many records", 1)),
    from: duration("when the first was created, from the start (default -7d)"),
    to: duration("when the last was created, from the start (default 0s)"),
    bytes: whole("size of one record, about (default: as Microsoft's samples)", 500, 50_000_000),
    evidence: whole("pieces of evidence per alert (default 3)", 0, 5000),
    alerts: whole("alerts inside each incident (default 0)", 0, 10_000),
    updates: {
      kind: "number",
      min: 0,
      max: 50,
      integer: false,
      help: "how many times a record changes later, on average (default 0)",
    },
    update_within: duration("how long after its creation the last change may come (default 2h)"),
    visible_after: span("how long after its update a version becomes visible (default 0s)"),
    late: object(
      { share: must(share("share of versions that are late, 0 to 1")), by: must(span("how late they are")) },
      "versions that become visible late",
    ),
    ties: object(
      {
        groups: must(whole("how many groups", 1, 100_000)),
        size: must(whole("how many records share one instant exactly", 2, 100_000)),
      },
      "records that share an update time",
    ),
    digits: choice(
      ["varied", "seven"],
      "fraction digits of times: as varied as Microsoft's (default), or always seven",
    ),
    service: list(text("a serviceSource"), "serviceSource of the alerts; several take turns (default: a mix)"),
  },
  "records made by rule",
);

export const RECORD = object(
  {
    stream: must(choice(STREAM_NAMES, "the list it belongs to")),
    id: must(text("its id; the same id again is a later version of the same object")),
    at: duration("its update time, from the start or, sent to a running simulator, from now (default 0s)"),
    visible: duration("when it becomes visible (default: at its update time)"),
    set: { kind: "json", help: "members to put or to replace" },
    merge_into: text("incidents: redirected into the incident of this id"),
    gone: flag("it vanishes from the list"),
  },
  "one version of one record",
);

export const FAULT = object(
  {
    on: must(list(choice(FAULT_TARGETS, "the requests it strikes"), "the requests it strikes")),
    customers: list(text("a customer's name"), "only these customers (default: all)"),
    from: duration("only from this time after the start"),
    until: duration("only until this time after the start"),
    page: choice(["first", "linked"], "only requests that follow a next link, or only all others"),
    expand: flag("only requests with (or without) $expand"),
    requests: list(
      whole("the how-manieth matching request of a customer", 1),
      "only these requests, counted per customer from 1",
    ),
    every: whole("each n-th matching request", 1),
    rate: share("share of matching requests, drawn with the seed"),
    times: whole("at most this often per customer", 1),
    answer: must(
      object(
        {
          status: whole("HTTP status", 200, 599),
          code: text("error code in the body"),
          message: text("error message in the body"),
          retry_after_seconds: whole("Retry-After", 0, 86_400),
          retry_after_form: choice(["seconds", "date"], "how Retry-After is written"),
          aadsts: whole("token endpoint: this AADSTS error", 1, 99_999_999),
          body: choice(BODY_FAULTS, "what happens to the body"),
          content_type: text("the right body under this Content-Type"),
          delay_ms: whole("wait before answering (real time)", 0, 600_000),
          bytes_per_second: whole("send the body this slowly (real time)", 1),
          value: choice(VALUE_FAULTS, "what becomes of the member value"),
          link: choice(LINK_FAULTS, "what becomes of the next link"),
          warning: text("answer 206 with this Warning header"),
        },
        "what is answered instead, or done to the answer",
      ),
    ),
  },
  "requests that go wrong",
);

const ABSENT_APP = choice(
  ["AADSTS7000229", "AADSTS700016"],
  "what an app without service principal is answered (default AADSTS7000229; the other is the older answer)",
);

const RELATIONSHIP = {
  kind: choice(["gdap", "governance"], "GDAP (default), or Entra Tenant Governance"),
  name: text("its display name, any text (default PROVIDER_CUSTOMER)"),
  customer_name: text("what the customer's tenant calls itself, any text (default: the customer's name)"),
  status: choice([...new Set([...GDAP_STATES, ...GOVERNANCE_STATES])], "where it stands (default active)"),
  roles: list(text("a built-in role's name or template id"), "directory roles of the provider"),
  ends: duration("when it ends, from now (default 730d)"),
  auto_extend: flag("whether its end moves on by 180 days (default false)"),
  listed: flag("false: it exists, but the lists leave it out"),
  group: text("the provider's group that holds the roles (default: every user of the provider is in it)"),
  apps: list(choice(["reader"], "an app of the provider"), "governance: apps that it provisions with their roles"),
  governs_provider: flag("governance: the other way round, the customer governs the provider"),
};

const USER = {
  mfa: flag("whether its sign-in has multi-factor authentication (default true)"),
  groups: list(text("a group's name"), "its groups in the home tenant (default AdminAgents)"),
};

/** What can happen, in a scenario's events and over the control API alike. */
export const ACTIONS: Readonly<Record<string, Readonly<Record<string, Spec>>>> = {
  consent: {
    state: must(
      choice(["granted", "withdrawn", "absent"], "the customer's consent; absent: the app is not in the tenant"),
    ),
    answer: choice(["accept", "decline"], "what the administrator answers on the consent page"),
    absent_app: ABSENT_APP,
  },
  permissions: {
    roles: must(list(text("a role or scope"), "all that is granted; for the provider's tenant: to its home app")),
  },
  secret: {
    state: must(
      choice(
        ["valid", "expired", "rotated", "removed"],
        "rotated: a new one is added beside the old, which then expires",
      ),
    ),
  },
  "refresh-token": { state: must(choice(["valid", "revoked", "idle"], "all refresh tokens handed out so far")) },
  "access-tokens": {
    state: choice(["valid", "revoked"], "revoked: the APIs answer 401 to all handed out so far"),
    lifetime_seconds: whole("lifetime of those to come", 1, 86_400),
  },
  "device-code": { state: must(choice(["approve", "decline", "wait"], "what the user does with a device code")) },
  certificate: { pem: must(text("a certificate to accept client assertions from")) },
  regime: { stream: choice(STREAM_NAMES, "only this list (default: all)"), ...REGIME },
  budget: {
    api: must(choice(["graph", "hunting", "xdr", "mde", "siem"], "whose")),
    per_minute: must(whole("requests per minute", 1)),
    per_hour: whole("requests per hour", 1),
    retry_after_form: choice(["seconds", "date"], "how Retry-After is written"),
  },
  record: { ...(RECORD.kind === "object" ? RECORD.fields : {}) },
  generate: { ...(GENERATE.kind === "object" ? GENERATE.fields : {}) },
  fault: { ...(FAULT.kind === "object" ? FAULT.fields : {}) },
  relationship: { ...RELATIONSHIP, new: flag("adds another one; otherwise it changes those of the customer, if any") },
  "provider-user": USER,
  governance: { state: must(choice(["available", "absent", "unlicensed"], "Tenant Governance in the home tenant")) },
  identity: {
    identity: must(text("the identity's name")),
    assigned: flag("whether a managed identity is assigned to the machine"),
    lifetime: duration("how long its tokens to come are good"),
  },
  "platform-token": {
    identity: must(text("the identity's name")),
    issuer: text("another iss than it has"),
    subject: text("another sub"),
    audience: text("another aud"),
  },
  "clear-faults": {},
  "roll-keys": {},
  clock: {
    set: { kind: "time", help: "an instant" },
    advance: duration("move by, may be negative"),
    run: flag("false: time stands still"),
  },
};

const EVENT_AT = must(duration("when, from the start"));

const EVENT_FIELDS: Readonly<Record<string, Spec>> = {
  at: EVENT_AT,
  do: must(choice(Object.keys(ACTIONS), "what happens")),
  customers: list(text("a customer's name"), "which customers (default: all)"),
};

/** All that an event of this kind may say. */
export const eventSpec = (action: string): Spec =>
  object(
    { ...EVENT_FIELDS, ...ACTIONS[action], ...(action === "record" ? { at: EVENT_AT } : {}) },
    `an event: ${action}`,
  );

/** The same over the control API: without a time. */
export const actionSpec = (action: string): Spec =>
  object(
    {
      ...ACTIONS[action],
      do: must(choice(Object.keys(ACTIONS), "what happens")),
      customers: list(text("a customer's name"), "which customers (default: all)"),
    },
    `an action: ${action}`,
  );

export const CUSTOMER = object(
  {
    name: must(text("the customer's name; ids and secrets derive from it")),
    count: whole("this many customers of the kind, named <name>-0001 and so on", 1, 100_000),
    data: text("folder with NDJSON files, relative to the scenario"),
    cloud: choice(CLOUDS, "where its tenant lives"),
    consent: choice(["granted", "withdrawn", "absent"], "the customer's consent at the start"),
    absent_app: ABSENT_APP,
    permissions: list(text("a role or scope"), "all that is granted (default: everything)"),
    access_token_seconds: whole("lifetime of access tokens (default 3599)", 1, 86_400),
    retry_after_form: choice(["seconds", "date"], "how budgets write Retry-After"),
    expand_max_alerts: whole("$expand=alerts answers 500 when an incident on the page has more alerts", 0),
    capitalised_schema: flag("hunting answers write Name and Type"),
    budgets: {
      kind: "map",
      keys: ["graph", "hunting", "xdr", "mde", "siem"],
      of: object(
        { per_minute: must(whole("requests per minute", 1)), per_hour: whole("requests per hour", 1) },
        "a budget",
      ),
      help: "budgets that differ from Microsoft's",
    },
    ...REGIME,
    streams: {
      kind: "map",
      keys: STREAM_NAMES,
      of: object(REGIME, "how this list pages"),
      help: "lists that page differently",
    },
    generate: list(GENERATE, "records made by rule"),
    records: list(RECORD, "records one by one"),
  },
  "a customer",
);

export const PROVIDER = object(
  {
    tenant: must(text("name of the provider's home tenant; ids and secrets derive from it")),
    home_roles: list(
      text("an application permission"),
      `what the home tenant granted to the home app (default ${HOME_ROLES.join(" and ")})`,
    ),
    governance: choice(
      ["available", "absent", "unlicensed"],
      "Tenant Governance in the home tenant; absent: 404, unlicensed: 400",
    ),
    consent_delay: span("how long after its making a consent of the bridge shows (default 0s)"),
    requests_per_second: whole("how many requests Partner Center takes in any second (default 50)", 1),
    principal_delay: span("how long after its making a service principal is known by its id (default 0s)"),
    role_delay: span("how long after its assignment a role stands in the reader's tokens (default 0s)"),
    page_max: whole("pages of relationships never hold more rows than this", 1),
    user: object(USER, "the person who signs in for the provider"),
    relationships: list(
      object(
        {
          customer: must(
            list(
              text("a customer's name, or the name of customers with a count"),
              "the other side of the relationship",
            ),
          ),
          ...RELATIONSHIP,
        },
        "a relationship with a customer",
      ),
      "the provider's relationships",
    ),
  },
  "a managed security provider",
);

export const IDENTITY = object(
  {
    name: must(text("its name; ids derive from it")),
    kind: choice(
      ["managed", "platform"],
      "a managed identity, which the metadata service answers for (default), or a workload of another platform",
    ),
    tenant: text("managed: name of its tenant (default: the provider's, or the first customer's)"),
    issuer: text("platform: iss of its tokens (default https://oidc.example/NAME)"),
    subject: text("platform: sub of its tokens (default system:serviceaccount:siem:NAME)"),
    audience: text("aud that federated credentials name (default api://AzureADTokenExchange)"),
    lifetime: duration("how long its tokens are good (default 24h managed, 1h platform)"),
    trusted_by: list(
      text("a customer's name (its own app), home, bridge or reader"),
      "apps with a federated credential for it",
    ),
  },
  "an identity",
);

export const SCENARIO = object(
  {
    name: must(text("short name")),
    story: must(text("what happens and what it proves, in sentences")),
    seed: whole("of everything random (default 1)", 0, 4_294_967_295),
    start: { kind: "time", help: "where the clock starts (default: the real time)" },
    customers: must(list(CUSTOMER, "the customers")),
    provider: PROVIDER,
    identities: list(IDENTITY, "identities that prove themselves by a token of their platform"),
    events: list({ kind: "json", help: "checked by what it does" }, "what happens over time"),
    faults: list(FAULT, "requests that go wrong"),
  },
  "a scenario",
);
