import type { Exchange } from "../exchange.ts";
import { SHARED_APP } from "../identity.ts";
import { providerApp } from "../provider/provider.ts";
import type { Customer, World } from "../world.ts";

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

/**
 * The AADSTS number when the app has no service principal in the customer's tenant. Since 2026 client
 * credentials of a known app are then answered 7000229 (Microsoft Entra docs,
 * retire-service-principal-less-authentication); users' sign-ins and unknown apps are answered 700016.
 */
export function appProblem(
  world: World,
  customer: Customer,
  clientId: string,
  signsIn: "user" | "app" = "user",
): number | undefined {
  if (customer.servicePrincipals.has(clientId)) return undefined;
  return signsIn === "app" && isKnownApp(world, clientId) ? customer.absentApp : 700016;
}

export function isKnownApp(world: World, clientId: string): boolean {
  if (clientId === SHARED_APP.clientId || world.directory.find(clientId) !== undefined) return true;
  // The provider's home app is a single-tenant one, which no other tenant has heard of.
  if (providerApp(world, clientId) !== undefined) return clientId !== world.provider?.apps.home.clientId;
  for (const { identity } of world.customers.values()) if (identity.clientId === clientId) return true;
  return false;
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
