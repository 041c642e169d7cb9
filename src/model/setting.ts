import type { AssertionSetting } from "./assertion.ts";
import type { Ticks } from "./instant.ts";
import type { Sealed } from "./sealed.ts";

/** Where a setting applies: the modular input, the ArcSight helper, the commands. */
export type SettingsHost = "splunk" | "arcsight" | "cli";

/** The start of a first run. */
export type StartPoint = { readonly kind: "ago"; readonly ms: number } | { readonly kind: "at"; readonly at: Ticks };

/** The address on which a server of this program listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** The form of a value. `config/kinds.ts` reads each of them; `ValueOf` is the type it becomes. */
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
  /** A day or an instant, in the future or the past; becomes milliseconds since 1970. */
  | { readonly is: "date" }
  /** `plain`: http is allowed too (a proxy). `login`: user and password are allowed in it. */
  | { readonly is: "address"; readonly plain?: boolean; readonly login?: boolean }
  | { readonly is: "listen" }
  /** The audience of a token. */
  | { readonly is: "audience" }
  /** Of a file, in octal; its owner may read and write it. */
  | { readonly is: "mode" }
  | { readonly is: "file" }
  /** `file:PATH` or `managed-identity:CLIENT_ID`. */
  | { readonly is: "assertion" }
  | { readonly is: "folder" };

/**
 * One row of a settings table. Type, parser, scheme, spec file, template, flags and docs are made from it.
 */
export interface Setting {
  /**
   * The name in files: lower case, words joined by `_`. The value's member is the same name in camel case.
   */
  readonly key: string;
  readonly kind: Kind;
  /** As a person would type it. If undefined, see `otherwise`. */
  readonly default?: string;
  /** For the docs: what applies without a value and without a default. */
  readonly otherwise?: string;
  readonly required?: true;
  readonly secret?: true;
  /** Used instead of the kind's own sentence. */
  readonly wrong?: string;
  /** The member of the settings that contains the value, if it is not beside the others. */
  readonly part?: string;
  /** One or two plain sentences for the form, the spec file, the template and the docs. */
  readonly help: string;
}

type Kinded = Pick<Setting, "kind">;

/** A value after reading. Secrets, and addresses that may contain a login, are sealed. */
export type ValueOf<R extends Kinded> = R extends
  | { readonly secret: true }
  | { readonly kind: { readonly login: true } }
  ? Sealed
  : ReadOf<R["kind"]>;

/** The result of reading a text as a kind. */
export type ReadOf<K extends Kind> = K extends { readonly is: "choice"; readonly of: readonly (infer Word)[] }
  ? Word
  : K extends { readonly is: "choices"; readonly of: readonly (infer Word)[] }
    ? readonly Word[]
    : K extends { readonly is: "names" }
      ? readonly string[]
      : K extends { readonly is: "whole" | "mode" | "date" }
        ? number
        : K extends { readonly is: "yes-no" }
          ? boolean
          : K extends { readonly is: "start" }
            ? StartPoint
            : K extends { readonly is: "listen" }
              ? ListenAddress
              : K extends { readonly is: "assertion" }
                ? AssertionSetting
                : string;

/** `tenant_id` is `tenantId`. */
export type MemberName<Key extends string> = Key extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<MemberName<Rest>>}`
  : Key;

/** A row whose value is always present. */
type Always = { readonly required: true } | { readonly default: string };
type Parted = { readonly part: string };

type Members<R extends Setting> = {
  readonly [Row in Extract<R, Always> as MemberName<Row["key"]>]: ValueOf<Row>;
} & {
  readonly [Row in Exclude<R, Always> as MemberName<Row["key"]>]?: ValueOf<Row>;
};

/** The settings of a table's rows, after reading. */
export type ValuesOf<R extends Setting> = Members<Exclude<R, Parted>> & {
  readonly [Part in Extract<R, Parted>["part"]]: Members<Extract<R, { readonly part: Part }>>;
};
