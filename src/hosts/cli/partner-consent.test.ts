import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../../test/harness/fakes/clock.ts";
import { parseStanzas } from "../../config/settings.ts";
import { commandLines } from "../../model/command-line.ts";
import type { DiscoverySettings, ListedTenant } from "../../model/discovered.ts";
import { Failure, isFailure } from "../../model/failure.ts";
import type { ConsentJournal, OpenGrant, PartnerRun } from "../../model/partner-consent.ts";
import { sealed } from "../../model/sealed.ts";
import type { OnboardingServices } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import type { TenantId } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { partnerConsent } from "./partner-consent.ts";

const HOME = "aaaaaaaa-0000-4000-8000-000000000000";
const BRIDGE = "bbbbbbbb-0000-4000-8000-000000000000";
const READER = "eeeeeeee-0000-4000-8000-000000000000";
const PRIVILEGED_ROLE_ADMINISTRATOR = "e8611ab8-c189-46e8-94e1-60213ab1f814";
const LOGIN_URL = "https://login.microsoftonline.com";
const ELSEWHERE = { login_url: "https://login.elsewhere.example" };
const tenant = (n: number): TenantId => `cccccccc-0000-4000-8000-00000000000${n}` as TenantId;

function listed(n: number, name: string, roles: readonly string[] = [PRIVILEGED_ROLE_ADMINISTRATOR]): ListedTenant {
  const relationship = { id: `${n}`, name: "r", status: "active", roles, ends: null, auto_extend: null };
  return { tenantId: tenant(n), name, relationships: [relationship] };
}

interface World {
  /** Name and tenant of the customers of the configuration. */
  readonly configured?: readonly (readonly [name: string, tenant: string, more?: Readonly<Record<string, string>>])[];
  readonly listed?: readonly ListedTenant[];
  readonly open?: readonly OpenGrant[];
  /** The bridge cannot be removed. */
  readonly isStuck?: boolean;
  /** A stop signal came right after the sign-in. */
  readonly isStopped?: boolean;
  /** Somebody else let the bridge in at every customer. */
  readonly isThere?: true;
  /** Tenants whose access tokens have all permissions. */
  readonly complete?: readonly string[];
  readonly flags?: Flags;
}

