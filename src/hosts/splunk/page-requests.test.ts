import { expect, test } from "@jest/globals";
import { FakeClock, T0 } from "../../../test/harness/fakes/clock.ts";
import { FakeLog } from "../../../test/harness/fakes/log.ts";
import { Failure } from "../../model/failure.ts";
import type { ConsentState, DoctorCheck } from "../../model/sign-in.ts";
import type { Stanza } from "../../model/stanza.ts";
import { type AskedInput, PageRequests, type RequestStore } from "./page-requests.ts";
import type { StatusRow } from "./status-rows.ts";

type Row = Record<string, unknown> & { readonly _key: string };

const SECOND_MS = 1_000;
const CONTOSO = { name: "contoso", tenantName: "Contoso" } as Stanza;
const OFFER = { url: "https://login.example/adminconsent", permissions: ["Alert.Read"], mail: "Hello" };
const READY: AskedInput = { is: "ready", stanza: CONTOSO };

function check(name: string, run: () => Promise<string> = () => Promise.resolve("fine")): DoctorCheck {
  return { name, run };
}

function refusal(say: string): Failure {
  return new Failure("consent-missing", { actor: "customer", retry: { when: "never" }, say, nextStep: "Run `x`." });
}

const CREDENTIAL = {
  name: "mssp",
  kind: "client secret",
  client_id: null,
  expires: null,
  used_by: ["contoso"],
  is_home_app: false,
} as const;

/** A place for requests; each fault is one read that fails. */
function storeOf(rows: readonly Row[], written: Row[], faults: Failure[]) {
  const stored = new Map(rows.map((row) => [row["_key"], row]));
  const store: RequestStore = {
    async rows() {
      const fault = faults.shift();
      if (fault !== undefined) throw fault;
      return [...stored.values()];
    },
    async replace(row) {
      if (!stored.has(row["_key"])) return false;
      stored.set(row["_key"], row as Row);
      written.push(structuredClone(row) as Row);
      return true;
    },
    remove: (key) => Promise.resolve(void stored.delete(key)),
  };
  return { stored, store };
}

const STATES = ["contoso", "fabrikam"].map((input) => ({ input, first_event_at: null }) as StatusRow);

function bench(
  rows: readonly Row[],
  input: AskedInput | undefined = READY,
  checks: readonly DoctorCheck[] = [],
  more: readonly RequestStore[] = [],
) {
  const written: Row[] = [];
  const clock = new FakeClock();
  const log = new FakeLog();
  const stop = new AbortController();
  const consent: { state: ConsentState; asked: number } = { state: { missing: [], say: "" }, asked: 0 };
  const faults: Failure[] = [];
  const { stored, store } = storeOf(rows, written, faults);
  const asked: string[] = [];
  const credentials = {
    list: async () => [CREDENTIAL],
    replace: async (name: string) => void asked.push(`replace ${name}`),
    remove: async (name: string) => {
      asked.push(`remove ${name}`);
      if (name === "used") throw refusal("It is used by contoso.");
    },
  };
  const requests = new PageRequests({
    stores: () => [store, ...more],
    states: { known: () => STATES },
    inputOf: (name) => Promise.resolve(name === "contoso" ? input : undefined),
    answers: {
      checks: () => checks,
      consent: () => OFFER,
      consentState() {
        consent.asked += 1;
        return Promise.resolve(consent.state);
      },
      mayCollect: (customer) => void asked.push(`collect ${customer}`),
      inText: (sentence) => sentence.replace("`x`", "`/opt/x`"),
    },
    credentials,
    clock,
    log,
  });
  return {
    asked,
    stored,
    written,
    clock,
    log,
    stop,
    consent,
    faults,
    requests,
    look: () => requests.look(stop.signal),
  };
}

const doctor = (key = "1"): Row => ({ _key: key, customer: "contoso", ask: "doctor" });

test("checks are written one by one, and the first that fails ends them with who must act and a command that runs here", async () => {
  const failing = check("consent graph", () => Promise.reject(refusal("No consent.")));
  const { written, look } = bench([doctor()], READY, [check("dns"), failing, check("never reached")]);

  await look();

  expect(written.map(({ state, checks }) => [state, (checks as { check: string }[]).map((one) => one.check)])).toEqual([
    ["running", ["settings"]],
    ["running", ["settings", "dns"]],
    ["running", ["settings", "dns", "consent graph"]],
    ["done", ["settings", "dns", "consent graph"]],
  ]);
  expect(written.at(-1)).toMatchObject({
    ok: false,
    checks: [{}, {}, { ok: false, actor: "customer", say: "No consent.", next_step: "Run `/opt/x`." }],
  });
});

