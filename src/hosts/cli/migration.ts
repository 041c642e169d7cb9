import { readConf } from "../../config/conf-file.ts";
import { readPropertiesText } from "../../config/java-properties.ts";
import { cloudOfLoginHost } from "../../config/old-connector.ts";
import { tenantIdFrom } from "../../model/tenant.ts";

/** One line about what stood in the old configuration; no value of a secret is ever in it. */
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
 * Old names (lower case, letters and digits alone) and what became of them. Sources: Defender for Endpoint
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
  reauthenticate: "token acquire signs in again whenever it is called",
  authurl: "token acquire builds the address itself",
  redirecturi: "give it with --redirect-uri when the registration knows no other",
  oauth2accesstoken: "an access token ends after an hour; a new one is fetched with the refresh token",
  httpmethod: "alerts are always asked for with GET",
  authenticationtype: "it is always OAuth 2",
  responsetype: "answers are always JSON",
  responsehandler: "records are cut apart by this program",
  setsourcetype: "see alerts_sourcetype",
  sourcetype: "see alerts_sourcetype",
  pollinginterval: "see poll_seconds; the default of 60 is right for nearly all",
  interval: "see poll_seconds",
  eventsurl: "that API is retired; Microsoft Graph is asked instead",
  endpoint: "that API is retired; Microsoft Graph is asked instead",
  endpointurl: "that API is retired; Microsoft Graph is asked instead",
};

/** Audiences that today's APIs do not know. */
const RETIRED_RESOURCES = /graph\.windows\.net|wdatpalertexport/i;

/**
 * Reads an old `WDATP-connector.properties`, old Splunk input stanzas, or a refresh token alone, and says of
 * each line what became of it.
 * @param latin1Text one character per byte
 * @param given today's keys that the command was given otherwise (flags, environment): they are not missing
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
 * Microsoft's refresh tokens begin with `0.A` or `1.A` and hold no white space; older ones (`AQABAAAA…`) are
 * base64url.
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
    (one) => one.name !== "default" && Object.keys(one.values).some((key) => plain(key) in TAKEN),
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
  const today = TAKEN[name];
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
            say: `${key} is dropped: that resource belongs to the retired API; today's is chosen by cloud and stream.`,
          },
        ]
      : [
          {
            about: key,
            fate: "meaningless",
            say: `${key} is dropped: today's is chosen by cloud and stream. Set resource yourself if you know that you need it.`,
          },
        ];
  }
  const why = MEANINGLESS[name];
  return [
    {
      about: key,
      fate: "meaningless",
      say: why ? `${key} is dropped: ${why}.` : `${key} is dropped: it has no meaning here.`,
    },
  ];
}

function takeLogin(key: string, value: string, values: Record<string, string>): readonly MigrationLine[] {
  let url: URL;
  try {
    url = new URL(value.trim());
  } catch {
    return [{ about: key, fate: "meaningless", say: `${key} is dropped: it is no address.` }];
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
    lines.push({ about: key, fate: "meaningless", say: `The host of ${key} is dropped: it is the default.` });
  } else if (cloud !== undefined) {
    values["cloud"] = cloud;
    lines.push({
      about: key,
      fate: "taken",
      say: `${key} belongs to a US Government cloud: cloud = ${cloud}; write dod instead if the customer is there.`,
    });
  } else {
    values["login_url"] = url.origin;
    lines.push({ about: key, fate: "taken", say: `${key} becomes login_url = ${url.origin}.` });
  }
  return lines;
}

/** What today's APIs need and the old forms did not ask for. */
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
  if (!["client_secret", "certificate"].some((key) => values[key] !== undefined || given.has(key)))
    missing.push({
      about: "client_secret",
      fate: "missing",
      say: "client_secret is missing: the app key is asked for.",
    });
  missing.push({
    about: "consent",
    fate: "missing",
    say: "Today's APIs need a consent of their own, which the old sign-in did not include: send the link that consent-url prints, then sign in again.",
  });
  return { values, lines: [...lines, ...missing] };
}

function printable(value: string): string {
  return value
    .trim()
    .replace(/[^\x20-\x7e]/g, "?")
    .slice(0, 100);
}