/** What `partner consent` did with the world around it. */
async function run({
  configured = [],
  listed: list,
  open = [],
  isStuck = false,
  isStopped = false,
  isThere,
  complete = [],
  flags = {},
}: World) {
  const did: string[] = [];
  const said: string[] = [];
  const out: string[] = [];
  const runs: PartnerRun[] = [];
  const grants = [...open];
  const journal: ConsentJournal = {
    path: "journal.ndjson",
    unreadable: 0,
    openGrants: () => grants,
    append: () => Promise.resolve(),
    close: () => {
      did.push("close");
      return Promise.resolve();
    },
  };
  const discovery: DiscoverySettings = {
    source: "gdap",
    credential: "home",
    mode: "announce",
    exclude: [],
    everyHours: 1,
  };
  const clock = new FakeClock();
  const place = {
    name: "secrets",
    storedCredential: () => Promise.resolve({ clientId: READER, tenant: HOME }),
    // As the real ones do, it gives the secret for the addresses that it was stored for.
    withCredential: (stanza: Stanza) =>
      stanza.endpoints.loginUrl === LOGIN_URL
        ? Promise.resolve({
            ...stanza,
            clientId: stanza.clientId ?? READER,
            clientSecret: stanza.clientSecret ?? sealed("reader's secret"),
          })
        : Promise.reject(
            new Failure("endpoint-changed", {
              actor: "operator",
              retry: { when: "never" },
              say: `The secret of ${stanza.tenantName} was stored for other settings.`,
            }),
          ),
  };
  const services = {
    terminal: {
      interactive: false,
      out: (text: string) => out.push(text),
      say: (line: string) => said.push(line),
      ask: () => Promise.resolve(""),
      askSecret: () => Promise.resolve(sealed("http://localhost:44300/defender-mssp?code=c")),
      readAll: () => Promise.resolve(""),
      progress: () => undefined,
    },
    commands: commandLines({ program: ["defender-mssp"], shell: "posix", flags: {}, secrets: "files" }),
    environment: { DEFENDER_MSSP_CLIENT_SECRET: "bridge's secret" },
    nowMs: () => clock.nowMs(),
    // As the real ones do, the environment's secret becomes every customer's.
    customers(given: Flags) {
      const raw =
        given["config"] === undefined
          ? [{ name: "home", values: { tenant_id: String(given["tenant-id"]), credential: "mssp" } }]
          : configured.map(([name, tenant_id, more]) => ({ name, values: { tenant_id, client_id: BRIDGE, ...more } }));
      const withSecret = raw.map((one) => ({ ...one, values: { ...one.values, client_secret: "bridge's secret" } }));
      const { stanzas, problems } = parseStanzas(withSecret, { host: "cli", nowMs: 0 });
      const rest = { problems, refused: [], warnings: [], consentRedirect: "", stateDir: "state" };
      return Promise.resolve({ stanzas, ...rest, ...(list === undefined ? {} : { discovery }) });
    },
    roster: { findTenant: () => Promise.resolve({ tenantId: HOME as TenantId, cloud: undefined }) },
    filePlace: () => Promise.resolve(place),
    partner: {
      beginSignIn: () => {
        did.push("sign-in");
        const signedIn = { account: "admin", refreshToken: sealed("r"), accessToken: sealed("a") };
        return {
          url: "https://login.example",
          redirectUri: "http://localhost:44300/defender-mssp",
          state: "s",
          complete: () => Promise.resolve(signedIn),
        };
      },
      stopSignal: () => (isStopped ? AbortSignal.abort() : new AbortController().signal),
      openJournal: () => Promise.resolve(journal),
      gdapCustomers: () => Promise.resolve(list ?? []),
      missing: (stanza: Stanza) =>
        Promise.resolve(complete.includes(stanza.tenantId) ? [] : ["SecurityAlert.Read.All"]),
      removeBridges: (_: unknown, __: unknown, these: readonly OpenGrant[]) => {
        did.push(`remove ${these.map((one) => one.tenant).join()}`);
        if (!isStuck) grants.length = 0;
        return Promise.resolve(new Map());
      },
      grant: (one: PartnerRun) => {
        did.push("grant");
        runs.push(one);
        return Promise.resolve(
          one.customers.map((stanza) => ({ stanza, result: "granted", ...(isThere && { bridgeStays: isThere }) })),
        );
      },
    },
  } as unknown as OnboardingServices;
  const all: Flags = { home: "mssp.example", "bridge-client-id": BRIDGE, credential: "mssp", all: true, ...flags };
  let code: number | undefined;
  let failure: string | undefined;
  try {
    code = await partnerConsent(services, all);
  } catch (error) {
    if (!isFailure(error)) throw error;
    failure = `${error.say} ${error.nextStep}`;
  }
  return { code, failure, did, said: said.join("\n"), out: out.join(""), runs, customers: runs[0]?.customers ?? [] };
}

