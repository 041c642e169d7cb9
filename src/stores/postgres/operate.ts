import type { Database } from "./connections.ts";
import { schemaOf } from "./schema.ts";

export interface MemberAtWork {
  readonly name: string;
  readonly isDraining: boolean;
  readonly configHash: string;
  readonly shards: number;
}

/** Members that live now, by name. Throws Failure as `Database.query`, as the others here. */
export function membersAtWork(database: Database, fleet: string): Promise<readonly MemberAtWork[]> {
  const s = schemaOf(fleet);
  return database.query<MemberAtWork>(
    `select m.name, m.draining as "isDraining", m.config_hash as "configHash",
       (select count(*)::int from ${s}.shard where owner = m.boot) as shards
     from ${s}.member m where m.alive_until > clock_timestamp() order by 1`,
  );
}

/** From now on members with this configuration share the customers, while there are any. */
export async function applyConfiguration(database: Database, fleet: string, hash: string): Promise<void> {
  await database.query(
    `insert into ${schemaOf(fleet)}.configuration as c(hash) values ($1)
     on conflict (only_row) do update set hash = excluded.hash, applied = clock_timestamp()
     where c.hash <> excluded.hash`,
    [hash],
  );
}

/** The member gives up its customers, and takes none until its process starts again. */
export async function drainMember(database: Database, fleet: string, name: string): Promise<void> {
  await database.query(
    `update ${schemaOf(fleet)}.member set draining = true where name = $1 and alive_until > clock_timestamp()`,
    [name],
  );
}
