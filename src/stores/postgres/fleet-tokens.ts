import { isFailure } from "../../model/failure.ts";
import type { Lease } from "../../model/fleet.ts";
import type { RefreshTokenVault } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import type { TenantId } from "../../model/tenant.ts";
import {
  decodeEntry,
  encodeEntry,
  entryAfter,
  type SecretEntry,
  type TokenOwner,
  tokenInUse,
  unreadableSecret,
} from "../secret-entry.ts";
import type { Database } from "./connections.ts";
import { fenced, otherKey } from "./failures.ts";
import type { FleetKey } from "./fleet-key.ts";
import { keyInUse } from "./init.ts";
import { schemaOf } from "./schema.ts";

const KIND = "refresh_token";
/** Longer than any redemption. A member that lives longer than that without an end of it has lost it. */
const HELD_MS = 120_000;
const LOOK_EVERY_MS = 500;
/** A token that Microsoft has issued already must not be lost to a short outage of the database. */
const STORE_WITHIN_MS = 30_000;
/** Each member may have a typed token of its own. */
const TYPED_MOST = 16;

/** Of the newest rotation, ended or not, and of the one that has stored the token. */
const EDITION = "r.number || ' ' || x.rotation";

/** The clock and the pauses of this host. */
export interface TokenTimers {
  nowMs(): number;
  monotonicMs(): number;
  pause(forMs: number): Promise<void>;
}

export interface FleetTokensParts {
  readonly database: Database;
  /** The fleet's name. */
  readonly fleet: string;
  readonly key: FleetKey;
  readonly timers: TokenTimers;
}

/** Whose token, and under which shard it is renewed. */
export interface FleetVaultOwner extends Omit<TokenOwner, "typedMost"> {
  readonly tenantId: TenantId;
}

/** As a member of the fleet, while it is one. */
export interface Renewing {
  /** This member's identity. */
  boot(): string;
  /** Undefined when the customer is another member's. */
  leaseOf(tenantId: TenantId): Lease | undefined;
  /** False as soon as others may take this member for gone. */
  isAlive(): boolean;
}

/** A renewal of one token: begun by one identity, ended by its number. */
interface Rotation {
  readonly boot: string;
  readonly number: string;
}

interface Row {
  readonly binding: string;
  readonly sealed: Buffer;
  readonly edition: string;
}

/** A token as a command finds it. */
export interface StoredToken {
  readonly token: Sealed;
  /** Another one as soon as a renewal begins, and when a token is stored. */
  readonly edition: string;
}

interface StoredEntry {
  readonly entry: SecretEntry;
  readonly edition: string;
}

/**
 * Refresh tokens in the fleet's database. A token is read and replaced within a rotation, which only the
 * owner of the customer's shard may begin, and only while no other live member has one. Another owner waits
 * until it has ended or its member is gone. A new token is stored under the rotation's number: whoever was
 * taken over stores nothing.
 */
export class FleetTokens {
  readonly #p: FleetTokensParts;
  readonly #schema: string;
  /** Issued by Microsoft, and not stored because the database did not answer. */
  readonly #unstored = new Map<string, { readonly rotation: Rotation; readonly entry: SecretEntry }>();

  constructor(parts: FleetTokensParts) {
    this.#p = parts;
    this.#schema = schemaOf(parts.fleet);
  }

