import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { FakeRandom } from "../../../test/harness/fakes/random.ts";
import { parseStanzas } from "../../config/settings.ts";
import { Failure } from "../../model/failure.ts";
import type { ConsentJournal, JournalEntry, OpenGrant, PartnerSession } from "../../model/partner-consent.ts";
import type { Http, HttpRequest } from "../../model/ports.ts";
import { sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";
import { createPartnerConsent } from "./partner-consent.ts";

const HOME = "aaaaaaaa-0000-4000-8000-000000000000";
const CUSTOMER = "cccccccc-0000-4000-8000-000000000000";
const BRIDGE = "bbbbbbbb-0000-4000-8000-000000000000";
const READER = "eeeeeeee-0000-4000-8000-000000000000";
const USER = "dddddddd-0000-4000-8000-000000000000";
const READER_PRINCIPAL = "11111111-0000-4000-8000-000000000001";
const GRAPH_PRINCIPAL = "22222222-0000-4000-8000-000000000002";
const GRAPH = "00000003-0000-0000-c000-000000000000";
const ALERT_ROLE = "472e4a4d-bb4a-4026-98d1-0b0d74cb74a5";
const INCIDENT_ROLE = "45cc0394-e837-488b-a098-1918f48d186c";

const LOGIN_HOST = "https://login.microsoftonline.com";
const PARTNER_HOST = "https://api.partnercenter.microsoft.com";
const GRAPH_HOST = "https://graph.microsoft.com";

function customer(name: string, tenantId: string): Stanza {
  const values = { tenant_id: tenantId, client_id: READER, client_secret: "reader's secret", auth: "app" };
  const stanza = parseStanzas([{ name, values }], { host: "cli", nowMs: 0 }).stanzas[0];
  if (stanza === undefined) throw new Error("the settings of this test are wrong");
  return { ...stanza, route: { direct: true } };
}

const session: PartnerSession = {
  home: customer("your own tenant", HOME),
  bridge: { kind: "secret", clientId: BRIDGE, secret: sealed("bridge's secret") },
  signedIn: {
    refreshToken: sealed("0.refresh"),
    accessToken: sealed("partner-token"),
    account: "admin@mssp.example",
    userId: USER,
    tenantId: HOME,
    scopes: [],
    accessLifetimeMs: 3_600_000,
    warnings: [],
  },
};

/** Notes what was written before and after each request. */
class FakeJournal implements ConsentJournal {
  readonly path = "journal.ndjson";
  readonly unreadable = 0;
  readonly entries: JournalEntry[] = [];
  /** Steps and requests in their order. */
  readonly order: string[];
  open: readonly OpenGrant[] = [];
  fails: string | undefined;

  constructor(order: string[] = []) {
    this.order = order;
  }
  openGrants(): readonly OpenGrant[] {
    return this.open;
  }
  append(entry: JournalEntry): Promise<void> {
    if (this.fails === entry.step)
      return Promise.reject(
        new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "The disk is full." }),
      );
    this.entries.push(entry);
    this.order.push(`journal ${entry.step}`);
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Instead of an answer. */
  readonly fails?: Failure;
}

/** Answers of Microsoft by request; the last one of a list stays. */
type Answers = Readonly<Record<string, Answer | readonly Answer[]>>;

const APP_ROLES = [
  { value: "SecurityAlert.Read.All", id: ALERT_ROLE },
  { value: "SecurityIncident.Read.All", id: INCIDENT_ROLE },
  { value: "Directory.ReadWrite.All", id: "19dbc75e-c2e2-444c-a770-ec69d8559fc7" },
];
const GRANT = `POST ${PARTNER_HOST}/v1/customers/${CUSTOMER}/applicationconsents`;
const REMOVE = `DELETE ${PARTNER_HOST}/v1/customers/${CUSTOMER}/applicationconsents/${BRIDGE}`;
const TOKEN = `POST ${LOGIN_HOST}/${CUSTOMER}/oauth2/v2.0/token`;
const FIND_READER = `GET ${GRAPH_HOST}/v1.0/servicePrincipals(appId='${READER}')?$select=id`;
const ADD_READER = `POST ${GRAPH_HOST}/v1.0/servicePrincipals`;
const FIND_GRAPH = `GET ${GRAPH_HOST}/v1.0/servicePrincipals(appId='${GRAPH}')?$select=id,appRoles`;
const HELD = `GET ${GRAPH_HOST}/v1.0/servicePrincipals/${READER_PRINCIPAL}/appRoleAssignments`;
const ASSIGN = `POST ${GRAPH_HOST}/v1.0/servicePrincipals/${GRAPH_PRINCIPAL}/appRoleAssignedTo`;

