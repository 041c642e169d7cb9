import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";
import { LOOKUP } from "./customers.ts";
import { LOOKUP_FIELDS } from "./searches.ts";

/**
 * A JSON string's content, escapes included and never empty; `null` is not a string and so never becomes
 * a value.
 */
const STRING = String.raw`"(?!")([^"\\]*(?:\\.[^"\\]*)*)"`;

const ADDRESS = "[0-9A-Fa-f.:]+";

/** Addresses that say nothing about a device: loopback and link-local. */
const LOCAL_ADDRESS = String.raw`(?:127\.|169\.254\.|[Ff][Ee]80:|::1")`;
const LOCAL_INTERFACES = String.raw`(?:"(?:127\.[^"]*|169\.254\.[^"]*|[Ff][Ee]80:[^"]*|::1)",)*`;

/** A whole JSON array of flat objects; a bracket inside a string does not end it. */
const ARRAY = String.raw`\[[^\]"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^\]"]*)*\]`;

/**
 * Goes on inside one item of Graph's evidence: each item begins with its type. It moves from quote to quote,
 * so that no text is tried twice.
 */
const WITHIN_ITEM = String.raw`[^"]*(?:"(?!@odata\.type")[^"]*)*?`;

type Side = "source" | "target";

/**
 * The beginning of an evidence item that its roles put on one side. The roles can be before or behind the
 * member that is cut out. Detailed roles count too: they are words for people, in any case. Where roles
 * contradict, those of the source win.
 */
function itemOf(side: Side, kind: string): string {
  const type = String.raw`"@odata\.type":"#microsoft\.graph\.security\.${kind}Evidence"`;
  const has = (roles: string) => String.raw`${WITHIN_ITEM}"(?:roles|detailedRoles)":\[[^\]]*"(?i:${roles})"`;
  const isSource = has("attacker|source|command ?and ?control");
  const isTarget = has("attacked|destination|compromised");
  return side === "source" ? `${type}(?=${isSource})` : `${type}(?!${isSource})(?=${isTarget})`;
}

/** One multivalue field cut out of the whole event by a regular expression. */
export interface Cut {
  readonly name: string;
  /** Several cuts may fill one field. */
  readonly field: string;
  readonly regex: string;
  readonly help: string;
}

function cutsOfSide(side: Side, prefix: "src" | "dest"): readonly Cut[] {
  const roles =
    side === "source" ? "`attacker`, `source` or `commandAndControl`" : "`attacked`, `destination` or `compromised`";
  return [
    {
      name: `defender_mssp_${prefix}_device`,
      field: `defender_${prefix}_device`,
      regex: `${itemOf(side, "device")}${WITHIN_ITEM}"(?:deviceDnsName|hostName)":${STRING}`,
      help: `devices with the role ${roles}`,
    },
    {
      name: `defender_mssp_${prefix}_ip`,
      field: `defender_${prefix}_ip`,
      regex: `${itemOf(side, "ip")}${WITHIN_ITEM}"ipAddress":"(${ADDRESS})"`,
      help: `IP addresses with the role ${roles}`,
    },
    {
      name: `defender_mssp_${prefix}_user`,
      field: `defender_${prefix}_user`,
      // An account without a principal name goes by its account name.
      regex: `${itemOf(side, "(?:user|mailbox)")}${WITHIN_ITEM}"(?:userPrincipalName|accountName(?!"[^{}]*"userPrincipalName":"[^"]))":${STRING}`,
      help: `accounts with the role ${roles}`,
    },
  ];
}

/**
 * Automatic extraction reads the first 5,000 bytes of an event (limits.conf, [spath] extraction_cutoff), and
 * evidence comes last: what we need of it is cut out by name instead. Our events are compact JSON, so a name
 * stands directly before its value; in text the quotes would be escaped.
 */
