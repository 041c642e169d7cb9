import type { ConfStanza } from "./conf.ts";
import { confFile } from "./conf.ts";
import { LOOKUP_FIELDS } from "./searches.ts";

/**
 * A JSON string's content, escapes included and never empty; `null` is not a string and so never becomes
 * a value.
 */
const STRING = String.raw`"(?!")([^"\\]*(?:\\.[^"\\]*)*)"`;

/** One multivalue field cut out of the whole event by a regular expression. */
export interface Cut {
  readonly name: string;
  readonly field: string;
  readonly regex: string;
  readonly help: string;
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
    regex: `"userPrincipalName":${STRING}`,
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
    regex: `"(?:primaryAddress|mailboxAddress|recipientEmailAddress|recipient)":${STRING}`,
    help: "mailboxes and recipients in the evidence",
  },
  {
    name: "defender_mssp_ip",
    field: "defender_ip",
    regex: `"(?:ipAddress|senderIp)":"([0-9A-Fa-f.:]+)"`,
    help: "IP addresses in the evidence",
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
    regex: `"sha256":"([0-9A-Fa-f]{64})"`,
    help: "SHA-256 sums in the evidence",
  },
  { name: "defender_mssp_url", field: "defender_url", regex: `"url":${STRING}`, help: "URLs in the evidence" },
];

export function transformsConf(): string {
  const cuts = CUTS.map(
    (cut): ConfStanza => ({
      name: cut.name,
      settings: [
        ["REGEX", cut.regex],
        ["FORMAT", `${cut.field}::$1`],
        ["MV_ADD", "true"],
      ],
    }),
  );
  return confFile([
    ...cuts,
    {
      name: "defender_mssp_customers",
      why: "Customers by tenant GUID and input, kept by the saved search 'Defender MSSP - Customers lookup'.",
      settings: [
        ["external_type", "kvstore"],
        ["collection", "defender_mssp_customers"],
        ["fields_list", ["_key", ...LOOKUP_FIELDS.map(([field]) => field)].join(", ")],
      ],
    },
  ]);
}
