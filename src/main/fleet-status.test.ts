import { expect, test } from "@jest/globals";
import { customerStatus, streamStatus } from "../../test/harness/monitoring/status.ts";
import type { TenantId } from "../model/tenant.ts";
import { shardOf } from "../stores/postgres/fleet-store.ts";
import { lagByShard } from "./fleet-status.ts";

const ONE = "11111111-2222-4333-8444-555555555555" as TenantId;
const OTHER = "99999999-2222-4333-8444-555555555555" as TenantId;

test("a shard's lag is the largest of its streams; those that were not read yet and unknown tenants do not count", () => {
  const streams = [streamStatus({ lag_s: 12 }), streamStatus({ lag_s: 90 }), streamStatus({ lag_s: null })];
  const lags = lagByShard([
    customerStatus("Contoso", { tenantId: ONE, streams }),
    customerStatus("Fabrikam", { tenantId: OTHER, streams: [streamStatus({ lag_s: null })] }),
    customerStatus("Unknown", { tenantId: "", streams: [streamStatus({ lag_s: 500 })] }),
  ]);

  expect(shardOf(ONE)).not.toBe(shardOf(OTHER));
  expect([...lags]).toEqual([[shardOf(ONE), 90]]);
});
