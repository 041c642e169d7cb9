import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from "@jest/globals";
import type { Http } from "../../src/model/ports.ts";
import { createHttp } from "../../src/net/http.ts";
import { childEnvironment } from "../harness/child-environment.ts";
import { type KillingFront, startKillingFront } from "../harness/killing-front.ts";
import { noteProof } from "../harness/proof.ts";
import { filesUnder, leakIn, partsOf, tokenIn } from "../harness/secret-search.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import type { ReadyProvider, Simulator } from "../harness/simulator/start.ts";
import { startSimulator } from "../harness/simulator/start.ts";
import { withoutBudgets } from "../harness/simulator/without-budgets.ts";

/**
 * `partner consent` as a person runs it, against the simulator's Partner Center, Entra and Graph. It proves
 * requests, order, what is left at customers and what is left on the disk; it does not prove that Microsoft's
 * Partner Center accepts it.
 */

jest.setTimeout(600_000);

/** `npm run proofs` takes the full counts. */
const isFull = process.env["DEFENDER_MSSP_CRASHES"] === "all";
const MANY = isFull ? 200 : 30;
const SCENARIO = `name: partner
story: A partner with many GDAP customers.
customers:
  - { name: contoso, consent: absent }
  - { name: fabrikam, consent: absent }
  - { name: northwind, consent: absent }
  - { name: customer, count: ${MANY}, consent: absent }
provider:
  tenant: mssp
  requests_per_second: 100000
  relationships:
    - { customer: [contoso, fabrikam, customer], roles: [Security Reader, Privileged Role Administrator] }
    - { customer: northwind, roles: [Security Reader, Cloud Application Administrator] }
`;

let simulator: Simulator;
let front: KillingFront;
let web: Http;
/** What all tests share. */
let kept: string;
let stored: string;
let caFile: string;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  simulator = await startSimulator({ scenario: scenarioOf(SCENARIO, "partner.yaml"), warn: () => undefined });
  // A customer has the runs of all these tests within minutes: together they would be throttled, and one of
  // them would have requests more than the others.
  withoutBudgets(simulator);
  web = createHttp({ environment: {} });
  const shown = await makeServerCertificate(Date.now());
  const service = { origin: simulator.ready.login_url, ca: readFileSync(simulator.ready.ca_file, "utf8") };
  front = await startKillingFront(shown, service, (path) => !path.includes("/authorize"));
  kept = mkdtempSync(join(tmpdir(), "partner-kept-"));
  folder = kept;
  stored = join(kept, "state");
  caFile = join(kept, "ca.pem");
  writeFileSync(caFile, shown.caPem);
  await storeCredentials();
});
afterAll(async () => {
  front.close();
  rmSync(kept, { recursive: true, force: true });
  await web.close();
  await simulator.stop();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "partner-"));
  mkdirSync(join(folder, "tmp"));
  front.arm(undefined, "before", () => undefined);
  simulator.control.world.provider!.requests.length = 0;
  for (const customer of simulator.control.world.customers.values())
    if (customer !== simulator.control.world.provider!.home) customer.servicePrincipals.clear();
});
afterEach(() => {
  // A test that failed must not go on beside the next one.
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const provider = (): ReadyProvider => simulator.ready.provider!;
const tenantOf = (name: string): string => simulator.control.customer(name).tenant_id;
const places = (): string[] =>
  ["--login-url", "--graph-url", "--partnercenter-url"]
    .flatMap((flag) => [flag, front.origin])
    .concat("--ca-file", caFile);

/** A helper's configuration with these customers, and the stored credentials. */
function configured(names: readonly string[]): string {
  const file = join(folder, "defender-mssp.properties");
  const lines = names.flatMap((name, n) => [
    `tenants[${n}].tenant_id=${tenantOf(name)}`,
    `tenants[${n}].tenant_name=${name}`,
    `tenants[${n}].credential=mssp`,
    `tenants[${n}].login_url=${front.origin}`,
    `tenants[${n}].graph_url=${front.origin}`,
    `tenants[${n}].ca_file=${caFile}`,
  ]);
  writeFileSync(
    file,
    [`state_dir=${join(folder, "state")}`, `partnercenter_url=${front.origin}`, ...lines, ""].join("\n"),
  );
  cpSync(stored, join(folder, "state"), { recursive: true });
  return file;
}

/** Of the list of GDAP customers. */
const LISTED = ["--discover", "gdap", "--discover-credential", "home"];

/** Both credentials, stored once as a person stores them; each test begins with a copy. */
async function storeCredentials(): Promise<void> {
  const { tenant_id, home, reader } = provider();
  for (const [name, app, more] of [
    ["mssp", reader, []],
    ["home", home, ["--tenant-id", tenant_id]],
  ] as const) {
    const argv = ["credential", "set", name, "--client-id", app.client_id, "--state", stored, ...more, ...places()];
    const { code } = await program(argv, { DEFENDER_MSSP_CLIENT_SECRET: app.client_secret });
    expect(code).toBe(0);
  }
}

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

/** A process of the program. It answers questions as a person with a browser does. */
function program(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  started: (child: ChildProcess) => void = () => undefined,
): Promise<Ended> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../../src/main/main.ts"), ...argv], {
    env: childEnvironment({ HOME: folder, TMPDIR: join(folder, "tmp"), ...environment }),
    stdio: "pipe",
  });
  children.push(child);
  started(child);
  let out = "";
  let said = "";
  const answers: readonly (readonly [question: string, answer: () => string | Promise<string>])[] = [
    ["Client secret of the bridge", () => provider().bridge.client_secret],
    [
      "Paste that whole address here",
      () => browse(said.split("\n").findLast((line) => line.startsWith("https://")) ?? ""),
    ],
  ];
  const answered = new Set<string>();
  child.stdout.setEncoding("utf8").on("data", (piece: string) => (out += piece));
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    said += piece;
    for (const [question, answer] of answers) {
      if (answered.has(question) || !said.includes(question)) continue;
      answered.add(question);
      // Without an answer the program's input ends, and so does the program.
      void Promise.resolve(answer()).then(
        (line) => child.stdin.write(`${line}\n`),
        () => child.stdin.end(),
      );
    }
  });
  child.stdin.on("error", () => undefined);
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, said })));
}

