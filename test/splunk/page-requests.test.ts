import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { ASKS, REQUEST_KEYS, REQUESTS_CONF } from "../../src/config/request-stanza.ts";

const APP = "TA_defender_mssp";

function shipped(file: string): string {
  return readFileSync(path.resolve(import.meta.dirname, "../../splunk-app", APP, file), "utf8");
}

function accessOf(object: string): readonly string[] {
  const [, below = ""] = shipped("metadata/default.meta").split(`\n[${object}]\n`);
  return below.split("\n").slice(0, 2);
}

test("administrators alone write and read the conf file of the pages' requests, as with their KV store collection", () => {
  const administrators = ["access = read : [ admin, sc_admin ], write : [ admin, sc_admin ]", "export = none"];
  expect(accessOf(REQUESTS_CONF)).toEqual(administrators);
  expect(accessOf(`collections/${REQUESTS_CONF}`)).toEqual(administrators);
});

test("the conf file of the pages' requests is shipped without a stanza, and its spec names every setting and what may be asked", () => {
  expect(shipped(`default/${REQUESTS_CONF}.conf`)).not.toMatch(/^[^#\n]/m);
  const spec = shipped(`README/${REQUESTS_CONF}.conf.spec`);
  expect([...REQUEST_KEYS, "answer"].filter((key) => !spec.includes(`\n${key} = `))).toEqual([]);
  expect(ASKS.filter((ask) => !spec.includes(`"${ask}"`))).toEqual([]);
});

test("the pages' requests stay on their host: no cluster member and no indexer gets the conf file", () => {
  expect(shipped("default/server.conf")).toContain(`\nconf_replication_include.${REQUESTS_CONF} = false\n`);
  expect(shipped("default/app.conf")).toContain(`\nreload.${REQUESTS_CONF} = simple\n`);
  const [, denied = ""] = /^defender_mssp_requests = (.*)$/m.exec(shipped("default/distsearch.conf")) ?? [];
  expect(`apps/${APP}/local/${REQUESTS_CONF}.conf`).toMatch(new RegExp(`^${denied}$`));
});
