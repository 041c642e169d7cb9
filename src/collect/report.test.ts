import { expect, test } from "@jest/globals";
import { CONTOSO, HOUR } from "../../test/harness/collect/world.ts";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { credentialWarning } from "../model/credential-warning.ts";
import type { HealthEvent } from "../model/event.ts";
import { CustomerReport } from "./report.ts";

const DAY_MS = 86_400_000;

test("each threshold of a credential that will expire makes one health event, and the stream's own state stays", async () => {
  const clock = new FakeClock();
  const sent: HealthEvent[] = [];
  const unusedDays = () => 58 + Math.floor((clock.nowMs() - T0) / DAY_MS);
  const report = new CustomerReport({
    tenant: { id: CONTOSO, name: "contoso" },
    input: "contoso",
    clock,
    log: new FakeLog(),
    version: "1",
    credential: {
      name: null,
      daysLeft: () => 90 - unusedDays(),
      warnings: () =>
        [85, 75, 60]
          .filter((threshold) => unusedDays() >= threshold)
          .slice(0, 1)
          .map((threshold) =>
            credentialWarning(`refresh-token-${threshold}`, `unused for ${threshold} days`, "sign in again"),
          ),
    },
    send: async (event) => void sent.push(event),
  });
  const stream = report.stream("alerts");
  stream.be("ok");
  for (let hour = 0; hour < 30 * 24; hour++) {
    report.flush();
    await clock.advance(HOUR);
  }
  await report.idle();

  const warned = sent.filter((event) => event.streams[0]?.failure === "credential-expiring");
  expect(
    warned.map((event) => [
      event.streams[0]?.say,
      event.streams[0]?.state,
      event.streams[0]?.actor,
      event.credential_days_left,
    ]),
  ).toEqual([
    ["unused for 60 days", "ok", "operator", 30],
    ["unused for 75 days", "ok", "operator", 15],
    ["unused for 85 days", "ok", "operator", 5],
  ]);
});
