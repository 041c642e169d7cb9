import type { Ready } from "./start.ts";

/** The simulator's customers as lines of a properties file: each with its own app, and with `more`. */
export function tenantLines(
  { customers, login_url, graph_url, ca_file }: Ready,
  more: Readonly<Record<string, string>> = {},
): readonly string[] {
  return customers.flatMap(({ tenant_id, tenant_name, client_id, client_secret }, n) => {
    const app = { tenant_id, tenant_name, client_id, client_secret, auth: "app" };
    const values = { ...app, login_url, graph_url, ca_file, ...more };
    return Object.entries(values).map(([key, value]) => `tenants[${n}].${key}=${value}`);
  });
}
