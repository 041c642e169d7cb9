import { DatabaseError } from "pg";
import {
  clockDiffers,
  configurationDiffers,
  keyDiffers,
  missing,
  outputHangs,
  starved,
  undeliverable,
} from "../../../src/collect/fleet/failures.ts";
import { checksOf } from "../../../src/main/fleet-doctor.ts";
import type { Failure } from "../../../src/model/failure.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { Connections, type Database } from "../../../src/stores/postgres/connections.ts";
import { databaseUnreachable, statementFailed } from "../../../src/stores/postgres/failures.ts";
import { fleetMoved } from "../../../src/stores/postgres/move.ts";
import { checkSchemaVersion, SCHEMA_VERSION } from "../../../src/stores/postgres/schema.ts";
import { openFleetStream } from "../../../src/stores/postgres/stream-store.ts";
import { freePort } from "../../harness/free-port.ts";
import { type Causes, type Raised, thrownBy } from "./cause.ts";

const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;

async function withoutDatabase(): Promise<Raised> {
  const connections = new Connections({
    address: { hosts: [{ host: "127.0.0.1", port: await freePort() }], database: "fleet", user: "collector" },
    tlsFor: () => undefined,
    count: 1,
  });
  try {
    return await thrownBy(() => connections.query("select 1"));
  } finally {
    await connections.close();
  }
}

function said(code: string, message: string): DatabaseError {
  return Object.assign(new DatabaseError(message, 0, "error"), { code });
}

/** A database that has no row for what is asked. */
const EMPTY: Database = { query: () => Promise.resolve([]) };

/** A check of `doctor --fleet` over a database that answers every question with these rows. */
function failingCheck(name: string, rows: readonly unknown[]): Promise<Raised> {
  const database: Database = { query: <Row>() => Promise.resolve(rows as readonly Row[]) };
  const check = checksOf(database, "main", "db.example.com:5432").find((one) => one.name === name);
  return thrownBy(() => check?.run(new AbortController().signal));
}

function raised(failure: Failure): Promise<Raised> {
  return thrownBy(() => {
    throw failure;
  });
}

/** Of a database without standbys that keeps what it commits. */
const DATABASE = {
  version: "15.2",
  commit: "on",
  fsync: "on",
  standby_names: "",
  standbys: 0,
  in_sync: null,
  read_only: false,
  bytes: "1",
  connections: 4,
  connections_most: 100,
};

export const FLEET = {
  "fleet-unreachable": ["nothing listens where the database should be", withoutDatabase],
  "fleet-refused": [
    "the database's disk is full",
    () =>
      thrownBy(() => {
        throw statementFailed(said("53100", "could not extend file: No space left on device"));
      }),
  ],
  "fleet-unsettled": [
    "the server ends the connection while it commits",
    () =>
      thrownBy(() => {
        throw statementFailed(said("57P01", "terminating connection due to administrator command"));
      }),
  ],
  "fleet-fenced": [
    "a stream is opened under a lease that is another's by now",
    () =>
      thrownBy(() =>
        openFleetStream(
          { database: EMPTY, schema: "defender_mssp_main", boot: TENANT },
          {
            key: { stanza: "Contoso", tenantId: TENANT, stream: "alerts" },
            lease: { shard: 1, epoch: 1n },
            outputs: [],
            events: { committed: () => undefined, lost: () => undefined },
            others: [],
          },
        ),
      ),
  ],
  "fleet-not-durable": [
    "the database does not wait for its own disk",
    () => failingCheck("durability", [{ ...DATABASE, commit: "off" }]),
  ],
  "fleet-standby-missing": [
    "the synchronous standby is gone",
    () => failingCheck("durability", [{ ...DATABASE, standby_names: "standby" }]),
  ],
  "fleet-behind": [
    "a member is starved of processor time",
    () => failingCheck("lag", [{ shard: 7, owner: "one", streams: 2, late: 2, lag_ms: "3600000", opened: 1 }]),
  ],
  "fleet-set-aside": [
    "a packet in the database is damaged",
    () =>
      failingCheck("packets", [
        { customer: "Contoso", stream: "alerts", packets: 1, records: 12, sinceMs: "0", damage: "Unknown frame" },
      ]),
  ],
  "fleet-clock-differs": ["a host's clock is an hour off", () => raised(clockDiffers(3_600_000))],
  "fleet-configuration-differs": ["another member has another file", () => raised(configurationDiffers(["two"], true))],
  "fleet-key-differs": ["a member was given the key file of another fleet", () => raised(keyDiffers())],
  "fleet-moved": [
    "the fleet's streams were moved into a state folder",
    () => raised(fleetMoved("main", { direction: "out", folder: TENANT, place: "/var/lib/defender-mssp on host-1" })),
  ],
  "fleet-output-hangs": ["a network disk is gone when customers are given up", () => raised(outputHangs())],
  "fleet-starved": ["a member's host has too few processors", () => raised(starved(3, 9_000, 5_000))],
  "fleet-unconfirmed": [
    "the database is gone for half a minute",
    () => raised(missing(databaseUnreachable("db.example.com:5432", new Error("connect ECONNREFUSED")))),
  ],
  "fleet-undelivered": ["an output's format fails on one event", () => raised(undeliverable(["Contoso"]))],
  "fleet-unowned": ["no member is alive", () => failingCheck("members", [{ n: 256 }])],
  "fleet-schema": [
    "a newer release made the schema",
    () => thrownBy(() => checkSchemaVersion("main", SCHEMA_VERSION + 1)),
  ],
} satisfies Causes;