const USUAL: Answers = {
  [GRANT]: { status: 201, body: {} },
  [REMOVE]: { status: 204 },
  [TOKEN]: { body: { token_type: "Bearer", expires_in: 3600, access_token: "user-token", refresh_token: "0.rotated" } },
  [FIND_READER]: { status: 404, body: {} },
  [ADD_READER]: { status: 201, body: { id: READER_PRINCIPAL } },
  [FIND_GRAPH]: { body: { id: GRAPH_PRINCIPAL, appRoles: APP_ROLES } },
  [HELD]: { body: { value: [] } },
  [ASSIGN]: { status: 201, body: {} },
};

/** Nobody stops the run. */
const NEVER = new AbortController().signal;

class FakeMicrosoft implements Http {
  readonly asked: HttpRequest[] = [];
  readonly #order: string[];
  readonly #answers: Map<string, Answer[]>;

  constructor(answers: Answers = {}, order: string[] = []) {
    this.#order = order;
    this.#answers = new Map(
      Object.entries({ ...USUAL, ...answers }).map(([key, value]) => [
        key,
        (Array.isArray(value) ? [...value] : [value]) as Answer[],
      ]),
    );
  }
  send(request: HttpRequest) {
    const key = `${request.method} ${request.url.replace(/\?client-request-id=.*$/, "")}`;
    this.asked.push(request);
    this.#order.push(key);
    const list = this.#answers.get(key) ?? [];
    const answer = list.length > 1 ? list.shift() : list[0];
    if (answer === undefined) return Promise.reject(new Error(`not in this test: ${key}`));
    if (answer.fails !== undefined) return Promise.reject(answer.fails);
    return Promise.resolve({
      status: answer.status ?? 200,
      headers: { ...answer.headers },
      body: (async function* () {})(),
      text: () => Promise.resolve(answer.body === undefined ? "" : JSON.stringify(answer.body)),
      discard: () => Promise.resolve(),
    });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  /** Requests that change something at Microsoft. */
  writes(): readonly string[] {
    return this.asked
      .filter(({ method, url }) => method !== "GET" && !url.includes("/oauth2/"))
      .map(({ method, url }) => `${method} ${url}`);
  }
}

/** Everything is missing at first and there after the grants. */
function run(
  http: Http,
  more: {
    readonly journal?: FakeJournal;
    readonly missing?: (times: number) => readonly string[];
    readonly missingAt?: (customer: Stanza) => readonly string[];
    readonly keepBridge?: boolean;
    readonly customers?: readonly Stanza[];
    readonly clock?: FakeClock;
    readonly stop?: AbortSignal;
  } = {},
) {
  let times = 0;
  const consent = createPartnerConsent({
    http,
    clock: more.clock ?? new FakeClock(undefined, { pauses: "pass" }),
    random: FakeRandom.always(),
    missing: async (stanza) => {
      times += 1;
      if (more.missingAt !== undefined) return more.missingAt(stanza);
      return Promise.resolve(more.missing?.(times) ?? (times === 1 ? ["SecurityAlert.Read.All"] : []));
    },
  });
  return consent.grant({
    session,
    journal: more.journal ?? new FakeJournal(),
    customers: more.customers ?? [customer("contoso", CUSTOMER)],
    keepBridge: more.keepBridge ?? false,
    stop: more.stop ?? NEVER,
    progress: () => undefined,
  });
}

describe("the journal", () => {
  test("holds each write, with ids only, before the request that does it", async () => {
    const journal = new FakeJournal();
    await run(new FakeMicrosoft({}, journal.order), { journal });
    expect(journal.order).toEqual([
      "journal grant-bridge",
      GRANT,
      TOKEN,
      FIND_READER,
      "journal add-app",
      ADD_READER,
      FIND_GRAPH,
      HELD,
      "journal grant-role",
      ASSIGN,
      "journal grant-role",
      ASSIGN,
      "journal remove-bridge",
      REMOVE,
      "journal bridge-removed",
    ]);
    expect(journal.entries[3]).toEqual({
      step: "grant-role",
      home: HOME,
      tenant: CUSTOMER,
      bridge: BRIDGE,
      user: USER,
      app: READER,
      resource: GRAPH,
      role: INCIDENT_ROLE,
    });
    expect(JSON.stringify(journal.entries)).not.toMatch(/token|secret|refresh|@/);
  });

  test.each(["grant-bridge", "add-app", "grant-role"])("that cannot take %s keeps it from being done", async (step) => {
    const journal = new FakeJournal();
    journal.fails = step;
    const microsoft = new FakeMicrosoft();
    const [outcome] = await run(microsoft, { journal });
    expect(outcome?.failure?.code).toBe("state-unwritable");
    const forbidden = { "grant-bridge": GRANT, "add-app": ADD_READER, "grant-role": ASSIGN }[step];
    expect(microsoft.writes()).not.toContain(forbidden);
    expect(microsoft.writes().includes(REMOVE)).toBe(step !== "grant-bridge");
  });
});

