import { createHash, createHmac } from "node:crypto";

/**
 * Who a customer is to Entra. Everything derives from the customer's name, so that two runs agree without a
 * file.
 */
export interface Identity {
  readonly name: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The verified domain, usable in place of the tenant id in Entra's paths. */
  readonly domain: string;
  /** The user who signed in for the MSSP. */
  readonly userId: string;
  readonly userName: string;
}

const SEED = "defender-mssp simulator";
const SECRET_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

function bytes(label: string, name: string): Buffer {
  return createHmac("sha256", SEED).update(`${label}\0${name}`).digest();
}

/** A version 4 GUID, lower case, derived from a label and a name. */
export function guid(label: string, name: string): string {
  const raw = bytes(label, name).subarray(0, 16);
  raw[6] = ((raw[6] ?? 0) & 0x0f) | 0x40;
  raw[8] = ((raw[8] ?? 0) & 0x3f) | 0x80;
  const hex = raw.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A client secret of 40 characters in the shape of Entra's (`xxx8Q~…`). */
export function clientSecret(name: string, generation = 0): string {
  const label = generation === 0 ? "secret" : `secret ${generation}`;
  const raw = Buffer.concat([bytes(label, name), bytes(`${label} tail`, name)]);
  const letters = Array.from(raw, (byte) => SECRET_LETTERS[byte % SECRET_LETTERS.length]).join("");
  return `${letters.slice(0, 3)}8Q~${letters.slice(3, 37)}`;
}

export function identityOf(name: string): Identity {
  const label = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "") || "customer";
  const domain = `${label}.onmicrosoft.com`;
  return {
    name,
    tenantId: guid("tenant", name),
    clientId: guid("client", name),
    clientSecret: clientSecret(name),
    domain,
    userId: guid("user", name),
    userName: `mssp-reader@${domain}`,
  };
}

/** The MSSP's own multi-tenant app: known in every customer's tenant beside the customer's own app. */
export const SHARED_APP = { clientId: guid("client", "mssp"), clientSecret: clientSecret("mssp") } as const;

/** As long as real ones are: Splunk's limit of 255 characters per stored password must bite. */
const REFRESH_TOKEN_CHARACTERS = 1200;

interface RefreshTokenContent {
  readonly name: string;
  /** 0 is the token of the ready line; each redemption makes the next. */
  readonly generation: number;
  readonly clientId: string;
  /** From the device code flow: it belongs to a public client and is redeemed without a client secret. */
  readonly isPublic?: boolean;
}

/**
 * A refresh token that carries its own content, so that one handed out before a restart of the simulator is
 * still good after it, as Entra's are. The rest is filler.
 */
export function refreshToken(content: RefreshTokenContent): string {
  const body = Buffer.from(
    JSON.stringify([content.name, content.generation, content.clientId, ...(content.isPublic ? [1] : [])]),
  ).toString("base64url");
  const check = createHmac("sha256", SEED).update(body).digest("base64url");
  let token = `1.AX${body.length.toString(36).padStart(2, "0")}${body}${check}`;
  for (let round = 0; token.length < REFRESH_TOKEN_CHARACTERS; round += 1) {
    token += createHash("sha512").update(`${check}${round}`).digest("base64url");
  }
  return token.slice(0, REFRESH_TOKEN_CHARACTERS);
}

/** What a refresh token says, or undefined when it is not a token of the simulator or was cut short. */
export function readRefreshToken(token: string): RefreshTokenContent | undefined {
  if (!token.startsWith("1.AX")) return undefined;
  const length = Number.parseInt(token.slice(4, 6), 36);
  const body = token.slice(6, 6 + length);
  try {
    const [name, generation, clientId, isPublic] = JSON.parse(Buffer.from(body, "base64url").toString()) as [
      string,
      number,
      string,
      1?,
    ];
    const content = { name, generation, clientId, isPublic: isPublic === 1 };
    return refreshToken(content) === token ? content : undefined;
  } catch {
    return undefined;
  }
}
