import { describe, expect, test } from "@jest/globals";
import { FakeClock } from "../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { Failure } from "../model/failure.ts";
import { GRANTED_FACT, historyName, keptPermissions, PermissionHistory } from "./permission-history.ts";

const ALERT = "SecurityAlert.Read.All";
const INCIDENT = "SecurityIncident.Read.All";
const HUNTING = "ThreatHunting.Read.All";
const NAME = historyName("11111111-2222-4333-8444-555555555555", "contoso");

/** A state folder's facts, which survive a restart of the history over them. */
class FakeFacts {
  readonly written: string[] = [];
  fact: string | undefined;
  failure: Failure | undefined;
  readFact = (name: string) => Promise.resolve(name === GRANTED_FACT ? this.fact : undefined);
  writeFact = (_: string, value: string) => {
    if (this.failure) return Promise.reject(this.failure);
    this.fact = value;
    this.written.push(value);
    return Promise.resolve();
  };
}

const app = (...held: readonly string[]) => ({ kind: "app", held }) as const;

async function opened(facts = new FakeFacts(), clock = new FakeClock()) {
  const log = new FakeLog();
  const history = await PermissionHistory.open({ clock, log, facts });
  const customer = history.customer(NAME, "Contoso", ["alerts", "incidents"]);
  const drift = () => customer.drift();
  return { history, customer, drift, facts, clock, log };
}
const iso = (ms: number) => new Date(ms).toISOString();

describe("permissions of a customer", () => {
  test("are not known before its first token, and have not changed with it", async () => {
    const { history, drift } = await opened();
    expect(drift()).toBeUndefined();
    history.granted(NAME, "graph", app(INCIDENT, ALERT));
    expect(drift()).toEqual({
      granted: [ALERT, INCIDENT],
      missing: [],
      withdrawn: [],
      unneeded: [],
      changed_at: null,
    });
  });

  test("that were never granted are missing without a date", async () => {
    const { history, drift } = await opened();
    history.granted(NAME, "graph", app(ALERT));
    expect(drift()).toMatchObject({ missing: [INCIDENT], withdrawn: [], changed_at: null });
    // Graph gives alerts with the permission for incidents too.
    const other = await opened();
    other.history.granted(NAME, "graph", app(INCIDENT));
    expect(other.drift()?.missing).toEqual([]);
  });

  test("that are withdrawn keep the date of the first token without them, through later tokens and a restart", async () => {
    const { history, clock, facts } = await opened();
    history.granted(NAME, "graph", app(ALERT, INCIDENT));
    clock.now += 3_600_000;
    const withdrawnAt = iso(clock.nowMs());
    history.granted(NAME, "graph", app(ALERT));
    clock.now += 3_600_000;
    history.granted(NAME, "graph", app(ALERT));
    await history.save();
    const { drift, history: later } = await opened(facts, clock);
    expect(drift()).toEqual({
      granted: [ALERT],
      missing: [INCIDENT],
      withdrawn: [{ permission: INCIDENT, since: withdrawnAt }],
      unneeded: [],
      changed_at: withdrawnAt,
    });
    clock.now += 3_600_000;
    later.granted(NAME, "graph", app(ALERT, INCIDENT));
    expect(drift()).toMatchObject({ missing: [], withdrawn: [], changed_at: iso(clock.nowMs()) });
  });

  test("are all withdrawn when Microsoft issues no token for want of consent, and none if it never issued one", async () => {
    const { history, drift, clock } = await opened();
    history.consentGone(NAME, "graph");
    expect(drift()).toBeUndefined();
    history.granted(NAME, "graph", app(ALERT, INCIDENT));
    clock.now += 60_000;
    history.consentGone(NAME, "graph");
    const since = iso(clock.nowMs());
    clock.now += 60_000;
    history.consentGone(NAME, "graph");
    expect(drift()).toMatchObject({
      granted: [],
      withdrawn: [
        { permission: ALERT, since },
        { permission: INCIDENT, since },
      ],
      changed_at: since,
    });
  });

  test("are compared with the names that the kind of token has, and another way to sign in withdraws nothing", async () => {
    const { history, clock } = await opened();
    const customer = history.customer(NAME, "Contoso", ["xdr-incidents"]);
    history.granted(NAME, "xdr", app("Incident.Read.All"));
    clock.now += 60_000;
    history.granted(NAME, "xdr", { kind: "user", held: ["Incident.Read", "User.Read", "openid"] });
    expect(customer.drift()).toEqual({
      granted: ["Incident.Read"],
      missing: [],
      withdrawn: [],
      unneeded: [],
      changed_at: null,
    });
  });

  test("that no stream needs are reported once, also after a restart; others later are reported again", async () => {
    const { history, customer, clock, facts } = await opened();
    history.granted(NAME, "graph", app(ALERT, INCIDENT, HUNTING));
    expect(customer.news()).toMatchObject([
      {
        code: "permissions-unneeded",
        actor: "operator",
        say: expect.stringContaining(`that none of its streams needs: ${HUNTING}.`),
      },
    ]);
    expect(customer.news()).toEqual([]);
    await history.save();
    const { customer: again, history: later } = await opened(facts, clock);
    later.granted(NAME, "graph", app(ALERT, INCIDENT, HUNTING));
    expect(again.news()).toEqual([]);
    later.granted(NAME, "graph", app(ALERT, INCIDENT, HUNTING, "Directory.Read.All"));
    expect(again.news().map(({ say }) => say)).toEqual([expect.stringContaining("needs: Directory.Read.All.")]);
  });

  test("with more power than the stream needs count as granted, and as unneeded if the smaller one is there too", async () => {
    const { history, drift } = await opened();
    history.granted(NAME, "graph", app("SecurityAlert.ReadWrite.All", INCIDENT));
    expect(drift()).toMatchObject({ missing: [], unneeded: [] });
    history.granted(NAME, "graph", app("SecurityAlert.ReadWrite.All", ALERT, INCIDENT));
    expect(drift()).toMatchObject({ missing: [], unneeded: ["SecurityAlert.ReadWrite.All"] });
  });

  test("with control characters or without end are not kept", async () => {
    const { history, drift } = await opened();
    history.granted(
      NAME,
      "graph",
      app(ALERT, INCIDENT, "a\u001b[2J", "b".repeat(500), ...Array(300).fill("Files.Read")),
    );
    expect(drift()?.unneeded).toEqual(["Files.Read"]);
  });
});

