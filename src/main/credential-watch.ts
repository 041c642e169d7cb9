import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { assertionFile, assertionSetting } from "../model/assertion.ts";
import { isFailure } from "../model/failure.ts";
import type { Log } from "../model/ports.ts";
import { isSameSecret } from "../model/sealed.ts";
import type { Stanza } from "../model/stanza.ts";
import type { Disk } from "../stores/disk/disk.ts";
import { FileStamps, type StampOf } from "../stores/disk/file-stamps.ts";
import { credentialEntryName, type SecretFiles, tokenEntrySuffix } from "../stores/disk/secrets.ts";
import type { RefusedCustomer } from "./customers.ts";
import { MORE_THAN_SECRETS } from "./output-renewal.ts";

/** Finds credentials and files of customers that changed while the customers are collected. */
export interface CredentialWatch {
  /** The pause between two looks, ms. */
  readonly everyMs: number;
  /**
   * Customers with something new since the last look. Rejects with the failures of the host's store.
   *
   * @param failing the customers that cannot be collected for want of a credential or a usable file.
   */
  look(failing: ReadonlySet<string>): Promise<CredentialChanges>;
}

export interface CredentialChanges {
  /** With the settings and secrets that count now: collected already, or refused until now. */
  readonly ready: readonly Stanza[];
  readonly refused: readonly RefusedCustomer[];
}

/** A configuration file as it was read. */
export interface ReadConfiguration {
  readonly stanzas: readonly Stanza[];
  /** Stanzas whose settings are wrong. */
  readonly misconfigured: readonly { readonly name: string }[];
  /** The file and every file that it names, stamped before they were read. */
  readonly stamps: FileStamps;
}

export interface FileCredentialWatchParts {
  readonly stateDir: string;
  readonly files: SecretFiles;
  readonly stampOf: StampOf;
  readonly disk: Pick<Disk, "readdirSync">;
  readonly configuration: ReadConfiguration;
  /** Reads the configuration again. Throws Failure when it cannot be read at all. */
  readonly readAgain: () => Promise<ReadConfiguration>;
  readonly log: Log;
}

/** A change counts within 60 s; the rest of that is for many customers that try again one after another. */
const LOOK_EVERY_MS = 15_000;

/**
 * For hosts whose secrets are files: `secrets/` of the state folder, the configuration file, and the files
 * that settings name. Nothing is read while no file changed.
 */
export class FileCredentialWatch implements CredentialWatch {
  readonly everyMs = LOOK_EVERY_MS;
  readonly #p: FileCredentialWatchParts;
  readonly #stanzas: Map<string, Stanza>;
  readonly #misconfigured: Set<string>;
  readonly #stamps: FileStamps;
  /** The files that each shared credential names, read once for all customers that share it. */
  readonly #namedFiles = new Map<string, readonly string[]>();
  /** Of the stored refresh tokens of customers that fail: those of others change at each sign-in. */
  readonly #tokenStamps = new Map<string, string>();
  #configuration: ReadConfiguration;
  /** Customers that are not in the configuration, and sign in with shared credentials of this host. */
  #others: readonly Stanza[] = [];

