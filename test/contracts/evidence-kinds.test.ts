/**
 * Where each property of each kind of Graph's evidence arrives, written by hand and not made from the rules,
 * so that the two can disagree. Names and types: test/fixtures/graph-metadata. A kind or a property that
 * Microsoft adds fails here, as soon as that file is renewed, and not at a customer.
 */
import { describe, expect, test } from "@jest/globals";
import { writeCef } from "../../src/format/arcsight/cef.ts";
import { CEF_PROFILES, type CefProfile } from "../../src/format/arcsight/cef-mapping.ts";
import { graphEvidenceFacts, type ItemFacts, knownEvidenceFacts } from "../../src/format/arcsight/evidence.ts";
import { EVIDENCE_RULES } from "../../src/format/arcsight/evidence-rules.ts";
import { writeFlatJson } from "../../src/format/arcsight/flat-json.ts";
import { ByteWriter } from "../../src/json/byte-writer.ts";
import { EVIDENCE_KINDS, GRAPH_SCHEMA } from "../golden/evidence-samples.ts";
import { graphAlert } from "../golden/graph-alert.ts";
import { readCef } from "./strict-cef.ts";

/** Named in `evidenceContext` as `property: value`. */
const CONTEXT = "evidenceContext";

/** Not taken, and why. */
function leftOut(why: string): { readonly why: string } {
  return { why };
}

type Target = string | { readonly why: string } | { readonly [member: string]: Target };

const RESOURCE_ACCESS = leftOut("other accounts' and other devices' addresses would stand for its own");

const ACCOUNT = {
  accountName: "userName",
  activeDirectoryObjectGuid: CONTEXT,
  azureAdUserId: "userId",
  displayName: CONTEXT,
  domainName: "userDomain",
  resourceAccessEvents: RESOURCE_ACCESS,
  tenantId: CONTEXT,
  userPrincipalName: "userPrincipalName",
  userSid: "userSid",
};

const FILE = {
  fileName: "fileName",
  filePath: "filePath",
  filePublisher: CONTEXT,
  fileSize: "fileSize",
  issuer: CONTEXT,
  md5: "md5",
  sha1: "sha1",
  sha256: "sha256",
  sha256Ac: CONTEXT,
  signer: CONTEXT,
};

const DEVICE = {
  azureAdDeviceId: CONTEXT,
  defenderAvStatus: CONTEXT,
  deviceDnsName: "deviceName",
  dnsDomain: "deviceDomain",
  firstSeenDateTime: CONTEXT,
  healthStatus: CONTEXT,
  hostName: leftOut("deviceDnsName says more; without that it is the host"),
  ipInterfaces: "deviceAddresses",
  lastExternalIpAddress: "deviceExternalIp",
  lastIpAddress: "deviceIp",
  loggedOnUsers: { accountName: "loggedOnUsers", domainName: "loggedOnUsers" },
  mdeDeviceId: "deviceId",
  ntDomain: "deviceNtDomain",
  onboardingStatus: CONTEXT,
  osBuild: CONTEXT,
  osPlatform: CONTEXT,
  rbacGroupId: CONTEXT,
  rbacGroupName: "deviceGroup",
  resourceAccessEvents: RESOURCE_ACCESS,
  riskScore: CONTEXT,
  version: CONTEXT,
  vmMetadata: { cloudProvider: CONTEXT, resourceId: CONTEXT, subscriptionId: CONTEXT, vmId: CONTEXT },
};

const RESOURCE = { resourceId: "resourceId", resourceName: "resourceName", resourceType: "resourceType" };
const RESOURCE_IN_CONTEXT = { resourceId: CONTEXT, resourceName: CONTEXT, resourceType: CONTEXT };
const ADDRESS_IN_CONTEXT = {
  ipAddress: CONTEXT,
  countryLetterCode: leftOut("of the address"),
  location: leftOut("of the address"),
  stream: leftOut("of the address"),
};
const ADDRESS = (target: string) => ({ ...ADDRESS_IN_CONTEXT, ipAddress: target });
const NAMESPACE = {
  name: CONTEXT,
  labels: leftOut("of the namespace"),
  cluster: {
    name: CONTEXT,
    cloudResource: leftOut("of the cluster"),
    distribution: leftOut("of the cluster"),
    platform: leftOut("of the cluster"),
    version: leftOut("of the cluster"),
  },
};
const IMAGE = {
  imageId: CONTEXT,
  registry: { registry: CONTEXT },
  digestImage: { imageId: CONTEXT, registry: leftOut("of the image"), digestImage: leftOut("of the image") },
};
const CONTAINERS = {
  name: CONTEXT,
  image: { imageId: CONTEXT, registry: leftOut("of the image"), digestImage: leftOut("of the image") },
  args: leftOut("of the container's own item"),
  command: leftOut("of the container's own item"),
  containerId: leftOut("of the container's own item"),
  isPrivileged: leftOut("of the container's own item"),
  pod: leftOut("it is the pod itself"),
};
const SENDER = (address: string) => ({ displayName: CONTEXT, domainName: CONTEXT, emailAddress: address });

