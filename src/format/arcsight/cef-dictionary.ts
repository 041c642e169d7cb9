/**
 * The extension keys that a producer may set, of CEF 0.1 (what `CEF:0` stands for) and, marked, of 1.2 (what
 * `CEF:1` stands for), as facts of ArcSight's CEF
 * Implementation Standard (document version 27, SmartConnectors 25.1): full name (also the event field of a
 * FlexConnector), type, and the smallest of the sizes printed for it, in UTF-16 units; 0: none printed.
 * cef-dictionary.test.ts compares it with test/fixtures/cef/dictionary.json.
 */
export type CefType =
  | "double"
  | "integer"
  | "ipv4_address"
  | "ipv6_address"
  | "long"
  | "mac_address"
  | "string"
  | "timestamp";

export interface CefKeyFacts {
  readonly fullName: string;
  readonly type: CefType;
  readonly max: number;
  /** The first version whose readers know the key. */
  readonly since: CefVersion;
}

/** What stands after `CEF:`. */
export type CefVersion = 0 | 1;

/** Of type `integer`: CEF's integers have 32 bits, its longs 64. */
export const CEF_INTEGER_MAX = 2_147_483_647;

/** Header fields and their sizes. */
export const CEF_HEADER_MAX = {
  deviceVendor: 63,
  deviceProduct: 63,
  deviceVersion: 31,
  deviceEventClassId: 1023,
  name: 512,
} as const;

function facts(fullName: string, type: CefType, max: number, since: CefVersion = 0): CefKeyFacts {
  return { fullName, type, max, since };
}

