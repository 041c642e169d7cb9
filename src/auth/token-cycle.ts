import { Failure, isFailure } from "../model/failure.ts";
import { isWithoutConsent, type TokenRights } from "../model/granted-permissions.ts";
import type { Clock, Http, Log, Random, RefreshTokenVault, TokenSource } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Tenant } from "../model/tenant.ts";
import { Assertions } from "./assertion.ts";
import type { AccessToken, Grant } from "./redeem.ts";
import { redeem } from "./redeem.ts";
import { claimsOf, rightsOf } from "./token-claims.ts";
import { createTokenPacer } from "./token-pacer.ts";
import { WorkingApps } from "./working-apps.ts";

/** Token requests per second over all customers. */
const REQUESTS_PER_SECOND = 100;

/** Pause after a failed renewal while the current token is still valid. */
const RENEWAL_PAUSE_MS = 30_000;

const MINUTES_5_MS = 300_000;

export interface TokenCyclesOptions {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Reads certificate files; from the real disk unless a test injects another reader. */
  readonly readText?: (path: string) => Promise<string>;
}

export interface CustomerSignIn {
  /** With the resolved GUID. */
  readonly tenant: Tenant;
  readonly stanza: Pick<Stanza, "name" | "credential" | "endpoints" | "route" | "resource">;
  /**
   * The API's audience from the cloud table (`graphAudience` and so on); the setting `resource` overrides it.
   */
  readonly audience: string;
  /**
   * Read again at each redemption, like `vault`: it may change while the customer is collected. Reading it
   * throws Failure when the customer has none any more.
   */
  readonly credential: AppCredential;
  /** If given, its refresh token is redeemed; otherwise the app signs in as itself. */
  readonly vault?: RefreshTokenVault | undefined;
  /** Hears what each new token allows. */
  readonly permissions?: PermissionsListener;
}

export interface PermissionsListener {
  /** A new token that can be decoded. */
  granted(rights: TokenRights): void;
  /** The customer's consent is not there, so there is no token. */
  consentGone(): void;
}

export interface TokenCycles {
  forCustomer(signIn: CustomerSignIn): TokenSource;
}

/**
 * When a token is renewed, counted from its arrival: after 80 % of its lifetime or 5 minutes before its end,
 * whichever is later.
 */
export function renewAfterMs(lifetimeMs: number): number {
  return Math.max(lifetimeMs * 0.8, lifetimeMs - MINUTES_5_MS);
}

/** What the cycles of all customers share. */
interface SharedByCycles extends TokenCyclesOptions {
  readonly apps: WorkingApps;
  readonly assertions: Assertions;
  readonly pacer: { acquire(): Promise<void> };
}

/**
 * The token cycles of all customers. They share one pacer, and what is known of their apps. All audiences of
 * one customer share one lock, because redeeming a refresh token replaces it: two redemptions at once could
 * store the older token last.
 */
export function createTokenCycles(options: TokenCyclesOptions): TokenCycles {
  const shared: SharedByCycles = {
    ...options,
    apps: new WorkingApps(),
    assertions: new Assertions(options),
    pacer: createTokenPacer(options.clock, REQUESTS_PER_SECOND),
  };
  const locks = new Map<string, Lock>();
  return {
    forCustomer(signIn) {
      const name = JSON.stringify([signIn.stanza.name, signIn.tenant.id]);
      let lock = locks.get(name);
      if (!lock) {
        lock = { last: Promise.resolve(), refused: false, publicWith: undefined };
        locks.set(name, lock);
      }
      return new Cycle(shared, lock, signIn);
    },
  };
}

interface Lock {
  last: Promise<unknown>;
  /** Microsoft rejected the stored refresh token; its replacement must be stored at once on every host. */
  refused: boolean;
  /**
   * The refresh token belongs to a public client (device code), although this credential has a client secret.
   * Another credential is tried as it is.
   */
  publicWith: AppCredential | undefined;
}

interface Held {
  readonly token: Sealed;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

class Cycle implements TokenSource {
  readonly #options: SharedByCycles;
  readonly #lock: Lock;
  readonly #signIn: CustomerSignIn;
  #held: Held | undefined;
  #renewal: Promise<Sealed> | undefined;
  #quietUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: SharedByCycles, lock: Lock, signIn: CustomerSignIn) {
    this.#options = options;
    this.#lock = lock;
    this.#signIn = signIn;
  }

