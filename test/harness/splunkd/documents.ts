import type { Input } from "./conf.ts";

/** What splunkd says of itself in every document. */
export interface Server {
  readonly host: string;
  readonly uri: string;
  readonly sessionKey: string;
  readonly checkpointDir: string;
}

/**
 * How the document's bytes are made. A current splunkd sends UTF-8; SDK fixtures hold UTF-16 with a
 * byte-order mark, and ASCII under a declaration that says utf-16 (public source: test data of
 * splunk-sdk-python and splunk-sdk-javascript).
 */
export type InputEncoding = "utf-8" | "utf-8-bom" | "utf-16le" | "utf-16be" | "lying";

/** The document on stdin in run mode. */
export function runDocument(server: Server, app: string, inputs: readonly Input[]): string {
  const stanzas = inputs.map(
    (input) =>
      `    <stanza name="${escapeXml(input.stanza)}" app="${escapeXml(app)}">\n${params(input.settings, "      ")}    </stanza>\n`,
  );
  return `${DECLARATION}<input>\n${head(server)}  <configuration>\n${stanzas.join("")}  </configuration>\n</input>\n`;
}

/** The document on stdin of `--validate-arguments`: one item, with the settings as they were typed. */
export function validationDocument(server: Server, name: string, settings: ReadonlyMap<string, string>): string {
  return `${DECLARATION}<items>\n${head(server)}  <item name="${escapeXml(name)}">\n${params(settings, "    ")}  </item>\n</items>\n`;
}

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';

function head(server: Server): string {
  return [
    ["server_host", server.host],
    ["server_uri", server.uri],
    ["session_key", server.sessionKey],
    ["checkpoint_dir", server.checkpointDir],
  ]
    .map(([name, value]) => `  <${name}>${escapeXml(value as string)}</${name}>\n`)
    .join("");
}

function params(settings: ReadonlyMap<string, string>, indent: string): string {
  return [...settings]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${indent}<param name="${escapeXml(name)}">${escapeXml(value)}</param>\n`)
    .join("");
}

export function encodeDocument(document: string, encoding: InputEncoding): Buffer {
  const declared = document.replace('encoding="UTF-8"', 'encoding="utf-16"');
  const encode: Readonly<Record<InputEncoding, () => Buffer>> = {
    "utf-8": () => Buffer.from(document),
    "utf-8-bom": () => Buffer.from(`\uFEFF${document}`),
    "utf-16le": () => Buffer.from(`\uFEFF${declared}`, "utf16le"),
    "utf-16be": () => Buffer.from(`\uFEFF${declared}`, "utf16le").swap16(),
    lying: () => Buffer.from(declared),
  };
  return encode[encoding]();
}

export function escapeXml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" })[sign] as string,
  );
}
