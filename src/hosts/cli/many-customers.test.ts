/** The `customers` commands with 2,000 customers, and with names that try to do harm. */
import { describe, expect, test } from "@jest/globals";
import { parseStanzas } from "../../config/settings.ts";
import { Failure } from "../../model/failure.ts";
import type { ConfiguredCustomer, RosterServices } from "../../model/roster.ts";
import type { FoundCustomers, OnboardingServices, SecretPlace, SignInService } from "../../model/sign-in.ts";
import type { TenantId } from "../../model/tenant.ts";
import type { Flags } from "./ask.ts";
import { importCustomers } from "./customers.ts";
import { listCustomers } from "./customers-list.ts";

const MANY = 2_000;
const WAITING = 150;
const NAMES = Array.from({ length: MANY }, (_, n) => `Customer ${String(n).padStart(4, "0")}`);
const tenantOf = (n: number) => `${String(n).padStart(8, "0")}-2222-4333-8444-555555555555` as TenantId;
const APP = "99999999-0000-4000-8000-000000000000";

/** Files in memory, a sign-in service that knows all tenants, and a terminal that keeps what it gets. */
class Bench {
  readonly files = new Map<string, string>();
  readonly out: string[] = [];
  readonly said: string[] = [];
  inSplunk: readonly ConfiguredCustomer[] = [];
  underContract: ReturnType<RosterServices["underContract"]>;
  /** Without a consent. */
  readonly waiting = new Set<string>();

  readonly services = {
    terminal: {
      interactive: false,
      out: (text: string) => void this.out.push(text),
      say: (line: string) => void this.said.push(line),
      progress: () => undefined,
    },
    environment: { DEFENDER_MSSP_SPLUNK_TOKEN: "token" },
    nowMs: () => Date.parse("2026-11-29T12:00:00Z"),
    readText: (path: string) => Promise.resolve(this.files.get(path)),
    stateDirOfSplunk: () => undefined,
    customers: () => Promise.resolve(this.#configured()),
    splunkPlace: () => Promise.resolve({ withCredential: (stanza) => Promise.resolve(stanza) } as SecretPlace),
    roster: {
      findTenant({ tenantId }) {
        const [, digits] = /^customer-(\d+)\.example$/.exec(tenantId) ?? [];
        if (digits === undefined)
          return Promise.reject(
            new Failure("tenant-not-found", {
              actor: "operator",
              retry: { when: "never" },
              say: `The tenant of ${tenantId} was not found.`,
              nextStep: "Check the domain.",
            }),
          );
        return Promise.resolve({ tenantId: tenantOf(Number(digits)), cloud: "commercial" as const });
      },
      replaceFile: (path, before, after) => {
        expect(this.files.get(path)).toBe(before);
        this.files.set(path, after);
        return Promise.resolve();
      },
      splunk: () => Promise.resolve({ read: () => Promise.resolve(this.inSplunk), write: () => Promise.resolve() }),
      fleet: () => Promise.reject(new Error("there is no fleet")),
      discover: () => Promise.reject(new Error("no list of customers is read")),
      underContract: () => this.underContract,
      kept: () => () => ({ tenantId: undefined, progress: {}, granted: {} }),
    } satisfies RosterServices,
    signInService: {
      consentState: ({ tenantName }) =>
        Promise.resolve({ missing: this.waiting.has(tenantName) ? ["SecurityAlert.Read.All"] : [], say: "" }),
    } as Pick<SignInService, "consentState"> as SignInService,
  } as unknown as OnboardingServices;

  #configured(): FoundCustomers {
    const raw = this.inSplunk;
    const { stanzas, problems, warnings } = parseStanzas(raw, { host: "cli", nowMs: 0 });
    return { stanzas, problems, warnings, refused: [], consentRedirect: "", stateDir: "/state" };
  }

  async run(command: (services: OnboardingServices, flags: Flags) => Promise<number>, flags: Flags) {
    this.out.length = 0;
    this.said.length = 0;
    const code = await command(this.services, flags);
    return { code, lines: this.out.join("").trimEnd().split("\n"), said: this.said.join("\n") };
  }
}