describe("the bridge is removed from a customer", () => {
  const refused = { status: 403, body: { error: { code: "Authorization_RequestDenied" } } };
  const reset = new Failure("connection-reset", { actor: "operator", retry: { when: "soon" }, say: "It was reset." });
  test.each<[string, Answers, string]>([
    [
      "the sign-in there is refused",
      { [TOKEN]: { status: 400, body: { error: "invalid_grant", error_codes: [53003] } } },
      "blocked-by-policy",
    ],
    ["the app cannot be added", { [ADD_READER]: refused }, "partner-role-missing"],
    ["a permission cannot be granted", { [ASSIGN]: refused }, "partner-role-missing"],
    ["an API is not in the tenant", { [FIND_GRAPH]: { status: 404 } }, "api-not-in-tenant"],
    ["Graph is away", { [HELD]: { fails: reset } }, "connection-reset"],
    ["it is not known whether the bridge was let in", { [GRANT]: { fails: reset } }, "connection-reset"],
    ["Partner Center fails while it lets the bridge in", { [GRANT]: { status: 500 } }, "partner-step-refused"],
  ])("also when %s", async (_, answers, code) => {
    const journal = new FakeJournal();
    const microsoft = new FakeMicrosoft(answers);
    const [outcome] = await run(microsoft, { journal });
    expect(outcome).toMatchObject({ result: "failed", failure: { code } });
    expect(microsoft.writes().at(-1)).toBe(REMOVE);
    expect(journal.entries.at(-1)?.step).toBe("bridge-removed");
  });

  test("and where that fails, this is what the customer is reported with", async () => {
    const microsoft = new FakeMicrosoft({ [ASSIGN]: refused, [REMOVE]: { status: 403 } });
    const journal = new FakeJournal();
    const [outcome] = await run(microsoft, { journal });
    expect(outcome).toMatchObject({ result: "failed", failure: { code: "bridge-left", actor: "operator" } });
    expect(outcome?.failure?.say).toContain("Privileged Role Administrator");
    expect(journal.entries.at(-1)?.step).toBe("remove-bridge");
  });

  test("unless --keep-bridge was given", async () => {
    const microsoft = new FakeMicrosoft();
    expect(await run(microsoft, { keepBridge: true })).toMatchObject([{ result: "granted" }]);
    expect(microsoft.writes()).not.toContain(REMOVE);
  });

  test.each([404, 200])("a removal that is answered with %d counts as done", async (status) => {
    const journal = new FakeJournal();
    expect((await run(new FakeMicrosoft({ [REMOVE]: { status } }), { journal }))[0]?.failure).toBeUndefined();
    expect(journal.entries.at(-1)?.step).toBe("bridge-removed");
  });

  test.each<[string, Answer]>([
    ["no answer", { fails: reset }],
    ["status 504", { status: 504 }],
  ])("after %s to the grant it is looked for three times before it counts as not there", async (_, answer) => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const microsoft = new FakeMicrosoft({ [GRANT]: answer, [REMOVE]: { status: 404 } });
    await run(microsoft, { clock });
    expect(microsoft.writes().filter((write) => write === REMOVE)).toHaveLength(3);
    expect(clock.pauses.slice(-2)).toEqual([5_000, 20_000]);
  });

  test("a bridge that Microsoft let in late is removed", async () => {
    const journal = new FakeJournal();
    const microsoft = new FakeMicrosoft({ [GRANT]: { status: 504 }, [REMOVE]: [{ status: 404 }, { status: 204 }] });
    await run(microsoft, { journal });
    expect(microsoft.writes().filter((write) => write === REMOVE)).toHaveLength(2);
    expect(journal.entries.at(-1)?.step).toBe("bridge-removed");
  });

  test("nothing is removed where Partner Center refused to let it in", async () => {
    const journal = new FakeJournal();
    const microsoft = new FakeMicrosoft({ [GRANT]: { status: 403 } });
    await run(microsoft, { journal });
    expect(microsoft.writes()).toEqual([GRANT]);
    expect(journal.entries.map(({ step }) => step)).toEqual(["grant-bridge", "bridge-refused"]);
  });
});

