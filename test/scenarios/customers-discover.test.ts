import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { type Conversation, runOnboardingCommand } from "../harness/onboarding-command.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type ReadyApp, type ReadyProvider, type Simulator, startSimulator } from "../harness/simulator/start.ts";

/** `customers discover` against the simulator: what it prints, what it writes, and what it leaves alone. */

let simulator: Simulator;
let folder: string;
let config: string;

beforeAll(async () => {
  const scenario = {
    name: "customers-discover",
    story: "A provider with customers of every kind.",
    start: "2026-11-24T08:00:00Z",
    customers: ["contoso", "fabrikam", "tailspin", "woodgrove", "adatum"].map((name) => ({ name, consent: "absent" })),
    provider: {
      tenant: "mssp",
      page_max: 2,
      relationships: [
        { customer: "contoso", name: "CIPP_1", customer_name: "Contoso Ltd", roles: ["Security Reader"], ends: "20d" },
        { customer: "fabrikam", name: "CIPP_2", roles: ["Security Reader"], auto_extend: true },
        { customer: "tailspin", name: "MLT_tailspin", roles: ["Global Reader"] },
        { customer: "woodgrove", kind: "governance", apps: ["reader"], roles: ["Security Reader"] },
        { customer: "adatum", name: "CIPP_3", status: "terminated" },
      ],
    },
  };
  simulator = await startSimulator({
    warn: () => undefined,
    scenario: scenarioOf(JSON.stringify(scenario), "customers-discover"),
    frozen: true,
  });
});
afterAll(() => simulator.stop());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "customers-discover-"));
  config = join(folder, "defender-mssp.properties");
  writeFileSync(config, "outputs[0].type=cef-file\noutputs[0].path=/dev/null\n", { mode: 0o600 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(argv: readonly string[], secret = ""): Promise<Conversation> {
  return runOnboardingCommand(argv, {
    folder,
    interactive: false,
    // The simulator's day, in which relationships end.
    clock: {
      nowMs: () => simulator.control.clock.nowMs(),
      monotonicMs: () => performance.now(),
      pause: () => Promise.resolve(),
    },
    answer: (question) =>
      /^client secret/i.test(question)
        ? Promise.resolve(secret)
        : Promise.reject(new Error(`nobody answers: ${question}`)),
  });
}

const addressFlags = () =>
  Object.entries({
    "login-url": simulator.ready.login_url,
    "graph-url": simulator.ready.graph_url,
    "ca-file": simulator.ready.ca_file,
  }).flatMap(([name, value]) => [`--${name}`, value]);
const stateFlag = () => ["--state", join(folder, "state")];
const tenantOf = (name: string): string => simulator.control.customer(name).tenant_id;

async function store(name: string, app: ReadyApp, ...more: readonly string[]): Promise<Conversation> {
  const flags = ["--client-id", app.client_id, ...stateFlag(), ...addressFlags(), ...more];
  return run(["credential", "set", name, ...flags], app.client_secret);
}

function provider(): ReadyProvider {
  const { provider: ready } = simulator.ready;
  if (ready === undefined) throw new Error("the scenario has no provider");
  return ready;
}

async function given(): Promise<void> {
  await store("home", provider().home, "--tenant-id", provider().domain);
  await store("mssp", provider().reader);
}

const discovering = (...flags: readonly string[]) => discoveringIn("gdap", ...flags);
const discoveringIn = (source: string, ...flags: readonly string[]) =>
  run([
    "customers",
    "discover",
    "--config",
    config,
    "--discover",
    source,
    "--discover-credential",
    "home",
    ...stateFlag(),
    ...addressFlags(),
    ...flags,
  ]);
const customersIn = () =>
  [...readFileSync(config, "latin1").matchAll(/^tenants\[\d+\]\.tenant_name=(.*)$/gm)].map(([, name]) => name);

describe("customers discover", () => {
  test("shows who is new, ending and left out, and writes nothing without --apply", async () => {
    await given();
    const before = readFileSync(config, "latin1");
    const { code, out, said } = await discovering();
    expect({ code, said }).toEqual({
      code: 0,
      said: "Nothing is written yet. To write 2 customers, run the command again with --apply.",
    });
    expect(out.split("\n").toSorted()).toEqual(
      [
        "",
        `+ Contoso Ltd  ${tenantOf("contoso")}  Contoso Ltd (${tenantOf("contoso")}) is in the list of customers, but is not configured, so it is not collected.`,
        `! Contoso Ltd  ${tenantOf("contoso")}  The relationship with Contoso Ltd (${tenantOf("contoso")}) ends on 2026-12-14 and is not extended by itself. Collection continues.`,
        `+ fabrikam  ${tenantOf("fabrikam")}  fabrikam (${tenantOf("fabrikam")}) is in the list of customers, but is not configured, so it is not collected.`,
        `x tailspin  ${tenantOf("tailspin")}  is left out: it has only Microsoft's transition relationship (MLT_)`,
      ].toSorted(),
    );
    expect(readFileSync(config, "latin1")).toBe(before);
    expect(existsSync(join(folder, "state", "discovered.json"))).toBe(false);
  });

  test("with --apply adds them as customers add does, with the one stored credential that is not the home app", async () => {
    await given();
    const applied = await discovering("--apply");
    expect(applied).toMatchObject({ code: 0, said: expect.stringContaining(`2 customers are written to ${config}.`) });
    expect(customersIn()).toEqual(["Contoso Ltd", "fabrikam"]);
    const text = readFileSync(config, "latin1");
    expect(text).toContain(`tenants[0].tenant_id=${tenantOf("contoso")}\n`);
    expect(text).toContain("tenants[0].credential=mssp\n");
    expect(text).not.toMatch(/discover|^tenants\[\d\]\.state_dir/m);
    expect(statSync(config).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "state", "discovered.json")).mode & 0o777).toBe(0o600);
    const again = await discovering("--apply");
    expect(again).toMatchObject({ code: 0, said: `${config} needs no change.` });
    expect(again.out).toContain("= 2 customers unchanged\n");
  });

  test("--json prints one object per customer", async () => {
    await given();
    const { out } = await discovering("--json");
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines.map(({ customer, changes, decided, excluded_by }) => [customer, changes, decided, excluded_by]),
    ).toEqual(
      expect.arrayContaining([
        ["Contoso Ltd", ["found", "ending"], "announced", null],
        ["fabrikam", ["found"], "announced", null],
        ["tailspin", [], "excluded", "transition"],
      ]),
    );
    expect(lines).toHaveLength(3);
  });

  test("reads the list of Tenant Governance", async () => {
    await given();
    const { code, out } = await discoveringIn("governance");
    expect({ code, out }).toEqual({
      code: 0,
      out: expect.stringMatching(/^\+ woodgrove {2}[^\n]*is not collected\.\n$/),
    });
  });

  test("reads a file with the same columns as customers import, and no home app", async () => {
    await store("mssp", provider().reader);
    const list = join(folder, "customers.csv");
    writeFileSync(list, "name,tenant\nContoso,contoso.onmicrosoft.com\nNowhere,nowhere.example\n");
    const { code, out, said } = await run([
      "customers",
      "discover",
      "--config",
      config,
      "--discover",
      `file:${list}`,
      "--apply",
      ...stateFlag(),
      ...addressFlags(),
    ]);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("+ Contoso") });
    expect(said).toContain("Line 3 (Nowhere) is not used");
    expect(customersIn()).toEqual(["Contoso"]);
  });
});

