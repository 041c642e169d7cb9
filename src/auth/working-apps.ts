/**
 * Which tenants issue tokens to which app, as far as this run has seen. An app that gets a token at one
 * customer exists and is multi-tenant. So a tenant that does not know the app belongs to a customer that has
 * not consented.
 */
export class WorkingApps {
  /** By client id, the tenants whose newest answer to the app was a token. */
  readonly #tenants = new Map<string, Set<string>>();

  /** @param tenant GUID or domain */
  issued(clientId: string, tenant: string): void {
    const app = clientId.toLowerCase();
    const known = this.#tenants.get(app);
    if (known) known.add(tenant.toLowerCase());
    else this.#tenants.set(app, new Set([tenant.toLowerCase()]));
  }

  /**
   * The tenant does not know the app, or no longer. Without this, the customers of an app that the provider
   * deleted would prove each other right for ever.
   */
  notFound(clientId: string, tenant: string): void {
    this.#tenants.get(clientId.toLowerCase())?.delete(tenant.toLowerCase());
  }

  worksElsewhere(clientId: string, tenant: string): boolean {
    const others = new Set(this.#tenants.get(clientId.toLowerCase()));
    others.delete(tenant.toLowerCase());
    return others.size > 0;
  }
}