describe("a bridge that is there already", () => {
  const there = { status: 400, body: { code: 400, description: "Permission entry already exists." } };
  const reset = new Failure("connection-reset", { actor: "operator", retry: { when: "soon" }, say: "It was reset." });

  test("was let in by somebody else, so it grants and stays", async () => {
    const journal = new FakeJournal();
    const microsoft = new FakeMicrosoft({ [GRANT]: there });
    expect(await run(microsoft, { journal })).toMatchObject([{ result: "granted", bridgeStays: true }]);
    expect(microsoft.writes()).toEqual([GRANT, ADD_READER, ASSIGN, ASSIGN]);
    expect(journal.entries.map(({ step }) => step).slice(0, 2)).toEqual(["grant-bridge", "bridge-refused"]);
  });

  test("stays also when the customer fails, and the journal counts it out once", async () => {
    const journal = new FakeJournal();
    const microsoft = new FakeMicrosoft({ [GRANT]: there, [ASSIGN]: { status: 403 } });
    expect(await run(microsoft, { journal })).toMatchObject([{ result: "failed", bridgeStays: true }]);
    expect(microsoft.writes()).not.toContain(REMOVE);
    expect(journal.entries.filter(({ step }) => step === "bridge-refused")).toHaveLength(1);
  });

  test.each<[string, Answers, readonly OpenGrant[]]>([
    ["an earlier run let it in", { [GRANT]: there }, [{ home: HOME, tenant: CUSTOMER, bridge: BRIDGE }]],
    ["this run may have let it in", { [GRANT]: [{ fails: reset }, there] }, []],
  ])("is removed when %s", async (_, answers, open) => {
    const journal = new FakeJournal();
    journal.open = open;
    const microsoft = new FakeMicrosoft(answers);
    const [outcome] = await run(microsoft, { journal });
    expect([outcome?.result, outcome?.bridgeStays]).toEqual(["granted", undefined]);
    expect(microsoft.writes().at(-1)).toBe(REMOVE);
  });
});

describe("a stop signal", () => {
  const others = Array.from({ length: 6 }, (_, n) => customer(`c${n}`, `cccccccc-0000-4000-8000-00000000001${n}`));
  const forAll = (answers: Answers): Answers =>
    Object.fromEntries(
      others.flatMap(({ tenantId }) =>
        Object.entries({ ...USUAL, ...answers }).map(([key, answer]) => [key.replace(CUSTOMER, tenantId), answer]),
      ),
    );

  test("lets the customers under way finish with the removal, begins no other one, and waits for no permissions", async () => {
    const stop = new AbortController();
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const microsoft = new FakeMicrosoft(forAll({}));
    const send = microsoft.send.bind(microsoft);
    microsoft.send = (request) => {
      if (request.url.includes("/oauth2/")) stop.abort();
      return send(request);
    };
    const outcomes = await run(microsoft, { customers: others, clock, stop: stop.signal, missing: () => ["x"] });
    const results = (code: string) => outcomes.filter(({ failure }) => failure?.code === code).length;
    expect([results("roles-pending"), results("stopped")]).toEqual([4, 2]);
    expect(microsoft.writes().filter((write) => write.startsWith("DELETE"))).toHaveLength(4);
    expect(clock.monotonicMs()).toBeLessThan(15_000);
  });

  test("begins no other removal of what an earlier run left", async () => {
    const microsoft = new FakeMicrosoft();
    const consent = createPartnerConsent({
      http: microsoft,
      clock: new FakeClock(),
      random: FakeRandom.always(),
      missing: () => Promise.resolve([]),
    });
    const grants = [{ home: HOME, tenant: CUSTOMER, bridge: BRIDGE }];
    await consent.removeBridges(session, new FakeJournal(), grants, AbortSignal.abort());
    expect(microsoft.asked).toEqual([]);
  });
});

describe("nothing but the permissions of the plan is granted", () => {
  test.each([
    [
      "another id under the name",
      [{ value: "SecurityAlert.Read.All", id: "19dbc75e-c2e2-444c-a770-ec69d8559fc7" }, APP_ROLES[1]],
    ],
    [
      "two ids under one name",
      [...APP_ROLES, { value: "SecurityIncident.Read.All", id: "19dbc75e-c2e2-444c-a770-ec69d8559fc7" }],
    ],
    ["no such name", [APP_ROLES[0]]],
  ])("an API with %s gets no grant at all", async (_, appRoles) => {
    const microsoft = new FakeMicrosoft({ [FIND_GRAPH]: { body: { id: GRAPH_PRINCIPAL, appRoles } } });
    expect(await run(microsoft)).toMatchObject([{ failure: { code: "permission-differs", actor: "operator" } }]);
    expect(microsoft.writes()).toEqual([GRANT, ADD_READER, REMOVE]);
  });

  test("an id that is not a GUID never becomes part of an address", async () => {
    const microsoft = new FakeMicrosoft({ [ADD_READER]: { status: 201, body: { id: "../users" } } });
    expect(await run(microsoft)).toMatchObject([{ failure: { code: "bad-answer" } }]);
    expect(microsoft.writes()).toEqual([GRANT, ADD_READER, REMOVE]);
  });
});

describe("a run does only what is missing", () => {
  test("a customer whose tokens have all permissions gets no request but the reader's own sign-in", async () => {
    const microsoft = new FakeMicrosoft();
    expect(await run(microsoft, { missing: () => [] })).toMatchObject([{ result: "complete" }]);
    expect(microsoft.asked).toEqual([]);
  });

  test("a permission that the app has is not granted again, and the app is not added again", async () => {
    const held = { value: [{ resourceId: GRAPH_PRINCIPAL, appRoleId: ALERT_ROLE.toUpperCase() }] };
    const microsoft = new FakeMicrosoft({ [FIND_READER]: { body: { id: READER_PRINCIPAL } }, [HELD]: { body: held } });
    await run(microsoft);
    expect(microsoft.writes()).toEqual([GRANT, ASSIGN, REMOVE]);
    expect(microsoft.asked.find(({ url }) => url.endsWith("appRoleAssignedTo"))?.body).toContain(INCIDENT_ROLE);
  });

  test.each([
    [GRANT, { status: 400, body: { code: 400, description: "Permission entry already exists." } }],
    [ASSIGN, { status: 400, body: { error: { message: "Permission being assigned already exists on the object" } } }],
  ])("%s that is there already is done", async (request, answer) => {
    expect((await run(new FakeMicrosoft({ [request]: answer })))[0]?.failure).toBeUndefined();
  });
});