test("a row that asks for anything but a check or a consent, or names no customer, is deleted unanswered", async () => {
  const rows: Row[] = [
    { _key: "1", customer: "contoso", ask: "delete" },
    { _key: "2", customer: "contoso", ask: "__proto__" },
    { _key: "3", customer: 7, ask: "doctor" },
    { _key: "4", customer: "", ask: "doctor" },
    { _key: "7", customer: "", ask: "credential-replace" },
    { _key: "5", customer: "x".repeat(201), ask: "doctor" },
    { _key: "6" },
  ];
  const { stored, written, look } = bench(rows);

  await look();

  expect([...stored.keys()]).toEqual([]);
  expect(written).toEqual([]);
});

test("what else a row holds is neither read nor kept", async () => {
  const { stored, look } = bench([{ ...doctor(), login_url: "https://evil.example", checks: "x", secret: "s" }]);

  await look();

  expect(Object.keys(stored.get("1") ?? {}).toSorted()).toEqual(
    ["_key", "answered_at", "ask", "checks", "customer", "ok", "state"].toSorted(),
  );
});

test("a request about shared credentials is answered with their list, and one that is refused says why", async () => {
  const rows: Row[] = [
    { _key: "1", customer: "", ask: "credentials" },
    { _key: "2", customer: "mssp", ask: "credential-replace", secret: "s3cret" },
    { _key: "3", customer: "used", ask: "credential-delete" },
    { _key: "4", customer: "", ask: "credential-delete" },
  ];
  const { stored, asked, look } = bench(rows);

  await look();

  expect(asked).toEqual(["replace mssp", "remove used"]);
  expect(stored.get("1")).toMatchObject({ state: "done", ok: true, credentials: [CREDENTIAL] });
  expect(stored.get("2")).toMatchObject({ state: "done", ok: true, credentials: [CREDENTIAL] });
  expect(stored.get("3")).toMatchObject({ state: "refused", ok: false, say: "It is used by contoso." });
  expect(stored.has("4")).toBe(false);
  expect(JSON.stringify([...stored])).not.toContain("s3cret");
});

test("a customer is checked at most once in 30 seconds, however many requests there are", async () => {
  const { clock, look, written } = bench([doctor("1"), doctor("2")], READY, []);

  await look();
  await look();
  expect(written.filter(({ state }) => state === "done").map(({ _key }) => _key)).toEqual(["1"]);

  await clock.advance(30 * SECOND_MS);
  await look();
  expect(written.filter(({ state }) => state === "done").map(({ _key }) => _key)).toEqual(["1", "2"]);
});

test("a request for an input that this run does not know waits for the restart, and is refused after 30 seconds", async () => {
  const { clock, look, written } = bench([{ _key: "1", customer: "fabrikam", ask: "doctor" }]);

  await look();
  expect(written).toEqual([]);

  await clock.advance(31 * SECOND_MS);
  await look();
  expect(written).toMatchObject([{ state: "refused", say: "The input fabrikam does not run on this host." }]);
});

test("a request for consent stays open, asks every 10 seconds, and is done when the consent is given", async () => {
  const { clock, look, written, consent, asked } = bench([{ _key: "1", customer: "contoso", ask: "consent" }]);
  consent.state = { missing: ["Alert.Read", "Alert.Read"], say: "Not yet." };

  await look();
  await look();
  expect(consent.asked).toBe(1);
  expect(written.at(-1)).toMatchObject({ state: "running", ok: false, consent: OFFER, missing: ["Alert.Read"] });

  consent.state = { missing: [], say: "" };
  await clock.advance(10 * SECOND_MS);
  await look();
  expect(written.at(-1)).toMatchObject({ state: "done", ok: true, missing: [] });
  expect(asked).toEqual(["collect contoso"]);
});

test("a customer whose every check passed may be collected at once, and one with a failed check may not", async () => {
  const row = { _key: "1", customer: "contoso", ask: "doctor" };
  const good = bench([row], READY, [check("dns", () => Promise.resolve("Found."))]);
  await good.look();
  expect(good.asked).toEqual(["collect contoso"]);

  const bad = bench([row], READY, [check("consent graph", () => Promise.reject(refusal("No consent.")))]);
  await bad.look();
  expect(bad.asked).toEqual([]);
});

test("a request for a consent that is not given within half an hour is done, and says what is missing", async () => {
  const { clock, look, written, consent } = bench([{ _key: "1", customer: "contoso", ask: "consent" }]);
  consent.state = { missing: ["Alert.Read"], say: "Not yet." };

  await look();
  await clock.advance(1_800 * SECOND_MS);
  await look();
  expect(written.at(-1)).toMatchObject({ state: "running", ok: false });
  await clock.advance(10 * SECOND_MS);
  await look();
  expect(written.at(-1)).toMatchObject({ state: "done", ok: false, missing: ["Alert.Read"] });
});

