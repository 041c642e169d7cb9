import { describe, expect, test } from "@jest/globals";
import {
  type CustomerListing,
  type Discovered,
  type DiscoveryHost,
  type NamedCustomer,
  NOTHING_DISCOVERED,
} from "../../model/discovered.ts";
import { Failure } from "../../model/failure.ts";
import type { TenantId } from "../../model/tenant.ts";
import { discoveryPass, type PassOptions } from "./discovery-pass.ts";
import type { DiscoveryRules } from "./discovery-rules.ts";
import { notBelieved } from "./provider-list.ts";

const HOUR = 3_600_000;
const idOf = (n: number): TenantId => `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;

/** A host in memory that notes what happens in which order. */
class World {
  nowMs = Date.UTC(2026, 10, 29);
  discovered: Discovered = NOTHING_DISCOVERED;
  isDamaged = false;
  rules: DiscoveryRules = { mode: "enrol", exclude: [] };
  readonly configured = new Map<TenantId, string>();
  readonly refusing = new Set<TenantId>();
  /** Configured customers whose tenant cannot be looked up. */
  unresolved: readonly string[] = [];
  failures: ReadonlyMap<TenantId, Failure> = new Map();
  readonly asked: TenantId[] = [];
  steps: string[] = [];
  rejection: Failure | undefined;
  /** How many changes of the configuration this process survives. */
  survives = Number.POSITIVE_INFINITY;
  unwritable = new Set<string>();
  #version = 0;

  /** What `forget` says. */
  notForgotten: Error | undefined;

  readonly host: DiscoveryHost = {
    configured: () => Promise.resolve({ names: new Map(this.configured), unresolved: this.unresolved }),
    refuses: ({ tenantId }) => {
      this.asked.push(tenantId);
      return Promise.resolve(this.refusing.has(tenantId));
    },
    enrol: (customers) => this.#change("enrol", customers, ({ tenantId, name }) => this.configured.set(tenantId, name)),
    remove: (customers) => this.#change("remove", customers, ({ tenantId }) => this.configured.delete(tenantId)),
    forget: (tenantId) => {
      if (this.notForgotten !== undefined) return Promise.reject(this.notForgotten);
      this.steps.push(`forget ${tenantId.slice(7, 8)}`);
      return Promise.resolve();
    },
    tell: (changes) => {
      for (const { kind, customer, failure } of changes)
        if (failure !== undefined) this.steps.push(`tell ${kind} ${customer.name}`);
      return Promise.resolve();
    },
  };

  #change(what: string, customers: readonly NamedCustomer[], apply: (one: NamedCustomer) => void) {
    const failures = new Map<TenantId, Failure>();
    for (const customer of customers) {
      if (this.unwritable.has(customer.name)) {
        failures.set(
          customer.tenantId,
          new Failure("output-broken", { actor: "operator", retry: { when: "never" }, say: "not writable" }),
        );
        continue;
      }
      if (this.survives === 0) return Promise.reject(new Error("killed"));
      this.survives -= 1;
      apply(customer);
      this.steps.push(`${what} ${customer.name}`);
    }
    return Promise.resolve(failures);
  }

  async list(numbers: readonly number[] | Failure, options: PassOptions = {}): Promise<readonly string[]> {
    this.steps = [];
    this.rejection = undefined;
    this.failures = new Map();
    const pass = discoveryPass(
      {
        rules: this.rules,
        host: this.host,
        nowMs: () => this.nowMs,
        memory: {
          load: () => ({ discovered: this.discovered, text: String(this.#version), isDamaged: this.isDamaged }),
          save: (discovered, text) => {
            expect(text).toBe(String(this.#version));
            this.#version += 1;
            this.discovered = discovered;
            this.steps.push("save");
            return Promise.resolve(String(this.#version));
          },
        },
        readList: (): Promise<CustomerListing> =>
          numbers instanceof Failure
            ? Promise.reject(numbers)
            : Promise.resolve({
                source: "gdap",
                isComplete: true,
                tenants: numbers.map((n) => ({ tenantId: idOf(n), name: `C${n}`, relationships: [] })),
              }),
      },
      options,
    );
    try {
      const report = await pass;
      this.rejection = report.rejection;
      this.failures = report.failures;
    } catch (error) {
      this.steps.push(error instanceof Failure ? error.code : "killed");
    }
    this.nowMs += HOUR;
    return this.steps;
  }

  decisions(): Record<string, string> {
    return Object.fromEntries(
      [...this.discovered.customers.values()].map(({ name, decided, by }) => [name, `${decided} by ${by}`]),
    );
  }
}

describe("one pass over the list of customers", () => {
  test("tells and remembers what is new before the configuration changes, and who is enrolled after it", async () => {
    const world = new World();
    expect(await world.list([1, 2])).toEqual([
      "tell found C1",
      "tell found C2",
      "save",
      "enrol C1",
      "enrol C2",
      "save",
    ]);
    expect(world.decisions()).toEqual({ C1: "enrolled by discovery", C2: "enrolled by discovery" });
    expect((await world.list([1, 2])).filter((step) => step !== "save")).toEqual([]);
  });

  test("ended by Splunk after the first input enrols the others in the next one, and tells nobody twice", async () => {
    const world = new World();
    world.survives = 1;
    expect(await world.list([1, 2, 3])).toEqual([
      "tell found C1",
      "tell found C2",
      "tell found C3",
      "save",
      "enrol C1",
      "killed",
    ]);
    world.survives = Number.POSITIVE_INFINITY;
    expect(await world.list([1, 2, 3])).toEqual(["save", "enrol C2", "enrol C3", "save"]);
    expect(world.decisions()).toEqual({
      C1: "enrolled by discovery",
      C2: "enrolled by discovery",
      C3: "enrolled by discovery",
    });
  });

  test("ended by Splunk before it could say so knows what it enrolled, and what a person configured", async () => {
    const world = new World();
    world.unwritable.add("C2");
    await world.list([2]);
    world.unwritable.clear();
    world.configured.set(idOf(2), "C2");
    world.survives = 1;
    await world.list([1, 2, 3]);
    expect(world.configured.size).toBe(2);
    world.survives = Number.POSITIVE_INFINITY;
    await world.list([1, 2, 3]);
    expect(world.decisions()).toEqual({
      C1: "enrolled by discovery",
      C2: "enrolled by operator",
      C3: "enrolled by discovery",
    });
    expect(JSON.stringify([...world.discovered.customers])).not.toContain("enrolling");
  });

  test("in the mode enrol leaves a customer to the person who configured it after it was announced", async () => {
    const world = new World();
    world.rules = { mode: "announce", exclude: [] };
    await world.list([1]);
    world.configured.set(idOf(1), "C1");
    world.rules = { mode: "enrol", exclude: [] };
    await world.list([1]);
    expect(world.decisions()).toEqual({ C1: "enrolled by operator" });
  });

  test("ended by Splunk while it removes inputs removes the others in the next one", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    for (const n of [9, 10]) world.refusing.add(idOf(n));
    const left = [1, 2, 3, 4, 5, 6, 7, 8];
    await world.list(left);
    world.survives = 1;
    expect(await world.list(left)).toEqual(["tell ended C9", "tell ended C10", "save", "remove C9", "killed"]);
    expect(world.decisions()["C10"]).toBe("enrolled by discovery");
    world.survives = Number.POSITIVE_INFINITY;
    expect(await world.list(left)).toContain("remove C10");
    expect(world.configured.size).toBe(8);
    expect(world.decisions()["C10"]).toBe("ended by discovery");
  });

  test("tries again to enrol or remove a customer that could not be written", async () => {
    const world = new World();
    world.unwritable.add("C1");
    await world.list([1, 2, 3, 4, 5, 6]);
    expect(world.decisions()["C1"]).toBe("announced by discovery");
    world.unwritable.clear();
    expect(await world.list([1, 2, 3, 4, 5, 6])).toEqual(["save", "enrol C1", "save"]);
    world.unwritable.add("C6");
    world.refusing.add(idOf(6));
    await world.list([1, 2, 3, 4, 5]);
    await world.list([1, 2, 3, 4, 5]);
    expect(world.decisions()["C6"]).toBe("enrolled by discovery");
    world.unwritable.clear();
    expect(await world.list([1, 2, 3, 4, 5])).toContain("remove C6");
  });

  test("enrols, ends and forgets nobody who may be the configured customer that cannot be looked up", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6, 7]);
    world.refusing.add(idOf(7));
    await world.list([1, 2, 3, 4, 5, 6]);
    await world.list([1, 2, 3, 4, 5, 6]);
    expect(world.decisions()["C7"]).toBe("ended by discovery");
    world.nowMs += 91 * 24 * HOUR;
    world.configured.delete(idOf(6));
    world.unresolved = ["contoso"];
    const before = world.asked.length;
    expect(await world.list([1, 2, 3, 4, 5, 8])).toEqual(["tell found C8", "save", "save"]);
    expect(await world.list([1, 2, 3, 4, 5, 8])).toEqual(["save", "save"]);
    expect(world.asked).toHaveLength(before);
    expect(world.decisions()).toMatchObject({
      C6: "enrolled by discovery",
      C7: "ended by discovery",
      C8: "announced by discovery",
    });
    expect([...world.failures].map(([tenantId, { say }]) => [tenantId, say.includes("contoso")])).toEqual([
      [idOf(8), true],
    ]);
    world.unresolved = [];
    expect(await world.list([1, 2, 3, 4, 5, 8])).toContain("enrol C8");
  });

  test("keeps what it enrolled while its domain cannot be looked up", async () => {
    const world = new World();
    await world.list([1, 2]);
    world.configured.delete(idOf(2));
    world.unresolved = ["C2"];
    await world.list([1, 2]);
    expect(world.decisions()["C2"]).toBe("enrolled by discovery");
  });

  test("asks only tenants that were missing for an hour whether they refuse this program", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6]);
    await world.list([1, 2, 3, 4, 5]);
    expect(world.asked).toEqual([]);
    await world.list([1, 2, 3, 4, 5]);
    expect(world.asked).toEqual([idOf(6)]);
  });

  test("removes a customer under the name that it has now, and nobody who is not configured any more", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    world.configured.set(idOf(9), "renamed by a person");
    world.configured.delete(idOf(10));
    for (const n of [9, 10]) world.refusing.add(idOf(n));
    await world.list([1, 2, 3, 4, 5, 6, 7, 8]);
    expect((await world.list([1, 2, 3, 4, 5, 6, 7, 8])).filter((step) => step.startsWith("remove"))).toEqual([
      "remove renamed by a person",
    ]);
  });

  test("leaves a customer that was only announced and that a person configured after it went missing", async () => {
    const world = new World();
    world.rules = { mode: "announce", exclude: [] };
    await world.list([1, 2, 3, 4, 5, 6]);
    await world.list([1, 2, 3, 4, 5]);
    for (const n of [1, 2, 3, 4, 5, 6]) world.configured.set(idOf(n), `C${n}`);
    world.refusing.add(idOf(6));
    expect(await world.list([1, 2, 3, 4, 5])).toEqual(["tell ended C6", "save", "save"]);
    expect(world.configured.has(idOf(6))).toBe(true);
  });

  test("asks all tenants before it ends one, and ends nobody when many refuse this program", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6]);
    for (const n of [1, 6]) world.refusing.add(idOf(n));
    await world.list([1, 2, 3, 4, 5]);
    expect(await world.list([1, 2, 3, 4, 5])).toEqual(["save", "save"]);
    expect(world.asked.toSorted()).toEqual([1, 2, 3, 4, 5, 6].map(idOf));
    world.refusing.delete(idOf(1));
    expect(await world.list([1, 2, 3, 4, 5])).toContain("remove C6");
  });

  test("enrols nobody by itself while it does not remember who was removed by a person", async () => {
    const world = new World();
    world.isDamaged = true;
    world.configured.set(idOf(1), "C1");
    expect(await world.list([1, 2])).toEqual(["tell found C2", "save", "save"]);
    world.isDamaged = false;
    expect(await world.list([1, 2, 3])).not.toContain("enrol C2");
    expect(world.decisions()).toEqual({
      C1: "enrolled by operator",
      C2: "announced by operator",
      C3: "enrolled by discovery",
    });
    expect(await world.list([1, 2, 3], { isConfirmed: true })).toContain("enrol C2");
  });

  test("asks nobody else when a person confirms the list", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6]);
    for (const n of [1, 6]) world.refusing.add(idOf(n));
    await world.list([1, 2, 3, 4, 5]);
    expect(await world.list([1, 2, 3, 4, 5], { isConfirmed: true })).toContain("remove C6");
    expect(world.asked).toEqual([idOf(6)]);
  });

  test("counts a customer that was only announced as ended after two lists: there is no access to lose", async () => {
    const world = new World();
    world.rules = { mode: "announce", exclude: [] };
    await world.list([1, 2, 3, 4, 5, 6]);
    await world.list([1, 2, 3, 4, 5]);
    expect(await world.list([1, 2, 3, 4, 5])).toEqual(["tell ended C6", "save", "save"]);
    expect(world.asked).toEqual([]);
  });

  test("changes and remembers nothing when the list cannot be used", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5]);
    const before = world.discovered;
    for (const list of [notBelieved("The list of customers ended in the middle"), [], [1, 2, 3]])
      expect(await world.list(list)).toEqual(["discovery-doubtful"]);
    expect(world.discovered).toBe(before);
    expect(world.configured.size).toBe(5);
  });

  test("shows a person what such a list would change, and why it is not believed", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5]);
    const before = world.discovered;
    expect(await world.list([1, 2, 3], { isDry: true })).toEqual([]);
    expect(world.rejection?.code).toBe("discovery-doubtful");
    expect(await world.list([1, 2, 3, 4, 5], { isDry: true })).toEqual([]);
    expect(world.rejection).toBeUndefined();
    expect(world.discovered).toBe(before);
  });

  test("writes nothing in a dry run", async () => {
    const world = new World();
    expect(await world.list([1, 2], { isDry: true })).toEqual([]);
    expect(world.discovered).toBe(NOTHING_DISCOVERED);
  });

  test("that a person asked for enrols everybody who is announced, also in the mode announce", async () => {
    const world = new World();
    world.rules = { mode: "announce", exclude: ["C2"] };
    await world.list([1, 2]);
    expect(await world.list([1, 2, 3], { isConfirmed: true })).toEqual([
      "tell found C3",
      "save",
      "enrol C1",
      "enrol C3",
      "save",
    ]);
    expect(world.decisions()).toEqual({
      C1: "enrolled by discovery",
      C2: "excluded by discovery",
      C3: "enrolled by discovery",
    });
  });

  test.each([
    [
      "is told that it failed",
      new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "no" }),
    ],
    ["is ended meanwhile", new Error("killed")],
  ])("remembers an ended customer until its checkpoints are gone, also when it %s", async (_, error) => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6]);
    world.refusing.add(idOf(6));
    await world.list([1, 2, 3, 4, 5]);
    await world.list([1, 2, 3, 4, 5]);
    world.nowMs += 91 * 24 * HOUR;
    world.notForgotten = error;
    await world.list([1, 2, 3, 4, 5, 7]);
    expect(world.decisions()).toMatchObject({ C6: "ended by discovery", C7: "enrolled by discovery" });
    expect(world.failures.get(idOf(6))).toBe(error instanceof Failure ? error : undefined);
    world.notForgotten = undefined;
    expect(await world.list([1, 2, 3, 4, 5, 7])).toContain("forget 6");
    expect(world.decisions()["C6"]).toBeUndefined();
  });

  test("forgets an ended customer where the state folder is held, and leaves it to that host elsewhere", async () => {
    const world = new World();
    await world.list([1, 2, 3, 4, 5, 6]);
    world.refusing.add(idOf(6));
    await world.list([1, 2, 3, 4, 5]);
    await world.list([1, 2, 3, 4, 5]);
    world.nowMs += 91 * 24 * HOUR;
    const { host } = world;
    const without: DiscoveryHost = { ...host };
    delete (without as { forget?: unknown }).forget;
    Object.assign(world, { host: without });
    await world.list([1, 2, 3, 4, 5]);
    expect(world.decisions()["C6"]).toBe("ended by discovery");
    Object.assign(world, { host });
    expect(await world.list([1, 2, 3, 4, 5])).toContain("forget 6");
    expect(world.decisions()["C6"]).toBeUndefined();
  });
});
