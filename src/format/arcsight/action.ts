/**
 * What the product did: CEF's device action. An attack that was prevented must not look like one that
 * succeeded, nor the other way round, so of several items the one that was stopped least counts.
 */
import { ownEntry } from "../../model/own-entry.ts";

/** From what was stopped least to what was stopped most. */
export const ACTIONS = ["allowed", "detected", "blocked", "prevented"] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * Graph's evidenceRemediationStatus. What was remediated is gone, so it was blocked, if late; a threat that
 * was left where it is was allowed.
 */
const ACTION_OF_REMEDIATION: Readonly<Record<string, Action>> = {
  prevented: "prevented",
  blocked: "blocked",
  remediated: "blocked",
  partiallyRemediated: "detected",
  running: "detected",
  pendingApproval: "detected",
  active: "allowed",
  unremediated: "allowed",
  declined: "allowed",
};

/** A mail in the junk folder can still be read. */
const ACTION_OF_DELIVERY: Readonly<Record<string, Action>> = {
  blocked: "blocked",
  replaced: "blocked",
  deliveredAsSpam: "detected",
  junked: "detected",
  delivered: "allowed",
};

/** Remediation that says nothing of what was done: there was nothing to do, or nothing there any more. */
const NOTHING_DONE = new Set(["none", "notFound"]);

interface Statuses {
  readonly evidenceKind?: string;
  readonly detectionStatus?: string;
  readonly remediationStatus?: string;
  readonly deliveryAction?: string;
}

/**
 * By the detection status of the items, else by their remediation, else by what happened to their mail. The
 * status of a process counts only without another: it says less than that of what the process ran.
 */
export function actionOf(items: readonly Statuses[]): Action | undefined {
  let ofItems: Action | undefined;
  let ofProcesses: Action | undefined;
  let ofRemediation: Action | undefined;
  let ofDelivery: Action | undefined;
  let isDetected = false;
  for (const { evidenceKind, detectionStatus, remediationStatus, deliveryAction } of items) {
    if (detectionStatus === "detected" || detectionStatus === "blocked" || detectionStatus === "prevented") {
      if (evidenceKind === "process") ofProcesses = less(ofProcesses, detectionStatus);
      else ofItems = less(ofItems, detectionStatus);
    }
    const delivered = ownEntry(ACTION_OF_DELIVERY, deliveryAction);
    if (delivered !== undefined) ofDelivery = less(ofDelivery, delivered);
    if (remediationStatus === undefined) continue;
    const action = ownEntry(ACTION_OF_REMEDIATION, remediationStatus);
    if (action !== undefined) ofRemediation = less(ofRemediation, action);
    else isDetected ||= NOTHING_DONE.has(remediationStatus);
  }
  return ofItems ?? ofProcesses ?? ofRemediation ?? ofDelivery ?? (isDetected ? "detected" : undefined);
}

function less(one: Action | undefined, two: Action): Action {
  return one === undefined || ACTIONS.indexOf(two) < ACTIONS.indexOf(one) ? two : one;
}
