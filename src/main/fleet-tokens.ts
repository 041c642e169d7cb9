import { isFailure } from "../model/failure.ts";
import type { Lease } from "../model/fleet.ts";
import type { Sealed } from "../model/sealed.ts";
import { authOf, type Stanza } from "../model/stanza.ts";
import type { TenantId } from "../model/tenant.ts";
import { type SecretFiles, tokenEntryName } from "../stores/disk/secrets.ts";
import type { FleetTokens, Renewing } from "../stores/postgres/fleet-tokens.ts";
import { tokenInUse } from "../stores/secret-entry.ts";
import type { CredentialChanges, CredentialWatch } from "./credential-watch.ts";
import type { VaultOf } from "./customers.ts";
import { presentFingerprint } from "./world.ts";

/**
 * Refresh tokens of a fleet's customers: in its database. What stands in this member's files only begins
 * with, or is tried when Microsoft refuses the one in the database.
 *
 * @param opened undefined while this process is not a member.
 */
export function fleetVaults(
  opened: () => { readonly tokens: FleetTokens; readonly renewing: Renewing } | undefined,
  files: Pick<SecretFiles, "read">,
): VaultOf {
  return (stanza, tenantId) => {
    if (authOf(stanza) !== "refresh_token") return undefined;
    const fleet = opened();
    if (fleet === undefined) return undefined;
    const fingerprint = presentFingerprint(stanza);
    const typed = tokenOfHost(stanza, tenantId, fingerprint, files);
    const owner = { tenantId, stanza: stanza.name, fingerprint, ...(typed === undefined ? {} : { typed }) };
    return fleet.tokens.vault(owner, fleet.renewing);
  };
}

/** What this host would sign in with if it worked alone. */
function tokenOfHost(
  { name, refreshToken }: Stanza,
  tenantId: TenantId,
  fingerprint: string,
  files: Pick<SecretFiles, "read">,
): Sealed | undefined {
  const typed = refreshToken === undefined ? {} : { typed: refreshToken };
  try {
    return tokenInUse(files.read(tokenEntryName(tenantId, name)), {
      stanza: name,
      fingerprint,
      ...typed,
      typedMost: 1,
    });
  } catch (error) {
    if (!isFailure(error)) throw error;
    return refreshToken;
  }
}

/** Notices also a token that a person has stored in the fleet's database. */
export class FleetTokenWatch implements CredentialWatch {
  readonly #host: CredentialWatch;
  readonly #stanzas: ReadonlyMap<string, Stanza>;
  readonly #tokens: () => Pick<FleetTokens, "typed"> | undefined;
  #typed: ReadonlyMap<string, string> | undefined;

  constructor(host: CredentialWatch, stanzas: readonly Stanza[], tokens: () => Pick<FleetTokens, "typed"> | undefined) {
    this.#host = host;
    this.#stanzas = new Map(stanzas.map((stanza) => [stanza.name, stanza]));
    this.#tokens = tokens;
  }

  get everyMs(): number {
    return this.#host.everyMs;
  }

  async look(failing: ReadonlySet<string>): Promise<CredentialChanges> {
    const changes = await this.#host.look(failing);
    const known = new Set(changes.ready.map(({ name }) => name));
    const ready = (await this.#newlyTyped(failing)).filter(({ name }) => !known.has(name));
    return { ...changes, ready: [...changes.ready, ...ready] };
  }

  /** Nobody asks the database while every customer can sign in. */
  async #newlyTyped(failing: ReadonlySet<string>): Promise<readonly Stanza[]> {
    const tokens = this.#tokens();
    const waiting = [...failing]
      .flatMap((name) => this.#stanzas.get(name) ?? [])
      .filter((stanza) => authOf(stanza) === "refresh_token");
    if (tokens === undefined || waiting.length === 0) {
      this.#typed = undefined;
      return [];
    }
    const before = this.#typed;
    let now: ReadonlyMap<string, string>;
    try {
      now = await tokens.typed();
    } catch (error) {
      if (!isFailure(error)) throw error;
      // The member says it. The host names each change once, and it must not get lost with this answer.
      return [];
    }
    this.#typed = now;
    return waiting.filter(({ name }) => now.has(name) && now.get(name) !== before?.get(name));
  }
}

/** What the fleet's tokens ask of the member. */
export function renewingAs(
  store: { readonly boot: string },
  member: { leaseOf(shard: number): Lease | undefined; isAlive(): boolean },
  shardOf: (tenantId: TenantId) => number,
): Renewing {
  return {
    boot: () => store.boot,
    leaseOf: (tenantId) => member.leaseOf(shardOf(tenantId)),
    isAlive: () => member.isAlive(),
  };
}