const TABLE: Readonly<Record<string, Readonly<Record<string, Target>>>> = {
  activeDirectoryDomain: {
    activeDirectoryDomainName: "resourceName",
    trustedDomains: { activeDirectoryDomainName: CONTEXT, trustedDomains: leftOut("one level is enough") },
  },
  aiAgent: { agentId: "applicationId", agentName: "application", hostingPlatformType: CONTEXT, instructions: CONTEXT },
  amazonResource: {
    amazonAccountId: CONTEXT,
    amazonResourceId: "resourceId",
    resourceName: "resourceName",
    resourceType: "resourceType",
  },
  analyzedMessage: {
    antiSpamDirection: CONTEXT,
    attachmentsCount: CONTEXT,
    deliveryAction: "deliveryAction",
    deliveryLocation: CONTEXT,
    internetMessageId: CONTEXT,
    language: CONTEXT,
    networkMessageId: "messageId",
    p1Sender: SENDER(CONTEXT),
    p2Sender: SENDER("sender"),
    receivedDateTime: CONTEXT,
    recipientEmailAddress: "recipient",
    senderIp: "ip",
    subject: "subject",
    threatDetectionMethods: CONTEXT,
    threats: CONTEXT,
    urlCount: CONTEXT,
    urls: "url",
    urn: CONTEXT,
  },
  azureResource: RESOURCE,
  blobContainer: {
    name: "resourceName",
    storageResource: { ...RESOURCE_IN_CONTEXT, resourceId: "resourceId" },
    url: "url",
  },
  blob: {
    blobContainer: { name: "resourceName", storageResource: RESOURCE_IN_CONTEXT, url: CONTEXT },
    etag: CONTEXT,
    fileHashes: { algorithm: leftOut("the member's name says it"), value: "sha256" },
    name: "fileName",
    url: "url",
  },
  cloudApplication: {
    appId: "applicationId",
    displayName: "application",
    instanceId: CONTEXT,
    instanceName: CONTEXT,
    saasAppId: CONTEXT,
    stream: { name: CONTEXT },
  },
  cloudLogonRequest: { requestId: "resourceId" },
  cloudLogonSession: {
    account: { stream: { name: CONTEXT }, userAccount: ACCOUNT },
    browser: CONTEXT,
    deviceName: "deviceName",
    operatingSystem: CONTEXT,
    previousLogonDateTime: CONTEXT,
    protocol: CONTEXT,
    sessionId: "resourceId",
    startUtcDateTime: CONTEXT,
    userAgent: "userAgent",
  },
  container: {
    args: CONTEXT,
    command: CONTEXT,
    containerId: "resourceId",
    image: IMAGE,
    isPrivileged: CONTEXT,
    name: "resourceName",
    pod: {
      name: CONTEXT,
      namespace: { name: CONTEXT, labels: leftOut("of the namespace"), cluster: leftOut("of the namespace") },
      containers: leftOut("it is one of them"),
      controller: leftOut("of the pod"),
      ephemeralContainers: leftOut("of the pod"),
      initContainers: leftOut("of the pod"),
      labels: leftOut("of the pod"),
      podIp: leftOut("of the pod"),
      serviceAccount: leftOut("of the pod"),
    },
  },
  containerImage: {
    digestImage: { imageId: CONTEXT, registry: leftOut("of the image"), digestImage: leftOut("of the image") },
    imageId: "resourceId",
    registry: { registry: CONTEXT },
  },
  containerRegistry: { registry: "resourceName" },
  device: DEVICE,
  dns: {
    dnsServerIp: ADDRESS_IN_CONTEXT,
    domainName: "url",
    hostIpAddress: ADDRESS("sourceIp"),
    ipAddresses: ADDRESS("ip"),
  },
  file: { detectionStatus: "detectionStatus", fileDetails: FILE, mdeDeviceId: "deviceId" },
  fileHash: { algorithm: CONTEXT, value: "sha256" },
  gitHubOrganization: {
    company: CONTEXT,
    displayName: CONTEXT,
    email: CONTEXT,
    login: "resourceName",
    orgId: "resourceId",
    webUrl: "url",
  },
  gitHubRepo: { baseUrl: "url", login: "resourceName", owner: CONTEXT, ownerType: CONTEXT, repoId: "resourceId" },
  gitHubUser: { email: CONTEXT, login: "userName", name: CONTEXT, userId: "userId", webUrl: "url" },
  googleCloudResource: {
    fullResourceName: "resourceId",
    location: CONTEXT,
    locationType: CONTEXT,
    projectId: CONTEXT,
    projectNumber: CONTEXT,
    resourceName: "resourceName",
    resourceType: "resourceType",
  },
  hostLogonSession: {
    account: { stream: { name: CONTEXT }, userAccount: ACCOUNT },
    endUtcDateTime: CONTEXT,
    host: DEVICE,
    sessionId: "resourceId",
    startUtcDateTime: CONTEXT,
  },
  ioTDevice: {
    deviceId: "deviceId",
    deviceName: "deviceName",
    devicePageLink: "url",
    deviceSubType: CONTEXT,
    deviceType: CONTEXT,
    importance: CONTEXT,
    ioTHub: { resourceId: CONTEXT, resourceName: CONTEXT, resourceType: leftOut("always a hub") },
    ioTSecurityAgentId: CONTEXT,
    ipAddress: ADDRESS("deviceIp"),
    isAuthorized: CONTEXT,
    isProgramming: CONTEXT,
    isScanner: CONTEXT,
    macAddress: "deviceMac",
    manufacturer: CONTEXT,
    model: CONTEXT,
    nics: { ipAddress: ADDRESS_IN_CONTEXT, macAddress: CONTEXT, vlans: leftOut("of the nic's own item") },
    operatingSystem: CONTEXT,
    owners: CONTEXT,
    protocols: CONTEXT,
    purdueLayer: CONTEXT,
    sensor: CONTEXT,
    serialNumber: CONTEXT,
    site: CONTEXT,
    source: CONTEXT,
    sourceRef: { url: CONTEXT },
    zone: CONTEXT,
  },
  ip: {
    countryLetterCode: CONTEXT,
    ipAddress: "ip",
    location: { city: CONTEXT, countryName: CONTEXT, latitude: CONTEXT, longitude: CONTEXT, state: CONTEXT },
    stream: { name: CONTEXT },
  },
  kubernetesCluster: {
    cloudResource: { ...RESOURCE, resourceName: CONTEXT, resourceType: leftOut("always a cluster") },
    distribution: CONTEXT,
    name: "resourceName",
    platform: CONTEXT,
    version: CONTEXT,
  },
  kubernetesController: { labels: CONTEXT, name: "resourceName", namespace: NAMESPACE, type: CONTEXT },
  kubernetesNamespace: { cluster: NAMESPACE.cluster, labels: CONTEXT, name: "resourceName" },
  kubernetesPod: {
    containers: CONTAINERS,
    controller: {
      name: CONTEXT,
      labels: leftOut("of the controller"),
      namespace: leftOut("the pod's"),
      type: leftOut("of the controller"),
    },
    ephemeralContainers: CONTAINERS,
    initContainers: CONTAINERS,
    labels: CONTEXT,
    name: "resourceName",
    namespace: NAMESPACE,
    podIp: ADDRESS("deviceIp"),
    serviceAccount: { name: CONTEXT, namespace: leftOut("the pod's") },
  },
  kubernetesSecret: { name: "resourceName", namespace: NAMESPACE, secretType: CONTEXT },
  kubernetesServiceAccount: { name: "userName", namespace: NAMESPACE },
  kubernetesService: {
    clusterIP: ADDRESS("ip"),
    externalIPs: ADDRESS_IN_CONTEXT,
    labels: CONTEXT,
    name: "resourceName",
    namespace: NAMESPACE,
    selector: CONTEXT,
    servicePorts: {
      appProtocol: CONTEXT,
      name: CONTEXT,
      nodePort: CONTEXT,
      port: CONTEXT,
      protocol: CONTEXT,
      targetPort: CONTEXT,
    },
    serviceType: CONTEXT,
  },
  mailCluster: {
    clusterBy: CONTEXT,
    clusterByValue: CONTEXT,
    emailCount: CONTEXT,
    networkMessageIds: "messageId",
    query: "resourceName",
    urn: "resourceId",
  },
  mailboxConfiguration: {
    configurationId: "resourceId",
    configurationType: "resourceType",
    displayName: "resourceName",
    externalDirectoryObjectId: "userId",
    mailboxPrimaryAddress: CONTEXT,
    upn: "userPrincipalName",
  },
  mailbox: { displayName: CONTEXT, primaryAddress: CONTEXT, upn: CONTEXT, userAccount: { ...ACCOUNT } },
  malware: {
    category: CONTEXT,
    files: {
      detectionStatus: leftOut("of the file's own item"),
      fileDetails: FILE,
      mdeDeviceId: leftOut("of the file's own item"),
    },
    name: "threatName",
    processes: {
      detectionStatus: leftOut("of the process's own item"),
      imageFile: {
        fileName: CONTEXT,
        filePath: leftOut("of the process's own item"),
        filePublisher: leftOut("of the process's own item"),
        fileSize: leftOut("of the process's own item"),
        issuer: leftOut("of the process's own item"),
        md5: leftOut("of the process's own item"),
        sha1: leftOut("of the process's own item"),
        sha256: leftOut("of the process's own item"),
        sha256Ac: leftOut("of the process's own item"),
        signer: leftOut("of the process's own item"),
      },
      mdeDeviceId: leftOut("of the process's own item"),
      parentProcessCreationDateTime: leftOut("of the process's own item"),
      parentProcessId: leftOut("of the process's own item"),
      parentProcessImageFile: leftOut("of the process's own item"),
      processCommandLine: "commandLine",
      processCreationDateTime: leftOut("of the process's own item"),
      processId: "processId",
      userAccount: ACCOUNT,
    },
  },
  networkConnection: {
    destinationAddress: ADDRESS("destinationIp"),
    destinationPort: "destinationPort",
    protocol: "protocol",
    sourceAddress: ADDRESS("sourceIp"),
    sourcePort: "sourcePort",
  },
  nic: { ipAddress: ADDRESS("deviceIp"), macAddress: "deviceMac", vlans: CONTEXT },
  oauthApplication: { appId: "applicationId", displayName: "application", objectId: CONTEXT, publisher: CONTEXT },
  process: {
    detectionStatus: "detectionStatus",
    imageFile: FILE,
    mdeDeviceId: "deviceId",
    parentProcessCreationDateTime: CONTEXT,
    parentProcessId: "parentProcessId",
    parentProcessImageFile: {
      fileName: "parentProcessName",
      filePath: CONTEXT,
      filePublisher: leftOut("the process's own file counts"),
      fileSize: leftOut("the process's own file counts"),
      issuer: leftOut("the process's own file counts"),
      md5: leftOut("the process's own file counts"),
      sha1: CONTEXT,
      sha256: CONTEXT,
      sha256Ac: leftOut("the process's own file counts"),
      signer: leftOut("the process's own file counts"),
    },
    processCommandLine: "commandLine",
    processCreationDateTime: CONTEXT,
    processId: "processId",
    userAccount: ACCOUNT,
  },
  registryKey: { registryHive: "registryKey", registryKey: "registryKey" },
  registryValue: {
    mdeDeviceId: "deviceId",
    registryHive: "registryKey",
    registryKey: "registryKey",
    registryValue: CONTEXT,
    registryValueName: CONTEXT,
    registryValueType: CONTEXT,
  },
  sasToken: {
    allowedIpAddresses: CONTEXT,
    allowedResourceTypes: CONTEXT,
    allowedServices: CONTEXT,
    expiryDateTime: CONTEXT,
    permissions: CONTEXT,
    protocol: CONTEXT,
    signatureHash: CONTEXT,
    signedWith: CONTEXT,
    startDateTime: CONTEXT,
    storageResource: { ...RESOURCE, resourceType: CONTEXT },
  },
  securityGroup: {
    activeDirectoryObjectGuid: CONTEXT,
    displayName: "resourceName",
    distinguishedName: CONTEXT,
    friendlyName: CONTEXT,
    securityGroupId: "resourceId",
    sid: CONTEXT,
  },
  servicePrincipal: {
    appId: "applicationId",
    appOwnerTenantId: CONTEXT,
    servicePrincipalName: "userName",
    servicePrincipalObjectId: "userId",
    servicePrincipalType: CONTEXT,
    tenantId: CONTEXT,
  },
  submissionMail: {
    networkMessageId: "messageId",
    recipient: "recipient",
    reportType: CONTEXT,
    sender: "sender",
    senderIp: "ip",
    subject: "subject",
    submissionDateTime: CONTEXT,
    submissionId: CONTEXT,
    submitter: CONTEXT,
  },
  teamsMessage: {
    campaignId: CONTEXT,
    channelId: CONTEXT,
    deliveryAction: "deliveryAction",
    deliveryLocation: CONTEXT,
    files: {
      detectionStatus: leftOut("of the file's own item"),
      fileDetails: FILE,
      mdeDeviceId: leftOut("of the file's own item"),
    },
    groupId: CONTEXT,
    isExternal: CONTEXT,
    isOwned: CONTEXT,
    lastModifiedDateTime: CONTEXT,
    messageDirection: CONTEXT,
    messageId: "messageId",
    owningTenantId: CONTEXT,
    parentMessageId: CONTEXT,
    receivedDateTime: CONTEXT,
    recipients: "recipient",
    senderFromAddress: "sender",
    senderIP: "ip",
    sourceAppName: CONTEXT,
    sourceId: CONTEXT,
    subject: "subject",
    suspiciousRecipients: CONTEXT,
    threadId: CONTEXT,
    threadType: CONTEXT,
    urls: { url: "url" },
  },
  url: { url: "url" },
  user: { stream: { name: CONTEXT }, userAccount: ACCOUNT },
};

