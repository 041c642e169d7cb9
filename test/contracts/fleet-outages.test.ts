/** An outage of a fleet's output, from the receiver to whoever says the health of a member's customers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { choose } from "../../src/main/chosen-configuration.ts";
import { placeOf } from "../../src/main/command-place.ts";
import { type FleetHost, fleetParts } from "../../src/main/fleet.ts";
import { realClock } from "../../src/main/world.ts";
import { openStateFolder } from "../../src/stores/disk/folder.ts";
import { FakeLog } from "../harness/fakes/log.ts";
import { type HecServer, startHec } from "../harness/hec/server.ts";
import { MEMBER_PASSWORD, MEMBER_ROLE } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, type PostgresServer } from "../harness/postgres/server.ts";
import { StoreWorld } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { streamHealth } from "../harness/stream-health.ts";

describeWith("the programs of PostgreSQL", missingPostgresParts())("an output of a fleet's member", () => {
  const world = new StoreWorld();
  let server: PostgresServer;
  let hec: HecServer;
  let folder: string;

  beforeAll(async () => {
    ({ server } = await world.start());
  });
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "fleet-outages-"));
    hec = await startHec({ ack: "on", token: "the-right-token", port: 0, out: join(folder, "indexed.jsonl") });
  });
  afterEach(async () => {
    await hec.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterAll(() => world.end());

  test("that delivers nothing says why to whoever says the health of its customers, and the member is ready once it joined", async () => {
    const name = await world.newFleet();
    const config = join(folder, "member.properties");
    writeFileSync(
      config,
      [
        "tenants[0].tenant_id=11111111-2222-4333-8444-555555555555",
        "tenants[0].tenant_name=contoso",
        "tenants[0].client_id=aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "outputs[0].type=hec",
        `outputs[0].urls=${hec.ready.url}`,
        "outputs[0].token=another-token",
        `outputs[0].ca_file=${hec.ready.ca_file}`,
        `fleet.url=postgres://127.0.0.1:${server.port}/postgres`,
        `fleet.user=${MEMBER_ROLE}`,
        `fleet.password=${MEMBER_PASSWORD}`,
        `fleet.name=${name}`,
        `state_dir=${folder}/state`,
        "",
      ].join("\n"),
    );
    const place = placeOf({ config }, { typed: true });
    const chosen = await choose({ config, overrides: {}, environment: {}, place });
    const log = new FakeLog();
    const unused = () => Promise.reject(new Error("nobody is collected here"));
    const parts = fleetParts(
      chosen,
      chosen.config.fleet!,
      {
        openLocal: () => openStateFolder(chosen.stateDir, { clock: realClock, log }, { waitForLock: "10s" }),
        files: { read: () => undefined },
        credentials: { everyMs: 60_000, look: unused },
        stop: new AbortController().signal,
        builderWith: () => ({}) as ReturnType<FleetHost["builderWith"]>,
      },
      log,
    );
    // What /healthz/ready answers: 503 before it is a member.
    expect(parts.membership.isReady?.()).toBe(false);
    const state = await parts.openState();
    while (parts.membership.isReady?.() !== true) await pause(10);
    const destination = parts.openDestination();
    expect(destination.outages?.()).toEqual([]);
    await destination.sink.health({
      time: "2026-11-30T12:00:00.000Z",
      tenant: "contoso",
      tenant_id: "11111111-2222-4333-8444-555555555555",
      input: "contoso",
      streams: [streamHealth()],
      credential: null,
      credential_days_left: null,
      version: "test",
    });
    while (destination.outages?.().length !== 1) await pause(10);
    expect(destination.outages?.()).toMatchObject([{ output: "outputs[0]", code: "output-broken", actor: "operator" }]);
    expect(destination.outputs?.()).toMatchObject([{ name: "outputs[0]", type: "hec", state: "down" }]);
    await destination.close();
    await state.release({ orderly: true });
  });
});
