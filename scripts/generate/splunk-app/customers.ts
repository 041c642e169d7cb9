/** What several searches and panels say of customers with the same words. */

/** One row per input, filled from health events. */
export const LOOKUP = "defender_mssp_customers";

/** Health events come hourly. */
export const SILENT_S = 7_500;

/** Rows of the lookup without a health event for longer. */
export const SILENT_CUSTOMERS: readonly string[] = [
  `inputlookup ${LOOKUP}`,
  'where NOT state="off"',
  "eval silent_minutes=round((now()-last_seen)/60)",
  `where silent_minutes>${SILENT_S / 60}`,
];
export const SILENT_COLUMNS = "table tenant, tenant_id, input, silent_minutes, state, say, next_step";

/** Of streams: one row per input with the credential that ends first. */
export const FIRST_END =
  "stats min(credential_days_left) as days_left, first(tenant) as tenant, first(tenant_id) as tenant_id, first(input) as input, first(credential) as credential by customer_id";
export const CREDENTIAL_COLUMNS = "table tenant, tenant_id, input, credential, days_left";
