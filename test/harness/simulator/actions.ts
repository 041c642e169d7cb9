import { X509Certificate } from "node:crypto";
import type { BudgetName } from "./budgets.ts";
import { addSecret } from "./entra/apps.ts";
import { type OtherClaims, workloadToken } from "./entra/federation.ts";
import type { TokenShop } from "./entra/tokens.ts";
import type { FaultAnswer, FaultRule, FaultTarget } from "./faults.ts";
import { textOfTicks, ticksOfMs } from "./instant.ts";
import { applyUser, relationshipRule } from "./provider/from-scenario.ts";
import { type Provider, relate } from "./provider/provider.ts";
import { compact, readVersion } from "./records.ts";
import { ScenarioRefused } from "./scenario/check.ts";
import { type GenerateRule, generate } from "./scenario/generate.ts";
import { changeIdentity, identityCalled } from "./scenario/identities.ts";
import { SHAPES } from "./scenario/shapes.ts";
import { seededRandom } from "./seeded-random.ts";
import { STREAM_NAMES, STREAMS, type StreamName } from "./streams.ts";
import type { Customer, Regime, World } from "./world.ts";

/**
 * Something that happens: at its time in a scenario, or now over the control API. Checked before it comes
 * here.
 */
export interface Action {
  readonly do: string;
  readonly customers?: readonly string[];
  readonly [member: string]: unknown;
}

/** One version of one record, as a scenario or the control API gives it. Times are ms from `baseMs`. */
export interface RecordRule {
  readonly stream: StreamName;
  readonly id: string;
  readonly at?: number;
  readonly visible?: number;
  readonly set?: Readonly<Record<string, unknown>>;
  readonly merge_into?: string;
  readonly gone?: boolean;
}

interface Stage {
  readonly world: World;
  readonly tokens: TokenShop;
  readonly seed: string;
}

/** Does it. Returns what the caller may want to know (a new secret, a fault's number). */
export function perform(action: Action, stage: Stage, nowMs: number): Readonly<Record<string, unknown>> {
  const { world, tokens } = stage;
  const state = action["state"];
  const customers = chosen(world, action.customers);
  switch (action.do) {
    case "fault":
      return { number: world.faults.add(faultRule(action, nowMs)) };
    case "clear-faults":
      world.faults.remove(undefined);
      return {};
    case "roll-keys":
      tokens.rollKey();
      return {};
    case "provider-user":
      return applyUser(providerOf(world), action);
    case "governance":
      providerOf(world).governance = state as Provider["governance"];
      return { state };
    case "identity":
      return changeIdentity(world, action);
    case "platform-token": {
      const { issuer, subject, audience } = action as OtherClaims;
      const other = Object.fromEntries(
        Object.entries({ issuer, subject, audience }).filter(([, value]) => value !== undefined),
      );
      return { token: workloadToken(identityCalled(world, action["identity"]), tokens, nowMs, other) };
    }
    case "clock":
      if (typeof action["set"] === "number") world.clock.set(action["set"]);
      if (typeof action["advance"] === "number") world.clock.advance(action["advance"]);
      if (action["run"] === false) world.clock.freeze();
      if (action["run"] === true) world.clock.run();
      return { now: new Date(world.clock.nowMs()).toISOString() };
    default:
      return Object.fromEntries(
        customers.map((customer) => [customer.identity.name, performOn(customer, action, stage, nowMs)]),
      );
  }
}

/** The provider's own tenant is meant only where it is named. */
function chosen(world: World, names: readonly string[] | undefined): Customer[] {
  const customers = [...world.customers.values()];
  if (names === undefined) return customers;
  const home = world.provider?.home;
  return [...customers, ...(home === undefined || customers.includes(home) ? [] : [home])].filter(({ identity }) =>
    names.includes(identity.name),
  );
}

/** A fault's times count from `nowMs`, like those of everything that happens. */
export function faultRule(rule: Readonly<Record<string, unknown>>, nowMs: number): FaultRule {
  const { from, until, on, answer, do: _, at: __, ...rest } = rule;
  return {
    ...rest,
    on: on as FaultTarget[],
    answer: answer as FaultAnswer,
    ...(typeof from === "number" ? { fromMs: nowMs + from } : {}),
    ...(typeof until === "number" ? { untilMs: nowMs + until } : {}),
  };
}

