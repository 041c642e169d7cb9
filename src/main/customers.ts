import { credentialOf } from "../auth/app-credential.ts";
import { resolveTenantId } from "../auth/authority.ts";
import { credentialDaysLeft, credentialWarnings } from "../auth/credential-end.ts";
import { historyName, PermissionHistory } from "../auth/permission-history.ts";
import type { IdleCustomer } from "../auth/refresh-token-age.ts";
import { AgeingVault, keepIdleTokensAlive, TokenAges } from "../auth/refresh-token-age.ts";
import {
  type CustomerSignIn as CycleSignIn,
  createTokenCycles,
  type PermissionsListener,
} from "../auth/token-cycle.ts";
import type { CredentialReport } from "../collect/report.ts";
import type { Customer, Scheduler } from "../collect/scheduler.ts";
import { createHuntingSource } from "../defender/hunting/hunting-source.ts";
import { createSourceStream } from "../defender/source-stream.ts";
import { type Backoff, backoffMs } from "../model/backoff.ts";
import { Failure, isFailure } from "../model/failure.ts";
import type { HuntingSource } from "../model/hunting.ts";
import { apiOf, audienceOf } from "../model/permissions.ts";
import type { Clock, Http, Log, Random, RefreshTokenVault, SourceStream, TokenSource } from "../model/ports.ts";
import type { AppCredential } from "../model/sign-in.ts";
import type { GlobalSettings, RefusedSettings, Stanza } from "../model/stanza.ts";
import { secretEndsMs } from "../model/stanza.ts";
import type { StateFolder } from "../model/state.ts";
import type { StreamName } from "../model/stream.ts";
import type { Tenant, TenantId } from "../model/tenant.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { loadHuntingQueries } from "./hunting-queries.ts";

const RESOLVE_AGAIN: Backoff = { firstMs: 30_000, longestMs: 900_000 };

export interface CustomersWorld {
  readonly http: Http;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly globals: GlobalSettings;
}

/** Small facts that outlive a run. */
type Facts = Pick<StateFolder, "readFact" | "writeFact">;

/** Nothing is kept: for commands that take no lock, so that they run beside a collector. */
export const noFacts: Facts = { readFact: () => Promise.resolve(undefined), writeFact: () => Promise.resolve() };

/**
 * The store of a customer's refresh token, once the tenant's GUID is known; undefined for an app that signs
 * in as itself.
 */
export type VaultOf = (stanza: Stanza, tenantId: TenantId) => RefreshTokenVault | undefined;

export interface RefusedCustomer {
  readonly stanza: Stanza;
  readonly failure: Failure;
}

/** A customer whose settings are wrong, so that there is no stanza. */
export type MisconfiguredCustomer = Omit<RefusedSettings, "problems"> & { readonly failure: Failure };

/**
 * Turns checked settings into what the engine runs: resolves the tenant, selects the sign-in, creates the
 * streams.
 */
export class CustomerBuilder {
  readonly #world: CustomersWorld;
  readonly #cycles: ReturnType<typeof createTokenCycles>;
  readonly #vaultOf: VaultOf;
  readonly #withCredential: (stanza: Stanza) => Stanza;
  /** Customers that were built, by stanza. */
  readonly #built = new Map<string, BuiltCustomer>();
  #builds = 0;
  #ages: Promise<TokenAges> | undefined;
  #history: Promise<PermissionHistory> | undefined;

  /**
   * @param withCredential adds the shared credential that a stanza names, for hosts whose settings do
   *   not contain it.
   */
  constructor(
    world: CustomersWorld,
    vaultOf: VaultOf,
    withCredential: (stanza: Stanza) => Stanza = (stanza) => stanza,
  ) {
    this.#withCredential = withCredential;
    this.#world = world;
    this.#cycles = createTokenCycles(world);
    this.#vaultOf = vaultOf;
  }

