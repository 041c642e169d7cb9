/** A real PostgreSQL for tests of the fleet's store: fleets, members, and the stream that they fight for. */
import { isFailure } from "../../../src/model/failure.ts";
import type { FleetStream, Lease } from "../../../src/model/fleet.ts";
import type { Connections } from "../../../src/stores/postgres/connections.ts";
import { type PostgresFleet, shardOf } from "../../../src/stores/postgres/fleet-store.ts";
import { initFleet } from "../../../src/stores/postgres/init.ts";
import { roleSql, schemaOf } from "../../../src/stores/postgres/schema.ts";
import { KEY, type OpenedStore } from "../../contracts/store-contract.ts";
import { connectionsTo, MEMBER_PASSWORD, MEMBER_ROLE, type MemberChoice, memberOf } from "./fleet.ts";
import { Pooler } from "./pooler.ts";
import { PostgresServer } from "./server.ts";

export const OUTPUTS = ["json-lines-1"];
export const ALL = 256;

export interface Opened extends FleetStream {
  readonly lost: Lease[];
  readonly committed: number[];
}

export class StoreWorld {
  readonly #members: PostgresFleet[] = [];
  #server: PostgresServer | undefined;
  #admin: Connections | undefined;
  #pooler: Pooler | undefined;
  #fleets = 0;

  /** @param options `isPooled`: members and the schema's owner connect through a pooler. */
  async start({ isPooled = false } = {}): Promise<{ readonly server: PostgresServer; readonly admin: Connections }> {
    const server = await PostgresServer.start();
    this.#server = server;
    server.query(`create role ${MEMBER_ROLE} login password '${MEMBER_PASSWORD.replaceAll("'", "''")}'`);
    if (isPooled) this.#pooler = await Pooler.start(server, { passwords: { [MEMBER_ROLE]: MEMBER_PASSWORD } });
    this.#admin = connectionsTo(this.#pooler ?? server);
    return { server, admin: this.#admin };
  }

  /** Where members connect. */
  get memberPlace(): { readonly port: number } {
    return this.#pooler ?? this.#running.server;
  }

  async closeMembers(): Promise<void> {
    for (const member of this.#members.splice(0)) await member.close();
  }

  async end(): Promise<void> {
    await this.#admin?.close();
    await this.#pooler?.remove();
    await this.#server?.remove();
  }

  /** A new fleet without members. */
  newFleet = async (): Promise<string> => {
    this.#fleets += 1;
    const fleet = `test-${this.#fleets}`;
    await initFleet(this.#running.admin, fleet);
    this.#running.server.query(roleSql(fleet, MEMBER_ROLE));
    this.#running.server.query(longLeases(schemaOf(fleet)));
    return fleet;
  };

  /** A member that is registered; KEY is configured unless others are. */
  joined = async (fleet: string, name: string, choice: MemberChoice = {}): Promise<PostgresFleet> => {
    const member = memberOf(this.memberPlace, fleet, { configured: [KEY], ...choice });
    this.#members.push(member);
    await member.register({ name, version: "test", configHash: "one" });
    return member;
  };

  /** As if the member had been silent for longer than its lease. */
  expire = (fleet: string, name: string): void => {
    const member = `${schemaOf(fleet)}.member`;
    this.#running.server.query(`update ${member} set alive_until = clock_timestamp() where name = '${name}'`);
  };

  /** A slow machine must not make the member's place expire. */
  stay = (fleet: string, name: string): void => {
    const member = `${schemaOf(fleet)}.member`;
    this.#running.server.query(
      `update ${member} set alive_until = clock_timestamp() + interval '1 day' where name = '${name}'`,
    );
  };

  opened = async (member: PostgresFleet, lease: Lease, outputs = OUTPUTS): Promise<Opened> => {
    const lost: Lease[] = [];
    const committed: number[] = [];
    const stream = await member.open(KEY, lease, outputs, {
      lost: (one) => lost.push(one),
      committed: (one) => committed.push(one),
    });
    return { ...stream, lost, committed };
  };

  /** The stream of KEY in a new fleet. After a crash another member has it. */
  crashable = async (): Promise<OpenedStore> => {
    const fleet = await this.newFleet();
    let crashes = 0;
    const open = async (): Promise<OpenedStore> => {
      const name = `member-${crashes}`;
      const member = await this.joined(fleet, name);
      const { store } = await this.opened(member, await claimedOfKey(member));
      return {
        store,
        crash: () => {
          this.expire(fleet, name);
          crashes += 1;
          return open();
        },
      };
    };
    return open();
  };

  keysWaiting = async (member: PostgresFleet, stream: number, output = OUTPUTS[0] as string) =>
    (await member.waiting(output, [stream], 1 << 20)).flatMap(({ deliveries }) => deliveries.map(({ key }) => key));

  get #running(): { readonly server: PostgresServer; readonly admin: Connections } {
    if (this.#server === undefined || this.#admin === undefined) throw new Error("the server was not started");
    return { server: this.#server, admin: this.#admin };
  }
}

/**
 * Nobody renews a lease while a test goes on, and on a slow machine a step takes longer than a lease. So
 * leases end only by `expire`.
 */
function longLeases(schema: string): string {
  return `create function ${schema}.long_lease() returns trigger language plpgsql as $$ begin
    if new.alive_until > clock_timestamp() then new.alive_until := new.alive_until + interval '1 hour'; end if;
    return new; end $$;
    create trigger long_lease before insert or update of alive_until on ${schema}.member
    for each row execute function ${schema}.long_lease()`;
}

/** The lease of the shard to which KEY belongs. */
export function leaseOfKey(leases: readonly Lease[]): Lease {
  const lease = leases.find(({ shard }) => shard === shardOf(KEY.tenantId));
  if (lease === undefined) throw new Error("the shard was not claimed");
  return lease;
}

/** Claims until it has the shard: the server says that a statement failed before it lets its locks go. */
export async function claimedOfKey(member: Pick<PostgresFleet, "claim">): Promise<Lease> {
  for (;;) {
    const lease = (await member.claim(ALL)).find(({ shard }) => shard === shardOf(KEY.tenantId));
    if (lease !== undefined) return lease;
  }
}

/** The code of the failure with which it ended, or `done`. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "done",
    (error: unknown) => (isFailure(error) ? error.code : String(error)),
  );
}

/** Keys of `deliveriesOf` for KEY. */
export function keysOf(numbers: readonly number[]): readonly string[] {
  return numbers.map((n) => `${KEY.tenantId}:alerts:alert:${n}`);
}
