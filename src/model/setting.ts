import type { Ticks } from "./instant.ts";
import type { Sealed } from "./sealed.ts";

/** Who takes a setting: the modular input, the ArcSight helper, the commands by hand. */
export type SettingsHost = "splunk" | "arcsight" | "cli";

/** How far back a first run reaches. */
export type StartPoint = { readonly kind: "ago"; readonly ms: number } | { readonly kind: "at"; readonly at: Ticks };

/** Where a server of this program listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** What a value must look like; `config/kinds.ts` reads each of them, `ValueOf` says what it becomes. */
export type Kind =
  | { readonly is: "text"; readonly max: number; readonly pattern?: RegExp; readonly like?: string }
  | { readonly is: "choice"; readonly of: readonly string[] }
  | { readonly is: "choices"; readonly of: readonly string[] }
  /** Separated by commas. */
  | { readonly is: "names"; readonly max: number }
  | { readonly is: "whole"; readonly min: number; readonly max: number; readonly unit: string }
  | { readonly is: "yes-no" }
  | { readonly is: "tenant" }
  | { readonly is: "guid" }
  | { readonly is: "start" }
  /** `plain`: http is allowed too (a proxy). `login`: user and password may stand in it. */
  | { readonly is: "address"; readonly plain?: boolean; readonly login?: boolean }
  | { readonly is: "listen" }
  /** What a token is asked for. */
  | { readonly is: "audience" }
  | { readonly is: "file" }
  | { readonly is: "folder" };

/** One row of a settings table: type, parser, scheme, spec, template, flags and docs come from it. */
export interface Setting {
  /** As files have it: lower case, words joined by `_`. The value's member has that name in camel case. */
  readonly key: string;
  readonly kind: Kind;
  /** As a person would type it; undefined: nothing is assumed, see `otherwise`. */
  readonly default?: string;
  /** What holds when there is neither value nor default, for the docs. */
  readonly otherwise?: string;
  readonly required?: true;
  readonly secret?: true;
  /** Said instead of the kind's own sentence. */
  readonly wrong?: string;
  /** The member of the settings in which the value stands, when it does not stand beside the others. */
  readonly part?: string;
  /** One or two plain sentences: the form's, the spec file's, the template's and the docs' text. */
  readonly help: string;
}

type Kinded = Pick<Setting, "kind">;

/** A value once read. Secrets, and addresses that may hold a login, are sealed. */
export type ValueOf<R extends Kinded> = R extends
  | { readonly secret: true }
  | { readonly kind: { readonly login: true } }
  ? Sealed
  : ReadOf<R["kind"]>;

/** What the reader of a kind makes of a text. */
export type ReadOf<K extends Kind> = K extends { readonly is: "choice"; readonly of: readonly (infer Word)[] }
  ? Word
  : K extends { readonly is: "choices"; readonly of: readonly (infer Word)[] }
    ? readonly Word[]
    : K extends { readonly is: "names" }
      ? readonly string[]
      : K extends { readonly is: "whole" }
        ? number
        : K extends { readonly is: "yes-no" }
          ? boolean
          : K extends { readonly is: "start" }
            ? StartPoint
            : K extends { readonly is: "listen" }
              ? ListenAddress
              : string;

/** `tenant_id` is `tenantId`. */
export type MemberName<Key extends string> = Key extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<MemberName<Rest>>}`
  : Key;

/** A row whose value is always there. */
type Always = { readonly required: true } | { readonly default: string };
type Parted = { readonly part: string };

type Members<R extends Setting> = {
  readonly [Row in Extract<R, Always> as MemberName<Row["key"]>]: ValueOf<Row>;
} & {
  readonly [Row in Exclude<R, Always> as MemberName<Row["key"]>]?: ValueOf<Row>;
};

/** The settings that a table's rows describe, once read. */
export type ValuesOf<R extends Setting> = Members<Exclude<R, Parted>> & {
  readonly [Part in Extract<R, Parted>["part"]]: Members<Extract<R, { readonly part: Part }>>;
};
