import { resolve } from "node:path";
import type { Setting } from "../model/settings-table.ts";
import type { SettingProblem } from "../model/stanza.ts";
import { tenantIdFrom } from "../model/tenant.ts";
import type { Value } from "./kinds.ts";
import { readValue } from "./kinds.ts";

/** A row of the tables below; the same words as in the customers' table. */
export type HostSetting = Pick<Setting, "key" | "kind" | "default" | "otherwise" | "required" | "secret" | "help"> & {
  /** Said instead of the kind's own sentence. */
  readonly wrong?: string;
};

export const OUTPUT_TYPES = ["syslog", "cef-file", "cef-folder", "json-folder", "json-lines"] as const;
export type OutputType = (typeof OUTPUT_TYPES)[number];
export const PROFILES = ["xdr", "legacy"] as const;
export type Profile = (typeof PROFILES)[number];
export type Protocol = "tls" | "tcp" | "udp";

/** Keys behind `outputs[0].`, in the order in which template and docs show them. */
export const OUTPUT_SETTINGS: readonly HostSetting[] = [
  {
    key: "type",
    kind: { is: "choice", of: OUTPUT_TYPES },
    required: true,
    help: "syslog: CEF to a connector over the network. cef-file: CEF lines into one growing file. cef-folder, json-folder: a new file per batch, renamed into place when it is whole. json-lines: Microsoft's JSON with our mssp member, into one growing file.",
  },
  {
    key: "path",
    kind: { is: "folder" },
    otherwise: "required for files and folders",
    help: "The file for cef-file and json-lines, the folder for cef-folder and json-folder. Missing folders are made.",
  },
  {
    key: "host",
    kind: { is: "text", max: 253, pattern: /^[A-Za-z0-9._:-]+$/, like: "a host name or address" },
    otherwise: "required for syslog",
    help: "Where the connector listens.",
  },
  {
    key: "port",
    kind: { is: "whole", min: 1, max: 65_535, unit: "port" },
    wrong: "is no port; write a number from 1 to 65535",
    otherwise: "6514 for tls, 514 for tcp and udp",
    help: "Port of the connector; a Syslog NG Daemon connector often has 1999.",
  },
  {
    key: "protocol",
    kind: { is: "choice", of: ["tls", "tcp", "udp"] },
    default: "tls",
    help: "tls and tcp: what a broken connection may have lost is sent again. udp promises nothing.",
  },
  {
    key: "framing",
    kind: { is: "choice", of: ["newline", "octet"] },
    default: "newline",
    help: "How messages are told apart on tls and tcp: a line break after each, or its length before it (RFC 6587).",
  },
  {
    key: "format",
    kind: { is: "choice", of: ["rfc3164", "rfc5424"] },
    default: "rfc3164",
    help: "The syslog header in front of CEF. Connectors want rfc3164.",
  },
  {
    key: "ca_file",
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    help: "PEM file with the certificate authority of the connector's certificate (tls).",
  },
  {
    key: "certificate",
    kind: { is: "file" },
    otherwise: "none",
    help: "PEM file with our own key and certificate, for a connector that asks for one (tls).",
  },
  {
    key: "profile",
    kind: { is: "choice", of: PROFILES },
    default: "xdr",
    help: "xdr: every field of today's alerts. legacy: the fields and the product name of the retired connector, for content that was made for it.",
  },
  {
    key: "evidence",
    kind: { is: "choice", of: ["none", "each"] },
    default: "none",
    help: "each: one more line (or flat JSON object) per evidence item of an alert.",
  },
  {
    key: "rotate_mib",
    kind: { is: "whole", min: 1, max: 10_240, unit: "MiB" },
    default: "64",
    help: "A growing file of this size is renamed (its time goes into the name) and a new one begun. Renamed files are not deleted.",
  },
  {
    key: "spool_mib",
    kind: { is: "whole", min: 1, max: 102_400, unit: "MiB" },
    default: "256",
    help: "How much is kept on disk while a tls or tcp connector cannot be reached. When it is full collecting waits.",
  },
  {
    key: "tenants",
    kind: { is: "text", max: 65_536 },
    otherwise: "all",
    help: "Customers of this output, separated by commas, by name or tenant GUID.",
  },
];