test("a customer whose secret cannot be used has its consent link all the same, with the reason", async () => {
  const refused: AskedInput = { is: "refused", stanza: CONTOSO, failure: refusal("The secret is bound elsewhere.") };
  const { look, written } = bench([{ _key: "1", customer: "contoso", ask: "consent" }, doctor("2")], refused);

  await look();

  expect(written.find(({ _key }) => _key === "1")).toMatchObject({
    state: "refused",
    consent: OFFER,
    say: "The secret is bound elsewhere.",
  });
  expect(written.filter(({ _key }) => _key === "2").at(-1)).toMatchObject({
    state: "done",
    ok: false,
    checks: [
      { check: "settings", ok: true },
      { check: "secrets", ok: false },
    ],
  });
});

test("a request that a stopped run left unfinished is answered by the next run", async () => {
  const { look, written } = bench([{ ...doctor(), state: "running", checks: [] }]);

  await look();

  expect(written.at(-1)).toMatchObject({ state: "done", ok: true });
});

test("an answer is deleted an hour after its request was seen", async () => {
  const { clock, look, stored } = bench([{ ...doctor(), state: "done" }]);

  await look();
  expect(stored.size).toBe(1);
  await clock.advance(3_601 * SECOND_MS);
  await look();
  expect(stored.size).toBe(0);
});

test("an answer of an earlier run is deleted an hour after it was written", async () => {
  const answered = (key: string, agoMs: number): Row => ({
    ...doctor(key),
    state: "done",
    answered_at: new Date(T0 - agoMs).toISOString(),
  });
  const { look, stored } = bench([answered("old", 3_601 * SECOND_MS), answered("new", 3_599 * SECOND_MS)]);

  await look();
  expect([...stored.keys()]).toEqual(["new"]);
});

test("a request behind hundreds of answers is answered, and of the answers the oldest are deleted first", async () => {
  const minutesAgo = (minutes: number) => new Date(T0 - minutes * 60 * SECOND_MS).toISOString();
  const answers = Array.from({ length: 400 }, (_, at): Row => {
    return { ...doctor(`done ${at}`), state: "refused", answered_at: minutesAgo(at < 250 ? 1 : 61 + at) };
  });
  const { look, stored, written } = bench([...answers, doctor("waiting")]);

  await look();
  expect(written.at(-1)).toMatchObject({ _key: "waiting", state: "done" });
  expect(stored.size).toBe(251);
});

test("answers of an earlier run do not make the looks come often", async () => {
  const done = { ...doctor(), state: "done", answered_at: new Date(T0).toISOString() };
  const { clock, stop, requests } = bench([done]);
  const running = requests.run(stop.signal);
  await clock.advance(120 * SECOND_MS);

  expect(clock.pauses.at(-1)).toBe(15 * SECOND_MS);
  stop.abort();
  await running;
});

test("a page that has deleted its request gets no row back", async () => {
  const { stored, look, written } = bench([doctor()], READY, [
    check("dns", () => Promise.resolve(stored.delete("1") ? "gone" : "there")),
  ]);

  await look();

  expect(stored.size).toBe(0);
  expect(written.map(({ checks }) => (checks as unknown[]).length)).toEqual([1]);
});

test("a KV store that is off is warned of once and asked again", async () => {
  const { clock, log, stop, faults, requests } = bench([]);
  faults.push(refusal("The KV store is off."), refusal("The KV store is off."));
  const running = requests.run(stop.signal);

  await clock.advance(40 * SECOND_MS);
  stop.abort();
  await running;

  expect(log.lines.map(({ level, fields }) => [level, fields["say"]])).toEqual([["warn", "The KV store is off."]]);
  expect(faults).toEqual([]);
});

test("looks come often for a minute after the start and for ten minutes after a request, then four times a minute, and twice after an hour", async () => {
  const { stored, clock, stop, requests } = bench([]);
  let looks = 0;
  const look = requests.look.bind(requests);
  requests.look = (stopped) => {
    looks += 1;
    return look(stopped);
  };
  const perMinute = async () => {
    looks = 0;
    await clock.advance(60 * SECOND_MS);
    return looks;
  };
  const running = requests.run(stop.signal);

  expect(await perMinute()).toBeGreaterThan(25);
  await perMinute();
  expect(await perMinute()).toBe(4);
  stored.set("1", doctor());
  await perMinute();
  for (let minute = 0; minute < 8; minute += 1) expect(await perMinute()).toBe(30);
  await perMinute();
  await perMinute();
  for (let minute = 0; minute < 55; minute += 1) expect(await perMinute()).toBe(4);
  for (let minute = 0; minute < 6; minute += 1) await perMinute();
  expect(await perMinute()).toBe(2);
  stored.set("2", doctor("2"));
  await perMinute();
  expect(await perMinute()).toBe(30);
  stop.abort();
  await running;
});

