import type { PageLink } from "../model/ports.ts";

/**
 * Whether a next link may be followed: only over https and only to the requested origin, because the access
 * token is sent with it. A link to another host would give the token to that host. The link itself is kept
 * exactly as Microsoft sent it.
 */
export function pageLink(nextLink: string | undefined, base: string): PageLink {
  if (nextLink === undefined || nextLink === "") return { kind: "none" };
  let url: URL;
  try {
    url = new URL(nextLink);
  } catch {
    return { kind: "elsewhere", origin: "(not an address)" };
  }
  const asksForLogin = url.username !== "" || url.password !== "";
  if (url.protocol !== "https:" || url.origin !== new URL(base).origin || asksForLogin)
    return { kind: "elsewhere", origin: url.origin };
  return { kind: "next", url: nextLink };
}
