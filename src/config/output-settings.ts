import { resolve } from "node:path";
import type { ListenAddress, Setting, ValuesOf } from "../model/setting.ts";
import { INDEX_NAME } from "../model/settings-table.ts";
import type { SettingProblem } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { Reading } from "./kinds.ts";
import type { Complain } from "./read-rows.ts";
import { isGiven, readRows } from "./read-rows.ts";

export const OUTPUT_TYPES = ["syslog", "cef-file", "cef-folder", "json-folder", "json-lines", "hec", "kafka"] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];
const PROFILES = ["xdr", "legacy", "mcas"] as const;

/** What Kafka accepts as a topic's name, without the two names that are folders. */
const TOPIC_NAME = {
  is: "text",
  max: 249,
  pattern: /^(?!\.{1,2}$)[A-Za-z0-9._-]+$/,
  like: "a topic of Kafka: letters, digits, dots, _ and -",
} as const;

/** A row of the outputs' settings. */
interface OutputSetting extends Setting {
  /** The types for which it means something, when these are not all. */
  readonly types?: readonly OutputType[];
}

const FILES_AND_FOLDERS: readonly OutputType[] = ["cef-file", "cef-folder", "json-folder", "json-lines"];
const CEF: readonly OutputType[] = ["syslog", "cef-file", "cef-folder", "kafka"];
const CEF_AND_FLAT: readonly OutputType[] = ["syslog", "cef-file", "cef-folder", "json-folder", "kafka"];