export const CUTS: readonly Cut[] = [
  {
    name: "defender_mssp_device",
    field: "defender_device",
    regex: `"deviceDnsName":${STRING}`,
    help: "DNS names of the devices in the evidence",
  },
  {
    name: "defender_mssp_host",
    field: "defender_host",
    regex: `"hostName":${STRING}`,
    help: "host names in the evidence",
  },
  {
    name: "defender_mssp_upn",
    field: "defender_upn",
    regex: `"(?:userPrincipalName|upn)":${STRING}`,
    help: "user principal names in the evidence",
  },
  {
    name: "defender_mssp_account",
    field: "defender_account",
    regex: `"accountName":${STRING}`,
    help: "account names in the evidence, and of users logged on to its devices",
  },
  {
    name: "defender_mssp_mailbox",
    field: "defender_mailbox",
    regex: String.raw`"(?:(?:primaryAddress|mailboxPrimaryAddress|mailboxAddress|recipientEmailAddress|recipient)":|recipients":\[)${STRING}`,
    help: "mailboxes and recipients in the evidence; of a Teams message the first recipient",
  },
  {
    name: "defender_mssp_sender",
    field: "defender_sender",
    regex: String.raw`"(?:p[12]Sender":\{[^{}]*"emailAddress|senderFromAddress|sender)":${STRING}`,
    help: "senders of mail and Teams messages in the evidence",
  },
  {
    name: "defender_mssp_ip",
    field: "defender_ip",
    // The first alternative passes over an account's accesses to other resources. It captures nothing, and
    // Splunk drops empty values (transforms.conf, KEEP_EMPTY_VALS).
    regex: `"resourceAccessEvents":${ARRAY}|"(?:ipAddress|senderIp|senderIP)":"(${ADDRESS})"`,
    help: "IP addresses in the evidence, without those of an account's or device's `resourceAccessEvents`",
  },
  {
    name: "defender_mssp_device_ip",
    field: "defender_device_ip",
    regex: `"lastIpAddress":"(?!${LOCAL_ADDRESS})(${ADDRESS})"`,
    help: "addresses of the devices in the evidence, without loopback and link-local ones",
  },
  {
    name: "defender_mssp_device_interface",
    field: "defender_device_ip",
    regex: String.raw`"ipInterfaces":\[${LOCAL_INTERFACES}"(?!${LOCAL_ADDRESS})(${ADDRESS})"`,
    help: "the first such address of each device's interfaces",
  },
  {
    name: "defender_mssp_device_external_ip",
    field: "defender_device_external_ip",
    regex: `"lastExternalIpAddress":"(${ADDRESS})"`,
    help: "addresses under which the devices in the evidence reach the Internet",
  },
  {
    name: "defender_mssp_file",
    field: "defender_file",
    regex: `"fileName":${STRING}`,
    help: "file names in the evidence",
  },
  {
    name: "defender_mssp_sha256",
    field: "defender_sha256",
    regex: `"(?:sha256|algorithm":"sha256","value)":"([0-9A-Fa-f]{64})"`,
    help: "SHA-256 sums in the evidence, of files and as evidence of their own",
  },
  { name: "defender_mssp_url", field: "defender_url", regex: `"url":${STRING}`, help: "URLs in the evidence" },
  {
    name: "defender_mssp_domain",
    field: "defender_domain",
    regex: String.raw`"url":"[A-Za-z][A-Za-z0-9+.-]*:\\?/\\?/(?:[^/?#@"\\]*@)?([^/:?#"\\]+)`,
    help: "host names in the URLs of the evidence",
  },
  ...cutsOfSide("source", "src"),
  ...cutsOfSide("target", "dest"),
];

/**
 * When Splunk gives up an expression (transforms.conf). Its defaults, 100,000 and 1,000, are too little for
 * evidence with hundreds of accounts.
 */
const LIMITS = [
  ["MATCH_LIMIT", "10000000"],
  ["DEPTH_LIMIT", "100000"],
] as const;

export function transformsConf(): string {
  const cuts = CUTS.map(
    (cut): ConfStanza => ({
      name: cut.name,
      settings: [
        ["REGEX", cut.regex],
        ["FORMAT", `${cut.field}::$1`],
        ["MV_ADD", "true"],
        ...(cut.regex.includes(WITHIN_ITEM) || cut.regex.includes(ARRAY) ? LIMITS : []),
      ],
    }),
  );
  return confFile([
    ...cuts,
    {
      name: LOOKUP,
      why: "Customers by tenant GUID and input, kept by the saved search 'Defender MSSP - Customers lookup'.",
      settings: [
        ["external_type", "kvstore"],
        ["collection", LOOKUP],
        ["fields_list", ["_key", ...LOOKUP_FIELDS.map(([field]) => field)].join(", ")],
      ],
    },
  ]);
}
