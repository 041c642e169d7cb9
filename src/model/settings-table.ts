import { CLOUD_NAMES } from "./cloud.ts";
import type { Setting, SettingsHost } from "./setting.ts";
import { STREAM_NAMES } from "./stream.ts";

/** A row of the customers' and the process's settings. */
export interface StanzaSetting extends Setting {
  /** Applies to the whole process, not to one customer. */
  readonly global?: true;
  /** False for what only a collector uses that runs for ever: a flag of a command would do nothing. */
  readonly isFlag?: false;
  /** Elsewhere the default holds. */
  readonly hosts: readonly SettingsHost[];
  /** Label of the form field. */
  readonly title: string;
  /** Text for the properties file if `help` or `otherwise` mention Splunk. */
  readonly inProperties?: { readonly help?: string; readonly otherwise?: string };
}

/**
 * Microsoft's own page for redirects that no program waits for, so that the customer's administrator does not
 * end on a dead address. Source: Microsoft identity platform docs, "Desktop app that calls web APIs: App
 * registration", redirect URIs.
 */
export const CONSENT_PAGE = "https://login.microsoftonline.com/common/oauth2/nativeclient";

/** Source: Splunk docs, "Create custom indexes". */
export const INDEX_NAME = {
  is: "text",
  max: 80,
  pattern: /^[a-z0-9][a-z0-9_-]*$/,
  like: "lower-case letters, digits, _ and -, beginning with a letter or a digit",
} as const;

/** `fleet.name` of a properties file, and `fleet_name`. */
export const FLEET_NAME = {
  is: "text",
  max: 40,
  pattern: /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/,
  like: "lower-case letters, digits and single '-', beginning with a letter",
} as const;

/** `fleet.member` and `fleet_member`. */
export const FLEET_MEMBER = {
  is: "text",
  max: 100,
  pattern: /^[A-Za-z0-9._-]+$/,
  like: "letters, digits, '.', '_' and '-'",
} as const;

/** `fleet.key_file` and `fleet_key_file`. Not a file that must be there: `fleet init` makes it. */
export const FLEET_KEY_FILE = {
  is: "text",
  max: 4096,
  pattern: /^(?:\/|\\\\|[A-Za-z]:[\\/])/,
  like: "the full path of a file",
} as const;

/** Where a secret is, never the secret: every user who can read inputs reads such a field. */
const SECRET_REFERENCE = { is: "text", max: 1024, pattern: /^(?:file|credential):.+/ } as const;

const EVERYWHERE: readonly SettingsHost[] = ["splunk", "arcsight", "cli"];