  /**
   * @param facts where a domain's GUID, the age of a refresh token and the granted permissions are kept.
   * @param only if given, only these streams.
   * Throws Failure (domain not resolvable, no credential).
   */
  async build(stanza: Stanza, facts: Facts, only?: readonly StreamName[]): Promise<Customer> {
    this.#builds += 1;
    const build = this.#builds;
    const tenant = await this.#tenantOf(stanza, facts);
    this.#ages ??= TokenAges.open({ ...this.#world, facts });
    this.#history ??= PermissionHistory.open({ ...this.#world, facts });
    const history = await this.#history;
    const signIn = new CustomerSignIn(await this.#methodOf(stanza, tenant.id, this.#ages));
    return this.#customerOf(stanza, tenant, only, signIn, build, history);
  }

  /**
   * A credential changed: a customer that was built uses this stanza's for its next token. Throws Failure
   * when the stanza cannot sign in; the customer then keeps the credential that it has.
   */
  async renew(stanza: Stanza): Promise<void> {
    const built = this.#built.get(stanza.name);
    if (built === undefined || this.#ages === undefined) return;
    built.signIn.use(await this.#methodOf(stanza, built.tenantId, this.#ages));
  }

  /** A customer that was built has no credential any more: its next token fails with this. */
  withhold(stanza: string, failure: Failure): void {
    this.#built.get(stanza)?.signIn.withhold(failure);
  }

  async #methodOf(given: Stanza, tenantId: TenantId, ages: Promise<TokenAges>): Promise<SignInMethod> {
    const vault = given.auth === "app" ? undefined : this.#vaultOf(given, tenantId);
    const stanza = this.#withCredential(given);
    if (stanza.auth === "refresh_token" && !vault) throw noRefreshToken(stanza);
    return {
      stanza,
      credential: credentialOf(stanza, vault === undefined ? "app" : "refresh_token"),
      vault: vault && new AgeingVault(vault, await ages, tenantId, given.name),
    };
  }

  /**
   * Once a day, until `stop` fires: redeems refresh tokens that no stream has used for a week, because they
   * expire after 90 days without use.
   */
  keepTokensAlive(stop: AbortSignal): Promise<void> {
    const withTokens = () =>
      [...this.#built.values()].flatMap(({ signIn, name, tokens }): IdleCustomer[] =>
        signIn.presentVault === undefined || tokens === undefined ? [] : [{ name, vault: signIn.presentVault, tokens }],
      );
    return keepIdleTokensAlive(withTokens, this.#world, stop);
  }

  #customerOf(
    given: Stanza,
    tenant: Tenant,
    only: readonly StreamName[] | undefined,
    signIn: CustomerSignIn,
    build: number,
    history: PermissionHistory,
  ): Customer {
    const { stanza } = signIn;
    const ownHistory = historyName(tenant.id, stanza.name);
    const sources: SourceStream[] = [];
    let hunting: HuntingSource | undefined;
    // Streams of one API share one token, because a second one would only double the sign-ins.
    const tokensFor = new Map<string, TokenSource>();
    for (const stream of stanza.streams) {
      if (only && !only.includes(stream)) continue;
      const api = apiOf(stream);
      const audience = audienceOf(api, tenant.cloud);
      const tokens =
        tokensFor.get(audience) ??
        this.#cycles.forCustomer(
          new SignInForApi(signIn, tenant, audience, {
            granted: (rights) => history.granted(ownHistory, api, rights),
            consentGone: () => history.consentGone(ownHistory, api),
          }),
        );
      tokensFor.set(audience, tokens);
      const { http, clock, log, globals } = this.#world;
      const parts = { stanza, tenant, http, tokens, clock, log, recordMaxBytes: globals.recordMaxMib * 1024 * 1024 };
      if (stream !== "hunting") sources.push(createSourceStream({ ...parts, stream }));
      else if (stanza.huntingQueries !== undefined)
        hunting = createHuntingSource({ ...parts, ...loadHuntingQueries(stanza.huntingQueries) });
    }
    const [tokens] = tokensFor.values();
    // A build that began earlier, with an older secret, may end later: its tenant was asked for.
    if ((this.#built.get(given.name)?.build ?? 0) < build)
      this.#built.set(given.name, { build, name: tenant.name, tenantId: tenant.id, signIn, tokens });
    return {
      stanza: stanza.name,
      tenant,
      settings: {
        pollSeconds: stanza.pollSeconds,
        overlapMinutes: stanza.overlapMinutes,
        sweepHours: stanza.sweepHours,
      },
      start: stanza.start,
      sources,
      ...(hunting === undefined ? {} : { hunting }),
      credential: credentialReport(signIn),
      permissions: history.customer(ownHistory, tenant.name, stanza.streams),
    };
  }

  /** Saves what the next start should know of these customers. */
  async save(): Promise<void> {
    await (await this.#history)?.save();
  }

  /**
   * Creates all customers that can be created now. Those whose tenant is given as a domain are returned as
   * `later`, because resolving a domain may need the network.
   */
  async buildAll(
    stanzas: readonly Stanza[],
    facts: Facts,
    only?: readonly StreamName[],
  ): Promise<{ readonly customers: Customer[]; readonly refused: RefusedCustomer[]; readonly later: Stanza[] }> {
    const customers: Customer[] = [];
    const refused: RefusedCustomer[] = [];
    const later: Stanza[] = [];
    for (const stanza of stanzas) {
      try {
        if (tenantIdFrom(stanza.tenantId) === undefined) later.push(stanza);
        else customers.push(await this.build(stanza, facts, only));
      } catch (error) {
        if (!isFailure(error)) throw error;
        refused.push({ stanza, failure: error });
      }
    }
    return { customers, refused, later };
  }

  /**
   * Resolves a domain with retries, and adds the customer to the scheduler when its tenant is known.
   *
   * @param failed called after each failed try.
   */
  async joinLater(
    stanza: Stanza,
    scheduler: Pick<Scheduler, "add">,
    state: StateFolder,
    stop: AbortSignal,
    failed: (failure: Failure) => void,
  ): Promise<void> {
    const { clock, random } = this.#world;
    for (let tries = 1; !stop.aborted; tries += 1) {
      try {
        await scheduler.add(await this.build(stanza, state));
        return;
      } catch (error) {
        if (!isFailure(error)) throw error;
        failed(error);
        await clock.pause(backoffMs(RESOLVE_AGAIN, tries, random), stop);
      }
    }
  }

  async #tenantOf(stanza: Stanza, facts: Facts): Promise<Tenant> {
    const id = await resolveTenantId(
      { ...this.#world, facts },
      { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId },
      stanza.route,
    );
    return { id, name: stanza.tenantName, cloud: stanza.cloud };
  }
}

/** With what a customer signs in. */
interface SignInMethod {
  /** With the values of its shared credential. */
  readonly stanza: Stanza;
  readonly credential: AppCredential;
  readonly vault: AgeingVault | undefined;
}

/** A customer's sign-in, which may change while it is collected. */
class CustomerSignIn {
  #method: SignInMethod;
  /** There is no credential any more, because of this. */
  #withheld: Failure | undefined;

  constructor(method: SignInMethod) {
    this.#method = method;
  }

  use(method: SignInMethod): void {
    this.#method = method;
    this.#withheld = undefined;
  }

  withhold(failure: Failure): void {
    this.#withheld = failure;
  }

  get credential(): AppCredential {
    return this.#usable().credential;
  }

  get vault(): AgeingVault | undefined {
    return this.#usable().vault;
  }

  /** The last one, for what is said of a credential and not done with it. */
  get stanza(): Stanza {
    return this.#method.stanza;
  }

  get presentVault(): AgeingVault | undefined {
    return this.#method.vault;
  }

  #usable(): SignInMethod {
    if (this.#withheld) throw this.#withheld;
    return this.#method;
  }
}

/** A customer's sign-in for one API. A class, because getters of an object are closures for each customer. */
class SignInForApi implements CycleSignIn {
  readonly tenant: Tenant;
  readonly audience: string;
  readonly stanza: Stanza;
  readonly permissions: PermissionsListener;
  readonly #signIn: CustomerSignIn;

  constructor(signIn: CustomerSignIn, tenant: Tenant, audience: string, permissions: PermissionsListener) {
    this.tenant = tenant;
    this.audience = audience;
    this.stanza = signIn.stanza;
    this.permissions = permissions;
    this.#signIn = signIn;
  }

  get credential(): AppCredential {
    return this.#signIn.credential;
  }

  get vault(): AgeingVault | undefined {
    return this.#signIn.vault;
  }
}

interface BuiltCustomer {
  /** Builds are numbered in the order in which they begin. */
  readonly build: number;
  /** The tenant's name. */
  readonly name: string;
  readonly tenantId: TenantId;
  readonly signIn: CustomerSignIn;
  /** Of one of its APIs; undefined without streams. */
  readonly tokens: TokenSource | undefined;
}

function credentialReport(signIn: CustomerSignIn): CredentialReport {
  const parts = () => {
    const { stanza, presentVault } = signIn;
    return {
      tenantName: stanza.tenantName,
      refreshToken: presentVault,
      certificate: stanza.assertion === undefined ? stanza.certificate : undefined,
      credential: stanza.credential,
      // A client secret is sent only where there is nothing better. An assertion is renewed by its platform.
      secretEndsMs: (stanza.certificate ?? stanza.assertion) === undefined ? secretEndsMs(stanza) : undefined,
      isOwnSecret: stanza.secretExpires !== undefined,
    };
  };
  return {
    get name() {
      return signIn.stanza.credential ?? null;
    },
    daysLeft: (nowMs) => credentialDaysLeft(parts(), nowMs),
    warnings: (nowMs) => credentialWarnings(parts(), nowMs),
  };
}

function noRefreshToken(stanza: Stanza): Failure {
  return new Failure("not-signed-in", {
    area: "sign-in",
    actor: "operator",
    retry: { when: "never" },
    say: `${stanza.name} signs in with a refresh token, but none is stored.`,
    nextStep: `Run \`defender-mssp token acquire --customer ${JSON.stringify(stanza.name)}\`.`,
  });
}
