import type { PageLink } from "../model/ports.ts";

/**
 * Whether a next link may be followed: only over https and only to the origin that was asked, because our
 * token travels along (a link that names another host would hand it to that host). The link itself is kept
 * exactly as it was sent.
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
