/** Times in docs/fleet/failover.md and the limits in docs/fleet/README.md are those of the program. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";

const ROOT = join(import.meta.dirname, "../..");
const page = readFileSync(join(ROOT, "docs/fleet/failover.md"), "utf8");
const readme = readFileSync(join(ROOT, "docs/fleet/README.md"), "utf8");

/** A number that the source gives a name, in the unit of the page: seconds, or a count. */
function constant(file: string, name: string): number {
  const found = new RegExp(`\\b${name}(?::[^=]*)? = ([\\d_]+)`).exec(readFileSync(join(ROOT, file), "utf8"));
  if (found === null) throw new Error(`${file} has no ${name}`);
  const value = Number(found[1]?.replaceAll("_", ""));
  return name.endsWith("_MS") ? value / 1_000 : value;
}

/** Of a backoff, in seconds. */
function pausesOf(file: string, name: string): { readonly first: number; readonly longest: number } {
  const [, first, longest] =
    new RegExp(`\\b${name}: Backoff = \\{ firstMs: ([\\d_]+), longestMs: ([\\d_]+) \\}`).exec(
      readFileSync(join(ROOT, file), "utf8"),
    ) ?? [];
  if (first === undefined || longest === undefined) throw new Error(`${file} has no ${name}`);
  const seconds = (text: string) => Number(text.replaceAll("_", "")) / 1_000;
  return { first: seconds(first), longest: seconds(longest) };
}

/** As the page writes it. */
function duration(seconds: number): string {
  const words: Readonly<Record<number, string>> = { 60: "a minute", 600: "ten minutes", 1_800: "half an hour" };
  return words[seconds] ?? `${seconds} s`;
}

const MEMBER = "src/collect/fleet/member.ts";
const STATE = "src/collect/fleet/fleet-state.ts";
const SCHEDULER = "src/collect/scheduler.ts";

test.each([
  ["expires N s after it was renewed last", "src/stores/postgres/fleet-store.ts", "LEASE_MS"],
  ["renewed its place at most N s ago", MEMBER, "RENEW_EVERY_MS"],
  ["The others look every N s", MEMBER, "BALANCE_EVERY_MS"],
  ["N s after the last renewal began, the member stops", MEMBER, "TRUSTED_FOR_MS"],
  ["N s after its last renewal began, each member stops", MEMBER, "TRUSTED_FOR_MS"],
  ["at most N each second by each member", SCHEDULER, "TAKEN_OVER_PER_SECOND"],
  ["at most N access tokens each second, after the first N.", "src/auth/token-cycle.ts", "REQUESTS_PER_SECOND"],
  ["after N s by a page", "src/stores/postgres/connections.ts", "ANSWER_WITHIN_MS"],
  ["at most N s each, and ask each one", "src/stores/postgres/connections.ts", "CONNECT_WITHIN_MS"],
])("the page of the failover says %s, as %s does", (phrase, file, name) => {
  expect(page).toContain(phrase.replaceAll("N", String(constant(file, name))));
});

test("the page of the failover adds up: a customer is named when its member was out for long enough", () => {
  const namedAt = constant(MEMBER, "TRUSTED_FOR_MS") + constant(MEMBER, "MISSING_AFTER_MS");
  const claimedAt = constant("src/stores/postgres/fleet-store.ts", "LEASE_MS") + constant(MEMBER, "BALANCE_EVERY_MS");
  const claimedAgainIn = constant(MEMBER, "RENEW_EVERY_MS") + constant(MEMBER, "BALANCE_EVERY_MS");

  expect(page).toMatch(new RegExp(`^\\| ${namedAt} \\| Cut off`, "m"));
  expect(page).toMatch(new RegExp(`^\\| ${namedAt} \\| Each member says so`, "m"));
  expect(page).toMatch(new RegExp(`^\\| up to ${claimedAt} \\| The others look`, "m"));
  expect(page).toMatch(new RegExp(`^\\| up to ${claimedAgainIn} later \\| The shards are claimed`, "m"));
});

test("the set-up ends statements that a member has given up, and none before", () => {
  const givenUpAfter = constant("src/stores/postgres/connections.ts", "ANSWER_WITHIN_MS");
  const [, ends] = /set statement_timeout = '(\d+)s'/.exec(readme) ?? [];

  expect(readme).toContain(`A member gives a statement up after ${givenUpAfter} s,`);
  expect(Number(ends)).toBeGreaterThan(givenUpAfter);
});

test("the page of the failover says how long renewals wait, and how a member waits at its start", () => {
  const main = readFileSync(join(ROOT, "src/main/fleet.ts"), "utf8");
  const [, connect, answer] = /HEARTBEAT_WITHIN = \{ connectWithinMs: (\S+), answerWithinMs: (\S+) \}/.exec(main) ?? [];
  const { first, longest } = pausesOf(MEMBER, "JOIN_AGAIN");
  const seconds = (text = "") => Number(text.replaceAll("_", "")) / 1_000;

  expect(seconds(connect)).toBe(seconds(answer));
  expect(page).toContain(`Renewals wait at most ${seconds(answer)} s.`);
  expect(page).toMatch(new RegExp(`^\\| ${seconds(answer)} \\| Cut off: the renewal`, "m"));
  expect(page).toContain(`One that hangs is noticed after ${seconds(answer)} s by a renewal`);
  expect(page).toContain(`with pauses of ${first} s to ${longest} s`);
});

test.each([
  ["is claimed after pauses that grow from FIRST to LONGEST.", MEMBER, "LOST_AGAIN"],
  ["FIRST, then twice as long each time, up to LONGEST.", STATE, "UNANSWERED_AGAIN"],
  ["The first pause is FIRST, and each one is twice as long, up to LONGEST.", MEMBER, "STARVED_AGAIN"],
  ["waits for it, with pauses of up to LONGEST,", MEMBER, "JOIN_AGAIN"],
])("the limits say %s, as %s does with %s", (phrase, file, name) => {
  const { first, longest } = pausesOf(file, name);

  expect(readme).toContain(phrase.replace("FIRST", duration(first)).replace("LONGEST", duration(longest)));
});

test("the limits say from which time on a customer and a member wait, and the pool is as large as a member needs", () => {
  const times = ["first", "second", "third", "fourth"];
  const remembered = duration(constant(MEMBER, "STARVED_REMEMBERED_FOR_MS"));
  const counts = ["four", "five", "six", "seven"];
  const connections = constant("src/main/fleet.ts", "CONNECTIONS");

  expect(readme).toContain(`it waits alone from the ${times[constant(STATE, "UNANSWERED_WITHOUT_PAUSE")]} on:`);
  expect(readme).toContain(`after the ${times[constant(MEMBER, "STARVED_WITHOUT_PAUSE")]} time within ${remembered} `);
  // One more renews its place.
  expect(readme).toContain(`${counts[connections - 3]} connections, ${counts[connections - 4]} for pages`);
  expect(readme).toContain(`\`default_pool_size\` to at least ${counts[connections - 3]} for each member.`);
});
