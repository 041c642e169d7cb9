/** The customers of a configuration file: which there are, and the file's text with changes made. */
import type { ConfiguredCustomer, RosterChange } from "../model/roster.ts";
import { GLOBAL_ROWS, SECRET_KEYS } from "../model/settings-table.ts";
import { stanzaName } from "./arcsight-settings.ts";
import { withoutStanza, withStanzaAdded, withStanzaChanged } from "./conf-edit.ts";
import { readConf } from "./conf-file.ts";
import { readPropertiesText, withoutProperties, withPropertiesAdded, withProperty } from "./java-properties.ts";
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
    with: (changes) =>
      changes.reduce((all, { kind, name, values }) => {
        const stanza = `${prefix}${name}`;
        if (kind === "add") return withStanzaAdded(all, stanza, values);
        return kind === "change" ? withStanzaChanged(all, stanza, values) : withoutStanza(all, stanza);
      }, text),
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
    with: (changes) => {
      let next = Math.max(-1, ...blocks.keys()) + 1;
      return changes.reduce((all, { kind, name, values }) => {
        if (kind === "add") {
          const entries = Object.entries({ tenant_name: name, ...values });
          const block = entries.map(([key, value]) => [`tenants[${next}].${key}`, value] as const);
          next += 1;
          return withPropertiesAdded(all, block);
        }
        const prefix = `tenants[${indexOf.get(name)}].`;
        if (kind === "remove") return withoutProperties(all, (key) => key.startsWith(prefix));
        return Object.entries(values).reduce((text, [key, value]) => withProperty(text, `${prefix}${key}`, value), all);
      }, latin1Text);
    },
  };
}

function onlyGlobal(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => GLOBAL_ROWS.some((row) => row.key === key)));
}

function withoutSecrets(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => !SECRET_KEYS.some((secret) => secret === key)));
}