test("a request is answered where it was left, also while the other place cannot be read, and nothing is warned of", async () => {
  const written: Row[] = [];
  const other = storeOf([{ ...doctor("in conf") }], written, []);
  const off = refusal("The KV store is off.");
  const { clock, log, stop, faults, requests } = bench([], READY, [], [other.store]);
  faults.push(off, off, off);
  const running = requests.run(stop.signal);
  await clock.advance(5 * SECOND_MS);
  stop.abort();
  await running;

  expect(written.at(-1)).toMatchObject({ _key: "in conf", state: "done", ok: true });
  expect(log.lines).toEqual([]);
});

test("a KV store that comes back hides no request that was left elsewhere meanwhile", async () => {
  const written: Row[] = [];
  const other = storeOf([doctor("in conf")], written, []);
  const { look } = bench([], READY, [], [other.store]);

  await look();
  expect(written.at(-1)).toMatchObject({ _key: "in conf", state: "done" });
});

test("a place that can be read and not written holds up no request of the other place, and is warned of", async () => {
  const written: Row[] = [];
  const busy = new Failure("splunkd-busy", {
    actor: "operator",
    retry: { when: "soon" },
    say: "Not ready.",
    nextStep: "",
  });
  const readOnly: RequestStore = {
    rows: async () => [{ _key: "expired", ask: "unknown" }, doctor("waits")],
    replace: () => Promise.reject(busy),
    remove: () => Promise.reject(busy),
  };
  const other = storeOf([doctor("in conf")], written, []);
  const { clock, log, stop, requests } = bench([], READY, [], [readOnly, other.store]);
  const running = requests.run(stop.signal);
  await clock.advance(5 * SECOND_MS);
  stop.abort();
  await running;

  expect(written.at(-1)).toMatchObject({ _key: "in conf", state: "done" });
  expect(log.lines.map(({ fields }) => fields["say"])).toEqual(["Not ready."]);
});

test("a place that cannot be read for a moment keeps how long its requests have waited", async () => {
  const other = storeOf([], [], []);
  const row = { _key: "1", customer: "contoso", ask: "consent" };
  const { clock, look, written, consent, faults } = bench([row], READY, [], [other.store]);
  consent.state = { missing: ["Alert.Read"], say: "Not yet." };

  await look();
  await clock.advance(1_000 * SECOND_MS);
  faults.push(refusal("The KV store restarts."));
  await look();
  await clock.advance(801 * SECOND_MS);
  await look();
  expect(written.at(-1)).toMatchObject({ state: "done", ok: false, missing: ["Alert.Read"] });
});

test("the states of all inputs, or of one, are answered from what this run knows", async () => {
  const rows: Row[] = [
    { _key: "all", customer: "", ask: "states" },
    { _key: "one", customer: "fabrikam", ask: "states" },
  ];
  const { look, stored } = bench(rows);

  await look();
  expect(stored.get("all")).toMatchObject({ state: "done", ok: true, states: STATES });
  expect(stored.get("one")).toMatchObject({ state: "done", ok: true, states: [{ input: "fabrikam" }] });
});

test("a row that splunkd does not delete, and an answer that it does not take, hold up no other request", async () => {
  const written: Row[] = [];
  const tooLarge = { _key: "too large", customer: "", ask: "states" };
  const { store } = storeOf([{ _key: "undeletable" }, tooLarge, doctor("next")], written, []);
  const say = "Object cannot be deleted.";
  const no = new Failure("splunkd-answer", { actor: "operator", retry: { when: "later" }, say, nextStep: "" });
  let refused = 0;
  const stubborn: RequestStore = {
    rows: () => store.rows(),
    async replace(row) {
      if (row["_key"] === "too large") throw no;
      return store.replace(row);
    },
    async remove() {
      refused += 1;
      throw no;
    },
  };
  const { clock, log, look } = bench([], READY, [], [stubborn]);

  await look();
  await clock.advance(SECOND_MS);
  await look();
  expect(refused).toBe(1);
  await clock.advance(30 * SECOND_MS);
  await look();
  expect(refused).toBe(2);
  expect(written.at(-1)).toMatchObject({ _key: "next", state: "done" });
  expect(log.lines.map(({ fields }) => fields["say"])).toEqual([say, say]);
});

test("states that a closed page left are deleted after two minutes, as they are large", async () => {
  const { clock, look, stored } = bench([{ _key: "1", customer: "", ask: "states" }]);

  await look();
  await clock.advance(120 * SECOND_MS);
  await look();
  expect(stored.size).toBe(1);
  await clock.advance(SECOND_MS);
  await look();
  expect(stored.size).toBe(0);
});
