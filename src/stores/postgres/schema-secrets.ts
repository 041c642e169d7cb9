/**
 * What version 3 of a fleet's schema adds: refresh tokens, sealed with a key that the database never has.
 * `$` is the schema's name.
 */
export const SECRETS_STEP = `
create table $.key(only_row boolean primary key default true check (only_row), fingerprint text not null,
  recorded timestamptz not null default clock_timestamp());
create table $.rotation(tenant uuid not null, input text not null, holder uuid,
  held_until timestamptz not null default clock_timestamp(), number bigint not null,
  primary key (tenant, input)) with (fillfactor = 50);
create table $.secret(tenant uuid not null, input text not null, kind text not null, binding text not null,
  sealed bytea not null, rotation bigint not null, typed bigint not null default 0,
  stored timestamptz not null default clock_timestamp(), primary key (tenant, input, kind)) with (fillfactor = 50);
alter table $.member add column other_key boolean not null default false;
`;

/** @param schema its name. */
export function secretRights(schema: string, role: string): string {
  return [
    `grant select, insert on ${schema}.key to ${role};`,
    `grant select, insert, update, delete on ${schema}.rotation, ${schema}.secret to ${role};`,
  ].join("\n");
}

/**
 * Does a member with this key differ from its fleet? One without a key differs only once secrets are stored.
 *
 * @param parameter of the key's fingerprint; null: it has none.
 */
export function hasOtherKey(schema: string, parameter: string): string {
  return `(exists (select from ${schema}.key k where k.fingerprint is distinct from ${parameter}::text)
    and (${parameter}::text is not null or exists (select from ${schema}.secret)))`;
}
