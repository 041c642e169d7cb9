import type { HealthState } from "../../../src/model/event.ts";
import {
  ANSWER_STATUSES,
  type AnswerStatus,
  type CustomerStatus,
  type OutputStatus,
  type StreamStatus,
} from "../../../src/model/status.ts";
import { streamHealth } from "../stream-health.ts";

/** A stream that has done nothing but what is given. */
export function streamStatus(given: Partial<StreamStatus> & { readonly state?: HealthState } = {}): StreamStatus {
  return {
    ...streamHealth({ lag_s: 12, walk_completed_at: "2026-11-24T10:00:00.000Z" }),
    delivered: { poll: { new: 0, updated: 0 }, sweep: { new: 0, updated: 0 }, replay: { new: 0, updated: 0 } },
    answers: answers(),
    retries: 0,
    ...given,
  };
}

/** No answers but these. */
export function answers(given: Partial<Record<AnswerStatus, number>> = {}): number[] {
  return ANSWER_STATUSES.map((status) => given[status] ?? 0);
}

export function customerStatus(tenant: string, given: Partial<CustomerStatus> = {}): CustomerStatus {
  return {
    tenant,
    tenantId: "11111111-2222-4333-8444-555555555555",
    input: tenant,
    credentialDaysLeft: null,
    streams: [streamStatus()],
    ...given,
  };
}

export function outputStatus(given: Partial<OutputStatus> = {}): OutputStatus {
  return {
    name: "outputs[0]",
    type: "syslog",
    state: "up",
    spoolBytes: 0,
    oldestS: null,
    unconfirmed: null,
    rejected: 0,
    ...given,
  };
}
