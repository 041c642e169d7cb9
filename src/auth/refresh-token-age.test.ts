import { describe, expect, test } from "@jest/globals";
import { Failure } from "../model/failure.ts";
import type { LogFields } from "../model/ports.ts";
import { sealed } from "../model/sealed.ts";
import type { TenantId } from "../model/tenant.ts";
import { AgeingVault, daysLeftOf, keepIdleTokensAlive, TokenAges, warningDay } from "./refresh-token-age.ts";

const DAY_MS = 86_400_000;
const BEGIN_MS = Date.UTC(2026, 10, 24);
const TENANT = "11111111-2222-4333-8444-555555555555" as TenantId;

const quiet = (): void => {};
const aged = (usedAtMs: number) => ({ age: { issuedAtMs: 0, usedAtMs } });

function world() {
  let nowMs = BEGIN_MS;
  const kept = new Map<string, string>();
  const writes: string[] = [];
  const warned: LogFields[] = [];
  return {
    clock: {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      async pause(forMs: number) {
        nowMs += forMs;
      },
    },
    log: {
      debug: quiet,
      info: quiet,
      warn: (_: string, fields?: LogFields) => void warned.push(fields ?? {}),
      error: quiet,
      fatal: quiet,
    },
    facts: {
      readFact: (name: string) => Promise.resolve(kept.get(name)),
      writeFact: (name: string, value: string) => {
        writes.push(value);
        kept.set(name, value);
        return Promise.resolve();
      },
    },
    writes,
    warned,
    advance: (ms: number) => (nowMs += ms),
  };
}

const inner = () => {
  const stored: string[] = [];
  return {
    stored,
    current: () => Promise.resolve(sealed("r0")),
    store: (token: ReturnType<typeof sealed>) => Promise.resolve(void stored.push(token.open((value) => value))),
  };
};

describe("Microsoft forgets a refresh token after 90 days without use", () => {
  test.each([
    [0, 90, undefined],
    [59, 31, undefined],
    [60, 30, 60],
    [75, 15, 75],
    [85, 5, 85],
    [95, 0, 85],
  ])("after %d days %d are left, and the warning of day %s holds", (unused, left, warning) => {
    const age = { issuedAtMs: 0, usedAtMs: BEGIN_MS };
    expect(daysLeftOf(age, BEGIN_MS + unused * DAY_MS)).toBe(left);
    expect(warningDay(age, BEGIN_MS + unused * DAY_MS)).toBe(warning);
  });
});

const vault = async (w: ReturnType<typeof world>, store = inner(), stanza = "contoso") =>
  new AgeingVault(store, await TokenAges.open(w), TENANT, stanza);

describe("a vault that remembers its token's age", () => {
  test("keeps issue date and last use over a restart", async () => {
    const w = world();
    const first = await vault(w);
    expect(first.age.issuedAtMs).toBe(BEGIN_MS);
    w.advance(3 * DAY_MS);
    await first.store(sealed("r1"), { refused: false });
    w.advance(2 * DAY_MS);

    expect((await vault(w)).age).toEqual({ issuedAtMs: BEGIN_MS, usedAtMs: BEGIN_MS + 3 * DAY_MS });
  });

  test("writes all ages down once an hour, however many customers redeem", async () => {
    const w = world();
    const ages = await TokenAges.open(w);
    for (let n = 0; n < 2000; n += 1) {
      await new AgeingVault(inner(), ages, TENANT, `customer-${n}`).store(sealed("r"), { refused: false });
      w.advance(3_600);
    }
    expect(w.writes).toHaveLength(2);
  });

  test("stores the token first, and does not fail over a note that cannot be written", async () => {
    const w = world();
    w.facts.writeFact = () =>
      Promise.reject(new Failure("state-unwritable", { actor: "operator", retry: { when: "later" }, say: "full" }));
    const store = inner();
    await (await vault(w, store)).store(sealed("r1"), { refused: false });
    expect(store.stored).toEqual(["r1"]);
    expect(w.warned).toEqual([{ failure: "state-unwritable" }]);
  });

  test("a sign-in after a refusal starts a new age, and a damaged or future record is ignored", async () => {
    const w = world();
    const first = await vault(w);
    w.advance(10 * DAY_MS);
    await first.store(sealed("new"), { refused: true });
    expect(first.age.issuedAtMs).toBe(BEGIN_MS + 10 * DAY_MS);

    w.advance(-5 * DAY_MS);
    expect((await vault(w)).age.usedAtMs).toBe(BEGIN_MS + 5 * DAY_MS);
    w.facts.readFact = () => Promise.resolve("{");
    expect((await vault(w)).age.usedAtMs).toBe(BEGIN_MS + 5 * DAY_MS);
  });
});

test("an idle customer's token is redeemed, a busy one's is not, and one that cannot be redeemed is warned about from day 60", async () => {
  const w = world();
  const stop = new AbortController();
  const asked: string[] = [];
  const refusal = new Failure("consent-missing", {
    actor: "customer",
    retry: { when: "never" },
    area: "sign-in",
    say: "x",
    nextStep: "send the link",
  });
  const source = (name: string, result: () => Promise<ReturnType<typeof sealed>>) => ({
    accessToken() {
      asked.push(name);
      return result();
    },
  });
  const customers = [
    {
      name: "busy",
      vault: {
        get age() {
          return { issuedAtMs: 0, usedAtMs: w.clock.nowMs() };
        },
      },
      tokens: source("busy", () => Promise.resolve(sealed("t"))),
    },
    { name: "quiet", vault: aged(BEGIN_MS - 8 * DAY_MS), tokens: source("quiet", () => Promise.resolve(sealed("t"))) },
    { name: "lost", vault: aged(BEGIN_MS - 58 * DAY_MS), tokens: source("lost", () => Promise.reject(refusal)) },
  ];
  let days = 0;
  const clock = {
    ...w.clock,
    pause(forMs: number) {
      days += 1;
      if (days === 3) stop.abort();
      return w.clock.pause(forMs);
    },
  };

  await keepIdleTokensAlive(() => customers, { clock, log: w.log }, stop.signal);

  expect(asked.filter((name) => name === "busy")).toEqual([]);
  expect(asked.filter((name) => name === "quiet")).toHaveLength(3);
  expect(w.warned).toEqual([
    expect.objectContaining({ tenant: "lost", days_without_use: 60, days_left: 30, failure: "consent-missing" }),
  ]);
});