describe("each answer has its sentence and who must act", () => {
  const token = (code: number, error = "invalid_grant"): Answers => ({
    [TOKEN]: { status: 400, body: { error, error_codes: [code] } },
  });
  test.each<[string, Answers, string, string, string]>([
    [
      "401 with 900421",
      { [GRANT]: { status: 401, body: { code: 900421 } } },
      "partner-mfa-missing",
      "operator",
      "Partner Center requires a sign-in with multi-factor authentication.",
    ],
    [
      "401 with 900421 as text",
      { [GRANT]: { status: 401, body: { code: "900421" } } },
      "partner-mfa-missing",
      "operator",
      "multi-factor",
    ],
    [
      "403",
      { [GRANT]: { status: 403 } },
      "partner-role-missing",
      "operator",
      "not in the group AdminAgents, or has no GDAP role that may consent for contoso",
    ],
    [
      "404",
      { [GRANT]: { status: 404 } },
      "partner-customer-unknown",
      "operator",
      "contoso is not a customer of this partner account.",
    ],
    [
      "50020",
      token(50020),
      "user-unknown",
      "operator",
      "Your user is a guest at contoso, or in no security group of the GDAP relationship.",
    ],
    ["50177", token(50177), "user-unknown", "operator", "in no security group"],
    [
      "65001 for a minute",
      token(65001),
      "bridge-consent-pending",
      "microsoft",
      "does not show the bridge's consent at contoso yet",
    ],
    ["53003", token(53003), "blocked-by-policy", "customer", "Conditional Access"],
    ["530034", token(530034), "mssp-risk", "operator", "risk"],
    ["50076", token(50076, "interaction_required"), "partner-mfa-missing", "operator", "multi-factor"],
    ["7000215", token(7000215, "invalid_client"), "secret-wrong", "operator", "client secret"],
    ["Graph's 403", { [ASSIGN]: { status: 403 } }, "partner-role-missing", "operator", "Privileged Role Administrator"],
    [
      "an app that is single-tenant",
      { [ADD_READER]: { status: 400, body: {} } },
      "app-not-found",
      "operator",
      `cannot add app ${READER}`,
    ],
  ])("%s", async (_, answers, code, actor, words) => {
    const { failure } = (await run(new FakeMicrosoft(answers)))[0]!;
    expect(failure).toMatchObject({ code, actor });
    expect(failure?.say).toContain(words);
    // Steps of the collector's own sign-in would lead the partner astray.
    expect(failure?.nextStep).not.toMatch(/token acquire|doctor/);
    expect(failure?.nextStep).not.toBe("");
  });

  test.each([53003, 530034])("%d: the customer can exempt service provider users", async (number) => {
    const { failure } = (await run(new FakeMicrosoft(token(number))))[0]!;
    expect(failure?.nextStep).toContain("service provider users of your tenant");
  });

  describe("what is wrong with the run is asked for once, not at each customer:", () => {
    const others = Array.from({ length: 20 }, (_, n) =>
      customer(`c${n}`, `cccccccc-0000-4000-8000-0000000000${n + 10}`),
    );
    const home = `POST ${LOGIN_HOST}/${HOME}/oauth2/v2.0/token`;
    const refusedAtHome = (code: number, error: string): Answers => ({
      [home]: { status: 400, body: { error, error_codes: [code] } },
    });
    const ended = { status: 401, body: {} };

    test.each<[string, Answer, Answers, string]>([
      ["a sign-in without MFA", { status: 401, body: { code: 900421 } }, {}, "partner-mfa-missing"],
      ["a renewed token too", ended, { [home]: USUAL[TOKEN] as Answer }, "sign-in-refused"],
      ["no renewal without MFA", ended, refusedAtHome(50076, "interaction_required"), "partner-mfa-missing"],
      ["no renewal of the sign-in", ended, refusedAtHome(50173, "invalid_grant"), "signed-out"],
      ["no renewal for the bridge", ended, refusedAtHome(999999, "invalid_client"), "credential-refused"],
    ])("%s", async (_, answer, atHome, code) => {
      const answers = Object.fromEntries(
        others.map(({ tenantId }) => [`POST ${PARTNER_HOST}/v1/customers/${tenantId}/applicationconsents`, answer]),
      );
      const microsoft = new FakeMicrosoft({ ...answers, ...atHome });
      const outcomes = await run(microsoft, { customers: others, missing: () => ["x"] });
      expect(outcomes.map(({ failure }) => failure?.code)).toEqual(others.map(() => code));
      expect(new Set(microsoft.writes()).size).toBeLessThanOrEqual(4);
      // Every request was answered with a refusal, so the bridge is nowhere.
      expect(microsoft.writes().filter((write) => write.startsWith("DELETE"))).toEqual([]);
    });

    test("a journal that cannot be written", async () => {
      const journal = new FakeJournal();
      journal.fails = "grant-bridge";
      const asked: Stanza[] = [];
      const outcomes = await run(new FakeMicrosoft(), {
        journal,
        customers: others,
        missingAt: (stanza) => [`missing ${asked.push(stanza)}`],
      });
      expect(outcomes.map(({ failure }) => failure?.code)).toEqual(others.map(() => "state-unwritable"));
      expect(asked.length).toBeLessThanOrEqual(4);
    });
  });
});

