import { describe, expect, test } from "@jest/globals";
import {
  type CustomerListing,
  type Discovered,
  type Finding,
  type ListedTenant,
  NOTHING_DISCOVERED,
  type Relationship,
} from "../../model/discovered.ts";
import { isFailure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { type DiscoveryRules, judge, type Situation, suspects } from "./discovery-rules.ts";
import { failureOf } from "./findings.ts";

const T0 = Date.UTC(2026, 10, 29);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const SECURITY_READER = "5d6b6bb7-de71-4623-b4af-96380a352509";
const GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10";

const idOf = (n: number): TenantId => `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
const relationship = (change: Partial<Relationship> = {}): Relationship => ({
  id: "r",
  name: "CIPP_1",
  status: "active",
  roles: [SECURITY_READER],
  ends: new Date(T0 + 400 * DAY).toISOString(),
  auto_extend: "P180D",
  ...change,
});
const tenant = (n: number, change: Partial<ListedTenant> = {}): ListedTenant => ({
  tenantId: idOf(n),
  name: `Customer ${n}`,
  relationships: [relationship()],
  ...change,
});
const tenants = (...numbers: number[]): ListedTenant[] => numbers.map((n) => tenant(n));
const listing = (of: readonly ListedTenant[], change: Partial<CustomerListing> = {}): CustomerListing => ({
  source: "gdap",
  tenants: of,
  isComplete: true,
  ...change,
});

/** Lists follow one another, and what is enrolled is configured. */
class Provider {
  nowMs = T0;
  known: Discovered = NOTHING_DISCOVERED;
  rules: DiscoveryRules = { mode: "announce", exclude: [] };
  readonly configured = new Map<TenantId, string>();
  readonly refusing = new Set<TenantId>();

  constructor(rules: Partial<DiscoveryRules> = {}) {
    this.rules = { ...this.rules, ...rules };
  }

  /** What happens, as `kind name`, and `refused: …` for a list that changes nothing. */
  list(of: readonly ListedTenant[] | CustomerListing, how: Partial<Situation> = {}): string[] {
    const { nowMs, known, configured } = this;
    const given = Array.isArray(of) ? listing(of) : (of as CustomerListing);
    const asked = new Set(suspects({ nowMs, known, listing: given }));
    const refusing = new Set([...this.refusing].filter((one) => asked.has(one)));
    try {
      const { next, findings, toEnrol, toForget } = judge(this.rules, {
        nowMs,
        known,
        listing: given,
        configured,
        refusing,
        ...how,
      });
      const customers = new Map(next.customers);
      for (const tenantId of toEnrol) {
        const customer = customers.get(tenantId)!;
        configured.set(tenantId, customer.name);
        customers.set(tenantId, { ...customer, decided: "enrolled" });
      }
      for (const { kind, tenantId, customer, wasPolled } of findings)
        if (kind === "ended" && wasPolled === true && customer.by === "discovery") configured.delete(tenantId);
      const happened = findings.map(({ kind, customer }) => `${kind} ${customer.name}`);
      for (const tenantId of toForget) {
        happened.push(`forgotten ${customers.get(tenantId)!.name}`);
        customers.delete(tenantId);
      }
      this.known = { ...next, customers };
      return happened;
    } catch (error) {
      if (!isFailure(error)) throw error;
      return [`refused: ${error.say}`];
    } finally {
      this.nowMs += HOUR;
    }
  }

  decisions(): string[] {
    return [...this.known.customers.values()].map(({ name, decided, by }) => `${name}: ${decided} by ${by}`);
  }
}

describe("a customer that is found", () => {
  test("is reported once, and only a person or the mode enrol makes it polled", () => {
    const announce = new Provider();
    expect(announce.list(tenants(1, 2))).toEqual(["found Customer 1", "found Customer 2"]);
    expect(announce.list(tenants(1, 2))).toEqual([]);
    expect(announce.configured.size).toBe(0);
    const enrol = new Provider({ mode: "enrol" });
    expect(enrol.list(tenants(1))).toEqual(["found Customer 1"]);
    expect(enrol.decisions()).toEqual(["Customer 1: enrolled by discovery"]);
    expect([...enrol.configured.values()]).toEqual(["Customer 1"]);
  });

  test("and announced is enrolled when the mode changes", () => {
    const provider = new Provider();
    provider.list(tenants(1));
    provider.rules = { ...provider.rules, mode: "enrol" };
    expect(provider.list(tenants(1))).toEqual([]);
    expect(provider.decisions()).toEqual(["Customer 1: enrolled by discovery"]);
  });

  test("is not news if a person had configured it, whatever that person calls it", () => {
    const provider = new Provider({ mode: "enrol" });
    provider.configured.set(idOf(1), "our first one");
    expect(provider.list(tenants(1))).toEqual([]);
    expect(provider.decisions()).toEqual(["our first one: enrolled by operator"]);
  });

  test("and that a person takes out of the configuration is not enrolled again", () => {
    const provider = new Provider({ mode: "enrol" });
    provider.list(tenants(1));
    provider.list(tenants(1));
    provider.configured.clear();
    expect(provider.list(tenants(1))).toEqual([]);
    provider.list(tenants(1));
    expect(provider.configured.size).toBe(0);
    expect(provider.decisions()).toEqual(["Customer 1: announced by operator"]);
  });

  test("and that a person takes out of the configuration is not enrolled again when it ended and comes back", () => {
    const provider = new Provider({ mode: "enrol" });
    provider.list(tenants(1, 2, 3, 4, 5, 6));
    provider.configured.delete(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5, 6));
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["ended Customer 6"]);
    expect(provider.list(tenants(1, 2, 3, 4, 5, 6))).toEqual(["found Customer 6"]);
    provider.list(tenants(1, 2, 3, 4, 5, 6));
    expect(provider.configured.has(idOf(6))).toBe(false);
    expect(provider.decisions()).toContain("Customer 6: announced by operator");
  });

  test("keeps its name when Microsoft shows another one, because the name is on its events", () => {
    const provider = new Provider();
    provider.list(tenants(1));
    expect(provider.list([tenant(1, { name: "Renamed" })])).toEqual(["renamed Customer 1"]);
    expect(provider.list([tenant(1, { name: "Renamed" })])).toEqual([]);
    expect(provider.known.customers.get(idOf(1))).toMatchObject({ name: "Customer 1", listed_name: "Renamed" });
  });

  test("has a name of its own, also when two have one name, and the same one in every run", () => {
    const same = [tenant(2, { name: "Contoso" }), tenant(1, { name: "CONTOSO" }), tenant(3, { name: "" })];
    const names = ["CONTOSO", "Contoso 00000002", idOf(3)];
    for (const order of [same, same.toReversed()]) {
      const provider = new Provider();
      provider.list(order);
      expect([...provider.known.customers.values()].map(({ name }) => name)).toEqual(names);
      provider.list(order.toReversed());
      expect([...provider.known.customers.values()].map(({ name }) => name)).toEqual(names);
    }
  });

  test("does not get the name of another customer that is configured", () => {
    const provider = new Provider({ mode: "enrol" });
    provider.configured.set(idOf(9), "customer 1");
    provider.list(tenants(1));
    expect(provider.configured.get(idOf(1))).toBe("Customer 1 00000001");
  });
});

describe("a customer that the settings leave out", () => {
  test.each<[string, Partial<DiscoveryRules>, Partial<ListedTenant>, string | null]>([
    ["its tenant ID", { exclude: [idOf(1).toUpperCase()] }, {}, "discover_exclude"],
    ["its name in another case", { exclude: ["customer 1"] }, {}, "discover_exclude"],
    ["another customer's name", { exclude: ["Customer 2"] }, {}, null],
    ["a name that its relationship has", { match: "CIPP_*" }, {}, null],
    ["a part in the middle", { match: "*pp*" }, {}, null],
    ["a name that its relationship lacks", { match: "CIPP" }, {}, "discover_match"],
    ["a name with signs of a pattern", { match: "CIPP.1" }, {}, "discover_match"],
    ["a role that its relationship has", { match: `role:${SECURITY_READER.toUpperCase()}` }, {}, null],
    ["a role that its relationship lacks", { match: `role:${GLOBAL_ADMINISTRATOR}` }, {}, "discover_match"],
    ["Microsoft's transition", {}, { relationships: [relationship({ name: "MLT_Contoso" })] }, "transition"],
    [
      "a transition beside a relationship",
      {},
      { relationships: [relationship({ name: "MLT_Contoso" }), relationship()] },
      null,
    ],
    [
      "a match that only its transition has",
      { match: "MLT*" },
      { relationships: [relationship({ name: "MLT_Contoso" }), relationship()] },
      "discover_match",
    ],
  ])("by %s is neither reported nor enrolled", (_, rules, change, excludedBy) => {
    const provider = new Provider({ mode: "enrol", ...rules });
    expect(provider.list([tenant(1, change)])).toEqual(excludedBy === null ? ["found Customer 1"] : []);
    expect(provider.known.customers.get(idOf(1))).toMatchObject({
      decided: excludedBy === null ? "enrolled" : "excluded",
      excluded_by: excludedBy,
    });
    expect(provider.configured.size).toBe(excludedBy === null ? 1 : 0);
  });

  test("is found when the settings want it again", () => {
    const provider = new Provider({ exclude: ["Customer 1"] });
    provider.list(tenants(1));
    provider.rules = { mode: "announce", exclude: [] };
    expect(provider.list(tenants(1))).toEqual(["found Customer 1"]);
  });
});

describe("a customer has ended", () => {
  const SIX = [1, 2, 3, 4, 5, 6];
  const given = (): Provider => {
    const provider = new Provider({ mode: "enrol" });
    provider.list(tenants(...SIX));
    return provider;
  };

  test("after two complete lists an hour apart without it, and a refusal of its tenant", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["missing Customer 6"]);
    expect(provider.configured.has(idOf(6))).toBe(true);
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["ended Customer 6"]);
    expect(provider.configured.has(idOf(6))).toBe(false);
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual([]);
  });

  test("never while its tenant gives a token", () => {
    const provider = given();
    provider.list(tenants(1, 2, 3, 4, 5));
    for (let hour = 0; hour < 48; hour += 1) expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual([]);
    expect(provider.configured.has(idOf(6))).toBe(true);
  });

  test("not after two lists within an hour", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    provider.nowMs -= 1;
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual([]);
    expect(provider.configured.has(idOf(6))).toBe(true);
  });

  test("not when a list in between held it", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    provider.list(tenants(...SIX));
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["missing Customer 6"]);
    expect(provider.configured.has(idOf(6))).toBe(true);
  });

  test("not by a list of which a part could not be read", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    for (let hour = 0; hour < 3; hour += 1)
      expect(provider.list(listing(tenants(1, 2, 3, 4, 5), { isComplete: false }))).toEqual([]);
    expect(provider.configured.has(idOf(6))).toBe(true);
  });

  test("but stays configured if a person had configured it", () => {
    const provider = given();
    provider.configured.set(idOf(7), "by hand");
    provider.list(tenants(...SIX, 7));
    provider.refusing.add(idOf(7));
    provider.list(tenants(...SIX));
    expect(provider.list(tenants(...SIX))).toEqual(["ended by hand"]);
    expect(provider.configured.has(idOf(7))).toBe(true);
  });

  test("but stays configured while its settings are those that new customers get", () => {
    const provider = given();
    provider.rules = { ...provider.rules, defaults: "Customer 6" };
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["ended Customer 6"]);
    expect(provider.configured.has(idOf(6))).toBe(true);
    expect(provider.decisions()).toContain("Customer 6: ended by operator");
  });

  test("and is found again under its old name when it comes back", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    provider.list(tenants(1, 2, 3, 4, 5));
    expect(provider.list([...tenants(1, 2, 3, 4, 5), tenant(6, { name: "New name" })])).toEqual([
      "found Customer 6",
      "renamed Customer 6",
    ]);
    expect(provider.configured.get(idOf(6))).toBe("Customer 6");
  });

  test("and is forgotten after 90 days, unless somebody configured it again", () => {
    const provider = given();
    provider.refusing.add(idOf(6));
    provider.list(tenants(1, 2, 3, 4, 5));
    provider.list(tenants(1, 2, 3, 4, 5));
    const endedMs = provider.nowMs - HOUR;
    provider.nowMs = endedMs + 90 * DAY - 1;
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual([]);
    provider.nowMs = endedMs + 90 * DAY;
    provider.configured.set(idOf(6), "Customer 6");
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual([]);
    provider.configured.delete(idOf(6));
    expect(provider.list(tenants(1, 2, 3, 4, 5))).toEqual(["forgotten Customer 6"]);
    expect(provider.known.customers.has(idOf(6))).toBe(false);
  });
});

describe("a list that is not believed changes nothing", () => {
  const given = (): Provider => {
    const provider = new Provider({ mode: "enrol" });
    provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    for (let n = 1; n <= 10; n += 1) provider.refusing.add(idOf(n));
    return provider;
  };

  test("because it is empty, however often", () => {
    const provider = given();
    const before = provider.known;
    for (let hour = 0; hour < 5; hour += 1)
      expect(provider.list([], { isConfirmed: true })).toEqual([
        "refused: Your tenant lists no customer; nothing was changed. Is it the partner tenant?",
      ]);
    expect(provider.known).toBe(before);
  });

  test("because it lost more than a fifth at once, however often", () => {
    const provider = given();
    const before = provider.known;
    for (let hour = 0; hour < 5; hour += 1)
      expect(provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 11))).toEqual([
        "refused: The list of customers lost 3 of 10 at once, so nothing was changed.",
      ]);
    expect(provider.known).toBe(before);
    expect(provider.configured.size).toBe(10);
  });

  test("but the loss of a fifth is believed", () => {
    expect(given().list(tenants(1, 2, 3, 4, 5, 6, 7, 8))).toEqual(["missing Customer 9", "missing Customer 10"]);
  });

  test("because it lost a fifth again and again within a day", () => {
    const provider = given();
    provider.refusing.clear();
    provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 8));
    for (let hour = 1; hour < 24; hour += 1)
      expect(provider.list(tenants(1, 2, 3, 4, 5, 6, 7))).toEqual([
        "refused: The list of customers lost 3 of 10 at once, so nothing was changed.",
      ]);
    expect(provider.list(tenants(1, 2, 3, 4, 5, 6, 7))).toEqual(["missing Customer 8"]);
  });

  test("and ends nobody while more than a fifth of the configured customers refuse, which is hardly theirs", () => {
    const provider = given();
    provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 8, 9));
    expect(provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 8, 9), { refusing: provider.refusing })).toEqual([]);
    const few = new Set([idOf(9), idOf(10)]);
    expect(provider.list(tenants(1, 2, 3, 4, 5, 6, 7, 8, 9), { refusing: few })).toEqual(["ended Customer 10"]);
  });

  test("until a person says that the list is right", () => {
    const provider = given();
    provider.list(tenants(1, 2), { isConfirmed: true });
    expect(provider.list(tenants(1, 2))).toHaveLength(8);
    expect([...provider.configured.values()]).toEqual(["Customer 1", "Customer 2"]);
  });
});

describe("a relationship that ends", () => {
  const ending = (days: number, change: Partial<Relationship> = {}): ListedTenant =>
    tenant(1, {
      relationships: [relationship({ ends: new Date(T0 + days * DAY).toISOString(), auto_extend: "PT0S", ...change })],
    });

  test("is reported 60, 30 and 7 days before, once each", () => {
    const provider = new Provider();
    const days: number[] = [];
    for (let day = 0; day < 100; day += 1) {
      provider.nowMs = T0 + day * DAY;
      if (provider.list([ending(90)]).includes("ending Customer 1")) days.push(90 - day);
    }
    expect(days).toEqual([60, 30, 7]);
  });

  test("is reported once when it is found five days before its end", () => {
    const provider = new Provider();
    expect(provider.list([ending(5)])).toEqual(["found Customer 1", "ending Customer 1"]);
    expect(provider.list([ending(5)])).toEqual([]);
  });

  test("and gets another end is reported for that one", () => {
    const provider = new Provider();
    provider.list([ending(5)]);
    expect(provider.list([ending(50)])).toEqual(["ending Customer 1"]);
  });

  test.each<[string, Partial<Relationship>, readonly Relationship[], boolean]>([
    ["is extended by itself", { auto_extend: "P180D" }, [], false],
    [
      "holds Global Administrator, which Microsoft never extends",
      { auto_extend: "P180D", roles: [GLOBAL_ADMINISTRATOR] },
      [],
      true,
    ],
    ["does not say whether it is extended", { auto_extend: null }, [], true],
    ["has no end", { ends: null }, [], false],
    ["is one of two, and the other is extended", {}, [relationship({ id: "other" })], false],
    ["is one of two, and the other ends later", {}, [relationship({ id: "other", auto_extend: "PT0S" })], false],
  ])("and %s", (_, change, others, isReported) => {
    const { relationships } = ending(5, change);
    const found = new Provider().list([tenant(1, { relationships: [...relationships, ...others] })]);
    expect(found.includes("ending Customer 1")).toBe(isReported);
  });
});

describe("what people are told", () => {
  const findings: readonly [Finding["kind"], Partial<Finding>, string | undefined, string][] = [
    ["found", {}, "customer-found", "is not collected"],
    ["ended", { wasPolled: false }, "customer-ended", "It was not collected."],
    ["ended", { wasPolled: true }, "customer-ended", "checkpoints are kept for 90 days"],
    ["ending", { ends: "2026-12-30T00:00:00.000Z" }, "relationship-ending", "ends on 2026-12-30"],
    ["renamed", {}, undefined, ""],
    ["missing", {}, undefined, ""],
  ];
  test("a customer that is wanted is not called polled before it is configured", () => {
    const provider = new Provider();
    provider.list(tenants(1));
    const customer = provider.known.customers.get(idOf(1))!;
    const failure = failureOf({ kind: "found", tenantId: idOf(1), customer }, { enrolled: true });
    expect(failure?.say).toBe(`Customer 1 (${idOf(1)}) is new in the list of customers and is being configured.`);
  });

  test("the next step after an end is a command only for a customer that is still configured", () => {
    const provider = new Provider();
    provider.list(tenants(1));
    const customer = provider.known.customers.get(idOf(1))!;
    const nextStep = (by: "discovery" | "operator", wasPolled: boolean) =>
      failureOf({ kind: "ended", tenantId: idOf(1), customer: { ...customer, by }, wasPolled }, { enrolled: false })
        ?.nextStep;
    expect(nextStep("discovery", true)).toBe(
      "Nothing to do if the contract has ended. With a new relationship it is found again.",
    );
    expect(nextStep("operator", true)).toContain('`defender-mssp customers remove "Customer 1"`');
    expect(nextStep("operator", false)).toBe("Nothing to do: it is not configured.");
  });

  test.each(findings)("%s %j is %s", (kind, more, code, says) => {
    const provider = new Provider();
    provider.list(tenants(1));
    const customer = provider.known.customers.get(idOf(1))!;
    const failure = failureOf({ kind, tenantId: idOf(1), customer, ...more }, { enrolled: false });
    expect(failure?.code).toBe(code);
    expect(failure?.say ?? "").toContain(says);
  });
});
