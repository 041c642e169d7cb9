import { describe, expect, test } from "@jest/globals";
import { CONTOSO, HOUR } from "../../test/harness/collect/world.ts";
import { FakeClock, T0 } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { credentialWarning } from "../model/credential-warning.ts";
import type { HealthEvent } from "../model/event.ts";
import { Failure } from "../model/failure.ts";
import type { PermissionDrift } from "../model/granted-permissions.ts";
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

describe("the permissions of a customer", () => {
  const GRANTED: PermissionDrift = {
    granted: ["SecurityAlert.Read.All", "SecurityIncident.Read.All"],
    missing: [],
    withdrawn: [],
    unneeded: [],
    changed_at: null,
  };
  const WITHDRAWN: PermissionDrift = {
    ...GRANTED,
    granted: ["SecurityAlert.Read.All"],
    missing: ["SecurityIncident.Read.All"],
    withdrawn: [{ permission: "SecurityIncident.Read.All", since: "2026-11-24T10:15:00.000Z" }],
    changed_at: "2026-11-24T10:15:00.000Z",
  };

  function reporting() {
    const clock = new FakeClock();
    const sent: HealthEvent[] = [];
    const now: { drift: PermissionDrift | undefined; news: Failure[]; outage: Failure | undefined } = {
      drift: undefined,
      news: [],
      outage: undefined,
    };
    const report = new CustomerReport({
      tenant: { id: CONTOSO, name: "contoso" },
      input: "contoso",
      clock,
      log: new FakeLog(),
      version: "1",
      permissions: { drift: () => now.drift, news: () => now.news.splice(0) },
      outage: () => now.outage,
      send: async (event) => void sent.push(event),
    });
    return { clock, sent, now, report };
  }

  test("are in its health events and its status once they are known", async () => {
    const { sent, now, report } = reporting();
    const stream = report.stream("alerts");
    stream.be("ok");
    await Promise.resolve();
    now.drift = GRANTED;
    stream.be("catching-up");
    await report.idle();
    await Promise.resolve();
    await report.idle();
    expect(sent.map((event) => event.permissions)).toEqual([undefined, GRANTED]);
    expect(report.status(0).permissions).toEqual(GRANTED);
  });

  test("that were withdrawn have their date behind the sentence of the streams that need them, and nowhere else", async () => {
    const { clock, sent, now, report } = reporting();
    const [alerts, incidents] = [report.stream("alerts"), report.stream("incidents")];
    const lacks = (code: "consent-missing" | "service-error") =>
      new Failure(code, { actor: "customer", retry: { when: "later" }, say: "It lacks something." });
    now.drift = WITHDRAWN;
    alerts.be("awaiting-consent", lacks("consent-missing"));
    incidents.be("awaiting-consent", lacks("consent-missing"));
    await clock.advance(HOUR);
    report.flush();
    await report.idle();
    const dated = "It lacks something. It was granted before, and is missing since 2026-11-24 10:15 UTC.";
    for (const { streams } of [...sent, report.status(0)])
      expect(streams.map(({ say }) => say)).toEqual(["It lacks something.", dated]);
    incidents.be("failing", lacks("service-error"));
    expect(report.status(0).streams[1]?.say).toBe("It lacks something.");
  });

  test("that no stream needs make one event, and the stream's own state stays", async () => {
    const { clock, sent, now, report } = reporting();
    report.stream("alerts").be("ok");
    now.news = [new Failure("permissions-unneeded", { actor: "operator", retry: { when: "never" }, say: "Too many." })];
    for (let minute = 0; minute < 180; minute += 1) {
      report.flush();
      await clock.advance(60_000);
    }
    await report.idle();
    const reported = sent.filter((event) => event.streams[0]?.failure === "permissions-unneeded");
    expect(reported.map((event) => [event.streams[0]?.state, event.streams[0]?.say])).toEqual([["ok", "Too many."]]);
    expect(sent.length).toBeGreaterThan(2);
  });

  test("that no stream needs are not reported in place of an outage of the output", async () => {
    const { clock, sent, now, report } = reporting();
    report.stream("alerts").be("ok");
    await clock.advance(60_000);
    report.flush();
    const operator = { actor: "operator", retry: { when: "later" } } as const;
    now.outage = new Failure("output-unreachable", { ...operator, say: "HEC is down." });
    now.news = [new Failure("permissions-unneeded", { ...operator, say: "Too many." })];
    report.flush();
    await report.idle();
    expect(sent.map(({ streams }) => streams[0]?.say)).toEqual([null, "Too many.", "HEC is down."]);
  });

  test("that no stream needs are not reported in place of a stream's own failure", async () => {
    const { clock, sent, now, report } = reporting();
    const stream = report.stream("alerts");
    stream.be("failing", new Failure("service-error", { actor: "microsoft", retry: { when: "soon" }, say: "500." }));
    now.news = [new Failure("permissions-unneeded", { actor: "operator", retry: { when: "never" }, say: "Too many." })];
    for (let minute = 0; minute < 90; minute += 1) {
      report.flush();
      await clock.advance(60_000);
    }
    await report.idle();
    expect(new Set(sent.map(({ streams }) => streams[0]?.failure))).toEqual(new Set(["service-error"]));
    stream.be("ok");
    report.flush();
    await report.idle();
    expect(sent.map(({ streams }) => streams[0]?.failure)).toContain("permissions-unneeded");
  });
});
