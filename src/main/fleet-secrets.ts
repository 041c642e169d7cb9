import type { FingerprintOf } from "../model/endpoint-binding.ts";
import type { Sealed } from "../model/sealed.ts";
import type { SecretPlace, StoredCredential } from "../model/sign-in.ts";
import { authOf, type Stanza } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import { FleetTokens, type FleetVaultOwner } from "../stores/postgres/fleet-tokens.ts";
import { type ArcSightFlags, choose } from "./chosen-configuration.ts";
import { withFleetDatabase } from "./fleet-database.ts";
import { readKeyFile } from "./fleet-key-file.ts";
import type { FileSecrets } from "./stored-secrets.ts";
import { presentFingerprint, realClock } from "./world.ts";

/** What commands need of the fleet's tokens. */
export type SharedTokens = Pick<FleetTokens, "stored" | "replace" | "rebind">;

export interface FleetSecretsParts {
  /** The fleet's. */
  readonly name: string;
  readonly files: SecretPlace & Pick<FileSecrets, "fill">;
  /** Each call throws what the key file and the database say. */
  readonly tokens: SharedTokens;
  readonly fingerprintOf: FingerprintOf;
}

/**
 * Secrets of a fleet's customers for commands: refresh tokens in its database, and where that has none, as
 * everything else, in the state folder.
 */
export class FleetSecrets implements SecretPlace {
  readonly name: string;
  readonly #p: FleetSecretsParts;
  /** Of tokens that came out of the database; undefined: somebody has stored another one since. */
  readonly #editions = new Map<string, string | undefined>();

  constructor(parts: FleetSecretsParts) {
    this.#p = parts;
    this.name = `${parts.files.name} and the database of the fleet ${parts.name}`;
  }

  /** As `FileSecrets.fill`. Throws also what the database says. */
  async fill(stanza: Stanza): Promise<Stanza> {
    const owner = this.#ownerOf(stanza);
    const found = owner === undefined ? undefined : await this.#p.tokens.stored(owner);
    if (found === undefined) return this.#p.files.fill(stanza);
    this.#editions.set(stanza.name, found.edition);
    return { ...(await this.#p.files.withCredential(stanza)), refreshToken: found.token };
  }

  /** What a member has stored meanwhile stays; Microsoft accepts it as well. */
  async putRefreshToken(stanza: Stanza, token: Sealed): Promise<void> {
    const owner = this.#ownerOf(stanza);
    if (owner === undefined || !this.#editions.has(stanza.name)) return this.#p.files.putRefreshToken(stanza, token);
    const edition = this.#editions.get(stanza.name);
    if (edition === undefined) return;
    this.#editions.set(stanza.name, await this.#p.tokens.replace(owner, edition, token));
  }

  async reseal(stanzas: readonly Stanza[]): Promise<readonly string[]> {
    const done = [...(await this.#p.files.reseal(stanzas))];
    for (const stanza of stanzas) {
      const owner = this.#ownerOf(stanza);
      if (owner !== undefined && (await this.#p.tokens.rebind(owner)))
        done.push(`the refresh token of ${stanza.name} in the database of the fleet ${this.#p.name}`);
    }
    return done;
  }

  withCredential(stanza: Stanza): Promise<Stanza> {
    return this.#p.files.withCredential(stanza);
  }

  putCredential(...credential: Parameters<SecretPlace["putCredential"]>): Promise<void> {
    return this.#p.files.putCredential(...credential);
  }

  credentialNames(): Promise<readonly string[]> {
    return this.#p.files.credentialNames();
  }

  storedCredential(name: string): Promise<Omit<StoredCredential, "clientSecret"> | undefined> {
    return this.#p.files.storedCredential(name);
  }

  /** Undefined: no refresh token of it is shared. */
  #ownerOf(stanza: Stanza): FleetVaultOwner | undefined {
    const tenantId = tenantIdFrom(stanza.tenantId);
    if (tenantId === undefined || authOf(stanza) !== "refresh_token") return undefined;
    return { tenantId, stanza: stanza.name, fingerprint: this.#p.fingerprintOf(stanza) };
  }
}

/**
 * Each call has a connection of its own: one that stays open would keep a command alive while a person signs
 * in. Undefined: this configuration has no fleet that shares refresh tokens. Throws Failure `settings`.
 */
export async function sharedTokensOf(
  flags: ArcSightFlags,
): Promise<{ readonly name: string; readonly tokens: SharedTokens } | undefined> {
  const { fleet } = (await choose(flags)).config;
  if (fleet?.keyFile === undefined) return undefined;
  const { keyFile, name } = fleet;
  const within = async <T>(work: (tokens: FleetTokens) => Promise<T>): Promise<T> => {
    const key = readKeyFile(keyFile);
    return withFleetDatabase(fleet, (database) =>
      work(new FleetTokens({ database, fleet: name, key, timers: realClock })),
    );
  };
  return {
    name,
    tokens: {
      stored: (owner) => within((tokens) => tokens.stored(owner)),
      replace: (owner, edition, token) => within((tokens) => tokens.replace(owner, edition, token)),
      rebind: (owner) => within((tokens) => tokens.rebind(owner)),
    },
  };
}

/** As the collector's own. */
export function fleetSecrets(
  files: FleetSecretsParts["files"],
  shared: { readonly name: string; readonly tokens: SharedTokens },
): FleetSecrets {
  return new FleetSecrets({ ...shared, files, fingerprintOf: presentFingerprint });
}
