/** Entra's built-in roles by their template id. Source: Entra docs, "Microsoft Entra built-in roles". */
export const ROLE_TEMPLATES: Readonly<Record<string, string>> = {
  "Application Administrator": "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
  "Cloud Application Administrator": "158c047a-c907-4556-b7ef-446551a6b5f7",
  "Directory Readers": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
  "Global Administrator": "62e90394-69f5-4237-9190-012177145e10",
  "Global Reader": "f2ef992c-3afb-46b9-b7cf-a126ee74c451",
  "Privileged Role Administrator": "e8611ab8-c189-46e8-94e1-60213ab1f814",
  "Security Administrator": "194ae4cb-b126-40b2-bd5b-6091b380977d",
  "Security Operator": "5f2222b1-57c3-48ba-8ad5-d4759f1fde6f",
  "Security Reader": "5d6b6bb7-de71-4623-b4af-96380a352509",
  "User Administrator": "fe930be7-5e62-47db-91af-98c3a49a38b1",
};

const TEMPLATE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The template id of a role, given by its name or by the id itself; undefined for a name nobody knows. */
export const roleTemplateId = (role: string): string | undefined =>
  TEMPLATE_ID.test(role) ? role.toLowerCase() : ROLE_TEMPLATES[role];

export const roleName = (id: string): string | undefined =>
  Object.keys(ROLE_TEMPLATES).find((name) => ROLE_TEMPLATES[name] === id);

/** Roles whose holder may give application permissions of Graph (docs: grant-admin-consent). */
export const MAY_GRANT_APP_ROLES: readonly string[] = ["Privileged Role Administrator", "Global Administrator"].map(
  (name) => ROLE_TEMPLATES[name] ?? "",
);

/** Roles that Partner Center wants of whoever consents for a customer (docs: exchange-online-gdap-app). */
export const MAY_CONSENT: readonly string[] = [
  ...MAY_GRANT_APP_ROLES,
  ROLE_TEMPLATES["Cloud Application Administrator"] ?? "",
];