describe("a refusal at one customer's token endpoint", () => {
  const others = Array.from({ length: 8 }, (_, n) => customer(`c${n}`, `cccccccc-0000-4000-8000-00000000001${n}`));
  const first = others[0]?.tenantId ?? "";
  const forAll = (firstAnswer: Answer): Answers => ({
    ...Object.fromEntries(
      others.flatMap(({ tenantId }) =>
        Object.entries(USUAL).map(([key, answer]) => [key.replace(CUSTOMER, tenantId), answer]),
      ),
    ),
    [TOKEN.replace(CUSTOMER, first)]: firstAnswer,
  });
  const codesOf = (outcomes: Awaited<ReturnType<typeof run>>) =>
    outcomes.flatMap(({ failure }) => (failure === undefined ? [] : [failure.code]));
  const times = () => {
    const asked = new Set<string>();
    return (stanza: Stanza) => (asked.size === asked.add(stanza.tenantId).size ? [] : ["x"]);
  };

  test.each([
    ["of the person", 50173, "invalid_grant", "signed-out"],
    ["for want of multi-factor authentication", 50076, "interaction_required", "partner-mfa-missing"],
    ["of the bridge", 999999, "invalid_client", "credential-refused"],
  ])("%s is this customer's alone", async (_, number, error, code) => {
    const answer = { status: 400, body: { error, error_codes: [number] } };
    const outcomes = await run(new FakeMicrosoft(forAll(answer)), { customers: others, missingAt: times() });
    expect(codesOf(outcomes)).toEqual([code]);
  });

  test("of the reader is this customer's alone", async () => {
    const refused = new Failure("sign-in-refused", { actor: "operator", retry: { when: "never" }, say: "No." });
    const missing = times();
    const outcomes = await run(new FakeMicrosoft(forAll(USUAL[TOKEN] as Answer)), {
      customers: others,
      missingAt: (stanza) => {
        if (stanza.tenantId === first) throw refused;
        return missing(stanza);
      },
    });
    expect(codesOf(outcomes)).toEqual(["sign-in-refused"]);
  });

  test("because of the bridge's secret ends the run, because every customer would answer so", async () => {
    const answer = { status: 401, body: { error: "invalid_client", error_codes: [7000222] } };
    const microsoft = new FakeMicrosoft(forAll(answer));
    const outcomes = await run(microsoft, { customers: others, missingAt: times() });
    expect(codesOf(outcomes).length).toBeGreaterThan(1);
    expect(new Set(codesOf(outcomes))).toEqual(new Set(["secret-expired"]));
  });
});

