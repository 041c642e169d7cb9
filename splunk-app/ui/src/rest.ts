/** The only caller of splunkd. What goes wrong becomes a sentence; no value that was typed gets into one. */
import { createFetchInit } from "@splunk/splunk-utils/fetch";
import { createRESTURL } from "@splunk/splunk-utils/url";
import type { Input, Status } from "./state/customers.ts";

const APP = "TA_defender_mssp";
const INPUTS = "data/inputs/defender_mssp";
const COLLECTIONS = "storage/collections/data";

/** A call that failed. */
export class RestProblem extends Error {
  override readonly name = "RestProblem";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Sent {
  readonly query?: Readonly<Record<string, string>>;
  readonly form?: Readonly<Record<string, string>>;
  readonly json?: unknown;
}

async function call(
  method: "GET" | "POST" | "DELETE",
  path: string,
  { query, form, json }: Sent = {},
): Promise<unknown> {
  const parameters = new URLSearchParams({ ...query, output_mode: "json" });
  const url = `${createRESTURL(path, { app: APP, owner: "nobody" })}?${parameters.toString()}`;
  const init = createFetchInit({ method });
  const headers = new Headers(init.headers);
  headers.set("Content-Type", json === undefined ? "application/x-www-form-urlencoded" : "application/json");
  const body = json === undefined ? form && new URLSearchParams(form).toString() : JSON.stringify(json);
  let answer: Response;
  try {
    answer = await fetch(url, { ...init, headers, ...(body === undefined ? {} : { body }) });
  } catch {
    throw new RestProblem(0, "Splunk Web does not answer. The page goes on by itself when the connection is back.");
  }
  const text = await answer.text();
  if (answer.ok) return jsonOf(text);
  throw new RestProblem(answer.status, sentenceFor(answer.status, messageIn(jsonOf(text))));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageIn(answer: unknown): string {
  const messages = (answer as { readonly messages?: readonly { readonly text?: unknown }[] } | undefined)?.messages;
  const text = messages?.[0]?.text;
  return typeof text === "string" ? text : "";
}

function sentenceFor(status: number, message: string): string {
  if (status === 401)
    return message.includes("CSRF")
      ? "Splunk Web rejected the form key of this page, probably after a new login. Nothing was saved. Load the page again."
      : "Your session has ended. Log in to Splunk in another tab, then try again here; what you typed stays.";
  if (status === 403) return `You are not allowed to do this. ${message || "Ask for the role admin or sc_admin."}`;
  if (status === 404) return "This no longer exists in Splunk. It may have been deleted in another tab.";
  if (status === 409) return "An input with this name already exists. Choose another name.";
  if (status === 503) return `Splunk is not ready: ${message || "wait until it has started"}`;
  if (status >= 500)
    return `Splunk failed (${status}): ${message || "look for the cause in splunkd.log"}. Nothing was saved.`;
  return message || `Splunk refused this (${status}).`;
}

interface Entry {
  readonly name: string;
  readonly content: Readonly<Record<string, unknown>>;
}

/** All inputs, disabled ones too. */
export async function listInputs(): Promise<readonly Input[]> {
  const answer = (await call("GET", INPUTS, { query: { count: "0" } })) as { readonly entry?: readonly Entry[] };
  return (answer.entry ?? []).map(({ name, content }) => {
    const values = Object.fromEntries(
      Object.entries(content).flatMap(([key, value]) =>
        typeof value === "string" || typeof value === "number" || typeof value === "boolean"
          ? [[key, String(value)]]
          : [],
      ),
    );
    return { name, values, isDisabled: /^(1|true)$/i.test(values["disabled"] ?? "") };
  });
}

export async function createInput(name: string, values: Readonly<Record<string, string>>): Promise<void> {
  await call("POST", INPUTS, { form: { ...values, name } });
}

export async function editInput(name: string, values: Readonly<Record<string, string>>): Promise<void> {
  await call("POST", `${INPUTS}/${encodeURIComponent(name)}`, { form: values });
}

export async function switchInput(name: string, isOn: boolean): Promise<void> {
  await call("POST", `${INPUTS}/${encodeURIComponent(name)}/${isOn ? "enable" : "disable"}`);
}

export async function deleteInput(name: string): Promise<void> {
  await call("DELETE", `${INPUTS}/${encodeURIComponent(name)}`);
}

/** Written by the input, only read here. */
export async function statusRows(): Promise<readonly Status[]> {
  return (await call("GET", `${COLLECTIONS}/defender_mssp_status`)) as readonly Status[];
}

export interface Check {
  readonly check: string;
  readonly ok: boolean;
  readonly actor: string | null;
  readonly say: string;
  readonly next_step: string;
}

/** What the input has answered so far. */
export interface Answer {
  readonly state?: "running" | "done" | "refused";
  readonly ok?: boolean;
  readonly checks?: readonly Check[];
  readonly consent?: { readonly url: string; readonly permissions: readonly string[]; readonly mail: string };
  readonly missing?: readonly string[];
  readonly say?: string;
  readonly next_step?: string;
}

/** Asks the running input. Returns the request's key. */
export async function ask(customer: string, what: "doctor" | "consent"): Promise<string> {
  const { _key: key } = (await call("POST", `${COLLECTIONS}/defender_mssp_requests`, {
    json: { customer, ask: what },
  })) as { readonly _key: string };
  return key;
}

export async function answerTo(key: string): Promise<Answer> {
  return (await call("GET", `${COLLECTIONS}/defender_mssp_requests/${encodeURIComponent(key)}`)) as Answer;
}

export async function forget(key: string): Promise<void> {
  await call("DELETE", `${COLLECTIONS}/defender_mssp_requests/${encodeURIComponent(key)}`);
}
