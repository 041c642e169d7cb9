import type { RawStanza } from "./settings.ts";

/**
 * One `[stanza]` of a Splunk conf file, in the order of the file. Settings before the first stanza belong to
 * `default`.
 */
export interface ConfStanza {
  readonly name: string;
  readonly values: Readonly<Record<string, string>>;
}

/**
 * Reads Splunk's conf syntax: `[stanza]`, `key = value`, `#` at the beginning of a line for comments, a
 * backslash at the end of a line to go on in the next. A stanza that occurs twice is one stanza whose later
 * values win.
 */
export function readConf(text: string): readonly ConfStanza[] {
  const stanzas = new Map<string, Record<string, string>>();
  let name = "default";
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  for (let i = 0; i < lines.length; i++) {
    let line = lines[i] as string;
    while (line.endsWith("\\") && i + 1 < lines.length) {
      i += 1;
      line = `${line.slice(0, -1)}\n${lines[i] as string}`;
    }
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#") || trimmed.startsWith(";")) continue;
    const header = /^\[(.*)\]\s*$/s.exec(trimmed);
    if (header) {
      name = header[1] as string;
      if (!stanzas.has(name)) stanzas.set(name, {});
      continue;
    }
    const at = line.indexOf("=");
    if (at < 0) continue;
    const values = stanzas.get(name) ?? {};
    values[line.slice(0, at).trim()] = line.slice(at + 1).trim();
    stanzas.set(name, values);
  }
  return [...stanzas].map(([stanza, values]) => ({ name: stanza, values }));
}

/**
 * The inputs of one scheme with Splunk's layering inside the file: the stanza's own value, else `[scheme]`'s,
 * else `[default]`'s. Disabled inputs are left out.
 */
export function stanzasOfScheme(conf: readonly ConfStanza[], scheme: string): readonly RawStanza[] {
  const named = (name: string) => conf.find((stanza) => stanza.name === name)?.values ?? {};
  const base = { ...named("default"), ...named(scheme) };
  return conf
    .filter((stanza) => stanza.name.startsWith(`${scheme}://`))
    .map((stanza) => ({ name: stanza.name.slice(scheme.length + 3), values: { ...base, ...stanza.values } }))
    .filter((stanza) => !/^(1|t|true|yes|y|on)$/i.test(stanza.values.disabled ?? "0"));
}
