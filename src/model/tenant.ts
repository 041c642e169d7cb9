import type { CloudName } from "./cloud.ts";

/** A tenant's GUID, always in lower case. */
export type TenantId = string & { readonly is: "tenant-id" };

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function tenantIdFrom(text: string): TenantId | undefined {
  const trimmed = text.trim().replace(/^\{|\}$/g, "");
  return GUID.test(trimmed) ? (trimmed.toLowerCase() as TenantId) : undefined;
}

/** The customer as events name it. */
export interface Tenant {
  readonly id: TenantId;
  readonly name: string;
  readonly cloud: CloudName;
}