export const CEF_KEYS = {
  act: facts("deviceAction", "string", 63),
  app: facts("applicationProtocol", "string", 31),
  c6a1: facts("deviceCustomIPv6Address1", "ipv6_address", 0),
  c6a1Label: facts("deviceCustomIPv6Address1Label", "string", 1023),
  c6a2: facts("deviceCustomIPv6Address2", "ipv6_address", 0),
  c6a2Label: facts("deviceCustomIPv6Address2Label", "string", 1023),
  c6a3: facts("deviceCustomIPv6Address3", "ipv6_address", 0),
  c6a3Label: facts("deviceCustomIPv6Address3Label", "string", 1023),
  c6a4: facts("deviceCustomIPv6Address4", "ipv6_address", 0),
  c6a4Label: facts("deviceCustomIPv6Address4Label", "string", 1023),
  cat: facts("deviceEventCategory", "string", 1023),
  cfp1: facts("deviceCustomFloatingPoint1", "double", 0),
  cfp1Label: facts("deviceCustomFloatingPoint1Label", "string", 1023),
  cfp2: facts("deviceCustomFloatingPoint2", "double", 0),
  cfp2Label: facts("deviceCustomFloatingPoint2Label", "string", 1023),
  cfp3: facts("deviceCustomFloatingPoint3", "double", 0),
  cfp3Label: facts("deviceCustomFloatingPoint3Label", "string", 1023),
  cfp4: facts("deviceCustomFloatingPoint4", "double", 0),
  cfp4Label: facts("deviceCustomFloatingPoint4Label", "string", 1023),
  cn1: facts("deviceCustomNumber1", "long", 0),
  cn1Label: facts("deviceCustomNumber1Label", "string", 1023),
  cn2: facts("deviceCustomNumber2", "long", 0),
  cn2Label: facts("deviceCustomNumber2Label", "string", 1023),
  cn3: facts("deviceCustomNumber3", "long", 0),
  cn3Label: facts("deviceCustomNumber3Label", "string", 1023),
  cnt: facts("baseEventCount", "integer", 0),
  cs1: facts("deviceCustomString1", "string", 4000),
  cs1Label: facts("deviceCustomString1Label", "string", 1023),
  cs2: facts("deviceCustomString2", "string", 4000),
  cs2Label: facts("deviceCustomString2Label", "string", 1023),
  cs3: facts("deviceCustomString3", "string", 4000),
  cs3Label: facts("deviceCustomString3Label", "string", 1023),
  cs4: facts("deviceCustomString4", "string", 4000),
  cs4Label: facts("deviceCustomString4Label", "string", 1023),
  cs5: facts("deviceCustomString5", "string", 4000),
  cs5Label: facts("deviceCustomString5Label", "string", 1023),
  cs6: facts("deviceCustomString6", "string", 4000),
  cs6Label: facts("deviceCustomString6Label", "string", 1023),
  destinationDnsDomain: facts("destinationDnsDomain", "string", 255),
  destinationServiceName: facts("destinationServiceName", "string", 1023),
  destinationTranslatedAddress: facts("destinationTranslatedAddress", "ipv4_address", 0),
  destinationTranslatedPort: facts("destinationTranslatedPort", "integer", 0),
  deviceCustomDate1: facts("deviceCustomDate1", "timestamp", 0),
  deviceCustomDate1Label: facts("deviceCustomDate1Label", "string", 1023),
  deviceCustomDate2: facts("deviceCustomDate2", "timestamp", 0),
  deviceCustomDate2Label: facts("deviceCustomDate2Label", "string", 1023),
  deviceDirection: facts("deviceDirection", "integer", 0),
  deviceDnsDomain: facts("deviceDnsDomain", "string", 255),
  deviceExternalId: facts("deviceExternalId", "string", 255),
  deviceFacility: facts("deviceFacility", "string", 1023),
  deviceInboundInterface: facts("deviceInboundInterface", "string", 15),
  deviceNtDomain: facts("deviceNtDomain", "string", 255),
  deviceOutboundInterface: facts("deviceOutboundInterface", "string", 15),
  devicePayloadId: facts("devicePayloadId", "string", 128),
  deviceProcessName: facts("deviceProcessName", "string", 1023),
  deviceTranslatedAddress: facts("deviceTranslatedAddress", "ipv4_address", 0),
  dhost: facts("destinationHostName", "string", 1023),
  dmac: facts("destinationMacAddress", "mac_address", 0),
  dntdom: facts("destinationNtDomain", "string", 255),
  dpid: facts("destinationProcessId", "integer", 0),
  dpriv: facts("destinationUserPrivileges", "string", 1023),
  dproc: facts("destinationProcessName", "string", 1023),
  dpt: facts("destinationPort", "integer", 0),
  dst: facts("destinationAddress", "ipv4_address", 0),
  dtz: facts("deviceTimeZone", "string", 255),
  duid: facts("destinationUserId", "string", 1023),
  duser: facts("destinationUserName", "string", 1023),
  dvc: facts("deviceAddress", "ipv4_address", 0),
  dvchost: facts("deviceHostName", "string", 63),
  dvcmac: facts("deviceMacAddress", "mac_address", 0),
  dvcpid: facts("deviceProcessId", "integer", 0),
  end: facts("endTime", "timestamp", 0),
  externalId: facts("externalId", "string", 40),
  fileCreateTime: facts("fileCreateTime", "timestamp", 0),
  fileHash: facts("fileHash", "string", 255),
  fileId: facts("fileId", "string", 1023),
  fileModificationTime: facts("fileModificationTime", "timestamp", 0),
  filePath: facts("filePath", "string", 1023),
  filePermission: facts("filePermission", "string", 1023),
  fileType: facts("fileType", "string", 1023),
  flexDate1: facts("flexDate1", "timestamp", 0),
  flexDate1Label: facts("flexDate1Label", "string", 128),
  // Event fields of the FlexConnector Developer's Guide: the standard's list of keys lacks them.
  flexNumber1: facts("flexNumber1", "long", 0),
  flexNumber1Label: facts("flexNumber1Label", "string", 128),
  flexString1: facts("flexString1", "string", 1023),
  flexString1Label: facts("flexString1Label", "string", 128),
  flexString2: facts("flexString2", "string", 1023),
  flexString2Label: facts("flexString2Label", "string", 128),
  fname: facts("fileName", "string", 1023),
  frameworkName: facts("frameworkName", "string", 256, 1),
  fsize: facts("fileSize", "integer", 0),
  in: facts("bytesIn", "long", 0),
  msg: facts("message", "string", 1023),
  oldFileCreateTime: facts("oldFileCreateTime", "timestamp", 0),
  oldFileHash: facts("oldFileHash", "string", 255),
  oldFileId: facts("oldFileId", "string", 1023),
  oldFileModificationTime: facts("oldFileModificationTime", "timestamp", 0),
  oldFileName: facts("oldFileName", "string", 1023),
  oldFilePath: facts("oldFilePath", "string", 1023),
  oldFilePermission: facts("oldFilePermission", "string", 1023),
  oldFileSize: facts("oldFileSize", "integer", 0),
  oldFileType: facts("oldFileType", "string", 1023),
  out: facts("bytesOut", "long", 0),
  outcome: facts("eventOutcome", "string", 63),
  proto: facts("transportProtocol", "string", 31),
  reason: facts("reason", "string", 1023),
  reportedResourceGroupName: facts("reportedResourceGroupName", "string", 128, 1),
  reportedResourceID: facts("reportedResourceID", "string", 256, 1),
  reportedResourceName: facts("reportedResourceName", "string", 64, 1),
  reportedResourceType: facts("reportedResourceType", "string", 64, 1),
  request: facts("requestUrl", "string", 1023),
  requestClientApplication: facts("requestClientApplication", "string", 1023),
  requestContext: facts("requestContext", "string", 2048),
  requestCookies: facts("requestCookies", "string", 1023),
  requestMethod: facts("requestMethod", "string", 1023),
  rt: facts("deviceReceiptTime", "timestamp", 0),
  shost: facts("sourceHostName", "string", 1023),
  smac: facts("sourceMacAddress", "mac_address", 0),
  sntdom: facts("sourceNtDomain", "string", 255),
  sourceDnsDomain: facts("sourceDnsDomain", "string", 255),
  sourceServiceName: facts("sourceServiceName", "string", 1023),
  sourceTranslatedAddress: facts("sourceTranslatedAddress", "ipv4_address", 0),
  sourceTranslatedPort: facts("sourceTranslatedPort", "integer", 0),
  spid: facts("sourceProcessId", "integer", 0),
  spriv: facts("sourceUserPrivileges", "string", 1023),
  sproc: facts("sourceProcessName", "string", 1023),
  spt: facts("sourcePort", "integer", 0),
  src: facts("sourceAddress", "ipv4_address", 0),
  start: facts("startTime", "timestamp", 0),
  suid: facts("sourceUserId", "string", 1023),
  suser: facts("sourceUserName", "string", 1023),
  threatActor: facts("threatActor", "string", 40, 1),
  threatAttackID: facts("threatAttackID", "string", 32, 1),
  type: facts("type", "integer", 0),
} as const satisfies Readonly<Record<string, CefKeyFacts>>;

export type CefKey = keyof typeof CEF_KEYS;
