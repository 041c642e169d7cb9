/** A proxy's address may hold a password: it is not shown, and the mask in its place is never saved. */
import { MASK } from "../../../../src/config/splunk-keys.ts";
import type { Problems } from "./validate.ts";

type Values = Readonly<Record<string, string>>;

/** Up to the last @, as a password that is not encoded may have one. */
const WITH_PASSWORD = /^((?:[a-z][a-z0-9+.-]*:\/\/)?[^:@/]*:)(?!\/\/)(.+)@/i;
/** What is left of a mask into which somebody typed. */
const PART_OF_MASK = MASK.slice(0, 3);

export function hasPassword(address: string): boolean {
  return WITH_PASSWORD.test(address);
}

function shownProxy(address: string): string {
  return address.replace(WITH_PASSWORD, (_all, before: string) => `${before}${MASK}@`);
}

/** What a form shows of these settings. */
export function shownOf(stored: Values): Values {
  const { proxy } = stored;
  return proxy === undefined ? stored : { ...stored, proxy: shownProxy(proxy) };
}

/** What a form means: an address that is as it was shown is the stored one. */
export function meantBy(typed: Values, stored: Values): Values {
  const { proxy = "" } = stored;
  return typed["proxy"] === shownProxy(proxy) ? { ...typed, proxy } : typed;
}

/** @param meant of `meantBy`, with `stored` the same. */
export function maskProblems(meant: Values, stored: Values): Problems {
  const { proxy = "" } = meant;
  const isTyped = proxy !== (stored["proxy"] ?? "");
  if (!isTyped || WITH_PASSWORD.exec(proxy)?.[2]?.includes(PART_OF_MASK) !== true) return {};
  return { proxy: `has ${PART_OF_MASK} in its password: type the password again` };
}
