/**
 * The program as processes: it collects alone, its streams are moved into a fleet, which goes on, and back.
 * The commands are those of docs/fleet.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import { FleetStory } from "../harness/postgres/fleet-story.ts";
import { missingPostgresParts, PostgresServer } from "../harness/postgres/server.ts";
import { describeWith } from "../harness/real-parts.ts";
import { startWithAlerts } from "../harness/simulator/customers.ts";
import type { Simulator } from "../harness/simulator/start.ts";

// Real processes are waited for by events; this is only the bound for a machine that is busy.
jest.setTimeout(3_600_000);

const CUSTOMERS = ["contoso", "fabrikam"];
const HISTORY = 5;

let folder: string;
let server: PostgresServer | undefined;
let simulator: Simulator | undefined;
let story: FleetStory | undefined;

describeWith("the programs of PostgreSQL", missingPostgresParts())(
  "a collector that joins a fleet and leaves it",
  () => {
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "fleet-move-"));
      server = await PostgresServer.start();
    });
    afterAll(async () => {
      story?.end();
      await simulator?.stop();
      await server?.remove();
      rmSync(folder, { recursive: true, force: true });
    });

    test("collects each alert once, with its refresh tokens, and never beside the fleet", async () => {
      const postgres = server as PostgresServer;
      const started = await startWithAlerts("fleet-move", CUSTOMERS, HISTORY);
      simulator = started;
      const fleet = new FleetStory({
        folder,
        name: "moved",
        server: postgres,
        ready: started.ready,
        members: { one: postgres.port },
        refreshTokens: true,
      });
      story = fleet;
      const config = readFileSync(join(folder, "moved", "one.properties"), "utf8");
      const alone = config.split("\n").filter((line) => !line.startsWith("fleet."));
      writeFileSync(join(folder, "moved", "alone.properties"), alone.join("\n"));
      let all = CUSTOMERS.length * HISTORY;
      const appear = (): void => {
        started.control.perform({ do: "record", stream: "alerts", id: randomUUID() });
        all += CUSTOMERS.length;
      };
      const keys = () => fleet.eventsOf("one").map(({ key }) => key);
      const expectEachOnce = (): void => expect([new Set(keys()).size, keys().length]).toEqual([all, all]);

      await fleet.init();
      expect(await fleet.ask(["run", "--once"], "alone")).toMatch(/exit 0$/);
      expectEachOnce();
      appear();
      expect(await fleet.ask(["fleet", "import-state"], "one")).toMatch(/"?refresh_tokens"?[=:]2\b[^\n]*\nexit 0$/);
      expect(await fleet.ask(["run", "--once"], "alone")).toMatch(/moved into the fleet moved[\s\S]*exit 7$/);
      const one = fleet.start("one");
      await fleet.until(() => new Set(keys()).size === all && fleet.waiting === 0, "the fleet goes on");
      expect(await fleet.ask(["fleet", "export-state"], "one")).toMatch(/is in use by process[\s\S]*exit 7$/);
      one.kill("SIGTERM");
      expect([await one.ended, fleet.log]).toEqual([0, expect.any(String)]);
      appear();
      expect(await fleet.ask(["fleet", "export-state"], "one")).toMatch(/"?refresh_tokens"?[=:]2\b[^\n]*\nexit 0$/);
      expect(await fleet.ask(["run", "--once"], "alone")).toMatch(/exit 0$/);
      expect(await fleet.ask(["run"], "one")).toMatch(/were moved to the state folder[^\n]*\n[\s\S]*exit [1-9]$/);

      expectEachOnce();
      expect(await fleet.doctor()).toMatch(/were moved to the state folder [^\n]*[\s\S]*exit 7$/);
    });
  },
);
