import { readFile } from "node:fs/promises";
import { credentialOf } from "../auth/app-credential.ts";
import { createSignInService } from "../auth/sign-in-service.ts";
import type { PageAnswers, SplunkHost, SplunkRun, SplunkWorld } from "../hosts/splunk/index.ts";
import { goesThroughProxy } from "../net/http.ts";
import { probe } from "./probe.ts";

/**
 * What the pages in Splunk Web ask the running input: the same checks and links as the commands have.
 *
 * @param mayCollect called with an input whose consent was found, or whose every check passed.
 */
export function pageAnswers(
  host: SplunkHost,
  run: SplunkRun,
  world: SplunkWorld,
  mayCollect: (input: string) => void,
): PageAnswers {
  const { http, clock } = world;
  const signInService = createSignInService({
    http,
    clock,
    readText: (path) => readFile(path, "utf8"),
    // Where the collector of this process keeps it too, so that both go on with the same token.
    keep: (stanza, rotated) => host.keepRefreshToken(stanza.name, rotated),
    viaProxy: (url, stanza) => goesThroughProxy(url, stanza.route, process.env),
    probe: (stanza, stream, token, signal) => probe(http, run.log, stanza, stream, token, signal),
  });
  return {
    checks: (stanza) => signInService.doctorChecks(stanza),
    consent(stanza) {
      if (stanza.clientId === undefined) return undefined;
      const link = signInService.consentLink(stanza, stanza.clientId, host.globals.consentRedirect);
      const mail = signInService.consentMail("en", stanza.tenantName, link);
      return { url: link.url, permissions: link.permissions, mail };
    },
    consentState: (stanza) => signInService.consentState(stanza, credentialOf(stanza)),
    mayCollect,
    inText: (sentence, customer) => run.commands.inText(sentence, customer),
  };
}