/** In the order in which forms, files and pages show them. */
const ROWS = [
  {
    key: "tenant_id",
    kind: { is: "tenant" },
    required: true,
    hosts: EVERYWHERE,
    title: "Tenant ID",
    help: "The customer's Microsoft Entra tenant: its GUID, or one of its domains such as contoso.onmicrosoft.com.",
  },
  {
    key: "tenant_name",
    kind: { is: "text", max: 200 },
    otherwise: "the stanza's name",
    inProperties: { otherwise: "the tenant's GUID or domain" },
    hosts: EVERYWHERE,
    title: "Customer name",
    help: "The customer's name, written into every event.",
  },
  {
    key: "index",
    kind: INDEX_NAME,
    otherwise: "the index of the output",
    hosts: ["arcsight"],
    title: "Index",
    help: "Splunk index of this customer's events in outputs of type hec.",
  },
  {
    key: "cloud",
    kind: { is: "choice", of: CLOUD_NAMES },
    default: "commercial",
    hosts: EVERYWHERE,
    title: "Microsoft cloud",
    help: "Microsoft cloud of the tenant: commercial, gcc, gcc-high or dod.",
  },
  {
    key: "credential",
    kind: { is: "text", max: 100, pattern: /^[A-Za-z0-9._-]+$/, like: "letters, digits, '.', '_' and '-'" },
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Shared credential",
    help: "Name of an app credential that is stored once with 'credential set NAME' and shared by many customers. Client ID, client secret, certificate and assertion below override it.",
  },
  {
    key: "client_id",
    kind: { is: "guid" },
    otherwise: "required unless credential is set",
    hosts: EVERYWHERE,
    title: "Client ID",
    help: "Application (client) ID of your multi-tenant app registration, a GUID.",
  },
  {
    key: "client_secret",
    kind: { is: "text", max: 8192 },
    secret: true,
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Client secret",
    help: "Value of the app's client secret, not its ID. On first use Splunk's credential store takes it over and ******** is shown here. Leave ******** when you edit the input.",
    inProperties: {
      help: "Value of the app's client secret, not its ID. Write it here, or as file:PATH, env:NAME or credential:NAME (systemd).",
    },
  },
  {
    key: "secret_expires",
    kind: { is: "date" },
    otherwise: "none: nobody is warned",
    hosts: EVERYWHERE,
    title: "Client secret expires",
    help: "Date on which the client secret expires, as the app registration shows it, for example 2027-11-24. You are warned 60, 30 and 7 days before. Write the new date when you replace the secret.",
  },
  {
    key: "certificate",
    kind: { is: "file" },
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Certificate file",
    help: "PEM file with private key and certificate, used instead of the client secret.",
  },
  {
    key: "assertion",
    kind: { is: "assertion" },
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Assertion",
    help: "Instead of a client secret or a certificate: file:PATH, a token that the platform renews (AKS, SPIFFE), or managed-identity:CLIENT_ID on an Azure machine. The app needs a federated credential for it.",
  },
  {
    key: "auth",
    kind: { is: "choice", of: ["refresh_token", "app"] },
    otherwise: "refresh_token if a refresh token is set, else app",
    hosts: EVERYWHERE,
    title: "Sign-in",
    help: "refresh_token: sign in as the user who signed in for this customer. app: sign in as the app itself, with the permissions that the customer's administrator granted.",
  },
  {
    key: "refresh_token",
    kind: { is: "text", max: 16384 },
    secret: true,
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Refresh token",
    help: "Refresh token from 'token acquire'. On first use Splunk's credential store takes it over and ******** is shown here. Leave ******** when you edit the input.",
    inProperties: {
      help: "Refresh token from 'token acquire'. Write it here, or as file:PATH, env:NAME or credential:NAME (systemd). Renewed tokens are kept in secrets/ of the state folder.",
    },
  },
  {
    key: "streams",
    kind: { is: "choices", of: STREAM_NAMES },
    default: "alerts,incidents",
    hosts: EVERYWHERE,
    title: "Streams",
    help: "What to collect, separated by commas: alerts, incidents, xdr-incidents and mde-alerts (both may end 1 February 2027), siem-alerts (retired), hunting.",
  },
  {
    key: "start",
    kind: { is: "start" },
    default: "7d",
    hosts: EVERYWHERE,
    title: "Start",
    help: "Start of the first run: 12h or 30d back (at most 3650d), or an ISO time such as 2026-11-01T00:00:00Z. Later runs continue at the checkpoint.",
  },
  {
    key: "poll_seconds",
    kind: { is: "whole", min: 1, max: 86_400, unit: "seconds" },
    default: "60",
    hosts: EVERYWHERE,
    title: "Poll every (seconds)",
    help: "Time between polls of this customer. Values below 15 are for tests only.",
  },
  {
    key: "overlap_minutes",
    kind: { is: "whole", min: 1, max: 1440, unit: "minutes" },
    default: "30",
    hosts: EVERYWHERE,
    title: "Overlap (minutes)",
    help: "Lookback of each poll, for rows that Microsoft shows late.",
  },
  {
    key: "sweep_hours",
    kind: { is: "whole", min: 0, max: 720, unit: "hours" },
    default: "24",
    hosts: EVERYWHERE,
    title: "Sweep (hours)",
    help: "Lookback of the hourly second sweep. 0 disables it.",
  },
  {
    key: "layout",
    kind: { is: "choice", of: ["scalars-first", "vendor"] },
    default: "scalars-first",
    hosts: EVERYWHERE,
    title: "Order of members",
    help: "scalars-first: short values come first, where automatic field extraction reads them. vendor: Microsoft's order.",
  },
  {
    key: "envelope",
    kind: { is: "yes-no" },
    default: "true",
    hosts: EVERYWHERE,
    title: "Add the mssp member",
    help: "Adds one member 'mssp' to each event, with customer, stream, change and the version's key.",
  },
  {
    key: "alerts_sourcetype",
    kind: {
      is: "text",
      max: 100,
      pattern: /^[A-Za-z0-9_:.-]+$/,
      like: "'split' or a sourcetype name (letters, digits, '_', ':', '.', '-')",
    },
    default: "split",
    hosts: ["splunk", "cli"],
    title: "Sourcetype of alerts",
    help: "split: ms:defender:atp:alerts for alerts of Defender for Endpoint, ms365:defender:incident:alerts for all others. Or one sourcetype for all alerts.",
  },
  {
    key: "classic_entities",
    kind: { is: "yes-no" },
    default: "false",
    hosts: ["splunk", "cli"],
    title: "Classic entities",
    help: "Adds a member 'entities' in the older form that Enterprise Security's incident detection reads. Microsoft's 'evidence' does not change.",
  },
  {
    key: "cim_entity_zone",
    kind: { is: "text", max: 100, pattern: /^[a-z0-9_-]+$/, like: "a lower-case word (letters, digits, '_', '-')" },
    otherwise: "none",
    hosts: ["splunk", "cli"],
    title: "Entity zone",
    help: "Entity zone of this customer in Enterprise Security. It separates equal host names of two customers. Define the zone in Enterprise Security first.",
  },
  {
    key: "hunting_queries",
    kind: { is: "file" },
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Hunting queries file",
    help: 'JSON file with the saved queries of the hunting stream: {"queries":[{"name","kql","every_minutes","window_minutes"}]}.',
  },
  {
    key: "login_url",
    kind: { is: "address" },
    part: "endpoints",
    otherwise: "from cloud",
    hosts: EVERYWHERE,
    title: "Login URL",
    help: "Overrides the sign-in address. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "graph_url",
    kind: { is: "address" },
    part: "endpoints",
    otherwise: "from cloud",
    hosts: EVERYWHERE,
    title: "Graph URL",
    help: "Overrides the address of Microsoft Graph. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "api_url",
    kind: { is: "address" },
    part: "endpoints",
    otherwise: "from cloud",
    hosts: EVERYWHERE,
    title: "Defender API URL (Endpoint)",
    help: "Overrides the address of the Defender XDR and Defender for Endpoint APIs. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "siem_url",
    kind: { is: "address" },
    part: "endpoints",
    otherwise: "from cloud",
    hosts: EVERYWHERE,
    title: "SIEM API URL",
    help: "Overrides the address of the retired SIEM API. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "resource",
    kind: { is: "audience" },
    otherwise: "from cloud",
    hosts: EVERYWHERE,
    title: "Resource",
    help: "Overrides the audience of access tokens. The addresses above never change it.",
  },
  {
    key: "proxy",
    kind: { is: "address", plain: true, login: true },
    part: "route",
    otherwise: "from the environment (HTTPS_PROXY)",
    hosts: EVERYWHERE,
    title: "Proxy",
    help: "Address of an HTTP proxy, for example http://proxy.example.com:8080. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "no_proxy",
    kind: { is: "text", max: 4096 },
    part: "route",
    otherwise: "from the environment (NO_PROXY)",
    hosts: EVERYWHERE,
    title: "No proxy for",
    help: "Hosts to connect to without the proxy, separated by commas.",
  },
  {
    key: "ca_file",
    kind: { is: "file" },
    part: "route",
    otherwise: "none",
    hosts: EVERYWHERE,
    title: "Additional CA file",
    help: "PEM file with CA certificates to trust in addition to the public ones, for example a proxy's. Stored secrets are bound to its content: type them again after a change.",
  },
  {
    key: "splunkd_ca_file",
    kind: { is: "file" },
    otherwise: "Splunk's own CA ($SPLUNK_HOME/etc/auth/cacert.pem)",
    hosts: ["splunk", "cli"],
    title: "CA file for splunkd",
    help: "PEM file with the CA of splunkd's management port. Needed only if splunkd runs on another host or has your own certificate.",
  },
  {
    key: "consent_redirect",
    kind: {
      is: "text",
      max: 2048,
      pattern: /^(?:https:\/\/[^\s#]+|http:\/\/(?:localhost|127\.0\.0\.1)(?::\d+)?\/[^\s#]*)$/,
      like: "an https address without '#', or one of this machine",
    },
    default: CONSENT_PAGE,
    global: true,
    hosts: EVERYWHERE,
    title: "Page after the consent (all customers)",
    help: "Address where a customer's browser ends after the consent. It must be a redirect URI of type Web in your app registration.",
  },
  {
    key: "partnercenter_url",
    kind: { is: "address" },
    otherwise: "Microsoft's own, https://api.partnercenter.microsoft.com",
    global: true,
    hosts: EVERYWHERE,
    title: "Partner Center URL (all customers)",
    help: "Overrides the address of Partner Center's API, for partner consent. Stored secrets are bound to it: type them again after a change.",
  },
  {
    key: "discover",
    kind: {
      is: "text",
      max: 4096,
      pattern: /^(?:gdap|governance|file:\s*\S.*)$/i,
      like: "gdap, governance or file:LIST.csv",
    },
    otherwise: "none: customers are only those that are configured",
    global: true,
    hosts: EVERYWHERE,
    title: "List of customers (all customers)",
    help: "Where the list of your customers is read hourly: gdap (Partner Center relationships), governance (Entra Tenant Governance) or file:LIST.csv.",
  },
  {
    key: "discover_credential",
    kind: { is: "text", max: 100, pattern: /^[A-Za-z0-9._-]+$/, like: "letters, digits, '.', '_' and '-'" },
    otherwise: "none",
    global: true,
    hosts: EVERYWHERE,
    title: "Home app (all customers)",
    help: "Name of the credential of the home app, which reads the list in your own tenant. Store it with 'credential set NAME --tenant-id YOUR-TENANT'. Customers never use it.",
  },
  {
    key: "discover_mode",
    kind: { is: "choice", of: ["announce", "enrol"] },
    default: "announce",
    global: true,
    hosts: EVERYWHERE,
    title: "New customers (all customers)",
    help: "announce: a new customer of the list is only a health event. enrol: it is also configured and polled.",
  },
  {
    key: "discover_match",
    kind: {
      is: "text",
      max: 200,
      pattern: /^(?!role:)|^role:\s*[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
      like: "a relationship's name with *, or role: and the GUID of a role",
    },
    otherwise: "every relationship",
    global: true,
    hosts: EVERYWHERE,
    title: "Relationships that count (all customers)",
    help: "Only customers with such a relationship: its name, with * for any characters, or role:GUID of an Entra role that it must hold.",
  },
  {
    key: "discover_exclude",
    kind: { is: "names", max: 32_768 },
    otherwise: "none",
    global: true,
    hosts: EVERYWHERE,
    title: "Customers left out (all customers)",
    help: "Tenant IDs or names of customers that are neither reported nor enrolled, separated by commas.",
  },
  {
    key: "discover_defaults",
    kind: { is: "text", max: 200 },
    otherwise: "none",
    global: true,
    hosts: EVERYWHERE,
    title: "Model of new customers (all customers)",
    help: "Name of a configured customer whose settings new customers get: credential, streams, start, index. {name} in its index becomes the new customer's name.",
  },
  {
    key: "discover_hours",
    kind: { is: "whole", min: 1, max: 168, unit: "hours" },
    default: "1",
    global: true,
    hosts: EVERYWHERE,
    title: "Read the list every (hours, all customers)",
    help: "Hours between two readings of the list of customers.",
  },
  {
    key: "state_dir",
    kind: { is: "folder" },
    global: true,
    otherwise: "the host's own (in Splunk checkpoint_dir)",
    hosts: EVERYWHERE,
    title: "State folder (all customers)",
    help: "Folder of checkpoints and ledgers. In Splunk set it once, under [defender_mssp].",
    inProperties: {
      help: "Folder of checkpoints, ledgers, renewed refresh tokens and events queued for a connector. --state overrides it. Only one program can use it at a time.",
      otherwise: "the account's own, ~/.local/state/defender-mssp or %LOCALAPPDATA%/defender-mssp/state",
    },
  },
  {
    key: "replay_mib",
    kind: { is: "whole", min: 1, max: 1024, unit: "MiB" },
    default: "16",
    global: true,
    hosts: EVERYWHERE,
    title: "Replay (MiB, all customers)",
    help: "Size of the latest output that is sent again after a crash; never older than one hour.",
  },
  {
    key: "record_max_mib",
    kind: { is: "whole", min: 1, max: 256, unit: "MiB" },
    default: "16",
    global: true,
    hosts: EVERYWHERE,
    title: "Largest record (MiB, all customers)",
    help: "A larger record is split or streamed. ArcSight gets it without its large members.",
  },
  {
    key: "concurrency",
    kind: { is: "whole", min: 1, max: 256, unit: "customers" },
    default: "16",
    global: true,
    hosts: EVERYWHERE,
    title: "Customers in parallel (all customers)",
    help: "Customers polled in parallel.",
  },
  {
    key: "log_level",
    kind: { is: "choice", of: ["debug", "info", "warn", "error"] },
    default: "info",
    global: true,
    hosts: EVERYWHERE,
    title: "Log level (all customers)",
    help: "Lowest level that is logged: debug, info, warn or error.",
  },
  {
    key: "metrics_listen",
    kind: { is: "listen" },
    wrong: "is not an address with a port; write address and port such as 127.0.0.1:9464",
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Metrics address (all customers)",
    help: "Address and port of /metrics, /status, /healthz/live and /healthz/ready, for example 127.0.0.1:9464. Addresses that other machines can reach need metrics_certificate and metrics_token.",
  },
  {
    key: "metrics_certificate",
    kind: { is: "file" },
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Metrics certificate (all customers)",
    help: "PEM file with private key and certificate for https at the metrics address.",
  },
  {
    key: "metrics_token",
    // A reference, never the token: every user who can read inputs reads this field.
    kind: { is: "text", max: 1024, pattern: /^file:.+/ },
    wrong: "does not name a file; write file: and the path of a file that contains the token",
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Metrics token file (all customers)",
    help: "file:PATH, a file with the bearer token of /metrics and /status, for Splunk's user only. The health paths need none.",
  },
  {
    key: "hec_urls",
    kind: { is: "names", max: 8192 },
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC addresses (all customers)",
    help: "Addresses of Splunk's HTTP Event Collector, separated by commas, such as https://splunk.example.com:8088. When set, all events go there, and the inputs write health only.",
  },
  {
    key: "hec_token",
    kind: SECRET_REFERENCE,
    wrong:
      "does not say where the token is; write file: and the path of a file that contains the token, or credential: and the name of a credential of systemd",
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC token (all customers)",
    help: "file:PATH, a file with the token of HEC, for Splunk's user only; or credential:NAME, a credential of the systemd unit. Required with hec_urls.",
  },
  {
    key: "hec_index",
    kind: INDEX_NAME,
    otherwise: "the token's own",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC index (all customers)",
    help: "Index of the events that go to HEC. An input's own index comes before it.",
  },
  {
    key: "hec_ack",
    kind: { is: "choice", of: ["auto", "on", "off"] },
    default: "auto",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC acknowledgement (all customers)",
    help: "Whether Splunk acknowledges what it has indexed. auto: if the token offers it, else with the weaker promise and a warning. on: nothing is sent without it. off: Splunk is not asked.",
  },
  {
    key: "hec_gzip",
    kind: { is: "yes-no" },
    default: "false",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC compression (all customers)",
    help: "Compresses what is sent to HEC. Useful where the network is slow.",
  },
  {
    key: "hec_ca_file",
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC certificate authority (all customers)",
    help: "PEM file with the certificate authority of HEC's certificate.",
  },
  {
    key: "hec_spool_mib",
    kind: { is: "whole", min: 1, max: 102_400, unit: "MiB" },
    default: "1024",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "HEC spool (MiB, all customers)",
    help: "Events kept on disk until HEC has confirmed them. When this is full, collection pauses.",
  },
  {
    key: "fleet_url",
    kind: { is: "text", max: 2048 },
    otherwise: "none: this host works alone",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Fleet database (all customers)",
    help: "PostgreSQL (13 or newer) through which several hosts share these inputs, such as postgres://db1.example.com:5432,db2.example.com:5432/fleet. Requires hec_urls and the same inputs on every host.",
  },
  {
    key: "fleet_user",
    kind: { is: "text", max: 63 },
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Fleet role (all customers)",
    help: "Role of the database with which the hosts connect. Required with fleet_url.",
  },
  {
    key: "fleet_password",
    kind: SECRET_REFERENCE,
    wrong:
      "does not say where the password is; write file: and the path of a file that contains the password, or credential: and the name of a credential of systemd",
    otherwise: "none",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Fleet password (all customers)",
    help: "file:PATH, a file with the password of that role, for Splunk's user only; or credential:NAME, a credential of the systemd unit.",
  },
  {
    key: "fleet_name",
    kind: FLEET_NAME,
    otherwise: "main",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Fleet name (all customers)",
    help: "Name of the fleet. Each fleet has a schema of its own, so that several fit into one database.",
  },
  {
    key: "fleet_member",
    kind: FLEET_MEMBER,
    otherwise: "this machine's name",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Member name (all customers)",
    help: "Name of this host in the fleet, as the log and the other hosts show it.",
  },
  {
    key: "fleet_key_file",
    kind: FLEET_KEY_FILE,
    otherwise: "none: no customer of the fleet may sign in with a refresh token",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Fleet key file (all customers)",
    help: "File with the key that encrypts refresh tokens in the fleet's database: the same on every host, for Splunk's user only. fleet init makes it.",
  },
  {
    key: "fleet_ca_file",
    kind: { is: "file" },
    otherwise: "the public certificate authorities",
    global: true,
    isFlag: false,
    hosts: ["splunk", "cli"],
    title: "Database certificate authority (all customers)",
    help: "PEM file with the certificate authority of the database's certificate. TLS is always verified; only a database on this machine may go without.",
  },
] as const satisfies readonly StanzaSetting[];

type Row = (typeof ROWS)[number];
/** Settings of one customer. */
export type CustomerRow = Exclude<Row, { readonly global: true }>;
/** Settings of the whole process. */
export type GlobalRow = Extract<Row, { readonly global: true }>;
export type SecretKey = Extract<Row, { readonly secret: true }>["key"];

/** The one table of settings, with the optional fields visible to the type checker. */
export const TABLE: readonly StanzaSetting[] = ROWS;
export const CUSTOMER_ROWS: readonly CustomerRow[] = ROWS.filter((row): row is CustomerRow => !("global" in row));
export const GLOBAL_ROWS: readonly GlobalRow[] = ROWS.filter((row): row is GlobalRow => "global" in row);
export const SECRET_KEYS: readonly SecretKey[] = ROWS.filter((row) => "secret" in row).map(({ key }) => key);

export function settingsFor(host: SettingsHost): readonly StanzaSetting[] {
  return TABLE.filter((row) => row.hosts.includes(host));
}