/** Keys after `outputs[0].`, in the order of the template and the docs. */
const OUTPUT_ROWS = [
  {
    key: "type",
    kind: { is: "choice", of: OUTPUT_TYPES },
    required: true,
    help: "syslog: CEF to a connector over the network. cef-file: CEF lines in one growing file. cef-folder, json-folder: a new file per batch, renamed when it is complete. json-lines: Microsoft's JSON with the mssp member, in one growing file. hec: Splunk's HTTP Event Collector. kafka: a topic of Kafka, such as ArcSight's Transformation Hub.",
  },
  {
    key: "path",
    types: FILES_AND_FOLDERS,
    kind: { is: "folder" },
    otherwise: "required for files and folders",
    help: "The file for cef-file and json-lines, the folder for cef-folder and json-folder. Missing folders are created.",
  },
  {
    key: "mode",
    types: FILES_AND_FOLDERS,
    kind: { is: "mode" },
    default: "0640",
    help: "Who may read new files, in octal. New folders add x where r is set: 0750. Existing files and folders keep their mode, and a file keeps it when it is rotated. Does not apply to Windows.",
  },
  {
    key: "group",
    types: FILES_AND_FOLDERS,
    kind: { is: "text", max: 64, pattern: /^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?$/, like: "the name or number of a group" },
    otherwise: "the folder's group",
    help: "Group of new files and folders, by name (from /etc/group) or number. The account of this program must be a member. Does not apply to Windows.",
  },
  {
    key: "host",
    types: ["syslog", "hec"],
    kind: { is: "text", max: 253, pattern: /^[A-Za-z0-9._:-]+$/, like: "a host name or address" },
    otherwise: "required for syslog; this machine's name for hec",
    help: "syslog: host name or address of the connector. hec: the host of all events.",
  },
  {
    key: "port",
    types: ["syslog"],
    kind: { is: "whole", min: 1, max: 65_535, unit: "port" },
    wrong: "is not a port; write a number from 1 to 65535",
    otherwise: "6514 for tls, 514 for tcp and udp",
    help: "Port of the connector. A Syslog NG Daemon connector often uses 1999.",
  },
  {
    key: "protocol",
    types: ["syslog", "kafka"],
    kind: { is: "choice", of: ["tls", "tcp", "udp"] },
    default: "tls",
    help: "tls and tcp: events that a broken connection may have lost are sent again. udp does not guarantee delivery, and kafka does not have it.",
  },
  {
    key: "framing",
    types: ["syslog"],
    kind: { is: "choice", of: ["newline", "octet"] },
    default: "newline",
    help: "Message framing on tls and tcp. newline: a line break after each message. octet: its length before it (RFC 6587).",
  },
  {
    key: "format",
    types: ["syslog", "kafka"],
    kind: { is: "choice", of: ["rfc3164", "rfc5424", "cef", "json"] },
    otherwise: "rfc3164 for syslog, cef for kafka",
    help: "syslog: header before the CEF text, rfc3164 (which connectors expect) or rfc5424. kafka: what a record holds, cef or json (Microsoft's JSON with the mssp member).",
  },
  {
    key: "ca_file",
    types: ["syslog", "hec", "kafka"],
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    help: "PEM file with the certificate authority of the receiver's certificate.",
  },
  {
    key: "certificate",
    types: ["syslog", "kafka"],
    kind: { is: "file" },
    otherwise: "none",
    help: "PEM file with private key and certificate of this program, for a receiver that requires a client certificate (tls).",
  },
  {
    key: "brokers",
    types: ["kafka"],
    kind: { is: "names", max: 8192 },
    otherwise: "required for kafka",
    help: "Brokers of Kafka to begin with, as host:port, separated by commas. The others are learned from them.",
  },
  {
    key: "topic",
    types: ["kafka"],
    kind: TOPIC_NAME,
    default: "th-cef",
    help: "Topic of all events. It must exist.",
  },
  {
    key: "watermark_topic",
    types: ["kafka"],
    kind: TOPIC_NAME,
    default: "defender-mssp.watermarks",
    help: "Topic that holds how far each collector has delivered, in the transaction of the events. It is compacted; it is created if that is allowed. A fleet needs one with at least 256 partitions.",
  },
  {
    key: "transactional_id",
    types: ["kafka"],
    kind: { is: "text", max: 200, pattern: /^[A-Za-z0-9._-]+$/, like: "letters, digits, dots, _ and -" },
    otherwise: "defender-mssp. and a GUID that is kept in the state folder",
    help: "Names this collector to Kafka. Each collector needs its own; the members of a fleet have one together, and theirs begins with defender-mssp. and the fleet's name if none is given.",
  },
  {
    key: "compression",
    types: ["kafka"],
    kind: { is: "choice", of: ["zstd", "gzip", "snappy", "lz4", "none"] },
    default: "zstd",
    help: "How records are compressed.",
  },
  {
    key: "sasl",
    types: ["kafka"],
    kind: { is: "choice", of: ["none", "plain", "scram-sha-256", "scram-sha-512"] },
    default: "none",
    help: "How this program signs in to Kafka. plain needs tls.",
  },
  {
    key: "user",
    types: ["kafka"],
    kind: { is: "text", max: 256 },
    otherwise: "required with sasl",
    help: "User of Kafka.",
  },
  {
    key: "password",
    types: ["kafka"],
    kind: { is: "text", max: 1024 },
    secret: true,
    otherwise: "required with sasl",
    help: "Password of that user: file:PATH, env:NAME, credential:NAME or the value itself.",
  },
  {
    key: "urls",
    types: ["hec"],
    kind: { is: "names", max: 8192 },
    otherwise: "required for hec",
    help: "Addresses of HEC, separated by commas, such as https://splunk.example.com:8088. All of them are used; what one does not take, another gets.",
  },
  {
    key: "token",
    types: ["hec"],
    kind: { is: "text", max: 256 },
    secret: true,
    otherwise: "required for hec",
    help: "Token of HEC: file:PATH, env:NAME, credential:NAME or the value itself.",
  },
  {
    key: "index",
    types: ["hec"],
    kind: INDEX_NAME,
    otherwise: "the token's own",
    help: "Index of all events; tenants[n].index comes before it.",
  },
  {
    key: "ack",
    types: ["hec"],
    kind: { is: "choice", of: ["auto", "on", "off"] },
    default: "auto",
    help: "Whether Splunk acknowledges what it has indexed. auto: if the token offers it, else with the weaker promise and a warning. on: nothing is sent without it. off: Splunk is not asked.",
  },
  {
    key: "gzip",
    types: ["hec"],
    kind: { is: "yes-no" },
    default: "false",
    help: "Compresses what is sent. Useful where the network is slow.",
  },
  {
    key: "profile",
    types: CEF_AND_FLAT,
    kind: { is: "choice", of: PROFILES },
    default: "xdr",
    help: "xdr: every field of today's alerts. legacy: the fields and the product name of the retired connector, for existing content. mcas: those of the Cloud Apps SIEM agent that Microsoft ended (in a json-folder as xdr).",
  },
  {
    key: "evidence",
    types: CEF_AND_FLAT,
    kind: { is: "choice", of: ["none", "each"] },
    default: "none",
    help: "each: one additional line (or flat JSON object) per evidence item of an alert.",
  },
  {
    key: "cef_version",
    types: CEF,
    kind: { is: "choice", of: ["0", "1"] },
    default: "0",
    help: "0: CEF:0, which every reader takes. 1: CEF:1 (1.2) with threatActor, threatAttackID, reportedResourceID and IPv6 addresses in src and dst; strict readers of CEF:0 reject it.",
  },
  {
    key: "rotate_mib",
    types: ["cef-file", "json-lines"],
    kind: { is: "whole", min: 1, max: 10_240, unit: "MiB" },
    default: "64",
    help: "When the file reaches this size, it is renamed with its time in the name, and a new file begins. Renamed files are not deleted.",
  },
  {
    key: "keep_days",
    types: ["cef-folder", "json-folder"],
    kind: { is: "whole", min: 0, max: 3650, unit: "days" },
    default: "0",
    help: "Files of this output that are older are deleted, read or not. 0: never.",
  },
  {
    key: "spool_mib",
    types: ["syslog", "hec", "kafka"],
    kind: { is: "whole", min: 1, max: 102_400, unit: "MiB" },
    otherwise: "256 for syslog, 1024 for hec and kafka",
    help: "Events kept on disk while a tls or tcp connector cannot be reached, or until HEC or Kafka has confirmed them. When this is full, collection pauses. For HEC and Kafka in a fleet they are kept in the fleet's database.",
  },
  {
    key: "max_eps",
    kind: { is: "whole", min: 0, max: 1_000_000, unit: "events per second" },
    default: "0",
    help: "At most this many events per second, in lines; more wait and collection waits with them. In a fleet for all members together: each one has an equal part. 0: no cap.",
  },
  {
    key: "tenants",
    kind: { is: "names", max: 65_536 },
    otherwise: "all",
    help: "Customers of this output, by name or tenant GUID, separated by commas.",
  },
] as const satisfies readonly OutputSetting[];

