/**
 * Microsoft's clouds as one table. Sources: Microsoft Graph docs "National cloud deployments", Defender for
 * Endpoint "US government customers" (gov.md), Defender XDR usgov.md. An app registration and its tokens
 * belong to one cloud and do not cross.
 */
export const CLOUD_NAMES = ["commercial", "gcc", "gcc-high", "dod"] as const;
export type CloudName = (typeof CLOUD_NAMES)[number];

/** Where a customer's cloud answers; every value is an origin without a trailing slash. */
export interface CloudRow {
  readonly loginUrl: string;
  readonly graphUrl: string;
  /** Defender XDR (`/api/incidents`) and, where the same host serves it, Defender for Endpoint. */
  readonly apiUrl: string;
  /** Defender for Endpoint (`/api/alerts`) where its documented host differs from apiUrl. */
  readonly mdeApiUrl: string;
  readonly siemUrl: string;
  /**
   * Audiences asked for; `/.default` is appended for the v2 endpoint. Never derived from a connection
   * address.
   */
  readonly graphAudience: string;
  readonly xdrAudience: string;
  readonly mdeAudience: string;
}

export const CLOUDS: Readonly<Record<CloudName, CloudRow>> = {
  commercial: {
    loginUrl: "https://login.microsoftonline.com",
    graphUrl: "https://graph.microsoft.com",
    apiUrl: "https://api.security.microsoft.com",
    mdeApiUrl: "https://api.security.microsoft.com",
    siemUrl: "https://wdatp-alertexporter-us.windows.com",
    graphAudience: "https://graph.microsoft.com",
    xdrAudience: "https://api.security.microsoft.com",
    mdeAudience: "https://api.securitycenter.microsoft.com",
  },
  gcc: {
    loginUrl: "https://login.microsoftonline.com",
    graphUrl: "https://graph.microsoft.com",
    apiUrl: "https://api-gcc.security.microsoft.us",
    mdeApiUrl: "https://api-gcc.securitycenter.microsoft.us",
    siemUrl: "https://wdatp-alertexporter-us.gcc.securitycenter.windows.us",
    graphAudience: "https://graph.microsoft.com",
    xdrAudience: "https://api-gcc.security.microsoft.us",
    mdeAudience: "https://api-gcc.securitycenter.microsoft.us",
  },
  "gcc-high": {
    loginUrl: "https://login.microsoftonline.us",
    graphUrl: "https://graph.microsoft.us",
    apiUrl: "https://api-gov.security.microsoft.us",
    mdeApiUrl: "https://api-gov.securitycenter.microsoft.us",
    siemUrl: "https://wdatp-alertexporter-us.securitycenter.windows.us",
    graphAudience: "https://graph.microsoft.us",
    xdrAudience: "https://api-gov.security.microsoft.us",
    mdeAudience: "https://api-gov.securitycenter.microsoft.us",
  },
  dod: {
    loginUrl: "https://login.microsoftonline.us",
    graphUrl: "https://dod-graph.microsoft.us",
    apiUrl: "https://api-gov.security.microsoft.us",
    mdeApiUrl: "https://api-gov.securitycenter.microsoft.us",
    siemUrl: "https://wdatp-alertexporter-us.securitycenter.windows.us",
    graphAudience: "https://dod-graph.microsoft.us",
    xdrAudience: "https://api-gov.security.microsoft.us",
    mdeAudience: "https://api-gov.securitycenter.microsoft.us",
  },
};

/**
 * Partner Center's API, and the audience of its tokens. Source: Partner Center docs, "Partner Center
 * authentication".
 */
export const PARTNERCENTER_URL = "https://api.partnercenter.microsoft.com";

const MICROSOFTS_ORIGINS: ReadonlySet<string> = new Set([
  PARTNERCENTER_URL,
  ...CLOUD_NAMES.flatMap((name) => {
    const { loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl } = CLOUDS[name];
    return [loginUrl, graphUrl, apiUrl, mdeApiUrl, siemUrl];
  }),
]);

/** Is this exactly one of Microsoft's addresses, so that no setting changed it? */
export function isMicrosoftsAddress(base: string): boolean {
  return MICROSOFTS_ORIGINS.has(base);
}
