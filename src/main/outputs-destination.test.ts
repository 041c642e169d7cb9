import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { deliveriesOf, SAMPLES } from "../../test/golden/samples.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { type HecServer, startHec } from "../../test/harness/hec/server.ts";
import { choose } from "./chosen-configuration.ts";
import { placeOf } from "./command-place.ts";
import { outputsOf } from "./outputs-destination.ts";

let folder: string;
let hec: HecServer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "outputs-destination-"));
  hec = await startHec({ ack: "on", token: "the-right-token", port: 0, out: join(folder, "indexed.jsonl") });
});
afterEach(async () => {
  await hec.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("an outage of an output of a configuration file reaches whoever says the health of customers", async () => {
  const config = join(folder, "run.properties");
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
      `state_dir=${folder}/state`,
      "",
    ].join("\n"),
  );
  const chosen = await choose({ config, overrides: {}, environment: {}, place: placeOf({ config }, { typed: true }) });
  const destination = outputsOf(chosen, new FakeLog())();
  expect(destination.outages?.()).toEqual([]);
  await destination.sink.write(deliveriesOf(SAMPLES[0]!));
  while (destination.outages?.().length !== 1) await pause(10);
  expect(destination.outages?.()).toMatchObject([{ output: "outputs[0]", code: "output-broken", actor: "operator" }]);
  expect(destination.outputs?.()).toMatchObject([{ name: "outputs[0]", type: "hec", state: "down" }]);
  await destination.close();
});
