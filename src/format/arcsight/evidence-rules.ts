/**
 * What each kind of Graph's evidence becomes. One row per kind, by its name without
 * `#microsoft.graph.security.` and `Evidence`; names on the right are Graph's. Source: Microsoft Graph v1.0
 * schema (`alertEvidence` and its kinds). test/contracts/evidence-kinds.test.ts holds the table against it.
 */
import type { NumberFact, TextFact } from "./evidence.ts";

/** Members from the item inwards; of a list the first element, or each where all are taken. */
type Place = string;

export interface KindRules {
  /** What the older APIs call the kind; else its own name in lower case. */
  readonly named?: string;
  /** One value; of several places the first that has one. */
  readonly text?: Readonly<Partial<Record<TextFact, Place | readonly Place[]>>>;
  /** All values of a list, comma separated. */
  readonly lists?: Readonly<Partial<Record<TextFact, Place>>>;
  readonly numbers?: Readonly<Partial<Record<NumberFact, Place>>>;
  /** Where a device stands; the empty text is the item itself. */
  readonly device?: Place;
  /** A `userAccount`. */
  readonly account?: Place;
  /** A `fileDetails`. */
  readonly file?: Place;
  /** One or several pairs of algorithm and value. */
  readonly hashes?: Place;
  /** An address that is not a device's own. */
  readonly address?: Place;
  /** An address that is the item's own, as of a device. */
  readonly ownAddress?: Place;
  readonly macAddress?: Place;
  /** Two ends that belong together. */
  readonly connection?: {
    readonly near: Place;
    readonly nearPort?: Place;
    readonly far: Place;
    readonly farPort?: Place;
    /** The far end is on the side of the item's roles; else it is the destination. */
    readonly farByRole?: true;
  };
  /** What has no member of its own: it is named in `evidenceContext`. */
  readonly details?: readonly Place[];
}

const REGISTRY = { named: "registry", text: { registryKey: ["registryKey"] } } as const;

