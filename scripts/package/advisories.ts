/** An advisory that was looked at, and why it does not concern what ships. */
export interface Accepted {
  readonly id: string;
  readonly package: string;
  readonly reason: string;
}

interface Audit {
  readonly vulnerabilities?: Readonly<
    Record<string, { readonly via: readonly (string | { readonly url?: string; readonly title?: string })[] }>
  >;
}

/**
 * What an answer of `npm audit --json` says beyond the accepted advisories: one sentence for each new one,
 * and one for each accepted one that no package has any more. Undefined where the registry did not answer,
 * which says nothing about the packages.
 */
export function judgeAudit(answer: string, accepted: readonly Accepted[]): readonly string[] | undefined {
  let audit: Audit;
  try {
    audit = JSON.parse(answer) as Audit;
  } catch {
    return undefined;
  }
  if (audit.vulnerabilities === undefined) return undefined;
  const found = new Map<string, string>();
  for (const [name, { via }] of Object.entries(audit.vulnerabilities))
    for (const cause of via) {
      // A text names another package of the list, which has the advisory itself.
      if (typeof cause === "string") continue;
      const id = cause.url?.split("/").at(-1) ?? "without an ID";
      found.set(`${id} ${name}`, `${name} has ${id}: ${cause.title ?? "no title"}`);
    }
  const known = new Set(accepted.map((one) => `${one.id} ${one.package}`));
  return [
    ...[...found].filter(([key]) => !known.has(key)).map(([, sentence]) => sentence),
    ...accepted
      .filter((one) => !found.has(`${one.id} ${one.package}`))
      .map((one) => `${one.package} no longer has ${one.id}: remove it from scripts/package/advisories.json`),
  ];
}
