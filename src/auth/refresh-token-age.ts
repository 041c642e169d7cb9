import type { Clock, Log, RefreshTokenVault, TokenSource } from "../model/kit.ts";
import { isFailure } from "../model/failure.ts";
import type { StateFolder } from "../model/state.ts";
import type { TenantId } from "../model/tenant.ts";

const DAY_MS = 86_400_000;

/** Microsoft forgets a refresh token that was not used for so long. Source: Microsoft identity platform docs, "Refresh tokens", token lifetime. */
export const IDLE_LIMIT_DAYS = 90;

/** Days without use at which an operator is told. */
export const WARN_AT_DAYS = [60, 75, 85] as const;

/** A token that no poll has used for this long is redeemed for its own sake. */
const QUIET_DAYS = 7;

/** Written down at most this often per customer: the day is what matters, and all facts share one file. */
const WRITE_EVERY_MS = 20 * 3_600_000;

/** When a customer's refresh token was first seen and last redeemed, ms. */
export interface TokenAge {
  readonly issuedAtMs: number;
  readonly usedAtMs: number;
}

/** Whole days until Microsoft forgets the token. */
export function daysLeftOf(age: TokenAge, nowMs: number): number {
  return Math.max(0, IDLE_LIMIT_DAYS - Math.floor((nowMs - age.usedAtMs) / DAY_MS));
}

/** The warning day that was last passed; undefined while the token was used recently. */
export function warningDay(age: TokenAge, nowMs: number): (typeof WARN_AT_DAYS)[number] | undefined {
  const unused = Math.floor((nowMs - age.usedAtMs) / DAY_MS);
  return WARN_AT_DAYS.findLast((day) => unused >= day);
}

export function isQuiet(age: TokenAge, nowMs: number): boolean {
  return nowMs - age.usedAtMs >= QUIET_DAYS * DAY_MS;
}

function factName(tenantId: TenantId, stanza: string): string {
  return `refresh-token:${tenantId}/${stanza}`;
}

function readAge(text: string | undefined): TokenAge | undefined {
  try {
    const { issued_at_ms: issuedAtMs, used_at_ms: usedAtMs } = JSON.parse(text ?? "") as Record<string, unknown>;
    return typeof issuedAtMs === "number" && typeof usedAtMs === "number" ? { issuedAtMs, usedAtMs } : undefined;
  } catch {
    return undefined;
  }
}

export interface AgeWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Pick<StateFolder, "readFact" | "writeFact">;
}

/**
 * A customer's vault that also remembers when its token was issued and last used. What it remembers survives a restart; losing it only costs a warning,
 * so a fact that cannot be written never stands in the way of a sign-in.
 */
export class AgeingVault implements RefreshTokenVault {
  readonly #inner: RefreshTokenVault;
  readonly #world: AgeWorld;
  readonly #fact: string;
  #age: TokenAge;
  #writtenAtMs: number;

  private constructor(inner: RefreshTokenVault, world: AgeWorld, fact: string, age: TokenAge, writtenAtMs: number) {
    this.#inner = inner;
    this.#world = world;
    this.#fact = fact;
    this.#age = age;
    this.#writtenAtMs = writtenAtMs;
  }

  /** A token that was never seen counts as issued and used now: how old it really is, only Microsoft knows. */
  static async open(inner: RefreshTokenVault, world: AgeWorld, tenantId: TenantId, stanza: string): Promise<AgeingVault> {
    const fact = factName(tenantId, stanza);
    const known = readAge(await world.facts.readFact(fact));
    const nowMs = world.clock.nowMs();
    // A clock that stepped back must not make a token look younger than new.
    const age = known && known.usedAtMs <= nowMs ? known : { issuedAtMs: nowMs, usedAtMs: nowMs };
    const vault = new AgeingVault(inner, world, fact, age, known ? age.usedAtMs : Number.NEGATIVE_INFINITY);
    if (!known) await vault.#write();
    return vault;
  }

  get age(): TokenAge {
    return this.#age;
  }

  current: RefreshTokenVault["current"] = () => this.#inner.current();

  store: RefreshTokenVault["store"] = async (rotated, options) => {
    // First the token, then the note about it: a crash in between loses nothing but the note.
    await this.#inner.store(rotated, options);
    const nowMs = this.#world.clock.nowMs();
    this.#age = { issuedAtMs: options.refused ? nowMs : this.#age.issuedAtMs, usedAtMs: nowMs };
    if (nowMs - this.#writtenAtMs >= WRITE_EVERY_MS || options.refused) await this.#write();
  };

  async #write(): Promise<void> {
    const { issuedAtMs, usedAtMs } = this.#age;
    try {
      await this.#world.facts.writeFact(this.#fact, JSON.stringify({ issued_at_ms: issuedAtMs, used_at_ms: usedAtMs }));
      this.#writtenAtMs = usedAtMs;
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#world.log.warn("when a refresh token was last used could not be written down", { failure: error.code });
    }
  }
}

export interface QuietCustomer {
  readonly name: string;
  readonly vault: Pick<AgeingVault, "age">;
  readonly tokens: TokenSource;
}

/**
 * Once a day: redeems the token of every customer whose streams did not use it for a week (off, failing before they sign in), so that it does not end
 * unnoticed, and warns from day 60 on. Ends when `stop` fires.
 */
export async function keepQuietTokensAlive(customers: () => readonly QuietCustomer[], world: { readonly clock: Clock; readonly log: Log }, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    for (const customer of customers()) {
      if (stop.aborted) return;
      await lookAfter(customer, world, stop);
    }
    await world.clock.pause(DAY_MS, stop);
  }
}

async function lookAfter({ name, vault, tokens }: QuietCustomer, { clock, log }: { readonly clock: Clock; readonly log: Log }, stop: AbortSignal): Promise<void> {
  if (!isQuiet(vault.age, clock.nowMs())) return;
  try {
    await tokens.accessToken({ signal: stop });
  } catch (error) {
    if (!isFailure(error)) throw error;
    const day = warningDay(vault.age, clock.nowMs());
    if (day === undefined) return;
    log.warn("a refresh token was not used for a long time and will end", {
      tenant: name,
      days_without_use: day,
      days_left: daysLeftOf(vault.age, clock.nowMs()),
      failure: error.code,
      next_step: error.nextStep || undefined,
    });
  }
}
