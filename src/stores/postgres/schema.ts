import { schemaFailure } from "./failures.ts";
import { ROSTER_STEP, rosterRights } from "./schema-roster.ts";
import { SECRETS_STEP, secretRights } from "./schema-secrets.ts";

/** Shards are fixed when the schema is made: a customer's shard never changes. */
export const SHARD_COUNT = 256;

/** The names of one fleet in its database. Two fleets in one database have schemas of their own. */
export function schemaOf(fleet: string): string {
  return `defender_mssp_${fleet.replaceAll("-", "_")}`;
}

/**
 * What makes each version of the schema out of the one before; forward only. A step that was released is
 * never changed. `$` is the schema's name.
 */
const STEPS: readonly string[] = [
  `
create table $.fleet(only_row boolean primary key default true check (only_row), version int not null, name text not null);
create table $.member(boot uuid primary key, name text not null, version text not null, config_hash text not null,
  alive_until timestamptz not null);
create table $.shard(id int primary key, owner uuid, epoch bigint not null default 0) with (fillfactor = 50);
insert into $.shard(id) select generate_series(0, ${SHARD_COUNT - 1});
create table $.customer(id int generated always as identity primary key, tenant uuid not null, input text not null,
  unique (tenant, input));
create table $.stream(id int generated always as identity primary key, customer int not null references $.customer,
  name text not null, shard int not null references $.shard, epoch bigint not null, checkpoint text,
  next_seq bigint not null default 1, unique (customer, name)) with (fillfactor = 50);
create index on $.stream(shard);
create table $.delivery(stream int not null references $.stream, output text not null, seq bigint not null,
  epoch bigint not null, primary key (stream, output)) with (fillfactor = 50);
create table $.ledger(stream int not null references $.stream, object uuid not null, ticks bigint not null,
  written int not null, bytes int not null, crc bigint not null, is_new boolean not null,
  primary key (stream, object)) with (fillfactor = 70);
create table $.packet(hour int not null, stream int not null, seq bigint not null, records int not null,
  epoch bigint not null, body bytea not null, primary key (stream, seq, hour)) partition by list (hour);
create function $.this_hour() returns int language sql stable
  as 'select floor(extract(epoch from clock_timestamp()) / 3600)::int';
create function $.make_packet_hours() returns void language plpgsql security definer
  set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as '
declare
  h int;
begin
  lock table $.fleet in share row exclusive mode;
  for h in select g from generate_series($.this_hour() - 1, $.this_hour() + 2) g loop
    if to_regclass(format(''$.packet_%s'', h)) is null then
      execute format(''create table $.packet_%s partition of $.packet for values in (%s)'', h, h);
      execute format(''alter table $.packet_%s alter column body set storage external'', h);
    end if;
  end loop;
end';
create function $.drop_delivered_hours() returns int language plpgsql security definer
  set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as '
declare
  h int;
  held boolean;
  dropped int := 0;
begin
  lock table $.fleet in share row exclusive mode;
  for h in select substring(c.relname from ''packet_(.*)'')::int from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ''$.packet''::regclass order by 1 loop
    continue when h >= $.this_hour() - 1;
    select exists(select from $.packet p join $.delivery d on d.stream = p.stream
      where p.hour = h and d.seq < p.seq) into held;
    if not held then
      execute format(''drop table $.packet_%s'', h);
      dropped := dropped + 1;
    end if;
  end loop;
  return dropped;
end';
revoke execute on function $.make_packet_hours() from public;
revoke execute on function $.drop_delivered_hours() from public;
`,
  // Packets that cannot be read: their hours are kept, because a copy of what is damaged may be impossible.
  // What members say of themselves, and the configuration that was applied last.
  `
alter table $.member add column draining boolean not null default false,
  add column clock_ahead_ms bigint not null default 0;
create table $.configuration(only_row boolean primary key default true check (only_row), hash text not null,
  applied timestamptz not null default clock_timestamp());
create table $.set_aside(stream int not null references $.stream, seq bigint not null, hour int not null,
  records int not null, damage text not null, found timestamptz not null default clock_timestamp(),
  primary key (stream, seq));
create or replace function $.drop_delivered_hours() returns int language plpgsql security definer
  set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as '
declare
  h int;
  held boolean;
  dropped int := 0;
begin
  lock table $.fleet in share row exclusive mode;
  for h in select substring(c.relname from ''packet_(.*)'')::int from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = ''$.packet''::regclass order by 1 loop
    continue when h >= $.this_hour() - 1;
    select exists(select from $.packet p join $.delivery d on d.stream = p.stream
      where p.hour = h and d.seq < p.seq)
      or exists(select from $.set_aside a where a.hour = h) into held;
    if not held then
      execute format(''drop table $.packet_%s'', h);
      dropped := dropped + 1;
    end if;
  end loop;
  return dropped;
end';
`,
  SECRETS_STEP,
  ROSTER_STEP,
];