/** Keys after `serve.`. */
const SERVE_ROWS = [
  {
    key: "listen",
    kind: { is: "listen" },
    default: "127.0.0.1:44380",
    help: "Address and port of `arcsight serve`. Addresses that other machines can reach need serve.certificate and serve.client_secret.",
  },
  {
    key: "certificate",
    kind: { is: "file" },
    otherwise: "none: plain http",
    help: "PEM file with private key and certificate for https.",
  },
  {
    key: "client_id",
    kind: { is: "text", max: 256 },
    otherwise: "any",
    help: "The client id that a connector must send.",
  },
  {
    key: "client_secret",
    kind: { is: "text", max: 8192 },
    secret: true,
    otherwise: "any",
    help: "The client secret that a connector must send: file:PATH, env:NAME, credential:NAME or the value itself.",
  },
  {
    key: "keep_days",
    kind: { is: "whole", min: 1, max: 90, unit: "days" },
    default: "7",
    help: "How long events are kept for the connectors' polls.",
  },
] as const satisfies readonly Setting[];

type OutputRow = (typeof OUTPUT_ROWS)[number];
type ServeRow = (typeof SERVE_ROWS)[number];

/** The same tables with the optional fields visible to the type checker. */
export const OUTPUT_SETTINGS: readonly OutputSetting[] = OUTPUT_ROWS;
export const SERVE_SETTINGS: readonly Setting[] = SERVE_ROWS;

/** One `outputs[n]`, checked and with defaults. */
export interface OutputSettings extends Omit<ValuesOf<OutputRow>, "port" | "spoolMib" | "format"> {
  /** `outputs[0]`, the name used in the file and in all messages. */
  readonly name: string;
  readonly port: number;
  readonly spoolMib: number;
  /** Of syslog. */
  readonly format: (typeof SYSLOG_FORMATS)[number];
  /** Of kafka. */
  readonly recordFormat: (typeof RECORD_FORMATS)[number];
}
export type Protocol = OutputSettings["protocol"];

const SYSLOG_FORMATS = ["rfc3164", "rfc5424"] as const;
const RECORD_FORMATS = ["cef", "json"] as const;

