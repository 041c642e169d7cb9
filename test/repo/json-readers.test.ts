import { globSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = resolve(import.meta.dirname, "../..");

/** Where JSON.parse is called, and why a byte order mark cannot be before what it reads. */
const READERS: Readonly<Record<string, string>> = {
  "src/model/command-line.ts": "one word of a command that this program wrote",
  "src/config/request-stanza.ts": "one line of a setting, which a page of this app or this program writes",
  "src/net/json-answer.ts": "the reader of all JSON from outside; ignores a byte order mark",
  "src/defender/hunting/query-file.ts": "names the place of a mistake; ignores a byte order mark itself",
  "src/defender/hunting/hunting-source.ts": "one member of a scanned answer",
  "src/json/json-text.ts": "one string of a scanned answer",
  "src/json/exact-numbers.ts": "one record of a scanned answer, or a row that this program wrote",
  "src/format/reduced-record.ts": "one name of a scanned record",
  "src/auth/token-claims.ts": "the middle part of a token",
  "src/auth/refresh-token-age.ts": "a fact of the state folder, which this program writes",
  "src/collect/scheduler.ts": "a fact of the state folder, which this program writes",
  "src/outputs/kafka-lane.ts": "a file of the state folder, or a watermark, both of which this program writes",
  "src/outputs/kafka-shards.ts": "a watermark, which this program writes",
  "src/outputs/rejected.ts": "a file of the state folder, which this program writes",
  "src/outputs/spool.ts": "a file of the state folder, which this program writes",
  "src/stores/disk/checkpoint-file.ts": "a file of the state folder, which this program writes",
  "src/stores/disk/consent-journal.ts": "a file of the state folder, which this program writes",
  "src/stores/disk/discovered-file.ts": "a file of the state folder, which this program writes",
  "src/stores/disk/facts.ts": "a file of the state folder, which this program writes",
  "src/stores/disk/orderly-stop.ts": "a file of the state folder, which this program writes",
  "src/stores/postgres/packet.ts": "a row that this program wrote",
  "src/stores/secret-entry.ts": "a file of the state folder or a row, both of which this program writes",
  "src/hosts/arcsight/serve/answers.ts": "a row that this program wrote",
  "src/hosts/arcsight/serve/tokens.ts": "a file of the state folder, which this program writes",
  "src/net/http-server.ts": "an error that this program wrote",
};

test("JSON from outside is read in one place, so that a byte order mark before it never stops a customer", () => {
  const calling = globSync("src/**/*.ts", { cwd: ROOT })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !path.endsWith(".test.ts"))
    .filter((path) =>
      /\bJSON\.parse\(/.test(readFileSync(resolve(ROOT, path), "utf8").replaceAll(/^\s*(?:\*|\/\/).*$/gm, "")),
    );
  expect(calling.toSorted()).toEqual(Object.keys(READERS).toSorted());
});