export const EVIDENCE_RULES = {
  activeDirectoryDomain: {
    text: { resourceName: "activeDirectoryDomainName" },
    details: ["trustedDomains.activeDirectoryDomainName"],
  },
  aiAgent: {
    text: { application: "agentName", applicationId: "agentId" },
    details: ["hostingPlatformType", "instructions"],
  },
  amazonResource: {
    text: { resourceId: "amazonResourceId", resourceName: "resourceName", resourceType: "resourceType" },
    details: ["amazonAccountId"],
  },
  analyzedMessage: {
    named: "mailmessage",
    text: {
      sender: ["p2Sender.emailAddress", "p1Sender.emailAddress"],
      recipient: "recipientEmailAddress",
      subject: "subject",
      deliveryAction: "deliveryAction",
      messageId: "networkMessageId",
      url: "urls",
    },
    address: "senderIp",
    details: [
      "deliveryLocation",
      "internetMessageId",
      "threats",
      "threatDetectionMethods",
      "antiSpamDirection",
      "attachmentsCount",
      "urlCount",
      "receivedDateTime",
      "language",
      "p1Sender.emailAddress",
      "p1Sender.displayName",
      "p1Sender.domainName",
      "p2Sender.displayName",
      "p2Sender.domainName",
      "urn",
      "urls",
    ],
  },
  azureResource: {
    text: { resourceId: "resourceId", resourceName: "resourceName", resourceType: "resourceType" },
  },
  blobContainer: {
    text: { resourceId: "storageResource.resourceId", resourceName: "name", url: "url" },
    details: ["storageResource.resourceName", "storageResource.resourceType"],
  },
  blob: {
    text: { fileName: "name", url: "url", resourceName: "blobContainer.name" },
    hashes: "fileHashes",
    details: [
      "blobContainer.url",
      "blobContainer.storageResource.resourceId",
      "blobContainer.storageResource.resourceName",
      "blobContainer.storageResource.resourceType",
      "etag",
    ],
  },
  cloudApplication: {
    text: { application: "displayName", applicationId: "appId" },
    details: ["instanceName", "instanceId", "saasAppId", "stream.name"],
  },
  cloudLogonRequest: { text: { resourceId: "requestId" } },
  cloudLogonSession: {
    account: "account.userAccount",
    text: { resourceId: "sessionId", userAgent: "userAgent", deviceName: "deviceName" },
    details: [
      "browser",
      "operatingSystem",
      "protocol",
      "startUtcDateTime",
      "previousLogonDateTime",
      "account.stream.name",
    ],
  },
  container: {
    text: { resourceId: "containerId", resourceName: "name" },
    details: [
      "image.imageId",
      "image.registry.registry",
      "image.digestImage.imageId",
      "pod.name",
      "pod.namespace.name",
      "isPrivileged",
      "command",
      "args",
    ],
  },
  containerImage: {
    text: { resourceId: "imageId" },
    details: ["registry.registry", "digestImage.imageId"],
  },
  containerRegistry: { text: { resourceName: "registry" } },
  device: { device: "" },
  dns: {
    text: { url: "domainName" },
    connection: { near: "hostIpAddress.ipAddress", far: "ipAddresses.ipAddress", farByRole: true },
    details: ["ipAddresses.ipAddress", "dnsServerIp.ipAddress"],
  },
  file: {
    file: "fileDetails",
    text: { deviceId: "mdeDeviceId" },
  },
  fileHash: { hashes: "", details: ["algorithm", "value"] },
  gitHubOrganization: {
    text: { resourceId: "orgId", resourceName: ["login", "displayName"], url: "webUrl" },
    details: ["displayName", "company", "email"],
  },
  gitHubRepo: {
    text: { resourceId: "repoId", resourceName: "login", url: "baseUrl" },
    details: ["owner", "ownerType"],
  },
  gitHubUser: {
    text: { userName: "login", userId: "userId", url: "webUrl" },
    details: ["name", "email"],
  },
  googleCloudResource: {
    text: { resourceId: "fullResourceName", resourceName: "resourceName", resourceType: "resourceType" },
    details: ["projectId", "projectNumber", "location", "locationType"],
  },
  hostLogonSession: {
    account: "account.userAccount",
    device: "host",
    text: { resourceId: "sessionId" },
    details: ["startUtcDateTime", "endUtcDateTime", "account.stream.name"],
  },
  ioTDevice: {
    text: { deviceName: "deviceName", deviceId: "deviceId", url: ["devicePageLink", "sourceRef.url"] },
    ownAddress: "ipAddress.ipAddress",
    macAddress: "macAddress",
    details: [
      "deviceType",
      "deviceSubType",
      "manufacturer",
      "model",
      "operatingSystem",
      "serialNumber",
      "importance",
      "site",
      "zone",
      "sensor",
      "purdueLayer",
      "protocols",
      "owners",
      "source",
      "sourceRef.url",
      "isAuthorized",
      "isProgramming",
      "isScanner",
      "ioTHub.resourceId",
      "ioTHub.resourceName",
      "ioTSecurityAgentId",
      "nics.ipAddress.ipAddress",
      "nics.macAddress",
    ],
  },
  ip: {
    address: "ipAddress",
    details: [
      "location.countryName",
      "location.state",
      "location.city",
      "location.latitude",
      "location.longitude",
      "countryLetterCode",
      "stream.name",
    ],
  },
  kubernetesCluster: {
    text: {
      resourceId: ["cloudResource.resourceId", "cloudResource.amazonResourceId", "cloudResource.fullResourceName"],
      resourceName: "name",
    },
    details: ["cloudResource.resourceName", "platform", "distribution", "version"],
  },
  kubernetesController: {
    text: { resourceName: "name" },
    details: ["type", "namespace.name", "namespace.cluster.name", "labels"],
  },
  kubernetesNamespace: { text: { resourceName: "name" }, details: ["cluster.name", "labels"] },
  kubernetesPod: {
    text: { resourceName: "name" },
    ownAddress: "podIp.ipAddress",
    details: [
      "namespace.name",
      "namespace.cluster.name",
      "controller.name",
      "serviceAccount.name",
      "containers.name",
      "containers.image.imageId",
      "initContainers.name",
      "initContainers.image.imageId",
      "ephemeralContainers.name",
      "ephemeralContainers.image.imageId",
      "labels",
    ],
  },
  kubernetesSecret: {
    text: { resourceName: "name" },
    details: ["secretType", "namespace.name", "namespace.cluster.name"],
  },
  kubernetesServiceAccount: {
    text: { userName: "name", resourceName: "name" },
    details: ["namespace.name", "namespace.cluster.name"],
  },
  kubernetesService: {
    text: { resourceName: "name" },
    address: "clusterIP.ipAddress",
    details: [
      "serviceType",
      "externalIPs.ipAddress",
      "namespace.name",
      "namespace.cluster.name",
      "servicePorts.name",
      "servicePorts.port",
      "servicePorts.protocol",
      "servicePorts.appProtocol",
      "servicePorts.nodePort",
      "servicePorts.targetPort",
      "selector",
      "labels",
    ],
  },
  mailCluster: {
    text: { resourceId: "urn", resourceName: "query" },
    lists: { messageId: "networkMessageIds" },
    details: ["clusterBy", "clusterByValue", "emailCount"],
  },
  mailboxConfiguration: {
    text: {
      userPrincipalName: ["upn", "mailboxPrimaryAddress"],
      userId: "externalDirectoryObjectId",
      resourceId: "configurationId",
      resourceName: "displayName",
      resourceType: "configurationType",
    },
    details: ["mailboxPrimaryAddress"],
  },
  mailbox: {
    account: "userAccount",
    text: { userPrincipalName: ["primaryAddress", "upn"], userName: "displayName" },
    details: ["primaryAddress", "upn", "displayName"],
  },
  malware: {
    text: { threatName: "name", commandLine: "processes.processCommandLine" },
    numbers: { processId: "processes.processId" },
    account: "processes.userAccount",
    file: "files.fileDetails",
    details: ["category", "files.fileDetails.fileName", "files.fileDetails.sha256", "processes.imageFile.fileName"],
  },
  networkConnection: {
    text: { protocol: "protocol" },
    connection: {
      near: "sourceAddress.ipAddress",
      nearPort: "sourcePort",
      far: "destinationAddress.ipAddress",
      farPort: "destinationPort",
    },
  },
  nic: {
    ownAddress: "ipAddress.ipAddress",
    macAddress: "macAddress",
    details: ["vlans"],
  },
  oauthApplication: {
    text: { application: "displayName", applicationId: "appId" },
    details: ["objectId", "publisher"],
  },
  process: {
    file: "imageFile",
    account: "userAccount",
    text: {
      processName: "imageFile.fileName",
      commandLine: "processCommandLine",
      parentProcessName: "parentProcessImageFile.fileName",
      deviceId: "mdeDeviceId",
    },
    numbers: { processId: "processId", parentProcessId: "parentProcessId" },
    details: [
      "processCreationDateTime",
      "parentProcessCreationDateTime",
      "parentProcessImageFile.filePath",
      "parentProcessImageFile.sha256",
      "parentProcessImageFile.sha1",
    ],
  },
  registryKey: REGISTRY,
  registryValue: {
    ...REGISTRY,
    text: { ...REGISTRY.text, deviceId: "mdeDeviceId" },
    details: ["registryValueName", "registryValueType", "registryValue"],
  },
  sasToken: {
    text: {
      resourceId: "storageResource.resourceId",
      resourceName: ["storageResource.resourceName", "signatureHash"],
    },
    details: [
      "signatureHash",
      "signedWith",
      "permissions",
      "allowedServices",
      "allowedResourceTypes",
      "allowedIpAddresses",
      "protocol",
      "startDateTime",
      "expiryDateTime",
      "storageResource.resourceType",
    ],
  },
  securityGroup: {
    text: {
      resourceId: ["securityGroupId", "sid", "activeDirectoryObjectGuid"],
      resourceName: ["displayName", "friendlyName"],
    },
    details: ["sid", "distinguishedName", "friendlyName", "activeDirectoryObjectGuid"],
  },
  servicePrincipal: {
    text: {
      userName: "servicePrincipalName",
      userId: "servicePrincipalObjectId",
      application: "servicePrincipalName",
      applicationId: "appId",
    },
    details: ["servicePrincipalType", "tenantId", "appOwnerTenantId"],
  },
  submissionMail: {
    text: { sender: "sender", recipient: "recipient", subject: "subject", messageId: "networkMessageId" },
    address: "senderIp",
    details: ["submitter", "reportType", "submissionId", "submissionDateTime"],
  },
  teamsMessage: {
    text: {
      sender: "senderFromAddress",
      subject: "subject",
      deliveryAction: "deliveryAction",
      messageId: "messageId",
      url: "urls.url",
    },
    lists: { recipient: "recipients" },
    file: "files.fileDetails",
    address: "senderIP",
    details: [
      "deliveryLocation",
      "messageDirection",
      "suspiciousRecipients",
      "threadId",
      "threadType",
      "channelId",
      "groupId",
      "campaignId",
      "parentMessageId",
      "sourceAppName",
      "sourceId",
      "owningTenantId",
      "isExternal",
      "isOwned",
      "receivedDateTime",
      "lastModifiedDateTime",
      "urls.url",
      "files.fileDetails.fileName",
    ],
  },
  url: { text: { url: "url" } },
  user: { account: "userAccount", details: ["stream.name"] },
} as const satisfies Readonly<Record<string, KindRules>>;

/** Members of every kind that have no member of their own. Roles, verdict and remediation have one. */
export const DETAILS_OF_ALL = ["remediationStatusDetails", "createdDateTime"];

/** Of a device, beside its names, addresses and group. */
export const DETAILS_OF_DEVICE = [
  "osPlatform",
  "version",
  "osBuild",
  "riskScore",
  "healthStatus",
  "onboardingStatus",
  "defenderAvStatus",
  "azureAdDeviceId",
  "rbacGroupId",
  "firstSeenDateTime",
  "vmMetadata.cloudProvider",
  "vmMetadata.vmId",
  "vmMetadata.resourceId",
  "vmMetadata.subscriptionId",
];

/** Of an account, beside its names and ids. */
export const DETAILS_OF_ACCOUNT = ["displayName", "tenantId", "activeDirectoryObjectGuid"];

/** Of a file, beside its name, path, size and hashes. */
export const DETAILS_OF_FILE = ["signer", "issuer", "filePublisher", "sha256Ac"];
