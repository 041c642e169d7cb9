import { isFailure } from "../model/failure.ts";
import type { Clock, Log, RefreshTokenVault, TokenSource } from "../model/ports.ts";
import type { StateFolder } from "../model/state.ts";
import type { TenantId } from "../model/tenant.ts";

const DAY_MS = 86_400_000;

/**
 * A refresh token expires after this many days without use. Source: Microsoft identity platform docs,
 * "Refresh tokens", token lifetime.
 */
const IDLE_LIMIT_DAYS = 90;

/** Days without use after which an operator is warned. */
export const WARN_AT_DAYS = [60, 75, 85] as const;

/** A token that no poll has used for this long is redeemed only to keep it valid. */
const IDLE_DAYS = 7;

/** All ages are one fact, saved at most this often: 2,000 customers redeem 2,000 tokens an hour. */
const WRITE_EVERY_MS = 3_600_000;

const FACT = "refresh-tokens";

/** When a customer's refresh token was first seen and last redeemed, ms. */
export interface TokenAge {
  readonly issuedAtMs: number;
  readonly usedAtMs: number;
}

/** Whole days until the token expires. */
export function daysLeftOf(age: TokenAge, nowMs: number): number {
  return Math.max(0, IDLE_LIMIT_DAYS - Math.floor((nowMs - age.usedAtMs) / DAY_MS));
}

/** The last warning day that was passed; undefined if the token was used recently. */
export function warningDay(age: TokenAge, nowMs: number): (typeof WARN_AT_DAYS)[number] | undefined {
  const unused = Math.floor((nowMs - age.usedAtMs) / DAY_MS);
  return WARN_AT_DAYS.findLast((day) => unused >= day);
}

function isIdle(age: TokenAge, nowMs: number): boolean {
  return nowMs - age.usedAtMs >= IDLE_DAYS * DAY_MS;
}

export interface AgeWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Pick<StateFolder, "readFact" | "writeFact">;
}

/**
 * The ages of all customers' refresh tokens. They survive a restart. Losing up to an hour of them only delays
 * a warning, so a fact that cannot be saved never blocks a sign-in.
 */
export class TokenAges {
  readonly #world: AgeWorld;
  readonly #ages: Map<string, TokenAge>;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  private constructor(world: AgeWorld, ages: Map<string, TokenAge>) {
    this.#world = world;
    this.#ages = ages;
  }

  static async open(world: AgeWorld): Promise<TokenAges> {
    return new TokenAges(world, readAges(await world.facts.readFact(FACT), world.clock.nowMs()));
  }

  /**
   * A token that was never seen counts as issued and used now, because only Microsoft knows its real age.
   */
  of(name: string): TokenAge {
    const nowMs = this.#world.clock.nowMs();
    const known = this.#ages.get(name) ?? { issuedAtMs: nowMs, usedAtMs: nowMs };
    this.#ages.set(name, known);
    return known;
  }

  async used(name: string, isNew: boolean): Promise<void> {
    const nowMs = this.#world.clock.nowMs();
    this.#ages.set(name, { issuedAtMs: isNew ? nowMs : this.of(name).issuedAtMs, usedAtMs: nowMs });
    if (nowMs - this.#writtenAtMs < WRITE_EVERY_MS) return;
    this.#writtenAtMs = nowMs;
    try {
      await this.#world.facts.writeFact(
        FACT,
        JSON.stringify(
          Object.fromEntries([...this.#ages].map(([one, { issuedAtMs, usedAtMs }]) => [one, [issuedAtMs, usedAtMs]])),
        ),
      );
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#world.log.warn("could not save when refresh tokens were last used", { failure: error.code });
    }
  }
}

function readAges(text: string | undefined, nowMs: number): Map<string, TokenAge> {
  let read: unknown;
  try {
    read = JSON.parse(text ?? "{}");
  } catch {
    read = {};
  }
  const ages = new Map<string, TokenAge>();
  for (const [name, pair] of Object.entries(typeof read === "object" && read !== null ? read : {})) {
    const [issuedAtMs, usedAtMs] = Array.isArray(pair) ? (pair as unknown[]) : [];
    // After the clock was set back, saved times may lie in the future. They are ignored.
    if (typeof issuedAtMs === "number" && typeof usedAtMs === "number" && usedAtMs <= nowMs)
      ages.set(name, { issuedAtMs, usedAtMs });
  }
  return ages;
}

/**
 * A customer's vault that also records each use of its token. The token is stored first, then the use is
 * recorded, so that a crash in between loses only the record.
 */
export class AgeingVault implements RefreshTokenVault {
  readonly #inner: RefreshTokenVault;
  readonly #ages: TokenAges;
  readonly #name: string;

  constructor(inner: RefreshTokenVault, ages: TokenAges, tenantId: TenantId, stanza: string) {
    this.#inner = inner;
    this.#ages = ages;
    this.#name = `${tenantId}/${stanza}`;
  }

  get age(): TokenAge {
    return this.#ages.of(this.#name);
  }

  current: RefreshTokenVault["current"] = () => this.#inner.current();

  store: RefreshTokenVault["store"] = async (rotated, options) => {
    await this.#inner.store(rotated, options);
    await this.#ages.used(this.#name, options.refused);
  };

  ended: NonNullable<RefreshTokenVault["ended"]> = async (options) => this.#inner.ended?.(options);
}

export interface IdleCustomer {
  readonly name: string;
  readonly vault: Pick<AgeingVault, "age">;
  readonly tokens: TokenSource;
}

/**
 * Once a day: redeems the token of every customer whose streams did not use it for a week (off, or failing
 * before the sign-in), so that it does not expire unnoticed, and warns from day 60. Ends when `stop` fires.
 */
export async function keepIdleTokensAlive(
  customers: () => readonly IdleCustomer[],
  world: { readonly clock: Clock; readonly log: Log },
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    for (const customer of customers()) {
      if (stop.aborted) return;
      await keepAlive(customer, world, stop);
    }
    await world.clock.pause(DAY_MS, stop);
  }
}

async function keepAlive(
  { name, vault, tokens }: IdleCustomer,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  stop: AbortSignal,
): Promise<void> {
  if (!isIdle(vault.age, clock.nowMs())) return;
  try {
    await tokens.accessToken({ signal: stop });
  } catch (error) {
    if (!isFailure(error)) throw error;
    const day = warningDay(vault.age, clock.nowMs());
    if (day === undefined) return;
    log.warn("a refresh token was not used for a long time and will expire", {
      tenant: name,
      days_without_use: day,
      days_left: daysLeftOf(vault.age, clock.nowMs()),
      failure: error.code,
      next_step: error.nextStep || undefined,
    });
  }
}
