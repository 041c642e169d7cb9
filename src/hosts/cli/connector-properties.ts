import { readPropertiesText, withProperty } from "../../config/java-properties.ts";
import { CLOUDS } from "../../model/cloud.ts";
import { Failure } from "../../model/failure.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { Stanza } from "../../model/stanza.ts";

export interface ConnectorSignIn {
  readonly stanza: Stanza;
  readonly refreshToken: Sealed;
  readonly redirectUri: string;
}

/**
 * The old connector's file, in the order in which Microsoft's page listed its keys. Source: Defender for
 * Endpoint docs of 2017, configure-arcsight.
 */
const NEW_FILE = [
  "# OAuth 2 client properties for the ArcSight helper: defender-mssp arcsight run --config THIS_FILE",
  "# client_secret: the app key's VALUE. Leave it empty when certificate or a shared credential is used.",
  "",
].join("\n");

/**
 * Puts a sign-in into a connector's properties file. A new file gets the old keys, ready to use, with
 * `client_secret=` left to fill in when no key was given; an existing one keeps every other line as it is. In
 * a file with several customers (`tenants[n].…`) the customer's own block is found by its tenant.
 *
 * @param before the file as it is, one character per byte; undefined when there is none.
 */
export function connectorProperties(before: string | undefined, signIn: ConnectorSignIn, path: string): Sealed {
  const text = before ?? NEW_FILE;
  const reading = readPropertiesText(text);
  if (!reading.ok) {
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: `${path} cannot be changed: line ${reading.line}: ${reading.say}`,
      nextStep: "Correct the line, or name another file.",
    });
  }
  const values = new Map([...reading.byKey].map(([key, property]) => [key, property.value] as const));
  const entries = [...values.keys()].some((key) => key.startsWith("tenants["))
    ? blockEntries(values, signIn)
    : flatEntries(values, signIn);
  return sealed(entries.reduce((all, [key, value]) => withProperty(all, key, value), text));
}

type Entries = readonly (readonly [key: string, value: string])[];

function flatEntries(
  values: ReadonlyMap<string, string>,
  { stanza, refreshToken, redirectUri }: ConnectorSignIn,
): Entries {
  const base = `${stanza.endpoints.loginUrl}/${stanza.tenantId}/oauth2/v2.0`;
  // The old spelling stays where it is; the connector's own examples used both.
  const clientKey = values.has("client_ID") ? "client_ID" : "client_id";
  const secret = stanza.clientSecret?.open((value) => value);
  const other = values.get("token_url");
  if (other !== undefined && other !== "" && !other.toLowerCase().includes(`/${stanza.tenantId.toLowerCase()}/`)) {
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: "The file belongs to another customer: its token_url names another tenant.",
      nextStep: "Name another file, or write this customer as a block tenants[0].tenant_id=… of one file.",
    });
  }
  return [
    [clientKey, stanza.clientId ?? ""],
    ...(secret !== undefined
      ? [["client_secret", secret] as const]
      : values.has("client_secret")
        ? []
        : [["client_secret", ""] as const]),
    ["auth_url", `${base}/authorize`],
    ["token_url", `${base}/token`],
    ["redirect_uri", redirectUri],
    ...(values.has("scope") ? [] : [["scope", ""] as const]),
    ["reauthenticate", "false"],
    ...(values.has("tenant_name") || stanza.tenantName === stanza.tenantId
      ? []
      : [["tenant_name", stanza.tenantName] as const]),
    ...(stanza.cloud === "commercial" && !values.has("cloud") ? [] : [["cloud", stanza.cloud] as const]),
    ...placeEntries(stanza),
    ["refresh_token", refreshToken.open((value) => value)],
  ];
}

/**
 * Where the sign-in was made, as far as that is not what the cloud says: the file must lead the helper to the
 * same place.
 */
function placeEntries({ cloud, endpoints, route }: Stanza): Entries {
  const row = CLOUDS[cloud];
  const entries: (readonly [string, string])[] = [];
  if (endpoints.loginUrl !== row.loginUrl) entries.push(["login_url", endpoints.loginUrl]);
  if (endpoints.graphUrl !== row.graphUrl) entries.push(["graph_url", endpoints.graphUrl]);
  if (endpoints.apiUrl !== row.apiUrl) entries.push(["api_url", endpoints.apiUrl]);
  if (route.caFile !== undefined) entries.push(["ca_file", route.caFile]);
  return entries;
}

function blockEntries(values: ReadonlyMap<string, string>, { stanza, refreshToken }: ConnectorSignIn): Entries {
  const numbers = [...values.keys()].flatMap((key) =>
    /^tenants\[(\d+)\]\./.exec(key) ? [Number(/\d+/.exec(key)![0])] : [],
  );
  const mine = numbers.find(
    (n) => values.get(`tenants[${n}].tenant_id`)?.trim().toLowerCase() === stanza.tenantId.toLowerCase(),
  );
  const token = refreshToken.open((value) => value);
  if (mine !== undefined) return [[`tenants[${mine}].refresh_token`, token]];
  const next = Math.max(-1, ...numbers) + 1;
  return [
    [`tenants[${next}].tenant_id`, stanza.tenantId],
    [`tenants[${next}].tenant_name`, stanza.tenantName],
    ...(stanza.clientId === undefined ? [] : [[`tenants[${next}].client_id`, stanza.clientId] as const]),
    [`tenants[${next}].refresh_token`, token],
  ];
}
