/** A fleet's schema in a real PostgreSQL, and stores of members that share it. */
import type { FleetSettings } from "../../../src/config/fleet-settings.ts";
import { bodiesAt, bodiesInList } from "../../../src/json/record-bodies.ts";
import { fleetConnections } from "../../../src/main/fleet-database.ts";
import type { Delivery } from "../../../src/model/event.ts";
import { isFailure } from "../../../src/model/failure.ts";
import { sealed } from "../../../src/model/sealed.ts";
import type { TenantId } from "../../../src/model/tenant.ts";
import { Connections } from "../../../src/stores/postgres/connections.ts";
import { asWrongSetting } from "../../../src/stores/postgres/failures.ts";
import type { FleetKey } from "../../../src/stores/postgres/fleet-key.ts";
import { PostgresFleet } from "../../../src/stores/postgres/fleet-store.ts";
import { type PostgresServer, SUPERUSER, SUPERUSER_PASSWORD } from "./server.ts";

export const MEMBER_ROLE = "collector";
export const MEMBER_PASSWORD = "the collector's password";

interface ConnectionChoice {
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
  readonly answerWithinMs?: number;
}

/** Connections as the superuser unless another role is given. */
export function connectionsTo({ port, user, password, answerWithinMs }: ConnectionChoice): Connections {
  return new Connections({
    address: {
      hosts: [{ host: "127.0.0.1", port }],
      database: "postgres",
      user: user ?? SUPERUSER,
      password: sealed(password ?? SUPERUSER_PASSWORD),
    },
    tlsFor: () => undefined,
    count: 2,
    ...(answerWithinMs === undefined ? {} : { answerWithinMs }),
  });
}

/** Settings of a member that connects as the superuser to the database on one of these ports. */
export function settingsFor(ports: readonly number[], more: Partial<FleetSettings> = {}): FleetSettings {
  return {
    hosts: ports.map((port) => ({ host: "127.0.0.1", port })),
    database: "postgres",
    user: SUPERUSER,
    password: sealed(SUPERUSER_PASSWORD),
    name: "main",
    isLocal: true,
    ...more,
  };
}

/** What the work gives, or how the connection failed and whether a member that starts waits. */
export async function connectedBy<T>(
  settings: FleetSettings,
  work: (database: Connections) => Promise<T>,
): Promise<T | string> {
  const connections = await fleetConnections(settings, 1);
  try {
    return await work(connections);
  } catch (error) {
    const failure = asWrongSetting(error);
    return isFailure(failure) ? `${failure.code} ${failure.retry.when} ${failure.say}` : String(failure);
  } finally {
    await connections.close();
  }
}

export interface MemberChoice {
  /** May be a proxy's. */
  readonly port?: number;
  readonly answerWithinMs?: number;
  readonly clockAheadMs?: number;
  /** Of its key file. */
  readonly key?: FleetKey;
  /** Stanzas of one tenant. */
  readonly configured?: readonly { readonly stanza: string; readonly tenantId: string }[];
  /** Sees each statement of pages and deliveries before it is sent, and may throw instead of it. */
  readonly sees?: (sql: string) => void;
  /** Of packets that it does not read back. */
  readonly keptMostBytes?: number;
  /** Throws why members must stay out. */
  readonly admits?: () => Promise<void>;
}

/** A member's store, connected as the role with the least rights. */
export function memberOf(
  server: Pick<PostgresServer, "port">,
  fleet: string,
  choice: MemberChoice = {},
): PostgresFleet {
  const {
    port = server.port,
    answerWithinMs,
    clockAheadMs = 0,
    configured = [],
    key,
    sees,
    admits,
    keptMostBytes = 0,
  } = choice;
  const role = { user: MEMBER_ROLE, password: MEMBER_PASSWORD };
  const database = connectionsTo({ port, ...role, ...(answerWithinMs === undefined ? {} : { answerWithinMs }) });
  return new PostgresFleet({
    database: {
      async query(sql, values) {
        sees?.(sql);
        return database.query(sql, values);
      },
      close: () => database.close(),
    },
    heartbeat: connectionsTo({ port: server.port, ...role }),
    fleet,
    key,
    ...(admits === undefined ? {} : { admits }),
    configured: () => configured,
    bodiesOf: bodiesInList,
    bodiesAt,
    keptMostBytes,
    nowMs: () => Date.now() + clockAheadMs,
  });
}

/** Versions of one stream as a page delivers them; the numbers are their ids. */
export function deliveriesOf(tenantId: TenantId, numbers: readonly number[]): readonly Delivery[] {
  const list = Buffer.from(JSON.stringify(numbers.map((n) => ({ id: String(n), title: `Alert <${n}>` }))));
  const bodies = bodiesInList(list);
  return numbers.map((n, i) => ({
    stanza: "Contoso",
    tenant: { id: tenantId, name: "Contoso", cloud: "commercial" },
    stream: "alerts",
    change: "new",
    found: "poll",
    key: `${tenantId}:alerts:alert:${n}`,
    record: { readable: true, kind: "alert", id: String(n), updated: BigInt(n), body: bodies[i] as (typeof bodies)[0] },
  }));
}
