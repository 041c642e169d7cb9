/**
 * The table's entry for a text that comes from outside. Every object also answers to names such as
 * `constructor`, which no table means.
 */
export function ownEntry<T>(table: Readonly<Record<string, T>>, text: string | undefined): T | undefined {
  return text !== undefined && Object.hasOwn(table, text) ? table[text] : undefined;
}