/** What every kind has beside its own properties. */
const OF_ALL: Readonly<Record<string, Target>> = {
  createdDateTime: CONTEXT,
  detailedRoles: "roles",
  remediationStatus: "remediationStatus",
  remediationStatusDetails: CONTEXT,
  roles: "roles",
  tags: CONTEXT,
  verdict: "verdict",
};

function isLeftOut(target: Target): target is { readonly why: string } {
  return typeof target === "object" && "why" in target && typeof target.why === "string";
}

/** Values that are unlike any other: of each property one, and how it reads in the target. */
class Values {
  #next = 1;

  of(type: string, property: string): { readonly value: unknown; readonly text: string } {
    const n = this.#next++;
    if (type.startsWith("Collection(")) {
      const { value, text } = this.of(type.slice(11, -1), property);
      return { value: [value], text };
    }
    if (/port$/i.test(property) && type !== "Edm.String") return { value: 40_000 + n, text: String(40_000 + n) };
    if (/^Edm\.Int|^Edm\.Double/.test(type)) return { value: 700_000 + n, text: String(700_000 + n) };
    if (type === "Edm.Boolean") return { value: true, text: "true" };
    if (type === "dictionary") return { value: { key: `v${n}x` }, text: `v${n}x` };
    if (property === "algorithm") return { value: "sha256", text: "sha256" };
    if (property === "macAddress") {
      const mac = `02:00:00:00:00:${String(n % 100).padStart(2, "0")}`;
      return { value: mac, text: mac };
    }
    if (property === "lastExternalIpAddress") return { value: `52.0.${n % 250}.9`, text: `52.0.${n % 250}.9` };
    if (/ip(Address|Interfaces)?$/i.test(property)) {
      const address = `10.${n % 250}.7.9`;
      return { value: address, text: address };
    }
    if (property === "filePath") return { value: `C:\\v${n}x`, text: `v${n}x` };
    return { value: `v${n}x`, text: `v${n}x` };
  }
}