export interface ServeSettings extends Omit<ValuesOf<ServeRow>, "listen">, ListenAddress {}

const DEFAULT_SPOOL_MIB = { confirmed: 1024, others: 256 } as const;
const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = { tls: 6514, tcp: 514, udp: 514 };

/** The names of a customer that `.tenants` accepts. */
export interface CustomerNames {
  readonly stanza: string;
  readonly tenantId: string;
}

export interface OutputContext {
  readonly customers: readonly CustomerNames[];
  /** Checks a file named in a setting; if undefined, files are not checked. */
  readonly file?: (path: string) => Reading<string>;
  readonly complain: (problem: SettingProblem) => void;
  readonly warn: (say: string) => void;
}

/**
 * Reads one `outputs[n]`. Undefined when something is wrong with it; every problem was then passed to
 * `complain`.
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
    complain("host", "is missing; write the host name or address of the connector");
  if (type === "hec") {
    if (!isGiven(given, "urls"))
      complain("urls", "is missing; write the address of HEC, such as https://splunk.example.com:8088");
    if (!isGiven(given, "token"))
      complain("token", "is missing; write file:PATH of a file that holds the token of HEC");
    else if (partial.token?.open((token) => /[^\u0021-\u007e]/.test(token)))
      complain("token", "contains a character that no token has; write it as Splunk shows it");
  }
  if (type === "kafka") checkKafka(partial, given, complain);
  const isSyslog = type === "syslog";
  if (isSyslog || type === "kafka") {
    const formats: readonly string[] = isSyslog ? SYSLOG_FORMATS : RECORD_FORMATS;
    if (partial.format !== undefined && !formats.includes(partial.format))
      complain("format", `${partial.format} does not apply to type ${type}; write one of ${formats.join(", ")}`);
  }
  const brokers = partial.brokers === undefined ? undefined : brokerAddresses(partial.brokers, complain);
  const urls = partial.urls === undefined ? undefined : hecAddresses(partial.urls, complain);
  if (FILES_AND_FOLDERS.includes(type) && !isGiven(given, "path"))
    complain(
      "path",
      type.endsWith("folder")
        ? "is missing; write the full path of the folder that the connector watches"
        : "is missing; write the full path of the file",
    );
  const kernel = /^\/(?:proc|sys)(?=\/|$)/.exec(resolve(partial.path ?? "."))?.[0];
  if (partial.path !== undefined && kernel !== undefined)
    complain("path", `is below ${kernel}, where no files can be kept; write a path on a disk`);
  const useless = OUTPUT_SETTINGS.filter(
    ({ key, types }) => isGiven(given, key) && types?.includes(type) === false,
  ).map(({ key }) => key);
  if (useless.length > 0) context.warn(`${name}: ${useless.join(", ")} does not apply to type ${type} and is ignored`);
  if ((isSyslog || type === "kafka") && protocol !== undefined && protocol !== "tls") {
    if (isGiven(given, "ca_file") || isGiven(given, "certificate"))
      context.warn(`${name}: ca_file and certificate do not apply to protocol ${protocol} and are ignored`);
    useless.push("ca_file", "certificate");
  }
  if (type === "syslog" && protocol === "udp" && framing === "octet")
    context.warn(`${name}: framing does not apply to protocol udp and is ignored`);
  const tenants = stanzasOf(partial.tenants, context.customers, complain);
  const meant = Object.fromEntries(Object.entries(given).filter(([key]) => !useless.includes(key)));
  const { whole } = readRows(OUTPUT_ROWS, meant, rules, () => undefined);
  if (wrong || whole === undefined) return undefined;
  return {
    ...whole,
    name,
    port: whole.port ?? DEFAULT_PORTS[whole.protocol],
    spoolMib: whole.spoolMib ?? DEFAULT_SPOOL_MIB[type === "hec" || type === "kafka" ? "confirmed" : "others"],
    format: whole.format === "rfc5424" ? whole.format : "rfc3164",
    recordFormat: whole.format === "json" ? whole.format : "cef",
    ...(urls ? { urls } : {}),
    ...(brokers ? { brokers } : {}),
    ...(tenants ? { tenants } : {}),
  };
}

function checkKafka(
  { protocol, sasl, brokers = [] }: Partial<ValuesOf<OutputRow>>,
  given: Readonly<Record<string, string>>,
  complain: Complain,
): void {
  if (!isGiven(given, "brokers"))
    complain("brokers", "is missing; write host:port of a broker of Kafka, such as kafka1.example.com:9093");
  if (protocol === "udp") complain("protocol", "udp does not apply to type kafka; write tls or tcp");
  if (sasl === "none" || sasl === undefined) return;
  for (const key of ["user", "password"] as const)
    if (!isGiven(given, key))
      complain(
        key,
        key === "user"
          ? "is missing; write the user of Kafka"
          : "is missing; write file:PATH of a file that holds the password of that user",
      );
  const isNear = brokers.every((broker) => isLoopback(broker.replace(/:\d+$/, "").replace(/^\[|\]$/g, "")));
  if (sasl === "plain" && protocol === "tcp" && !isNear)
    complain("sasl", "plain sends the password in clear over tcp; write protocol=tls, or one of the scram values");
}

/** `host:port`, each once. */
function brokerAddresses(given: readonly string[], complain: Complain): readonly string[] {
  const brokers = given.flatMap((text) => {
    const [, port] = /^(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(text) ?? [];
    if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
      complain("brokers", "contains what is not host:port; write for example kafka1.example.com:9093");
      return [];
    }
    return [text.toLowerCase()];
  });
  return [...new Set(brokers)];
}

