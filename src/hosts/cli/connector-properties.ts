import { readPropertiesText, withProperties } from "../../config/java-properties.ts";
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
 * The old connector's file, with the keys in the order of Microsoft's page. Source: Defender for
 * Endpoint docs of 2017, configure-arcsight.
 */
const NEW_FILE = [
  "# OAuth 2 client properties for the ArcSight helper: defender-mssp arcsight run --config THIS_FILE",
  "# client_secret: the value of the client secret, not its ID. Leave it empty if you use a certificate, an assertion or a shared credential.",
  "",
].join("\n");

/**
 * Writes a sign-in into a connector's properties file. A new file gets the old keys, ready to use, with an
 * empty `client_secret=` if no client secret was given. An existing file keeps every other line. In a file
 * with several customers (`tenants[n].…`) the customer's block is found by its tenant.
 *
 * @param before the current file, one character per byte; undefined if it does not exist.
 */
export function connectorProperties(before: string | undefined, signIn: ConnectorSignIn, path: string): Sealed {
  const text = before ?? NEW_FILE;
  const reading = readPropertiesText(text);
  if (!reading.ok) {
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: `${path} was not changed, because it is not a valid properties file. ${reading.say}`,
      nextStep: "Correct the line, or give another file with --file.",
    });
  }
  const values = new Map([...reading.byKey].map(([key, property]) => [key, property.value] as const));
  const entries = [...values.keys()].some((key) => key.startsWith("tenants["))
    ? blockEntries(values, signIn)
    : flatEntries(values, signIn);
  return sealed(withProperties(text, entries));
}

type Entries = readonly (readonly [key: string, value: string])[];

function flatEntries(
  values: ReadonlyMap<string, string>,
  { stanza, refreshToken, redirectUri }: ConnectorSignIn,
): Entries {
  const base = `${stanza.endpoints.loginUrl}/${stanza.tenantId}/oauth2/v2.0`;
  // The old spelling is kept; the connector's own examples used both.
  const clientKey = values.has("client_ID") ? "client_ID" : "client_id";
  const secret = stanza.clientSecret?.open((value) => value);
  const other = values.get("token_url");
  if (other !== undefined && other !== "" && !other.toLowerCase().includes(`/${stanza.tenantId.toLowerCase()}/`)) {
    throw new Failure("settings", {
      actor: "operator",
      retry: { when: "never" },
      say: "The file was not changed, because it belongs to another customer: its token_url names another tenant.",
      nextStep:
        "Give another file with --file, or write this customer as a block tenants[0].tenant_id=… into one file.",
    });
  }
  return [
    ...(stanza.clientId === undefined && stanza.credential !== undefined
      ? [["credential", stanza.credential] as const]
      : [[clientKey, stanza.clientId ?? ""] as const]),
    ...(secret !== undefined
      ? [["client_secret", secret] as const]
      : values.has("client_secret")
        ? []
        : [["client_secret", ""] as const]),
    ...proofEntries(stanza),
    ...otherProofs(values, stanza),
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

/** What the app signs in with instead of a client secret: the helper needs it to redeem the token. */
function proofEntries({ certificate, assertion }: Stanza): Entries {
  if (assertion !== undefined) return [["assertion", assertion]];
  return certificate === undefined ? [] : [["certificate", certificate]];
}

/** An app has one proof: what the file had before beside the one signed in with is emptied. */
function otherProofs(values: ReadonlyMap<string, string>, { clientSecret, certificate, assertion }: Stanza): Entries {
  const others =
    assertion !== undefined
      ? ["client_secret", "certificate"]
      : clientSecret !== undefined || certificate !== undefined
        ? ["assertion"]
        : [];
  return others.flatMap((key) => (values.get(key)?.trim() ? [[key, ""] as const] : []));
}

/**
 * Addresses of the sign-in that differ from the cloud's, because the helper must use the same addresses.
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
    ...(stanza.credential === undefined ? [] : [[`tenants[${next}].credential`, stanza.credential] as const]),
    ...proofEntries(stanza).map(([key, value]) => [`tenants[${next}].${key}`, value] as const),
    [`tenants[${next}].refresh_token`, token],
  ];
}
