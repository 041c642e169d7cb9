import { resolve } from "node:path";
import type { ListenAddress, Setting, ValuesOf } from "../model/setting.ts";
import type { SettingProblem } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { Reading } from "./kinds.ts";
import type { Complain } from "./read-rows.ts";
import { isGiven, readRows } from "./read-rows.ts";

export const OUTPUT_TYPES = ["syslog", "cef-file", "cef-folder", "json-folder", "json-lines"] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];
export const PROFILES = ["xdr", "legacy"] as const;

/** A row of the outputs' settings. */
interface OutputSetting extends Setting {
  /** The types for which it means something, when these are not all. */
  readonly types?: readonly OutputType[];
}

const CEF_AND_FLAT: readonly OutputType[] = ["syslog", "cef-file", "cef-folder", "json-folder"];

/** Keys behind `outputs[0].`, in the order in which template and docs show them. */
const OUTPUT_ROWS = [
  {
    key: "type",
    kind: { is: "choice", of: OUTPUT_TYPES },
    required: true,
    help: "syslog: CEF to a connector over the network. cef-file: CEF lines into one growing file. cef-folder, json-folder: a new file per batch, renamed into place when it is whole. json-lines: Microsoft's JSON with our mssp member, into one growing file.",
  },
  {
    key: "path",
    types: ["cef-file", "cef-folder", "json-folder", "json-lines"],
    kind: { is: "folder" },
    otherwise: "required for files and folders",
    help: "The file for cef-file and json-lines, the folder for cef-folder and json-folder. Missing folders are made.",
  },
  {
    key: "host",
    types: ["syslog"],
    kind: { is: "text", max: 253, pattern: /^[A-Za-z0-9._:-]+$/, like: "a host name or address" },
    otherwise: "required for syslog",
    help: "Where the connector listens.",
  },
  {
    key: "port",
    types: ["syslog"],
    kind: { is: "whole", min: 1, max: 65_535, unit: "port" },
    wrong: "is no port; write a number from 1 to 65535",
    otherwise: "6514 for tls, 514 for tcp and udp",
    help: "Port of the connector; a Syslog NG Daemon connector often has 1999.",
  },
  {
    key: "protocol",
    types: ["syslog"],
    kind: { is: "choice", of: ["tls", "tcp", "udp"] },
    default: "tls",
    help: "tls and tcp: what a broken connection may have lost is sent again. udp promises nothing.",
  },
  {
    key: "framing",
    types: ["syslog"],
    kind: { is: "choice", of: ["newline", "octet"] },
    default: "newline",
    help: "How messages are told apart on tls and tcp: a line break after each, or its length before it (RFC 6587).",
  },
  {
    key: "format",
    types: ["syslog"],
    kind: { is: "choice", of: ["rfc3164", "rfc5424"] },
    default: "rfc3164",
    help: "The syslog header in front of CEF. Connectors want rfc3164.",
  },
  {
    key: "ca_file",
    types: ["syslog"],
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    help: "PEM file with the certificate authority of the connector's certificate (tls).",
  },
  {
    key: "certificate",
    types: ["syslog"],
    kind: { is: "file" },
    otherwise: "none",
    help: "PEM file with our own key and certificate, for a connector that asks for one (tls).",
  },
  {
    key: "profile",
    types: CEF_AND_FLAT,
    kind: { is: "choice", of: PROFILES },
    default: "xdr",
    help: "xdr: every field of today's alerts. legacy: the fields and the product name of the retired connector, for content that was made for it.",
  },
  {
    key: "evidence",
    types: CEF_AND_FLAT,
    kind: { is: "choice", of: ["none", "each"] },
    default: "none",
    help: "each: one more line (or flat JSON object) per evidence item of an alert.",
  },
  {
    key: "rotate_mib",
    types: ["cef-file", "json-lines"],
    kind: { is: "whole", min: 1, max: 10_240, unit: "MiB" },
    default: "64",
    help: "A growing file of this size is renamed (its time goes into the name) and a new one begun. Renamed files are not deleted.",
  },
  {
    key: "spool_mib",
    types: ["syslog"],
    kind: { is: "whole", min: 1, max: 102_400, unit: "MiB" },
    default: "256",
    help: "How much is kept on disk while a tls or tcp connector cannot be reached. When it is full collecting waits.",
  },
  {
    key: "tenants",
    kind: { is: "names", max: 65_536 },
    otherwise: "all",
    help: "Customers of this output, separated by commas, by name or tenant GUID.",
  },
] as const satisfies readonly OutputSetting[];