async function browse(url: string): Promise<string> {
  const answer = await web.send({ method: "GET", url, headers: {}, route: { caFile } });
  await answer.discard();
  return answer.headers["location"] ?? "";
}

function consent(config: string, ...flags: readonly string[]): Promise<Ended> {
  return program(consentArgs(config, ...flags), secretOfBridge());
}

function consentArgs(config: string, ...flags: readonly string[]): string[] {
  const { tenant_id, bridge } = provider();
  const who = ["--home", tenant_id, "--bridge-client-id", bridge.client_id, "--credential", "mssp"];
  return ["partner", "consent", ...who, "--config", config, ...places(), ...flags];
}

const secretOfBridge = () => ({ DEFENDER_MSSP_CLIENT_SECRET: provider().bridge.client_secret });

const view = () => simulator.control.provider()!;
const readerRoles = (names: readonly string[]) =>
  view()
    .customers.filter(({ tenant_name }) => names.includes(tenant_name))
    .map(({ reader }) => reader?.roles);
const COMPLETE = ["SecurityAlert.Read.All", "SecurityIncident.Read.All"];
/** Everything that the program asked for and that changes something. */
const writes = () => front.seen.filter((one) => !one.startsWith("GET") && !one.endsWith("/token"));
const journal = (): string => readFileSync(join(folder, "state", "partner-consent", "journal.ndjson"), "utf8");

/** What a file of this run must not hold: the bridge's secret, and any token. */
function expectNothingOnDisk(): void {
  const parts = partsOf([provider().bridge.client_secret]);
  const found = filesUnder(folder).flatMap((file) => {
    const text = readFileSync(file, "latin1");
    const leak = leakIn(text, parts) ?? tokenIn(text);
    return leak === undefined ? [] : [`${file}: ${leak}`];
  });
  expect(found).toEqual([]);
}

