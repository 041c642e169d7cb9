/** What splunkd lets a person do, as far as the pages need it. */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

/** As `authentication/current-context` says. */
export interface Person {
  readonly username: string;
  readonly roles: readonly string[];
  readonly capabilities: readonly string[];
}

export const ADMIN: Person = {
  username: "admin",
  roles: ["admin"],
  capabilities: ["admin_all_objects", "edit_storage_passwords", "list_storage_passwords", "list_inputs", "search"],
};

/**
 * Splunk's words where this person may not do it; undefined where it may. (Public source:
 * authorize.conf.spec; which capability a modular input needs is what the pages assume, and no real Splunk
 * has shown it.)
 *
 * @param path below `services`, decoded.
 * @param app its folder holds metadata/default.meta, whose collections have access lists.
 */
export function refusalFor(
  { capabilities, roles }: Person,
  method: string,
  [first = "", second = "", third = "", collection = ""]: readonly string[],
  app: string,
): string | undefined {
  const has = (capability: string): boolean => capabilities.includes(capability);
  const lacks = (capability: string): string | undefined =>
    has(capability) ? undefined : `The following capability is required: ${capability}.`;
  const isRead = method === "GET";
  if (first === "data" && second === "inputs") return lacks(isRead ? "list_inputs" : "admin_all_objects");
  if (first === "configs") return isRead ? undefined : lacks("admin_all_objects");
  if (first === "storage" && second === "passwords") return lacks("edit_storage_passwords");
  if (first === "search" && second !== "timeparser") return lacks("search");
  if (first !== "storage" || third !== "data" || has("admin_all_objects")) return undefined;
  const allowed = accessTo(`collections/${collection}`, isRead ? "read" : "write", app);
  return allowed.includes("*") || allowed.some((role) => roles.includes(role))
    ? undefined
    : `User does not have ${isRead ? "read" : "write"} access to the collection ${collection}.`;
}

/** Roles of an access list; the whole app's where there is no list for this object. */
function accessTo(object: string, what: "read" | "write", app: string): readonly string[] {
  const file = path.join(app, "metadata/default.meta");
  const meta = existsSync(file) ? readFileSync(file, "utf8") : "";
  const of = (name: string): readonly string[] | undefined => {
    const [, stanza = ""] = meta.split(`\n[${name}]\n`);
    const [, roles] =
      new RegExp(`^access\\s*=.*\\b${what}\\s*:\\s*\\[([^\\]]*)\\]`, "m").exec(stanza.split("\n[")[0] ?? "") ?? [];
    return roles?.split(",").map((role) => role.trim());
  };
  return of(object) ?? of("") ?? ["*"];
}
