/**
 * What version 4 of a fleet's schema adds: customers that every member collects, which hold no address, no
 * path and no secret; and the note of streams on their way to or from a state folder. `$` is the schema's
 * name.
 */
export const ROSTER_STEP = `
create table $.roster(name text primary key, tenant uuid not null unique, cloud text, index_name text, streams text,
  credential text, changed timestamptz not null default clock_timestamp());
create unique index on $.roster(lower(name));
create table $.roster_revision(only_row boolean primary key default true check (only_row),
  id uuid not null default gen_random_uuid());
insert into $.roster_revision default values;
alter table $.member add column knows_roster boolean not null default false;
create table $.move(only_row boolean primary key default true check (only_row),
  direction text not null check (direction in ('in', 'out')), folder uuid not null, place text not null,
  began timestamptz not null default clock_timestamp());
`;

/** @param schema its name. */
export function rosterRights(schema: string, role: string): string {
  return [
    `grant select, insert, update, delete on ${schema}.roster, ${schema}.move to ${role};`,
    `grant select, update on ${schema}.roster_revision to ${role};`,
  ].join("\n");
}

/**
 * Names of live members of an older release. They know no roster, and the customers of their shards would be
 * collected by nobody.
 */
export function membersWithoutRoster(schema: string): string {
  return `(select string_agg(name, ', ' order by name) from ${schema}.member
    where alive_until > clock_timestamp() and not knows_roster)`;
}