export const SCHEMA_VERSION = STEPS.length;

/**
 * The statements that bring a fleet's schema from `version` to this release's. Throws Failure `fleet-schema`
 * when a newer release made it.
 *
 * @param to for tests of an upgrade.
 */
export function upgradeSql(fleet: string, version: number, to = SCHEMA_VERSION): string {
  const schema = schemaOf(fleet);
  if (version > SCHEMA_VERSION) throw newerSchema(schema, version);
  const steps = STEPS.slice(version, to).map((step) => step.trim().replaceAll("$.", `${schema}.`));
  if (steps.length === 0) return "";
  const record =
    version === 0
      ? `insert into ${schema}.fleet(version, name) values (${to}, '${fleet}');`
      : `update ${schema}.fleet set version = ${to};`;
  return [version === 0 ? `create schema ${schema};` : "", ...steps, record].filter((part) => part !== "").join("\n");
}

/** The least rights with which a member works; safe to run again. */
export function roleSql(fleet: string, role: string): string {
  const schema = schemaOf(fleet);
  const name = `"${role.replaceAll('"', '""')}"`;
  return [
    `-- Once, if the role does not exist: create role ${name} login password '...';`,
    `grant usage on schema ${schema} to ${name};`,
    `grant select on ${schema}.fleet to ${name};`,
    `grant select, insert, update, delete on ${schema}.member to ${name};`,
    `grant select, update on ${schema}.shard to ${name};`,
    `grant select, insert, update on ${schema}.customer, ${schema}.stream, ${schema}.configuration to ${name};`,
    `grant select, insert, update, delete on ${schema}.delivery, ${schema}.ledger to ${name};`,
    `grant select, insert on ${schema}.packet, ${schema}.set_aside to ${name};`,
    `grant execute on function ${schema}.make_packet_hours(), ${schema}.drop_delivered_hours() to ${name};`,
    secretRights(schema, name),
    rosterRights(schema, name),
  ].join("\n");
}

/**
 * Throws Failure `fleet-schema` unless a member of this release may work with it.
 *
 * @param version undefined: there is none.
 */
export function checkSchemaVersion(fleet: string, version: number | undefined): void {
  const schema = schemaOf(fleet);
  if (version === undefined)
    throw schemaFailure(
      `The fleet's database has no schema ${schema} that fleet.user may read.`,
      "Run `defender-mssp fleet init` once.",
    );
  if (version > SCHEMA_VERSION) throw newerSchema(schema, version);
  if (version < SCHEMA_VERSION)
    throw schemaFailure(
      `The fleet's schema ${schema} has version ${version}; this release needs ${SCHEMA_VERSION}.`,
      "Run `defender-mssp fleet init` of this release.",
    );
}

function newerSchema(schema: string, version: number) {
  return schemaFailure(
    `The fleet's schema ${schema} has version ${version}; this release knows ${SCHEMA_VERSION}. A newer release made it.`,
    "Install the newer release on this host.",
  );
}