function performOn(customer: Customer, action: Action, { world, tokens, seed }: Stage, nowMs: number): unknown {
  const { credentials } = customer;
  const state = action["state"];
  switch (action.do) {
    case "consent":
      customer.setConsent(state as Customer["consent"]);
      setAbsentApp(customer, action["absent_app"]);
      if (action["answer"] !== undefined) credentials.consentAnswer = action["answer"] as "accept" | "decline";
      return { consent: state };
    case "permissions":
      if (customer === world.provider?.home) world.provider.homeRoles = action["roles"] as string[];
      customer.permissions = new Set(action["roles"] as string[]);
      for (const principal of customer.servicePrincipals.values())
        principal.assignments = principal.assignments.filter(({ role }) => customer.permissions.has(role));
      return { permissions: [...customer.permissions] };
    case "secret":
      if (state !== "rotated") {
        for (const secret of credentials.secrets) secret.state = state as "valid";
        return { state };
      }
      for (const secret of credentials.secrets) secret.state = "expired";
      return { client_secret: addSecret(credentials, customer.identity.name) };
    case "refresh-token":
      if (state === "revoked") credentials.revokedUpTo = credentials.lastGeneration;
      else if (state === "idle") credentials.idleUpTo = credentials.lastGeneration;
      else Object.assign(credentials, { revokedUpTo: -1, idleUpTo: -1 });
      return { state };
    case "access-tokens":
      if (typeof action["lifetime_seconds"] === "number") customer.accessTokenLifetimeS = action["lifetime_seconds"];
      return { revoked: state === "revoked" ? tokens.revoke((grant) => grant.customer === customer) : 0 };
    case "device-code":
      credentials.deviceCode = state as "approve";
      return { state };
    case "certificate":
      credentials.certificates.push(new X509Certificate(String(action["pem"])));
      return { certificates: credentials.certificates.length };
    case "regime":
      for (const stream of STREAM_NAMES)
        if (action["stream"] === undefined || action["stream"] === stream) setRegime(customer.regimes[stream], action);
      return customer.regimes;
    case "budget":
      customer.budgetLimits[action["api"] as BudgetName] = {
        perMinute: Number(action["per_minute"]),
        perHour: action["per_hour"] === undefined ? undefined : Number(action["per_hour"]),
      };
      if (action["retry_after_form"] !== undefined) customer.retryAfterForm = action["retry_after_form"] as "seconds";
      return customer.budgetLimits;
    case "record":
      return { key: addRecord(customer, action as unknown as RecordRule, world, nowMs) };
    case "relationship":
      return relate(providerOf(world), customer, relationshipRule(action), nowMs).map(({ id, status }) => ({
        id,
        status,
      }));
    case "generate":
      // The moment is part of the seed: the same rule twice makes other records, and a run repeats all the
      // same.
      return {
        versions: addGenerated(
          customer,
          action as unknown as GenerateRule,
          world,
          nowMs,
          `${seed} at ${nowMs - world.startMs}`,
        ),
      };
    default:
      return {};
  }
}

function providerOf(world: World): Provider {
  if (world.provider !== undefined) return world.provider;
  throw new ScenarioRefused('This scenario has no provider; add a block "provider" to it.');
}

/** `AADSTS700016` is the older answer; `undefined` leaves it as it is. */
export function setAbsentApp(customer: Customer, wanted: unknown): void {
  if (wanted !== undefined) customer.absentApp = wanted === "AADSTS700016" ? 700016 : 7000229;
}

export function setRegime(regime: Regime, wanted: Readonly<Record<string, unknown>>): void {
  if (wanted["links"] !== undefined) regime.links = wanted["links"] as boolean;
  if (wanted["order"] !== undefined) regime.order = wanted["order"] as Regime["order"];
  if (wanted["token"] !== undefined) regime.token = wanted["token"] as Regime["token"];
  if (wanted["page_max"] !== undefined) regime.page_max = wanted["page_max"] as number;
  if (wanted["unknown_members"] !== undefined) regime.unknown_members = wanted["unknown_members"] as readonly string[];
}

/** Adds what a rule makes; returns how many versions that is. */
export function addGenerated(
  customer: Customer,
  rule: GenerateRule,
  world: World,
  baseMs: number,
  seed: string,
): number {
  let count = 0;
  for (const version of generate(rule, customer.identity, baseMs, world.clock.nowMs(), seed)) {
    world.addVersion(customer, rule.stream, version);
    count += 1;
  }
  return count;
}

/** Adds one version: the object's last state (or a made-up one) with new members. Returns its update time. */
export function addRecord(customer: Customer, rule: RecordRule, world: World, baseMs: number): string {
  const facts = STREAMS[rule.stream];
  const atMs = baseMs + (rule.at ?? 0);
  const visibleMs = rule.visible === undefined ? atMs : baseMs + rule.visible;
  const visible = visibleMs > world.startMs ? { visibleAtMs: visibleMs } : {};
  const updated = textOfTicks(ticksOfMs(atMs));
  const texts = customer.scripted;
  const key = `${rule.stream} ${rule.id}`;
  const before = texts.get(key) ?? customer.tables[rule.stream].find(rule.id)?.text();
  if (rule.gone === true) {
    world.addVersion(customer, rule.stream, {
      id: rule.id,
      updated,
      created: updated,
      gone: true,
      ...visible,
      text: () => before ?? "{}",
    });
    return updated;
  }
  const base =
    before ??
    SHAPES[rule.stream].prepare({ identity: customer.identity, evidence: 3, alerts: 0, service: undefined })({
      id: rule.id,
      index: texts.size,
      created: updated,
      updated,
      change: 0,
      random: seededRandom(rule.id),
    });
  const members = JSON.parse(base) as Record<string, unknown>;
  const numeric = rule.stream === "xdr-incidents";
  Object.assign(members, { [facts.id]: numeric ? Number(rule.id) : rule.id, [facts.updated]: updated }, rule.set);
  if (rule.merge_into !== undefined)
    Object.assign(members, {
      status: numeric ? "Redirected" : "redirected",
      redirectIncidentId: numeric ? Number(rule.merge_into) : rule.merge_into,
      ...(numeric ? { alerts: [] } : {}),
    });
  const text = compact(JSON.stringify(members));
  texts.set(key, text);
  const version = readVersion(facts, text, visible.visibleAtMs);
  if (typeof version !== "string") world.addVersion(customer, rule.stream, version);
  return updated;
}