describe("partner consent", () => {
  test("gives many GDAP customers the reader's permissions with one sign-in, and a second run sends no write", async () => {
    const names = Array.from({ length: MANY }, (_, n) => simulator.ready.customers[n + 3]!.tenant_name);
    const config = configured(names);

    const first = await consent(config, "--all");
    expect(first).toMatchObject({ code: 0, out: `\n${MANY} of ${MANY} customers are ready.\n` });
    expect(first.said).toContain(`Granted at ${MANY} customers; 0 had all permissions before.`);
    expect(new Set(readerRoles(names).map((roles) => JSON.stringify(roles)))).toEqual(
      new Set([JSON.stringify(COMPLETE)]),
    );
    expect(view().bridge_left).toEqual([]);
    expect(statSync(join(folder, "state", "partner-consent", "journal.ndjson")).mode & 0o777).toBe(0o600);
    expectNothingOnDisk();

    front.arm(undefined, "before", () => undefined);
    const second = await consent(config, "--all");
    expect(second.code).toBe(0);
    expect(second.said).toContain(`Granted at 0 customers; ${MANY} had all permissions before.`);
    expect(writes()).toEqual([]);
  });

  test("says per reason who must act where it fails, and goes on with the others", async () => {
    const config = configured(["contoso", "northwind"]);
    const { code, out, said } = await consent(config, "--all");
    expect(code).toBe(6);
    expect(out).toContain("partner-role-missing northwind: ");
    expect(out).toContain("Privileged Role Administrator");
    expect(out).toContain("1 of 2 customers are ready.");
    expect(readerRoles(["contoso"])).toEqual([COMPLETE]);
    expect(view().bridge_left).toEqual([]);
    expect(said).not.toContain(provider().bridge.client_secret);
    expectNothingOnDisk();
  });

  test("names the sign-in without multi-factor authentication, and changes nothing", async () => {
    const config = configured(["contoso"]);
    const { user } = simulator.control.world.provider!;
    user.mfa = false;
    try {
      const { code, out } = await consent(config, "--all");
      expect(code).toBe(3);
      expect(out).toContain("Partner Center requires a sign-in with multi-factor authentication.");
      expect(readerRoles(["contoso"])).toEqual([undefined]);
    } finally {
      user.mfa = true;
    }
  });

  test("leaves the bridge with --keep-bridge, and the next run without it takes the bridge out first", async () => {
    const config = configured(["contoso", "fabrikam"]);
    expect((await consent(config, "--customer", "contoso", "--keep-bridge")).code).toBe(0);
    expect(view().bridge_left).toEqual(["contoso"]);

    front.arm(undefined, "before", () => undefined);
    const next = await consent(config, "--customer", "fabrikam");
    expect(next.code).toBe(0);
    expect(next.said).toContain("The bridge may still be at 1 customers after an earlier run. It is removed first.");
    expect(writes()[0]).toBe(
      `DELETE /v1/customers/${tenantOf("contoso")}/applicationconsents/${provider().bridge.client_id}`,
    );
    expect(view().bridge_left).toEqual([]);
  });

  test("--dry-run signs in nobody, changes nothing, and says whose relationship lacks the role", async () => {
    const config = configured(["contoso"]);
    front.arm(undefined, "before", () => undefined);
    const { code, out, said } = await consent(config, "--all", "--dry-run", ...LISTED);
    expect(code).toBe(6);
    expect(out).toContain("partner-role-missing northwind: No GDAP relationship with northwind has the role");
    expect(out).toContain(`0 of ${MANY + 3} customers have all permissions, ${MANY + 2} would get them, 1 would fail.`);
    expect(said).not.toContain("Paste that whole address");
    expect(writes()).toEqual([]);
    expect(view().requests.filter(({ app }) => app === "bridge")).toEqual([]);
  });

  test("reaches a GDAP customer that nobody configured, and reads the bridge's secret from standard input", async () => {
    const config = configured(["contoso"]);
    const { code, out } = await program(consentArgs(config, "--customer", "fabrikam", ...LISTED));
    expect({ code, out }).toEqual({ code: 0, out: "\n1 of 1 customers are ready.\n" });
    expect(readerRoles(["fabrikam"])).toEqual([COMPLETE]);
    expect(view().bridge_left).toEqual([]);
    expectNothingOnDisk();
  });
});

/** Kills at each of these, before Microsoft gets the request and after it did it. */
async function killedAt(config: string, nth: number, when: "before" | "after"): Promise<boolean> {
  let child: ChildProcess | undefined;
  let wasKilled = false;
  front.arm(nth, when, () => {
    wasKilled = true;
    child?.kill("SIGKILL");
  });
  await program(consentArgs(config, "--all"), secretOfBridge(), (started) => {
    child = started;
  });
  front.arm(undefined, "before", () => undefined);
  return wasKilled;
}

describe("killed at any request, it leaves no secret on the disk, and the next run leaves nothing at a customer:", () => {
  // A sample of the requests in `npm test`; all of them in `npm run proofs`.
  const REQUESTS = 24;
  const points = Array.from({ length: REQUESTS }, (_, n) => n + 1).flatMap((nth) =>
    (["before", "after"] as const).map((when) => [nth, when] as const),
  );
  let survived = 0;
  const sampled = isFull ? points : points.filter((_, n) => n % 16 === 7);

  test.each(sampled)("request %d, %s Microsoft did it", async (nth, when) => {
    const config = configured(["contoso", "fabrikam"]);
    expect(await killedAt(config, nth, when)).toBe(true);
    expectNothingOnDisk();

    const next = await consent(config, "--all");
    expect(next.code).toBe(0);
    expect(view().bridge_left).toEqual([]);
    expect(readerRoles(["contoso", "fabrikam"])).toEqual([COMPLETE, COMPLETE]);
    expectNothingOnDisk();
    const known = new Set(["contoso", "fabrikam"].map(tenantOf));
    for (const line of journal().trim().split("\n"))
      expect(known.has((JSON.parse(line) as { tenant: string }).tenant)).toBe(true);
    survived += 1;
  });

  test("a whole run has no more requests than these", async () => {
    const config = configured(["contoso", "fabrikam"]);
    front.arm(undefined, "before", () => undefined);
    expect((await consent(config, "--all")).code).toBe(0);
    expect(front.seen).toHaveLength(REQUESTS);
    if (survived === points.length)
      noteProof({
        name: "partner-consent",
        seed: null,
        counts: { customers: MANY, requests: REQUESTS, kills: survived },
      });
  });
});
