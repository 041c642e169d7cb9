/** How members connect to a real PostgreSQL: TLS that is verified, several hosts, a failover. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { FleetSettings } from "../../src/config/fleet-settings.ts";
import { fleetConnections } from "../../src/main/fleet-database.ts";
import { sealed } from "../../src/model/sealed.ts";
import { PrimaryHost } from "../../src/stores/postgres/connections.ts";
import { freePort } from "../harness/free-port.ts";
import { connectedBy, settingsFor } from "../harness/postgres/fleet.ts";
import { missingPostgresParts, PostgresServer, SUPERUSER_PASSWORD } from "../harness/postgres/server.ts";
import { codeOf } from "../harness/postgres/store-world.ts";
import { describeWith } from "../harness/real-parts.ts";
import { makeServerCertificate } from "../harness/simulator/certificates.ts";

const withPostgres = describeWith("the programs of PostgreSQL", missingPostgresParts());

/** What the database answers, or how the connection failed. */
const asked = <Row>(settings: FleetSettings, sql: string): Promise<Row | string> =>
  connectedBy(settings, async (database) => (await database.query<Row>(sql))[0] as Row);

const PORT = "select current_setting('port') as port";
const IS_ENCRYPTED = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

withPostgres("connections to PostgreSQL", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "postgres-tls-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const fileOf = (name: string, pem: string): string => {
    const path = join(folder, name);
    writeFileSync(path, pem);
    return path;
  };

  describe("with TLS", () => {
    let server: PostgresServer;
    let caFile: string;
    let otherCaFile: string;
    beforeAll(async () => {
      const certificate = await makeServerCertificate(Date.now());
      caFile = fileOf("ca.pem", certificate.caPem);
      otherCaFile = fileOf("other-ca.pem", (await makeServerCertificate(Date.now())).caPem);
      server = await PostgresServer.start({ listen_addresses: "'127.0.0.1,127.0.0.2'" }, certificate);
    });
    afterAll(() => server?.remove());

    test("a certificate of the authority in fleet.ca_file is accepted, and the connection is encrypted", async () => {
      expect(await asked(settingsFor([server.port], { caFile }), IS_ENCRYPTED)).toEqual({ ssl: true });
    });

    test("a database on this machine may go without", async () => {
      expect(await asked(settingsFor([server.port]), IS_ENCRYPTED)).toEqual({ ssl: false });
    });

    test("a certificate of another authority is refused, and nothing is sent in clear instead", async () => {
      const said = await asked(settingsFor([server.port], { caFile: otherCaFile }), IS_ENCRYPTED);

      expect(said).toMatch(/^fleet-unreachable never .*certificate/);
    });

    test("a certificate for another name is refused, also where the host is an address", async () => {
      // The certificate is good for 127.0.0.1.
      const hosts = [{ host: "127.0.0.2", port: server.port }];
      const said = await asked(settingsFor([], { hosts, caFile }), IS_ENCRYPTED);

      expect(said).toMatch(/^fleet-unreachable never .*(?:altnames|IP)/);
    });

    test("a server without TLS is refused where TLS is asked for", async () => {
      const plain = await PostgresServer.start();
      try {
        expect(await asked(settingsFor([plain.port], { caFile }), IS_ENCRYPTED)).toMatch(
          /^fleet-unreachable never .*does not support SSL/,
        );
      } finally {
        await plain.remove();
      }
    });

    test("a wrong password is refused with what to correct, and is in no sentence", async () => {
      const said = await asked(settingsFor([server.port], { password: sealed("not-the-password") }), IS_ENCRYPTED);

      expect(said).toMatch(/^fleet-unreachable never .*password authentication failed/);
      expect(said).not.toContain("not-the-password");
    });

    test("a database that does not exist is refused, and one that refuses connections is waited for", async () => {
      const unknown = await asked({ ...settingsFor([server.port]), database: "unknown" }, IS_ENCRYPTED);
      expect(unknown).toMatch(/^fleet-unreachable never .*database "unknown" does not exist/);
      expect(await asked(settingsFor([await freePort()]), IS_ENCRYPTED)).toMatch(/^fleet-unreachable later /);
    });

    test("no password of this account's environment is used instead of a missing one", async () => {
      process.env["PGPASSWORD"] = SUPERUSER_PASSWORD;
      try {
        const { password: _, ...without } = settingsFor([server.port]);
        expect(await asked(without, IS_ENCRYPTED)).toMatch(/^fleet-unreachable /);
      } finally {
        delete process.env["PGPASSWORD"];
      }
    });
  });

  describe("with several hosts", () => {
    test("the primary is found, and after a failover the standby that was promoted; nothing committed is missing", async () => {
      const primary = await PostgresServer.start();
      let standby: PostgresServer | undefined;
      try {
        primary.query("create table t(n int)");
        standby = await primary.startStandby();
        await primary.waitForStandby(true);
        const connections = await fleetConnections(settingsFor([standby.port, primary.port]), 1);
        await connections.query("insert into t values (1)");
        await primary.kill();
        const whileGone = await codeOf(connections.query("insert into t values (2)"));
        standby.query("select pg_promote()");
        standby.query("alter system reset synchronous_standby_names");
        standby.query("select pg_reload_conf()");
        await connections.query("insert into t values (3)");
        await connections.close();

        expect(["fleet-unreachable", "fleet-unsettled"]).toContain(whileGone);
        expect(standby.query("select n from t order by n")).toEqual(["1", "3"]);
      } finally {
        await standby?.remove();
        await primary.remove();
      }
    });

    test("a primary that was replaced while it lives, and whose commits wait for its standby for ever, is left by all connections", async () => {
      const primary = await PostgresServer.start();
      let standby: PostgresServer | undefined;
      try {
        primary.query("create table t(n int)");
        standby = await primary.startStandby();
        await primary.waitForStandby(true);
        const settings = settingsFor([primary.port, standby.port]);
        const within = { answerWithinMs: 5_000, primary: new PrimaryHost() };
        const connections = await fleetConnections(settings, 2, undefined, within);
        const renewals = await fleetConnections(settings, 1, undefined, within);
        const answering = async () =>
          (await Promise.all([connections, connections, renewals].map((one) => one.query(PORT)))).flat();
        expect(await answering()).toEqual(Array.from({ length: 3 }, () => ({ port: String(primary.port) })));
        await connections.query("insert into t values (1)");
        standby.query("select pg_promote()");
        const whileWaiting = await codeOf(connections.query("insert into t values (2)"));
        await connections.query("insert into t values (3)");
        // The old one would still answer a question, and that it has no such stream.
        const after = await answering();
        await connections.close();
        await renewals.close();

        expect(after).toEqual(Array.from({ length: 3 }, () => ({ port: String(standby?.port) })));
        expect(whileWaiting).toBe("fleet-unsettled");
        expect(standby.query("select n from t order by n")).toEqual(["1", "3"]);
      } finally {
        await standby?.remove();
        await primary.remove();
      }
    });
  });
});