describe("Microsoft needs its time", () => {
  test("a consent that does not show yet is waited for up to a minute, in five tries", async () => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const late = { status: 400, body: { error: "invalid_grant", error_codes: [65001] } };
    const microsoft = new FakeMicrosoft({ [TOKEN]: [late, late, late, late, USUAL[TOKEN] as Answer] });
    expect((await run(microsoft, { clock }))[0]?.failure).toBeUndefined();
    expect(clock.pauses).toEqual([5_000, 10_000, 15_000, 30_000]);
  });

  test("permissions that do not show within five minutes come by themselves, and the bridge is out by then", async () => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const microsoft = new FakeMicrosoft();
    const outcomes = await run(microsoft, { clock, missing: () => ["SecurityAlert.Read.All"] });
    expect(outcomes).toMatchObject([{ result: "granted", failure: { code: "roles-pending", actor: "microsoft" } }]);
    expect(clock.monotonicMs()).toBe(300_000);
    expect(microsoft.writes().at(-1)).toBe(REMOVE);
  });

  test("a new app that Graph does not know everywhere yet is tried again", async () => {
    const microsoft = new FakeMicrosoft({ [ASSIGN]: [{ status: 404 }, { status: 404 }, { status: 201 }] });
    expect((await run(microsoft))[0]?.failure).toBeUndefined();
  });

  test("throttling is waited for as long as Microsoft asks", async () => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const busy = { status: 429, headers: { "retry-after": "7" } };
    const microsoft = new FakeMicrosoft({ [GRANT]: [busy, { status: 201 }] });
    expect((await run(microsoft, { clock }))[0]?.failure).toBeUndefined();
    expect(clock.pauses).toContain(7_000);
  });

  test("throttling for longer than two minutes is not waited for, and is the customer's failure", async () => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const microsoft = new FakeMicrosoft({ [GRANT]: { status: 429, headers: { "retry-after": "121" } } });
    expect((await run(microsoft, { clock }))[0]?.failure?.code).toBe("partner-step-refused");
    expect(microsoft.writes()).toEqual([GRANT]);
    expect(clock.monotonicMs()).toBeLessThan(1_000);
  });

  test("what no repetition can fix is not repeated", async () => {
    const never = new Failure("address-not-https", { actor: "operator", retry: { when: "never" }, say: "Not https." });
    const microsoft = new FakeMicrosoft({ [FIND_GRAPH]: { fails: never } });
    expect((await run(microsoft))[0]?.failure?.code).toBe("address-not-https");
    expect(microsoft.asked.filter(({ url }) => url.includes(`'${GRAPH}'`))).toHaveLength(1);
  });

  test("a new app whose permissions Graph cannot list yet has none", async () => {
    const microsoft = new FakeMicrosoft({ [HELD]: { status: 404 } });
    expect((await run(microsoft))[0]?.failure).toBeUndefined();
    expect(microsoft.writes()).toEqual([GRANT, ADD_READER, ASSIGN, ASSIGN, REMOVE]);
  });

  test.each([400, 409])("an app that is there after all when adding it is answered with %d is used", async (status) => {
    const there = { body: { id: READER_PRINCIPAL } };
    const microsoft = new FakeMicrosoft({ [FIND_READER]: [{ status: 404 }, there], [ADD_READER]: { status } });
    expect((await run(microsoft))[0]?.failure).toBeUndefined();
  });

  test("Partner Center gets fewer than 50 requests in any second", async () => {
    const clock = new FakeClock(undefined, { pauses: "pass" });
    const others = Array.from({ length: 200 }, (_, n) =>
      customer(`c${n}`, `cccccccc-0000-4000-8000-000000000${100 + n}`),
    );
    const times: number[] = [];
    const microsoft = new FakeMicrosoft(
      Object.fromEntries(
        others.map(({ tenantId }) => [
          `POST ${PARTNER_HOST}/v1/customers/${tenantId}/applicationconsents`,
          { status: 404 },
        ]),
      ),
    );
    const send = microsoft.send.bind(microsoft);
    microsoft.send = (request) => {
      times.push(clock.now);
      return send(request);
    };
    await run(microsoft, { clock, customers: others, missing: () => ["x"] });
    expect(times).toHaveLength(200);
    const inOneSecond = times.map((from) => times.filter((at) => at >= from && at < from + 1000).length);
    expect(Math.max(...inOneSecond)).toBeLessThan(50);
  });
});

test("a token of Partner Center that ends is renewed with the sign-in in memory, once for all customers", async () => {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  const renewed = { body: { token_type: "Bearer", expires_in: 3600, access_token: "renewed", refresh_token: "0.r" } };
  const microsoft = new FakeMicrosoft({
    [GRANT]: [{ status: 401, body: {} }, { status: 201 }],
    [`POST ${LOGIN_HOST}/${HOME}/oauth2/v2.0/token`]: renewed,
  });
  expect((await run(microsoft, { clock }))[0]?.failure).toBeUndefined();
  const authorizations = microsoft.asked
    .filter(({ url }) => url.startsWith(PARTNER_HOST))
    .map(({ headers }) => headers["authorization"]);
  expect(authorizations).toEqual(["Bearer partner-token", "Bearer renewed", "Bearer renewed"]);
  const form = new URLSearchParams(String(microsoft.asked.find(({ url }) => url.includes(HOME))?.body));
  expect(form.get("scope")?.split(" ")).toContain("https://api.partnercenter.microsoft.com/user_impersonation");
});

test("a token of Partner Center that is near its end is renewed before it is used", async () => {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  const renewed = { body: { token_type: "Bearer", expires_in: 3600, access_token: "renewed", refresh_token: "0.r" } };
  const microsoft = new FakeMicrosoft({ [`POST ${LOGIN_HOST}/${HOME}/oauth2/v2.0/token`]: renewed });
  const missing = (times: number) => {
    if (times === 1) clock.now += session.signedIn.accessLifetimeMs - 1;
    return times === 1 ? ["SecurityAlert.Read.All"] : [];
  };
  expect((await run(microsoft, { clock, missing }))[0]?.failure).toBeUndefined();
  const sent = microsoft.asked.filter(({ url }) => url.startsWith(PARTNER_HOST));
  expect(sent.map(({ headers }) => headers["authorization"])).toEqual(["Bearer renewed", "Bearer renewed"]);
});