/** Keys behind `serve.`. */
const SERVE_ROWS = [
  {
    key: "listen",
    kind: { is: "listen" },
    default: "127.0.0.1:44380",
    help: "Where `arcsight serve` answers. Other addresses than this machine's own need serve.certificate and serve.client_secret.",
  },
  {
    key: "certificate",
    kind: { is: "file" },
    otherwise: "none: plain http",
    help: "PEM file with key and certificate for https.",
  },
  {
    key: "client_id",
    kind: { is: "text", max: 256 },
    otherwise: "any",
    help: "The client id that a connector must present.",
  },
  {
    key: "client_secret",
    kind: { is: "text", max: 8192 },
    secret: true,
    otherwise: "any",
    help: "The secret that a connector must present: file:PATH, env:NAME, credential:NAME or the value itself.",
  },
  {
    key: "keep_days",
    kind: { is: "whole", min: 1, max: 90, unit: "days" },
    default: "7",
    help: "How long events stay in the buffer that polls are answered from.",
  },
] as const satisfies readonly Setting[];

type OutputRow = (typeof OUTPUT_ROWS)[number];
type ServeRow = (typeof SERVE_ROWS)[number];

/** The same tables with the optional fields visible to the type checker. */
export const OUTPUT_SETTINGS: readonly OutputSetting[] = OUTPUT_ROWS;
export const SERVE_SETTINGS: readonly Setting[] = SERVE_ROWS;

/** One `outputs[n]`, checked, defaults filled in. */
export interface OutputSettings extends Omit<ValuesOf<OutputRow>, "port"> {
  /** `outputs[0]`, as the file and all messages call it. */
  readonly name: string;
  readonly port: number;
}
export type Protocol = OutputSettings["protocol"];

export interface ServeSettings extends Omit<ValuesOf<ServeRow>, "listen">, ListenAddress {}

const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = { tls: 6514, tcp: 514, udp: 514 };

/** What a customer can be called in `.tenants`. */
export interface CustomerNames {
  readonly stanza: string;
  readonly tenantId: string;
}

export interface OutputContext {
  readonly customers: readonly CustomerNames[];
  /** Checks a file that a setting names; undefined: not checked. */
  readonly file?: (path: string) => Reading<string>;
  readonly complain: (problem: SettingProblem) => void;
  readonly warn: (say: string) => void;
}

/**
 * Reads one `outputs[n]`. Undefined when something is wrong with it: all of that has then been complained
 * about.
 */
