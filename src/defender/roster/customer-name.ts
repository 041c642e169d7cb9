/** Few enough that it fits beside the customer's GUID in the 200 characters that a name may have. */
const NAME_MOST = 100;

/**
 * A name from outside as this program uses it: in events, tables, file names and printed commands. Only
 * letters, digits, spaces and signs that mean nothing to a shell inside quotes, to a spreadsheet, to HTML or
 * to a terminal stay. Empty if nothing readable is left.
 */
export function cleanedName(listed: string): string {
  const plain = listed
    .normalize("NFC")
    .replaceAll(/[^\p{L}\p{M}\p{N} .&()'_-]+/gu, " ")
    .replaceAll(/ +/g, " ")
    // A leading sign could be a formula or a flag; a leading accent would stick to what stands before it.
    .replace(/^[^\p{L}\p{N}]+/u, "");
  return Array.from(plain).slice(0, NAME_MOST).join("").trim();
}

/**
 * A name that no other customer has. Two customers of one name differ by the beginning of their GUID.
 *
 * @param taken in lower case.
 */
export function uniqueName(cleaned: string, tenantId: string, taken: ReadonlySet<string>): string {
  const candidates = cleaned === "" ? [tenantId] : [cleaned, `${cleaned} ${tenantId.slice(0, 8)}`];
  return candidates.find((name) => !taken.has(name.toLowerCase())) ?? `${cleaned} ${tenantId}`.trim();
}
