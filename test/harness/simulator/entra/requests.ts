import type { Exchange } from "../exchange.ts";
import { SHARED_APP } from "../identity.ts";
import type { Customer } from "../world.ts";

export type Form = (name: string) => string | undefined;

/** An AADSTS number with the values its text wants. */
export interface Refusal {
  readonly number: number;
  readonly values?: Readonly<Record<string, string>>;
}

/** A token request, read: form fields, client id, and the secret from the form or from HTTP Basic. */
export interface ClientForm {
  readonly form: Form;
  readonly clientId: string | undefined;
  readonly secret: string | undefined;
}

export async function readClientForm(exchange: Exchange): Promise<ClientForm> {
  const fields = new URLSearchParams(await exchange.body());
  const form: Form = (name) => fields.get(name) || undefined;
  const basic = /^Basic (.+)$/i.exec(exchange.request.headers.authorization ?? "")?.[1];
  const [id, secret] =
    basic === undefined ? [] : Buffer.from(basic, "base64").toString().split(":").map(decodeURIComponent);
  return { form, clientId: form("client_id") ?? id, secret: form("client_secret") ?? secret };
}

export const isShared = (tenant: string): boolean => ["common", "organizations"].includes(tenant);

/** Whether the app exists in the customer's tenant at all. */
export function appProblem(customer: Customer, clientId: string): number | undefined {
  if (customer.consentedApps.has(clientId)) return undefined;
  if (clientId !== customer.identity.clientId && clientId !== SHARED_APP.clientId) return 700016;
  return customer.consent === "absent" ? 700016 : undefined;
}

/** Sends the browser back to the app. */
export function redirect(
  exchange: Exchange,
  to: string,
  query: Readonly<Record<string, string | null | undefined>>,
): void {
  const target = new URL(to);
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined) target.searchParams.set(name, value);
  exchange.response.writeHead(302, {
    location: target.href,
    "content-length": "0",
    date: new Date(exchange.nowMs).toUTCString(),
  });
  exchange.response.end();
}