describe("the history of permissions", () => {
  test("of 2,000 customers is written at most once a minute, and at the stop, and only if a token has other permissions", async () => {
    const { history, facts, clock, customer } = await opened();
    for (let n = 0; n < 2_000; n += 1) history.granted(`tenant/${n}`, "graph", app(ALERT, INCIDENT));
    expect(facts.written).toHaveLength(1);
    clock.now += 60_000;
    customer.news();
    expect(facts.written).toHaveLength(2);
    expect(Object.keys(JSON.parse(facts.fact ?? "") as object)).toHaveLength(2_000);
    await history.save();
    expect(facts.written).toHaveLength(2);
    clock.now += 60_000;
    history.granted("tenant/0", "graph", app(ALERT, INCIDENT));
    await history.save();
    expect(facts.written).toHaveLength(2);
  });

  test("that cannot be written is said in the log once, and is tried again", async () => {
    const { history, facts, log } = await opened();
    facts.failure = new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "Disk full." });
    history.granted(NAME, "graph", app(ALERT));
    await history.save();
    const said = () => log.texts.filter((text) => text.includes("could not save which permissions customers granted"));
    expect(said()).toHaveLength(1);
    facts.failure = undefined;
    await history.save();
    expect(facts.fact).toContain(ALERT);
    expect(said()).toHaveLength(1);
  });

  test.each([
    ["no text", undefined],
    ["no JSON", "{"],
    ["a list", "[1]"],
    ["other members", `{"${NAME}":{"byApi":{"graph":{"kind":"app","held":7}},"reported":{}}}`],
    ["times that no date has", `{"${NAME}":{"byApi":{"graph":{"kind":"app","held":[],"changedAtMs":1e300}}}}`],
    ["null", `{"${NAME}":null}`],
  ])("begins empty with %s", async (_, text) => {
    const facts = new FakeFacts();
    facts.fact = text;
    const { drift } = await opened(facts);
    expect(drift()?.changed_at ?? null).toBeNull();
    expect(Object.keys(keptPermissions(text).get(NAME) ?? {}).length).toBeLessThanOrEqual(1);
  });
});
