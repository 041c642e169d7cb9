import type { TokenApi } from "../model/sign-in.ts";

export interface ApiIdentity {
  /** As the portal lists it under "APIs my organization uses". */
  readonly portalName: string;
  readonly appId: string;
  /** Everything that may stand in `aud`, in lower case without a slash at the end. */
  readonly audiences: readonly string[];
}

/**
 * Sources: Microsoft Graph docs; Defender XDR docs, api-create-app-web; Defender for Endpoint docs,
 * exposed-apis-create-app-webapp, gov.
 */
export const API_IDENTITIES: Readonly<Record<TokenApi, ApiIdentity>> = {
  graph: {
    portalName: "Microsoft Graph",
    appId: "00000003-0000-0000-c000-000000000000",
    audiences: [
      "https://graph.microsoft.com",
      "https://graph.microsoft.us",
      "https://dod-graph.microsoft.us",
      "00000003-0000-0000-c000-000000000000",
    ],
  },
  xdr: {
    portalName: "Microsoft Threat Protection",
    appId: "8ee8fdad-f234-4243-8f3b-15c294843740",
    audiences: [
      "https://api.security.microsoft.com",
      "https://api-gcc.security.microsoft.us",
      "https://api-gov.security.microsoft.us",
      "8ee8fdad-f234-4243-8f3b-15c294843740",
    ],
  },
  mde: {
    portalName: "WindowsDefenderATP",
    appId: "fc780465-2017-40d4-a0c5-307022471b92",
    audiences: [
      "https://api.securitycenter.microsoft.com",
      "https://api.securitycenter.windows.com",
      "https://securitycenter.onmicrosoft.com/windowsatpservice",
      "https://api-gcc.securitycenter.microsoft.us",
      "https://api-gov.securitycenter.microsoft.us",
      "fc780465-2017-40d4-a0c5-307022471b92",
    ],
  },
  siem: {
    portalName: "WDATPAlertExport",
    appId: "00000002-0000-0000-c000-000000000000",
    audiences: [
      "https://graph.windows.net",
      "https://wdatpalertexport.seville.onmicrosoft.com",
      "00000002-0000-0000-c000-000000000000",
    ],
  },
};

/** Which API an audience belongs to. */
export function apiOfAudience(audience: string): TokenApi | undefined {
  const plain = audience.toLowerCase().replace(/\/+$/, "");
  return (Object.keys(API_IDENTITIES) as TokenApi[]).find((api) => API_IDENTITIES[api].audiences.includes(plain));
}
