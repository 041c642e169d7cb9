/**
 * .conf files as Splunk reads them, as far as this project uses them: stanzas, `key = value`, comments; a key
 * given twice in a stanza counts once, the last.
 */
export type Conf = ReadonlyMap<string, ReadonlyMap<string, string>>;

export function readConf(text: string): Conf {
  const conf = new Map<string, Map<string, string>>();
  let stanza: Map<string, string> | undefined;
  for (const [at, line] of text.split("\n").entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const head = /^\[(.*)\]\s*$/.exec(line);
    if (head) {
      stanza = conf.get(head[1] as string) ?? new Map<string, string>();
      conf.set(head[1] as string, stanza);
      continue;
    }
    const pair = /^([^=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line);
    if (!pair || !stanza) throw new Error(`line ${at + 1} is neither stanza nor setting: ${line}`);
    stanza.set(pair[1] as string, pair[2] as string);
  }
  return conf;
}
