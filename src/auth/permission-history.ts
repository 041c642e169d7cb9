import { Failure, isFailure } from "../model/failure.ts";
import {
  afterRefusal,
  afterToken,
  type CustomerPermissions,
  driftOf,
  type GrantedByApi,
  type GrantedPermissions,
  type TokenRights,
} from "../model/granted-permissions.ts";
import type { Clock, Log } from "../model/ports.ts";
import { TOKEN_APIS, type TokenApi } from "../model/sign-in.ts";
import type { StateFolder } from "../model/state.ts";
import type { StreamName } from "../model/stream.ts";
import { jsonOf } from "../net/json-answer.ts";

/** The name of the fact that holds all customers' permissions. */
export const GRANTED_FACT = "granted-permissions";

/** All customers are one fact, saved at most this often: thousands of first tokens come within a minute. */
const WRITE_EVERY_MS = 60_000;
/** Roles come from outside; a token with more is cut. */
const HELD_MOST = 200;

interface Kept {
  readonly byApi: GrantedByApi;
  /** Unneeded permissions that were reported. */
  readonly reported: readonly string[];
}

/**
 * What the newest tokens of all customers allow, and when that changed. It survives a restart. Losing up to a
 * minute of it only makes a date later, so a fact that cannot be saved never blocks a sign-in.
 */
export class PermissionHistory {
  readonly #world: HistoryWorld;
  readonly #customers: Map<string, Kept>;
  #isSaved = true;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #isFailureSaid = false;

  private constructor(world: HistoryWorld, customers: Map<string, Kept>) {
    this.#world = world;
    this.#customers = customers;
  }

  static async open(world: HistoryWorld): Promise<PermissionHistory> {
    return new PermissionHistory(world, readKept(await world.facts.readFact(GRANTED_FACT)));
  }

  /** A new token of this customer and API. */
  granted(customer: string, api: TokenApi, { kind, held }: TokenRights): void {
    const rights = { kind, held: held.filter((name) => PRINTABLE.test(name)).slice(0, HELD_MOST) };
    this.#change(customer, api, (before) => afterToken(before, rights, this.#world.clock.nowMs()));
  }

  /** Microsoft issues no token any more for want of consent. Nothing was withdrawn if it never issued one. */
  consentGone(customer: string, api: TokenApi): void {
    this.#change(customer, api, (before) => afterRefusal(before, this.#world.clock.nowMs()));
  }

  /** @param name as sentences call the customer */
  customer(customer: string, name: string, streams: readonly StreamName[]): CustomerPermissions {
    const drift = () => driftOf(this.#of(customer).byApi, streams);
    let looked: Kept | undefined;
    return {
      drift,
      news: () => {
        if (!this.#isSaved && this.#world.clock.monotonicMs() - this.#savedAtMs >= WRITE_EVERY_MS) void this.save();
        const kept = this.#of(customer);
        // Every customer is asked each minute, and hardly any has another permission.
        if (kept === looked) return [];
        looked = kept;
        const { byApi, reported } = kept;
        const fresh = drift()?.unneeded.filter((permission) => !reported.includes(permission)) ?? [];
        if (fresh.length === 0) return [];
        this.#keep(customer, { byApi, reported: [...reported, ...fresh] });
        return [unneeded(name, fresh)];
      },
    };
  }

  /** Saves what changed since the last time. */
  async save(): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    this.#savedAtMs = this.#world.clock.monotonicMs();
    try {
      await this.#world.facts.writeFact(GRANTED_FACT, JSON.stringify(Object.fromEntries(this.#customers)));
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#isSaved = false;
      if (!this.#isFailureSaid)
        this.#world.log.warn("could not save which permissions customers granted", { failure: error.code });
      this.#isFailureSaid = true;
    }
  }

  #change(
    customer: string,
    api: TokenApi,
    change: (before: GrantedPermissions | undefined) => GrantedPermissions | undefined,
  ): void {
    const { byApi, reported } = this.#of(customer);
    const now = change(byApi[api]);
    if (now === undefined || now === byApi[api]) return;
    this.#keep(customer, { byApi: { ...byApi, [api]: now }, reported });
  }

  #of(customer: string): Kept {
    return this.#customers.get(customer) ?? { byApi: {}, reported: [] };
  }

  #keep(customer: string, kept: Kept): void {
    this.#customers.set(customer, kept);
    this.#isSaved = false;
    if (this.#world.clock.monotonicMs() - this.#savedAtMs >= WRITE_EVERY_MS) void this.save();
  }
}

export interface HistoryWorld {
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: Pick<StateFolder, "readFact" | "writeFact">;
}

/** What a collector kept last of its customers, by name, from the text of the fact. */
export function keptPermissions(fact: string | undefined): ReadonlyMap<string, GrantedByApi> {
  return new Map([...readKept(fact)].map(([customer, { byApi }]) => [customer, byApi]));
}

/** The name under which a customer's permissions are kept. */
export function historyName(tenantId: string, stanza: string): string {
  return `${tenantId}/${stanza}`;
}

const PRINTABLE = /^[\x21-\x7e]{1,120}$/;

/** The failure `permissions-unneeded`: collection works, so the streams keep their state. */
function unneeded(customer: string, permissions: readonly string[]): Failure {
  const [one, it] = permissions.length === 1 ? ["a permission", "it"] : ["permissions", "them"];
  return new Failure("permissions-unneeded", {
    actor: "operator",
    retry: { when: "never" },
    say: `${customer} has granted ${one} that none of its streams needs: ${permissions.join(", ")}. Collection goes on.`,
    nextStep: `Remove ${it} from the app registration if nothing else needs ${it}: \`defender-mssp register --check manifest.json\` lists what is unnecessary.`,
  });
}

/** What is not in this form is left out: it is seen again with the next token. */
function readKept(text: string | undefined): Map<string, Kept> {
  const kept = new Map<string, Kept>();
  for (const [customer, value] of Object.entries(asObject(jsonOf(text ?? "")))) {
    const { byApi, reported } = asObject(value);
    const apis = asObject(byApi);
    const read = TOKEN_APIS.flatMap((api) => {
      const granted = readGranted(asObject(apis[api]));
      return granted === undefined ? [] : [[api, granted] as const];
    });
    kept.set(customer, { byApi: Object.fromEntries(read), reported: textsIn(reported) });
  }
  return kept;
}

function readGranted(value: Readonly<Record<string, unknown>>): GrantedPermissions | undefined {
  const { kind, held, changedAtMs, withdrawnAtMs } = value;
  if ((kind !== "app" && kind !== "user") || !Array.isArray(held)) return undefined;
  const withdrawn = Object.entries(asObject(withdrawnAtMs)).filter((e): e is [string, number] => isTime(e[1]));
  return {
    kind,
    held: textsIn(held),
    ...(isTime(changedAtMs) ? { changedAtMs } : {}),
    withdrawnAtMs: Object.fromEntries(withdrawn),
  };
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function textsIn(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
}

/** Only what `Date` can write. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && Math.abs(value) <= 8.64e15;
}