  /** Of one customer, for the member that collects it. Throws Failure also as `Database.query`. */
  vault(owner: FleetVaultOwner, renewing: Renewing): RefreshTokenVault {
    let rotation: Rotation | undefined;
    let before: SecretEntry | undefined;
    let triesTyped = false;
    const facts: TokenOwner = { ...owner, typedMost: TYPED_MOST };
    const { typed, ...withoutTyped } = facts;
    /** The stored one first: what a member has in its files may be years older. */
    const usesTyped = () => typed !== undefined && (triesTyped || before === undefined);
    return {
      current: async () => {
        await this.#storeLeft(owner);
        rotation = await this.#begin(owner, renewing);
        before = (await this.#read(owner))?.entry;
        if (!renewing.isAlive()) throw fenced();
        return tokenInUse(before, usesTyped() ? facts : withoutTyped);
      },
      store: async (rotated) => {
        if (rotation === undefined) throw fenced();
        const entry = entryAfter(rotated, before, usesTyped() ? facts : withoutTyped, this.#p.timers.nowMs());
        const held = rotation;
        this.#unstored.set(nameOf(owner), { rotation: held, entry });
        await this.#storeInTime(owner);
        triesTyped = false;
        // An answer with two tokens is not known; another one would need a rotation of its own.
        rotation = undefined;
      },
      ended: async ({ refused }) => {
        triesTyped = refused && !triesTyped;
        const held = rotation;
        rotation = undefined;
        if (held !== undefined && !this.#unstored.has(nameOf(owner))) await this.#end(owner, held);
      },
    };
  }

  /**
   * Stores what a person has signed in with. A rotation that is under way stores nothing after that. Throws
   * Failure `fleet-key-differs`, and as `Database.query`.
   */
  async put({ tenantId, stanza, fingerprint }: FleetVaultOwner, token: Sealed): Promise<void> {
    await this.#recordKey();
    const owner = { tenantId, stanza, fingerprint };
    // What members have typed in their files stays redeemed: it is older than this token.
    const before = await this.#readIfReadable(owner);
    const nowMs = this.#p.timers.nowMs();
    const after = entryAfter(token, before, { ...owner, typedMost: TYPED_MOST }, nowMs);
    await this.#replace(owner, { ...after, notes: { ...after.notes, typed_at_ms: String(nowMs) } });
  }

  /** Stores the entry of a state folder as it is, with its binding. Throws as `put`. */
  async take(owner: Pick<FleetVaultOwner, "tenantId" | "stanza">, entry: SecretEntry): Promise<void> {
    await this.#recordKey();
    await this.#replace({ ...owner, fingerprint: entry.fingerprint }, entry);
  }

  /** For a state folder; undefined: there is none. Throws Failure `fleet-key-differs`. */
  async give({ tenantId, stanza }: Pick<FleetVaultOwner, "tenantId" | "stanza">): Promise<SecretEntry | undefined> {
    return (await this.#read({ tenantId, stanza, fingerprint: "" }))?.entry;
  }

  async #replace(owner: FleetVaultOwner, entry: SecretEntry): Promise<void> {
    const s = this.#schema;
    const { tenantId, stanza, fingerprint } = owner;
    const rows = await this.#p.database.query(
      `with known as (select from ${s}.key where fingerprint = $6),
       n as (insert into ${s}.rotation as r(tenant, input, number) select $1, $2, 1 from known
         on conflict (tenant, input) do update set holder = null, number = r.number + 1 returning number)
       insert into ${s}.secret as x(tenant, input, kind, binding, sealed, rotation, typed)
         select $1, $2, $3, $4, $5, number, 1 from n
       on conflict (tenant, input, kind) do update set binding = excluded.binding, sealed = excluded.sealed,
         rotation = excluded.rotation, typed = x.typed + 1, stored = clock_timestamp()
       returning rotation`,
      [tenantId, stanza, KIND, fingerprint, this.#encrypted(owner, entry), this.#p.key.fingerprint],
    );
    if (rows.length === 0) throw otherKey(stanza);
  }

  /**
   * What a member would redeem next, for a command, which is no member and begins no rotation. Throws Failure
   * `endpoint-changed`, `fleet-key-differs`, `state-damaged`, and as `Database.query`.
   */
  async stored(owner: FleetVaultOwner): Promise<StoredToken | undefined> {
    const found = await this.#read(owner);
    if (found === undefined) return undefined;
    const { stanza, fingerprint } = owner;
    const token = tokenInUse(found.entry, { stanza, fingerprint, typedMost: TYPED_MOST });
    return { token, edition: found.edition };
  }

  /**
   * Stores what Microsoft gave a command for the token of that edition. Undefined: a member or a person has
   * stored another one since, or a member is renewing it; that one stays. Else the new edition.
   */
  async replace(owner: FleetVaultOwner, edition: string, token: Sealed): Promise<string | undefined> {
    const before = await this.#read(owner);
    if (before?.edition !== edition) return undefined;
    const { tenantId, stanza, fingerprint } = owner;
    const facts: TokenOwner = { stanza, fingerprint, typedMost: TYPED_MOST };
    const entry = entryAfter(token, before.entry, facts, this.#p.timers.nowMs());
    return this.#put({ tenantId, stanza, fingerprint }, edition, entry, { isTyped: false });
  }

  /**
   * Binds the stored token to the present endpoints. False: there is none, or it is already. Throws Failure
   * `fleet-fenced` while members renew it again and again, and as `stored`.
   */
  async rebind(owner: FleetVaultOwner): Promise<boolean> {
    const { timers } = this.#p;
    const untilMs = timers.monotonicMs() + STORE_WITHIN_MS;
    for (;;) {
      const found = await this.#read(owner);
      if (found === undefined || found.entry.fingerprint === owner.fingerprint) return false;
      const entry = { ...found.entry, fingerprint: owner.fingerprint };
      // As a new token, so that a member that was refused it looks again.
      if ((await this.#put(owner, found.edition, entry, { isTyped: true })) !== undefined) return true;
      if (timers.monotonicMs() >= untilMs) throw fenced();
      await timers.pause(LOOK_EVERY_MS);
    }
  }

  /** Only over that edition, and while no member renews it. */
  async #put(
    owner: FleetVaultOwner,
    edition: string,
    entry: SecretEntry,
    { isTyped }: { readonly isTyped: boolean },
  ): Promise<string | undefined> {
    const s = this.#schema;
    // A renewal that begins after this statement raises the number that the statement then sees.
    const [row] = await this.#p.database.query<{ edition: string }>(
      `with free as (
         update ${s}.rotation r set number = number + 1, holder = null
         where tenant = $1 and input = $2 and (holder is null or held_until <= clock_timestamp())
           and exists (select from ${s}.secret x where x.tenant = $1 and x.input = $2 and x.kind = $3
             and ${EDITION} = $4)
         returning number)
       update ${s}.secret x set binding = $5, sealed = $6, rotation = r.number, typed = x.typed + $7,
         stored = clock_timestamp()
       from free r where x.tenant = $1 and x.input = $2 and x.kind = $3 returning ${EDITION} as edition`,
      [owner.tenantId, owner.stanza, KIND, edition, entry.fingerprint, this.#encrypted(owner, entry), isTyped ? 1 : 0],
    );
    return row?.edition;
  }

  /** How often a person has stored a token, by stanza: more than before means that there is a new one. */
  async typed(): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#p.database.query<{ tenant: string; input: string; typed: string }>(
      `select tenant, input, typed from ${this.#schema}.secret where kind = $1`,
      [KIND],
    );
    return new Map(rows.map(({ input, tenant, typed }) => [input, `${tenant} ${typed}`]));
  }

  /** The first key that is used is the fleet's. */
  async #recordKey(): Promise<void> {
    await this.#p.database.query(
      `insert into ${this.#schema}.key(fingerprint) values ($1) on conflict (only_row) do nothing`,
      [this.#p.key.fingerprint],
    );
  }

  /**
   * Throws Failure `fleet-fenced` when the customer is another member's, and `fleet-key-differs` when this
   * member's key is not the fleet's.
   */
  async #begin({ tenantId, stanza }: FleetVaultOwner, renewing: Renewing): Promise<Rotation> {
    const s = this.#schema;
    for (;;) {
      const lease = renewing.leaseOf(tenantId);
      if (lease === undefined || !renewing.isAlive()) throw fenced();
      const boot = renewing.boot();
      // The shard's row is locked: who takes the customer over meanwhile waits for this statement.
      const [begun] = await this.#p.database.query<{ number: string }>(
        `with mine as (
           select o.id from ${s}.shard o where o.id = $3 and o.owner = $4 and o.epoch = $5
             and exists (select from ${s}.member where boot = $4 and alive_until > clock_timestamp())
             and exists (select from ${s}.key where fingerprint = $6) for share of o)
         insert into ${s}.rotation as r(tenant, input, holder, held_until, number)
           select $1, $2, $4, clock_timestamp() + $7 * interval '1 millisecond', 1 from mine
         on conflict (tenant, input) do update
           set holder = excluded.holder, held_until = excluded.held_until, number = r.number + 1
           where r.holder is null or r.holder = excluded.holder or r.held_until <= clock_timestamp()
             or not exists (
               select from ${s}.member m where m.boot = r.holder and m.alive_until > clock_timestamp())
         returning number`,
        [tenantId, stanza, lease.shard, boot, String(lease.epoch), this.#p.key.fingerprint, HELD_MS],
      );
      if (begun !== undefined) return { boot, number: begun.number };
      if ((await keyInUse(this.#p.database, this.#p.fleet)) !== this.#p.key.fingerprint) throw otherKey(stanza);
      await this.#p.timers.pause(LOOK_EVERY_MS);
    }
  }

  async #read(owner: FleetVaultOwner): Promise<StoredEntry | undefined> {
    const { tenantId, stanza } = owner;
    const s = this.#schema;
    const [row] = await this.#p.database.query<Row>(
      `select x.binding, x.sealed, ${EDITION} as edition from ${s}.secret x join ${s}.rotation r using (tenant, input)
       where tenant = $1 and input = $2 and kind = $3`,
      [tenantId, stanza, KIND],
    );
    if (row === undefined) return undefined;
    const where = `of ${stanza} in the fleet's database`;
    const text = this.#p.key.open(row.sealed, this.#context(owner, row.binding));
    if (text !== undefined) return { entry: decodeEntry(where, text), edition: row.edition };
    const isOurKey = (await keyInUse(this.#p.database, this.#p.fleet)) === this.#p.key.fingerprint;
    throw isOurKey ? unreadableSecret(where) : otherKey(stanza);
  }

  /** What a new token replaces may be damaged: that is a reason to sign in again. */
  async #readIfReadable(owner: FleetVaultOwner): Promise<SecretEntry | undefined> {
    try {
      return (await this.#read(owner))?.entry;
    } catch (error) {
      if (!isFailure(error) || error.code !== "state-damaged") throw error;
      return undefined;
    }
  }

  /** What another attempt, or a short outage of the database, has left. */
  async #storeLeft(owner: FleetVaultOwner): Promise<void> {
    try {
      await this.#storeOnce(owner);
    } catch (error) {
      // It was taken over, so the token in the database is a newer one.
      if (!isFailure(error) || error.code !== "fleet-fenced") throw error;
    }
  }

  async #storeInTime(owner: FleetVaultOwner): Promise<void> {
    const { timers } = this.#p;
    const untilMs = timers.monotonicMs() + STORE_WITHIN_MS;
    for (;;) {
      try {
        return await this.#storeOnce(owner);
      } catch (error) {
        if (!isFailure(error) || error.code === "fleet-fenced" || timers.monotonicMs() >= untilMs) throw error;
      }
      await timers.pause(LOOK_EVERY_MS);
    }
  }

  /** Safe to repeat after an answer that did not come: the number says whether it is done. */
  async #storeOnce(owner: FleetVaultOwner): Promise<void> {
    const left = this.#unstored.get(nameOf(owner));
    if (left === undefined) return;
    const s = this.#schema;
    const { tenantId, stanza } = owner;
    const { rotation, entry } = left;
    const of = [tenantId, stanza, KIND, rotation.number];
    const stored = await this.#p.database.query(
      `with done as (
         update ${s}.rotation set holder = null where tenant = $1 and input = $2 and number = $4 and holder = $5
         returning number)
       insert into ${s}.secret as x(tenant, input, kind, binding, sealed, rotation)
         select $1, $2, $3, $6, $7, number from done
       on conflict (tenant, input, kind) do update set binding = excluded.binding, sealed = excluded.sealed,
         rotation = excluded.rotation, stored = clock_timestamp()
       returning rotation`,
      [...of, rotation.boot, entry.fingerprint, this.#encrypted(owner, entry)],
    );
    const isStored =
      stored.length > 0 ||
      (
        await this.#p.database.query(
          `select 1 from ${s}.secret where tenant = $1 and input = $2 and kind = $3 and rotation = $4`,
          of,
        )
      ).length > 0;
    if (this.#unstored.get(nameOf(owner)) === left) this.#unstored.delete(nameOf(owner));
    if (!isStored) throw fenced();
  }

  /** The next owner need not wait. What this cannot end expires. */
  async #end({ tenantId, stanza }: FleetVaultOwner, { boot, number }: Rotation): Promise<void> {
    try {
      await this.#p.database.query(
        `update ${this.#schema}.rotation set holder = null
         where tenant = $1 and input = $2 and number = $3 and holder = $4`,
        [tenantId, stanza, number, boot],
      );
    } catch (error) {
      if (!isFailure(error)) throw error;
    }
  }

  #encrypted(owner: FleetVaultOwner, entry: SecretEntry): Buffer {
    return this.#p.key.encrypt(encodeEntry(entry), this.#context(owner, entry.fingerprint));
  }

  #context({ tenantId, stanza }: FleetVaultOwner, binding: string): readonly string[] {
    return [this.#p.fleet, tenantId, stanza, KIND, binding];
  }
}

function nameOf({ tenantId, stanza }: FleetVaultOwner): string {
  return JSON.stringify([tenantId, stanza]);
}