/** Keys behind `serve.`. */
export const SERVE_SETTINGS: readonly HostSetting[] = [
  {
    key: "listen",
    kind: {
      is: "text",
      max: 260,
      pattern: /^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):\d{1,5}$/,
      like: "address and port such as 127.0.0.1:44380",
    },
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
];

/** One `outputs[n]`, checked, defaults filled in. */
export interface OutputSettings {
  /** `outputs[0]`, as the file and all messages call it. */
  readonly name: string;
  readonly type: OutputType;
  /** Files and folders only. */
  readonly path?: string;
  /** Syslog only. */
  readonly host?: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly framing: "newline" | "octet";
  readonly format: "rfc3164" | "rfc5424";
  readonly caFile?: string;
  readonly certificate?: string;
  readonly profile: Profile;
  readonly evidence: "none" | "each";
  readonly rotateMib: number;
  readonly spoolMib: number;
  /** Stanza names; undefined: everybody. */
  readonly tenants?: readonly string[];
}

export interface ServeSettings {
  readonly host: string;
  readonly port: number;
  readonly certificate?: string;
  readonly clientId?: string;
  readonly clientSecret?: string;
  readonly keepDays: number;
}

const DEFAULT_PORTS: Readonly<Record<Protocol, number>> = { tls: 6514, tcp: 514, udp: 514 };

/** What a customer can be called in `.tenants`. */
export interface CustomerNames {
  readonly stanza: string;
  readonly tenantId: string;
}

export interface OutputContext {
  readonly customers: readonly CustomerNames[];
  /** Checks a file that a setting names; undefined: not checked. */
  readonly file?: (path: string) => string | undefined;
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
  const row = readRows(OUTPUT_SETTINGS, given, context, complain);
  warnUnknown(name, OUTPUT_SETTINGS, given, context.warn);
  const text = (key: string) => row.get(key) as string | undefined;
  const type = text("type") as OutputType | undefined;
  if (type === undefined) return undefined;
  const path = text("path");
  const host = text("host");
  if (type === "syslog" && host === undefined && !isGiven(given, "host"))
    complain("host", "is missing; write the host on which the connector listens");
  if (type !== "syslog" && path === undefined && !isGiven(given, "path"))
    complain(
      "path",
      type.endsWith("folder")
        ? "is missing; write the folder that the connector watches"
        : "is missing; write the full path of the file",
    );
  const useless = USELESS.filter(([key, of]) => isGiven(given, key) && !of.includes(type)).map(([key]) => key);
  if (useless.length > 0) context.warn(`${name}: ${useless.join(", ")} means nothing for type ${type} and is ignored`);
  const protocol = (text("protocol") ?? "tls") as Protocol;
  if (type === "syslog" && protocol !== "tls" && (isGiven(given, "ca_file") || isGiven(given, "certificate")))
    context.warn(`${name}: ca_file and certificate mean nothing for protocol ${protocol} and are ignored`);
  if (type === "syslog" && protocol === "udp" && text("framing") === "octet")
    context.warn(`${name}: framing means nothing for protocol udp, where a datagram is a message`);
  const tenants = readTenants(text("tenants"), context.customers, complain);
  if (wrong) return undefined;
  return {
    name,
    type,
    ...(type !== "syslog" && path !== undefined ? { path } : {}),
    ...(type === "syslog" && host !== undefined ? { host } : {}),
    port: (row.get("port") as number | undefined) ?? DEFAULT_PORTS[protocol],
    protocol,
    framing: text("framing") as OutputSettings["framing"],
    format: text("format") as OutputSettings["format"],
    ...(protocol === "tls" && text("ca_file") !== undefined ? { caFile: text("ca_file") as string } : {}),
    ...(protocol === "tls" && text("certificate") !== undefined ? { certificate: text("certificate") as string } : {}),
    profile: text("profile") as Profile,
    evidence: text("evidence") as OutputSettings["evidence"],
    rotateMib: row.get("rotate_mib") as number,
    spoolMib: row.get("spool_mib") as number,
    ...(tenants ? { tenants } : {}),
  };
}

/** Key → types for which it means something, for the keys that do not concern all of them. */
const USELESS: readonly (readonly [string, readonly OutputType[]])[] = [
  ["path", ["cef-file", "cef-folder", "json-folder", "json-lines"]],
  ...(["host", "port", "protocol", "framing", "format", "ca_file", "certificate", "spool_mib"] as const).map(
    (key) => [key, ["syslog"]] as const,
  ),
  ["rotate_mib", ["cef-file", "json-lines"]],
  ["profile", ["syslog", "cef-file", "cef-folder", "json-folder"]],
  ["evidence", ["syslog", "cef-file", "cef-folder", "json-folder"]],
];

