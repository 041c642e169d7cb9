/**
 * One spelling of each value, whichever API it came from: filters in ArcSight compare with case. The words
 * are those of Graph's enumerations (Microsoft Graph v1.0 schema); the older APIs write some of them with a
 * capital (`New`) and have other names for some. A word that is not here stays as it was received.
 */

type Words = Readonly<Record<string, readonly string[]>>;

const STATUS: Words = {
  unknown: [],
  new: [],
  active: [],
  inProgress: [],
  resolved: [],
  redirected: [],
  awaitingAction: [],
};

const CLASSIFICATION: Words = {
  unknown: ["notavailable"],
  falsePositive: [],
  truePositive: [],
  informationalExpectedActivity: [],
};

const DETERMINATION: Words = {
  unknown: ["notavailable"],
  apt: [],
  malware: [],
  securityPersonnel: [],
  securityTesting: [],
  unwantedSoftware: [],
  other: [],
  multiStagedAttack: [],
  compromisedAccount: ["compromiseduser"],
  phishing: [],
  maliciousUserActivity: [],
  notMalicious: ["clean"],
  notEnoughDataToValidate: ["insufficientdata", "insufficientinformation"],
  confirmedActivity: ["confirmeduseractivity"],
  lineOfBusinessApplication: [],
};

const DETECTION_SOURCE: Words = {
  unknown: [],
  microsoftDefenderForEndpoint: ["windowsdefenderatp", "microsoftdefenderatp", "mdatp", "edr"],
  antivirus: ["windowsdefenderav"],
  smartScreen: ["windowsdefendersmartscreen"],
  customTi: ["customerti"],
  microsoftDefenderForOffice365: ["officeatp"],
  automatedInvestigation: [],
  microsoftThreatExperts: ["threatexperts"],
  customDetection: [],
  microsoftDefenderForIdentity: ["azureatp"],
  cloudAppSecurity: ["mcas", "microsoftcloudappsecurity"],
  microsoft365Defender: ["mtp", "microsoftthreatprotection"],
  azureAdIdentityProtection: ["aadidentityprotection"],
  manual: [],
  microsoftDataLossPrevention: [],
  appGovernancePolicy: [],
  appGovernanceDetection: [],
  microsoftDefenderForCloud: [],
  microsoftDefenderForIoT: [],
  microsoftDefenderForServers: [],
  microsoftDefenderForStorage: [],
  microsoftDefenderForDNS: [],
  microsoftDefenderForDatabases: [],
  microsoftDefenderForContainers: [],
  microsoftDefenderForNetwork: [],
  microsoftDefenderForAppService: [],
  microsoftDefenderForKeyVault: [],
  microsoftDefenderForResourceManager: [],
  microsoftDefenderForApiManagement: [],
  nrtAlerts: [],
  scheduledAlerts: [],
  microsoftDefenderThreatIntelligenceAnalytics: [],
  builtInMl: [],
  microsoftInsiderRiskManagement: [],
  microsoftThreatIntelligence: [],
  microsoftDefenderForAIServices: [],
  securityCopilot: [],
  microsoftSentinel: ["azuresentinel"],
};

const INVESTIGATION_STATE: Words = {
  unknown: [],
  terminated: [],
  successfullyRemediated: [],
  benign: [],
  failed: [],
  partiallyRemediated: [],
  running: [],
  pendingApproval: [],
  pendingResource: [],
  queued: [],
  innerFailure: [],
  preexistingAlert: [],
  unsupportedOs: [],
  unsupportedAlertType: [],
  suppressedAlert: [],
  partiallyInvestigated: [],
  terminatedByUser: [],
  terminatedBySystem: [],
};

const VERDICT: Words = { unknown: [], suspicious: [], malicious: [], noThreatsFound: ["clean"] };

const DETECTION_STATUS: Words = { detected: [], blocked: [], prevented: [] };

const REMEDIATION_STATUS: Words = {
  none: [],
  remediated: [],
  prevented: [],
  blocked: [],
  notFound: [],
  active: [],
  pendingApproval: [],
  declined: [],
  unremediated: [],
  running: [],
  partiallyRemediated: [],
};

const DELIVERY_ACTION: Words = {
  unknown: [],
  delivered: [],
  deliveredAsSpam: [],
  junked: [],
  blocked: [],
  replaced: [],
};

function spellingsOf(words: Words): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(words).flatMap(([word, others]) =>
      [word, word.toLowerCase(), ...others].map((name) => [name, word] as const),
    ),
  );
}

const SPELLINGS = {
  status: spellingsOf(STATUS),
  classification: spellingsOf(CLASSIFICATION),
  determination: spellingsOf(DETERMINATION),
  detectionSource: spellingsOf(DETECTION_SOURCE),
  investigationState: spellingsOf(INVESTIGATION_STATE),
  verdict: spellingsOf(VERDICT),
  detectionStatus: spellingsOf(DETECTION_STATUS),
  remediationStatus: spellingsOf(REMEDIATION_STATUS),
  deliveryAction: spellingsOf(DELIVERY_ACTION),
} as const;

/** The value in Graph's spelling. */
export function spelled(member: keyof typeof SPELLINGS, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const spellings = SPELLINGS[member];
  return spellings.get(text) ?? spellings.get(text.toLowerCase()) ?? text;
}
