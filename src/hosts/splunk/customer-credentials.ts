import { readFilePath } from "../../config/files.ts";
import type { ParsedSettings, SecretKey } from "../../config/settings.ts";
import { SECRET_KEYS } from "../../config/settings.ts";
import { assertionFile } from "../../model/assertion.ts";
import { type Backoff, backoffMs } from "../../model/backoff.ts";
import { asFailure, Failure, isFailure } from "../../model/failure.ts";
import type { Clock, Log, Random, RefreshTokenVault } from "../../model/ports.ts";
import type { Stanza } from "../../model/stanza.ts";
import { FileStamps, type StampOf } from "../../stores/disk/file-stamps.ts";
import { takeIntake } from "./intake.ts";
import type { PasswordStore, SecretId } from "./passwords.ts";
import { credentialId, customerSecretId } from "./passwords.ts";
import { fileNamed } from "./secret-files.ts";
import type { ReadyStanza, RefusedStanza, Resolution, SecretPorts } from "./secrets.ts";
import { resolveSecrets } from "./secrets.ts";
import type { Splunkd } from "./splunkd.ts";
import { splunkVault } from "./vault.ts";

/** Two looks a minute are two requests a minute to splunkd, however many inputs there are. */
export const LOOK_EVERY_MS = 30_000;
/** While a credential fails: somebody may have stored one without announcing it. */
const READ_WHILE_FAILING_EVERY_MS = 60_000;
/** So long customers wait for secrets that were typed on pages. The rest is taken over beside collecting. */
const INTAKE_BEFORE_COLLECTING_MS = 10_000;
const OPEN_AGAIN: Backoff = { firstMs: 60_000, longestMs: 900_000 };

export interface SplunkCustomer {
  /** With its secrets. */
  readonly stanza: Stanza;
  /** Where the customer's refresh token lives; undefined when it has none. */
  readonly vault: RefreshTokenVault | undefined;
}

/** Customers with something new since the last look. */
export interface LookResult {
  /** They can be collected with what stands here. */
  readonly customers: readonly SplunkCustomer[];
  /** They cannot be collected, or not any more. */
  readonly refused: readonly RefusedStanza[];
}

/** splunkd's credential store, or why it cannot be read. */
export interface PasswordAccess {
  readonly splunkd?: Splunkd;
  readonly store?: PasswordStore;
  readonly failure?: Failure;
}

export interface CustomerCredentialsParts {
  readonly settings: Pick<ParsedSettings, "stanzas" | "refused" | "masked">;
  /** Checks settings again that were refused, because a file that they name may be there now. */
  readonly parseAgain: (names: ReadonlySet<string>) => Pick<ParsedSettings, "stanzas" | "masked">;
  /** @param stanzas who needs the store, with the files that may verify splunkd. */
  readonly openStore: (stanzas: readonly Stanza[]) => Promise<PasswordAccess>;
  readonly secrets: SecretPorts;
  readonly stampOf: StampOf;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly stop: AbortSignal;
}

/** Every customer's credentials as they are stored now, in splunkd's credential store or in files. */
export class CustomerCredentials {
  readonly #p: CustomerCredentialsParts;
  readonly #stanzas: Map<string, Stanza>;
  readonly #masked: Map<string, readonly SecretKey[]>;
  /** Names of inputs whose settings are wrong. */
  readonly #refusedSettings: Set<string>;
  readonly #ready = new Map<string, ReadyStanza>();
  readonly #refused = new Map<string, RefusedStanza>();
  readonly #vaults = new Map<string, RefreshTokenVault>();
  readonly #stamps: FileStamps;
  /** By customer: the files whose content decides whether it can sign in. */
  readonly #files = new Map<string, readonly string[]>();
  /** By input: why a secret that was typed on a page was not taken over. */
  #notTaken: ReadonlyMap<string, Failure> = new Map();
  /** Secrets that were taken over after the customers were resolved. */
  #takenLate: ReadonlySet<SecretId> = NO_SECRETS;
  #access: PasswordAccess = {};
  #openings = 0;
  #openAgainAtMs = 0;
  #loggedFailure: string | undefined;

  private constructor(parts: CustomerCredentialsParts) {
    const { stanzas, masked, refused } = parts.settings;
    this.#p = parts;
    this.#stanzas = new Map(stanzas.map((stanza) => [stanza.name, stanza]));
    this.#masked = new Map(masked);
    this.#refusedSettings = new Set(refused.map(({ name }) => name));
    this.#stamps = new FileStamps(parts.stampOf);
  }