describe("partner consent", () => {
  test("takes the bridge out first where an earlier run may have left it, after the sign-in and before any grant", async () => {
    const open = [{ home: HOME, tenant: tenant(9), bridge: BRIDGE }];
    const { did, said } = await run({ listed: [listed(1, "contoso")], open });
    expect(did).toEqual(["sign-in", `remove ${tenant(9)}`, "grant", "close"]);
    expect(said).toContain("The bridge may still be at 1 customers after an earlier run. It is removed first.");
  });

  test("leaves what another partner tenant's run left to that tenant, and says so", async () => {
    const open = [{ home: tenant(8), tenant: tenant(9), bridge: BRIDGE }];
    const { did, said } = await run({ listed: [listed(1, "contoso")], open });
    expect(did).toEqual(["sign-in", "grant", "close"]);
    expect(said).toContain("1 customers of another partner tenant");
  });

  test.each<[string, World, readonly string[], string]>([
    ["nobody is listed any more", { listed: [] }, ["sign-in", `remove ${tenant(9)}`, "close"], "no customer with"],
    [
      "nobody is called so",
      { listed: [listed(1, "a")], flags: { customer: ["b"] } },
      ["sign-in", `remove ${tenant(9)}`, "close"],
      "No customer is called b.",
    ],
    ["it is a dry run", { listed: [], flags: { "dry-run": true } }, ["close"], "no customer with"],
    ["--keep-bridge is given", { listed: [], flags: { "keep-bridge": true } }, ["close"], "no customer with"],
    [
      "the reader's secret may not go there",
      { configured: [["elsewhere", tenant(1), ELSEWHERE]], flags: { config: "x.properties" } },
      ["close"],
      "was stored for other settings",
    ],
  ])(
    "what an earlier run left is dealt with although nobody can be granted anything: %s",
    async (_, world, steps, why) => {
      const { did, said, failure } = await run({ ...world, open: [{ home: HOME, tenant: tenant(9), bridge: BRIDGE }] });
      expect(did).toEqual(steps);
      expect(failure).toContain(why);
      const isKept = world.flags?.["keep-bridge"] === true;
      expect(said.includes("the bridge may still be at 1 customers after an earlier run")).toBe(!isKept);
    },
  );

  test.each<[string, OpenGrant, Flags, number]>([
    ["where it could not be removed", { home: HOME, tenant: tenant(9), bridge: BRIDGE }, {}, 6],
    ["but not as --keep-bridge says", { home: HOME, tenant: tenant(9), bridge: BRIDGE }, { "keep-bridge": true }, 0],
    ["but not of another partner tenant", { home: tenant(8), tenant: tenant(9), bridge: BRIDGE }, {}, 0],
  ])("a bridge that is left is in the exit code %s", async (_, left, flags, wanted) => {
    const { code, said } = await run({ listed: [listed(1, "contoso")], open: [left], isStuck: true, flags });
    expect(code).toBe(wanted);
    const isSaid = said.includes("The bridge may still be at 1 customers. Run the command again");
    expect(isSaid).toBe(wanted === 6);
  });

  test("says after a stop signal that it stopped, and what is left", async () => {
    const open = [{ home: HOME, tenant: tenant(9), bridge: BRIDGE }];
    const { runs, said, code } = await run({ listed: [listed(1, "a")], open, isStuck: true, isStopped: true });
    expect(runs[0]?.stop.aborted).toBe(true);
    expect(said).toContain("Stopped. The customers under way were finished, and no other one was begun.");
    expect(said).toContain("The bridge may still be at 1 customers. Run the command again");
    expect(code).toBe(6);
  });

  test("names the customers where somebody else let the bridge in, because it stays there", async () => {
    const { code, said } = await run({ listed: [listed(1, "a"), listed(2, "b")], isThere: true });
    expect(said).toContain("At 2 customers the bridge was there already");
    expect(said).toContain("so it stays: a, b.");
    expect(code).toBe(0);
  });

  test("keeps what --keep-bridge kept", async () => {
    const open = [{ home: HOME, tenant: tenant(9), bridge: BRIDGE }];
    const { did, said } = await run({ listed: [listed(1, "contoso")], open, flags: { "keep-bridge": true } });
    expect(did).toEqual(["sign-in", "grant", "close"]);
    expect(said).toContain("The bridge stays at 1 customers, as --keep-bridge says.");
  });

  test("never takes the bridge's secret, or a customer's own app, as the reader's", async () => {
    const { customers, runs } = await run({
      configured: [["contoso", tenant(1)]],
      listed: [listed(1, "Contoso Inc"), listed(2, "Fabrikam")],
      flags: { config: "x.properties" },
    });
    expect(customers.map(({ tenantName }) => tenantName)).toEqual(["contoso", "Fabrikam"]);
    for (const { clientId, clientSecret, credential, auth } of customers) {
      expect({ clientId, credential, auth }).toEqual({ clientId: READER, credential: "mssp", auth: "app" });
      expect(clientSecret?.open((value) => value)).toBe("reader's secret");
    }
    const bridge = runs[0]?.session.bridge;
    expect(bridge?.kind === "secret" && bridge.secret.open((value) => value)).toBe("bridge's secret");
  });

  test("a dry run signs in nobody, grants nothing, and says whose relationship lacks the role", async () => {
    const { code, did, out } = await run({
      listed: [listed(1, "contoso"), listed(2, "fabrikam", []), listed(3, "northwind", []), listed(4, "tailspin")],
      complete: [tenant(3), tenant(4)],
      flags: { "dry-run": true },
    });
    expect(code).toBe(6);
    expect(did).toEqual(["close"]);
    expect(out).toContain("partner-role-missing fabrikam: No GDAP relationship with fabrikam has the role");
    expect(out).toContain("2 of 4 customers have all permissions, 1 would get them, 1 would fail.");
  });

  test("a dry run without the list says that missing roles are not noticed", async () => {
    const { code, said } = await run({
      configured: [["contoso", tenant(1)]],
      flags: { "dry-run": true, config: "x.properties" },
    });
    expect(code).toBe(0);
    expect(said).toContain("The GDAP relationships are not read, so missing roles are not noticed.");
  });

  test("signs in nobody at a first customer's addresses that the reader's secret was not stored for", async () => {
    const { failure, did } = await run({
      configured: [
        ["elsewhere", tenant(1), ELSEWHERE],
        ["contoso", tenant(2)],
      ],
      flags: { config: "x.properties" },
    });
    expect(failure).toContain("The secret of home was stored for other settings.");
    expect(did).toEqual(["close"]);
  });

  test("leaves out configured customers without a relationship, and names them", async () => {
    const { customers, said } = await run({
      configured: [
        ["contoso", tenant(1)],
        ["old", tenant(7)],
      ],
      listed: [listed(1, "Contoso Inc")],
      flags: { config: "x.properties" },
    });
    expect(customers.map(({ tenantName }) => tenantName)).toEqual(["contoso"]);
    expect(said).toContain("1 configured customers have no active GDAP relationship and are left out: old.");
  });

  test("says of each customer of the configuration that is not reached why", async () => {
    const { said, customers } = await run({
      configured: [
        ["army", tenant(1), { cloud: "dod" }],
        ["wrong", tenant(2), { streams: "nonsense" }],
        ["contoso", tenant(3), { log_level: "nonsense" }],
      ],
      flags: { config: "x.properties" },
    });
    expect(customers.map(({ tenantName }) => tenantName)).toEqual(["contoso"]);
    expect(said).toContain("army is left out: Partner Center of cloud dod is not known to this program.");
    expect(said).toMatch(/^log_level .*\.$/m);
    expect(said).toMatch(/^wrong is left out: streams .*\.$/m);
  });

  test("two inputs of one tenant get the permissions of both", async () => {
    const { customers } = await run({
      configured: [
        ["alerts", tenant(1), { streams: "alerts" }],
        ["incidents", tenant(1), { streams: "incidents" }],
      ],
      flags: { config: "x.properties" },
    });
    expect(customers.map(({ streams }) => [...streams].sort())).toEqual([["alerts", "incidents"]]);
  });

  test.each([["fabrikam"], ["FABRIKAM"], [tenant(2)]])("--customer %s finds the customer", async (customer) => {
    const { customers } = await run({
      listed: [listed(1, "contoso"), listed(2, "Fabrikam")],
      flags: { all: false, customer: [customer] },
    });
    expect(customers.map(({ tenantId }) => tenantId)).toEqual([tenant(2)]);
  });

  test.each<[string, World, string]>([
    [
      "one of two customers of a name",
      { listed: [listed(1, "a"), listed(2, "A")], flags: { customer: ["a"] } },
      "2 customers are called a. Give --customer with the tenant ID.",
    ],
    ["an unknown customer", { listed: [listed(1, "a")], flags: { customer: ["b"] } }, "No customer is called b."],
    ["nobody", { listed: [listed(1, "a")], flags: { all: false } }, "No customer was given."],
    ["an empty list", { listed: [] }, "Your tenant lists no customer with an active GDAP relationship."],
    ["no list and no configuration", {}, "No customer is known"],
    ["a bridge that is not a GUID", { flags: { "bridge-client-id": "x" } }, "--bridge-client-id is not a GUID."],
    [
      "the reader as the bridge",
      { listed: [listed(1, "a")], flags: { "bridge-client-id": READER.toUpperCase() } },
      "--bridge-client-id names the app of --credential, and the bridge is removed from every customer",
    ],
    ["missing flags", { flags: { home: undefined, credential: undefined } }, "--home and --credential are missing."],
  ])("refuses %s before anybody signs in", async (_, world, words) => {
    const { failure, did } = await run(world);
    expect(failure).toContain(words);
    expect(did).not.toContain("sign-in");
  });
});
