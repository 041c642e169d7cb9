/** What is installed in Splunk: the add-on that collects, and the app for search heads. */
export const APPS = ["TA_defender_mssp", "SA_defender_mssp"] as const;
export type AppName = (typeof APPS)[number];