  /** Reads the store and everything that the settings name. */
  static async open(
    parts: CustomerCredentialsParts,
  ): Promise<{ readonly credentials: CustomerCredentials; readonly resolution: Resolution }> {
    const credentials = new CustomerCredentials(parts);
    await credentials.#openStore();
    const resolution = await credentials.#resolve([...credentials.#stanzas.values()]);
    return { credentials, resolution };
  }

  get access(): PasswordAccess {
    return this.#access;
  }

  /**
   * The credential store as it is now; what others changed counts at the next look. Throws the failures of
   * Splunkd, and `settings` where it cannot be opened. Without an input it is opened only now: a page stores
   * what the first one needs.
   */
  async freshStore(): Promise<PasswordStore> {
    if (this.#stanzas.size === 0 && this.#access.store === undefined) this.#access = await this.#p.openStore([]);
    const { store, failure } = this.#access;
    if (store === undefined) throw failure ?? storeNotOpen();
    this.noteChanged(await store.refresh({ atLeastEveryMs: 0 }));
    return store;
  }

  /** Customers that use these secrets get them at the next look. */
  noteChanged(ids: ReadonlySet<SecretId>): void {
    this.#takenLate = new Set([...this.#takenLate, ...ids]);
  }

  /** An input whose settings are right, with its secrets or with the reason why it has none. */
  find(name: string): ReadyStanza | RefusedStanza | undefined {
    return this.#ready.get(name) ?? this.#refused.get(name);
  }

  vaultOf(name: string): RefreshTokenVault | undefined {
    return this.#vaults.get(name);
  }

  /** With the vault that keeps its refresh token while it is collected. */
  customer({ stanza }: ReadyStanza): SplunkCustomer {
    return { stanza, vault: this.#vaults.get(stanza.name) };
  }

  /**
   * What changed since the last look. `isNew`: customers that could not be collected before.
   *
   * @param failing customers that fail for want of a credential.
   */
  async look(failing: ReadonlySet<string>): Promise<Resolution & { readonly isNew: readonly ReadyStanza[] }> {
    const admitted = this.#admitted();
    const isOpened = await this.#openStoreAgain();
    const stored = isOpened ? NO_SECRETS : await this.#changedSecrets(failing.size > 0);
    const secrets = new Set([...stored, ...this.#takenLate]);
    this.#takenLate = NO_SECRETS;
    const files = this.#stamps.changed();
    if (!isOpened && admitted.size + secrets.size + files.size === 0) return { ready: [], refused: [], isNew: [] };
    const affected = [...this.#stanzas.values()].filter(
      (stanza) =>
        admitted.has(stanza.name) ||
        (isOpened && !this.#ready.has(stanza.name)) ||
        secretIdsOf(stanza).some((id) => secrets.has(id)) ||
        this.#files.get(stanza.name)?.some((file) => files.has(file)) === true,
    );
    const before = new Set(this.#ready.keys());
    const { ready, refused } = await this.#resolve(affected, secrets);
    return { ready, refused, isNew: ready.filter(({ stanza }) => !before.has(stanza.name)) };
  }

  async #openStore(): Promise<void> {
    if (this.#stanzas.size === 0) return;
    this.#access = await this.#p.openStore([...this.#stanzas.values()]);
    const { store, splunkd } = this.#access;
    // Only here: a page saves its input after the secret, and splunkd restarts this program for that.
    if (store !== undefined && splunkd !== undefined) await this.#takeIntake(store, splunkd);
    this.#openings += 1;
    this.#openAgainAtMs = this.#p.clock.monotonicMs() + backoffMs(OPEN_AGAIN, this.#openings, this.#p.random);
  }

  /** With a limit for all of it: a splunkd that does not take writes must not silence customers. */
  async #takeIntake(store: PasswordStore, splunkd: Splunkd): Promise<void> {
    if (store.intakeSlots().length === 0) return;
    const { clock, log, stop } = this.#p;
    const settled = new AbortController();
    const taking = this.#takeAll(store, splunkd);
    await Promise.race([taking, clock.pause(INTAKE_BEFORE_COLLECTING_MS, AbortSignal.any([stop, settled.signal]))]);
    settled.abort();
    // The customers are resolved next, with what is stored so far.
    this.#takenLate = NO_SECRETS;
    taking.catch((error: unknown) =>
      log.error("secrets typed on pages could not be taken over", { failure: asFailure(error).say }),
    );
  }

  async #takeAll(store: PasswordStore, splunkd: Splunkd): Promise<void> {
    const { refused, seen } = await takeIntake(store, [...this.#stanzas.values()], { ...this.#p, splunkd });
    this.#notTaken = refused;
    this.#takenLate = seen;
  }

  /** A store that could not be read must not silence customers until somebody restarts this program. */
  async #openStoreAgain(): Promise<boolean> {
    if (this.#access.store || this.#p.clock.monotonicMs() < this.#openAgainAtMs) return false;
    await this.#openStore();
    return this.#access.store !== undefined;
  }

  async #changedSecrets(isFailing: boolean): Promise<ReadonlySet<SecretId>> {
    const { store } = this.#access;
    if (store === undefined) return NO_SECRETS;
    const atLeastEveryMs = isFailing ? READ_WHILE_FAILING_EVERY_MS : Number.POSITIVE_INFINITY;
    try {
      const changed = await store.refresh({ atLeastEveryMs });
      this.#loggedFailure = undefined;
      return changed;
    } catch (error) {
      if (!isFailure(error)) throw error;
      if (this.#loggedFailure !== error.code && !this.#p.stop.aborted)
        this.#p.log.warn("Splunk's credential store cannot be read, so changed secrets do not count yet", {
          failure: error.code,
          say: error.say,
          next_step: error.nextStep || undefined,
        });
      this.#loggedFailure = error.code;
      return NO_SECRETS;
    }
  }

  /** Inputs whose settings were refused for a file that can be used now. */
  #admitted(): ReadonlySet<string> {
    if (this.#refusedSettings.size === 0) return new Set();
    const { stanzas, masked } = this.#p.parseAgain(this.#refusedSettings);
    for (const stanza of stanzas) {
      this.#refusedSettings.delete(stanza.name);
      this.#stanzas.set(stanza.name, stanza);
    }
    for (const [name, keys] of masked) this.#masked.set(name, keys);
    return new Set(stanzas.map(({ name }) => name));
  }

  /** @param changed secrets that another process stored: a vault of this run holds an older one. */
  async #resolve(stanzas: readonly Stanza[], changed: ReadonlySet<SecretId> = NO_SECRETS): Promise<Resolution> {
    // Stamped before they are read, so that a change meanwhile is found by the next look.
    for (const stanza of stanzas) this.#watchFilesOf(stanza);
    const { store, failure } = this.#access;
    const resolved = await resolveSecrets(stanzas, this.#masked, store, failure, this.#p.secrets);
    const resolution = {
      ...resolved,
      refused: resolved.refused.map((one) => ({ ...one, failure: this.#notTaken.get(one.stanza.name) ?? one.failure })),
    };
    for (const one of resolution.ready) {
      const { name } = one.stanza;
      this.#ready.set(name, one);
      this.#watchFilesOf(one.stanza);
      const isKept = this.#vaults.has(name) && !changed.has(customerSecretId(name, "refresh_token"));
      const isFile = fileNamed(this.#stanzas.get(name) ?? one.stanza, "refresh_token") !== undefined;
      if (!isKept || isFile) this.#openVault(one);
    }
    for (const { stanza } of resolution.ready) this.#refused.delete(stanza.name);
    for (const one of resolution.refused) {
      this.#ready.delete(one.stanza.name);
      this.#refused.set(one.stanza.name, one);
    }
    return resolution;
  }

  #openVault({ stanza, fingerprint, storedRefreshToken }: ReadyStanza): void {
    const { clock, random, log } = this.#p;
    const first = stanza.refreshToken;
    if (first === undefined) {
      this.#vaults.delete(stanza.name);
      return;
    }
    const { store } = this.#access;
    const storedAtMs = storedRefreshToken?.storedAtMs;
    const parts = { stanza: stanza.name, fingerprint, first, storedAtMs, store, clock, random, log };
    this.#vaults.set(stanza.name, splunkVault(parts));
  }

  #watchFilesOf(stanza: Stanza): void {
    const { files } = this.#p.secrets;
    const named = SECRET_KEYS.flatMap((key) => fileNamed(stanza, key) ?? []).map((text) => {
      const file = readFilePath(text, files);
      return file.ok ? file.value : text;
    });
    const all = [...named, stanza.certificate, assertionFile(stanza.assertion), stanza.route.caFile].filter(
      (file) => file !== undefined,
    );
    for (const file of all) this.#stamps.add(file);
    this.#files.set(stanza.name, [...new Set([...(this.#files.get(stanza.name) ?? []), ...all])]);
  }
}

const NO_SECRETS: ReadonlySet<SecretId> = new Set();

function storeNotOpen(): Failure {
  return new Failure("settings", {
    actor: "operator",
    retry: { when: "never" },
    say: "Splunk's credential store is not open, because no input can be used.",
    nextStep: "Add or correct an input first.",
  });
}

function secretIdsOf({ name, credential }: Stanza): readonly SecretId[] {
  const own = (["client_secret", "refresh_token", "certificate"] as const).map((key) => customerSecretId(name, key));
  return credential === undefined ? own : [...own, credentialId(credential)];
}