describe("customers discover says what is wrong:", () => {
  test("a configuration without a list", async () => {
    const { code, said } = await run(["customers", "discover", "--config", config]);
    expect({ code, said }).toEqual({ code: 2, said: expect.stringContaining("names no list of customers") });
  });

  test("a home app that is not stored, or does not name its tenant", async () => {
    expect(await discovering()).toMatchObject({ code: 3, said: expect.stringContaining("is not stored in") });
    await store("home", provider().home);
    expect(await discovering()).toMatchObject({
      code: 3,
      said: expect.stringContaining("does not name your own tenant"),
    });
  });

  test("a client secret that Microsoft rejects, as one of the home app", async () => {
    await store("home", { ...provider().home, client_secret: "wrong" }, "--tenant-id", provider().tenant_id);
    expect(await discovering()).toMatchObject({
      code: 3,
      said: expect.stringMatching(/rejected the client secret .*about the home app.*nothing is changed/s),
    });
  });

  test.each([
    ["403", { status: 403, code: "Authorization_RequestDenied" }, 3, "lacks DelegatedAdminRelationship.Read.All"],
    ["429", { status: 429 }, 4, "nothing is changed"],
    ["a torn list", { body: "truncated" }, 4, "nothing was changed"],
  ])("%s", async (_, answer, code, says) => {
    await given();
    simulator.control.perform({ do: "fault", on: ["relationships"], answer });
    const before = readFileSync(config, "latin1");
    const done = await discovering("--apply");
    simulator.control.perform({ do: "clear-faults" });
    expect(done).toMatchObject({ code, said: expect.stringContaining(says) });
    expect(readFileSync(config, "latin1")).toBe(before);
  });
});
