import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import {
  type Action,
  addGenerated,
  addRecord,
  faultRule,
  perform,
  type RecordRule,
  setAbsentApp,
  setRegime,
} from "../actions.ts";
import type { BudgetName } from "../budgets.ts";
import type { TokenShop } from "../entra/tokens.ts";
import { loadCustomer } from "../folder.ts";
import { applyProvider } from "../provider/from-scenario.ts";
import { STREAM_NAMES, type StreamName } from "../streams.ts";
import type { Customer, World } from "../world.ts";
import { type Checked, readChecked, ScenarioRefused } from "./check.ts";
import type { GenerateRule } from "./generate.ts";
import { addIdentity } from "./identities.ts";
import { SCENARIO } from "./spec.ts";

/** A checked scenario. */
export interface Scenario {
  readonly name: string;
  readonly story: string;
  readonly seed: string;
  readonly startMs: number | undefined;
  readonly customers: readonly Checked[];
  readonly events: readonly (Action & { readonly at: number })[];
  readonly faults: readonly Checked[];
  readonly provider?: Checked;
  readonly identities?: readonly Checked[];
  /** Folder that relative paths count from. */
  readonly folder: string;
}

/** Reads a scenario file. Throws ScenarioRefused (file, line, what was expected). */
export function readScenario(file: string): Scenario {
  if (!existsSync(file)) throw new ScenarioRefused(`--scenario: there is no file ${file}.`);
  return scenarioOf(readFileSync(file, "utf8"), basename(file), dirname(resolve(file)));
}

export function scenarioOf(source: string, name: string, folder = "."): Scenario {
  const checked = readChecked(source, name, SCENARIO);
  return {
    name: String(checked["name"]),
    story: String(checked["story"]),
    seed: String((checked["seed"] as number | undefined) ?? 1),
    startMs: checked["start"] as number | undefined,
    customers: checked["customers"] as Checked[],
    events: ((checked["events"] ?? []) as Scenario["events"]).toSorted((a, b) => a.at - b.at),
    faults: (checked["faults"] ?? []) as Checked[],
    ...(checked["identities"] === undefined ? {} : { identities: checked["identities"] as Checked[] }),
    ...(checked["provider"] === undefined ? {} : { provider: checked["provider"] as Checked }),
    folder,
  };
}

/** Puts customers, records and faults into the world. Returns the events with their time, in order. */
export function applyScenario(
  scenario: Scenario,
  world: World,
  tokens: TokenShop,
  warn: (sentence: string) => void,
): { readonly atMs: number; run(): void }[] {
  const baseMs = world.startMs;
  for (const given of scenario.customers) {
    for (const name of namesOf(given)) fillCustomer(world.addCustomer(name), given, scenario, world, baseMs, warn);
  }
  if (scenario.provider !== undefined) {
    const named = new Map(scenario.customers.map((given) => [String(given["name"]), namesOf(given)]));
    applyProvider(world, scenario.provider, (name) => named.get(name) ?? [name], baseMs);
  }
  for (const given of scenario.identities ?? []) addIdentity(world, given);
  for (const fault of scenario.faults) world.faults.add(faultRule(fault, baseMs));
  return scenario.events.map(({ at, ...action }) => ({
    atMs: baseMs + at,
    run: () => void perform(action, { world, tokens, seed: scenario.seed }, baseMs + at),
  }));
}

function namesOf(given: Checked): string[] {
  const name = String(given["name"]);
  if (given["count"] === undefined) return [name];
  return Array.from({ length: Number(given["count"]) }, (_, index) => `${name}-${String(index + 1).padStart(4, "0")}`);
}

function fillCustomer(
  customer: Customer,
  given: Checked,
  scenario: Scenario,
  world: World,
  baseMs: number,
  warn: (sentence: string) => void,
): void {
  if (typeof given["data"] === "string") loadCustomer(resolve(scenario.folder, given["data"]), customer, world, warn);
  if (given["cloud"] !== undefined) customer.cloud = given["cloud"] as Customer["cloud"];
  if (given["consent"] !== undefined) customer.setConsent(given["consent"] as Customer["consent"]);
  setAbsentApp(customer, given["absent_app"]);
  if (given["permissions"] !== undefined) customer.permissions = new Set(given["permissions"] as string[]);
  if (given["access_token_seconds"] !== undefined)
    customer.accessTokenLifetimeS = Number(given["access_token_seconds"]);
  if (given["retry_after_form"] !== undefined) customer.retryAfterForm = given["retry_after_form"] as "seconds";
  if (given["expand_max_alerts"] !== undefined) customer.expandMaxAlerts = Number(given["expand_max_alerts"]);
  if (given["capitalised_schema"] === true) customer.hunting.capitalised = true;
  for (const [api, limits] of Object.entries((given["budgets"] ?? {}) as Record<BudgetName, Checked>)) {
    customer.budgetLimits[api as BudgetName] = {
      perMinute: Number(limits["per_minute"]),
      perHour: limits["per_hour"] === undefined ? undefined : Number(limits["per_hour"]),
    };
  }
  for (const stream of STREAM_NAMES) setRegime(customer.regimes[stream], given);
  for (const [stream, regime] of Object.entries((given["streams"] ?? {}) as Record<StreamName, Checked>))
    setRegime(customer.regimes[stream as StreamName], regime);
  for (const [index, rule] of ((given["generate"] ?? []) as GenerateRule[]).entries())
    addGenerated(customer, rule, world, baseMs, `${scenario.seed} ${index}`);
  for (const rule of (given["records"] ?? []) as RecordRule[]) addRecord(customer, rule, world, baseMs);
}