  constructor(parts: FileCredentialWatchParts) {
    const { configuration, stampOf } = parts;
    this.#p = parts;
    this.#configuration = configuration;
    this.#stanzas = new Map(configuration.stanzas.map((stanza) => [stanza.name, stanza]));
    this.#misconfigured = new Set(configuration.misconfigured.map(({ name }) => name));
    this.#stamps = new FileStamps(stampOf);
    for (const stanza of this.#stanzas.values()) this.#filesOf(stanza);
  }

  /** Looks for changes of these customers too, instead of those that were given before. */
  alsoFor(others: readonly Stanza[]): void {
    this.#others = others;
    for (const stanza of others) this.#filesOf(stanza);
  }

  async look(failing: ReadonlySet<string>): Promise<CredentialChanges> {
    const touched = await this.#readConfigurationAgain();
    const changed = this.#stamps.changed();
    for (const entry of this.#namedFiles.keys())
      if (changed.has(this.#p.files.pathOf(entry))) this.#namedFiles.delete(entry);
    const isTouched = (stanza: Stanza) => this.#filesOf(stanza).some((file) => changed.has(file));
    for (const stanza of this.#stanzas.values()) if (isTouched(stanza)) touched.add(stanza.name);
    for (const name of this.#newTokens(failing)) touched.add(name);
    const others = this.#others.filter(isTouched);
    const ready = [...touched].flatMap((name) => this.#stanzas.get(name) ?? []);
    return { ready: [...ready, ...others], refused: [] };
  }

  /** Files whose content decides whether this customer can sign in; the refresh token's is not among them. */
  #filesOf({ credential, certificate, assertion, route }: Stanza): readonly string[] {
    const entry = credential === undefined ? undefined : credentialEntryName(credential);
    if (entry !== undefined) this.#stamps.add(this.#p.files.pathOf(entry));
    const files = [
      entry === undefined ? undefined : this.#p.files.pathOf(entry),
      certificate,
      assertionFile(assertion),
      ...(entry === undefined ? [] : this.#filesNamedIn(entry)),
      route.caFile,
    ].filter((file) => file !== undefined);
    for (const file of files) this.#stamps.add(file);
    return files;
  }

  #filesNamedIn(entry: string): readonly string[] {
    const known = this.#namedFiles.get(entry);
    if (known !== undefined) return known;
    const files = this.#readFilesNamedIn(entry);
    this.#namedFiles.set(entry, files);
    return files;
  }

  #readFilesNamedIn(entry: string): readonly string[] {
    try {
      const { certificate, assertion } = this.#p.files.read(entry)?.notes ?? {};
      return [certificate, assertionFile(assertionSetting(assertion))].filter((file) => file !== undefined);
    } catch (error) {
      // Who signs in with this entry reports why it cannot be read.
      if (isFailure(error)) return [];
      throw error;
    }
  }

  /** Failing customers for which a refresh token was stored since the last look, or since they fail. */
  #newTokens(failing: ReadonlySet<string>): readonly string[] {
    for (const name of this.#tokenStamps.keys()) if (!failing.has(name)) this.#tokenStamps.delete(name);
    const waiting = [...this.#stanzas.values()].filter(({ name, auth }) => failing.has(name) && auth !== "app");
    if (waiting.length === 0) return [];
    const byEnd = Map.groupBy(this.#storedFiles(), (file) => file.slice(TENANT_ID_LENGTH));
    return waiting.flatMap(({ name }) => {
      const stored = byEnd.get(`${tokenEntrySuffix(name)}.json`) ?? [];
      const stamp = stored.map((file) => this.#p.stampOf(join(this.#p.stateDir, "secrets", file))).join(" ");
      if (stamp === (this.#tokenStamps.get(name) ?? "")) return [];
      const isFirst = !this.#tokenStamps.has(name);
      this.#tokenStamps.set(name, stamp);
      // A sign-in that works at Entra and is refused at the API stores a new token each time.
      const isOwn = stored.length > 0 && stored.every((file) => this.#isOwnWrite(file.slice(0, -".json".length)));
      return isFirst || !isOwn ? [name] : [];
    });
  }

  #isOwnWrite(entry: string): boolean {
    try {
      return this.#p.files.isOwnWrite(entry);
    } catch (error) {
      if (isFailure(error)) return false;
      throw error;
    }
  }

  #storedFiles(): readonly string[] {
    try {
      return this.#p.disk.readdirSync(join(this.#p.stateDir, "secrets"));
    } catch {
      // Nothing was stored yet; where the folder cannot be read, the sign-in says so.
      return [];
    }
  }

  /** Takes new secrets of an edited configuration. Everything else counts only after a reload. */
  async #readConfigurationAgain(): Promise<Set<string>> {
    const touched = new Set<string>();
    const { log, readAgain } = this.#p;
    if (this.#configuration.stamps.changed().size === 0) return touched;
    let again: ReadConfiguration;
    try {
      again = await readAgain();
    } catch (error) {
      if (!isFailure(error)) throw error;
      log.error(error.say, { next_step: error.nextStep || undefined });
      return touched;
    }
    this.#configuration = again;
    const known = new Set([...this.#stanzas.keys(), ...this.#misconfigured]);
    const named = new Set([...again.stanzas, ...again.misconfigured].map(({ name }) => name));
    let isMore = known.size !== named.size || [...known].some((name) => !named.has(name));
    for (const stanza of again.stanzas) {
      const before = this.#stanzas.get(stanza.name);
      const isAdmitted = before === undefined && this.#misconfigured.delete(stanza.name);
      if (!isAdmitted && (before === undefined || !hasSameSettings(before, stanza))) isMore = true;
      if (before === undefined ? !isAdmitted : !isSentAlike(before, stanza) || hasSameSecrets(before, stanza)) continue;
      this.#stanzas.set(
        stanza.name,
        before === undefined ? stanza : { ...withoutSecrets(before), ...secretsOf(stanza) },
      );
      touched.add(stanza.name);
    }
    for (const { name } of again.misconfigured)
      if (this.#stanzas.has(name))
        log.warn("a customer's changed settings are not valid; the previous ones stay in use", { tenant: name });
    if (isMore) log.warn(MORE_THAN_SECRETS);
    return touched;
  }
}

/** A GUID. */
const TENANT_ID_LENGTH = 36;

/** Are two stanzas of one name the same but for what they sign in with? */
function hasSameSettings(a: Stanza, b: Stanza): boolean {
  return areAlike(a, b, withoutSecrets);
}

/**
 * Does the same place get what two stanzas of one name sign in with? A new secret never goes to an old one.
 */
function isSentAlike(a: Stanza, b: Stanza): boolean {
  return areAlike(a, b, ({ tenantId, cloud, auth, endpoints, route, resource }) => {
    return { tenantId, cloud, auth, endpoints, route, resource };
  });
}

/** A `Sealed` compares as equal to every other one, so the proxy is compared on its own. */
function areAlike(a: Stanza, b: Stanza, part: (stanza: Stanza) => object): boolean {
  return isDeepStrictEqual(part(a), part(b)) && isSameSecret(a.route.proxy, b.route.proxy);
}

function hasSameSecrets(a: Stanza, b: Stanza): boolean {
  return (
    a.clientId === b.clientId &&
    a.credential === b.credential &&
    a.certificate === b.certificate &&
    a.assertion === b.assertion &&
    a.secretExpires === b.secretExpires &&
    isSameSecret(a.clientSecret, b.clientSecret) &&
    isSameSecret(a.refreshToken, b.refreshToken)
  );
}

const SECRETS = [
  "clientId",
  "credential",
  "certificate",
  "assertion",
  "clientSecret",
  "secretExpires",
  "refreshToken",
] as const;
type Secrets = Pick<Stanza, (typeof SECRETS)[number]>;

function secretsOf(stanza: Stanza): Secrets {
  return Object.fromEntries(SECRETS.filter((key) => key in stanza).map((key) => [key, stanza[key]])) as Secrets;
}

function withoutSecrets(stanza: Stanza): Omit<Stanza, keyof Secrets> {
  const rest: Partial<Stanza> = { ...stanza };
  for (const key of SECRETS) delete rest[key];
  return rest as Omit<Stanza, keyof Secrets>;
}
