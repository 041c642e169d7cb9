/** `:` and the instant at a version key's end: what stands before it names the object. */
const KEY_INSTANT_LENGTH = ":2026-11-29T16:00:00.0000000Z".length;

/** The object of which the key names a version. */
export function objectOfKey(key: string): string {
  return key.slice(0, -KEY_INSTANT_LENGTH);
}

/** The version's key of `<stanza>|<version key>`. */
export function withoutStanza(key: string): string {
  return key.slice(key.indexOf("|") + 1);
}
