import type { Kind } from "../../src/model/setting.ts";

/** What a page calls the values of each kind. */
export type Wording = { readonly [K in Kind["is"]]: (kind: Extract<Kind, { readonly is: K }>) => string };

export function wordingOf(kind: Kind, wording: Wording): string {
  return (wording[kind.is] as (kind: Kind) => string)(kind);
}