  async accessToken(options: { readonly refused?: Sealed; readonly signal?: AbortSignal } = {}): Promise<Sealed> {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#held && options.refused && same(this.#held.token, options.refused)) this.#held = undefined;
    const held = this.#held;
    if (held && nowMs < held.renewAtMs) return held.token;
    if (held && nowMs < held.endsAtMs && nowMs < this.#quietUntilMs) return held.token;

    // Concurrent callers share one redemption. It continues when a caller stops waiting, because the rotated
    // token must be stored.
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined;
    });
    try {
      return await untilStopped(this.#renewal, options.signal);
    } catch (error) {
      const still = this.#held;
      if (!still || this.#options.clock.monotonicMs() >= still.endsAtMs || options.signal?.aborted) throw error;
      // The current token is still valid: use it and try again soon.
      this.#quietUntilMs =
        this.#options.clock.monotonicMs() + RENEWAL_PAUSE_MS * (0.75 + this.#options.random.next() / 2);
      this.#options.log.warn("an access token could not be renewed; the current one is used until it expires", {
        tenant: this.#signIn.tenant.name,
        failure: isFailure(error) ? error.code : "defect",
      });
      return still.token;
    }
  }

  #renew(): Promise<Sealed> {
    const mine = this.#lock.last.then(() => this.#redeem());
    this.#lock.last = mine.catch(() => {});
    return mine;
  }

  async #redeem(): Promise<Sealed> {
    await this.#options.pacer.acquire();
    const { credential, vault } = this.#signIn;
    try {
      return await this.#redeemWith(credential, vault);
    } finally {
      await vault?.ended?.({ refused: this.#lock.refused });
    }
  }

  async #redeemWith(credential: AppCredential, vault: RefreshTokenVault | undefined): Promise<Sealed> {
    const { tenant, stanza, audience } = this.#signIn;
    const grant: Grant = vault ? { kind: "refresh-token", refreshToken: await vault.current() } : { kind: "app" };
    let fresh: AccessToken;
    try {
      fresh = await redeem(this.#options, {
        authority: { loginUrl: stanza.endpoints.loginUrl, tenant: tenant.id },
        route: stanza.route,
        credential:
          this.#lock.publicWith === credential ? { kind: "public", clientId: credential.clientId } : credential,
        audience: stanza.resource ?? audience,
        grant,
        subject: { customer: tenant.name, clientId: credential.clientId, credential: stanza.credential },
        keep: async (rotated) => {
          await vault?.store(rotated, { refused: this.#lock.refused });
          this.#lock.refused = false;
        },
      });
    } catch (error) {
      if (isFailure(error) && isWithoutConsent(error)) this.#signIn.permissions?.consentGone();
      if (vault && isFailure(error) && error.area === "sign-in") {
        this.#lock.refused = true;
        // The next sign-in may use another method.
        this.#lock.publicWith = undefined;
      }
      throw error;
    }
    if (fresh.asPublic) this.#lock.publicWith = credential;
    // Microsoft may issue an opaque token.
    const claims = this.#signIn.permissions && claimsOf(fresh.token);
    if (claims) this.#signIn.permissions?.granted(rightsOf(claims));
    const arrivedAtMs = this.#options.clock.monotonicMs();
    this.#held = {
      token: fresh.token,
      renewAtMs: arrivedAtMs + renewAfterMs(fresh.lifetimeMs),
      endsAtMs: arrivedAtMs + fresh.lifetimeMs,
    };
    this.#quietUntilMs = Number.NEGATIVE_INFINITY;
    this.#options.log.debug("access token renewed", {
      tenant: tenant.name,
      audience: stanza.resource ?? audience,
      lifetime_s: Math.round(fresh.lifetimeMs / 1000),
    });
    return fresh.token;
  }
}

function same(a: Sealed, b: Sealed): boolean {
  return a === b || a.open((left) => b.open((right) => left === right));
}

function untilStopped<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const stop = (): void =>
      reject(
        new Failure("stopped", {
          actor: "us",
          retry: { when: "soon" },
          say: "The sign-in was cancelled because this program is stopping.",
        }),
      );
    if (signal.aborted) {
      work.catch(() => {});
      return stop();
    }
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
