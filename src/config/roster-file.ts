/** The customers of a configuration file: which there are, and the file's text with changes made. */
import type { ConfiguredCustomer, RosterChange } from "../model/roster.ts";
import { GLOBAL_ROWS, SECRET_KEYS } from "../model/settings-table.ts";
import { stanzaName } from "./arcsight-settings.ts";
import { type StanzaValues, withoutStanza, withStanzasAdded, withStanzasChanged } from "./conf-edit.ts";
import { readConf } from "./conf-file.ts";
import { readPropertiesText, withoutProperties, withProperties, withPropertiesAdded } from "./java-properties.ts";
import { isOldKey } from "./old-connector.ts";
import { SCHEME } from "./scheme.ts";

export interface RosterFile {
  readonly customers: readonly ConfiguredCustomer[];
  /** Settings of the file that hold for every customer which has no own ones. */
  readonly common: Readonly<Record<string, string>>;
  /** Settings of the whole process. */
  readonly globals: Readonly<Record<string, string>>;
  /** Does a customer's `index` count here? Beside ArcSight only outputs of type hec have one. */
  readonly usesIndex: boolean;
  with(changes: readonly RosterChange[]): string;
}

export type RosterReading =
  | ({ readonly ok: true } & RosterFile)
  /** A sentence about the file, without its name. */
  | { readonly ok: false; readonly say: string };

/** Reads inputs.conf. */
export function readConfRoster(text: string): RosterReading {
  const stanzas = readConf(text);
  const prefix = `${SCHEME}://`;
  const valuesOf = (name: string) => stanzas.find((stanza) => stanza.name === name)?.values ?? {};
  return {
    ok: true,
    usesIndex: true,
    common: withoutSecrets({ ...valuesOf("default"), ...valuesOf(SCHEME) }),
    globals: onlyGlobal(valuesOf(SCHEME)),
    customers: stanzas
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ name, values }) => ({ name: name.slice(prefix.length), values: withoutSecrets(values) })),
    with(changes) {
      const of = (kind: RosterChange["kind"]) =>
        changes.flatMap((one): StanzaValues[] => (one.kind === kind ? [[`${prefix}${one.name}`, one.values]] : []));
      const changed = withStanzasChanged(text, of("change"));
      const kept = of("remove").reduce((all, [name]) => withoutStanza(all, name), changed);
      return withStanzasAdded(kept, of("add"));
    },
  };
}

const OUTPUT_TYPE = /^outputs\[\d{1,5}\]\.type$/;
const INDEXED = /^tenants\[(\d{1,5})\]\.(.+)$/;

/**
 * Reads the helper's properties file.
 *
 * @param latin1Text one character per byte.
 */
export function readPropertiesRoster(latin1Text: string): RosterReading {
  const reading = readPropertiesText(latin1Text);
  if (!reading.ok) return { ok: false, say: reading.say };
  const blocks = new Map<number, Record<string, string>>();
  for (const { key, value } of reading.entries) {
    const [, index = "", setting = ""] = INDEXED.exec(key) ?? [];
    if (setting === "") continue;
    const block = blocks.get(Number(index)) ?? {};
    block[setting] = value.trim();
    blocks.set(Number(index), block);
  }
  if (blocks.size === 0 && [...reading.byKey.keys()].some(isOldKey))
    return {
      ok: false,
      say: "It is an old connector file, which has one customer. Give the helper's own properties file.",
    };
  const indexOf = new Map<string, number>();
  const customers = [...blocks]
    .sort(([a], [b]) => a - b)
    .map(([index, values]): ConfiguredCustomer => {
      const name = stanzaName(values, `tenants[${index}]`);
      indexOf.set(name, index);
      return { name, values: withoutSecrets(values) };
    });
  return {
    ok: true,
    usesIndex: reading.entries.some(({ key, value }) => OUTPUT_TYPE.test(key) && value.trim() === "hec"),
    common: {},
    globals: onlyGlobal(Object.fromEntries(reading.entries.map(({ key, value }) => [key, value.trim()]))),
    customers,
    with(changes) {
      const prefixOf = (name: string) => `tenants[${indexOf.get(name)}].`;
      const of = (kind: RosterChange["kind"]) => changes.filter((one) => one.kind === kind);
      const entries = of("change").flatMap(({ name, values }) =>
        Object.entries(values).map(([key, value]) => [`${prefixOf(name)}${key}`, value] as const),
      );
      const gone = of("remove").map(({ name }) => prefixOf(name));
      const changed = entries.length === 0 ? latin1Text : withProperties(latin1Text, entries);
      const kept = gone.reduce((all, prefix) => withoutProperties(all, (key) => key.startsWith(prefix)), changed);
      const next = blocks.size === 0 ? 0 : [...blocks.keys()].reduce((most, index) => Math.max(most, index), 0) + 1;
      return withPropertiesAdded(
        kept,
        of("add").map(({ name, values }, at) =>
          Object.entries({ tenant_name: name, ...values }).map(
            ([key, value]) => [`tenants[${next + at}].${key}`, value] as const,
          ),
        ),
      );
    },
  };
}

function onlyGlobal(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => GLOBAL_ROWS.some((row) => row.key === key)));
}

function withoutSecrets(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => !SECRET_KEYS.some((secret) => secret === key)));
}
