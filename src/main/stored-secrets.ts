import { credentialOf } from "../auth/app-credential.ts";
import { askTenantFacts } from "../auth/authority.ts";
import type { SecretId, Splunkd } from "../hosts/splunk/index.ts";
import {
  credentialId,
  customerSecretId,
  PasswordStore,
  readCredential,
  withStoredCredential,
} from "../hosts/splunk/index.ts";
import { assertionSetting } from "../model/assertion.ts";
import type { Destination, FingerprintOf } from "../model/endpoint-binding.ts";
import { Failure } from "../model/failure.ts";
import type { Clock, Http, Log, Random } from "../model/ports.ts";
import type { Sealed } from "../model/sealed.ts";
import { sealed } from "../model/sealed.ts";
import type { SecretPlace, StoredCredential } from "../model/sign-in.ts";
import { hasAppProof, needsSharedCredential, type Stanza } from "../model/stanza.ts";
import type { TenantId } from "../model/tenant.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { realDisk } from "../stores/disk/disk.ts";
import { credentialEntryName, FileTokenVault, SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import { assertBinding } from "../stores/secret-entry.ts";
import { withRestriction } from "./windows-acl.ts";

/**
 * A stanza with the stored values of its shared credential. Throws Failure `credential-missing`,
 * `endpoint-changed`, `state-damaged`.
 */
export function withSharedCredential(stanza: Stanza, files: SecretFiles, fingerprint: string): Stanza {
  const name = stanza.credential ?? "";
  const entry = files.read(credentialEntryName(name));
  if (!entry) {
    throw new Failure("credential-missing", {
      actor: "operator",
      retry: { when: "never" },
      area: "sign-in",
      say: `The shared credential ${name} is not stored, so its customers cannot be signed in.`,
      nextStep: `Store it: \`defender-mssp credential set ${name}\`.`,
    });
  }
  assertBinding(`The shared credential ${name}`, entry.fingerprint, fingerprint);
  const secret = entry.values["client_secret"];
  const { certificate } = entry.notes;
  const assertion = assertionSetting(entry.notes["assertion"]);
  const clientId = stanza.clientId ?? entry.notes["client_id"];
  const endsMs = Date.parse(entry.notes["expires"] ?? "");
  const key =
    secret === undefined
      ? {}
      : { clientSecret: secret, ...(Number.isNaN(endsMs) ? {} : { clientSecretEndsMs: endsMs }) };
  return {
    ...stanza,
    ...(clientId === undefined ? {} : { clientId }),
    ...(hasAppProof(stanza)
      ? {}
      : assertion !== undefined
        ? { assertion }
        : certificate !== undefined
          ? { certificate }
          : key),
  };
}

export interface FileSecretsWorld {
  readonly http: Http;
  readonly clock: Clock;
  readonly log: Log;
  readonly fingerprintOf: FingerprintOf;
}

/** Secrets in `secrets/` of the state folder, for hosts without their own store. */
export class FileSecrets implements SecretPlace {
  readonly name: string;
  readonly #files: SecretFiles;
  readonly #world: FileSecretsWorld;

  constructor(stateDir: string, world: FileSecretsWorld) {
    this.name = `${stateDir}/secrets`;
    this.#world = world;
    this.#files = new SecretFiles(stateDir, {
      ports: { disk: realDisk, clock: world.clock, platform: process.platform },
      log: world.log,
      ...withRestriction(),
    });
  }

  /**
   * Adds the stored secrets to a stanza: its shared credential and its refresh token. Throws Failure
   * `credential-missing`, `endpoint-changed`, `state-damaged`.
   */
  async fill(stanza: Stanza): Promise<Stanza> {
    return this.#withToken(await this.withCredential(stanza));
  }

  async withCredential(stanza: Stanza): Promise<Stanza> {
    if (!needsSharedCredential(stanza)) return stanza;
    return withSharedCredential(stanza, this.#files, this.#world.fingerprintOf(stanza));
  }

  async storedCredential(name: string): Promise<Omit<StoredCredential, "clientSecret"> | undefined> {
    const entry = this.#files.read(credentialEntryName(name));
    const { client_id: clientId, certificate, assertion, expires, tenant } = entry?.notes ?? {};
    return clientId === undefined
      ? undefined
      : storedWithoutSecret({ clientId, certificate, assertion, expires, tenant });
  }

  credentialNames(): Promise<readonly string[]> {
    return Promise.resolve(this.#files.credentialNames());
  }

  async #withToken(stanza: Stanza): Promise<Stanza> {
    if (stanza.auth === "app") return stanza;
    const tenantId = await this.#tenantId(stanza).catch(() => undefined);
    if (tenantId === undefined || this.#files.read(tokenEntryName(tenantId, stanza.name)) === undefined) return stanza;
    return { ...stanza, refreshToken: await (await this.#vault(stanza, tenantId)).current() };
  }

  async putRefreshToken(stanza: Stanza, token: Sealed): Promise<void> {
    // The token of a new sign-in replaces any token in the administrator's file.
    await (await this.#vault(stanza, await this.#tenantId(stanza))).store(token, { refused: false });
  }

  async putCredential(name: string, credential: StoredCredential, where: Destination): Promise<void> {
    await this.#files.write(credentialEntryName(name), {
      fingerprint: this.#world.fingerprintOf(where),
      values: credential.clientSecret === undefined ? {} : { client_secret: credential.clientSecret },
      notes: {
        client_id: credential.clientId,
        stored_at_ms: String(this.#world.clock.nowMs()),
        ...(credential.certificate === undefined ? {} : { certificate: credential.certificate }),
        ...(credential.assertion === undefined ? {} : { assertion: credential.assertion }),
        ...(credential.expires === undefined ? {} : { expires: credential.expires }),
        ...(credential.tenant === undefined ? {} : { tenant: credential.tenant }),
      },
    });
  }

  async reseal(stanzas: readonly Stanza[]): Promise<readonly string[]> {
    const done: string[] = [];
    for (const stanza of stanzas) {
      const fingerprint = this.#world.fingerprintOf(stanza);
      const names: [string, string][] = [];
      const tenantId = await this.#tenantId(stanza).catch(() => undefined);
      if (tenantId !== undefined)
        names.push([tokenEntryName(tenantId, stanza.name), `the refresh token of ${stanza.name}`]);
      if (stanza.credential !== undefined)
        names.push([credentialEntryName(stanza.credential), `the credential ${stanza.credential}`]);
      for (const [name, what] of names) {
        const entry = this.#files.read(name);
        if (!entry || entry.fingerprint === fingerprint) continue;
        await this.#files.write(name, { ...entry, fingerprint });
        done.push(what);
      }
    }
    return done;
  }

  async #vault(stanza: Stanza, tenantId: TenantId): Promise<FileTokenVault> {
    return new FileTokenVault({
      files: this.#files,
      tenantId,
      stanza: stanza.name,
      fingerprint: this.#world.fingerprintOf(stanza),
      ...(stanza.refreshToken === undefined ? {} : { typed: stanza.refreshToken }),
      nowMs: () => this.#world.clock.nowMs(),
    });
  }

  async #tenantId(stanza: Stanza): Promise<TenantId> {
    const typed = tenantIdFrom(stanza.tenantId);
    if (typed !== undefined) return typed;
    return (
      await askTenantFacts(this.#world, { loginUrl: stanza.endpoints.loginUrl, tenant: stanza.tenantId }, stanza.route)
    ).tenantId;
  }
}

function storedWithoutSecret(found: {
  readonly clientId: string;
  readonly certificate?: string | undefined;
  readonly assertion?: string | undefined;
  readonly expires?: string | undefined;
  readonly tenant?: string | undefined;
}): Omit<StoredCredential, "clientSecret"> {
  const { clientId, certificate, expires, tenant } = found;
  const assertion = assertionSetting(found.assertion);
  return {
    clientId,
    ...(assertion === undefined ? {} : { assertion }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(expires === undefined ? {} : { expires }),
    ...(tenant === undefined ? {} : { tenant }),
  };
}

/** Secrets in Splunk's credential store, through splunkd's REST. */
export class SplunkSecrets implements SecretPlace {
  readonly name = "Splunk's credential store";
  readonly store: PasswordStore;
  readonly #fingerprintOf: FingerprintOf;

  private constructor(store: PasswordStore, fingerprintOf: FingerprintOf) {
    this.store = store;
    this.#fingerprintOf = fingerprintOf;
  }

  /** A store that was read already. */
  static of(store: PasswordStore, fingerprintOf: FingerprintOf): SplunkSecrets {
    return new SplunkSecrets(store, fingerprintOf);
  }

  static async open(
    splunkd: Splunkd,
    clock: Clock,
    random: Random,
    fingerprintOf: FingerprintOf,
  ): Promise<SplunkSecrets> {
    return new SplunkSecrets(await PasswordStore.read(splunkd, clock, random), fingerprintOf);
  }

  putRefreshToken(stanza: Stanza, token: Sealed): Promise<void> {
    return this.store.inOneChange(() => this.#putRefreshToken(stanza, token));
  }

  async #putRefreshToken(stanza: Stanza, token: Sealed): Promise<void> {
    const fingerprint = this.#fingerprintOf(stanza);
    await this.store.put(customerSecretId(stanza.name, "refresh_token"), token, fingerprint);
    // The client secret belongs to the same sign-in; without it the token cannot be redeemed.
    const credential =
      stanza.credential === undefined && stanza.clientId !== undefined
        ? credentialOf({ ...stanza, refreshToken: token })
        : undefined;
    if (credential?.kind === "secret")
      await this.store.put(customerSecretId(stanza.name, "client_secret"), credential.secret, fingerprint);
  }

  async putCredential(name: string, credential: StoredCredential, where: Destination): Promise<void> {
    const entry = {
      client_id: credential.clientId,
      ...(credential.clientSecret === undefined
        ? {}
        : { client_secret: credential.clientSecret.open((value) => value) }),
      ...(credential.certificate === undefined ? {} : { certificate: credential.certificate }),
      ...(credential.assertion === undefined ? {} : { assertion: credential.assertion }),
      ...(credential.expires === undefined ? {} : { expires: credential.expires }),
      ...(credential.tenant === undefined ? {} : { tenant: credential.tenant }),
    };
    await this.store.put(credentialId(name), sealed(JSON.stringify(entry)), this.#fingerprintOf(where));
  }

  async storedCredential(name: string): Promise<Omit<StoredCredential, "clientSecret"> | undefined> {
    const entry = this.store.get(credentialId(name))?.value.open(readCredential);
    return entry && storedWithoutSecret({ ...entry, clientId: entry.client_id });
  }

  credentialNames(): Promise<readonly string[]> {
    return Promise.resolve(this.store.credentialNames());
  }

  async withCredential(stanza: Stanza): Promise<Stanza> {
    if (!needsSharedCredential(stanza)) return stanza;
    return withStoredCredential(stanza, this.store, this.#fingerprintOf(stanza));
  }

  reseal(stanzas: readonly Stanza[]): Promise<readonly string[]> {
    return this.store.inOneChange(() => this.#reseal(stanzas));
  }

  async #reseal(stanzas: readonly Stanza[]): Promise<readonly string[]> {
    const done: string[] = [];
    for (const stanza of stanzas) {
      const fingerprint = this.#fingerprintOf(stanza);
      const ids: [SecretId, string][] = [
        [customerSecretId(stanza.name, "client_secret"), `client_secret of ${stanza.name}`],
        [customerSecretId(stanza.name, "refresh_token"), `the refresh token of ${stanza.name}`],
        [customerSecretId(stanza.name, "certificate"), `the certificate of ${stanza.name}`],
        ...(stanza.credential === undefined
          ? []
          : ([[credentialId(stanza.credential), `the credential ${stanza.credential}`]] as [SecretId, string][])),
      ];
      for (const [id, what] of ids) {
        const stored = this.store.get(id);
        if (!stored || stored.fingerprint === fingerprint) continue;
        await this.store.put(id, stored.value, fingerprint, "as before");
        done.push(what);
      }
    }
    return done;
  }
}