/** Base addresses, each once; a path of HEC that was copied with them is cut off. */
function hecAddresses(given: readonly string[], complain: Complain): readonly string[] {
  const urls = given.flatMap((text) => {
    const address = URL.parse(text);
    const isPlain = address?.protocol === "http:";
    if (address === null || (address.protocol !== "https:" && !isPlain) || address.hostname === "") {
      complain("urls", "contains what is not an address; write for example https://splunk.example.com:8088");
      return [];
    }
    if (address.username !== "" || address.password !== "" || address.search !== "" || address.hash !== "") {
      complain(
        "urls",
        "contains a login, a question mark or a number sign; write only the address, and the token in token",
      );
      return [];
    }
    if (isPlain && !isLoopback(address.hostname.replace(/^\[|\]$/g, ""))) {
      complain("urls", `does not begin with https:// at ${address.host}; the token is sent only over https`);
      return [];
    }
    const path = address.pathname.replace(/\/services(\/.*)?$/, "").replace(/\/+$/, "");
    return [`${address.origin}${path}`];
  });
  return [...new Set(urls)];
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
    // Anyone who can reach this port can read every customer's alerts.
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

/** Outputs that would overwrite each other, or shut each other out. */
export function clashes(outputs: readonly OutputSettings[]): readonly SettingProblem[] {
  return [...pathClashes(outputs), ...transactionalIdClashes(outputs)];
}

/** Kafka lets only one writer with an id be: each output would shut the other out. */
function transactionalIdClashes(outputs: readonly OutputSettings[]): readonly SettingProblem[] {
  const firstById = new Map<string, string>();
  return outputs.flatMap(({ name, transactionalId }) => {
    if (transactionalId === undefined) return [];
    const first = firstById.get(transactionalId);
    firstById.set(transactionalId, first ?? name);
    if (first === undefined) return [];
    const say = `is also the transactional id of ${first}; give each output a different one, or remove this setting`;
    return [{ stanza: name, key: "transactional_id", say }];
  });
}

function pathClashes(outputs: readonly OutputSettings[]): readonly SettingProblem[] {
  const firstByPath = new Map<string, string>();
  return outputs.flatMap((output) => {
    if (output.path === undefined) return [];
    const place = resolve(output.path);
    const first = firstByPath.get(place);
    firstByPath.set(place, first ?? output.name);
    return first === undefined || output.path === ""
      ? []
      : [{ stanza: output.name, key: "path", say: `is also the path of ${first}; give each output a different path` }];
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
    if (!known.has(key)) warn(`${name}.${key} is not a setting and is ignored; settings are ${[...known].join(", ")}`);
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
        `contains ${name.length <= 60 ? name : "a name"}, which is not a customer of this file; write a tenant_name or tenant_id of this file`,
      );
    return those.map((one) => one.stanza);
  });
  return [...new Set(chosen)];
}