test("the sign-in asks for Partner Center as the user, with PKCE, and lets the person choose the account", () => {
  const consent = createPartnerConsent({
    http: new FakeMicrosoft(),
    clock: new FakeClock(),
    random: FakeRandom.always(),
    missing: () => Promise.resolve([]),
  });
  const flow = consent.beginSignIn(session.home, session.bridge, "http://localhost:44300/defender-mssp");
  const url = new URL(flow.url);
  expect(url.origin + url.pathname).toBe(`${LOGIN_HOST}/${HOME}/oauth2/v2.0/authorize`);
  expect(Object.fromEntries(url.searchParams)).toEqual({
    client_id: BRIDGE,
    response_type: "code",
    response_mode: "query",
    redirect_uri: "http://localhost:44300/defender-mssp",
    scope: "https://api.partnercenter.microsoft.com/user_impersonation openid profile offline_access",
    prompt: "select_account",
    state: expect.any(String),
    code_challenge: expect.stringMatching(/^[\w-]{43}$/),
    code_challenge_method: "S256",
  });
});

test.each<[number, string, string, string]>([
  [700016, "unauthorized_client", "app-not-found", "The bridge does not exist in your own tenant."],
  [65001, "invalid_grant", "consent-missing", "Your own tenant has not consented to the bridge's permission"],
  [7000222, "invalid_client", "secret-expired", "has expired"],
])("AADSTS%d at the sign-in itself is about the bridge in the own tenant", async (number, error, code, words) => {
  const answer = { status: 400, body: { error, error_codes: [number] } };
  const consent = createPartnerConsent({
    http: new FakeMicrosoft({ [`POST ${LOGIN_HOST}/${HOME}/oauth2/v2.0/token`]: answer }),
    clock: new FakeClock(),
    random: FakeRandom.always(),
    missing: () => Promise.resolve([]),
  });
  const flow = consent.beginSignIn(session.home, session.bridge, "http://localhost:44300/defender-mssp");
  const landed = `${flow.redirectUri}?code=c0de&state=${flow.state}`;
  const failure = await flow.complete(landed).catch((thrown: unknown) => thrown);
  expect(failure).toMatchObject({ code, say: expect.stringContaining(words) });
  expect((failure as Failure).nextStep).not.toMatch(/token acquire|consent-url|credential set/);
});

test("removing first and granting then share Partner Center's limit", async () => {
  const clock = new FakeClock(undefined, { pauses: "pass" });
  const others = Array.from({ length: 60 }, (_, n) => `cccccccc-0000-4000-8000-0000000001${n + 10}`);
  const consents = (tenant: string): string => `${PARTNER_HOST}/v1/customers/${tenant}/applicationconsents`;
  const times: number[] = [];
  const microsoft = new FakeMicrosoft(
    Object.fromEntries(
      others.flatMap((tenant) => [
        [`DELETE ${consents(tenant)}/${BRIDGE}`, { status: 204 }],
        [`POST ${consents(tenant)}`, { status: 404 }],
      ]),
    ),
  );
  const send = microsoft.send.bind(microsoft);
  microsoft.send = (request) => {
    times.push(clock.now);
    return send(request);
  };
  const consent = createPartnerConsent({
    http: microsoft,
    clock,
    random: FakeRandom.always(),
    missing: () => Promise.resolve(["x"]),
  });
  const journal = new FakeJournal();
  await consent.removeBridges(
    session,
    journal,
    others.map((tenant) => ({ home: HOME, tenant, bridge: BRIDGE })),
    NEVER,
  );
  const customers = others.map((tenant) => customer(tenant, tenant));
  await consent.grant({ session, journal, customers, keepBridge: false, stop: NEVER, progress: () => undefined });
  expect(times).toHaveLength(120);
  const inOneSecond = times.map((from) => times.filter((at) => at >= from && at < from + 1000).length);
  expect(Math.max(...inOneSecond)).toBeLessThan(50);
});

test("what an interrupted run left is removed with the bridge that the journal names", async () => {
  const other = "99999999-0000-4000-8000-000000000000";
  const request = `DELETE ${PARTNER_HOST}/v1/customers/${CUSTOMER}/applicationconsents/${other}`;
  const microsoft = new FakeMicrosoft({ [request]: { status: 204 } });
  const journal = new FakeJournal();
  const consent = createPartnerConsent({
    http: microsoft,
    clock: new FakeClock(),
    random: FakeRandom.always(),
    missing: () => Promise.resolve([]),
  });
  const left = await consent.removeBridges(session, journal, [{ home: HOME, tenant: CUSTOMER, bridge: other }], NEVER);
  expect(left.size).toBe(0);
  expect(microsoft.writes()).toEqual([request]);
  expect(journal.entries.map(({ step }) => step)).toEqual(["remove-bridge", "bridge-removed"]);
});
