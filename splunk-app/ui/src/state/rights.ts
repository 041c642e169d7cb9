/** What the person who is logged in may do. Pages offer nothing that splunkd would refuse. */
export interface Person {
  readonly user: string;
  readonly roles: readonly string[];
  readonly capabilities: readonly string[];
}

export type Capability = "admin_all_objects" | "edit_storage_passwords" | "list_inputs" | "search";

/** What these pages need, and what for. */
export const CAPABILITIES: readonly (readonly [capability: Capability, use: string])[] = [
  ["admin_all_objects", "save, test, enable and delete inputs, use shared credentials, and save settings"],
  ["edit_storage_passwords", "add an input, and hand a typed secret to it"],
  ["list_inputs", "see the inputs"],
  ["search", "plots on Health, 24 hours of a customer, Log"],
];

export const CHANGES: readonly Capability[] = ["admin_all_objects"];
export const ADDS: readonly Capability[] = ["admin_all_objects", "edit_storage_passwords"];

export const SEARCHES: readonly Capability[] = ["search"];

/** Splunk Cloud's administrator. It has other capabilities than `admin`, so there splunkd decides. */
const CLOUD_ADMINISTRATOR = "sc_admin";

/**
 * What the person lacks of these.
 *
 * @param person undefined while nobody knows: then splunkd decides, too.
 */
export function missingOf(person: Person | undefined, needs: readonly Capability[]): readonly Capability[] {
  if (person === undefined || person.roles.includes(CLOUD_ADMINISTRATOR)) return [];
  return needs.filter((one) => !person.capabilities.includes(one));
}

/** What is missing, what for, and who can grant it; empty where nothing is missing. */
export function missingSentence(person: Person | undefined, needs: readonly Capability[]): string {
  const missing = missingOf(person, needs);
  if (missing.length === 0) return "";
  const named = CAPABILITIES.filter(([capability]) => missing.includes(capability)).map(
    ([capability, use]) => `${capability} (${use})`,
  );
  return `Your roles lack: ${named.join("; ")}. Ask an administrator of Splunk for this, or for the role admin or sc_admin. This page shows what you may see.`;
}
