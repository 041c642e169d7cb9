import type { DiscoverySettings } from "../model/discovered.ts";
import type { GlobalSettings, Stanza } from "../model/stanza.ts";

const FILE = /^file:\s*(.+)$/i;

/**
 * Reads `discover` and what belongs to it. Undefined without it, or when something is wrong together, which
 * was then passed to `complain`: customers are collected all the same.
 */
export function discoveryOf(
  globals: GlobalSettings,
  customers: readonly Pick<Stanza, "name" | "tenantName" | "credential">[],
  complain: (key: string, say: string) => void,
): DiscoverySettings | undefined {
  const { discover, discoverCredential, discoverMode, discoverMatch, discoverExclude, discoverDefaults } = globals;
  const wrong: [key: string, say: string][] = [];
  if (discover === undefined) {
    const alone = Object.entries({
      discover_credential: discoverCredential,
      discover_match: discoverMatch,
      discover_exclude: discoverExclude,
      discover_defaults: discoverDefaults,
    }).flatMap(([key, value]) => (value === undefined ? [] : [key]));
    if (discoverMode === "enrol") alone.push("discover_mode");
    const [first] = alone;
    if (first !== undefined)
      complain(
        first,
        "is set, but discover is not, so no list of customers is read; set discover to gdap, governance or file:LIST.csv",
      );
    return undefined;
  }
  const listFile = FILE.exec(discover)?.[1]?.trim();
  const source = listFile === undefined ? (discover.toLowerCase() as "gdap" | "governance") : "file";
  if (source === "file") {
    if (discoverCredential !== undefined)
      wrong.push(["discover_credential", "is not used with a file; remove it, or set discover to gdap or governance"]);
    if (discoverMatch !== undefined)
      wrong.push(["discover_match", "looks at relationships, and a file has none; remove it, or use discover_exclude"]);
  } else if (discoverCredential === undefined)
    wrong.push([
      "discover_credential",
      `is missing although discover is ${source}; name the credential of the home app, which \`credential set\` stores`,
    ]);
  // Three apps, three powers: customers would be asked for every permission that their reader app has.
  const sharing = customers.find(({ credential }) => credential !== undefined && credential === discoverCredential);
  if (sharing !== undefined)
    wrong.push([
      "discover_credential",
      `is also the credential of ${sharing.name}; the home app must be an app of its own, in your own tenant only`,
    ]);
  if (discoverMode === "enrol" && discoverDefaults === undefined)
    wrong.push([
      "discover_defaults",
      "is missing although discover_mode is enrol; name a configured customer whose settings new customers get",
    ]);
  for (const [key, say] of wrong) complain(key, say);
  if (wrong.length > 0) return undefined;
  return {
    source,
    ...(listFile === undefined ? {} : { listFile }),
    ...(discoverCredential === undefined ? {} : { credential: discoverCredential }),
    mode: discoverMode,
    ...(discoverMatch === undefined ? {} : { match: discoverMatch }),
    exclude: discoverExclude ?? [],
    ...(discoverDefaults === undefined ? {} : { defaults: discoverDefaults }),
    everyHours: globals.discoverHours,
  };
}