interface Wanted {
  readonly path: string;
  readonly target: Target;
  readonly text: string;
}

const PLAIN_TYPES = /^(?:Collection\()?(?:Edm\.|dictionary)/;

/** The properties of a type and its base, as the table has to name them. */
function propertiesOf(type: string): Readonly<Record<string, string>> {
  return GRAPH_SCHEMA.types[type]?.properties ?? {};
}

/** Fills a type as the table descends into it; what it leaves out is filled too, one level deep. */
function fill(type: string, targets: Readonly<Record<string, Target>>, at: string, values: Values, wanted: Wanted[]) {
  const item: Record<string, unknown> = {};
  const properties = propertiesOf(type);
  expect([at, Object.keys(targets).toSorted()]).toEqual([at, Object.keys(properties).toSorted()]);
  for (const [property, propertyType] of Object.entries(properties)) {
    const target = targets[property]!;
    const path = at === "" ? property : `${at}.${property}`;
    const inner = propertyType.replace(/^Collection\((.*)\)$/, "$1");
    const isObject = !PLAIN_TYPES.test(propertyType) && !(inner in GRAPH_SCHEMA.enums);
    if (isObject && typeof target === "object" && !isLeftOut(target)) {
      // A cluster's cloud resource is any evidence; the table takes Azure's.
      const value = fill(inner === "alertEvidence" ? "azureResourceEvidence" : inner, target, path, values, wanted);
      item[property] = propertyType.startsWith("Collection(") ? [value] : value;
      continue;
    }
    const { value, text } = values.of(propertyType, property);
    item[property] = isObject ? { name: text } : value;
    // Every flag reads alike: only its name tells that it is this one that arrived.
    const isFlag = propertyType === "Edm.Boolean" && target === CONTEXT;
    wanted.push({ path, target, text: isFlag ? `${property}: ${text}` : text });
  }
  return item;
}

function itemOf(kind: string): {
  readonly item: Readonly<Record<string, unknown>>;
  readonly wanted: readonly Wanted[];
} {
  const wanted: Wanted[] = [];
  const values = new Values();
  const own = fill(`${kind}Evidence`, TABLE[kind] ?? {}, "", values, wanted);
  const base = fill(
    "alertEvidence",
    kind === "device" ? { ...OF_ALL, tags: "deviceTags" } : OF_ALL,
    "",
    values,
    wanted,
  );
  return { item: { "@odata.type": `#microsoft.graph.security.${kind}Evidence`, ...base, ...own }, wanted };
}

/** An item's flat record, as `evidence=each` writes it, by its own line of JSON. */
function recordOf(item: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const out = new ByteWriter();
  writeFlatJson(out, graphAlert({ evidence: [item] }), "each");
  return JSON.parse(out.toString().trimEnd().split("\n")[1]!) as Readonly<Record<string, unknown>>;
}

function lineOf(item: Readonly<Record<string, unknown>>, profile: CefProfile): ReadonlyMap<string, string> {
  const out = new ByteWriter();
  writeCef(out, graphAlert({ evidence: [item] }), profile, "each");
  return readCef(out.toString().trimEnd().split("\n")[1]!).extension;
}

test("the table has a row for each of the 48 kinds of Graph's evidence", () => {
  expect(EVIDENCE_KINDS).toHaveLength(48);
  expect(Object.keys(TABLE).toSorted()).toEqual(EVIDENCE_KINDS.toSorted());
  expect(Object.keys(EVIDENCE_RULES).toSorted()).toEqual(EVIDENCE_KINDS.toSorted());
});

describe("each property of a kind arrives where the table says, or nowhere:", () => {
  test.each(EVIDENCE_KINDS)("%s", (kind) => {
    const { item, wanted } = itemOf(kind);
    const record = recordOf(item);
    const context = knownEvidenceFacts(item)?.details?.().join("; ") ?? "";
    const arrived = (text: string): boolean => JSON.stringify([...Object.values(record), context]).includes(text);
    const got = wanted.map(({ path, target, text }) => {
      if (typeof target !== "string") return [path, "left out", arrived(text) ? "but arrives" : "left out"];
      const value = target === CONTEXT ? context : String(record[target]);
      return [path, target, value.includes(text) ? "arrives" : `is ${value}`];
    });
    expect(got).toEqual(
      wanted.map(({ path, target }) =>
        typeof target === "string" ? [path, target, "arrives"] : [path, "left out", "left out"],
      ),
    );
  });
});

/** What says nothing of the item itself. */
const STATE = new Set([
  "evidenceKind",
  "verdict",
  "remediationStatus",
  "detectionStatus",
  "roles",
  "deviceId",
  "details",
]);

function factsOf(facts: ItemFacts | undefined): readonly string[] {
  const known = Object.entries(facts ?? {}).filter(([, value]) => value !== undefined);
  return known.map(([name]) => name).filter((name) => !STATE.has(name));
}

test("without the general rule for unknown kinds, each kind has at least one fact beside its state", () => {
  const empty = EVIDENCE_KINDS.filter((kind) => factsOf(knownEvidenceFacts(itemOf(kind).item)).length === 0);
  expect(empty).toEqual([]);
  expect(knownEvidenceFacts({ "@odata.type": "#microsoft.graph.security.newEvidence", id: "x" })).toBeUndefined();
});

test("no two kinds have the same line, in CEF of both profiles and in flat JSON", () => {
  for (const profile of CEF_PROFILES) {
    const lines = EVIDENCE_KINDS.map((kind) => JSON.stringify([...lineOf(itemOf(kind).item, profile)]));
    expect(new Set(lines).size).toBe(EVIDENCE_KINDS.length);
  }
  const records = EVIDENCE_KINDS.map((kind) => JSON.stringify(recordOf(itemOf(kind).item)));
  expect(new Set(records).size).toBe(EVIDENCE_KINDS.length);
});

test("with evidence=each every line names the item's kind, verdict, remediation and roles, and no two lines are equal", () => {
  const evidence = EVIDENCE_KINDS.flatMap((kind) => [itemOf(kind).item, itemOf(kind).item]);
  for (const profile of CEF_PROFILES) {
    const out = new ByteWriter();
    writeCef(
      out,
      graphAlert({
        evidence: evidence.map((item) => ({
          ...item,
          verdict: "malicious",
          remediationStatus: "blocked",
          roles: ["scanned"],
        })),
      }),
      profile,
      "each",
    );
    const [, ...lines] = out.toString().trimEnd().split("\n");
    expect(lines).toHaveLength(evidence.length);
    expect(new Set(lines).size).toBe(lines.length);
    for (const line of lines) {
      const { extension } = readCef(line);
      expect(extension.get("fileType")).toMatch(/^[a-z]+$/);
      expect(extension.get("requestContext")).toMatch(
        /^Item: \d+ of 96; Verdict: malicious; Remediation: blocked; .*Roles: scanned/,
      );
    }
  }
});

test("a line of a resource has its id, name and type, and the alert's own line names it in msg and never as a host", () => {
  const azure = {
    "@odata.type": "#microsoft.graph.security.azureResourceEvidence",
    resourceId: "/subscriptions/1/vm/web",
    resourceName: "web",
    resourceType: "Virtual Machine",
  };
  const out = new ByteWriter();
  writeCef(out, graphAlert({ evidence: [azure], description: "Said." }), "xdr", "each");
  const [alert, line] = out
    .toString()
    .trimEnd()
    .split("\n")
    .map((text) => Object.fromEntries(readCef(text).extension));
  expect(line).toMatchObject({
    cs1: "/subscriptions/1/vm/web",
    cs1Label: "Resource Id",
    cs2: "web",
    cs2Label: "Resource Name",
    cs4: "Virtual Machine",
    cs4Label: "Resource Type",
  });
  expect(alert!["msg"]).toBe("Resources: web (Virtual Machine). Said.");
  expect(Object.keys({ ...alert, ...line }).filter((key) => key === "dhost" || key === "shost")).toEqual([]);
});

describe("a kind that the table does not have", () => {
  test("gives its kind, ids and names", () => {
    const item = {
      "@odata.type": "#microsoft.graph.security.quantumChipEvidence",
      chipId: "g-17",
      chipName: "Hadamard",
      errorRate: 0.25,
      verdict: "suspicious",
    };
    expect(lineOf(item, "xdr").get("fileType")).toBe("quantumchip");
    expect(Object.fromEntries(lineOf(item, "xdr"))).toMatchObject({ cs1: "g-17", cs2: "Hadamard", cs4: "quantumchip" });
    expect(lineOf(item, "legacy").get("requestContext")).toContain("chipId: g-17; chipName: Hadamard; errorRate: 0.25");
  });

  test("gives what it has in common with others", () => {
    const item = {
      "@odata.type": "#microsoft.graph.security.newEvidence",
      userAccount: { accountName: "alice" },
      ipAddress: "203.0.113.7",
      deviceDnsName: "pc1.contoso.com",
    };
    expect(graphEvidenceFacts(item)).toMatchObject({ userName: "alice", ip: "203.0.113.7", deviceHost: "pc1" });
  });
});
