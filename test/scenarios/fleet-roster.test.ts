/**
 * Customers in the database of a fleet: two members as processes, whose files have none, and the commands
 * that add, change and remove them while they are collected.
 */
import { randomUUID } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, jest, test } from "@jest/globals";
import { FleetStory } from "../harness/postgres/fleet-story.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { describeWith } from "../harness/real-parts.ts";
import { SHARED_APP } from "../harness/simulator/identity.ts";
import { scenarioOf } from "../harness/simulator/scenario/apply.ts";
import { type Simulator, startSimulator } from "../harness/simulator/start.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const HISTORY = 5;
const [FIRST, SECOND, THIRD] = ["contoso", "fabrikam", "tailspin"] as const;

let folder: string;
let server: PostgresServer | undefined;
let simulator: Simulator | undefined;
let story: FleetStory | undefined;

describeWith("the programs of PostgreSQL", missingPostgresParts())("customers of a fleet's database", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-roster-"));
    server = await PostgresServer.start();
  });
  afterEach(async () => {
    story?.end();
    await simulator?.stop();
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("are added once, and every member begins, changes and ends them without a restart", async () => {
    const postgres = server as PostgresServer;
    const started = await startSimulator({
      scenario: scenarioOf(
        JSON.stringify({
          name: "fleet-roster",
          story: "Customers that are added while collectors run.",
          customers: [FIRST, SECOND, THIRD].map((name) => ({
            name,
            generate: ["alerts", "incidents"].map((stream) => ({ stream, count: HISTORY, from: "-3h", to: "-1m" })),
          })),
        }),
        "scenario",
      ),
      warn: () => undefined,
    });
    simulator = started;
    const { login_url, graph_url, api_url, ca_file, customers } = started.ready;
    const way = Object.entries({ login_url, graph_url, api_url, ca_file }).flatMap(([key, value]) => [
      `--${key.replaceAll("_", "-")}`,
      value,
    ]);
    const members = { one: postgres.port, two: postgres.port };
    const rosterFlags = [...way, "--poll-seconds", "1"];
    const fleet = new FleetStory({
      folder,
      name: "roster",
      server: postgres,
      ready: started.ready,
      members,
      rosterFlags,
    });
    story = fleet;
    const tenantOf = (name: string) => customers.find(({ tenant_name }) => tenant_name === name)?.tenant_id ?? "";
    const list = join(folder, "customers.csv");
    const listed = (rows: readonly string[]) => writeFileSync(list, `name,tenant,streams\n${rows.join("\n")}\n`);
    const importing = () => fleet.ask(["customers", "import", list, "--to", "fleet", "--apply", ...way], "one");
    const seen = (name: string, stream = "alerts") =>
      ["one", "two"]
        .flatMap((member) => fleet.eventsOf(member))
        .filter(({ key }) => key.startsWith(`${tenantOf(name)}:${stream}:`)).length;

    await fleet.init();
    expect(
      await fleet.ask(
        ["credential", "set", "mssp", ...way],
        "one",
        `${SHARED_APP.clientId}\n${SHARED_APP.clientSecret}\n`,
      ),
    ).toMatch(/exit 0$/);
    cpSync(join(folder, "roster", "one", "secrets"), join(folder, "roster", "two", "secrets"), { recursive: true });
    const running = ["one", "two"].map((member) => fleet.start(member));
    await fleet.until(() => fleet.owners()["one"] === 128 && fleet.owners()["two"] === 128, "each owns its half");

    listed([`${FIRST},${tenantOf(FIRST)},alerts`, `${SECOND},${tenantOf(SECOND)},alerts`, "nobody,nobody.example,"]);
    const imported = await importing();
    expect(imported).toMatch(/2 customers are written to the database of the fleet roster\. Every member/);
    expect(imported).toMatch(/! Line 4 \(nobody\) is not used: [\s\S]*exit 6$/);
    await fleet.until(() => [FIRST, SECOND].every((name) => seen(name) === HISTORY), "both are collected");
    expect(seen(FIRST, "incidents")).toBe(0);

    listed([`${FIRST},${tenantOf(FIRST)},"alerts,incidents"`]);
    expect(await importing()).toMatch(/streams: alerts -> alerts,incidents[\s\S]*exit 0$/);
    await fleet.until(() => seen(FIRST, "incidents") === HISTORY, "its other stream is collected too");

    expect(await fleet.ask(["customers", "remove", SECOND, "--to", "fleet"], "two")).toMatch(/exit 0$/);
    expect(
      await fleet.ask(["customers", "add", THIRD, "--tenant", tenantOf(THIRD), "--to", "fleet", ...way], "two"),
    ).toMatch(/exit 0$/);
    await fleet.until(() => seen(THIRD) === HISTORY, "the new one is collected");
    started.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
    await fleet.until(() => seen(FIRST) === HISTORY + 1 && seen(THIRD) === HISTORY + 1, "who stays goes on");
    const state = await fleet.ask(["customers", "list", "--json", "--to", "fleet", ...way], "one");
    expect(state).toMatch(new RegExp(`"${FIRST}"[^\\n]*"consented"[^\\n]*\\n[^\\n]*"${THIRD}"[^\\n]*"consented"`));

    for (const member of running) member.kill("SIGTERM");
    expect(await Promise.all(running.map(({ ended }) => ended))).toEqual([0, 0]);
    // The removed one was shown as well, and not collected any more.
    expect(seen(SECOND)).toBe(HISTORY);
    const keys = ["one", "two"].flatMap((member) => fleet.eventsOf(member).map(({ key }) => key));
    expect(new Set(keys).size).toBe(keys.length);
  });
});
