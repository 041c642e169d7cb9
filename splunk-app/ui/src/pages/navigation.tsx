import Link from "@splunk/react-ui/Link";
import type { ReactElement } from "react";

/** One line each, in the order in which they are shown. */
const ENTRIES: readonly (readonly [page: string, label: string])[] = [
  ["customers", "Customers"],
  ["import", "Import"],
  ["credentials", "Credentials"],
  ["health", "Health"],
  ["log", "Log"],
  ["settings", "Settings"],
];

/** Above each page: the way to the others. */
export function Navigation({ current }: { readonly current: string }): ReactElement {
  return (
    <nav aria-label="Pages" style={{ display: "flex", flexWrap: "wrap", gap: 16, marginBottom: 8 }}>
      {ENTRIES.map(([page, label]) => (
        <Link key={page} to={`#/${page}`} {...(page === current ? { "aria-current": "page" as const } : {})}>
          {page === current ? <strong>{label}</strong> : label}
        </Link>
      ))}
    </nav>
  );
}
