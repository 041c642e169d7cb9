import { readConf } from "../../config/conf-file.ts";
import { readPropertiesText } from "../../config/java-properties.ts";
import { cloudOfLoginHost } from "../../config/old-connector.ts";
import { ownEntry } from "../../model/own-entry.ts";
import { tenantIdFrom } from "../../model/tenant.ts";

/** One line about an entry of the old configuration; it never contains the value of a secret. */
export interface MigrationLine {
  readonly about: string;
  readonly fate: "taken" | "meaningless" | "missing";
  readonly say: string;
}

export interface Migration {
  /** Settings by today's key, secrets included. */
  readonly values: Readonly<Record<string, string>>;
  readonly lines: readonly MigrationLine[];
}

const SECRETS = new Set(["client_secret", "refresh_token"]);

/**
 * Old names (lower case, only letters and digits) and their settings today. Sources: Defender for Endpoint
 * docs of 2017-2020, configure-arcsight and configure-splunk.
 */
const TAKEN: Readonly<Record<string, string>> = {
  clientid: "client_id",
  applicationid: "client_id",
  clientsecret: "client_secret",
  applicationkey: "client_secret",
  refreshtoken: "refresh_token",
  oauth2refreshtoken: "refresh_token",
  oauth2clientid: "client_id",
  oauth2clientsecret: "client_secret",
  tenantid: "tenant_id",
  name: "tenant_name",
  certificate: "certificate",
};

const MEANINGLESS: Readonly<Record<string, string>> = {
  scope: "it was always empty",
  reauthenticate: "'token acquire' always signs in again",
  authurl: "'token acquire' builds the address itself",
  redirecturi: "give it with --redirect-uri if the registration has no other",
  oauth2accesstoken: "access tokens expire after an hour; the refresh token gets a new one",
  httpmethod: "alerts are always requested with GET",
  authenticationtype: "it is always OAuth 2",
  responsetype: "answers are always JSON",
  responsehandler: "this program separates the records itself",
  setsourcetype: "see alerts_sourcetype",
  sourcetype: "see alerts_sourcetype",
  pollinginterval: "see poll_seconds; the default of 60 is right for nearly everyone",
  interval: "see poll_seconds",
  eventsurl: "that API is retired; Microsoft Graph is used instead",
  endpoint: "that API is retired; Microsoft Graph is used instead",
  endpointurl: "that API is retired; Microsoft Graph is used instead",
};

/** Audiences that today's APIs do not accept. */
const RETIRED_RESOURCES = /graph\.windows\.net|wdatpalertexport/i;

/**
 * Reads an old `WDATP-connector.properties`, old Splunk input stanzas, or a single refresh token, and reports
 * for each line how it was used.
 * @param latin1Text one character per byte
 * @param given today's keys that the command got elsewhere (flags, environment), which are not missing
 */
export function readOldConfiguration(
  latin1Text: string,
  name: string,
  given: ReadonlySet<string> = new Set(),
): Migration {
  const text = latin1Text.replace(/^\u00ef\u00bb\u00bf/, "");
  if (isLoneToken(text))
    return finished(
      { refresh_token: text.trim() },
      [{ about: "refresh token", fate: "taken", say: "The refresh token is taken over." }],
      given,
    );
  const pairs = /\.conf$/i.test(name) ? confPairs(text) : propertyPairs(text);
  const values: Record<string, string> = {};
  const lines: MigrationLine[] = [];
  for (const [key, value] of pairs) lines.push(...take(key, value, values));
  return finished(values, lines, given);
}

/**
 * Microsoft's refresh tokens begin with `0.A` or `1.A` and contain no white space; older ones (`AQABAAAA…`)
 * are base64url.
 */
function isLoneToken(text: string): boolean {
  return /^\s*[A-Za-z0-9._~+/-]{200,}\s*$/.test(text) && !text.includes("=");
}

function propertyPairs(text: string): readonly (readonly [string, string])[] {
  const reading = readPropertiesText(text);
  return reading.ok ? [...reading.byKey].map(([key, property]) => [key, property.value] as const) : [];
}

