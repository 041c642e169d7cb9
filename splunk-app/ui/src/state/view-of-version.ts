const FIRST_WITH_TEMPLATE = [10, 4] as const;

/**
 * The view that holds the pages: Splunk has the template of one of them from 10.4 on.
 *
 * @param version for example `10.4.0`; undefined where it cannot be read.
 */
export function viewOfVersion(version: string): string | undefined {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return undefined;
  const [firstMajor, firstMinor] = FIRST_WITH_TEMPLATE;
  const isNew = Number(major) > firstMajor || (Number(major) === firstMajor && Number(minor) >= firstMinor);
  return isNew ? "defender_mssp" : "defender_mssp_classic";
}