/** Reads `serve.*`. Undefined when something is wrong with it. */
export function readServe(given: Readonly<Record<string, string>>, context: OutputContext): ServeSettings | undefined {
  let wrong = false;
  const complain = (key: string, say: string) => {
    wrong = true;
    context.complain({ stanza: "serve", key, say });
  };
  const row = readRows(SERVE_SETTINGS, given, context, complain);
  warnUnknown("serve", SERVE_SETTINGS, given, context.warn);
  const listen = row.get("listen") as string | undefined;
  const colon = listen?.lastIndexOf(":") ?? -1;
  const host = listen?.slice(0, colon).replace(/^\[|\]$/g, "") ?? "";
  const port = Number(listen?.slice(colon + 1));
  if (listen !== undefined && port > 65_535) complain("listen", `${port} is above 65535; write a port from 0 to 65535`);
  const certificate = row.get("certificate") as string | undefined;
  const clientSecret = row.get("client_secret") as string | undefined;
  if (listen !== undefined && !isLoopback(host)) {
    // Whoever reaches this port reads every customer's alerts.
    if (certificate === undefined && !isGiven(given, "certificate"))
      complain(
        "certificate",
        `is missing although listen names ${host}, which other machines reach; give a PEM with key and certificate, or listen on 127.0.0.1`,
      );
    if (clientSecret === undefined && !isGiven(given, "client_secret"))
      complain(
        "client_secret",
        `is missing although listen names ${host}, which other machines reach; set one, or listen on 127.0.0.1`,
      );
  }
  if (wrong) return undefined;
  const clientId = row.get("client_id") as string | undefined;
  return {
    host,
    port,
    ...(certificate === undefined ? {} : { certificate }),
    ...(clientId === undefined ? {} : { clientId }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
    keepDays: row.get("keep_days") as number,
  };
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

function readRows(
  rows: readonly HostSetting[],
  given: Readonly<Record<string, string>>,
  context: OutputContext,
  complain: (key: string, say: string) => void,
): ReadonlyMap<string, Value> {
  const read = new Map<string, Value>();
  for (const row of rows) {
    const text = isGiven(given, row.key)
      ? row.secret
        ? (given[row.key] as string)
        : (given[row.key] as string).trim()
      : row.default;
    if (text === undefined) {
      if (row.required)
        complain(
          row.key,
          `is missing; write ${row.kind.is === "choice" ? `one of ${row.kind.of.join(", ")}` : "a value"}`,
        );
      continue;
    }
    const reading = readValue(row.kind, text, 0);
    const failureText = reading.ok
      ? row.kind.is === "file"
        ? context.file?.(text)
        : undefined
      : (row.wrong ?? reading.say);
    if (failureText !== undefined) complain(row.key, failureText);
    else if (reading.ok) read.set(row.key, reading.value);
  }
  return read;
}

function isGiven(given: Readonly<Record<string, string>>, key: string): boolean {
  return Object.hasOwn(given, key) && (given[key] as string).trim() !== "";
}

function warnUnknown(
  name: string,
  rows: readonly HostSetting[],
  given: Readonly<Record<string, string>>,
  warn: (say: string) => void,
): void {
  const known = new Set(rows.map((row) => row.key));
  for (const key of Object.keys(given))
    if (!known.has(key)) warn(`${name}.${key} is no setting and is ignored; there are ${[...known].join(", ")}`);
}

function readTenants(
  text: string | undefined,
  customers: readonly CustomerNames[],
  complain: (key: string, say: string) => void,
): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  const chosen = words.flatMap((word) => {
    const guid = tenantIdFrom(word);
    const those = customers.filter(
      (one) =>
        one.stanza.toLowerCase() === word.toLowerCase() || (guid ?? word.toLowerCase()) === one.tenantId.toLowerCase(),
    );
    if (those.length === 0)
      complain(
        "tenants",
        `names ${word.length <= 60 ? word : "a customer"}, whom no tenants[n] names; write a tenant_name or tenant_id of this file`,
      );
    return those.map((one) => one.stanza);
  });
  return [...new Set(chosen)];
}