function confPairs(text: string): readonly (readonly [string, string])[] {
  const stanza = readConf(text).find(
    (one) => one.name !== "default" && Object.keys(one.values).some((key) => ownEntry(TAKEN, plain(key)) !== undefined),
  );
  if (!stanza) return [];
  const name = stanza.name.replace(/^[^:]+:\/\//, "");
  const named = Object.entries(stanza.values).some(([key, value]) => plain(key) === "name" && value.trim() !== "");
  return [...(named ? [] : [["name", name] as const]), ...Object.entries(stanza.values)];
}

function plain(key: string): string {
  return key.toLowerCase().replace(/[^a-z0-9]/g, "");
}

function take(key: string, value: string, values: Record<string, string>): readonly MigrationLine[] {
  const name = plain(key);
  if (value.trim() === "") return [];
  const today = ownEntry(TAKEN, name);
  if (today !== undefined) {
    values[today] = value.trim();
    return [
      {
        about: key,
        fate: "taken",
        say: `${key} becomes ${today}${SECRETS.has(today) ? "" : ` = ${printable(value)}`}.`,
      },
    ];
  }
  if (name === "tokenurl" || name === "loginurl" || name === "oauth2tokenrefreshurl")
    return takeLogin(key, value, values);
  if (name === "resource") {
    return RETIRED_RESOURCES.test(value)
      ? [
          {
            about: key,
            fate: "meaningless",
            say: `${key} is dropped: that resource belongs to the retired API. The resource now follows from cloud and stream.`,
          },
        ]
      : [
          {
            about: key,
            fate: "meaningless",
            say: `${key} is dropped: the resource now follows from cloud and stream. Set resource yourself if you need another one.`,
          },
        ];
  }
  const why = ownEntry(MEANINGLESS, name);
  return [
    {
      about: key,
      fate: "meaningless",
      say: why ? `${key} is dropped: ${why}.` : `${key} is dropped: it is not used any more.`,
    },
  ];
}

function takeLogin(key: string, value: string, values: Record<string, string>): readonly MigrationLine[] {
  let url: URL;
  try {
    url = new URL(value.trim());
  } catch {
    return [{ about: key, fate: "meaningless", say: `${key} is dropped: it is not a valid address.` }];
  }
  const lines: MigrationLine[] = [];
  const tenant = url.pathname.split("/").find((part) => tenantIdFrom(part) !== undefined || /\.[a-z]{2,}$/i.test(part));
  if (tenant !== undefined && values["tenant_id"] === undefined) {
    values["tenant_id"] = tenant.toLowerCase();
    lines.push({
      about: key,
      fate: "taken",
      say: `${key} names the tenant: tenant_id = ${printable(tenant.toLowerCase())}.`,
    });
  }
  const cloud = cloudOfLoginHost(url.host);
  if (cloud === "commercial") {
    lines.push({ about: key, fate: "meaningless", say: `The host of ${key} is dropped, because it is the default.` });
  } else if (cloud !== undefined) {
    values["cloud"] = cloud;
    lines.push({
      about: key,
      fate: "taken",
      say: `${key} belongs to a US Government cloud: cloud = ${cloud}. Write dod if the customer is in the DoD cloud.`,
    });
  } else {
    values["login_url"] = url.origin;
    lines.push({ about: key, fate: "taken", say: `${key} becomes login_url = ${url.origin}.` });
  }
  return lines;
}

/** Adds what today's APIs need and the old forms did not have. */
function finished(
  values: Readonly<Record<string, string>>,
  lines: readonly MigrationLine[],
  given: ReadonlySet<string>,
): Migration {
  const missing: MigrationLine[] = [];
  const need = (key: string, say: string): void => {
    if (values[key] === undefined && !given.has(key)) missing.push({ about: key, fate: "missing", say });
  };
  need("tenant_id", "tenant_id is missing: give the customer's tenant with --tenant-id.");
  need("client_id", "client_id is missing: give the application (client) ID with --client-id.");
  if (!["client_secret", "certificate", "assertion"].some((key) => values[key] !== undefined || given.has(key)))
    missing.push({
      about: "client_secret",
      fate: "missing",
      say: "client_secret is missing: you will be asked for it.",
    });
  missing.push({
    about: "consent",
    fate: "missing",
    say: "Today's APIs need their own consent, which the old sign-in did not include. Send the customer the link that `defender-mssp consent-url` prints, then sign in again.",
  });
  return { values, lines: [...lines, ...missing] };
}

function printable(value: string): string {
  return value
    .trim()
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, 100);
}