export function readOutput(
  name: string,
  given: Readonly<Record<string, string>>,
  context: OutputContext,
): OutputSettings | undefined {
  let wrong = false;
  const complain = (key: string, say: string) => {
    wrong = true;
    context.complain({ stanza: name, key, say });
  };
  const rules = { nowMs: 0, ...(context.file ? { file: context.file } : {}) };
  const { partial } = readRows(OUTPUT_ROWS, given, rules, complain);
  warnUnknown(name, OUTPUT_SETTINGS, given, context.warn);
  const { type, protocol, framing } = partial;
  if (type === undefined) return undefined;
  if (type === "syslog" && !isGiven(given, "host"))
    complain("host", "is missing; write the host on which the connector listens");
  if (type !== "syslog" && !isGiven(given, "path"))
    complain(
      "path",
      type.endsWith("folder")
        ? "is missing; write the folder that the connector watches"
        : "is missing; write the full path of the file",
    );
  const useless = OUTPUT_SETTINGS.filter(
    ({ key, types }) => isGiven(given, key) && types?.includes(type) === false,
  ).map(({ key }) => key);
  if (useless.length > 0) context.warn(`${name}: ${useless.join(", ")} means nothing for type ${type} and is ignored`);
  if (type === "syslog" && protocol !== undefined && protocol !== "tls") {
    if (isGiven(given, "ca_file") || isGiven(given, "certificate"))
      context.warn(`${name}: ca_file and certificate mean nothing for protocol ${protocol} and are ignored`);
    useless.push("ca_file", "certificate");
  }
  if (type === "syslog" && protocol === "udp" && framing === "octet")
    context.warn(`${name}: framing means nothing for protocol udp, where a datagram is a message`);
  const tenants = stanzasOf(partial.tenants, context.customers, complain);
  const meant = Object.fromEntries(Object.entries(given).filter(([key]) => !useless.includes(key)));
  const { whole } = readRows(OUTPUT_ROWS, meant, rules, () => undefined);
  if (wrong || whole === undefined) return undefined;
  return { ...whole, name, port: whole.port ?? DEFAULT_PORTS[whole.protocol], ...(tenants ? { tenants } : {}) };
}

/** Reads `serve.*`. Undefined when something is wrong with it. */
export function readServe(given: Readonly<Record<string, string>>, context: OutputContext): ServeSettings | undefined {
  let wrong = false;
  const complain = (key: string, say: string) => {
    wrong = true;
    context.complain({ stanza: "serve", key, say });
  };
  const rules = { nowMs: 0, ...(context.file ? { file: context.file } : {}) };
  const { partial, whole } = readRows(SERVE_ROWS, given, rules, complain);
  warnUnknown("serve", SERVE_SETTINGS, given, context.warn);
  if (partial.listen !== undefined && !isLoopback(partial.listen.host)) {
    // Whoever reaches this port reads every customer's alerts.
    for (const [key, instead] of [
      ["certificate", "give a PEM with key and certificate"],
      ["client_secret", "set one"],
    ] as const)
      if (!isGiven(given, key))
        complain(
          key,
          `is missing although listen names ${partial.listen.host}, which other machines reach; ${instead}, or listen on 127.0.0.1`,
        );
  }
  if (wrong || whole === undefined) return undefined;
  const { listen, ...rest } = whole;
  return { ...rest, ...listen };
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Outputs that would write over each other. */
export function clashes(outputs: readonly OutputSettings[]): readonly SettingProblem[] {
  const firstByPath = new Map<string, string>();
  return outputs.flatMap((output) => {
    if (output.path === undefined) return [];
    const place = resolve(output.path);
    const first = firstByPath.get(place);
    firstByPath.set(place, first ?? output.name);
    return first === undefined || output.path === ""
      ? []
      : [{ stanza: output.name, key: "path", say: `is the path of ${first} too; give each output a path of its own` }];
  });
}

function warnUnknown(
  name: string,
  rows: readonly Setting[],
  given: Readonly<Record<string, string>>,
  warn: (say: string) => void,
): void {
  const known = new Set(rows.map((row) => row.key));
  for (const key of Object.keys(given))
    if (!known.has(key)) warn(`${name}.${key} is no setting and is ignored; there are ${[...known].join(", ")}`);
}

/** The stanzas of the customers that `.tenants` names. */
function stanzasOf(
  names: readonly string[] | undefined,
  customers: readonly CustomerNames[],
  complain: Complain,
): readonly string[] | undefined {
  if (names === undefined) return undefined;
  const chosen = names.flatMap((name) => {
    const guid = tenantIdFrom(name);
    const those = customers.filter(
      (one) =>
        one.stanza.toLowerCase() === name.toLowerCase() || (guid ?? name.toLowerCase()) === one.tenantId.toLowerCase(),
    );
    if (those.length === 0)
      complain(
        "tenants",
        `names ${name.length <= 60 ? name : "a customer"}, whom no tenants[n] names; write a tenant_name or tenant_id of this file`,
      );
    return those.map((one) => one.stanza);
  });
  return [...new Set(chosen)];
}