describe("a list of 2,000 customers", () => {
  /** Every fiftieth row is wrong, each in one of these ways. */
  const WRONG: readonly (readonly [row: (n: number) => string, why: RegExp])[] = [
    [(n) => `"=cmd|'/c calc'!A${n}";customer-${n}.example;;`, /formula/],
    [(n) => `<img src=x onerror=alert(${n})>;customer-${n}.example;;`, /with <, >/],
    [(n) => `bell\u0007${n};customer-${n}.example;;`, /control or invisible/],
    [(n) => `${"long".repeat(51)}${n};customer-${n}.example;;`, /characters; write at most 200/],
    [(n) => `customer 0001;customer-${n}.example;;`, /same name as line/],
    [(n) => `Nobody ${n};nobody-${n}.example;;`, /was not found/],
    [(n) => `Twice ${n};customer-1.example;;`, /same tenant as Customer 0001/],
    [(n) => `No tenant ${n};;;`, /has no tenant/],
  ];
  const isWrong = (n: number) => n % 50 === 7;
  const wrongRow = (n: number) => WRONG[Math.floor(n / 50) % WRONG.length]!;
  const listWith = (index: string) => {
    const rows = NAMES.map((name, n) =>
      isWrong(n) ? wrongRow(n)[0](n) : `"${name}";customer-${n}.example;${index};"alerts, incidents"`,
    );
    return `\uFEFFname;tenant;index;streams\r\n${rows.join("\r\n")}\r\n`;
  };

  test.each(["inputs.conf", "defender-mssp.properties"])(
    "with a byte order mark, semicolons, quotes and 40 wrong rows goes into %s, is then unchanged, and changes it again",
    async (config) => {
      const bench = new Bench();
      if (config.endsWith(".properties")) bench.files.set(config, "outputs[0].type=hec\n");
      const importing = async (index: string, apply: boolean) => {
        bench.files.set("list.csv", listWith(index));
        return bench.run(importCustomers, { list: "list.csv", config, credential: "mssp", apply });
      };
      const first = await importing("soc", true);
      expect(first.code).toBe(6);
      const wrong = first.lines.filter((line) => line.startsWith("! "));
      expect(wrong).toHaveLength(40);
      const expected = NAMES.flatMap((_, n) => (isWrong(n) ? [[`! Line ${n + 2} `, wrongRow(n)[1]] as const] : []));
      for (const [at, [line, why]] of expected.entries()) {
        expect(wrong[at]?.replace(/^(! Line \d+) .*/, "$1 ")).toBe(line);
        expect(wrong[at]).toMatch(why);
        expect(wrong[at]).not.toMatch(/[\p{Cc}]/u);
      }
      expect(first.said).toContain("1960 customers are written");
      expect(first.said).toContain("40 of 2000 rows are not used.");
      const written = bench.files.get(config) ?? "";
      expect(written.split(tenantOf(0).slice(8)).length - 1).toBe(1_960);

      const again = await importing("soc", true);
      expect(again.lines[0]).toBe("= 1960 customers unchanged");
      expect(bench.files.get(config)).toBe(written);
      const changed = await importing("other", true);
      expect(changed.said).toContain("1960 customers are written");
      expect(bench.files.get(config)?.match(/index ?= ?other/g)).toHaveLength(1_960);
    },
  );
});

describe("customers list", () => {
  const customer = (name: string, n: number): ConfiguredCustomer => ({
    name: `stanza-${n}`,
    values: { tenant_id: tenantOf(n), tenant_name: name, client_id: APP, client_secret: "secret", auth: "app" },
  });

  test.each([
    ["a file", { config: "inputs.conf" }],
    ["Splunk", { to: "splunk" }],
  ])("of 2,000 customers in %s has a line for each, as text, as JSON and with --waiting", async (_, from) => {
    const bench = new Bench();
    bench.inSplunk = NAMES.map(customer);
    for (const name of NAMES.slice(0, WAITING)) bench.waiting.add(name);
    const text = await bench.run(listCustomers, from);
    expect(text.lines).toHaveLength(MANY + 1);
    expect(text.lines.slice(1).map((line) => line.slice(0, 13))).toEqual(NAMES);
    expect(text.said).toContain("2000 customers: 1850 have consented, 150 have not yet, 0 need somebody to act.");
    const json = await bench.run(listCustomers, { ...from, json: true });
    expect(json.lines.map((line) => (JSON.parse(line) as { customer: string }).customer)).toEqual(NAMES);
    const waiting = await bench.run(listCustomers, { ...from, waiting: true });
    expect(waiting.lines.slice(1).map((line) => line.slice(0, 13))).toEqual(NAMES.slice(0, WAITING));
  });

  const HARMFUL = [
    "=cmd|'/c calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "red \u001b[31m\u0007 text",
    "gpj.\u202eexe",
    "<script>alert(1)</script>",
    "L".repeat(200),
    "Twin",
    "Twin",
  ];

  test("prints one line for each, whatever a customer is called, and none that a spreadsheet runs", async () => {
    const bench = new Bench();
    bench.inSplunk = HARMFUL.map(customer);
    const { lines } = await bench.run(listCustomers, { config: "inputs.conf" });
    expect(lines).toHaveLength(HARMFUL.length + 1);
    for (const line of lines) {
      expect(line).not.toMatch(/^[=+\-@]/);
      expect(line).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
    }
    expect(lines.filter((line) => line.startsWith("L".repeat(40)))).toHaveLength(1);
    expect(lines.join("\n")).not.toContain("L".repeat(41));
    expect(lines.filter((line) => line.startsWith("Twin ")).map((line) => line.split(/ +/)[1])).toEqual([
      tenantOf(8),
      tenantOf(9),
    ]);
  });

  test("keeps names as they are in JSON, one object a line", async () => {
    const bench = new Bench();
    bench.inSplunk = HARMFUL.map(customer);
    const { lines } = await bench.run(listCustomers, { config: "inputs.conf", json: true });
    const read = lines.map((line) => (JSON.parse(line) as { customer: string }).customer);
    // A name with control characters is a wrong setting: the input's own name stands for it.
    const named = HARMFUL.map((name, n) => (/\p{Cc}/u.test(name) ? `stanza-${n}` : name));
    expect(read.toSorted()).toEqual(named.toSorted());
    for (const line of lines) expect(line).not.toMatch(/\p{Cc}/u);
  });

  test("--against prints names of the list of customers as harmlessly", async () => {
    const bench = new Bench();
    bench.underContract = HARMFUL.map((name, n) => ({ tenantId: tenantOf(n), name, isExcluded: false }));
    const { lines } = await bench.run(listCustomers, { config: "inputs.conf", against: true });
    expect(lines).toHaveLength(HARMFUL.length + 1);
    for (const line of lines) expect(line).not.toMatch(/^[=+\-@]|[\p{Cc}\u202a-\u202e]/u);
  });
});
