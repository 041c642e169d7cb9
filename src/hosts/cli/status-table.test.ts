import { expect, test } from "@jest/globals";
import { customerStatus, outputStatus, streamStatus } from "../../../test/harness/monitoring/status.ts";
import type { CustomerStatus } from "../../model/status.ts";
import { statusDocument } from "../../monitoring/status-document.ts";
import { statusTable } from "./status-table.ts";

const signedOut = (name: string): CustomerStatus =>
  customerStatus(name, {
    streams: [
      streamStatus({
        state: "signed-out",
        failure: "not-signed-in",
        actor: "operator",
        say: `${name} has no refresh token.`,
        next_step: `Run \`defender-mssp token acquire --customer ${name}\`.`,
      }),
    ],
  });

test("the table counts customers by their worst stream and names each reason once with who must act", () => {
  const customers = [
    customerStatus("Contoso", { streams: [streamStatus(), streamStatus({ stream: "incidents", lag_s: 95 })] }),
    signedOut("Fabrikam"),
    signedOut("Litware"),
    customerStatus("Adatum", { streams: [] }),
  ];
  const outputs = [outputStatus({ state: "down", spoolBytes: 1_572_864, oldestS: 61 })];
  expect(statusTable(statusDocument("collector-1", "1.2.3", { customers, outputs }))).toBe(`\
collector-1: 4 customers, version 1.2.3

STATE        CUSTOMERS
-----------  ---------
ok           1
catching-up  1
signed-out   2

ACTOR      COUNT FAILURE       CUSTOMERS: WHAT
operator       2 not-signed-in Fabrikam, Litware: Fabrikam has no refresh token. Run \`defender-mssp token acquire --customer Fabrikam\`. The same for the others.

Largest lag: 95 s (Contoso, incidents).

OUTPUT      TYPE    STATE  SPOOL MIB  OLDEST S  UNCONFIRMED  REJECTED
----------  ------  -----  ---------  --------  -----------  --------
outputs[0]  syslog  down   1.5        61        -            0
`);
});

test("control characters in what a server answers do not reach the terminal", () => {
  const customers = [signedOut("Fab\u001b[2Jrikam\nok 100")];
  const table = statusTable(statusDocument("c\u0007", "1", { customers, outputs: [] }));
  expect(table.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  expect(table.split("\n").some((line) => line.startsWith("ok"))).toBe(false);
});

test("a permission that customers withdrew has their dates, and what no stream needs is one line", () => {
  const withdrew = (tenant: string, day: string): CustomerStatus =>
    customerStatus(tenant, {
      streams: [
        streamStatus({
          state: "awaiting-consent",
          failure: "consent-missing",
          actor: "customer",
          say: `${tenant} lacks it. It was granted before, and is missing since ${day} 09:00 UTC.`,
          next_step: "Send the link.",
        }),
      ],
      permissions: {
        granted: ["SecurityIncident.Read.All", "Directory.Read.All"],
        missing: ["SecurityAlert.Read.All"],
        withdrawn: [{ permission: "SecurityAlert.Read.All", since: `${day}T09:00:00.000Z` }],
        unneeded: ["Directory.Read.All"],
        changed_at: `${day}T09:00:00.000Z`,
      },
    });
  const customers = [withdrew("Contoso", "2026-11-20"), withdrew("Fabrikam", "2026-11-22")];
  const document = statusDocument("c", "1", { customers, outputs: [] });
  expect(document.customers[0]?.permissions).toEqual(customers[0]?.permissions);
  const table = statusTable(document);
  expect(table).toContain("customer       2 consent-missing Contoso (since 2026-11-20), Fabrikam (since 2026-11-22): ");
  expect(table).toContain("Granted to the app, and needed by no stream: Directory.Read.All (Contoso, Fabrikam).\n");
});

test("what a fleet's database knows has a line for each owner of shards, with the largest lag and its shard", () => {
  const shard = (number: number, collector: string | null, lag_s: number | null, late = 0) => ({
    shard: number,
    collector,
    streams: 2,
    late,
    lag_s,
  });
  const document = {
    ...statusDocument("c", "1", { customers: [], outputs: [] }),
    shards: [shard(0, "two", 12), shard(1, "one", 70), shard(2, "one", 4_000, 1), shard(3, null, null)],
  };
  expect(statusTable(document)).toContain(`
OWNER     SHARDS  STREAMS  LATE  LARGEST LAG S  IN SHARD
--------  ------  -------  ----  -------------  --------
(nobody)  1       2        0     -              -
one       2       4        1     4000           2
two       1       2        0     12             0
`);
});
